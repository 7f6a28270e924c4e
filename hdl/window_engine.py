# amaranth: UnusedElaboratable=no
# A stage holds its parts from the start, also when it is only asked for its size.
"""The published window engine, to compare with: whole windows, and non-zeros dealt to multipliers."""
import numpy as np
from amaranth import Module, Shape
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .accumulator import Accumulator
from .arbiter import Arbiter
from .bounds import signed_bits, sum_bounds
from .check import between, integers, positive
from .densify import Densify
from .line_buffer import LineBuffer
from .mac import FAMILIES
from .memory import total
from .requantize import Requantize, requantize_dsps
from .stream import PixelSignature, Queue, connect_pixels, connect_streams
from .walk import Walk
from .window_dot import WindowDot, window_dot_dsps

__all__ = ["WINDOW_QUEUE", "WindowConv", "values_ahead", "window_conv_dsps"]

QUEUE = 2           # beats before each way's zeros are filled in
WINDOW_QUEUE = 16   # windows that wait while lines pass without a complete one


def window_conv_dsps(shape, *, weight_width, width, coarse_in, coarse_out, fine, out_ways, family,
                     paired=False, requantize_cycles=1):
    """DSP blocks of a stage whose totals have ``width`` bits."""
    return (coarse_in * window_dot_dsps(shape, weight_width=weight_width, fine=fine, coarse_out=coarse_out,
                                        family=family, paired=paired)
            + requantize_dsps(width, ways=out_ways, family=family, cycles=requantize_cycles))


def values_ahead(walk, *, words, windows):
    """Values that a stream may be behind another: those of ``windows`` output pixels."""
    return windows * walk.stride[0] * walk.stride[1] * words


