"""Requantization: from sums to stored activations, where zeros are dropped."""
import numpy as np
from amaranth import Cat, Module, Mux, Shape, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .accumulator import totals_layout
from .bounds import clamp
from .check import between, boolean, integers, positive, threshold_within
from .memory import rom, total
from .multiply import MAX_CYCLES, MULTIPLIER_BITS, multiply, multiply_latency
from .rom import Rom, pack
from .stream import (
    PixelSignature,
    Queue,
    beat_layout,
    channels_of_way,
    connect_streams,
    queue_memories,
)

__all__ = ["Requantize", "requantize_dsps", "requantize_memories", "turn_bits"]

QUEUE_DEPTH = 16


def requantize_dsps(width, *, ways, family, cycles=1):
    """DSP blocks that scale sums of ``width`` bits: one a way while the sum fits its wide port.

    None if a sum may take several ``cycles``.
    """
    if cycles > 1:
        return 0
    if family == "mult18x18d":          # 17 bits of the sum in each, and its sign in the last
        return ways * max(1, -(-(width - 1) // 17))
    return ways * -(-width // (27 if family == "dsp48e2" else 25))


def turn_bits(shift):
    """Bits of the part of ``shift`` that differs between channels."""
    return int(np.max(shift) - np.min(shift)).bit_length()


def requantize_memories(shift, shape, *, ways, channels=None, depth=QUEUE_DEPTH):
    """Memories of a :class:`Requantize` of these parameters: multipliers with shifts, and queues."""
    together = ways if channels is None else 1
    channels = len(shift) if channels is None else channels
    return rom((MULTIPLIER_BITS + turn_bits(shift)) * together, -(-len(shift) // together)) + total(
        [queue_memories(beat_layout(shape, channels_of_way(channels, ways)), depth)] * ways)


class Requantize(wiring.Component):
    """Scale, round half to even and clamp sums, and send the non-zero results as a pixel stream.

    The result is ``clip(round_half_even(sum * multiplier / 2**shift), low, high)`` with a multiplier
    and a shift for each channel, the integer arithmetic of quantized ONNX. ReLU is ``low = 0``; with
    a ``threshold``, results below it are 0 too, and are not sent.
    With ``channels`` given, they are chosen by ``i.payload.index`` instead, whatever the channel.
    One sum per way in ``cycles`` cycles, ``latency`` cycles to the output. ``i.ready`` depends
    combinationally on the queues' state only.

    Parameters
    ----------
    width : int
        Bits of a sum.
    multiplier, shift : array of int (channels, or any number of entries)
        From 0 to 2**17 - 1, and from 0 to 63.
    low, high : int
        Bounds of the result; ``low <= 0 <= high``.
    threshold : int
        From 0 to ``high``, 0 (or 1) for none; only with ``low = 0``.
    shape : shape-like
        Stored result.
    ways : int
        Sums per transfer, and ways of the output.
    keep_zeros : bool
        Send zeros too: for the dense engine.
    depth : int
        Beats that each way's output queue holds.
    channels : int or None
        Channels, where ``multiplier`` and ``shift`` do not have an entry for each.
    cycles : int
        1: products in DSP blocks; 2 to 8: in LUTs, the fewer the more cycles, see
        :class:`~hdl.multiply.SerialMultiply`.

    Members
    -------
    i : In(stream.Signature(totals_layout(width, ways)))
        Sums, channels in rising order; ``last`` ends a pixel. If ``channels`` is given, a further
        field ``index`` chooses the multiplier and shift of all ways.
    o : Out(PixelSignature(shape, channels=channels, ways=ways))

    Attributes
    ----------
    latency : int
        From a sum to its beat, in cycles.

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of its range, or the bounds do not fit into ``shape``.
    """

    def __init__(self, *, width, multiplier, shift, low, high, shape, ways=1, keep_zeros=False, depth=QUEUE_DEPTH,
                 channels=None, cycles=1, threshold=0):
        self.width, self.ways = positive("Width", width), positive("Ways", ways)
        self.multiplier, self.shift = integers("Multipliers", multiplier), integers("Shifts", shift)
        if self.multiplier.shape != self.shift.shape or self.multiplier.ndim != 1 \
                or not self.multiplier.size:
            raise ValueError(f"Multipliers and shifts must be equally many, not of shapes "
                             f"{self.multiplier.shape} and {self.shift.shape}")
        between("Multiplier", int(self.multiplier.min()), 0, (1 << MULTIPLIER_BITS) - 1)
        between("Multiplier", int(self.multiplier.max()), 0, (1 << MULTIPLIER_BITS) - 1)
        between("Shift", int(self.shift.min()), 0, 63)
        between("Shift", int(self.shift.max()), 0, 63)
        self.indexed = channels is not None
        self.channels = positive("Channels", channels) if self.indexed else len(self.multiplier)
        self.shape = Shape.cast(shape)
        least = -(1 << (self.shape.width - 1)) if self.shape.signed else 0
        self.low = between("Lower bound", low, least, 0)
        self.high = between("Upper bound", high, 0, least + (1 << self.shape.width) - 1)
        self.threshold = threshold_within(threshold, low, high)
        self.keep_zeros, self.depth = boolean("Keep zeros", keep_zeros), positive("Depth", depth)
        self.cycles = between("Cycles", cycles, 1, MAX_CYCLES)
        layout = totals_layout(width, ways)
        if self.indexed:
            layout = data.StructLayout(
                layout.members | {"index": range(max(2, len(self.multiplier)))})
        super().__init__({
            "i": In(stream.Signature(layout)),
            "o": Out(PixelSignature(shape, channels=self.channels, ways=ways))})

        self.turn_bits = turn_bits(self.shift)
        self.together = 1 if self.indexed else ways     # entries of a word: what all ways need
        self.beside = data.StructLayout({
            "last": 1, "number": range(max(2, channels_of_way(self.channels, ways))),
            "turns": data.ArrayLayout(self.turn_bits, self.together)})

    @property
    def memories(self):
        return requantize_memories(self.shift, self.shape, ways=self.ways, depth=self.depth,
                                   channels=self.channels if self.indexed else None)

    @property
    def latency(self):
        return 6 + multiply_latency(self.cycles)

    def elaborate(self, platform):
        m = Module()
        words = channels_of_way(self.channels, self.ways)
        scale = (self.shift - self.shift.min() << MULTIPLIER_BITS) + self.multiplier
        table = np.append(scale, np.zeros(-len(scale) % self.together, np.int64))
        entry = MULTIPLIER_BITS + self.turn_bits
        m.submodules.scales = scales = Rom(
            entry * self.together, pack(table.reshape(-1, self.together), entry))

        en, taken = Signal(), Signal()
        number = Signal(range(max(2, words)))
        pause, free = Signal(range(self.cycles)), Signal(init=1)    # cycles until free for a transfer
        m.d.comb += [self.i.ready.eq(en & free), taken.eq(self.i.valid & self.i.ready),
                     scales.address.eq(self.i.payload.index if self.indexed else number),
                     scales.en.eq(en)]
        with m.If(en):
            m.d.sync += [pause.eq(Mux(taken, self.cycles - 1, pause - 1)),
                         free.eq(Mux(taken, self.cycles == 1, free | (pause == 1)))]
        with m.If(taken):
            m.d.sync += number.eq(Mux(self.i.payload.last, 0, number + 1))

        # While the multipliers are read.
        start, sums = Signal(), Signal.like(self.i.payload.sums, reset_less=True)
        last, count = Signal(reset_less=True), Signal.like(number, name="count", reset_less=True)
        with m.If(en):
            m.d.sync += [start.eq(taken), sums.eq(self.i.payload.sums),
                         last.eq(self.i.payload.last), count.eq(number)]
        m.submodules.multiply = unit = multiply(
            cycles=self.cycles, width=self.width, ways=self.ways, tag=self.beside)
        m.d.comb += [unit.en.eq(en), unit.start.eq(start), unit.sums.eq(sums),
                     unit.tag.last.eq(last), unit.tag.number.eq(count)]
        read = [scales.data.word_select(n, entry) for n in range(self.together)]
        m.d.comb += [turn.eq(scale[MULTIPLIER_BITS:])
                     for turn, scale in zip(unit.tag.turns, read, strict=True)]
        m.d.comb += [unit.factors[w].eq(read[w % self.together]) for w in range(self.ways)]

        # valid, last and number travel beside the data.
        stages = 3
        valid = [unit.done, *(Signal(name=f"valid_{n}") for n in range(stages))]
        tags = [unit.tag_out, *(Signal(self.beside, name=f"beside_{n}", reset_less=True)
                                for n in range(stages))]
        with m.If(en):
            for n in range(stages):
                m.d.sync += [valid[n + 1].eq(valid[n]), tags[n + 1].eq(tags[n])]
        count = tags[-1].number

        ready = Signal()                        # all queues
        m.d.comb += en.eq(~valid[-1] | ready)
        queues = []
        for w in range(self.ways):
            turn = unit.tag_out.turns[w % self.together]
            result, nonzero = self._scale(m, en, unit.products[w], turn, w)
            m.submodules[f"queue_{w}"] = queue = Queue(self.o.way[w].payload.shape(), depth=self.depth)
            mine = channels_of_way(self.channels, self.ways, w)
            # What a queue's state waits for is known when the result is.
            send, last = Signal(name=f"send_{w}"), Signal(name=f"last_{w}", reset_less=True)
            closing = tags[-2].last if mine == words else tags[-2].number == mine - 1
            present = 1 if mine == words else tags[-2].number < mine
            with m.If(en):
                m.d.sync += [last.eq(closing),
                             send.eq(valid[-2] & present & (1 if self.keep_zeros else nonzero | closing))]
            m.d.comb += [
                queue.i.payload.value.eq(result), queue.i.payload.channel.eq(count),
                queue.i.payload.last.eq(last), queue.i.valid.eq(send & ready),
            ]
            connect_streams(m, queue.o, wiring.flipped(self.o).way[w])
            queues.append(queue)
        m.d.comb += ready.eq(Cat(queue.i.ready for queue in queues).all())
        return m

    def _scale(self, m, en, product, turn, w):
        """Three stages: shift, round, clamp; also whether the result will not be 0."""
        def register(value, name, shape=None):
            signal = Signal(Shape.cast(shape if shape is not None else value.shape()),
                            name=f"{name}_{w}", reset_less=True)
            with m.If(en):
                m.d.sync += signal.eq(value)
            return signal

        # Bits that no shift moves up to the half bit, or that are shifted out, only matter as "any
        # of them". The channel's share of the shift follows.
        least = int(self.shift.min())
        below = max(least - 1, 0)
        most = (1 << self.turn_bits) - 1
        point = least - below + most            # bits behind the binary point
        rest = register(Cat(product[n:min(n + 12, below)].any() for n in range(0, below, 12)), "rest")
        product = product.shift_right(below)
        wide = Signal(signed(max(len(product) + most, point + 1)), name=f"wide_{w}")
        m.d.comb += wide.eq((product << most) >> turn)
        shifted = register(wide, "shifted")

        whole = register(shifted >> point, "whole", signed(max(2, len(shifted) - point)))
        up = Signal(name=f"up_{w}")
        if point:
            half = shifted[point - 1]
            m.d.comb += up.eq(half & (rest.any() | shifted[:point - 1].any() | (shifted >> point)[0]))
        up = register(up, "up", 1)
        result, nonzero = clamp(whole, self.low, self.high, self.threshold, up=up)
        return register(result, "result", self.shape), nonzero
