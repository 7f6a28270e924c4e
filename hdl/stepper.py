"""Where the window stands: one walk over the map for all channel lanes that share a ring's filling."""
import functools

import numpy as np
from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .bounds import plus
from .count import counter
from .pitch import lookup, raster
from .repeated import repeated
from .stream import Queue
from .walk import Walk

__all__ = ["IN_FLIGHT", "Stepper", "freed_shape", "pass_layout"]

IN_FLIGHT = 16      # windows between the stepper and the slowest lane's release


def pass_layout(*, slots, taps, passes, kernel, groups=1):
    """One pass over one window, for one of the channels' ``groups``.

    ``slot`` holds the first tap inside the map, whose number is ``tap`` (pass * taps + tap); the
    taps inside are ``rows`` + 1 by ``columns`` + 1, or none if ``empty``. ``final`` marks the last
    pass of a window.
    """
    return data.StructLayout({
        "slot": range(slots), "tap": range(taps * passes), "rows": range(max(2, kernel[0])),
        "columns": range(max(2, kernel[1])), "empty": 1, "final": 1,
        "group": range(groups)})


@functools.cache
def freed_shape(walk, row, rows):
    """Numbers of slots that a window of the kernel rows ``row, row + rows, ...`` may free, negative."""
    keeps = np.array(walk.keeps(row, rows)).ravel()
    return range(-int(np.diff(keeps, append=walk.height * walk.width + keeps[0]).max()), 1)


