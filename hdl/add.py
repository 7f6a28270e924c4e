"""Residual addition: two sparse pixel streams are merged, and their sums rounded once."""
from amaranth import Cat, Module, Mux, Shape, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .bounds import clamp, limits, signed_bits
from .check import between, boolean, threshold_within
from .memory import total
from .pitch import lookup
from .requantize import MULTIPLIER_BITS
from .stream import PixelSignature, Queue, connect_streams, queue_memories

__all__ = ["Add"]

CHUNK = 5           # bits that index one table: two of them and an adder are the least LUTs
QUEUE_DEPTH = 4     # beats of a way's output queue; it cuts combinational paths and needs no more


class Add(wiring.Component):
    """Scale and add two maps, round once, and send the non-zero results.

    With q = stored + zero point, the result is ``clip(round_half_even((a * multipliers[0] + b *
    multipliers[1]) / 2**shift + zero_point) - zero_point, low, high)``: a tie goes to the even q.

    Every way works on its own. It merges two lists of non-zeros in rising order of channels: one
    channel per cycle, whether one list has it or both; the closing beats always meet. So a pixel
    takes as many cycles as the union of its lists, the last channel of the way included, and its
    first result follows ``latency`` cycles after its operands. Pixels follow without a gap.

    ``a.ready`` of a way depends combinationally on ``b.valid`` and on both channels of that way,
    ``b.ready`` likewise; neither on ``o.ready``. ``o`` depends on registers only.

    Parameters
    ----------
    shape_a, shape_b : shape-like
        Stored operands, 1 to 17 bits.
    channels : int
        Channels of the maps.
    ways : int
        Ways of the inputs and of the output; at most ``channels``.
    multipliers : (int, int)
        Of ``a`` and ``b``; from 0 to 2**17 - 1.
    shift : int
        From 0 to 63.
    zero_point : int
        Zero point of the output; only its parity matters.
    low, high : int
        Bounds of the stored result; ``low <= 0 <= high``.
    threshold : int
        Results below it become 0, see :class:`~hdl.requantize.Requantize`.
    out_shape : shape-like
        Stored result.
    keep_zeros : bool
        The dense engine: every channel is present in both inputs, and sent.
    dsps : int or None
        How many of the two products a DSP block makes, the wider operand's first; tables make the
        others. By default one, or two if both operands have more than 10 bits.

    Members
    -------
    a : In(PixelSignature(shape_a, channels=channels, ways=ways))
    b : In(PixelSignature(shape_b, channels=channels, ways=ways))
    o : Out(PixelSignature(out_shape, channels=channels, ways=ways))

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of its range, or the bounds do not fit into ``out_shape``.
    """

    latency = 7

    def __init__(self, shape_a, shape_b, *, channels, ways=1, multipliers, shift, zero_point, low,
                 high, out_shape, keep_zeros=False, dsps=None, threshold=0):
        self.shapes = Shape.cast(shape_a), Shape.cast(shape_b)
        for shape in self.shapes:
            between("Operand width", shape.width, 1, 17)
        if not isinstance(multipliers, (tuple, list)) or len(multipliers) != 2:
            raise ValueError(f"Multipliers must be two, not {multipliers!r}")
        for multiplier in multipliers:
            between("Multiplier", multiplier, 0, (1 << MULTIPLIER_BITS) - 1)
        between("Shift", shift, 0, 63)
        between("Zero point", zero_point, -1 << 16, (1 << 16) - 1)
        self.ties_to_odd = bool(zero_point & 1)     # of the stored values
        self.out_shape = Shape.cast(out_shape)
        least, most = limits(self.out_shape)
        self.low = between("Lower bound", low, least, 0)
        self.high = between("Upper bound", high, 0, most)
        self.threshold = threshold_within(threshold, low, high)
        self.keep_zeros, self.ways = boolean("Keep zeros", keep_zeros), ways

        # Common factors of two, and what shifts any sum to 0, only cost bits.
        common = multipliers[0] | multipliers[1] | 1 << shift
        self.multipliers = tuple(n // (common & -common) for n in multipliers)
        self.shift = shift - (common & -common).bit_length() + 1
        self.shift = min(self.shift, signed_bits(*self._bounds(0)) + 1)

        # A power of two needs wires only.
        costly = [n for n in (0, 1) if self.multipliers[n] & (self.multipliers[n] - 1)]
        costly.sort(key=lambda n: self.shapes[n].width, reverse=True)
        if dsps is None:
            dsps = 1 + (min(shape.width for shape in self.shapes) > 2 * CHUNK)
        self.in_dsp = costly[:between("DSP blocks", dsps, 0, 2)]
        self.in_tables = costly[dsps:]
        super().__init__({
            "a": In(PixelSignature(shape_a, channels=channels, ways=ways)),
            "b": In(PixelSignature(shape_b, channels=channels, ways=ways)),
            "o": Out(PixelSignature(out_shape, channels=channels, ways=ways))})

    @property
    def dsp_count(self):
        """DSP blocks of all ways."""
        return self.ways * len(self.in_dsp)

    def _bounds(self, offset):
        """Smallest and largest sum of the products and ``offset``."""
        ends = zip(*(limits(shape) for shape in self.shapes))
        return [sum(n * end for n, end in zip(self.multipliers, pair)) + offset for pair in ends]

    @property
    def memories(self):
        return total(queue_memories(way.payload.shape(), QUEUE_DEPTH) for way in self.o.way)

    def elaborate(self, platform):
        m = Module()
        for w, streams in enumerate(zip(self.a.way, self.b.way, self.o.way)):
            self._way(m, w, *streams)
        return m

    def _way(self, m, w, a, b, o):
        """Merge the lists of one way: five enabled registers and a queue."""
        m.submodules[f"queue_{w}"] = queue = Queue(o.payload.shape(), depth=QUEUE_DEPTH)
        connect_streams(m, queue.o, wiring.flipped(o))
        valid = Signal(5, name=f"valid_{w}")
        en, has_a, has_b = (Signal(name=f"{name}_{w}") for name in ("en", "has_a", "has_b"))
        before = (a.payload.channel - b.payload.channel)[-1]    # a's: by a carry chain, the shortest way
        m.d.comb += [
            en.eq(~valid[-1] | queue.i.ready),
            has_a.eq(1 if self.keep_zeros else before | (a.payload.channel == b.payload.channel)),
            has_b.eq(1 if self.keep_zeros else ~before),
            a.ready.eq(en & b.valid & has_a), b.ready.eq(en & a.valid & has_b),
        ]
        with m.If(en):
            m.d.sync += valid.eq(Cat(a.valid & b.valid, valid))

        def register(value, name, shape=None):
            signal = Signal(value.shape() if shape is None else shape, name=f"{name}_{w}",
                            reset_less=True)
            with m.If(en):
                m.d.sync += signal.eq(value)
            return signal

        # Only the closing beats have the last channel, so one list's channel tells of both.
        last, channel = a.payload.last & b.payload.last, Mux(
            has_a, a.payload.channel, b.payload.channel)
        closing = []
        for n in range(5):
            closing.append(last)
            last, channel = register(last, f"last_{n}"), register(channel, f"channel_{n}")
        operands = [register(Mux(has, stream.payload.value, 0), f"operand_{name}", shape)
                    for name, stream, has, shape in zip("ab", (a, b), (has_a, has_b), self.shapes)]
        result, nonzero = self._scaled(m, operands, register, w)
        send = Signal(name=f"send_{w}")
        with m.If(en):
            m.d.sync += send.eq(valid[-2] & (1 if self.keep_zeros else nonzero | closing[-1]))
        m.d.comb += [
            queue.i.valid.eq(send),
            queue.i.payload.value.eq(result), queue.i.payload.channel.eq(channel),
            queue.i.payload.last.eq(last),
        ]

    def _scaled(self, m, operands, register, w):
        """Four registers: products, sum, rounded, clamped; also whether the last will not be 0."""
        # Half a unit, and rounding down, is right but for ties. They are the sums whose fraction is
        # then 0, one too large if odd; or, with a little less than half, all ones, and one too
        # small if even. Either way the last bit is all that changes.
        half = 1 << self.shift >> 1
        offset = half - 1 if self.ties_to_odd and half else half
        products = []
        for n, (operand, multiplier) in enumerate(zip(operands, self.multipliers)):
            if n in self.in_dsp:
                product = operand * multiplier
            else:
                product = (_tables(m, operand, multiplier, offset, f"table_{'ab'[n]}_{w}")
                           if n in self.in_tables else operand * multiplier + offset)
                offset = 0
            products.append(register(product, f"product_{'ab'[n]}"))
        total = register(products[0] + products[1] + offset, "total",
                         signed(signed_bits(*self._bounds(half))))

        whole = total.shift_right(self.shift)
        if self.shift:
            fraction = total[:self.shift]
            bit = (whole[0] | fraction.all()) if self.ties_to_odd else (whole[0] & fraction.any())
            whole = Cat(bit, whole[1:]).as_signed()
        whole = register(whole, "whole")
        result, nonzero = clamp(whole, self.low, self.high, self.threshold)
        return register(result, "result", self.out_shape), nonzero


def _tables(m, operand, multiplier, offset, name):
    """``operand * multiplier + offset`` as the sum of what a few bits each are worth."""
    parts = []
    for start in range(0, len(operand), CHUNK):
        bits = operand[start:start + CHUNK]
        sign = 1 << len(bits) - 1 if operand.shape().signed and start + CHUNK >= len(operand) else 0
        table = [((n ^ sign) - sign) * multiplier + (0 if start else offset)
                 for n in range(1 << len(bits))]
        parts.append(lookup(m, bits, table, name=f"{name}_{start}") << start)
    return sum(parts)
