"""Maximum and average pooling, global ones included."""
from dataclasses import replace

import numpy as np

from cores.graph import Pool
from cores.importer.layout import whole
from cores.importer.registry import operator
from cores.importer.values import Real, Sums
from cores.importer.window import fitting_size, read_window
from cores.scaling import requantization

__all__ = ["averaged"]


def _extended(node, source, window):
    """The window with as much more padding below and to the right as ceil_mode needs."""
    if not node.attribute("ceil_mode", 0):
        return window
    padding = list(window["padding"])
    for axis, size in enumerate(source.shape[:2]):
        reach = window["dilation"][axis] * (window["kernel"][axis] - 1) + 1
        stride, before = window["stride"][axis], padding[axis]
        left_over = (size + before + padding[axis + 2] - reach) % stride
        starts = size + before + padding[axis + 2] - reach - left_over + stride
        # A window that would start in the padding after the map is dropped.
        if left_over and starts < size + before:
            padding[axis + 2] += stride - left_over
    return {**window, "padding": tuple(padding)}


def _max(node, state, source, *, layout=None, **window):
    tensor = source.tensor
    pool = Pool(state.unique(node.name), tensor.name, node.proto.output[0], "max", **window)
    height, width = fitting_size(node, pool, tensor)
    made = replace(tensor, name=pool.output, height=height, width=width)
    state.add(pool, made)
    return Real(made, layout or whole(source.layout, source.shape))


def averaged(node, state, source, *, layout=None, counted=None, **window):
    """The Sums of an average of a Real."""
    tensor = source.tensor
    taps = window["kernel"][0] * window["kernel"][1]
    # Windows that reach over what is counted have divisors of their own.
    divisors = np.full(tensor.channels, taps) if counted is None else np.arange(1, taps + 1)

    def build(name, output, requantization):
        return Pool(name, tensor.name, output, "avg", requantization=requantization,
                    counted=counted, **window)

    def make(made, low, high):
        return build(state.unique(node.name), made.name, requantization(
            tensor.scale / (divisors * made.scale), low, high,
            sum_min=divisors * tensor.low, sum_max=divisors * tensor.high))

    size = fitting_size(node, build("", "", None), tensor)
    if counted is not None:
        _check_counts(node, source, size, counted=counted, **window)
    return Sums(node, make, (*size, tensor.channels),
                layout or whole(source.layout, source.shape))


def _check_counts(node, source, outputs, *, counted, kernel, stride, dilation, padding):
    """Refuse windows that would divide by 0."""
    for axis in (0, 1):
        at = (np.arange(outputs[axis])[:, None] * stride[axis] - padding[axis]
              + np.arange(kernel[axis]) * dilation[axis])
        inside = (at >= -counted[axis]) & (at < source.shape[axis] + counted[axis + 2])
        if not inside.any(axis=1).all():
            node.refuse(f"a window lies outside of what it counts, at pads {list(padding)}; use "
                        "smaller ones")


@operator("MaxPool")
def max_pool(node, state):
    """One and two dimensions; strides, dilations, pads, auto_pad, ceil_mode."""
    source = node.map()
    if len([o for o in node.proto.output if o]) > 1:
        node.refuse("its second output, Indices, is not supported; remove what reads it")
    node.attribute("storage_order")         # matters to Indices only
    return _max(node, state, source, **_extended(node, source, read_window(node, source)))


@operator("AveragePool")
def average_pool(node, state):
    """One and two dimensions; strides, dilations, pads, auto_pad, ceil_mode, count_include_pad."""
    source = node.map()
    given = read_window(node, source)
    window = _extended(node, source, given)
    counted = given["padding"] if node.attribute("count_include_pad", 0) else (0, 0, 0, 0)
    return averaged(node, state, source, **window,
                    counted=None if counted == window["padding"] else counted)


@operator("GlobalMaxPool")
def global_max_pool(node, state):
    """Maps and signals."""
    source = node.map()
    return _max(node, state, source, kernel=source.shape[:2])


@operator("GlobalAveragePool")
def global_average_pool(node, state):
    """Maps and signals."""
    source = node.map()
    return averaged(node, state, source, kernel=source.shape[:2])


def _reduced(node):
    """The input, and the kernel and the layout of a reduction over its height and width."""
    source, axes = node.activation(), node.integers(1)
    rank = len(source.layout)
    axes = node.attribute("axes", ()) if axes is None else axes
    gone = {node.dimension(axis, rank) for axis in axes} or set(range(rank))
    node.expect("noop_with_empty_axes", 0, "give the axes")
    over = "".join(source.layout[i] for i in gone)
    if "C" in over:
        node.refuse(f"axes {list(axes)} is not supported; only height and width, [2, 3] of maps")
    keep = node.attribute("keepdims", 1)
    return source, {
        "kernel": tuple(size if axis in over else 1 for axis, size in zip("HW", source.shape)),
        "layout": tuple("" if i in gone else axes for i, axes in enumerate(source.layout)
                        if keep or i not in gone)}


@operator("ReduceMean")
def reduce_mean(node, state):
    """Over height, width or both."""
    source, options = _reduced(node)
    return averaged(node, state, source, **options)


@operator("ReduceMax")
def reduce_max(node, state):
    """Over height, width or both."""
    source, options = _reduced(node)
    return _max(node, state, source, **options)
