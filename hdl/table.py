"""A function of each value by table: raw pixels to the values that a network expects."""
import numpy as np
from amaranth import Cat, Module, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .check import positive
from .rom import Rom, pack
from .stream import PixelSignature, Queue, connect_streams

__all__ = ["Table"]


class Table(wiring.Component):
    """Replace each value of a pixel stream by an entry of its channel's table, and drop the zeros.

    Every channel must be present in the input: a zero that is left out stays out. One value per
    cycle and way; ``latency`` cycles to the output. ``i.ready`` and ``o`` depend on registers only.

    Parameters
    ----------
    shape : shape-like
        Input value, unsigned, at most 12 bits.
    tables : array of int (channels, 2**width)
        Result for each value.
    out_shape : shape-like
        Stored result.
    ways : int
        Ways of input and output.
    keep_zeros : bool
        Send zeros too: for the dense engine.

    Members
    -------
    i : In(PixelSignature(shape, channels=channels, ways=ways))
    o : Out(PixelSignature(out_shape, channels=channels, ways=ways))

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of its range, or an entry does not fit ``out_shape``.
    """

    latency = 3

    def __init__(self, shape, *, tables, out_shape, ways=1, keep_zeros=False):
        self.shape, self.out_shape = Shape.cast(shape), Shape.cast(out_shape)
        if self.shape.signed or not 1 <= self.shape.width <= 12:
            raise ValueError(f"Shape must be unsigned with at most 12 bits, not {self.shape!r}")
        self.tables = np.asarray(tables, np.int64)
        if self.tables.ndim != 2 or self.tables.shape[1] != 1 << self.shape.width:
            raise ValueError(f"Tables must have {1 << self.shape.width} entries for each channel, "
                             f"not the shape {self.tables.shape}")
        least = -(1 << (self.out_shape.width - 1)) if self.out_shape.signed else 0
        if self.tables.min() < least or self.tables.max() >= least + (1 << self.out_shape.width):
            raise ValueError(f"Entries must fit {self.out_shape!r}, not range from "
                             f"{self.tables.min()} to {self.tables.max()}")
        self.ways, self.keep_zeros = positive("Ways", ways), keep_zeros
        channels = len(self.tables)
        super().__init__({
            "i": In(PixelSignature(self.shape, channels=channels, ways=ways)),
            "o": Out(PixelSignature(self.out_shape, channels=channels, ways=ways))})

    def elaborate(self, platform):
        m = Module()
        for w, (source, target) in enumerate(zip(self.i.way, wiring.flipped(self.o).way)):
            mine = self.tables[w::self.ways]
            m.submodules[f"rom_{w}"] = rom = Rom(
                self.out_shape.width, pack(mine.reshape(-1, 1), self.out_shape.width))
            m.submodules[f"queue_{w}"] = queue = Queue(target.payload.shape(), depth=4)
            beat = source.payload
            valid = Signal(name=f"valid_{w}")
            channel = Signal.like(beat.channel, name=f"channel_{w}", reset_less=True)
            last = Signal(name=f"last_{w}", reset_less=True)
            en = Signal(name=f"en_{w}")
            m.d.comb += [
                en.eq(~valid | queue.i.ready), source.ready.eq(en), rom.en.eq(en),
                rom.address.eq(Cat(beat.value, beat.channel) if len(mine) > 1 else beat.value),
                Cat(queue.i.payload.value).eq(rom.data), queue.i.payload.channel.eq(channel),
                queue.i.payload.last.eq(last),
                queue.i.valid.eq(valid & (last | (rom.data != 0) | self.keep_zeros)),
            ]
            with m.If(en):
                m.d.sync += [valid.eq(source.valid), channel.eq(beat.channel), last.eq(beat.last)]
            connect_streams(m, queue.o, target)
        return m
