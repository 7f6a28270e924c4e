"""Relu and Clip: clamp bounds of the node before them."""
import numpy as np

from cores.importer.registry import operator
from cores.importer.values import Real, Sums, Weights, stored_bound


@operator("Relu")
def relu(node, state):
    return _clamp(node, 0.0, np.inf)


@operator("Clip")
def clip(node, state):
    def bound(index, default):
        value = node.value(index)
        if isinstance(value, Weights):
            value = value.values * value.scale
        if value is None:
            return default
        if not isinstance(value, np.ndarray) or value.size != 1 or np.isnan(value).any():
            node.refuse(f"bound {node.proto.input[index]!r} must be one constant number")
        return float(value.reshape(()))

    return _clamp(node, bound(1, -np.inf), bound(2, np.inf))


def _clamp(node, low, high):
    value = node.value(0)
    if isinstance(value, Sums):
        return value.clamped(low, high)
    if isinstance(value, Real):
        tensor = value.tensor
        # The stored range may lie within the bounds already.
        if (stored_bound(low, tensor), stored_bound(high, tensor)) == (tensor.low, tensor.high):
            return value
        node.refuse(f"stands behind the quantization of {tensor.name!r}, which keeps values "
                    "beyond its bounds; put it before the QuantizeLinear")
    node.refuse(f"input {node.proto.input[0]!r} must be what a layer computed")
