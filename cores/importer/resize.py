"""Resize to an integer multiple, where that is each pixel several times."""
from dataclasses import replace

import numpy as np

from cores.graph import Upsample
from cores.importer.layout import dimensions, whole
from cores.importer.registry import operator
from cores.importer.values import Real


@operator("Resize")
def resize(node, state):
    """Mode nearest to integer multiples, by scales or sizes, wherever that repeats each pixel."""
    source = node.activation()
    layout = whole(source.layout, source.shape)
    sizes = dimensions(layout, source.shape)
    wanted, scales = _wanted(node, sizes)
    mode = node.attribute("mode", "nearest")
    transformation = node.attribute("coordinate_transformation_mode", "half_pixel")
    rounding = node.attribute("nearest_mode", "round_prefer_floor")
    for name in "cubic_coeff_a", "exclude_outside", "extrapolation_value":
        node.attribute(name)        # matter to other modes only
    node.expect("antialias", 0, "export the model without it")
    if wanted == list(sizes):
        return source
    if mode != "nearest":
        node.refuse(f"mode {mode!r} is not supported; only 'nearest'")
    if transformation not in _COORDINATES:
        node.refuse(f"coordinate_transformation_mode {transformation!r} is not supported; use "
                    "'asymmetric'")
    factors = {"H": 1, "W": 1}
    for axis, size, large, scale in zip(layout, sizes, wanted, scales):
        if large == size:
            continue
        if axis not in factors or large % size:
            node.refuse(f"from {sizes} to {tuple(wanted)} is not supported; only integer multiples "
                        "of the height and the width")
        seen = _seen(transformation, rounding, size, large, np.float32(scale))
        factors[axis] = large // size
        if (seen != np.arange(large) // factors[axis]).any():
            node.refuse(f"coordinate_transformation_mode {transformation!r} with nearest_mode "
                        f"{rounding!r} does not repeat each pixel {factors[axis]} times; use "
                        "'asymmetric' with 'floor'")
    tensor, name, factor = source.tensor, node.proto.output[0], tuple(factors.values())
    made = replace(tensor, name=name, height=tensor.height * factor[0],
                   width=tensor.width * factor[1])
    state.add(Upsample(state.unique(node.name), tensor.name, name, factor), made)
    return Real(made, layout)


def _wanted(node, sizes):
    """Sizes after the node, and its scales."""
    node.expect("keep_aspect_ratio_policy", "stretch", "export the model with explicit sizes")
    scales, targets, axes = node.constant(2), node.integers(3), node.attribute("axes")
    axes = list(range(len(sizes)) if axes is None else axes)
    scales = None if scales is None or not scales.size else scales
    given = scales if targets is None else targets
    if given is None or len(given) != len(axes):
        node.refuse(f"scales or sizes must be constants, one for each of {len(axes)} axes")
    wanted, factors = list(sizes), [1.0] * len(sizes)
    for axis, number in zip(axes, given):
        axis = node.dimension(axis, len(sizes))
        wanted[axis] = int(number * sizes[axis]) if targets is None else number
        factors[axis] = number if targets is None else number / sizes[axis]
    return wanted, factors


# Where pixel x of the ``large`` result is in the source of ``size``: ONNX's formulas, in float32.
_COORDINATES = {
    "asymmetric": lambda x, size, large, scale: x / scale,
    "half_pixel": lambda x, size, large, scale: (x + 0.5) / scale - 0.5,
    "pytorch_half_pixel": lambda x, size, large, scale:
        (x + 0.5) / scale - 0.5 if large > 1 else x * 0,
    "align_corners": lambda x, size, large, scale: x * (size - 1) / max(large - 1, 1),
    "half_pixel_symmetric": lambda x, size, large, scale:
        size / 2 * (1 - large / (scale * size)) + (x + 0.5) / scale - 0.5,
}
_ROUNDINGS = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def _seen(transformation, rounding, size, large, scale):
    """Index of the pixel that each pixel of the result shows."""
    x = np.arange(large, dtype=np.float32)
    at = _ROUNDINGS[rounding](_COORDINATES[transformation](x, size, large, scale))
    return np.clip(at, 0, size - 1).astype(int)
