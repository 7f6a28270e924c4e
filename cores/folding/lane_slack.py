"""How much lanes that may run only some windows apart lose on windows of uneven work."""
import numba
import numpy as np

__all__ = ["slowdown"]


def slowdown(loads, windows):
    """Time of lanes that run at most ``windows`` windows apart, over that of the lane with most work.

    Parameters
    ----------
    loads : array of int (lanes, windows in their order)
        Cycles that each window takes each lane.
    windows : int

    Returns
    -------
    float
        1 or more.
    """
    return _slowdown(np.ascontiguousarray(loads.T), windows)


@numba.njit(cache=True)
def _slowdown(loads, windows):
    """A lane waits with a window until the one ``windows`` before it is complete."""
    count, lanes = loads.shape
    done, mine, alone = np.zeros(count, np.int64), np.zeros(lanes, np.int64), np.zeros(lanes, np.int64)
    for n in range(count):
        room = done[n - windows] if n >= windows else 0
        complete = 0
        for lane in range(lanes):
            mine[lane] = max(mine[lane], room) + loads[n, lane]
            alone[lane] += loads[n, lane]
            complete = max(complete, mine[lane])
        done[n] = complete
    return done[-1] / alone.max() if alone.max() else 1.0
