"""Run all units of the compiled model until nothing moves any more."""
import zlib
from pathlib import Path

import numpy as np
from numba import njit

from sim.cycles.moves import fork, output, script, sink, source, total, upsample
from sim.cycles.windows import feed, lane, stepper, store

__all__ = ["run", "NAMES"]

NAMES = ("store", "stepper", "lane", "feed", "total", "script", "fork", "upsample", "source", "sink",
         "output")


@njit(_nrt=False)
def _advance(t, u):
    """Let a unit do all that is known of it; whether it did anything."""
    kind, row = t.unit[u].kind, t.unit[u].row
    if kind == 0:
        return store(t, u, row)
    if kind == 1:
        return stepper(t, u, row)
    if kind == 2:
        return lane(t, u, row)
    if kind == 3:
        return feed(t, u, row)
    if kind == 4:
        return total(t, u, row)
    if kind == 5:
        return script(t, u, row)
    if kind == 6:
        return fork(t, u, row)
    if kind == 7:
        return upsample(t, u, row)
    if kind == 8:
        return source(t, u, row)
    if kind == 9:
        return sink(t, u, row)
    return output(t, u, row)


def _compiled(digest):
    """The compiled loop, kept from one process to the next for as long as its sources do not change.

    What Numba keeps goes by the file of a function alone, not by those that it calls; and by what
    it closes over.
    """
    @njit(cache=True)
    def run(t):
        """Every unit has another turn when one beside it moved. The order does not matter."""
        _ = digest
        units = len(t.unit)
        turns = np.arange(units)
        head, waiting = 0, units
        while waiting:
            u = turns[head]
            head = (head + 1) % units
            waiting -= 1
            t.unit[u].waiting = 0
            if _advance(t, u):
                unit = t.unit[u]
                for n in range(unit.near_at, unit.near_at + unit.nears):
                    near = t.ints[n]
                    if not t.unit[near].waiting:
                        t.unit[near].waiting = 1
                        turns[(head + waiting) % units] = near
                        waiting += 1
    return run


def _digest():
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return zlib.crc32(b"".join(source.read_bytes() for source in sources))


run = _compiled(_digest())
