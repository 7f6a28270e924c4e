"""Slice and Split: boxes of a map."""
from dataclasses import replace

from cores.graph import Slice
from cores.importer.layout import dimensions
from cores.importer.registry import operator
from cores.importer.values import Real

__all__ = ["cut"]


@operator("Slice")
def slice_of(node, state):
    """Constant starts, ends, axes, steps: over channels, and over height and width with steps."""
    source = node.activation()
    sizes = dimensions(source.layout, source.shape)
    starts, ends, axes, steps = (node.integers(index) for index in (1, 2, 3, 4))
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps):
        node.refuse(f"starts {starts}, ends {ends}, axes {axes} and steps {steps} must be as many; "
                    "check the model")
    ranges = {}
    for start, end, axis, step in zip(starts, ends, axes, steps):
        axis = node.dimension(axis, len(sizes))
        if step < 1:
            node.refuse(f"step {step} is not supported; only steps from 1")
        size = sizes[axis]
        start, end, _ = slice(start, end).indices(size)
        ranges[axis] = start, -((start - end) // step), step
    return cut(node, state, source, ranges, node.proto.output[0])


@operator("Split")
def split(node, state):
    """Sizes as an input or attribute, num_outputs, or equal parts; over channels, height or width."""
    source, outputs = node.activation(), node.proto.output
    axis = node.dimension(node.attribute("axis", 0), len(source.layout))
    size = dimensions(source.layout, source.shape)[axis]
    parts, given = node.integers(1), node.attribute("num_outputs")
    parts = node.attribute("split") if parts is None else parts
    if parts is None:
        # All alike, but for the last where the number of outputs does not divide the size.
        part = -(-size // len(outputs))
        parts = [min(part, size - start) for start in range(0, size, part)]
    if sum(parts) != size or min(parts) < 0 or len(parts) != len(outputs) or given not in (None, len(outputs)):
        node.refuse(f"parts {parts} do not fit axis {axis} of {size} and {len(outputs)} outputs; "
                    "check the model")
    starts = [sum(parts[:index]) for index in range(len(parts))]
    return tuple(
        cut(node, state, source, {axis: (start, part, 1)}, output)
        for start, part, output in zip(starts, parts, outputs) if output)


def cut(node, state, source, ranges, name):
    """A Real named ``name``: (start, size, step) of each dimension in ``ranges``, all of others."""
    sizes = dimensions(source.layout, source.shape)
    start, size, steps = dict.fromkeys("HWC", 0), dict(zip("HWC", source.shape)), {}
    for dimension, (first, count, step) in ranges.items():
        if (first, count) == (0, sizes[dimension]):
            continue
        if count < 1:
            node.refuse(f"nothing of the {sizes[dimension]} of axis {dimension} is left; check the "
                        "model")
        axis, step = source.layout[dimension], 1 if count == 1 else step
        if len(axis) > 1:
            node.refuse(f"axis {dimension} of {sizes} is not supported, as it holds more than one "
                        "of height, width and channels")
        if axis == "C" and step > 1:
            node.refuse(f"step {step} over channels is not supported; only 1")
        start[axis], size[axis], steps[axis] = first, count, step
    made = replace(source.tensor, name=name, height=size["H"], width=size["W"], channels=size["C"])
    if made.shape == source.shape:
        return source
    state.add(Slice(state.unique(node.name), source.tensor.name, name, tuple(start.values()),
                    made.shape, (steps.get("H", 1), steps.get("W", 1))), made)
    return Real(made, source.layout)
