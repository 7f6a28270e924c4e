"""Concatenation: the channels of several sparse pixel streams one after the other."""
from itertools import accumulate

from amaranth import Module, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .check import between, boolean, positive
from .memory import total
from .pitch import lookup
from .stream import PixelSignature, Queue, connect_streams, queue_memories

__all__ = ["Concat"]

QUEUE_DEPTH = 4     # beats of a way's output queue; it cuts combinational paths and needs no more


class Concat(wiring.Component):
    """Send each pixel's channels of the first operand, then those of the second, and so on.

    Values stay what they are. Every way works on its own: it takes one beat per cycle, a whole
    pixel of one operand before one of the next, and drops the zeros that close a pixel of any
    operand but the last. So a pixel takes as many cycles as all its operands have beats, at least
    one each, and each beat leaves ``latency`` cycles after it was taken. Pixels follow without a
    gap. The ready of every operand, and ``o``, depend on registers only.

    Parameters
    ----------
    shapes : sequence of shape-like
        Stored values of each operand, 2 to 64 of them.
    channels : sequence of int
        Channels of each operand; multiples of ``ways`` but for the last, so that channels stay on
        their ways.
    ways : int
        Ways of the operands and of the output; at most any operand's channels.
    out_shape : shape-like
        Stored result; holds every value of every operand.
    keep_zeros : bool
        The dense engine: every channel is present in every operand, and sent.

    Members
    -------
    i0, i1, ... : In(PixelSignature(shapes[n], channels=channels[n], ways=ways))
        Operands; ``operands`` lists them.
    o : Out(PixelSignature(out_shape, channels=sum(channels), ways=ways))

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of its range, or an operand does not fit ``out_shape``.
    """

    latency = 3
    dsp_count = 0

    def __init__(self, shapes, *, channels, ways=1, out_shape, keep_zeros=False):
        self.shapes = [Shape.cast(shape) for shape in shapes]
        between("Operands", len(self.shapes), 2, 64)
        self.channels = [positive("Channels", number) for number in channels]
        if len(self.channels) != len(self.shapes):
            raise ValueError(f"Channels must be {len(self.shapes)} numbers, one per operand, "
                             f"not {len(self.channels)}")
        self.ways, self.keep_zeros = positive("Ways", ways), boolean("Keep zeros", keep_zeros)
        for number in self.channels[:-1]:
            if number % ways:
                raise ValueError(f"Channels of all operands but the last must be multiples of the "
                                 f"{ways} ways, not {number}")
        self.out_shape = Shape.cast(out_shape)
        for shape in self.shapes:
            width = shape.width + (self.out_shape.signed and not shape.signed)
            if shape.signed > self.out_shape.signed or width > self.out_shape.width:
                raise ValueError(f"Output shape must hold every {shape!r}, not be {self.out_shape!r}")
        members = {f"i{n}": In(PixelSignature(shape, channels=number, ways=ways))
                   for n, (shape, number) in enumerate(zip(self.shapes, self.channels))}
        super().__init__(members | {
            "o": Out(PixelSignature(out_shape, channels=sum(self.channels), ways=ways))})

    @property
    def operands(self):
        """The operands' interfaces, in order."""
        return [getattr(self, f"i{n}") for n in range(len(self.shapes))]

    @property
    def memories(self):
        return total(queue_memories(way.payload.shape(), QUEUE_DEPTH) for way in self.o.way)

    def elaborate(self, platform):
        m = Module()
        for w, o in enumerate(wiring.flipped(self.o).way):
            self._way(m, w, [operand.way[w] for operand in self.operands], o)
        return m

    def _way(self, m, w, sources, o):
        """Choose a beat, then number its channel anew: a register and a queue."""
        m.submodules[f"queue_{w}"] = queue = Queue(o.payload.shape(), depth=QUEUE_DEPTH)
        connect_streams(m, queue.o, o)
        final = len(sources) - 1
        firsts = [first // self.ways for first in accumulate([0] + self.channels[:-1])]
        en, offered = Signal(name=f"en_{w}"), Signal(name=f"offered_{w}")
        current = Signal(range(len(sources)), name=f"current_{w}")
        beat = Signal(o.payload.shape(), name=f"beat_{w}")      # channel: the operand's own
        for n, source in enumerate(sources):
            m.d.comb += source.ready.eq(en & (current == n))
        with m.Switch(current):
            for n, source in enumerate(sources):
                with m.Default() if n == final else m.Case(n):
                    m.d.comb += [
                        offered.eq(source.valid), beat.value.eq(source.payload.value),
                        beat.channel.eq(source.payload.channel), beat.last.eq(source.payload.last)]
        with m.If(en & offered & beat.last):
            m.d.sync += current.eq(current + 1)
            with m.If(current == final):
                m.d.sync += current.eq(0)

        offset = lookup(m, current, firsts, name=f"offset_{w}")
        valid = Signal(name=f"valid_{w}")
        taken = Signal(o.payload.shape(), name=f"taken_{w}", reset_less=True)
        first = Signal.like(offset, name=f"first_{w}", reset_less=True)
        with m.If(en):
            m.d.sync += [
                valid.eq(offered), taken.value.eq(beat.value), taken.channel.eq(beat.channel),
                taken.last.eq(beat.last & (current == final)), first.eq(offset)]
        m.d.comb += [
            en.eq(~valid | queue.i.ready),
            queue.i.valid.eq(valid & (self.keep_zeros | taken.last | (taken.value != 0))),
            queue.i.payload.value.eq(taken.value),
            queue.i.payload.channel.eq(taken.channel + first),
            queue.i.payload.last.eq(taken.last),
        ]
