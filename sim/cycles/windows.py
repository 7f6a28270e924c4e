"""Windows in the compiled model: rings of pixels, steppers, and the lanes that read under them."""
from numba import njit

from sim.cycles.links import UNKNOWN, after, offered, read, stop, take
from sim.cycles.tables import BLOCKED, BUSY, DRAIN, FILL, IMBALANCE, STARVED, TAPS

__all__ = ["store", "stepper", "lane", "feed"]

IN_FLIGHT = 16      # windows between a stepper and the slowest of its lanes
FIRST = 8           # cycles from a pass that is handed to its first product


@njit
def _windows_read(t, s):
    """Windows that all lanes of a stepper have read."""
    least = t.lane[t.ints[s.lanes_at]].window
    for n in range(1, s.lanes):
        least = min(least, t.lane[t.ints[s.lanes_at + n]].window)
    return least


@njit
def _passes_taken(t, s):
    """Passes that all lanes of a stepper have taken from their queues."""
    least = t.lane[t.ints[s.lanes_at]].passes
    for n in range(1, s.lanes):
        least = min(least, t.lane[t.ints[s.lanes_at + n]].passes)
    return least


@njit
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


@njit
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


@njit
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


@njit
def _drain(t, x, count):
    """Send the sums of a pass; whether all were. ``x`` is a lane or a feed."""
    total = t.total[x.total]
    while x.draining < count:
        n = x.word
        step = max(x.hold + 1, x.sent) if x.draining == 0 else max(x.done + 1, x.sent)
        if x.capacity == 0:                 # straight into the pipeline behind: no queue
            if n > 0:
                if total.popped < n:
                    return False
                late = t.time[total.popped_at + n - 1]
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
                late = t.time[total.popped_at + n - x.capacity] + 1
                if late > sent:
                    x.waited += late - sent
                    x.reason = total.reason
                    sent = late
        place = total.sums_at + n
        t.time[place] = max(t.time[place], sent)
        x.done, x.sent = step, sent
        x.word += 1
        x.draining += 1
    x.draining = -1
    return True


@njit
def _hold(t, u, x, free):
    """The last product of a pass is there from ``free`` on: its sums wait for those before."""
    x.hold = max(free, x.done)
    if x.hold > free:
        stop(t.stall[u], x, free, x.hold - free)
        if x.waited == 0:
            x.reason = DRAIN
    x.draining, x.waited = 0, 0


@njit
def _list(t, u, x, queued, count, counted, arrival, handed):
    """Queue a list of ``count`` non-zeros in cycle ``queued``, and read it."""
    moved = max(queued + 1, x.got)
    x.m4, x.m3, x.m2, x.m1 = x.m3, x.m2, x.m1, moved
    free, there = x.got + 1, moved + 1
    number = max(count, 1)
    if x.first == x.last:
        end = there + number - 1
    else:
        end = read(t.stall[u], x, there, number)
    if counted:
        share = t.share[u]
        share[BUSY] += count
        share[TAPS] += number - count
        share[x.reason] += end - there - number + 1
        if there > free:
            if arrival >= free:
                share[STARVED] += min(arrival + 1, there) - free
                free = min(arrival + 1, there)
            if handed > free:
                share[IMBALANCE] += min(handed, there) - free
                free = min(handed, there)
            share[FILL if handed + FIRST > x.got else TAPS] += there - free
    x.got = end


@njit
def _pass(t, u, x, s, top, rows, left, columns, group, counted, arrival, handed):
    """Look up the taps of a pass and read their lists."""
    begun = x.ended
    found, loaded, held = x.found, 0, 0
    have = False
    empty = rows == 0 or columns == 0
    rows, columns = max(rows, 1), max(columns, 1)
    step = 0
    for row in range(rows):
        place = (top + row * s.down + left) * x.groups + group + x.counts_at
        for column in range(columns):
            count = 0 if empty else t.ints[place]
            place += s.across * x.groups
            end = row == rows - 1 and column == columns - 1
            step = max(found, begun)
            if count > 0:
                if have:
                    found = max(step + 1, loaded + 1, x.m4 + 1)
                    _list(t, u, x, found, held, counted, arrival, handed)
                    handed = arrival = -100
                else:
                    found = max(step + 1, x.queued)
                loaded, held, have = found, count, True
                if end:
                    x.queued = max(found + 1, x.m4 + 1)
                    _list(t, u, x, x.queued, held, counted, arrival, handed)
            elif end:
                found = step + 1 if have else max(step + 1, x.queued)
                x.queued = max(found + 1, x.m4 + 1)
                _list(t, u, x, x.queued, held, counted, arrival, handed)
            else:
                found = step + 1
    x.found, x.ended = found, step


@njit
def lane(t, u, row):
    x = t.lane[row]
    s = t.stepper[x.stepper]
    each, passes = s.height * s.width, s.passes
    moved = False
    while True:
        if x.draining >= 0:
            begun = x.word
            sent = _drain(t, x, x.rest if x.passes % passes == 0 else x.words)
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
        arrival = t.time[s.arrival_at + window] if turn == 0 else -100
        _pass(t, u, x, s, frame * s.frame + t.ints[s.top_at + oy], t.ints[s.rows_at + oy],
              t.ints[s.left_at + ox], t.ints[s.columns_at + ox], turn // x.turns,
              frame > 0 or s.windows == each, arrival, handed)
        x.passes += 1
        _hold(t, u, x, after(t.stall[u], x, x.got, x.latency))
        if turn == passes - 1:
            place = s.released_at + window
            t.time[place] = max(t.time[place], x.got)
            x.window += 1


@njit
def feed(t, u, row):
    x = t.feed[row]
    link = t.link[x.link]
    moved = False
    while True:
        if x.draining >= 0:
            begun = x.word
            sent = _drain(t, x, x.words)
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
            x.got = read(t.stall[u], x, there, 1)
            take(t.time, link, x.got)
            x.beat += 1
            if x.frame > 0 or x.frames == 1:
                t.share[u, STARVED] += there - free
                t.share[u, BUSY] += 1
                t.share[u, x.reason] += x.got - there
        x.beat = 0
        x.frame += 1
        _hold(t, u, x, x.got + 1)
