"""Add: the sum of two stored tensors."""
from cores.graph import Add
from cores.importer.registry import operator
from cores.importer.values import Sums
from cores.quantization import add_scales


@operator("Add")
def add(node, state):
    first, second = (node.activation(index) for index in (0, 1))
    if (first.flat, first.tensor.shape) != (second.flat, second.tensor.shape):
        node.refuse(f"operands must have one shape, not {_shown(first)} and {_shown(second)}; "
                    "an operand that is broadcast is not supported")
    a, b = first.tensor, second.tensor

    def make(made, low, high):
        multipliers, shift = add_scales(a.scale, b.scale, made.scale)
        return Add(state.unique(node.name), a.name, b.name, made.name, multipliers, shift,
                   made.zero_point, low, high)

    return Sums(node, make, a.shape, first.flat)


def _shown(value):
    """A tensor's shape as the file has it."""
    height, width, channels = value.tensor.shape
    return (1, height * width * channels) if value.flat else (1, channels, height, width)
