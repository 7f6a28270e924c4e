"""Everything without a window in the compiled model: sums, steps by a list, copies, adapters."""
from numba import njit

from sim.cycles.links import UNKNOWN, after, offered, put, room, skip, stop, take
from sim.cycles.tables import BLOCKED, BUSY, DRAIN, IMBALANCE, STARVED

__all__ = ["total", "script", "fork", "upsample", "source", "sink", "output",
           "TAKE", "TAKE_SECOND", "NEED", "NEED_SECOND", "MAKE"]

# A script's step: the operand in the low bits, and what it does.
OPERAND, NEED, TAKE, NEED_SECOND, TAKE_SECOND, MAKE = 63, 64, 128, 256, 512, 1024


@njit(_nrt=False)
def _all_room(time, link, ints, links_at, links):
    """First cycle in which all of some queues accept a beat."""
    ready = 0
    for n in range(links):
        free = room(time, link[ints[links_at + n]])
        if free == UNKNOWN:
            return UNKNOWN
        ready = max(ready, free)
    return ready


@njit(_nrt=False)
def _summed(t, x):
    """Sums that have come from all lanes."""
    if x.fed:
        return t.feed[t.ints[x.lanes_at]].word
    least = t.lane[t.ints[x.lanes_at]].word
    for n in range(1, x.lanes):
        least = min(least, t.lane[t.ints[x.lanes_at + n]].word)
    return least


@njit(_nrt=False)
def total(t, u, row):
    """Sums are added, scaled, and put into the queues: two pipelines, either may be missing."""
    time, links, ints, flags = t.time, t.link, t.ints, t.flags
    x = t.total[row]
    stall, pipe = t.stall[x.pipe], t.pipe[x.pipe]
    held, scaler = t.stall[x.scaler], t.pipe[x.scaler]
    known = x.popped        # sums that have come from all lanes
    moved = False
    while True:
        if x.pending:
            ready = _all_room(time, links, ints, x.links_at, x.ways)
            if ready == UNKNOWN:
                return moved
            cycle = max(x.due, ready)
            if cycle > x.due and x.scaling:
                stop(held, scaler, x.due, cycle, 0)
                x.limit = BLOCKED
            if x.scaling == 0:
                x.got = time[x.popped_at + x.popped] = cycle
                x.popped += 1
            pixel, word = divmod(x.popped - 1, x.words)
            channel = x.first_channel + word * x.stride
            place = x.present_at + pixel * x.channels + channel
            for way in range(x.ways):
                if channel + way < x.channels and flags[place + way]:
                    put(time, links[ints[x.links_at + way]], cycle)
            x.pending = 0
            moved = True
        n = x.popped
        if n == known:
            known = _summed(t, x)
            if n == known:
                return moved
        there = time[x.sums_at + n] + 1
        x.pending = 1
        moved = True
        if x.scaling == 0:
            x.due = max(there, x.got + 1)
            continue
        cycle = there
        if x.adding:
            cycle = skip(stall, pipe, max(there, x.got + 1))
            if cycle == there:
                x.reason = IMBALANCE if x.lanes > 1 else DRAIN
            elif cycle > x.got + 1:
                x.reason = x.limit
            x.got = cycle
            cycle = after(stall, pipe, cycle, x.adding)
        taken = skip(held, scaler, max(cycle, x.next))
        if x.adding == 0:
            x.got = taken
        elif taken > cycle:
            stop(stall, pipe, cycle, taken, 0)
            if taken == x.next and x.pace > 1:
                x.limit = DRAIN
        time[x.popped_at + n] = x.got
        x.popped += 1
        x.next = after(held, scaler, taken, x.pace)
        x.due = after(held, scaler, taken, x.scaling)


@njit(_nrt=False)
def script(t, u, row):
    """A step takes what it needs when that is there, and makes a beat or not."""
    time, links, ints, steps = t.time, t.link, t.ints, t.steps
    x = t.script[row]
    stall, pipe = t.stall[x.pipe], t.pipe[x.pipe]
    out = links[x.link]
    share = t.share[u]
    moved = False
    while True:
        if x.pending:
            ready = room(time, out)
            if ready == UNKNOWN:
                return moved
            cycle = max(x.due, ready)
            if cycle > x.due:
                stop(stall, pipe, x.due, cycle, 0)
            if x.pending & MAKE:
                put(time, out, cycle)
            x.pending = 0
        if x.step == x.steps:
            return moved
        step = steps[x.steps_at + x.step]
        first = links[ints[x.links_at + (step & OPERAND)]]
        second = links[ints[x.links_at + 1]] if step & NEED_SECOND else first
        free, there = x.got + 1, 0
        if step & NEED:
            there = offered(time, first)
            if there == UNKNOWN:
                return moved
        if step & NEED_SECOND:
            cycle = offered(time, second)
            if cycle == UNKNOWN:
                return moved
            there = max(there, cycle)
        there = max(there, free)
        if x.latency == 0:
            ready = room(time, out)
            if ready == UNKNOWN:
                return moved
            cycle = max(there, ready)
            if step & MAKE:
                put(time, out, cycle)
        else:
            cycle = skip(stall, pipe, there)
            x.pending = 1 | step & MAKE
            x.due = after(stall, pipe, cycle, x.latency)
        if step & TAKE:
            take(time, first, cycle)
        if step & TAKE_SECOND:
            take(time, second, cycle)
        if x.step >= x.counted:
            share[BUSY] += 1
            share[STARVED] += there - free
            share[BLOCKED] += cycle - there
        x.got = cycle
        x.step += 1
        moved = True


