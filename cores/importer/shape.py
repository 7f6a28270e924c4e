"""Operators that move no data: reshaping to (1, K), Identity, Dropout."""
import math
from dataclasses import replace

from cores.importer.registry import operator
from cores.importer.values import Host, Input, Quantized, Sums


@operator("Identity", "Dropout", ignore_attributes=True)
def same(node, state):
    value = node.value(0)
    if len([o for o in node.proto.output if o]) > 1:
        node.refuse("its second output is not supported; remove what reads it")
    return value


@operator("Flatten")
def flatten(node, state):
    value = node.value(0)
    axis = node.attribute("axis", 1)
    if isinstance(value, Host):
        return value
    _require(node, value)
    rank = 2 if value.flat else 4
    if axis % rank != 1:
        node.refuse(f"axis {axis} is not supported; only 1, which keeps the batch")
    return replace(value, flat=True)


@operator("Reshape")
def reshape(node, state):
    value = node.value(0)
    if isinstance(value, Host):
        node.attribute("allowzero")
        return value
    sizes = node.integers(1)
    node.expect("allowzero", 0, "use sizes that are not 0")
    _require(node, value)
    height, width, channels = _shape(value)
    old = (1, height * width * channels) if value.flat else (1, channels, height, width)
    new = [old[i] if s == 0 and i < len(old) else s for i, s in enumerate(sizes)]
    if new.count(-1) == 1:
        known = -math.prod(new)
        new[new.index(-1)] = math.prod(old) // known if known else 0
    if new == [1, math.prod(old)]:
        return replace(value, flat=True)
    if new == [1, channels, height, width]:
        return replace(value, flat=False)
    node.refuse(f"shape {sizes} of maps {old} is not supported; only (1, K)")


@operator("Squeeze")
def squeeze(node, state):
    value = node.value(0)
    if isinstance(value, Host):
        return value
    _require(node, value)
    axes = sorted(a % 4 for a in node.integers(1) or ())
    if value.flat or _shape(value)[:2] != (1, 1) or axes != [2, 3]:
        node.refuse(f"axes {axes} is not supported; only [2, 3] of 1 x 1 maps")
    return replace(value, flat=True)


def _shape(value):
    return value.tensor.shape if isinstance(value, Quantized) else value.shape


def _require(node, value):
    if not isinstance(value, (Quantized, Sums, Input)):
        node.refuse(f"input {node.proto.input[0]!r} must be an activation of the network")
