"""Bounds of shapes, and the exact ones of sums of products: what accumulators are sized by."""
import numpy as np
from amaranth import C, Cat, Mux, Value, signed
from amaranth.utils import bits_for

from .check import integers

__all__ = ["clamp", "limits", "plus", "signed_bits", "sum_bounds"]


def limits(shape):
    """Least and largest number of an Amaranth shape."""
    least = -(1 << shape.width >> 1) if shape.signed else 0
    return least, least + (1 << shape.width) - 1


def plus(a, b, carry):
    """``a + b + carry`` in one adder, of two signed numbers and a bit."""
    return (Cat(1, a).as_signed() + Cat(carry, b).as_signed()) >> 1


def clamp(value, low, high, threshold=0, *, up=0):
    """``value + up`` within its bounds, for one bit ``up``; with a threshold, 0 below it.

    Neither the comparisons nor what is 0 wait for the sum.

    Returns
    -------
    (result, nonzero)
    """
    def reaches(bound):
        return ~plus(value, C(-bound, signed(bits_for(-bound, require_sign_bit=True))), up)[-1]

    inside = reaches(low or max(threshold, 1))
    if not high:
        nonzero = ~reaches(0) if low else C(0)
    else:
        nonzero = (value.as_unsigned() ^ Value.cast(up).replicate(len(value))).any() if low else inside
    return Mux(inside, Mux(reaches(high + 1), high, value + up), low), nonzero


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
    flat, bias = integers("Weights", weights).reshape(len(weights), -1), integers("Biases", bias)
    negative = np.minimum(flat, 0).sum(axis=1)
    positive = np.maximum(flat, 0).sum(axis=1)
    return (bias + positive * low + negative * high,
            bias + positive * high + negative * low)
