"""Checks that an integer graph means something before anyone builds it."""
import numpy as np

from cores.graph import (
    Add,
    Concat,
    Conv,
    Pad,
    Pool,
    Slice,
    Table,
    Upsample,
    output_size,
)
from cores.scaling import MULTIPLIER_BITS
from hdl.bounds import sum_bounds

__all__ = ["validate"]

# With these, sum * multiplier + half fits the reference's 64 bits.
SUM_LIMIT = 1 << 45


def validate(graph):
    """Check ``graph``.

    Raises
    ------
    ValueError
        Naming the node or tensor: if a tensor is read before it is made, made twice or missing,
        a shape does not fit, a value lies outside its tensor's range, a multiplier, shift, weight
        or sum is wider than the hardware and the reference allow, or a name is used twice.
    """
    for tensor in graph.tensors.values():
        where = f"Tensor {tensor.name!r}: "
        _check(min(tensor.shape) >= 1, where, f"shape must be positive, not {tensor.shape}")
        _check(tensor.low <= 0 <= tensor.high, where,
               f"range must include 0, not {tensor.low} to {tensor.high}")
        _check(tensor.bits <= 17, where, f"values must be at most 17 bits, not {tensor.bits}")
    _check(graph.input in graph.tensors, "", f"Input {graph.input!r} must be a tensor")
    if graph.input_table is not None:
        _check_table(graph.input_table, graph.tensors[graph.input])
    made, names = {graph.input}, set()
    for node in graph.nodes:
        where = f"Node {node.name!r}: "
        _check(node.name not in names, where, "name must be used once")
        for name in node.inputs:
            _check(name in made, where, f"input {name!r} must be made before it is read")
        _check(node.output in graph.tensors, where, f"output {node.output!r} must be a tensor")
        _check(node.output not in made, where, f"output {node.output!r} must be made once")
        sources, target = [graph.tensors[name] for name in node.inputs], graph.tensors[node.output]
        _CHECKS[type(node)](node, sources, target, where)
        names.add(node.name)
        made.add(node.output)
    _check(graph.outputs, "", "Graph must have an output")
    for output in graph.outputs:
        _check(output in made - {graph.input}, "", f"Output {output!r} must be made by a node")


def _check(condition, where, message):
    if not condition:
        raise ValueError(where + message)


def _check_table(table, tensor):
    _check(table.dtype.kind == "i" and table.shape == (tensor.channels, 256), "",
           f"Input table must be integers of {(tensor.channels, 256)}, not {table.dtype} of "
           f"{table.shape}")
    _check(tensor.low <= table.min() and table.max() <= tensor.high, "",
           f"Input table must hold values from {tensor.low} to {tensor.high}")


def _check_windowed(node, sources, target, where):
    source, = sources
    _check_window(node, source, target, where)
    if isinstance(node, Conv):
        _check_conv(node, source, where)
    else:
        _check_pool(node, source, where)
    if node.requantization is not None:
        entries = target.channels
        if isinstance(node, Pool) and node.counted is not None:
            entries = node.kernel[0] * node.kernel[1]
        _check_requantization(node.requantization, entries, target, where)


def _check_add(node, sources, target, where):
    for source in sources:
        _check(source.shape == target.shape, where,
               f"operand {source.name!r} must be {target.shape}, not {source.shape}")
    _check(len(node.multipliers) == 2 and all(0 <= m < 1 << MULTIPLIER_BITS
                                              for m in node.multipliers), where,
           f"multipliers must be two from 0 to 2**{MULTIPLIER_BITS} - 1, not {node.multipliers}")
    _check(0 <= node.shift <= 63, where, f"shift must be from 0 to 63, not {node.shift}")
    # A channel that both operands lack is not sent: it must be 0.
    _check(node.low <= 0 <= node.high, where,
           f"clamp bounds must include 0, not {node.low} to {node.high}")
    _check_bounds(node, target, where)


def _check_bounds(bounds, target, where):
    _check(target.low <= bounds.low <= bounds.high <= target.high, where,
           f"clamp bounds must lie in the output's {target.low} to {target.high}")
    _check(0 <= bounds.threshold <= bounds.high, where,
           f"threshold must be from 0 to {bounds.high}, not {bounds.threshold}")
    _check(bounds.low == 0 or not bounds.threshold, where,
           f"threshold must be 0 with a lower bound other than 0, not {bounds.threshold}")


def _check_window(node, source, target, where):
    _check(min(*node.kernel, *node.stride, *node.dilation) >= 1, where,
           "kernel, stride and dilation must be positive")
    _check(min(node.padding) >= 0, where, f"padding must not be negative: {node.padding}")
    channels = node.weights.shape[0] if isinstance(node, Conv) else source.channels
    made = (*output_size(node, source.height, source.width), channels)
    _check(min(made) >= 1, where,
           f"kernel {node.kernel} must fit the padded map of {source.height} x {source.width}")
    _check(made == target.shape, where, f"output must be {made}, not {target.shape}")


