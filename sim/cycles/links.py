"""Queues between units, and pipelines that stop as a whole: when a beat can move."""
from numba import njit

from sim.cycles.tables import STALLS

__all__ = ["UNKNOWN", "room", "put", "offered", "take", "skip", "read", "after", "arrival",
           "stop"]

UNKNOWN = -1        # a cycle that depends on what another unit has not done yet
NEVER = 1 << 60
LANE = 2            # stages of a lane from reading a non-zero to its product


@njit(_nrt=False)
def _moved(time, link, n):
    """Cycle in which beat ``n`` goes from the memory of a queue into its output register."""
    moved = time[link.put_at + n] + 1
    if n > 0:
        moved = max(moved, time[link.take_at + n - 1])
    return moved


@njit(_nrt=False)
def room(time, link):
    """First cycle in which a queue accepts its next beat."""
    n = link.puts
    if link.depth == 0:
        if n == 0:
            return 0
        return time[link.take_at + n - 1] if link.takes >= n else UNKNOWN
    if n < link.depth:
        return 0
    if link.takes < n - link.depth:
        return UNKNOWN
    return _moved(time, link, n - link.depth) + 1


@njit(_nrt=False)
def put(time, link, cycle):
    time[link.put_at + link.puts] = cycle
    link.puts += 1


@njit(_nrt=False)
def offered(time, link):
    """First cycle in which a queue offers its next beat."""
    n = link.takes
    if link.depth < 0:
        return time[link.take_at + n - 1] + 1 if n > 0 else 0
    if n >= link.puts:
        return UNKNOWN
    if link.depth == 0:
        return time[link.put_at + n] + 1
    return _moved(time, link, n) + 1


@njit(_nrt=False)
def take(time, link, cycle):
    time[link.take_at + link.takes] = cycle
    link.takes += 1


# A pipeline stops as a whole from the cycle in which an item waits in its last stage. Of a stop are
# kept: its first cycle, the one behind it, and when it reaches the pipelines before: the one that feeds
# this one, and the lane that feeds that. They stop when their next item arrives meanwhile; NEVER
# until one does.

@njit(_nrt=False)
def stop(stall, pipe, cycle, end, middle):
    """Remember a stop. ``middle`` are the stages of a pipeline before this one."""
    place = pipe.last % STALLS
    stall[place, 0], stall[place, 1], stall[place, 3] = cycle, end, NEVER
    stall[place, 2] = NEVER if middle else cycle
    pipe.last += 1


@njit(_nrt=False)
def skip(stall, pipe, cycle):
    """The first cycle from ``cycle`` on in which the pipeline moves; forgets stops before."""
    while pipe.first < pipe.last:
        place = pipe.first % STALLS
        if stall[place, 0] > cycle:
            break
        cycle = max(cycle, stall[place, 1])
        pipe.first += 1
    return cycle


@njit(_nrt=False)
def after(stall, pipe, cycle, stages, which=0):
    """When what entered in ``cycle`` has moved ``stages`` times."""
    end = cycle + stages
    for n in range(pipe.first, pipe.last):
        place = n % STALLS
        if cycle < stall[place, which] < end:
            end += stall[place, 1] - stall[place, which]
    return end


@njit(_nrt=False)
def read(stall, pipe, cycle, count, middle):
    """The cycle in which a lane reads the last of ``count`` items, if the first may in ``cycle``."""
    while pipe.first < pipe.last:
        place = pipe.first % STALLS
        last, end = cycle + count - 1, stall[place, 1]
        if stall[place, 2] == NEVER:
            met = max(cycle, stall[place, 0] - LANE - middle)
            if met > last:
                break
            stall[place, 2] = met + LANE + middle
        if stall[place, 3] == NEVER and stall[place, 2] < end:
            met = max(cycle, stall[place, 2] - LANE)
            if met > last:
                break
            stall[place, 3] = met + LANE
        if stall[place, 3] < end:
            begin = stall[place, 3]
            if begin > last:
                break
            if begin > cycle:
                count -= begin - cycle
                cycle = begin
            cycle = max(cycle, end)
        pipe.first += 1
    return cycle + count - 1


@njit(_nrt=False)
def arrival(stall, pipe, cycle, middle, tail):
    """When what a lane reads in ``cycle`` has passed it, ``middle`` stages and ``tail`` stages."""
    cycle = _enter(stall, pipe, after(stall, pipe, cycle, LANE, 3), 2)
    if middle:
        cycle = _enter(stall, pipe, after(stall, pipe, cycle, middle, 2), 0)
    return after(stall, pipe, cycle, tail)


@njit(_nrt=False)
def _enter(stall, pipe, cycle, which):
    """The first cycle from ``cycle`` on in which a pipeline does not stop."""
    for n in range(pipe.first, pipe.last):
        place = n % STALLS
        if stall[place, which] <= cycle < stall[place, 1]:
            cycle = stall[place, 1]
    return cycle
