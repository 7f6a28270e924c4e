"""Requantization: from sums to stored activations, where zeros are dropped."""
import numpy as np
from amaranth import Cat, Module, Mux, Shape, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .accumulator import totals_layout
from .check import between, positive
from .rom import Rom, pack
from .stream import PixelSignature, Queue, channels_of_way, connect_streams

__all__ = ["Requantize", "requantize_dsps"]

MULTIPLIER_BITS = 17


def requantize_dsps(width, *, ways, family):
    """DSP blocks that scale sums of ``width`` bits: one a way while the sum fits its wide port."""
    return ways * -(-width // (27 if family == "dsp48e2" else 25))


class Requantize(wiring.Component):
    """Scale, round half to even and clamp sums, and send the non-zero results as a pixel stream.

    The result is ``clip(round_half_even(sum * multiplier / 2**shift), low, high)`` with a multiplier
    and a shift for each channel, the integer arithmetic of quantized ONNX. ReLU is ``low = 0``.
    With ``channels`` given, they are chosen by ``i.payload.index`` instead, whatever the channel.
    One sum per cycle and way, ``latency`` cycles to the output. ``i.ready`` depends
    combinationally on the queues' state only.

    Parameters
    ----------
    width : int
        Bits of a sum.
    multiplier, shift : array of int (channels, or any number of entries)
        From 0 to 2**17 - 1, and from 0 to 63.
    low, high : int
        Bounds of the result; ``low <= 0 <= high``.
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

    Members
    -------
    i : In(stream.Signature(totals_layout(width, ways)))
        Sums, channels in rising order; ``last`` ends a pixel. If ``channels`` is given, a further
        field ``index`` chooses the multiplier and shift of all ways.
    o : Out(PixelSignature(shape, channels=channels, ways=ways))

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of its range, or the bounds do not fit into ``shape``.
    """

    latency = 8

    def __init__(self, *, width, multiplier, shift, low, high, shape, ways=1, keep_zeros=False, depth=16,
                 channels=None):
        self.width, self.ways = positive("Width", width), positive("Ways", ways)
        self.multiplier, self.shift = np.asarray(multiplier, np.int64), np.asarray(shift, np.int64)
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
        self.keep_zeros, self.depth = keep_zeros, positive("Depth", depth)
        layout = totals_layout(width, ways)
        if self.indexed:
            layout = data.StructLayout(
                layout.members | {"index": range(max(2, len(self.multiplier)))})
        super().__init__({
            "i": In(stream.Signature(layout)),
            "o": Out(PixelSignature(shape, channels=self.channels, ways=ways))})

    def elaborate(self, platform):
        m = Module()
        words = channels_of_way(self.channels, self.ways)
        least = int(self.shift.min())
        turn_bits = int(self.shift.max() - least).bit_length()
        scale = (self.shift - least << MULTIPLIER_BITS) + self.multiplier
        together = 1 if self.indexed else self.ways     # entries of a word: what all ways need
        table = np.append(scale, np.zeros(-len(scale) % together, np.int64))
        entry = MULTIPLIER_BITS + turn_bits
        m.submodules.scales = scales = Rom(
            entry * together, pack(table.reshape(-1, together), entry))

        en, number = Signal(), Signal(range(max(2, words)))
        taken = Signal()
        m.d.comb += [self.i.ready.eq(en), taken.eq(self.i.valid & en),
                     scales.address.eq(self.i.payload.index if self.indexed else number),
                     scales.en.eq(en)]
        with m.If(taken):
            m.d.sync += number.eq(Mux(self.i.payload.last, 0, number + 1))

        # valid, last and number travel beside the data.
        stages = 6
        valid = [Signal(name=f"valid_{n}") for n in range(stages)]
        last = [Signal(name=f"last_{n}", reset_less=True) for n in range(stages)]
        count = [Signal.like(number, name=f"number_{n}", reset_less=True) for n in range(stages)]
        with m.If(en):
            m.d.sync += [valid[0].eq(taken), last[0].eq(self.i.payload.last), count[0].eq(number)]
            for n in range(1, stages):
                m.d.sync += [valid[n].eq(valid[n - 1]), last[n].eq(last[n - 1]),
                             count[n].eq(count[n - 1])]

        ready = []
        for w in range(self.ways):
            result = self._scale(m, en, self.i.payload.sums[w],
                                 scales.data.word_select(w % together, entry), least, turn_bits, w)
            m.submodules[f"queue_{w}"] = queue = Queue(self.o.way[w].payload.shape(), depth=self.depth)
            mine = channels_of_way(self.channels, self.ways, w)
            closing, present = Signal(name=f"closing_{w}"), Signal(name=f"present_{w}")
            m.d.comb += [
                closing.eq(last[-1] if mine == words else count[-1] == mine - 1),
                present.eq(1 if mine == words else count[-1] < mine),
                queue.i.payload.value.eq(result), queue.i.payload.channel.eq(count[-1]),
                queue.i.payload.last.eq(closing),
                queue.i.valid.eq(valid[-1] & en & present
                                 & (1 if self.keep_zeros else (result != 0) | closing)),
            ]
            connect_streams(m, queue.o, wiring.flipped(self.o).way[w])
            ready.append(queue.i.ready)
        m.d.comb += en.eq(~valid[-1] | Cat(ready).all())
        return m

    def _scale(self, m, en, total, scale, least, turn_bits, w):
        """Six stages: operands, multiplier, product, shift, round, clamp."""
        def register(value, name, shape=None):
            signal = Signal(Shape.cast(shape if shape is not None else value.shape()),
                            name=f"{name}_{w}", reset_less=True)
            with m.If(en):
                m.d.sync += signal.eq(value)
            return signal

        operand = register(register(total, "total"), "operand")
        factor = register(scale[:MULTIPLIER_BITS], "factor")
        turn = [register(scale[MULTIPLIER_BITS:], "turn_0")]
        turn.append(register(turn[0], "turn_1"))
        product = register(operand * factor, "product", signed(self.width + MULTIPLIER_BITS))

        # Shifted by the channel's share of the shift; bits shifted out only matter as "any of them".
        most = (1 << turn_bits) - 1
        point = least + most                    # bits behind the binary point
        wide = Signal(signed(max(self.width + MULTIPLIER_BITS + most, point + 1)), name=f"wide_{w}")
        m.d.comb += wide.eq((product << most) >> turn[1])
        shifted = register(wide, "shifted")

        whole = register(shifted >> point, "whole", signed(max(2, len(shifted) - point)))
        up = Signal(name=f"up_{w}")
        if point:
            half = shifted[point - 1]
            sticky = shifted[:point - 1].any() if point > 1 else 0
            m.d.comb += up.eq(half & (sticky | (shifted >> point)[0]))
        up = register(up, "up", 1)
        rounded = Signal(signed(len(whole) + 1), name=f"rounded_{w}")
        result = Signal(self.shape, name=f"result_{w}", reset_less=True)
        m.d.comb += rounded.eq(whole + up)
        with m.If(en):
            m.d.sync += result.eq(Mux(rounded < self.low, self.low,
                                      Mux(rounded > self.high, self.high, rounded)))
        return result
