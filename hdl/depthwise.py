# amaranth: UnusedElaboratable=no
# A stage holds its parts from the start, also when it is only asked for its size.
"""A depthwise convolution stage: each channel has a filter of its own."""
import numpy as np
from amaranth import Module, Shape, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .accumulator import Accumulator, accumulator_memories
from .bounds import signed_bits, sum_bounds
from .check import between, integers, positive
from .mac import FAMILIES
from .memory import rom, times, total
from .reduce import Reduce, banks_memories
from .requantize import Requantize, requantize_dsps, requantize_memories
from .stream import PixelSignature, channels_of_way, connect_pixels, connect_streams
from .walk import Walk
from .weigh import Weigh
from .window import Window, window_memories

__all__ = ["Depthwise", "depthwise_dsps", "depthwise_memories", "depthwise_widths", "windows_apart"]


def depthwise_dsps(*, width, ways, row_lanes, family, requantize_cycles=1, serial=False):
    """DSP blocks of a stage whose totals have ``width`` bits."""
    return ways * row_lanes * (not serial) + requantize_dsps(
        width, ways=ways, family=family, cycles=requantize_cycles)


def depthwise_widths(weights, bias, low, high, row_lanes):
    """Bits of a row lane's sums and of the totals: exact bounds for these parameters of a stage."""
    bounds = [sum_bounds(weights[:, r::row_lanes], 0, low, high) for r in range(row_lanes)]
    sum_width = max(signed_bits(least.min(), most.max()) for least, most in bounds)
    least, most = sum_bounds(weights, bias, low, high)
    return sum_width, max(signed_bits(least.min(), most.max()), sum_width)


def depthwise_memories(shape, *, walk, channels, weight_width, sum_width, width, shift, out_shape, ways=1,
                       row_lanes=1, windows=4, slots=None):
    """Memories of a :class:`Depthwise` of these parameters and widths: those of its window, and of each way."""
    parts = [window_memories(shape, walk=walk, channels=channels, ways=ways, lanes=ways,
                             row_lanes=row_lanes, windows=windows, slots=slots)]
    for way in range(ways):
        share = channels_of_way(channels, ways, way)
        parts += [rom(weight_width, share * walk.axes(row, row_lanes)[0].taps * walk.kernel[1])
                  for row in range(row_lanes)]
        parts += [times(row_lanes, banks_memories(sum_width, share)),
                  accumulator_memories(lanes=row_lanes, sum_width=sum_width, width=width, filters=share, ways=1,
                                       windows=windows_apart(windows, row_lanes)),
                  requantize_memories(shift[way::ways], out_shape, ways=1)]
    return total(parts)


def windows_apart(windows, row_lanes):
    """Output pixels by which row lanes run apart: there may be one lane only."""
    return windows if row_lanes > 1 else 1