@njit(_nrt=False)
def fork(t, u, row):
    time, links, ints = t.time, t.link, t.ints
    x = t.fork[row]
    link = links[x.link]
    moved = False
    while True:
        there = offered(time, link)
        if there == UNKNOWN:
            return moved
        ready = _all_room(time, links, ints, x.links_at, x.copies)
        if ready == UNKNOWN:
            return moved
        x.got = max(max(there, ready), x.got + 1)
        take(time, link, x.got)
        for n in range(x.copies):
            put(time, links[ints[x.links_at + n]], x.got)
        moved = True


@njit(_nrt=False)
def upsample(t, u, row):
    links = t.link
    x = t.upsample[row]
    link, out = links[x.link], links[x.out]
    moved = False
    while True:
        stored = _fill(t, x, link)
        sent = _replay(t, u, x, out)
        if not (stored or sent):
            return moved
        moved = True


@njit(_nrt=False)
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


@njit(_nrt=False)
def _replay(t, u, x, out):
    """Send each pixel ``across`` times, and each row ``down`` times."""
    time, share = t.time, t.share[u]
    moved = False
    row = x.width * x.across
    while x.sent < x.total:
        line, place = divmod(x.sent, row)
        column, copy = divmod(place, x.across)
        pixel = line // x.down * x.width + column
        repeat = line % x.down
        if x.number == 0:               # the next list
            turn = x.found
            if repeat == 0 and copy == 0:
                if x.stored <= pixel:
                    return moved
                turn = max(turn, time[x.arrived_at + pixel] + 1)
            x.turned = turn
        # While the output register waits, its pipeline stops.
        there = max(x.got, x.turned) + 1
        cycle, left = max(there, x.made), 0
        if out.puts > 0:
            if out.takes < out.puts:
                return moved
            left = time[out.take_at + out.puts - 1]
            if cycle > x.made:
                cycle = max(cycle, left)
        x.made = max(cycle + 1, left)
        put(time, out, x.made)
        share[STARVED] += there - x.got - 1
        share[BUSY] += 1
        share[BLOCKED] += cycle - there
        x.got = cycle
        x.number += 1
        moved = True
        if x.number == t.ints[x.beats_at + pixel]:
            x.found = cycle
            x.number = 0
            x.sent += 1
            if repeat == x.down - 1 and copy == x.across - 1:
                time[x.freed_at + pixel] = cycle
                x.freed += 1
    return moved


@njit(_nrt=False)
def source(t, u, row):
    """Beats of the bus are taken while less than a group of samples, one of each way, is left."""
    time, links, ints, flags = t.time, t.link, t.ints, t.flags
    x = t.source[row]
    groups = x.pixels * x.channels // x.ways
    moved = False
    while x.group < groups * x.frames:
        number = x.group % groups
        while x.level < x.unit_group and x.loaded < x.unit_beats:
            x.level += x.unit_beat
            x.loaded += 1
            x.cycle += 1
        ready = _all_room(time, links, ints, x.links_at, x.ways)
        if ready == UNKNOWN:
            return moved
        cycle = max(x.cycle, ready)
        pixel, word = divmod(x.group, x.channels // x.ways)
        place = x.present_at + pixel * x.channels + word * x.ways
        for way in range(x.ways):
            if flags[place + way]:
                put(time, links[ints[x.links_at + way]], cycle)
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


@njit(_nrt=False)
def sink(t, u, row):
    """Always ready."""
    time, links = t.time, t.link
    link = links[t.sink[row].link]
    moved = False
    while True:
        cycle = offered(time, link)
        if cycle == UNKNOWN:
            return moved
        take(time, link, cycle)
        moved = True


@njit(_nrt=False)
def output(t, u, row):
    """One sample per cycle; a channel is known to be absent when a later one is there."""
    time, links, ints, flags = t.time, t.link, t.ints, t.flags
    x = t.output[row]
    each = x.pixels * x.channels
    moved = False
    while x.sample < each * x.frames:
        channel = x.sample % x.channels
        link = links[ints[x.links_at + channel % x.ways]]
        cycle = offered(time, link)
        if cycle == UNKNOWN:
            return moved
        x.got = max(cycle, x.got + 1)
        if flags[x.present_at + x.sample]:
            take(time, link, x.got)
        x.sample += 1
        moved = True
        if x.sample % each == 0:
            time[x.ends_at + x.sample // each - 1] = x.got + 1
    return moved