class WindowConv(wiring.Component):
    """Convolve a sparse feature map as published in "Exploiting Post-Activation Sparsity in Streaming
    Architectures for CNN Acceleration" (FPL 2023).

    Each of ``coarse_in`` streams of channels holds whole windows of one channel, and deals their
    non-zeros to ``fine`` slots; each slot meets ``coarse_out`` filters at a time:
    ``coarse_in * fine * coarse_out`` multipliers. An output pixel takes, for each channel of the
    busiest stream, ``ceil(non-zeros / fine)`` cycles times ``filters / coarse_out``. A window of zeros
    counts as one of a single non-zero, or not at all with ``skip_empty``. Streams may run ``windows``
    output pixels apart. It reads and makes the streams of :class:`~hdl.conv.Conv`, and shares its
    accumulator and its requantizer.

    Parameters
    ----------
    shape, low, high, walk, weights, bias, weight_width, multiplier, shift, out_low, out_high, threshold, out_shape
        As of :class:`~hdl.conv.Conv`.
    coarse_in : int
        Streams; divides the channels of a group.
    coarse_out : int
        Filters at a time; divides those of a group.
    fine : int
        Slots of a stream; at most the taps of the kernel.
    ways, out_ways : int
        Ways of the input, which divide ``coarse_in``, and of the output, which divide ``coarse_out``.
    windows : int
        Output pixels that streams may run apart.
    groups : int
        Groups of channels and filters.
    skip_empty : bool
        Spend no cycle on a window of zeros, but for one of a pixel of zeros.
    paired : bool
        Let two filters share a DSP48E2. The publication has separate units for each filter, and counts
        a DSP block for each product.
    family : str
        See :class:`~hdl.mac.MacArray`.
    requantize_cycles : int
        See :class:`~hdl.requantize.Requantize`.

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
                 out_low, out_high, out_shape, coarse_in=1, coarse_out=1, fine=1, ways=1, out_ways=1,
                 windows=4, groups=1, skip_empty=False, paired=False, family="behavioural",
                 requantize_cycles=1, threshold=0):
        weights, bias = integers("Weights", weights), integers("Biases", bias)
        if not isinstance(walk, Walk):
            raise TypeError(f"Walk must be a Walk, not {walk!r}")
        if weights.ndim != 4 or weights.shape[1:3] != walk.kernel:
            raise ValueError(f"Weights must be of shape (filters, {walk.kernel[0]}, {walk.kernel[1]}, "
                             f"channels), not {weights.shape}")
        for name, values in (("Biases", bias), ("Multipliers", multiplier), ("Shifts", shift)):
            if np.shape(values) != weights.shape[:1]:
                raise ValueError(f"{name} must be {len(weights)}, one per filter, not {np.shape(values)}")
        if family not in FAMILIES:
            raise ValueError(f"Family must be one of {', '.join(FAMILIES)}, not {family!r}")
        filters, _, _, channels = weights.shape             # of a group
        if filters % positive("Groups", groups):
            raise ValueError(f"Filters must be a multiple of the {groups} groups, not {filters}")
        if channels % positive("Coarse in", coarse_in):
            raise ValueError(f"Coarse in must be a divisor of the {channels} channels, not {coarse_in}")
        if coarse_in % positive("Ways", ways):
            raise ValueError(f"Coarse in must be a multiple of the {ways} ways, not {coarse_in}")
        positive("Windows", windows)
        self.shape, self.out_shape, self.family = Shape.cast(shape), Shape.cast(out_shape), family
        self.weight_width, self.paired, self.coarse_in, self.ways = weight_width, paired, coarse_in, ways
        least = -(1 << (self.shape.width - 1)) if self.shape.signed else 0
        between("Lowest activation", low, least, 0)
        between("Highest activation", high, 0, least + (1 << self.shape.width) - 1)

        # Exact bounds: a stream's sums, and totals with the bias.
        per_stream = [weights[..., n::coarse_in] for n in range(coarse_in)]
        bounds = [sum_bounds(w, 0, low, high) for w in per_stream]
        sum_width = max(signed_bits(least.min(), most.max()) for least, most in bounds)
        least, most = sum_bounds(weights, bias, low, high)
        width = max(signed_bits(least.min(), most.max()),
                    signed_bits(bias.min(), bias.max()), sum_width)

        words = channels * groups // coarse_in
        self.densify = [Densify(shape, channels=channels * groups // ways, share=coarse_in // ways)
                        for _ in range(ways)]
        self.inputs = [Queue(way.i.payload.shape(), depth=QUEUE) for way in self.densify]
        self.queues = [Queue(self.shape, depth=values_ahead(walk, words=words, windows=windows))
                       for _ in per_stream]
        self.lines = [LineBuffer(shape, walk=walk, words=words, groups=groups) for _ in per_stream]
        self.windows = [Queue(line.o.payload.shape(), depth=WINDOW_QUEUE) for line in self.lines]
        self.arbiters = [Arbiter(shape, taps=walk.taps, words=words, fine=fine, skip_empty=skip_empty)
                         for _ in per_stream]
        self.dots = [WindowDot(shape, weights=w.reshape(filters, walk.taps, -1), weight_width=weight_width,
                               fine=fine, coarse_out=coarse_out, sum_width=sum_width, ways=out_ways,
                               groups=groups, family=family, paired=paired) for w in per_stream]
        self.accumulator = Accumulator(
            lanes=coarse_in, sum_width=sum_width, bias=bias, width=width, ways=out_ways, windows=windows)
        self.requantize = Requantize(
            width=width, multiplier=multiplier, shift=shift, low=out_low, high=out_high,
            threshold=threshold, shape=out_shape, ways=out_ways, cycles=requantize_cycles)
        super().__init__({
            "i": In(PixelSignature(shape, channels=channels * groups, ways=ways)),
            "o": Out(PixelSignature(out_shape, channels=filters, ways=out_ways))})

    @property
    def multipliers(self):
        """Multipliers of all streams."""
        return sum(dot.fine * dot.coarse_out for dot in self.dots)

    @property
    def dsp_count(self):
        """DSP blocks of the stage, those of the requantization included."""
        dot = self.dots[0]
        return window_conv_dsps(
            self.shape, weight_width=self.weight_width, width=self.accumulator.width,
            coarse_in=self.coarse_in, coarse_out=dot.coarse_out, fine=dot.fine, out_ways=dot.ways,
            family=self.family, paired=self.paired, requantize_cycles=self.requantize.cycles)

    @property
    def memories(self):
        return total(unit.memories for unit in (
            *self.inputs, *self.queues, *self.lines, *self.windows, *self.dots, self.accumulator,
            self.requantize))

    def elaborate(self, platform):
        m = Module()
        m.submodules.accumulator, m.submodules.requantize = self.accumulator, self.requantize
        for w, (way, queue, densify) in enumerate(zip(wiring.flipped(self.i).way, self.inputs, self.densify)):
            m.submodules[f"input_{w}"], m.submodules[f"densify_{w}"] = queue, densify
            connect_streams(m, way, queue.i)
            connect_streams(m, queue.o, densify.i)
            self._split(m, densify.o, self.queues[w::self.ways])
        for n, parts in enumerate(zip(self.queues, self.lines, self.windows, self.arbiters, self.dots)):
            for name, part in zip(("queue", "lines", "windows", "arbiter", "dot"), parts):
                m.submodules[f"{name}_{n}"] = part
            for before, after in zip(parts, parts[1:]):
                connect_streams(m, before.o, after.i)
            connect_streams(m, parts[-1].o, self.accumulator.i[n])
        connect_streams(m, self.accumulator.o, self.requantize.i)
        connect_pixels(m, self.requantize.o, wiring.flipped(self.o))
        return m

    def _split(self, m, word, queues):
        """Each value of a word to the stream of its channel, all at once."""
        ready = 1
        for queue in queues:
            ready = ready & queue.i.ready
        m.d.comb += word.ready.eq(ready)
        for value, queue in zip(word.payload, queues, strict=True):
            m.d.comb += [queue.i.payload.eq(value), queue.i.valid.eq(word.valid & ready)]