@repeated
class Stepper(wiring.Component):
    """Walk a window over a ring of pixel slots, and account for its slots.

    A window is stepped to as soon as its last pixel has arrived, and each pixel is freed as soon as
    no later window reads it. One pass per cycle. ``room`` and ``o`` depend on registers only.

    Parameters
    ----------
    walk : Walk
        The window and its map.
    row, rows : int
        It visits the kernel rows ``row, row + rows, ...``.
    slots : int
        Pixel slots of the ring; pixel n of all pixels ever received has slot n % slots.
    passes : int
        Passes over each window, for each group.
    groups : int
        Groups of channels, which follow each other.

    Members
    -------
    arrived : In(1)
        A pixel was completed in this cycle.
    room : Out(1)
        The slot of the pixel that is arriving is free.
    released : In(1)
        All lanes have read the oldest window that is in flight.
    o : Out(stream.Signature(pass_layout(...)))
        The passes, windows in raster order.
    """

    def __init__(self, walk, *, row, rows, slots, passes, groups=1):
        if not isinstance(walk, Walk):
            raise TypeError(f"Walk must be a Walk, not {walk!r}")
        if slots < walk.min_slots(rows):
            raise ValueError(f"Slots must be at least {walk.min_slots(rows)}, not {slots!r}")
        self.walk, self.row, self.rows, self.slots = walk, row, rows, slots
        self.passes, self.groups = passes, groups
        y, x = walk.axes(row, rows)
        self.layout = pass_layout(slots=slots, taps=y.taps * x.taps, passes=groups * passes,
                                  kernel=(y.taps, x.taps), groups=groups)
        super().__init__({"arrived": In(1), "room": Out(1), "released": In(1),
                          "o": Out(stream.Signature(self.layout))})

    def _advances(self, table):
        """Split a raster table into its steps within a row and at the end of each row."""
        frame = self.walk.height * self.walk.width
        within = [[b - a for a, b in zip(line, line[1:])] + [0] for line in table]
        ends = [after[0] - line[-1] for line, after in zip(table, table[1:])]
        return within, [*ends, frame + table[0][0] - table[-1][-1]]

    def elaborate(self, platform):
        m = Module()
        walk, slots = self.walk, self.slots
        y, x = walk.axes(self.row, self.rows)
        taken, done = self.o.valid & self.o.ready, Signal()
        ox, row_end = counter(m, walk.out_width, done, name="ox")
        oy, _ = counter(m, walk.out_height, done & row_end, name="oy")
        _, turns_end = counter(m, self.passes, taken, name="turn")
        group = Signal(range(self.groups))

        # Slot of the window's first tap.
        left = [start for start, _ in x.spans]
        within, ends = self._advances([[start * walk.width + column for column in left] for start, _ in y.spans])
        step = Mux(row_end, lookup(m, oy, [n % slots for n in ends], name="slot_row"),
                   lookup(m, ox, [n % slots for n in within[0]], name="slot_column"))
        slot = Signal(range(slots), init=(y.spans[0][0] * walk.width + left[0]) % slots)
        next_slot = wrapped(m, slot + step, slots, name="next_slot")

        # Pixels that have arrived beyond the one this window waits for.
        needs = walk.needs(self.row, self.rows)
        within, ends = self._advances(needs)
        wait = Mux(row_end, lookup(m, oy, [-n for n in ends], name="wait_row"),
                   lookup(m, ox, [-n for n in within[0]], name="wait_column"))
        reach = max(map(abs, [*ends, *within[0], needs[0][0] + 1]))
        keeps = walk.keeps(self.row, self.rows)
        limit = slots + self._skipped(needs, keeps)
        ahead = Signal(range(-reach - 1, limit + 1), init=-needs[0][0] - 1)

        # Slots that this window frees; in rows that the next row still reads it frees none.
        within, ends = self._advances(keeps)
        moving = next((line for line in within if any(line)), within[0])
        moves = [int(line == moving) for line in within]
        assert all(line == moving or not any(line) for line in within)
        frees = Mux(row_end, lookup(m, oy, [-n for n in ends], name="free_row"),
                    Mux(lookup(m, oy, moves, name="moves"),
                        lookup(m, ox, [-n for n in moving], name="free_column"), 0))
        m.submodules.freed = freed = Queue(
            freed_shape(walk, self.row, self.rows), depth=IN_FLIGHT)

        tap_row, tap_column = ([first for first, _ in axis.inside] for axis in (y, x))
        tap = Signal(range(max(2, y.taps * x.taps * self.groups * self.passes)))
        m.d.comb += [
            self.o.valid.eq((ahead >= 0) & freed.i.ready),
            self.o.payload.slot.eq(slot),
            self.o.payload.tap.eq(tap + raster(
                m, lookup(m, oy, tap_row, name="tap_row"), lookup(m, ox, tap_column, name="tap_column"),
                (y.taps, x.taps), (x.taps, 1), name="first_tap")),
            self.o.payload.rows.eq(lookup(m, oy, [max(0, n - 1) for _, n in y.inside], name="tap_rows")),
            self.o.payload.columns.eq(
                lookup(m, ox, [max(0, n - 1) for _, n in x.inside], name="tap_columns")),
            self.o.payload.empty.eq(lookup(m, oy, [int(n == 0) for _, n in y.inside], name="empty_row")
                                    | lookup(m, ox, [int(n == 0) for _, n in x.inside],
                                             name="empty_column")),
            self.o.payload.group.eq(group),
            self.o.payload.final.eq(turns_end & (group == self.groups - 1)),
        ]
        m.d.comb += [done.eq(taken & self.o.payload.final),
                     freed.i.valid.eq(done), freed.i.payload.eq(frees)]
        with m.If(taken):
            m.d.sync += tap.eq(tap + y.taps * x.taps)
            with m.If(turns_end):
                m.d.sync += group.eq(group + 1)
        with m.If(done):
            m.d.sync += [group.eq(0), tap.eq(0), slot.eq(next_slot)]
        m.d.sync += ahead.eq(plus(ahead, Mux(done, wait, 0), self.arrived))

        # The slots in use, less all that there are.
        used = Signal(range(-limit, 1), init=-slots - keeps[0][0])
        m.d.comb += [self.room.eq(used < 0), freed.o.ready.eq(self.released)]
        m.d.sync += used.eq(plus(used, Mux(self.released, freed.o.payload, 0), self.arrived))
        return m

    def _skipped(self, needs, keeps):
        """Most pixels freed before they arrive, because a stride or a dilation steps over them."""
        frame = self.walk.height * self.walk.width
        needs = [n for line in needs for n in line]
        keeps = [k for line in keeps for k in line] + [frame + keeps[0][0]]
        return max(keeps[0], *(k - n - 1 for n, k in zip(needs, keeps[1:])), 0)


def wrapped(m, value, size, *, name):
    """``value % size`` for ``value`` below ``2 * size``; free for powers of two."""
    result = Signal(range(size), name=name)
    if size & (size - 1) == 0:
        m.d.comb += result.eq(value)
    else:
        total = Signal(range(2 * size), name=f"{name}_total")
        m.d.comb += [total.eq(value), result.eq(Mux(total >= size, total - size, total))]
    return result
