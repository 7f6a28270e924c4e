"""Relu and Clip: clamp bounds of the node before them, or a function by table."""
import numpy as np

from cores.importer.pointwise import MAX_BITS, applied, function_of
from cores.importer.pool import averaged
from cores.importer.registry import operator
from cores.importer.values import Real, Sums, Weights, stored_bound


@operator("Relu")
def relu(node, state):
    """Part of the layer before it, or a table; of any width"""
    return _clamp(node, state, 0.0, np.inf)


@operator("Clip")
def clip(node, state):
    """Part of the layer before it, or a table; of any width; bounds as inputs or attributes"""
    def bound(index, default):
        value = node.value(index)
        if isinstance(value, Weights):
            value = value.values * value.scale
        if value is None:
            return default
        if not isinstance(value, np.ndarray) or value.size != 1 or np.isnan(value).any():
            node.refuse(f"bound {node.proto.input[index]!r} must be one constant number")
        return float(value.reshape(()))

    return _clamp(node, state, bound(1, -np.inf), bound(2, np.inf))


def _clamp(node, state, low, high):
    value = node.value(0)
    if isinstance(value, Sums):
        return value.clamped(low, high)
    if isinstance(value, Real):
        tensor = value.tensor
        # The stored range may lie within the bounds already.
        if (stored_bound(low, tensor), stored_bound(high, tensor)) == (tensor.low, tensor.high):
            return value
        if tensor.bits > MAX_BITS:      # too wide for a table: averages of single pixels
            return averaged(node, state, value, layout=value.layout, kernel=(1, 1)).clamped(low, high)
    return applied(node, function_of(node, state),
                   lambda x: np.minimum(np.maximum(x, np.float32(low)), np.float32(high)))
