"""Operators on integers, written out as QDQ: DequantizeLinear, the float operator, QuantizeLinear.

So the importer meets one form of quantization. Nodes keep their names, for messages; a result's
real value, which such files don't name, is called as the integers without "_quantized".
"""
import math
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from cores.errors import UserError
from cores.importer.constant import constant
from cores.importer.reader import constants
from cores.importer.registry import Node

__all__ = ["EXPANSIONS", "expand"]

_DOMAINS = ("", "ai.onnx", "com.microsoft")
_SUFFIX = "_quantized"


@dataclass(frozen=True)
class Expansion:
    """A float operator, and where the integer one keeps what: positions among its inputs.

    Each of ``operands`` is followed by its scale and zero point, and ``result`` is the scale of the
    output, followed by its zero point. A ``bias`` has the product of the operands' scales.
    """
    op: str
    operands: tuple[int, ...] = (0,)
    result: int = 3
    bias: int | None = None


EXPANSIONS = {
    "QLinearConv": Expansion("Conv", (0, 3), 6, bias=8),
    "QLinearMatMul": Expansion("MatMul", (0, 3), 6),
    "QGemm": Expansion("Gemm", (0, 3), 7, bias=6),
    "QLinearAdd": Expansion("Add", (0, 3), 6),
    "QLinearMul": Expansion("Mul", (0, 3), 6),
    "QLinearConcat": Expansion("Concat", (), 0),            # any number of operands, from 2 on
    "QLinearAveragePool": Expansion("AveragePool"),
    "QLinearGlobalAveragePool": Expansion("GlobalAveragePool"),
    "QLinearReduceMean": Expansion("ReduceMean"),
    "QLinearSigmoid": Expansion("Sigmoid"),
    "QLinearLeakyRelu": Expansion("LeakyRelu"),
    "QLinearSoftmax": Expansion("Softmax"),
}

# What moves integers as it moves reals: the scale goes through.
_MOVES = ("Concat", "Dropout", "Flatten", "Identity", "MaxPool", "Pad", "Reshape", "Resize",
          "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze")


def expand(model):
    """``model`` without QLinear operators and without float operators that read integers.

    Parameters
    ----------
    model : onnx.ModelProto
        Of opset 13 or newer; not changed.

    Returns
    -------
    onnx.ModelProto
        ``model`` itself if it has none.

    Raises
    ------
    UserError
        If the inputs of such an operator are not as they must be.
    """
    expander = _Expander(model)
    for node in model.graph.node:
        expander.visit(node)
    if not expander.expanded:
        return model
    result = onnx.ModelProto()
    result.CopyFrom(model)
    del result.graph.node[:]
    result.graph.node.extend(expander.nodes)
    result.graph.initializer.extend(expander.made)
    return result