def _check_conv(node, source, where):
    weights = node.weights
    _check(weights.dtype == np.int64 and weights.ndim == 4, where,
           "weights must be four-dimensional int64")
    _check(node.groups >= 1 and source.channels % node.groups == len(weights) % node.groups == 0,
           where, f"groups must divide {source.channels} channels and {len(weights)} filters, "
           f"not be {node.groups}")
    channels = source.channels // node.groups
    _check(weights.shape[3] == channels, where,
           f"weights must have {channels} channels, not {weights.shape[3]}")
    _check(weights.min() >= -1 << 15 and weights.max() < 1 << 15, where,
           "weights must fit 16 bits signed")
    _check(node.bias.dtype == np.int64 and node.bias.shape == weights.shape[:1], where,
           "bias must be int64, one value per filter")
    _check(node.requantization is not None, where, "requantization must be given")
    minimum, maximum = sum_bounds(weights, node.bias, source.low, source.high)
    _check(minimum.min() > -SUM_LIMIT and maximum.max() < SUM_LIMIT, where,
           "sums must be below 2**45")


def _check_pool(node, source, where):
    _check(node.op in ("max", "avg"), where, f"op must be 'max' or 'avg', not {node.op!r}")
    if node.op == "avg":
        _check(node.requantization is not None, where, "requantization must be given")
        _check(node.counted is None or all(0 <= n <= p for n, p in zip(node.counted, node.padding)),
               where, f"counted padding must be at most {node.padding}, not {node.counted}")
        return
    _check(node.counted is None, where, "a maximum must have no counted padding")
    _check(node.requantization is None, where, "a maximum must have no requantization")
    sizes = source.height, source.width
    for axis, (size, outputs) in enumerate(zip(sizes, output_size(node, *sizes))):
        taps = (np.arange(outputs)[:, None] * node.stride[axis] - node.padding[axis]
                + np.arange(node.kernel[axis]) * node.dilation[axis])
        _check(((taps >= 0) & (taps < size)).any(axis=1).all(), where,
               "every window must hold a pixel of the map")


def _check_requantization(requantization, entries, target, where):
    multiplier, shift = requantization.multiplier, requantization.shift
    for array in multiplier, shift:
        _check(array.dtype == np.int64 and array.shape == (entries,), where,
               f"multiplier and shift must be int64, {entries} values each")
    _check(multiplier.min() >= 0 and multiplier.max() < 1 << MULTIPLIER_BITS, where,
           f"multiplier must be below 2**{MULTIPLIER_BITS}")
    _check(shift.min() >= 0 and shift.max() <= 63, where, "shift must be from 0 to 63")
    _check_bounds(requantization, target, where)


def _check_shape(made, target, where):
    _check(tuple(made) == target.shape, where, f"output must be {tuple(made)}, not {target.shape}")


def _check_range(low, high, target, where):
    _check(target.low <= low and high <= target.high, where,
           f"values from {low} to {high} must lie in the output's {target.low} to {target.high}")


def _check_concat(node, sources, target, where):
    height, width, _ = sources[0].shape
    for source in sources:
        _check(source.shape[:2] == (height, width), where,
               f"operand {source.name!r} must be {height} x {width}, not {source.shape[:2]}")
        _check_range(source.low, source.high, target, where)
    _check_shape((height, width, sum(source.channels for source in sources)), target, where)


def _check_slice(node, sources, target, where):
    source, = sources
    for start, size, step, available in zip(node.start, node.size, (*node.step, 1), source.shape):
        _check(start >= 0 and size >= 1 and step >= 1 and start + (size - 1) * step < available,
               where, f"box of {node.size} from {node.start} in steps of {node.step} must lie in "
               f"{source.shape}")
    _check_shape(node.size, target, where)
    _check_range(source.low, source.high, target, where)


def _check_pad(node, sources, target, where):
    source, = sources
    _check(min(*node.before, *node.after) >= 0, where,
           f"padding must not be negative: {node.before}, {node.after}")
    _check_shape(np.sum((source.shape, node.before, node.after), axis=0), target, where)
    _check_range(min(node.value, source.low), max(node.value, source.high), target, where)


def _check_upsample(node, sources, target, where):
    source, = sources
    _check(min(node.factor) >= 1, where, f"factor must be positive, not {node.factor}")
    _check_shape(np.multiply(source.shape, (*node.factor, 1)), target, where)
    _check_range(source.low, source.high, target, where)


def _check_pointwise(node, sources, target, where):
    source, = sources
    _check_shape(source.shape, target, where)
    values, entries = node.values, source.high - source.low + 1
    _check(source.bits <= 12, where, f"input must have at most 12 bits, not {source.bits}")
    _check(values.dtype == np.int64 and values.shape in ((1, entries), (source.channels, entries)),
           where, f"table must be int64 of 1 or {source.channels} rows and {entries} columns, not "
           f"{values.dtype} of {values.shape}")
    _check(node.low == source.low, where, f"table must start at {source.low}, not {node.low}")
    _check_range(values.min(), values.max(), target, where)


_CHECKS = {Conv: _check_windowed, Pool: _check_windowed, Add: _check_add, Concat: _check_concat,
           Slice: _check_slice, Pad: _check_pad, Upsample: _check_upsample, Table: _check_pointwise}
