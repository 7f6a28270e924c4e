# amaranth: UnusedElaboratable=no
# A stage holds its parts from the start, also when it is only asked for its size.
"""A convolution stage: window, dot products, accumulator and requantization."""
import numpy as np
from amaranth import Module, Shape
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .accumulator import Accumulator
from .bounds import signed_bits, sum_bounds
from .check import between, integers, positive
from .clusters import CLUSTER, Clusters, cluster_count, clusters_dsps
from .dot import SparseDot
from .memory import total
from .requantize import Requantize, requantize_dsps
from .stream import PixelSignature, connect_pixels, connect_streams
from .walk import Walk
from .window import Window

__all__ = ["Conv", "conv_dsps"]


def conv_dsps(shape, *, weight_width, width, lanes, pes, out_ways, family, requantize_cycles=1, serial=False):
    """DSP blocks of a stage with ``lanes`` lanes in all, whose totals have ``width`` bits."""
    return (lanes * clusters_dsps(shape, weight_width=weight_width, sum_width=width, pes=pes, ways=out_ways,
                                  family=family, serial=serial)
            + requantize_dsps(width, ways=out_ways, family=family, cycles=requantize_cycles))


class Conv(wiring.Component):
    """Convolve a sparse feature map, spending multiplier cycles on its non-zeros only.

    ``lanes * row_lanes * pes`` multipliers. An output pixel takes, for each of its
    ``ceil(filters / pes)`` passes, the largest of: the non-zeros of its busiest lane, the taps inside
    the map of that lane, and ``pes / out_ways * requantize_cycles``; a product counts ``product_cycles`` times, also the
    one zero of a pass without any. Lanes may run ``windows``
    output pixels apart. All widths are exact bounds for the given weights and input range. A fully
    connected layer is a kernel as large as the map.

    With ``groups``, the filters of group g, as many for each, see the channels of group g only; a
    pass then counts the non-zeros of its group. A depthwise convolution whose channels have several
    filters each has a group for every channel.

    Parameters
    ----------
    shape : shape-like
        Stored input activation.
    low, high : int
        Range of the input's stored values; ``low <= 0 <= high``.
    walk : Walk
        Map, kernel, stride, dilation and padding.
    weights : array of int (filters, kernel height, kernel width, channels of a group)
        From -2**(weight_width-1) to 2**(weight_width-1) - 1.
    bias : array of int (filters)
        Added to the sums.
    weight_width : int
        2 to 16 bits.
    multiplier, shift, out_low, out_high, threshold, out_shape
        Requantization, see :class:`~hdl.requantize.Requantize`.
    pes, lanes, row_lanes : int
        Processing elements per lane, channel lanes and row lanes. With several groups, ``pes``
        divides the filters of a group, and ``lanes`` its channels. More than 64 PEs form
        :class:`~hdl.clusters.Clusters`, which they have to fill.
    ways, out_ways : int
        Ways of the input, which divide ``lanes``, and of the output, which divide ``pes``.
    windows, slots : int
        See :class:`~hdl.window.Window`.
    keep_zeros : bool
        The dense engine: zeros are stored, multiplied and sent.
    groups : int
        Groups of channels and filters.
    family : str
        See :class:`~hdl.mac.MacArray`.
    requantize_cycles : int
        Cycles that a requantizer spends on a sum, see :class:`~hdl.requantize.Requantize`.
    weights_in_blocks, serial : bool
        See :class:`~hdl.dot.SparseDot`.

    Members
    -------
    i : In(PixelSignature(shape, channels=channels, ways=ways))
    o : Out(PixelSignature(out_shape, channels=filters, ways=out_ways))

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of its range.
    """

    def __init__(self, shape, *, low, high, walk, weights, bias, weight_width, multiplier, shift,
                 out_low, out_high, out_shape, pes, lanes=1, row_lanes=1, ways=1, out_ways=1,
                 windows=4, slots=None, keep_zeros=False, groups=1, family="behavioural",
                 requantize_cycles=1, threshold=0, weights_in_blocks=False, serial=False):
        weights, bias = integers("Weights", weights), integers("Biases", bias)
        if not isinstance(walk, Walk):
            raise TypeError(f"Walk must be a Walk, not {walk!r}")
        if weights.ndim != 4 or weights.shape[1:3] != walk.kernel:
            raise ValueError(f"Weights must be of shape (filters, {walk.kernel[0]}, {walk.kernel[1]}, "
                             f"channels), not {weights.shape}")
        if bias.shape != weights.shape[:1]:
            raise ValueError(f"Biases must be {len(weights)}, one per filter, not {bias.shape}")
        if np.shape(multiplier) != bias.shape:
            raise ValueError(
                f"Multipliers must be {len(weights)}, one per filter, not {np.shape(multiplier)}")
        if positive("PEs", pes) > len(weights):
            raise ValueError(f"PEs must be at most the {len(weights)} filters, not {pes}")
        filters, _, _, channels = weights.shape             # of a group
        if filters % positive("Groups", groups):
            raise ValueError(f"Filters must be a multiple of the {groups} groups, not {filters}")
        if groups > 1 and filters // groups % pes:
            raise ValueError(
                f"PEs must be a divisor of the {filters // groups} filters of a group, not {pes}")
        channels *= groups
        self.family, self.weight_width, self.serial = family, weight_width, serial
        self.shape, self.out_shape = Shape.cast(shape), Shape.cast(out_shape)
        least = -(1 << (self.shape.width - 1)) if self.shape.signed else 0
        between("Lowest activation", low, least, 0)
        between("Highest activation", high, 0, least + (1 << self.shape.width) - 1)
        self.window = Window(
            shape, walk=walk, channels=channels, ways=ways, lanes=lanes, row_lanes=row_lanes,
            passes=-(-filters // groups // pes), groups=groups, windows=windows, slots=slots,
            keep_zeros=keep_zeros)

        # Exact bounds: a lane's sums, and totals with the bias, which may not be reached meanwhile.
        per_lane = []
        for n in range(lanes * row_lanes):
            row, lane = divmod(n, lanes)
            per_lane.append(weights[:, row::row_lanes, :, lane::lanes].reshape(filters, -1))
        bounds = [sum_bounds(w, 0, low, high) for w in per_lane]
        sum_width = max(signed_bits(least.min(), most.max()) for least, most in bounds)
        least, most = sum_bounds(weights, bias, low, high)
        width = max(signed_bits(least.min(), most.max()),
                    signed_bits(bias.min(), bias.max()), sum_width)

        dot = Clusters if cluster_count(pes, between("Output ways", out_ways, 1, CLUSTER)) > 1 else SparseDot
        self.dots = [dot(shape, weights=w, weight_width=weight_width, pes=pes, sum_width=sum_width, ways=out_ways,
                         depth=self.window.depth, family=family, weights_in_blocks=weights_in_blocks, serial=serial)
                     for w in per_lane]
        self.accumulator = Accumulator(
            lanes=len(self.dots), sum_width=sum_width, bias=bias, width=width, ways=out_ways,
            windows=windows)
        self.requantize = Requantize(
            width=width, multiplier=multiplier, shift=shift, low=out_low, high=out_high,
            threshold=threshold, shape=out_shape, ways=out_ways, keep_zeros=keep_zeros,
            cycles=requantize_cycles)
        super().__init__({
            "i": In(PixelSignature(shape, channels=channels, ways=ways)),
            "o": Out(PixelSignature(out_shape, channels=filters, ways=out_ways))})

    @property
    def multipliers(self):
        """Multipliers of the dot products."""
        return len(self.dots) * self.dots[0].pes

    @property
    def product_cycles(self):
        """Cycles that a multiplier spends on a product."""
        return self.dots[0].product_cycles

    @property
    def dsp_count(self):
        """DSP blocks of the stage, those of the requantization included."""
        return conv_dsps(self.shape, weight_width=self.weight_width, width=self.accumulator.width,
                         lanes=len(self.dots), pes=self.dots[0].pes, out_ways=self.accumulator.ways,
                         family=self.family, requantize_cycles=self.requantize.cycles, serial=self.serial)

    @property
    def memories(self):
        return total(unit.memories for unit in (
            self.window, *self.dots, self.accumulator, self.requantize))

    def elaborate(self, platform):
        m = Module()
        m.submodules.window = self.window
        m.submodules.accumulator = self.accumulator
        m.submodules.requantize = self.requantize
        connect_pixels(m, wiring.flipped(self.i), self.window.i)
        for n, dot in enumerate(self.dots):
            m.submodules[f"dot_{n}"] = dot
            connect_streams(m, self.window.o[n], dot.i)
            connect_streams(m, dot.o, self.accumulator.i[n])
        connect_streams(m, self.accumulator.o, self.requantize.i)
        connect_pixels(m, self.requantize.o, wiring.flipped(self.o))
        return m
