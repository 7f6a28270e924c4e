"""Parameter checks shared by the components."""
import numpy as np

__all__ = ["between", "boolean", "integers", "positive", "threshold_within"]


def between(name, value, low, high):
    """Return ``value`` if it is an integer in ``[low, high]``; raise TypeError or ValueError."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name} must be from {low} to {high}, not {value!r}")
    return value


def boolean(name, value):
    """Return ``value`` if it is a bool; raise TypeError otherwise."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be a bool, not {value!r}")
    return value


def integers(name, values):
    """Return ``values`` as an int64 array; raise TypeError if they are anything but integers, ValueError if too large.

    Floats are refused even where they are whole, so that a float weight is not rounded by whoever comes next.
    """
    try:
        array = np.asarray(values)
    except ValueError:
        raise TypeError(f"{name} must be an array, not {values!r}") from None
    if array.size and array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, not {array.dtype.name}, such as {array.flat[:1].tolist()[0]!r}")
    if array.size and array.dtype == np.uint64 and array.max() >> 63:
        raise ValueError(f"{name} must be integers of 64 bits, not up to {array.max()}")
    return array.astype(np.int64, copy=False)


def positive(name, value):
    """Return ``value`` if it is an integer above 0; raise TypeError otherwise."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise TypeError(f"{name} must be a positive integer, not {value!r}")
    return value


def threshold_within(threshold, low, high):
    """Return the ``threshold`` of results from ``low`` to ``high``; raise TypeError or ValueError."""
    if threshold and low:
        raise ValueError(f"Threshold must be 0 with a lower bound other than 0, not {threshold!r}")
    return between("Threshold", threshold, 0, high)
