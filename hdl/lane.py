"""One lane of a window: its share of the stored lists, streamed one non-zero per cycle."""
from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .memory import ram
from .pitch import Pitch, raster, select
from .repeated import repeated
from .stepper import wrapped
from .stream import Queue, connect_streams, queue_memories

__all__ = ["WindowLane", "lane_memories", "product_layout"]

LISTS = 4           # that wait to be read


def product_layout(shape, depth, channels=None):
    """One multiplication: ``value`` with the weights at ``address``.

    ``last`` ends a pass, ``final`` the last pass of a window. A pass without any non-zero is one
    product with value 0. With ``channels`` it also tells the number of its ``channel``.
    """
    channel = {} if channels is None else {"channel": range(max(2, channels))}
    return data.StructLayout({"value": shape, "address": range(max(2, depth)), "last": 1, "final": 1,
                              **channel})


def lane_memories(shape, *, channels, groups, layout, slots, kernel, passes, ahead, by_channel):
    """Memories of a :class:`WindowLane` of these parameters: ring, lengths, passes, lists."""
    _, ring, weights = _pitches(channels, groups, slots, kernel, passes, by_channel)
    return (ram(_word(shape, channels), ring.depth) + ram(_lengths(channels, groups), slots)
            + queue_memories(layout, ahead) + queue_memories(_list_layout(ring, weights, channels), LISTS))


def _pitches(channels, groups, slots, kernel, passes, by_channel):
    """Of a slot one region for each group's list, of the ring, and of the weights."""
    return (Pitch(groups, slots), Pitch(channels, slots * groups),
            Pitch(channels, 1 if by_channel else kernel[0] * kernel[1] * passes))


def _word(shape, channels):
    return data.StructLayout({"value": shape, "channel": range(max(2, channels))})


def _lengths(channels, groups):
    """Whether a list has an entry, which is then known at once, and how many, modulo a power of two."""
    return data.ArrayLayout(data.StructLayout({"any": 1, "count": range(channels)}), groups)


def _list_layout(ring, weights, channels):
    return data.StructLayout({"base": ring.base_shape, "weights": weights.base_shape,
                              "ends": range(max(2, channels)), "nothing": 1, "last": 1, "final": 1})


