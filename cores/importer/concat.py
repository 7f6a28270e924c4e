"""Concat: the channels of several tensors one after the other."""
from dataclasses import replace

import numpy as np

from cores.graph import Concat, Pool, Table
from cores.importer.host import left_to_host
from cores.importer.layout import dimensions, holds
from cores.importer.pointwise import MAX_BITS, source_of
from cores.importer.registry import operator
from cores.importer.values import Host, Real, Sums
from cores.scaling import requantization

__all__ = ["rescaled"]


@operator("Concat")
def concat(node, state):
    """Over the channels, of maps of one height and width; tensors of other scales are rescaled."""
    count, axis = len(node.proto.input), node.attribute("axis", 1)
    values = [node.value(index) for index in range(count)]
    if any(isinstance(value, Host) for value in values):
        return left_to_host(node, state, *values)
    operands = [node.activation(index) for index in range(count)]
    first = operands[0]
    axis = node.dimension(axis, len(first.layout))
    if not _along_channels(operands, axis):
        shown = " and ".join(str(dimensions(o.layout, o.shape)) for o in operands)
        return left_to_host(
            node, state, *operands, reason=f"axis {axis} of {shown} is not supported; only the "
            "channels of maps of one height and width, laid out alike")
    if count == 1:
        return first
    layout = (*first.layout[:axis], "C", *first.layout[axis + 1:])
    channels, output = sum(o.tensor.channels for o in operands), node.proto.output[0]

    def join(name, sources):
        return Concat(state.unique(node.name), tuple(sources), name)

    if len({(o.tensor.scale, o.tensor.zero_point) for o in operands}) == 1:
        made = replace(first.tensor, name=output, channels=channels,
                       low=min(o.tensor.low for o in operands),
                       high=max(o.tensor.high for o in operands))
        state.add(join(output, [o.tensor.name for o in operands]), made)
        return Real(made, layout)

    def make(made, low, high):
        return join(made.name, [rescaled(node, state, operand, made, low, high)
                                for operand in operands])

    return Sums(node, make, (*first.shape[:2], channels), layout)


def _along_channels(operands, axis):
    first = operands[0]
    return all(
        len(o.layout) == len(first.layout) > axis and o.shape[:2] == first.shape[:2]
        and holds(o.layout, o.shape, axis, "C")
        and o.layout[:axis] == first.layout[:axis] and o.layout[axis + 1:] == first.layout[axis + 1:]
        for o in operands)


def rescaled(node, state, operand, made, low, high):
    """The name of a tensor with the reals of ``operand``, in the scale and zero point of ``made``.

    It is what DequantizeLinear and QuantizeLinear compute, but clipped at ``low`` and ``high``: a
    table, or an average of single pixels where a table would be too large. Nothing has to be done
    for a tensor that has that scale, and no values beyond.
    """
    tensor = operand.tensor
    same = (tensor.scale, tensor.zero_point) == (made.scale, made.zero_point)
    if same and low <= tensor.low and tensor.high <= high:
        return tensor.name
    name = f"{tensor.name}_as_{made.name}"
    if name in state.tensors:       # read twice
        return name
    target = replace(tensor, name=name, low=min(low, 0), high=max(high, 0),
                     scale=made.scale, zero_point=made.zero_point)
    unique = state.unique(f"{node.name}_rescale")
    if tensor.bits > MAX_BITS:
        scale = np.full(tensor.channels, tensor.scale / made.scale)
        state.add(Pool(unique, tensor.name, name, "avg", (1, 1), requantization=requantization(
            scale, low, high, sum_min=tensor.low, sum_max=tensor.high)), target)
        return name
    source, table = source_of(state, operand)       # one table instead of two
    stored = np.arange(tensor.low, tensor.high + 1)[None] if table is None else table.values
    with np.errstate(over="ignore"):
        reals = stored.astype(np.float32) * np.float32(tensor.scale)
        rows = np.clip(np.rint(reals / np.float32(made.scale)), low, high).astype(np.int64)
    state.add(Table(unique, source.name, name, source.low, rows), target)
    return name
