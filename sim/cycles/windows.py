"""Windows in the compiled model: rings of pixels, steppers, and the lanes that read under them."""
from numba import njit

from sim.cycles.links import UNKNOWN, arrival, offered, read, skip, stop, take
from sim.cycles.tables import BLOCKED, BUSY, DRAIN, FILL, IMBALANCE, STARVED, TAPS

__all__ = ["store", "stepper", "lane", "feed"]

IN_FLIGHT = 16      # windows between a stepper and the slowest of its lanes
NEVER_YET = -100
FIRST = 8           # cycles from a pass that is handed to its first product


@njit(_nrt=False)
def _windows_read(t, s):
    """Windows that all lanes of a stepper have read."""
    least = t.lane[t.ints[s.lanes_at]].window
    for n in range(1, s.lanes):
        least = min(least, t.lane[t.ints[s.lanes_at + n]].window)
    return least


@njit(_nrt=False)
def _passes_taken(t, s):
    """Passes that all lanes of a stepper have taken from their queues."""
    least = t.lane[t.ints[s.lanes_at]].passes
    for n in range(1, s.lanes):
        least = min(least, t.lane[t.ints[s.lanes_at + n]].passes)
    return least


@njit(_nrt=False)
def _freed(t, s, pixels):
    """First cycle in which all pixels below number ``pixels`` are freed."""
    each = s.height * s.width
    while True:
        frame, number = divmod(s.freed, each)
        if frame * s.frame + t.ints[s.keep_at + number] >= pixels:
            break
        s.freed += 1
    if s.freed == 0:
        return 0
    if _windows_read(t, s) < s.freed:
        return UNKNOWN
    return t.time[s.released_at + s.freed - 1] + 2


@njit(_nrt=False)
def store(t, u, row):
    s = t.store[row]
    link = t.link[s.link]
    moved = False
    while s.pixel < s.pixels:
        if s.beat == 0:
            ready = 0
            if s.pixel >= s.slots:
                for n in range(s.rows):
                    free = _freed(t, t.stepper[t.ints[s.steppers_at + n]], s.pixel - s.slots + 1)
                    if free == UNKNOWN:
                        return moved
                    ready = max(ready, free)
            s.ready = ready
        cycle = offered(t.time, link)
        if cycle == UNKNOWN:
            return moved
        cycle = max(cycle, s.ready)
        take(t.time, link, cycle)
        moved = True
        s.beat += 1
        if s.beat == t.ints[s.beats_at + s.pixel]:
            t.time[s.arrived_at + s.pixel] = cycle
            s.pixel += 1
            s.beat = 0
    return moved


@njit(_nrt=False)
def stepper(t, u, row):
    s = t.stepper[row]
    arrived = t.store[s.store]
    each = s.height * s.width
    taken = read_ = -1
    moved = False
    while s.puts < s.windows * s.passes:
        window, turn = divmod(s.puts, s.passes)
        if turn == 0:
            frame, number = divmod(window, each)
            needed = frame * s.frame + t.ints[s.need_at + number]
            if arrived.pixel <= needed:
                return moved
            cycle = t.time[arrived.arrived_at + needed]
            if window >= IN_FLIGHT:
                if read_ < window - IN_FLIGHT:
                    read_ = _windows_read(t, s)
                    if read_ < window - IN_FLIGHT:
                        return moved
                handed = t.time[s.put_at + (window - IN_FLIGHT + 1) * s.passes - 1] + 1
                if window > IN_FLIGHT:
                    handed = max(handed, t.time[s.released_at + window - IN_FLIGHT - 1] + 1)
                cycle = max(cycle, handed)
            t.time[s.arrival_at + window] = cycle
        cycle = t.time[s.arrival_at + window] + 1
        if s.puts > 0:
            cycle = max(cycle, t.time[s.put_at + s.puts - 1] + 1)
        oldest = s.puts - s.depth
        if oldest >= 0:
            if taken < oldest:
                taken = _passes_taken(t, s)
                if taken < oldest:
                    return moved
            free = t.time[s.put_at + oldest] + 1
            if oldest > 0:
                free = max(free, t.time[s.taken_at + oldest - 1])
            cycle = max(cycle, free + 1)
        t.time[s.put_at + s.puts] = cycle
        s.puts += 1
        moved = True
    return moved


@njit(_nrt=False)
def _drain(time, x, total, count):
    """Send the sums of a pass; whether all were. ``x`` is a lane or a feed."""
    while x.draining < count:
        n = x.word
        step = max(x.hold + 1, x.sent) if x.draining == 0 else max(x.done + 1, x.sent)
        if x.capacity == 0:                 # straight into the pipeline behind: no queue
            if n > 0:
                if total.popped < n:
                    return False
                late = time[total.popped_at + n - 1]
                if late > step:
                    x.waited += late - step
                    x.reason = BLOCKED
                    step = late
            sent = step
        else:
            sent = step + 1
            if n >= x.capacity:
                if total.popped <= n - x.capacity:
                    return False
                late = time[total.popped_at + n - x.capacity] + 1
                if late > sent:
                    x.waited += late - sent
                    x.reason = total.reason
                    sent = late
        place = total.sums_at + n
        time[place] = max(time[place], sent)
        x.done, x.sent = step, sent
        x.word += 1
        x.draining += 1
    x.draining = -1
    return True


@njit(_nrt=False)
def _hold(stall, pipe, x, free, middle):
    """The last product of a pass is there from ``free`` on: its sums wait for those before."""
    x.hold = max(free, x.done)
    if x.hold > free:
        stop(stall, pipe, free, x.hold, middle)
        if x.waited == 0:
            x.reason = DRAIN
    x.draining, x.waited = 0, 0


