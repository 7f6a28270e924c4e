"""Pareto sets."""
import numba
import numpy as np

__all__ = ["unbeaten"]


def unbeaten(values, groups=None):
    """Rows that no other row of their group beats: is at most as high everywhere, and lower or earlier.

    Parameters
    ----------
    values : array of float (N, criteria)
        The less, the better.
    groups : array of int (N)
        Rows with the same number form a group; all are one if None.

    Returns
    -------
    array of int
        Numbers of the rows, rising.
    """
    values = np.ascontiguousarray(values, float)
    group = np.zeros(len(values), int) if groups is None else groups
    # A row that beats another one comes before it.
    order = np.lexsort((*values.T[::-1], group))
    return np.sort(order[_kept(values[order], group[order])])


@numba.njit(cache=True)
def _kept(values, group):
    count, criteria = values.shape
    result, front, size = np.zeros(count, np.bool_), np.empty(count, np.int64), 0
    for n in range(count):
        if n and group[n] != group[n - 1]:
            size = 0
        beaten = False
        for k in range(size):
            better = True
            for c in range(criteria):
                if values[front[k], c] > values[n, c]:
                    better = False
                    break
            if better:
                beaten = True
                break
        if not beaten:
            front[size] = n
            size += 1
            result[n] = True
    return result
