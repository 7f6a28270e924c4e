"""What each window gives each lane to do, for the many numbers of lanes that an exploration looks at."""
import numba
import numpy as np

from cores.folding.under_windows import under_windows

__all__ = ["histogram", "lane_loads"]


def lane_loads(mask, walk, groups, lanes, row_lanes, product_cycles=1):
    """Cycles of each lane in a pass over each window: those of non-zeros under it, at least its number of taps inside the map.

    Parameters
    ----------
    mask : array of bool (N, height, width, channels)
        Which values are not zero.
    walk : Walk
    groups, lanes, row_lanes : int
        Groups of channels, which have passes of their own; lanes over a group's channels, and over kernel rows.
    product_cycles : int
        Cycles of each non-zero; a pass without any takes as many for a zero.

    Returns
    -------
    array of int (groups * windows, row_lanes * lanes)
        All windows of a group, then those of the next.
    """
    counts = _dealt(mask.reshape(-1, groups, mask.shape[-1] // groups), lanes).reshape(*mask.shape[:3], -1)
    loads = []
    for row in range(row_lanes):
        y, x = walk.axes(row, row_lanes)
        taps = np.outer([n for _, n in y.inside], [n for _, n in x.inside])
        found = under_windows(counts, walk, row, row_lanes)
        found *= product_cycles
        np.maximum(found, np.maximum(taps, product_cycles)[:, :, None], out=found)
        loads.append(found.reshape(-1, groups, lanes).swapaxes(0, 1).reshape(-1, lanes))
    return np.concatenate(loads, axis=1)


@numba.njit(cache=True)
def _dealt(mask, lanes):
    """Non-zeros of each pixel in each lane of each group: (pixels, groups, channels) to (pixels, groups, lanes)."""
    pixels, groups, channels = mask.shape
    counts = np.zeros((pixels, groups, lanes), np.int32)
    for pixel in range(pixels):
        for group in range(groups):
            lane = 0
            for channel in range(channels):
                counts[pixel, group, lane] += mask[pixel, group, channel]
                lane = lane + 1 if lane + 1 < lanes else 0
    return counts


@numba.njit(cache=True)
def histogram(loads):
    """How many windows give each lane how much to do: array of int (lanes, largest load + 1)."""
    windows, lanes = loads.shape
    counts = np.zeros((lanes, loads.max() + 1), np.int64)
    for window in range(windows):
        for lane in range(lanes):
            counts[lane, loads[window, lane]] += 1
    return counts
