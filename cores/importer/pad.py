"""Pad: a constant around a map, and crops, where the padding is negative."""
from dataclasses import replace

import numpy as np

from cores.graph import Pad
from cores.importer.concat import rescaled
from cores.importer.layout import dimensions, whole
from cores.importer.registry import operator
from cores.importer.slice import cut
from cores.importer.values import Real, Sums, Weights, stored_bound


@operator("Pad")
def pad(node, state):
    """Constant mode, any value; over channels, height and width; negative pads crop."""
    source, value = node.activation(), _value(node)
    node.expect("mode", "constant", "only constant padding is")
    before, after = _pads(node, source)
    layout, name = whole(source.layout, source.shape), node.proto.output[0]
    sizes = dimensions(layout, source.shape)
    crops = {i: (max(-b, 0), size + min(b, 0) + min(a, 0), 1)
             for i, (b, a, size) in enumerate(zip(before, after, sizes))}
    padded = {axis: (max(b, 0), max(a, 0)) for axis, b, a in zip(layout, before, after)
              if max(b, a) > 0}
    if not padded:
        return cut(node, state, source, crops, name)
    if not all(len(axis) == 1 for axis in padded):
        node.refuse(f"pads {before + after} of {sizes} is not supported; only over the height, the "
                    "width and the channels of maps")
    cropped = cut(node, state, source, crops, f"{name}_cropped")
    before, after = (tuple(padded.get(axis, (0, 0))[side] for axis in "HWC") for side in (0, 1))
    tensor = cropped.tensor
    shape = tuple(int(size) for size in np.sum((tensor.shape, before, after), axis=0))

    def build(origin, made, stored):
        return Pad(state.unique(node.name), origin, made, before, after, stored)

    def make(made, low, high):
        stored = int(np.clip(stored_bound(value, made), low, high))
        return build(rescaled(node, state, cropped, made, low, high), made.name, stored)

    stored = stored_bound(value, tensor)
    if np.float32(stored) * np.float32(tensor.scale) != value:
        return Sums(node, make, shape, layout)      # that value the scale has to be made to fit
    made = replace(tensor, name=name, height=shape[0], width=shape[1], channels=shape[2])
    state.add(build(tensor.name, name, stored), made)
    return Real(made, layout)


def _value(node):
    """The constant, 0 by default."""
    value = node.value(2)
    if isinstance(value, Weights):
        value = value.values.astype(np.float32) * value.scale.astype(np.float32)
    value = np.float32(0) if value is None else value
    if not isinstance(value, np.ndarray | np.float32) or value.size != 1 or np.isnan(value).any():
        node.refuse(f"value {node.proto.input[2]!r} must be one constant number")
    return np.float32(value.reshape(()))


def _pads(node, source):
    """Padding before and after each dimension of the file, two lists."""
    rank, pads, axes = len(source.layout), node.integers(1), node.integers(3)
    axes = list(range(rank)) if axes is None else axes
    if pads is None or len(pads) != 2 * len(axes):
        node.refuse(f"pads {pads} must be two constants for each of {len(axes)} axes; check the "
                    "model")
    result = [0] * rank, [0] * rank
    for i, axis in enumerate(axes):
        axis = node.dimension(axis, rank)
        result[0][axis], result[1][axis] = pads[i], pads[len(axes) + i]
    return result
