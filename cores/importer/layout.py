"""How the dimensions of an ONNX value hold the axes of its map.

A layout has one string for each dimension, the batch included: the axes "H", "W" and "C" that it
holds, the slowest first, and "" for a dimension of size 1. So ("", "C", "H", "W") is a map as
convolutions read it, ("", "CHW") what Flatten makes of it, and ("", "H", "W", "C") one with the
channels last. Reshape and Transpose change the layout; the stored tensor stays as it is.
"""
import math

__all__ = ["WINDOWED", "FIRST", "LAST", "canonical", "dimensions", "holds", "regrouped", "to_file",
           "to_map", "whole"]

# By rank: what exporters mean, and the same with the channels last.
FIRST = {2: ("", "C"), 3: ("", "C", "W"), 4: ("", "C", "H", "W")}
LAST = {3: ("", "W", "C"), 4: ("", "H", "W", "C")}
# What a window can slide over; a map that is one pixel wide may be a signal, too.
WINDOWED = (FIRST[4], FIRST[3], ("", "C", "H"))


def _sizes(shape):
    return dict(zip("HWC", shape))


def canonical(layout, shape):
    """``layout`` without the axes of size 1 of a map of ``shape`` (height, width, channels)."""
    sizes = _sizes(shape)
    return tuple("".join(axis for axis in axes if sizes[axis] > 1) for axes in layout)


def whole(layout, shape):
    """The well-known layout that ``layout`` is, axes of size 1 included; itself if it is none."""
    known = (*WINDOWED, FIRST[2], *LAST.values())
    return next((k for k in known if canonical(k, shape) == layout), layout)


def dimensions(layout, shape):
    """Sizes of the ONNX value."""
    sizes = _sizes(shape)
    return tuple(math.prod(sizes[axis] for axis in axes) for axes in layout)


def holds(layout, shape, index, axis):
    """Whether a dimension is exactly the one axis."""
    return layout[index] == canonical((axis,), shape)[0]


def regrouped(layout, shape, wanted):
    """The layout of ``wanted`` dimensions with the axes in the same order, None if one is cut."""
    sizes, axes = _sizes(shape), list("".join(layout))
    made = []
    for size in wanted:
        taken, product = "", 1
        while product < size and axes:
            taken += axes[0]
            product *= sizes[axes.pop(0)]
        if product != size:
            return None
        made.append(taken)
    return None if axes else tuple(made)


def _order(layout):
    """All axes in the order of the file."""
    found = "".join(layout)
    return found + "".join(axis for axis in "CHW" if axis not in found)


def to_file(array, layout):
    """An array (height, width, channels) as the file's, which only has to be reshaped."""
    return array.transpose(["HWC".index(axis) for axis in _order(layout)])


def to_map(array, layout, shape):
    """The file's array as (height, width, channels)."""
    order, sizes = _order(layout), _sizes(shape)
    return array.reshape([sizes[axis] for axis in order]).transpose(
        [order.index(axis) for axis in "HWC"])