@njit(_nrt=False)
def _pass(ints, stall, pipe, share, x, s, place, rows, columns, counted, arrived, handed):
    """Look up the taps of a pass, ``place`` being its first one's count, and read their lists."""
    across, line = s.across * x.groups, s.down * x.groups
    found, begun, got, m1, m2, m3, m4 = x.found, x.ended, x.got, x.m1, x.m2, x.m3, x.m4
    loaded = held = lost = wait = busy = 0
    have = False
    empty = rows == 0 or columns == 0
    rows, columns = max(rows, 1), max(columns, 1)
    left, final = rows * columns, False
    column, start = 0, place
    step = 0
    # A list is queued when the next one is found, or at once if it ends its pass.
    while not final:
        count = 0
        if left > 0:
            if column == columns:
                column = 0
                start += line
                place = start
            count = 0 if empty else ints[place]
            place += across
            column += 1
            left -= 1
            step = max(found, begun)
            if count == 0:
                found = step + 1
                if left > 0:
                    continue
                if not have:            # nothing in this pass
                    found = max(found, x.queued)
                    loaded = found
            elif not have:
                loaded = found = max(step + 1, x.queued)
                held, have = count, True
                if left > 0:
                    continue
                count = 0
        if count > 0:
            found = queued = max(max(step, loaded) + 1, m4 + 1)
        else:
            final = True
            queued = max(found + 1, m4 + 1)
        # Read the list before: it leaves the queue in cycle ``got``.
        moved = max(queued + 1, got)
        m4, m3, m2, m1 = m3, m2, m1, moved
        free, there, number = got + 1, moved + 1, max(held, 1)
        if pipe.first == pipe.last:
            got = there + number - 1
        else:
            got = read(stall, pipe, there, number, x.middle)
            lost += got - there - number + 1
        busy += held
        if there > free:
            if counted and wait == 0 and busy == held:      # the first one of the pass
                if arrived >= free:
                    share[STARVED] += min(arrived + 1, there) - free
                    free = min(arrived + 1, there)
                if handed > free:
                    share[IMBALANCE] += min(handed, there) - free
                    free = min(handed, there)
                share[FILL if handed + FIRST > x.got else TAPS] += there - free
                free = there
            wait += there - free
        if count > 0:
            held, loaded = count, found
            if left == 0:               # ends its pass
                count = 0
    if counted:
        share[BUSY] += busy
        share[TAPS] += wait + (busy == 0)
        share[x.reason] += lost
    x.found, x.ended, x.queued, x.got = found, step, queued, got
    x.m1, x.m2, x.m3, x.m4 = m1, m2, m3, m4


@njit(_nrt=False)
def lane(t, u, row):
    x = t.lane[row]
    s = t.stepper[x.stepper]
    stall, pipe = t.stall[x.pipe], t.pipe[x.pipe]
    each, passes = s.height * s.width, s.passes
    moved = False
    while True:
        if x.draining >= 0:
            begun = x.word
            sent = _drain(t.time, x, t.total[x.total], x.rest if x.passes % passes == 0 else x.words)
            moved = moved or x.word > begun
            if not sent:
                return moved
        if x.window == s.windows or x.passes == s.puts:
            return moved
        moved = True
        window, turn = divmod(x.passes, passes)
        frame, number = divmod(window, each)
        oy, ox = divmod(number, s.width)
        handed = t.time[s.put_at + x.passes]
        taken = max(max(handed + 1, x.taken) + 1, x.ended)
        place = s.taken_at + x.passes
        t.time[place] = max(t.time[place], taken)
        x.taken, x.ended = taken, taken + 1
        arrived = t.time[s.arrival_at + window] if turn == 0 else NEVER_YET
        pixel = frame * s.frame + t.ints[s.top_at + oy] + t.ints[s.left_at + ox]
        _pass(t.ints, stall, pipe, t.share[u], x, s, x.counts_at + pixel * x.groups + turn // x.turns,
              t.ints[s.rows_at + oy], t.ints[s.columns_at + ox], frame > 0 or s.windows == each,
              arrived, handed)
        x.passes += 1
        _hold(stall, pipe, x, arrival(stall, pipe, x.got, x.middle, x.tail), x.middle)
        if turn == passes - 1:
            place = s.released_at + window
            t.time[place] = max(t.time[place], x.got)
            x.window += 1


@njit(_nrt=False)
def feed(t, u, row):
    x = t.feed[row]
    link = t.link[x.link]
    stall, pipe = t.stall[x.pipe], t.pipe[x.pipe]
    moved = False
    while True:
        if x.draining >= 0:
            begun = x.word
            sent = _drain(t.time, x, t.total[x.total], x.words)
            moved = moved or x.word > begun
            if not sent:
                return moved
        if x.frame == x.frames:
            return moved
        while x.beat < t.ints[x.beats_at + x.frame]:
            cycle = offered(t.time, link)
            if cycle == UNKNOWN:
                return moved
            moved = True
            free = x.got + 1
            there = max(cycle, free)
            x.got = skip(stall, pipe, there)
            take(t.time, link, x.got)
            x.beat += 1
            if x.frame > 0 or x.frames == 1:
                t.share[u, STARVED] += there - free
                t.share[u, BUSY] += 1
                t.share[u, x.reason] += x.got - there
        x.beat = 0
        x.frame += 1
        _hold(stall, pipe, x, x.got + 1, 0)
