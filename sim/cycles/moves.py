"""Everything without a window in the compiled model: sums, steps by a list, copies, adapters."""
from numba import njit

from sim.cycles.links import UNKNOWN, after, offered, put, room, skip, stop, take
from sim.cycles.tables import BLOCKED, BUSY, DRAIN, IMBALANCE, STARVED

__all__ = ["total", "script", "fork", "upsample", "source", "sink", "output",
           "TAKE", "TAKE_SECOND", "NEED", "NEED_SECOND", "MAKE"]

# A script's step: the operand in the low bits, and what it does.
OPERAND, NEED, TAKE, NEED_SECOND, TAKE_SECOND, MAKE = 63, 64, 128, 256, 512, 1024


@njit
def _all_room(t, links_at, links):
    """First cycle in which all of some queues accept a beat."""
    ready = 0
    for n in range(links):
        free = room(t.time, t.link[t.ints[links_at + n]])
        if free == UNKNOWN:
            return UNKNOWN
        ready = max(ready, free)
    return ready


@njit
def _summed(t, x):
    """Sums that have come from all lanes."""
    if x.fed:
        return t.feed[t.ints[x.lanes_at]].word
    least = t.lane[t.ints[x.lanes_at]].word
    for n in range(1, x.lanes):
        least = min(least, t.lane[t.ints[x.lanes_at + n]].word)
    return least


@njit
def total(t, u, row):
    x = t.total[row]
    known = x.popped        # sums that have come from all lanes
    moved = False
    while True:
        if x.pending:
            ready = _all_room(t, x.links_at, x.ways)
            if ready == UNKNOWN:
                return moved
            cycle = max(x.due, ready)
            if cycle > x.due:
                stop(t.stall[u], x, x.due, cycle - x.due)
            n = x.popped - (x.latency > 0)
            pixel, word = divmod(n, x.words)
            channel = x.first_channel + word * x.stride
            place = x.present_at + pixel * x.channels + channel
            for way in range(x.ways):
                if channel + way < x.channels and t.flags[place + way]:
                    put(t.time, t.link[t.ints[x.links_at + way]], cycle)
            if x.latency == 0:
                t.time[x.popped_at + x.popped] = cycle
                x.popped += 1
                x.got = cycle
            x.pending = 0
            moved = True
        n = x.popped
        if n == known:
            known = _summed(t, x)
            if n == known:
                return moved
        there = t.time[x.sums_at + n] + 1
        cycle = skip(t.stall[u], x, max(there, x.got + 1))
        if cycle == there:
            x.reason = IMBALANCE if x.lanes > 1 else DRAIN
        elif cycle > x.got + 1:
            x.reason = BLOCKED
        x.pending = 1
        moved = True
        if x.latency == 0:
            x.due = cycle
        else:
            x.got = cycle
            t.time[x.popped_at + n] = cycle
            x.popped += 1
            x.due = after(t.stall[u], x, cycle, x.latency)


@njit
def script(t, u, row):
    x = t.script[row]
    out = t.link[x.link]
    share = t.share[u]
    moved = False
    while True:
        if x.pending:
            ready = room(t.time, out)
            if ready == UNKNOWN:
                return moved
            cycle = max(x.due, ready)
            if cycle > x.due:
                stop(t.stall[u], x, x.due, cycle - x.due)
            if x.pending & MAKE:
                put(t.time, out, cycle)
            x.pending = 0
        if x.step == x.steps:
            return moved
        step = t.steps[x.steps_at + x.step]
        first = t.link[t.ints[x.links_at + (step & OPERAND)]]
        second = t.link[t.ints[x.links_at + 1]] if step & NEED_SECOND else first
        free, there = x.got + 1, 0
        if step & NEED:
            there = offered(t.time, first)
            if there == UNKNOWN:
                return moved
        if step & NEED_SECOND:
            cycle = offered(t.time, second)
            if cycle == UNKNOWN:
                return moved
            there = max(there, cycle)
        cycle = skip(t.stall[u], x, max(free, there))
        if x.latency == 0:
            ready = room(t.time, out)
            if ready == UNKNOWN:
                return moved
            cycle = max(cycle, ready)
            if step & MAKE:
                put(t.time, out, cycle)
        else:
            x.pending = 1 | step & MAKE
            x.due = after(t.stall[u], x, cycle, x.latency)
        if step & TAKE:
            take(t.time, first, cycle)
        if step & TAKE_SECOND:
            take(t.time, second, cycle)
        if x.step >= x.counted:
            share[BUSY] += 1
            there = max(there, free)
            share[STARVED] += there - free
            share[BLOCKED] += cycle - there
        x.got = cycle
        x.step += 1
        moved = True