class _Expander:
    def __init__(self, model):
        self.nodes, self.made, self.expanded = [], [], False
        self._arrays = constants(model)
        self._scales = {}       # (scale, zero point), as names, of integers by their name
        graph = model.graph
        self._taken = {*self._arrays, *(i.name for i in graph.input),
                       *(name for node in graph.node for name in (*node.input, *node.output))}

    def visit(self, node):
        self._node = node
        if node.op_type in EXPANSIONS and node.domain in _DOMAINS:
            self._expand(EXPANSIONS[node.op_type])
        elif node.op_type in _MOVES and any(name in self._scales for name in node.input):
            self._move()
        else:
            self.nodes.append(node)
            if node.op_type == "QuantizeLinear":
                self._scales[node.output[0]] = tuple(node.input[1:3])
            elif node.op_type == "Constant":
                self._arrays[node.output[0]] = constant(Node(node, 0, None), None)

    def _refuse(self, message):
        raise UserError(f"{self._node.op_type} node {self._node.name or self._node.output[0]!r}: "
                        f"{message}")

    def _input(self, index):
        return self._node.input[index] if index < len(self._node.input) else ""

    def _expand(self, how):
        node = self._node
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        attributes.pop("opset", None)       # of Softmax's definition
        if attributes.pop("channels_last", 0):
            self._refuse("attribute 'channels_last' = 1 is not supported; export the model with "
                         "channels first (NCHW)")
        positions = how.operands or range(2, len(node.input), 3)
        first = how.op == "Conv" or bool(attributes.get("transB"))      # axis of the filters
        inputs = [self._dequantized(*(self._input(position + i) for i in range(3)),
                                    axis=0 if first and position else 1) for position in positions]
        if how.bias is not None and self._input(how.bias):
            inputs.append(self._bias(how, attributes.get("alpha", 1.0)))
        scale, zero = self._input(how.result), self._input(how.result + 1)
        self._emit(how.op, inputs, [(scale, zero)], attributes)

    def _move(self):
        """Give an operator that moves integers the reals, and back."""
        node = self._node
        operands = node.input if node.op_type == "Concat" else node.input[:1]
        if any(name not in self._scales for name in operands):
            self._refuse("its inputs must all be quantized alike; check the quantization")
        scales = [self._scales[name] for name in operands]
        if len({tuple(self._number(name) for name in pair if name) for pair in scales}) > 1:
            self._refuse("its inputs have different scales or zero points, which integers cannot "
                         "be joined with; use QLinearConcat")
        inputs = [self._dequantized(name, *pair) for name, pair in zip(operands, scales)]
        inputs += node.input[len(inputs):]
        if node.op_type == "Pad":
            self._pad(inputs, *map(self._number, scales[0]))
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        self._emit(node.op_type, inputs, scales[:1] * len(node.output), attributes)

    def _pad(self, inputs, scale, zero=0):
        """Make the value that integers are padded with, 0 by default, a real."""
        if self._input(2) or zero:
            value = self._number(inputs[2]) if self._input(2) else 0
            inputs += [""] * (3 - len(inputs))
            inputs[2] = self._constant(np.float32((value - zero) * scale), "value")

    def _emit(self, op, inputs, scales, attributes):
        """Append the float operator and a QuantizeLinear for each output that has a scale."""
        node = self._node
        reals = [self._fresh(name.removesuffix(_SUFFIX), "real") if name and pair[0] else name
                 for name, pair in zip(node.output, scales)]
        self.nodes.append(helper.make_node(op, inputs, reals, node.name, **attributes))
        for name, real, pair in zip(node.output, reals, scales):
            if name and pair[0]:
                self.nodes.append(helper.make_node(
                    "QuantizeLinear", [real, *(n for n in pair if n)], [name], node.name))
                self._scales[name] = pair
        self.expanded = True

    def _dequantized(self, name, scale, zero="", *, axis=1):
        if not name or not scale:
            self._refuse("an operand or its scale is missing; check the model")
        real = self._fresh(name.removesuffix(_SUFFIX), "dequantized")
        self.nodes.append(helper.make_node(
            "DequantizeLinear", [n for n in (name, scale, zero) if n], [real], self._node.name,
            axis=axis))
        return real

    def _bias(self, how, alpha):
        scales = [self._array(self._input(position + 1)) for position in how.operands]
        product = np.float32(alpha) * math.prod(s.astype(np.float32) for s in scales)
        name = self._input(how.bias)
        return self._dequantized(name, self._constant(product, "bias_scale"), axis=0)

    def _array(self, name):
        if name not in self._arrays:
            self._refuse(f"input {name!r} must be a constant; export the model with fixed "
                         "parameters")
        return self._arrays[name]

    def _number(self, name):
        array = self._array(name)
        if array.size != 1:
            self._refuse(f"input {name!r} must be one number; quantize activations per tensor")
        return array.item()

    def _constant(self, array, what):
        name = self._fresh(self._node.output[0], what)
        self.made.append(onnx.numpy_helper.from_array(np.asarray(array, np.float32), name))
        return name

    def _fresh(self, stem, what):
        """A name that nothing has yet: the stem for a result's reals, else with ``what``."""
        names = [stem] * (what == "real") + [f"{stem}_{what}"]
        number = 2
        while names[0] in self._taken:
            names = names[1:] or [f"{stem}_{what}_{number}"]
            number += 1
        self._taken.add(names[0])
        return names[0]
