"""Slicing: a box of a feature map, rows and columns with a step."""
from amaranth import Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .check import between, boolean, positive
from .count import counter
from .memory import total
from .stream import PixelSignature, Queue, channels_of_way, connect_streams, queue_memories

__all__ = ["Slice"]

QUEUE_DEPTH = 4     # beats of a way's output queue; it cuts combinational paths and needs no more


class Slice(wiring.Component):
    """Keep a box of a map: some rows, columns and consecutive channels, numbered anew.

    Every way works on its own and takes one beat per cycle, those outside the box too; a beat
    inside leaves ``latency`` cycles after it was taken. A pixel is closed by its beat in the last
    channel of the box, or by a zero as soon as a beat beyond tells that there is none. Frames
    follow without a gap. ``i.ready`` and ``o`` depend on registers only.

    Parameters
    ----------
    shape : shape-like
        Stored value.
    height, width, channels : int
        The map.
    start : (int, int, int)
        First row, column and channel of the box; the channel is a multiple of ``ways``, so that
        channels stay on their ways.
    size : (int, int, int)
        Rows, columns and channels of the box.
    step : (int, int)
        From a row to the next, and from a column to the next.
    ways : int
        Ways of input and output; at most the box's channels.
    keep_zeros : bool
        The dense engine: every channel is present in the input, and those in the box are sent.

    Members
    -------
    i : In(PixelSignature(shape, channels=channels, ways=ways))
        Also a closing beat of value 0 has the last channel of its way.
    o : Out(PixelSignature(shape, channels=size[2], ways=ways))

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of its range, or the box does not lie in the map.
    """

    latency = 2
    dsp_count = 0

    def __init__(self, shape, *, height, width, channels, start, size, step=(1, 1), ways=1,
                 keep_zeros=False):
        self.shape = Shape.cast(shape)
        self.map = (positive("Height", height), positive("Width", width),
                    positive("Channels", channels))
        for name, value, count in (("Start", start, 3), ("Size", size, 3), ("Step", step, 2)):
            if not isinstance(value, (tuple, list)) or len(value) != count:
                raise ValueError(f"{name} must be {count} integers, not {value!r}")
        self.start, self.size, self.step = tuple(start), tuple(size), (*step, 1)
        for first, count, step, pixels in zip(self.start, self.size, self.step, self.map):
            between("Start", first, 0, pixels - 1)
            positive("Step", step)
            between("Size", count, 1, (pixels - 1 - first) // step + 1)
        self.ways, self.keep_zeros = positive("Ways", ways), boolean("Keep zeros", keep_zeros)
        if self.start[2] % ways:
            raise ValueError(f"First channel must be a multiple of the {ways} ways, "
                             f"not {self.start[2]}")
        super().__init__({
            "i": In(PixelSignature(shape, channels=channels, ways=ways)),
            "o": Out(PixelSignature(shape, channels=self.size[2], ways=ways))})

    @property
    def memories(self):
        return total(queue_memories(way.payload.shape(), QUEUE_DEPTH) for way in self.o.way)

    def elaborate(self, platform):
        m = Module()
        for w, (i, o) in enumerate(zip(self.i.way, wiring.flipped(self.o).way)):
            self._way(m, w, i, o)
        return m

    def _way(self, m, w, i, o):
        m.submodules[f"queue_{w}"] = queue = Queue(o.payload.shape(), depth=QUEUE_DEPTH)
        connect_streams(m, queue.o, o)
        beat = i.payload
        taken, pixel = Signal(name=f"taken_{w}"), Signal(name=f"pixel_{w}")
        m.d.comb += [i.ready.eq(queue.i.ready), taken.eq(i.valid & i.ready),
                     pixel.eq(taken & beat.last)]
        column, line = self._axis(m, 1, pixel, f"column_{w}")
        row, _ = self._axis(m, 0, line, f"row_{w}")

        # The first beat in the last channel of the box or beyond closes; more may follow.
        number = channels_of_way(self.size[2], self.ways, w)
        first = self.start[2] // self.ways
        final = first + number - 1
        closing, closed = Signal(name=f"closing_{w}"), Signal(name=f"closed_{w}")
        m.d.comb += [
            closing.eq(beat.channel >= final),
            queue.i.valid.eq(i.valid & row & column & ~closed & (beat.channel >= first)
                             & (self.keep_zeros | closing | (beat.value != 0))),
            queue.i.payload.value.eq(Mux(beat.channel > final, 0, beat.value)),
            queue.i.payload.channel.eq(Mux(closing, number - 1, beat.channel - first)),
            queue.i.payload.last.eq(closing),
        ]
        with m.If(taken):
            m.d.sync += closed.eq(closing & ~beat.last)

    def _axis(self, m, axis, advance, name):
        """Count along an axis: whether the box has this place, and whether it is left for the first."""
        places, start, step = self.map[axis], self.start[axis], self.step[axis]
        end = start + (self.size[axis] - 1) * step
        place, last = counter(m, places, advance, name=name)
        wraps = advance & last
        if self.size[axis] == places:
            return 1, wraps
        # The next place of the box; after its last one, the first of the next frame.
        wanted, kept = Signal(range(end + 1), init=start, name=f"{name}_wanted"), Signal(
            name=f"{name}_kept")
        m.d.comb += kept.eq(place == wanted)
        with m.If(advance & kept):
            m.d.sync += wanted.eq(Mux(wanted == end, start, wanted + step))
        return kept, wraps
