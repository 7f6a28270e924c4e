"""Parameter checks shared by the components."""

__all__ = ["positive", "between", "threshold_within"]


def between(name, value, low, high):
    """Return ``value`` if it is an integer in ``[low, high]``; raise TypeError or ValueError."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name} must be from {low} to {high}, not {value!r}")
    return value


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