class Depthwise(wiring.Component):
    """Convolve each channel of a sparse feature map, spending multiplier cycles on non-zeros only.

    ``ways * row_lanes`` multipliers. Every way works on its own. An output pixel takes, on each
    way, the largest of: the non-zeros of its busiest row lane, the taps of that lane inside the
    map, and the channels of the way times ``requantize_cycles``; row lanes may run ``windows``
    output pixels apart. A product counts ``product_cycles`` times, also the one zero of a window without any. All widths are exact bounds for the given weights and input range.

    With an idle stage, the first result follows the beat that completes its window, with n products
    on the busiest row lane, after 9 + n * product_cycles + ``Weigh.latency`` + 3 + ``accumulators[0].latency`` +
    ``Requantize.latency`` cycles.
    A stage that comes out of reset first clears its banks, a cycle for each channel of a way.
    ``i.ready`` and ``o`` depend on registers only.

    Parameters
    ----------
    shape : shape-like
        Stored input activation, 2 to 17 bits.
    low, high : int
        Range of the input's stored values; ``low <= 0 <= high``.
    walk : Walk
        Map, kernel, stride, dilation and padding.
    weights : array of int (channels, kernel height, kernel width)
        From -2**(weight_width-1) to 2**(weight_width-1) - 1.
    bias : array of int (channels)
        Added to the sums.
    weight_width : int
        2 to 16 bits.
    multiplier, shift, out_low, out_high, threshold, out_shape
        Requantization, see :class:`~hdl.requantize.Requantize`.
    ways : int
        Ways of input and output; at most the channels.
    row_lanes : int
        Row lanes of each way, see :class:`~hdl.window.Window`.
    windows, slots : int
        See :class:`~hdl.window.Window`.
    keep_zeros : bool
        The dense engine: zeros are stored, multiplied and sent.
    family : str
        Which DSP blocks ``dsp_count`` counts, see :class:`~hdl.mac.MacArray`; all multipliers are
        behavioural.
    requantize_cycles : int
        Cycles that a requantizer spends on a sum, see :class:`~hdl.requantize.Requantize`.
    serial : bool
        Multiply without DSP blocks, one digit of the weights per cycle, see :class:`~hdl.weigh.Weigh`.

    Members
    -------
    i : In(PixelSignature(shape, channels=channels, ways=ways))
    o : Out(PixelSignature(out_shape, channels=channels, ways=ways))

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of its range.
    """

    def __init__(self, shape, *, low, high, walk, weights, bias, weight_width, multiplier, shift,
                 out_low, out_high, out_shape, ways=1, row_lanes=1, windows=4, slots=None,
                 keep_zeros=False, family="behavioural", requantize_cycles=1, threshold=0, serial=False):
        weights, bias = integers("Weights", weights), integers("Biases", bias)
        if not isinstance(walk, Walk):
            raise TypeError(f"Walk must be a Walk, not {walk!r}")
        if weights.ndim != 3 or weights.shape[1:] != walk.kernel or not len(weights):
            raise ValueError(f"Weights must be of shape (channels, {walk.kernel[0]}, "
                             f"{walk.kernel[1]}), not {weights.shape}")
        for name, value in (("Biases", bias), ("Multipliers", multiplier), ("Shifts", shift)):
            if np.shape(value) != (len(weights),):
                raise ValueError(f"{name} must be {len(weights)}, one per channel, "
                                 f"not of shape {np.shape(value)}")
        if family not in FAMILIES:
            raise ValueError(f"Family must be one of {', '.join(FAMILIES)}, not {family!r}")
        self.shape, self.out_shape, self.family = Shape.cast(shape), Shape.cast(out_shape), family
        least = -(1 << (self.shape.width - 1)) if self.shape.signed else 0
        between("Lowest activation", low, least, 0)
        between("Highest activation", high, 0, least + (1 << self.shape.width) - 1)
        channels = len(weights)
        signature = PixelSignature(shape, channels=channels, ways=ways)
        self.ways, self.row_lanes = ways, positive("Row lanes", row_lanes)
        self.window = Window(
            shape, walk=walk, channels=channels, ways=ways, lanes=ways, row_lanes=row_lanes,
            windows=windows, slots=slots, keep_zeros=keep_zeros, with_channel=True)

        per_lane = [weights[:, r::row_lanes] for r in range(row_lanes)]
        self.sum_width, self.width = depthwise_widths(weights, bias, low, high, row_lanes)
        self.weight_width, self.shift, self.serial = weight_width, np.asarray(shift), serial

        share = self.window.channels_of_lane(0)
        self.weighs = [[Weigh(shape, weights=w[way::ways], weight_width=weight_width,
                              depth=self.window.depth, channels=share, serial=serial)
                        for w in per_lane] for way in range(ways)]
        self.reduces = [[Reduce(unit.out_shape, walk=walk, channels=len(unit.weights), op="sum",
                                depth=share, out_shape=signed(self.sum_width))
                         for unit in units] for units in self.weighs]
        self.accumulators, self.requantizes = [], []
        for way in range(ways):
            self.accumulators.append(Accumulator(
                lanes=row_lanes, sum_width=self.sum_width, bias=bias[way::ways], width=self.width,
                windows=windows_apart(windows, row_lanes)))
            self.requantizes.append(Requantize(
                width=self.width, multiplier=np.asarray(multiplier)[way::ways],
                shift=self.shift[way::ways], low=out_low, high=out_high, threshold=threshold,
                shape=out_shape, keep_zeros=keep_zeros, cycles=requantize_cycles))
        super().__init__({
            "i": In(signature), "o": Out(PixelSignature(out_shape, channels=channels, ways=ways))})

    @property
    def multipliers(self):
        """Multipliers that meet weights."""
        return self.ways * self.row_lanes

    @property
    def product_cycles(self):
        """Cycles that a multiplier spends on a product."""
        return self.weighs[0][0].product_cycles

    @property
    def dsp_count(self):
        """DSP blocks of the stage, those of the requantization included."""
        return depthwise_dsps(width=self.width, ways=self.ways, row_lanes=self.row_lanes,
                              family=self.family, requantize_cycles=self.requantizes[0].cycles, serial=self.serial)

    @property
    def memories(self):
        return depthwise_memories(
            self.shape, walk=self.window.walk, channels=self.i.signature.channels, weight_width=self.weight_width,
            sum_width=self.sum_width, width=self.width, shift=self.shift, out_shape=self.out_shape, ways=self.ways,
            row_lanes=self.row_lanes, windows=self.window.windows, slots=self.window.slots)

    def elaborate(self, platform):
        m = Module()
        m.submodules.window = self.window
        connect_pixels(m, wiring.flipped(self.i), self.window.i)
        for w, (accumulator, requantize) in enumerate(zip(self.accumulators, self.requantizes)):
            m.submodules[f"accumulator_{w}"] = accumulator
            m.submodules[f"requantize_{w}"] = requantize
            for r, (weigh, reduce) in enumerate(zip(self.weighs[w], self.reduces[w])):
                m.submodules[f"weigh_{w}_{r}"] = weigh
                m.submodules[f"reduce_{w}_{r}"] = reduce
                connect_streams(m, self.window.o[r * self.ways + w], weigh.i)
                connect_streams(m, weigh.o, reduce.i)
                sums = accumulator.i[r]
                m.d.comb += [sums.valid.eq(reduce.o.valid), reduce.o.ready.eq(sums.ready),
                             sums.payload[0].eq(reduce.o.payload.value)]
            connect_streams(m, accumulator.o, requantize.i)
            source, way = requantize.o.way[0], self.o.way[w]    # it knows its channels only
            m.d.comb += [way.valid.eq(source.valid), source.ready.eq(way.ready)]
            m.d.comb += [way.payload[name].eq(source.payload[name])
                         for name in ("value", "channel", "last")]
        return m
