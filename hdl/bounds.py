"""Bounds of shapes, and the exact ones of sums of products: what accumulators are sized by."""
import numpy as np
from amaranth import Mux

__all__ = ["clamp", "limits", "signed_bits", "sum_bounds"]


def limits(shape):
    """Least and largest number of an Amaranth shape."""
    least = -(1 << shape.width >> 1) if shape.signed else 0
    return least, least + (1 << shape.width) - 1


def clamp(value, low, high, threshold=0):
    """``value`` within its bounds; with a threshold, 0 below it: ``low`` compares with another number."""
    return Mux(value < (threshold or low), low, Mux(value > high, high, value))


def signed_bits(low, high):
    """Bits of the narrowest signed number that holds ``low`` to ``high``."""
    return max(int(low) ^ (int(low) >> 63), int(high) ^ (int(high) >> 63), 1).bit_length() + 1


def sum_bounds(weights, bias, low, high):
    """Smallest and largest sum that each filter can reach.

    As 0 is always a possible input, the bounds with a bias of 0 also hold for every partial sum:
    of a lane, of a pass in progress, of a window that is cut by the map's edge.

    Parameters
    ----------
    weights : integer array, (filters, ...)
    bias : integer array (filters) or int
    low, high : int
        Range of the inputs, ``low <= 0 <= high``.

    Returns
    -------
    (minimum, maximum) : int64 arrays, (filters)

    Raises
    ------
    ValueError
        If 0 is not in the range.
    """
    if not low <= 0 <= high:
        raise ValueError(f"Input range must include 0, not {low} to {high}")
    flat = np.asarray(weights, np.int64).reshape(len(weights), -1)
    negative = np.minimum(flat, 0).sum(axis=1)
    positive = np.maximum(flat, 0).sum(axis=1)
    return (bias + positive * low + negative * high,
            bias + positive * high + negative * low)
