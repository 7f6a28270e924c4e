"""Operators that move no data: they only name the dimensions of a map differently."""
import math
from dataclasses import replace

import numpy as np

from cores.importer.host import left_to_host
from cores.importer.layout import dimensions, regrouped
from cores.importer.registry import operator
from cores.importer.values import Host, Quantized, Weights


@operator("Identity", "Dropout", ignore_attributes=True)
def same(node, state):
    """One output."""
    value = node.value(0)
    if len([o for o in node.proto.output if o]) > 1:
        node.refuse("its second output is not supported; remove what reads it")
    return value


@operator("Flatten")
def flatten(node, state):
    """What keeps each of channels, height and width whole; behind the last layer, anything."""
    axis = node.attribute("axis", 1)

    def sizes(old):
        split = len(old) if axis == len(old) else node.dimension(axis, len(old))
        return math.prod(old[:split]), math.prod(old[split:])

    return _reshaped(node, state, sizes, f"axis {axis}")


@operator("Reshape")
def reshape(node, state):
    """What keeps each of channels, height and width whole; behind the last layer, anything."""
    wanted = node.integers(1)
    if node.attribute("allowzero", 0) and 0 in wanted:      # else a 0 keeps a size
        node.refuse(f"shape {wanted} with allowzero 1 is of an empty tensor; check the model")

    def sizes(old):
        new = [old[i] if s == 0 and i < len(old) else s for i, s in enumerate(wanted)]
        if new.count(-1) == 1:
            known = -math.prod(new)
            new[new.index(-1)] = math.prod(old) // known if known else 0
        return new

    return _reshaped(node, state, sizes, f"shape {wanted}")


@operator("Gather")
def gather(node, state):
    """One that takes everything in order, as PyTorch writes `as_strided`: a Reshape."""
    axis, indices = node.attribute("axis", 0), node.constant(1)

    def sizes(old):
        n = node.dimension(axis, len(old))
        if not np.array_equal(indices.ravel() % old[n], np.arange(old[n])):
            node.refuse("only one that takes everything in order is supported; slice instead")
        return [*old[:n], *indices.shape, *old[n + 1:]]

    return _reshaped(node, state, sizes, f"axis {axis}")


@operator("Shape")
def shape(node, state):
    """Of a tensor of the network: a constant."""
    sizes = dimensions(_require(node, node.value(0)).layout, node.value(0).shape)
    return np.array(sizes[node.attribute("start", 0):node.attribute("end")], np.int64)


def _axes(node):
    axes = node.integers(1)
    return node.attribute("axes") if axes is None else axes


@operator("Squeeze")
def squeeze(node, state):
    """Any dimensions of size 1."""
    axes = _axes(node)

    def sizes(old):
        gone = ([i for i, s in enumerate(old) if s == 1] if axes is None
                else [node.dimension(a, len(old)) for a in axes])
        return [s for i, s in enumerate(old) if i not in gone]

    return _reshaped(node, state, sizes, f"axes {axes}")


@operator("Unsqueeze")
def unsqueeze(node, state):
    """Any dimensions."""
    axes = _axes(node) or []

    def sizes(old):
        left, rank = iter(old), len(old) + len(axes)
        new = {node.dimension(a, rank) for a in axes}
        if len(new) < len(axes):
            node.refuse(f"axes {axes} must all be different; check the model")
        return [1 if i in new else next(left) for i in range(rank)]

    return _reshaped(node, state, sizes, f"axes {axes}")


@operator("Transpose")
def transpose(node, state):
    """Any order, as long as layers with windows read (N, C, H, W) or (N, C, L)."""
    value, order = node.value(0), node.attribute("perm")
    if isinstance(value, Host):
        return left_to_host(node, state, value)
    layout = None if isinstance(value, Weights) else _require(node, value).layout
    rank = value.values.ndim if layout is None else len(layout)
    order = list(range(rank))[::-1] if order is None else order
    if sorted(order) != list(range(rank)):
        node.refuse(f"perm {order} does not fit {rank} dimensions; check the model")
    if layout is None:
        return replace(value, values=value.values.transpose(order), axis=order.index(value.axis))
    return replace(value, layout=tuple(layout[i] for i in order))


def _reshaped(node, state, sizes, shown):
    """The first input with the dimensions that ``sizes`` makes of its old ones."""
    value = node.value(0)
    if isinstance(value, Host):
        return left_to_host(node, state, value)
    old = dimensions(_require(node, value).layout, value.shape)
    layout = regrouped(value.layout, value.shape, sizes(old))
    if layout is not None:
        return replace(value, layout=layout)
    message = f"{shown} of {old} is not supported; only what keeps each of C, H and W whole"
    if isinstance(value, Quantized):
        return left_to_host(node, state, value, reason=message)
    node.refuse(message)


def _require(node, value):
    if not hasattr(value, "layout"):
        node.refuse(f"input {node.proto.input[0]!r} must be an activation of the network")
    return value
