"""The conventional sliding window: lines of a map delayed, every tap at once."""
from amaranth import Cat, Module, Mux, Shape, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .check import positive
from .memory import ram, total
from .pitch import lookup
from .walk import Walk

__all__ = ["Delay", "LineBuffer", "line_buffer_memories", "padded_size", "window_layout"]


def window_layout(shape, taps, words):
    """The window of one channel: its ``values`` by tap, the channel's ``number``.

    ``last`` ends the channels that are summed.
    """
    return data.StructLayout({"values": data.ArrayLayout(shape, taps), "number": range(max(2, words)),
                              "last": 1})


def padded_size(walk):
    """Rows and columns that pass through a line buffer, as much padding included as windows see."""
    return tuple(max(before + size, (outputs - 1) * stride + dilation * (kernel - 1) + 1)
                 for before, size, outputs, stride, dilation, kernel in zip(
                     walk.padding[:2], (walk.height, walk.width), (walk.out_height, walk.out_width),
                     walk.stride, walk.dilation, walk.kernel))


def _delays(shape, walk, words):
    """(bits, steps) of the delay from kernel row to kernel row, and from column to column."""
    width, (rows, columns) = Shape.cast(shape).width, walk.kernel
    return ((width * (rows - 1), walk.dilation[0] * padded_size(walk)[1] * words),
            (width * rows * (columns - 1), walk.dilation[1] * words))


def line_buffer_memories(shape, *, walk, words):
    """Memories of a :class:`LineBuffer` of these parameters."""
    return total(ram(*delay) for delay in _delays(shape, walk, words) if delay[0] and delay[1] > 1)


class Delay(wiring.Component):
    """``o`` is what ``i`` was ``steps`` enabled cycles ago.

    Parameters
    ----------
    width, steps : int
        Bits, and cycles.

    Members
    -------
    en : In(1)
    i : In(width)
    o : Out(width)
    """

    def __init__(self, width, steps):
        self.width, self.steps = positive("Width", width), positive("Steps", steps)
        super().__init__({"en": In(1), "i": In(width), "o": Out(width)})

    def elaborate(self, platform):
        m = Module()
        if self.steps == 1:
            with m.If(self.en):
                m.d.sync += self.o.eq(self.i)
            return m
        m.submodules.memory = memory = Memory(shape=self.width, depth=self.steps, init=[])
        write, read = memory.write_port(), memory.read_port()
        place, following = Signal(range(self.steps)), Signal(range(self.steps))
        m.d.comb += [following.eq(Mux(place == self.steps - 1, 0, place + 1)),
                     write.addr.eq(place), write.data.eq(self.i), write.en.eq(self.en),
                     read.addr.eq(following), read.en.eq(self.en), self.o.eq(read.data)]
        with m.If(self.en):
            m.d.sync += place.eq(following)
        return m


class LineBuffer(wiring.Component):
    """Slide a window over a dense feature map: for every output pixel and channel, all taps at once.

    One value per cycle comes in, channels fastest, and one position of the padded map passes per
    cycle: a frame takes at least ``padded height * padded width * words`` cycles. ``o`` and ``i.ready``
    depend combinationally on ``i.valid`` and ``o.ready``.

    Parameters
    ----------
    shape : shape-like
        Stored activation.
    walk : Walk
        Map, kernel, stride, dilation and padding.
    words : int
        Channels.
    groups : int
        Groups of channels, each summed on its own; divides ``words``.

    Members
    -------
    i : In(stream.Signature(shape))
        Every value of the map.
    o : Out(stream.Signature(window_layout(shape, walk.taps, words)))
        Windows, output pixels in raster order, the channels of each in order.

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of its range.
    """

    def __init__(self, shape, *, walk, words, groups=1):
        if not isinstance(walk, Walk):
            raise TypeError(f"Walk must be a Walk, not {walk!r}")
        self.shape, self.walk, self.words = Shape.cast(shape), walk, positive("Words", words)
        self.groups = positive("Groups", groups)
        if words % groups:
            raise ValueError(f"Words must be a multiple of the {groups} groups, not {words}")
        super().__init__({
            "i": In(stream.Signature(self.shape)),
            "o": Out(stream.Signature(window_layout(self.shape, walk.taps, words)))})

    @property
    def memories(self):
        return line_buffer_memories(self.shape, walk=self.walk, words=self.words)

    def elaborate(self, platform):
        m = Module()
        step, inside, begins, complete = self._position(m)
        may = Signal()          # padding before a frame passes when the frame has come
        m.d.comb += [
            may.eq(self.i.valid | ~(inside | begins)),
            self.o.valid.eq(complete & may),
            step.eq(may & (self.o.ready | ~complete)),
            self.i.ready.eq(inside & (self.o.ready | ~complete)),
        ]

        # The newest row last; of each row, the newest column last.
        width = self.shape.width
        value = Signal(width)
        m.d.comb += value.eq(Mux(inside, self.i.payload, 0))
        down, along = _delays(self.shape, self.walk, self.words)
        column = self._chain(m, "rows", step, value, *down)
        window = self._chain(m, "columns", step, column, *along)
        rows, columns = self.walk.kernel
        for tap, out in enumerate(self.o.payload.values):
            row, place = divmod(tap, columns)
            m.d.comb += out.eq(window.word_select(place * rows + row, width))
        return m

    def _chain(self, m, name, step, newest, width, steps):
        """``newest`` behind its earlier values, as many as ``width`` bits hold, each ``steps`` apart."""
        if not width:
            return newest
        m.submodules[name] = delay = Delay(width, steps)
        chain = Signal(width + len(newest), name=f"{name}_chain")
        m.d.comb += [chain.eq(Cat(delay.o, newest)), delay.en.eq(step), delay.i.eq(chain[len(newest):])]
        return chain

    def _position(self, m):
        """Walk over the padded map; returns (step, whether in the map, at its begin, whether a window is complete)."""
        walk, (height, width) = self.walk, padded_size(self.walk)
        number, x, y = Signal(range(self.words)), Signal(range(width)), Signal(range(height))
        step, inside, complete = Signal(), Signal(), Signal()
        size = self.words // self.groups
        m.d.comb += [
            self.o.payload.number.eq(number),
            self.o.payload.last.eq(lookup(m, number, [int(n % size == size - 1) for n in range(self.words)],
                                          name="group_end")),
        ]
        within, ends = [], []
        for name, place, padded, pixels, before, outputs, stride, dilation, kernel in zip(
                "yx", (y, x), (height, width), (walk.height, walk.width), walk.padding,
                (walk.out_height, walk.out_width), walk.stride, walk.dilation, walk.kernel):
            within.append((place >= before) & (place < before + pixels))
            reach = dilation * (kernel - 1)
            last = {reach + stride * n for n in range(outputs)}
            ends.append(lookup(m, place, [int(n in last) for n in range(padded)], name=f"{name}_end"))
        m.d.comb += [inside.eq(within[0] & within[1]), complete.eq(ends[0] & ends[1])]
        with m.If(step):
            m.d.sync += number.eq(Mux(number == self.words - 1, 0, number + 1))
            with m.If(number == self.words - 1):
                m.d.sync += x.eq(Mux(x == width - 1, 0, x + 1))
                with m.If(x == width - 1):
                    m.d.sync += y.eq(Mux(y == height - 1, 0, y + 1))
        return step, inside, (number == 0) & (x == 0) & (y == 0), complete