@repeated
class WindowLane(wiring.Component):
    """Store lists of non-zeros in a ring, and replay those under each pass of a window.

    It looks up one tap per cycle and streams one non-zero per cycle, the two decoupled by a short
    queue; taps without any non-zero cost a lookup only. A list's first product follows its lookup by
    five cycles. ``o`` depends on registers only; ``o.ready`` gates the lane's reading.

    Parameters
    ----------
    shape : shape-like
        Stored activation.
    channels, groups : int
        Channels of this lane in each group, and groups.
    layout : data.StructLayout
        Passes, see :func:`~hdl.stepper.pass_layout`.
    slots : int
        Pixel slots of the ring.
    kernel : (int, int)
        Kernel rows and columns that this lane visits.
    steps : (int, int)
        Slots from one tap to the next, vertically and horizontally.
    passes, ahead : int
        Passes over each window, of all groups; passes that the lane's queue holds.
    by_channel : bool
        Address by channel only, for reductions over each channel.
    out_layout : data.StructLayout
        Products of ``o``, see :func:`product_layout`.

    Members
    -------
    write : In(1)
        Store ``value`` as the next non-zero of the pixel in ``slot``, at ``channel`` of ``group``.
    close : In(1)
        That pixel is complete (after this cycle's write).
    done : Out(1)
        All lists of a window have been read.
    active : Out(1)
        It steps over the taps of a pass.
    i : In(stream.Signature(layout))
        Passes.
    o : Out(stream.Signature(out_layout))
        Products.
    """

    def __init__(self, shape, *, channels, groups, layout, slots, kernel, steps, passes, ahead,
                 by_channel, out_layout):
        self.shape, self.channels, self.groups, self.layout = shape, channels, groups, layout
        self.slots, self.kernel, self.steps, self.ahead = slots, kernel, steps, ahead
        self.by_channel = by_channel
        self._regions, self._ring, self._weights = _pitches(
            channels, groups, slots, kernel, passes, by_channel)
        super().__init__({
            "write": In(1), "close": In(1), "slot": In(range(slots)), "value": In(shape),
            "channel": In(range(max(2, channels))), "group": In(range(groups)), "done": Out(1), "active": Out(1),
            "i": In(stream.Signature(layout)), "o": Out(stream.Signature(out_layout))})

    def elaborate(self, platform):
        m = Module()
        counts = self._store(m)
        m.submodules.passes = passes = Queue(self.layout, depth=self.ahead)
        connect_streams(m, wiring.flipped(self.i), passes.i)
        lists = self._look_up(m, passes.o, counts)
        self._read(m, lists)
        return m

    def _list(self, slot, group):
        """Base of the list of ``group`` in ``slot``."""
        return self._ring.base(self._regions.word(self._regions.base(slot), group))

    def _arriving(self, m):
        """Base of the list that is being stored; slots follow each other, so that no multiplication is needed."""
        if self._ring.dense and self._regions.dense:
            return self._list(self.slot, self.group)
        first = Signal(self._ring.base_shape)           # of the slot's lists
        with m.If(self.close):
            m.d.sync += first.eq(Mux(self.slot == self.slots - 1, 0, first + self._ring.base(self.groups)))
        return first if self.groups == 1 else first + self._ring.base(self.group)

    def _store(self, m):
        """Ring of lists and memory of their lengths; returns the latter's read port."""
        # A pixel's lengths are one word, written when it closes: groups may be without a non-zero,
        # and need a length nevertheless.
        size = range(self.channels + 1)
        m.submodules.ring = ring = Memory(
            shape=_word(self.shape, self.channels), depth=self._ring.depth, init=[])
        m.submodules.counts = lengths = Memory(
            shape=_lengths(self.channels, self.groups), depth=self.slots, init=[])
        place, count = ring.write_port(), lengths.write_port()
        # Of the pixel that is arriving.
        stored = [Signal(size, name=f"stored_{g}") for g in range(self.groups)]
        m.d.comb += [
            place.addr.eq(self._ring.word(self._arriving(m), select(stored, self.group))),
            place.en.eq(self.write),
            place.data.value.eq(self.value), place.data.channel.eq(self.channel),
            count.addr.eq(self.slot), count.en.eq(self.close),
        ]
        for g, (before, length) in enumerate(zip(stored, count.data)):
            write, after = Signal(name=f"write_{g}"), Signal.like(before, name=f"after_{g}")
            m.d.comb += [write.eq(self.write & (self.group == g)), after.eq(before + write),
                         length.any.eq(write | (before != 0)), length.count.eq(after)]
            m.d.sync += before.eq(Mux(self.close, 0, after))
        self._words = ring.read_port()
        return lengths.read_port()

    def _look_up(self, m, passes, counts):
        """Step over the taps of each pass and queue their lists, the empty ones left out."""
        # A pass stays in the queue's output register while a row and a column of its taps count up.
        taps, end, step = passes.payload, Signal(), Signal()
        row, column = Signal.like(taps.rows), Signal.like(taps.columns)
        row_end = Signal()
        m.d.comb += [row_end.eq(column == taps.columns),
                     end.eq(taps.empty | (row_end & (row == taps.rows))),
                     passes.ready.eq(step & end), self.active.eq(passes.valid)]
        with m.If(step):
            m.d.sync += [column.eq(Mux(row_end | end, 0, column + 1)),
                         row.eq(Mux(end, 0, row + row_end))]
        slot = wrapped(m, taps.slot + raster(m, row, column, self.kernel, self.steps, name="slot_offset"),
                       self.slots, name="slot")
        tap = taps.tap + raster(m, row, column, self.kernel, (self.kernel[1], 1), name="tap_offset")

        # The tap whose length is being read.
        found = Signal()
        found_slot, found_tap = Signal.like(slot, reset_less=True), Signal.like(taps.tap, reset_less=True)
        found_end, found_final, found_empty = (Signal(reset_less=True) for _ in range(3))
        found_group = Signal.like(taps.group, reset_less=True)
        found_taken = Signal()
        m.d.comb += [step.eq(passes.valid & (~found | found_taken)),
                     counts.addr.eq(slot), counts.en.eq(step)]
        with m.If(~found | found_taken):
            m.d.sync += found.eq(passes.valid)
        with m.If(step):
            m.d.sync += [found_slot.eq(slot), found_tap.eq(tap), found_end.eq(end),
                         found_final.eq(taps.final & end), found_empty.eq(taps.empty),
                         found_group.eq(taps.group)]

        # The newest list waits until it is known whether it is the last of its pass, so that the
        # mark of a pass's end never costs a product of its own.
        layout = _list_layout(self._ring, self._weights, self.channels)
        m.submodules.lists = lists = Queue(layout, depth=LISTS)
        held = Signal()
        filled, close, load = Signal(), Signal(), Signal()
        length = Signal(counts.data[0].shape())
        newest = Signal(layout, reset_less=True)
        m.d.comb += [
            length.eq(select([each.as_value() for each in counts.data], found_group)),
            filled.eq(length.any & ~found_empty),
            lists.i.payload.eq(newest),
            lists.i.valid.eq(held & (newest.last | (found & filled))),
            close.eq(found & ~filled & found_end & held & ~newest.last),
            load.eq(found & (~held | lists.i.ready) & (filled | found_end & (~held | newest.last))),
            # If it is there: loaded, or closing the list that waits, or passed over.
            found_taken.eq(~held | lists.i.ready | ~filled & ~(found_end & newest.last)),
        ]
        with m.If(load):
            m.d.sync += [
                newest.base.eq(self._list(found_slot, found_group)),
                newest.weights.eq(0 if self.by_channel else self._weights.base(found_tap)),
                newest.ends.eq(Mux(filled, (length.count - 1)[:len(length.count)], 0)), newest.nothing.eq(~filled),
                newest.last.eq(found_end), newest.final.eq(found_final)]
        with m.Elif(close):
            m.d.sync += [newest.last.eq(1), newest.final.eq(found_final)]
        m.d.sync += held.eq(load | (held & ~(lists.i.valid & lists.i.ready)))
        return lists.o

    def _read(self, m, lists):
        """Stream the lists' non-zeros with their weight addresses."""
        words, entry = self._words, lists.payload
        go, number, end = Signal(), Signal(range(max(2, self.channels))), Signal()
        m.d.comb += [
            go.eq(~self.o.valid | self.o.ready),
            end.eq(number == entry.ends),
            words.addr.eq(self._ring.word(entry.base, number)), words.en.eq(go),
            lists.ready.eq(go & end),
            self.done.eq(lists.valid & lists.ready & entry.final),
        ]
        valid, last, final = Signal(), Signal(reset_less=True), Signal(reset_less=True)
        nothing, weights = Signal(reset_less=True), Signal.like(entry.weights, reset_less=True)
        with m.If(go):
            m.d.sync += [
                number.eq(Mux(lists.valid & ~end, number + 1, 0)),
                valid.eq(lists.valid), last.eq(entry.last & end), final.eq(entry.final & end),
                nothing.eq(entry.nothing), weights.eq(entry.weights),
                self.o.valid.eq(valid), self.o.payload.last.eq(last), self.o.payload.final.eq(final),
                self.o.payload.value.eq(Mux(nothing, 0, words.data.value)),
                self.o.payload.address.eq(self._weights.word(weights, words.data.channel)),
            ]
            if "channel" in self.o.payload.shape().members:
                m.d.sync += self.o.payload.channel.eq(words.data.channel)
        return m
