"""Queues between units, and pipelines that stop as a whole: when a beat can move."""
from numba import njit

from sim.cycles.tables import STALLS

__all__ = ["UNKNOWN", "room", "put", "offered", "take", "skip", "read", "after", "stop"]

UNKNOWN = -1        # a cycle that depends on what another unit has not done yet


@njit
def _moved(time, link, n):
    """Cycle in which beat ``n`` goes from the memory of a queue into its output register."""
    moved = time[link.put_at + n] + 1
    if n > 0:
        moved = max(moved, time[link.take_at + n - 1])
    return moved


@njit
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


@njit
def put(time, link, cycle):
    time[link.put_at + link.puts] = cycle
    link.puts += 1


@njit
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


@njit
def take(time, link, cycle):
    time[link.take_at + link.takes] = cycle
    link.takes += 1


# A rigid pipeline stops as a whole when its last stage cannot move. ``stall`` keeps its stops
# that are not over, ``unit.first`` to ``unit.last``: first cycle and length of each.

@njit
def stop(stall, unit, cycle, length):
    """Remember a stop."""
    place = unit.last % STALLS
    stall[place, 0], stall[place, 1] = cycle, length
    unit.last += 1


@njit
def skip(stall, unit, cycle):
    """The first cycle from ``cycle`` on in which the pipeline moves; forgets stops before."""
    while unit.first < unit.last:
        start, length = stall[unit.first % STALLS]
        if start > cycle:
            break
        cycle = max(cycle, start + length)
        unit.first += 1
    return cycle


@njit
def read(stall, unit, cycle, count):
    """The cycle in which the last of ``count`` items enters, if the first may in ``cycle``."""
    end = skip(stall, unit, cycle) + count - 1
    while unit.first < unit.last:
        start, length = stall[unit.first % STALLS]
        if start > end:
            break
        end += length
        unit.first += 1
    return end


@njit
def after(stall, unit, cycle, stages):
    """When what entered in ``cycle`` has moved ``stages`` times."""
    end = cycle + stages
    for n in range(unit.first, unit.last):
        start, length = stall[n % STALLS]
        if cycle < start < end:
            end += length
    return end
