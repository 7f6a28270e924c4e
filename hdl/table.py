"""A function of each value by table."""
import numpy as np
from amaranth import Cat, Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .bounds import limits
from .check import between, boolean, integers, positive
from .memory import rom as rom_size
from .memory import total
from .pitch import lookup
from .rom import Rom, pack
from .stream import PixelSignature, Queue, channels_of_way, connect_streams, queue_memories

__all__ = ["Table"]

QUEUE_DEPTH = 4     # beats of a way's output queue; it cuts combinational paths and needs no more


class Table(wiring.Component):
    """Replace each value of a pixel stream by an entry of its channel's table, and drop the zeros.

    A channel that is absent from the input is 0, and has the entry of 0. Where that is not 0 for
    any channel of a way, the way visits all its channels, one per cycle, and ``i.ready`` depends
    combinationally on ``i.payload.channel``. Otherwise, and where no channel is ever absent, it
    takes one beat per cycle, and ``i.ready`` depends on registers only, as ``o`` does always.

    Every way works on its own; ``latency`` cycles from a beat to its result.

    Parameters
    ----------
    shape : shape-like
        Stored input value, 1 to 12 bits.
    tables : array of int (1 or channels, entries)
        Stored results of the values from ``low`` on, 0 included: a row for each channel, or one
        for all. Other values never occur in the input.
    out_shape : shape-like
        Stored result.
    channels : int or None
        Channels of the map; as many as the rows if None.
    low : int
        Value of the first entry, 0 or less.
    ways : int
        Ways of input and output.
    dense_input : bool
        Every channel is present in the input, as in raw pixels.
    keep_zeros : bool
        The dense engine: every channel is present in the input, and zeros are sent too.

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
    dsp_count = 0

    def __init__(self, shape, *, tables, out_shape, channels=None, low=0, ways=1, dense_input=False,
                 keep_zeros=False):
        self.shape, self.out_shape = Shape.cast(shape), Shape.cast(out_shape)
        between("Input width", self.shape.width, 1, 12)
        self.tables = integers("Tables", tables)
        rows = len(self.tables) if self.tables.ndim else 0
        channels = positive("Channels", rows if channels is None else channels)
        least, most = limits(self.shape)
        self.low = between("Lowest value", low, least, 0)
        if (self.tables.ndim != 2 or rows not in (1, channels)
                or not -low < self.tables.shape[1] <= most - low + 1):
            raise ValueError(f"Tables must be 1 or {channels} rows of {1 - low} to {most - low + 1} "
                             f"entries, not of shape {self.tables.shape}")
        least, most = limits(self.out_shape)
        if self.tables.min() < least or self.tables.max() > most:
            raise ValueError(f"Entries must fit {self.out_shape!r}, not range from "
                             f"{self.tables.min()} to {self.tables.max()}")
        self.ways, self.keep_zeros = positive("Ways", ways), boolean("Keep zeros", keep_zeros)
        self.dense_input = dense_input or keep_zeros
        super().__init__({
            "i": In(PixelSignature(self.shape, channels=channels, ways=ways)),
            "o": Out(PixelSignature(self.out_shape, channels=channels, ways=ways))})

    @property
    def memories(self):
        rows = [channels_of_way(len(self.tables), self.ways, w) if len(self.tables) > 1 else 1
                for w in range(self.ways)]
        return total(
            rom_size(self.out_shape.width, count << self.shape.width)
            + queue_memories(way.payload.shape(), QUEUE_DEPTH) for count, way in zip(rows, self.o.way))

    def elaborate(self, platform):
        m = Module()
        # The address is a value's bits, so that negative values come last.
        places = np.arange(self.low, self.low + self.tables.shape[1]) % (1 << self.shape.width)
        words = np.zeros((len(self.tables), 1 << self.shape.width), np.int64)
        words[:, places] = self.tables
        for w, (source, target) in enumerate(zip(self.i.way, wiring.flipped(self.o).way)):
            self._way(m, w, source, target, words if len(words) == 1 else words[w::self.ways])
        return m

    def _way(self, m, w, source, target, words):
        m.submodules[f"rom_{w}"] = rom = Rom(
            self.out_shape.width, pack(words.reshape(-1, 1), self.out_shape.width))
        m.submodules[f"queue_{w}"] = queue = Queue(target.payload.shape(), depth=QUEUE_DEPTH)
        connect_streams(m, queue.o, target)
        en, valid = Signal(name=f"en_{w}"), Signal(name=f"valid_{w}")
        beat, result = source.payload, Signal(self.out_shape.width, name=f"result_{w}")
        m.d.comb += [en.eq(~valid | queue.i.ready), source.ready.eq(en), result.eq(rom.data)]
        number, last = beat.channel, beat.last
        if not self.dense_input and words[:, 0].any():
            number, last = self._insert(m, w, source, en, result, words[:, 0].tolist())

        channel = Signal.like(beat.channel, name=f"channel_{w}", reset_less=True)
        closing = Signal(name=f"closing_{w}", reset_less=True)
        with m.If(en):
            m.d.sync += [valid.eq(source.valid), channel.eq(number), closing.eq(last)]
        m.d.comb += [
            rom.en.eq(en),
            rom.address.eq(Cat(beat.value, beat.channel) if len(words) > 1 else beat.value),
            Cat(queue.i.payload.value).eq(result), queue.i.payload.channel.eq(channel),
            queue.i.payload.last.eq(closing),
            queue.i.valid.eq(valid & (closing | (result != 0) | self.keep_zeros)),
        ]

    def _insert(self, m, w, source, en, result, zeros):
        """Visit all channels: that one is absent shows when a later one is offered.

        Returns the channel and whether it closes the pixel.
        """
        number, last = Signal.like(source.payload.channel, name=f"number_{w}"), Signal(name=f"last_{w}")
        present, absent = Signal(name=f"present_{w}"), Signal(name=f"absent_{w}", reset_less=True)
        m.d.comb += [present.eq(source.payload.channel == number), source.ready.eq(en & present),
                     last.eq(source.payload.last & present)]
        with m.If(en & source.valid):
            m.d.sync += number.eq(Mux(last, 0, number + 1))

        zero = Signal(self.out_shape, name=f"zero_{w}", reset_less=True)
        with m.If(en):
            m.d.sync += [absent.eq(~present), zero.eq(lookup(m, number, zeros, name=f"entry_{w}"))]
        with m.If(absent):
            m.d.comb += result.eq(zero)
        return number, last