@njit
def fork(t, u, row):
    x = t.fork[row]
    link = t.link[x.link]
    moved = False
    while True:
        there = offered(t.time, link)
        if there == UNKNOWN:
            return moved
        ready = _all_room(t, x.links_at, x.copies)
        if ready == UNKNOWN:
            return moved
        x.got = max(max(there, ready), x.got + 1)
        take(t.time, link, x.got)
        for n in range(x.copies):
            put(t.time, t.link[t.ints[x.links_at + n]], x.got)
        moved = True


@njit
def upsample(t, u, row):
    x = t.upsample[row]
    link, out = t.link[x.link], t.link[x.out]
    moved = False
    while True:
        stored = _fill(t, x, link)
        sent = _replay(t, u, x, out)
        if not (stored or sent):
            return moved
        moved = True


@njit
def _fill(t, x, link):
    """Store pixels while there are free slots."""
    moved = False
    while x.stored < x.pixels:
        if x.beat == 0:
            x.ready = 0
            if x.stored >= x.slots:
                if x.freed <= x.stored - x.slots:
                    return moved
                x.ready = t.time[x.freed_at + x.stored - x.slots] + 1
        cycle = offered(t.time, link)
        if cycle == UNKNOWN:
            return moved
        cycle = max(cycle, x.ready)
        take(t.time, link, cycle)
        moved = True
        x.beat += 1
        if x.beat == t.ints[x.beats_at + x.stored]:
            t.time[x.arrived_at + x.stored] = cycle
            x.stored += 1
            x.beat = 0
    return moved


@njit
def _replay(t, u, x, out):
    """Send each pixel ``across`` times, and each row ``down`` times."""
    moved = False
    row = x.width * x.across
    while True:
        if x.pending:
            ready = room(t.time, out)
            if ready == UNKNOWN:
                return moved
            cycle = max(x.due, ready)
            if cycle > x.due:
                stop(t.stall[u], x, x.due, cycle - x.due)
            put(t.time, out, cycle)
            x.pending = 0
            moved = True
        if x.sent == x.total:
            return moved
        line, place = divmod(x.sent, row)
        column, copy = divmod(place, x.across)
        pixel = line // x.down * x.width + column
        repeat = line % x.down
        if x.number == 0:
            turn = max(x.found, x.turned + 1)
            if repeat == 0 and copy == 0:
                if x.stored <= pixel:
                    return moved
                turn = max(turn, t.time[x.arrived_at + pixel] + 1)
            x.turned = turn
            x.got = max(x.got, turn)
        x.got = skip(t.stall[u], x, x.got + 1)
        x.due = after(t.stall[u], x, x.got, 1)
        x.pending = 1
        x.number += 1
        moved = True
        if x.number == t.ints[x.beats_at + pixel]:
            x.found = x.got
            x.number = 0
            x.sent += 1
            if repeat == x.down - 1 and copy == x.across - 1:
                t.time[x.freed_at + pixel] = x.got
                x.freed += 1


@njit
def source(t, u, row):
    """Beats of the bus are taken while less than a group of samples, one of each way, is left."""
    x = t.source[row]
    groups = x.pixels * x.channels // x.ways
    moved = False
    while x.group < groups * x.frames:
        number = x.group % groups
        while x.level < x.unit_group and x.loaded < x.unit_beats:
            x.level += x.unit_beat
            x.loaded += 1
            x.cycle += 1
        ready = _all_room(t, x.links_at, x.ways)
        if ready == UNKNOWN:
            return moved
        cycle = max(x.cycle, ready)
        pixel, word = divmod(x.group, x.channels // x.ways)
        place = x.present_at + pixel * x.channels + word * x.ways
        for way in range(x.ways):
            if t.flags[place + way]:
                put(t.time, t.link[t.ints[x.links_at + way]], cycle)
        x.level -= x.unit_group
        if number == groups - 1:
            x.level = x.loaded = 0
        if x.level < x.unit_group and x.loaded < x.unit_beats:
            x.level += x.unit_beat
            x.loaded += 1
        x.cycle = cycle + 1
        x.group += 1
        moved = True
    return moved


@njit
def sink(t, u, row):
    """Always ready."""
    link = t.link[t.sink[row].link]
    moved = False
    while True:
        cycle = offered(t.time, link)
        if cycle == UNKNOWN:
            return moved
        take(t.time, link, cycle)
        moved = True


@njit
def output(t, u, row):
    """One sample per cycle; a channel is known to be absent when a later one is there."""
    x = t.output[row]
    each = x.pixels * x.channels
    moved = False
    while x.sample < each * x.frames:
        channel = x.sample % x.channels
        link = t.link[t.ints[x.links_at + channel % x.ways]]
        cycle = offered(t.time, link)
        if cycle == UNKNOWN:
            return moved
        x.got = max(cycle, x.got + 1)
        if t.flags[x.present_at + x.sample]:
            take(t.time, link, x.got)
        x.sample += 1
        moved = True
        if x.sample % each == 0:
            t.time[x.ends_at + x.sample // each - 1] = x.got + 1
    return moved
