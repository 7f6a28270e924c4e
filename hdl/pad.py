"""Padding: a feature map inside a larger one of a constant."""
from amaranth import Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .bounds import limits
from .check import between, boolean, positive
from .memory import total
from .stream import PixelSignature, Queue, channels_of_way, connect_streams, queue_memories

__all__ = ["Pad"]

MOST = 1 << 16      # padded on one side
QUEUE_DEPTH = 4     # beats of a way's output queue; it cuts combinational paths and needs no more


class Pad(wiring.Component):
    """Surround a map with a constant in height, width and channels.

    Around zeros, a pixel outside is one closing beat, and one inside has a beat for each non-zero
    of the map, and the closing beat. With another constant, padding is sent channel by channel.

    Every way works on its own and sends one beat per cycle. A beat of the map leaves ``latency``
    cycles after it was taken. A frame starts, with what is before the map, when its first beat is
    offered; what is after the map is sent without waiting for anything. Frames follow without a
    gap. ``i.ready`` and ``o`` depend on registers only.

    Parameters
    ----------
    shape : shape-like
        Stored value of the map.
    height, width, channels : int
        The map.
    before, after : (int, int, int)
        Rows, columns and channels added on either side, 0 to 2**16. ``before[2]`` is a multiple of
        ``ways``, so that channels stay on their ways.
    value : int
        Stored value of what is added.
    ways : int
        Ways of input and output; at most ``channels``.
    out_shape : shape-like or None
        Stored result; holds every value of the map and ``value``. As ``shape`` if None.
    keep_zeros : bool
        The dense engine: every channel is present in the input, and sent.

    Members
    -------
    i : In(PixelSignature(shape, channels=channels, ways=ways))
    o : Out(PixelSignature(out_shape, channels=before[2] + channels + after[2], ways=ways))

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of its range, or a value does not fit ``out_shape``.
    """

    latency = 2
    dsp_count = 0

    def __init__(self, shape, *, height, width, channels, before, after, value=0, ways=1,
                 out_shape=None, keep_zeros=False):
        self.shape = Shape.cast(shape)
        self.out_shape = self.shape if out_shape is None else Shape.cast(out_shape)
        self.size = (positive("Height", height), positive("Width", width),
                     positive("Channels", channels))
        for name, padding in ("Padding before", before), ("Padding after", after):
            if not isinstance(padding, (tuple, list)) or len(padding) != 3:
                raise ValueError(f"{name} must be 3 integers, not {padding!r}")
            for number in padding:
                between(name, number, 0, MOST)
        self.before, self.after = tuple(before), tuple(after)
        least, most = limits(self.out_shape)
        self.value = between("Value", value, least, most)
        if not (least <= limits(self.shape)[0] and limits(self.shape)[1] <= most):
            raise ValueError(f"Output shape must hold every {self.shape!r}, not be {self.out_shape!r}")
        self.ways, self.keep_zeros = positive("Ways", ways), boolean("Keep zeros", keep_zeros)
        if self.before[2] % ways:
            raise ValueError(f"Channels before the map must be a multiple of the {ways} ways, "
                             f"not {self.before[2]}")
        self.out_channels = self.before[2] + channels + self.after[2]
        super().__init__({
            "i": In(PixelSignature(self.shape, channels=channels, ways=ways)),
            "o": Out(PixelSignature(self.out_shape, channels=self.out_channels, ways=ways))})

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
        beat, sent = i.payload, queue.i.payload
        step, pixel = Signal(name=f"step_{w}"), Signal(name=f"pixel_{w}")
        m.d.comb += [step.eq(queue.i.valid & queue.i.ready), pixel.eq(step & sent.last)]
        column, line = self._axis(m, 1, pixel, f"column_{w}")
        row, frame = self._axis(m, 0, line, f"row_{w}")

        # Of a pixel come the channels up to ``first``, those of the map, and those from ``behind``
        # on. Padding that is zero has no channel but the one that closes the pixel.
        each = self.keep_zeros or self.value != 0
        total = channels_of_way(self.out_channels, self.ways, w)
        offset = self.before[2] // self.ways
        end = offset + channels_of_way(self.size[2], self.ways, w)
        first, behind = (offset, end) if each else (0, total - 1)
        number = Signal(range(max(2, total)), name=f"number_{w}")       # of the channel to pad
        mapped, padded = Signal(name=f"mapped_{w}"), Signal(name=f"padded_{w}")
        begun = Signal(name=f"begun_{w}")
        m.d.comb += [
            mapped.eq(row & column & (number == first)),
            # A zero that closes the map's pixel makes room for the padding behind it.
            padded.eq(~mapped | (beat.last & (beat.value == 0) & (end < total and not self.keep_zeros))),
            queue.i.valid.eq(i.valid | (begun & ~mapped)), i.ready.eq(queue.i.ready & mapped),
        ]
        with m.If(padded):
            m.d.comb += [sent.value.eq(self.value), sent.last.eq(sent.channel == total - 1),
                         sent.channel.eq(Mux(mapped, behind, number) if each else total - 1)]
        with m.Else():
            m.d.comb += [sent.value.eq(beat.value), sent.last.eq(beat.last & (end == total)),
                         sent.channel.eq(beat.channel + offset)]
        with m.If(step):
            m.d.sync += begun.eq(~frame)
            with m.If(sent.last):
                m.d.sync += number.eq(0)
            with m.Elif(padded):
                m.d.sync += number.eq(sent.channel + 1)
            with m.Elif(beat.last):
                m.d.sync += number.eq(behind)

    def _axis(self, m, axis, advance, name):
        """Count along an axis: whether the map has this place, and whether it is left for the first."""
        first, end = self.before[axis], self.before[axis] + self.size[axis]
        places = end + self.after[axis]
        place, wraps = Signal(range(max(2, places)), name=name), Signal(name=f"{name}_wraps")
        inside = Signal(init=first == 0, name=f"{name}_inside")
        m.d.comb += wraps.eq(advance & (place == places - 1))
        with m.If(advance):
            m.d.sync += place.eq(place + 1)
            with m.If(wraps):
                m.d.sync += [place.eq(0), inside.eq(first == 0)]
            with m.Elif(place + 1 == first):
                m.d.sync += inside.eq(1)
            with m.Elif(place + 1 == end):
                m.d.sync += inside.eq(0)
        return inside, wraps
