"""Maximum and average pooling, global ones included."""
from dataclasses import replace

import numpy as np

from cores.graph import Pool
from cores.importer.registry import operator
from cores.importer.values import Real, Sums
from cores.importer.window import fitting_size, read_window
from cores.quantization import requantization


def _extended(node, tensor, window):
    """The window with bottom and right padding for ceil_mode, and whether that added any."""
    if not node.attribute("ceil_mode", 0):
        return window, False
    padding = list(window["padding"])
    for axis, size in enumerate((tensor.height, tensor.width)):
        reach = window["dilation"][axis] * (window["kernel"][axis] - 1) + 1
        stride, before = window["stride"][axis], padding[axis]
        left_over = (size + before + padding[axis + 2] - reach) % stride
        starts = size + before + padding[axis + 2] - reach - left_over + stride
        # A window that would start in the padding after the map is dropped.
        if left_over and starts < size + before:
            padding[axis + 2] += stride - left_over
    return {**window, "padding": tuple(padding)}, tuple(padding) != window["padding"]


def _max(node, state, tensor, **window):
    pool = Pool(state.unique(node.name), tensor.name, node.proto.output[0], "max", **window)
    height, width = fitting_size(node, pool, tensor)
    made = replace(tensor, name=pool.output, height=height, width=width)
    state.add(pool, made)
    return Real(made, flat=False)


def _average(node, state, tensor, *, flat=False, **window):
    taps = window["kernel"][0] * window["kernel"][1]

    def build(name, output, requantization):
        return Pool(name, tensor.name, output, "avg", requantization=requantization, **window)

    def make(made, low, high):
        scale = np.full(tensor.channels, tensor.scale / (taps * made.scale))
        return build(state.unique(node.name), made.name, requantization(
            scale, low, high, sum_min=taps * tensor.low, sum_max=taps * tensor.high))

    size = fitting_size(node, build("", "", None), tensor)
    return Sums(node, make, (*size, tensor.channels), flat)


@operator("MaxPool")
def max_pool(node, state):
    tensor = node.map().tensor
    if len([o for o in node.proto.output if o]) > 1:
        node.refuse("its second output, Indices, is not supported; remove what reads it")
    node.attribute("storage_order")         # matters to Indices only
    window, _ = _extended(node, tensor, read_window(node, tensor))
    return _max(node, state, tensor, **window)


@operator("AveragePool")
def average_pool(node, state):
    tensor = node.map().tensor
    window = read_window(node, tensor)
    if any(window["padding"]) and not node.attribute("count_include_pad", 0):
        node.refuse(f"count_include_pad 0 with pads {list(window['padding'])} is not supported: "
                    "windows at the border would have other divisors; use count_include_pad 1")
    node.attribute("count_include_pad")
    if _extended(node, tensor, window)[1]:
        node.refuse("ceil_mode 1 is not supported where it adds an output; use ceil_mode 0")
    return _average(node, state, tensor, **window)


@operator("GlobalMaxPool")
def global_max_pool(node, state):
    tensor = node.map().tensor
    return _max(node, state, tensor, kernel=(tensor.height, tensor.width))


@operator("GlobalAveragePool")
def global_average_pool(node, state):
    tensor = node.map().tensor
    return _average(node, state, tensor, kernel=(tensor.height, tensor.width))


@operator("ReduceMean")
def reduce_mean(node, state):
    tensor = node.map().tensor
    axes = node.integers(1)
    axes = sorted(a % 4 for a in (node.attribute("axes", ()) if axes is None else axes))
    node.expect("noop_with_empty_axes", 0, "give the axes")
    if axes != [2, 3]:
        node.refuse(f"axes {axes} is not supported; only the mean over height and width, [2, 3]")
    return _average(node, state, tensor, flat=not node.attribute("keepdims", 1),
                    kernel=(tensor.height, tensor.width))
