# amaranth: UnusedElaboratable=no
# (for the parts of a pool that is refused, or that is built to be looked at only)
"""A pooling stage: window, per-channel reduction, and requantization of averages."""
import numpy as np
from amaranth import Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .check import between, boolean, positive
from .memory import total
from .pitch import lookup
from .reduce import Reduce
from .requantize import Requantize, requantize_dsps
from .stream import PixelSignature, Queue, channels_of_way, connect_streams, queue_memories
from .walk import Walk
from .window import Window

__all__ = ["Pool"]

QUEUE_DEPTH = 4     # beats of a way's output queue; it cuts combinational paths and needs no more


class Pool(wiring.Component):
    """Maximum or average of each channel of a sparse feature map over a sliding window.

    Every way works on its own. An output pixel takes, on each way, the largest of: the non-zeros of
    the window, its taps inside the map, and the channels of the way, times ``requantize_cycles`` in
    an average. Padding never counts: it is minus infinity in a maximum and adds nothing to a sum.
    An average is a sum whose requantization holds the division: by the same number in every window,
    or with ``counted`` by the taps that count, so that windows at the border have scales of their
    own.

    Where the only window holds the whole map (global pooling), there is no memory of pixels: each
    beat is reduced as it arrives, a frame takes the larger of its beats and the channels (times
    ``requantize_cycles``) on each way, and its first result is offered 5 cycles (an average's 3 +
    ``Requantize.latency``) after its last beat was taken. Otherwise, with an idle stage, 14 (12 +
    ``Requantize.latency``) cycles and one for each of the window's products after the beat that
    completes it. A stage that comes out of reset first clears its banks, a cycle for each channel
    of a way.
    ``i.ready`` and ``o`` depend on registers only.

    Parameters
    ----------
    shape : shape-like
        Stored input activation.
    walk : Walk
        Map, kernel, stride, dilation and padding.
    channels : int
        Channels of the map.
    op : str
        ``"max"`` or ``"avg"``.
    ways : int
        Ways of input and output; at most ``channels``.
    out_shape : shape-like or None
        Stored result; a maximum's is always ``shape``.
    multiplier, shift, low, high, threshold
        Requantization of an average's sums, see :class:`~hdl.requantize.Requantize`; one multiplier
        and shift per channel, or with ``counted`` one per tap of the kernel: entry n - 1 is that of
        windows with n taps that count.
    counted : (int, int, int, int) or None
        The part of the padding (top, left, bottom, right) in which an average's taps count; None
        if every window has the same divisor.
    keep_zeros : bool
        The dense engine: zeros are stored, reduced and sent.
    family : str
        For counting DSP blocks, see :class:`~hdl.mac.MacArray`.
    slots : int or None
        Pixel slots of the window's ring, see :class:`~hdl.window.Window`; global pooling has none.
    requantize_cycles : int
        Cycles that a requantizer spends on a sum of an average, see
        :class:`~hdl.requantize.Requantize`.

    Members
    -------
    i : In(PixelSignature(shape, channels=channels, ways=ways))
    o : Out(PixelSignature(out_shape, channels=channels, ways=ways))

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of its range, one of an average's is missing or given for a maximum,
        a maximum has a window with no tap inside the map, or an average one with none that counts.
    """

    def __init__(self, shape, *, walk, channels, op, ways=1, out_shape=None, multiplier=None,
                 shift=None, low=None, high=None, counted=None, keep_zeros=False, slots=None,
                 family="behavioural", requantize_cycles=1, threshold=0):
        if not isinstance(walk, Walk):
            raise TypeError(f"Walk must be a Walk, not {walk!r}")
        if op not in ("max", "avg"):
            raise ValueError(f"Operation must be 'max' or 'avg', not {op!r}")
        self.shape, self.walk, self.op = Shape.cast(shape), walk, op
        self.channels, self.ways, self.keep_zeros = channels, ways, boolean("Keep zeros", keep_zeros)
        self.family = family
        signature = PixelSignature(shape, channels=channels, ways=ways)
        for name, value in (("Multiplier", multiplier), ("Shift", shift), ("Lower bound", low),
                            ("Upper bound", high)):
            if (value is None) != (op == "max"):
                raise ValueError(
                    f"{name} must be given for an average and only there, not {value!r}")
        if op == "max" and out_shape is not None and Shape.cast(out_shape) != self.shape:
            raise ValueError(f"Output shape of a maximum must be {self.shape!r}, not {out_shape!r}")
        if op == "max" and counted is not None:
            raise ValueError(f"Counted padding must be given for an average only, not {counted!r}")
        if op == "max" and requantize_cycles != 1:
            raise ValueError(
                f"Requantize cycles must be 1 for a maximum, not {requantize_cycles!r}")
        if op == "max" and threshold:
            raise ValueError(f"Threshold must be 0 for a maximum, not {threshold!r}")
        self.counts = None if counted is None else _counts(walk, counted)
        if op == "avg":
            if out_shape is None:
                raise ValueError("Output shape must be given for an average, not None")
            entries, each = (channels, "channel") if counted is None else (walk.taps, "counted tap")
            for name, value in (("Multipliers", multiplier), ("Shifts", shift)):
                if np.shape(value) != (entries,):
                    raise ValueError(f"{name} must be {entries}, one per {each}, "
                                     f"not of shape {np.shape(value)}")

        shares = [channels_of_way(channels, ways, w) for w in range(ways)]
        self.window = None
        if self.is_global:
            if slots is not None:
                positive("Slots", slots)
        else:
            self.window = Window(shape, walk=walk, channels=channels, ways=ways, lanes=ways,
                                 slots=slots, keep_zeros=keep_zeros, by_channel=True)
        self.reduces = [
            Reduce(shape, walk=walk, channels=share, op="max" if op == "max" else "sum",
                   keep_zeros=keep_zeros, depth=shares[0]) for share in shares]
        self.requantizes = [] if op == "max" else [
            Requantize(width=self.sum_width, multiplier=np.asarray(multiplier)[entries],
                       shift=np.asarray(shift)[entries], low=low, high=high, shape=out_shape,
                       keep_zeros=keep_zeros, channels=None if counted is None else shares[w],
                       cycles=requantize_cycles, threshold=threshold)
            for w, entries in enumerate(self._entries())]
        self.out_shape = self.shape if op == "max" else Shape.cast(out_shape)
        super().__init__({
            "i": In(signature),
            "o": Out(PixelSignature(self.out_shape, channels=channels, ways=ways))})

    @property
    def is_global(self):
        """Whether the only window holds every pixel of the map."""
        walk = self.walk
        return (walk.out_height * walk.out_width == 1
                and walk.taps_inside == walk.height * walk.width)

    def _entries(self):
        """For each way, which multipliers and shifts it needs."""
        if self.counts is None:
            return [slice(w, None, self.ways) for w in range(self.ways)]
        rows, columns = (sorted(set(counts)) for counts in self.counts)
        return [[row * column - 1 for row in rows for column in columns]] * self.ways

    @property
    def sum_width(self):
        """Bits of a sum, with a sign bit as :class:`~hdl.requantize.Requantize` wants it."""
        shape = self.reduces[0].out_shape
        return shape.width + (not shape.signed)

    @property
    def dsp_count(self):
        """DSP blocks of the requantizations of an average."""
        return sum(requantize_dsps(self.sum_width, ways=1, family=self.family, cycles=requantize.cycles)
                   for requantize in self.requantizes)

    @property
    def memories(self):
        windows = [] if self.window is None else [self.window]
        queues = [] if self.op == "avg" else [
            queue_memories(way.payload.shape(), QUEUE_DEPTH) for way in self.o.way]
        return total([unit.memories for unit in (*windows, *self.reduces, *self.requantizes)] + queues)

    def elaborate(self, platform):
        m = Module()
        if self.window is not None:
            m.submodules.window = self.window
            for w, way in enumerate(self.i.way):
                connect_streams(m, wiring.flipped(way), self.window.i.way[w])
                connect_streams(m, self.window.o[w], self.reduces[w].i)
        for w, reduce in enumerate(self.reduces):
            m.submodules[f"reduce_{w}"] = reduce
            if self.window is None:
                self._feed(m, self.i.way[w], reduce.i, w)
            if self.op == "avg":
                self._requantize(m, reduce.o, self.o.way[w], w)
            else:
                self._send(m, reduce.o, self.o.way[w], w)
        return m

    def _feed(self, m, way, products, w):
        """Reduce the beats of a way; the one that closes the last pixel ends the window."""
        pixels = self.walk.height * self.walk.width
        left = Signal(range(pixels), init=pixels - 1, name=f"left_{w}")
        end = Signal(name=f"end_{w}")
        m.d.comb += [
            end.eq(way.payload.last & (left == 0)),
            products.valid.eq(way.valid), way.ready.eq(products.ready),
            products.payload.value.eq(way.payload.value),
            products.payload.address.eq(way.payload.channel),
            products.payload.last.eq(end), products.payload.final.eq(end),
        ]
        with m.If(way.valid & way.ready & way.payload.last):
            m.d.sync += left.eq(left - 1)
            with m.If(left == 0):
                m.d.sync += left.eq(pixels - 1)

    def _requantize(self, m, results, way, w):
        """Scale a way's sums. Its requantizer knows that way's channels only."""
        m.submodules[f"requantize_{w}"] = unit = self.requantizes[w]
        source = unit.o.way[0]
        m.d.comb += [
            unit.i.valid.eq(results.valid), results.ready.eq(unit.i.ready),
            unit.i.payload.sums[0].eq(results.payload.value),
            unit.i.payload.last.eq(results.payload.last),
            unit.i.payload.index.eq(self._index(m, results, w)) if unit.indexed else [],
            way.valid.eq(source.valid), source.ready.eq(way.ready),
            way.payload.value.eq(source.payload.value),
            way.payload.channel.eq(source.payload.channel),
            way.payload.last.eq(source.payload.last),
        ]

    def _index(self, m, results, w):
        """Which of the ``_entries`` is that of the window whose results are offered."""
        rows, columns = self.counts
        by_row, by_column = (sorted(set(counts)) for counts in self.counts)
        oy, ox = Signal(range(len(rows)), name=f"oy_{w}"), Signal(range(len(columns)), name=f"ox_{w}")
        with m.If(results.valid & results.ready & results.payload.last):
            m.d.sync += ox.eq(ox + 1)
            with m.If(ox == len(columns) - 1):
                m.d.sync += [ox.eq(0), oy.eq(Mux(oy == len(rows) - 1, 0, oy + 1))]
        return (lookup(m, oy, [by_row.index(n) * len(by_column) for n in rows], name=f"row_{w}")
                + lookup(m, ox, [by_column.index(n) for n in columns], name=f"column_{w}"))

    def _send(self, m, results, way, w):
        """Drop a way's zeros, the closing beat's excepted."""
        m.submodules[f"queue_{w}"] = queue = Queue(way.payload.shape(), depth=QUEUE_DEPTH)
        beat = results.payload
        keep = 1 if self.keep_zeros else (beat.value != 0) | beat.last
        m.d.comb += [
            queue.i.valid.eq(results.valid & keep), results.ready.eq(queue.i.ready),
            queue.i.payload.value.eq(beat.value), queue.i.payload.channel.eq(beat.channel),
            queue.i.payload.last.eq(beat.last),
        ]
        connect_streams(m, queue.o, wiring.flipped(way))


def _counts(walk, counted):
    """Taps of each output row, and of each column, on the map or its padding's part that counts."""
    if not isinstance(counted, (tuple, list)) or len(counted) != 4:
        raise ValueError(f"Counted padding must be 4 integers, not {counted!r}")
    for padding, part in zip(walk.padding, counted):
        between("Counted padding", part, 0, padding)
    counts = tuple(
        [sum(-before <= axis.coordinate(o, k) < axis.size + after for k in range(axis.taps))
         for o in range(axis.outputs)]
        for axis, before, after in zip(walk.axes(), counted[:2], counted[2:]))
    if not min(map(min, counts)):
        raise ValueError(f"Every window of an average must have a tap that counts, not lie outside "
                         f"the counted padding {tuple(counted)}")
    return counts
