"""Add: the sum of two stored tensors, or of one and a constant."""
from cores.graph import Add
from cores.importer.affine import combined
from cores.importer.layout import dimensions
from cores.importer.registry import operator
from cores.importer.values import Sums
from cores.scaling import add_scales


@operator("Add")
def add(node, state):
    """Two tensors of one shape, rounded once; a constant, a number or one per channel"""
    value = combined(node, state)
    return _sum(node, state) if value is None else value


def _sum(node, state):
    first, second = (node.activation(index) for index in (0, 1))
    if (first.layout, first.shape) != (second.layout, second.shape):
        node.refuse(f"operands must have one shape, not {dimensions(first.layout, first.shape)} "
                    f"and {dimensions(second.layout, second.shape)}; "
                    "an operand that is broadcast is not supported")
    a, b = first.tensor, second.tensor

    def make(made, low, high):
        multipliers, shift = add_scales(a.scale, b.scale, made.scale)
        return Add(state.unique(node.name), a.name, b.name, made.name, multipliers, shift,
                   made.zero_point, low, high)

    return Sums(node, make, a.shape, first.layout)
