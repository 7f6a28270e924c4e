"""The registry of operators, and what their functions are given.

An operator is a function ``(node, state) -> value`` (or a tuple of them), registered by
``@operator("Name")``; its values are those of :mod:`cores.importer.values`. It reads attributes by
``node.attribute``, and an attribute that nothing read is refused: none is ignored in silence.
"""
import functools
from dataclasses import dataclass, field

import numpy as np
import onnx

from cores.errors import UserError
from cores.importer.layout import WINDOWED, dimensions, whole
from cores.importer.reader import QONNX
from cores.importer.values import Host, Input, Pointwise, Real, Sums, Weights

__all__ = ["OPERATORS", "Node", "State", "operator"]

OPERATORS = {}
_DOMAINS = {"QuantizeLinear": ("", "ai.onnx", "com.microsoft"),
            "DequantizeLinear": ("", "ai.onnx", "com.microsoft"), "Quant": QONNX, "IntQuant": QONNX}


def operator(*names, ignore_attributes=False):
    """Register a function for ONNX operators."""
    def register(function):
        @functools.wraps(function)
        def checked(node, state):
            results = function(node, state)
            if not ignore_attributes:
                node.check_attributes()
            return results

        for name in names:
            OPERATORS[name] = checked
        return function
    return register


@dataclass
class State:
    """The import in progress."""
    values: dict                    # by ONNX name
    tensors: dict = field(default_factory=dict)
    nodes: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    input: object = None            # the graph's input Tensor, once quantized

    def add(self, node, tensor):
        """Append a node of the integer graph and the tensor that it makes."""
        self.tensors[tensor.name] = tensor
        self.nodes.append(node)

    def unique(self, name):
        """``name``, or with a number if a node has it already."""
        taken = {node.name for node in self.nodes}
        candidates = [name, *(f"{name}_{i}" for i in range(2, len(taken) + 3))]
        return next(candidate for candidate in candidates if candidate not in taken)


class Node:
    """An ONNX node: its attributes and inputs, read with checks."""
    def __init__(self, proto, index, state):
        self.proto, self._state = proto, state
        self.op = proto.op_type
        self.name = proto.name or f"{proto.op_type}{index}"
        self.domains = _DOMAINS.get(self.op, ("", "ai.onnx"))
        self._attributes = {a.name: a for a in proto.attribute}
        self._read = set()

    def function(self):
        """What imports this node, refused if nothing does."""
        if self.op not in OPERATORS or self.proto.domain not in self.domains:
            self.refuse("operator is not supported; docs/operators.md lists those that are")
        return OPERATORS[self.op]

    def refuse(self, message):
        """Raise the UserError that names this node."""
        raise UserError(f"{self.op} node {self.name!r}: {message}")

    def attribute(self, name, default=None):
        """Value of an attribute, or ``default`` if it is absent."""
        self._read.add(name)
        if name not in self._attributes:
            return default
        value = onnx.helper.get_attribute_value(self._attributes[name])
        return value.decode() if isinstance(value, bytes) else value

    def expect(self, name, value, advice):
        """Refuse unless an attribute has the one value, or is absent."""
        found = self.attribute(name, value)
        if found != value:
            self.refuse(f"{name} {found!r} is not supported; {advice}")

    def check_attributes(self):
        """Refuse attributes that nothing read."""
        for name in self._attributes:
            if name not in self._read:
                self.refuse(f"attribute {name!r} = {self.attribute(name)!r} is not supported; "
                            "export the model without it")

    def value(self, index):
        """Value of an input, None if it is absent."""
        if index >= len(self.proto.input) or not self.proto.input[index]:
            return None
        name = self.proto.input[index]
        if name not in self._state.values:
            self.refuse(f"input {name!r} is made by no node before it; check the model")
        return self._state.values[name]

    def constant(self, index):
        """An input that must be a constant array, None if it is absent."""
        value = self.value(index)
        if value is not None and not isinstance(value, np.ndarray):
            self.refuse(f"input {self.proto.input[index]!r} must be a constant; "
                        "export the model with fixed parameters")
        return value

    def integers(self, index):
        """An input that must be a constant list of integers, None if it is absent."""
        value = self.constant(index)
        if value is not None and (value.ndim != 1 or value.dtype.kind not in "iu"):
            self.refuse(f"input {self.proto.input[index]!r} must be a list of integers; "
                        "check the model")
        return None if value is None else value.tolist()

    def dimension(self, axis, rank):
        """``axis``, which may count from the end, as one from 0."""
        if not -rank <= axis < rank:
            self.refuse(f"axis {axis} does not fit {rank} dimensions; check the model")
        return axis % rank

    def activation(self, index=0):
        """An input that must be a stored tensor."""
        value = self.value(index)
        if isinstance(value, Real):
            return value
        name = self.proto.input[index]
        if isinstance(value, Host) and value.reason:
            raise UserError(value.reason)
        if isinstance(value, (Sums, Pointwise, Input)):
            self.refuse(f"input {name!r} is not quantized; put a QuantizeLinear and a "
                        "DequantizeLinear before this node")
        if isinstance(value, (np.ndarray, Weights)):
            self.refuse(f"input {name!r} is a constant, which is not supported there; fold it into "
                        "the layer before this node")
        self.refuse(f"input {name!r} is not an activation of the network; cut the model before it")

    def map(self):
        """The first input, which must be a stored (1, C, H, W) or (1, C, L) tensor."""
        value = self.activation()
        if whole(value.layout, value.shape) not in WINDOWED:
            order = " in this order" if len(value.layout) in (3, 4) else ""
            self.refuse("input must be maps (1, C, H, W) or (1, C, L), not "
                        f"{dimensions(value.layout, value.shape)}{order}")
        return value
