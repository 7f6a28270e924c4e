"""Pointwise functions: tables from the stored values of one tensor to those of another.

All that lies between a stored tensor and the next QuantizeLinear becomes one table, and so does
what lies behind a table: SiLU or HardSwish, quantized inside or not, is a single one.
"""
import math
from dataclasses import replace

import numpy as np

from cores.graph import Table
from cores.importer.registry import operator
from cores.importer.values import Pointwise

__all__ = ["FUNCTIONS", "MAX_BITS", "applied", "function_of", "source_of", "tabulated"]

MAX_BITS = 12       # of a table's input

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _softplus(x):
    return np.logaddexp(x, 0)


def _gelu(x, approximate):
    if approximate == "tanh":
        return x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2
    return x * (1 + _erf(x * math.sqrt(0.5))) / 2


def _shrink(x, bias, lambd):
    return np.where(x < -lambd, x + bias, np.where(x > lambd, x - bias, 0))


# Functions of an array and of the attributes that follow, with ONNX's defaults. These are smooth,
# and computed in float64: their float32 is then the same on every machine.
_SMOOTH = {
    "Acos": (np.arccos, {}),
    "Acosh": (np.arccosh, {}),
    "Asin": (np.arcsin, {}),
    "Asinh": (np.arcsinh, {}),
    "Atan": (np.arctan, {}),
    "Atanh": (np.arctanh, {}),
    "Celu": (lambda x, alpha: np.maximum(x, 0) + np.minimum(alpha * np.expm1(x / alpha), 0),
             {"alpha": 1.0}),
    "Cos": (np.cos, {}),
    "Cosh": (np.cosh, {}),
    "Elu": (lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(x)), {"alpha": 1.0}),
    "Erf": (_erf, {}),
    "Exp": (np.exp, {}),
    "Gelu": (_gelu, {"approximate": "none"}),
    "Log": (np.log, {}),
    "Mish": (lambda x: x * np.tanh(_softplus(x)), {}),
    "Selu": (lambda x, alpha, gamma: gamma * np.where(x > 0, x, alpha * np.expm1(x)),
             {"alpha": 1.67326319217681884765625, "gamma": 1.05070102214813232421875}),
    "Sigmoid": (lambda x: 1 / (1 + np.exp(-x)), {}),
    "Sin": (np.sin, {}),
    "Sinh": (np.sinh, {}),
    "Softplus": (_softplus, {}),
    "Sqrt": (np.sqrt, {}),
    "Tan": (np.tan, {}),
    "Tanh": (np.tanh, {}),
}
# These make ties, which only float32 rounds as others do: after each operation.
_ARITHMETIC = {
    "Abs": (np.abs, {}),
    "Ceil": (np.ceil, {}),
    "Floor": (np.floor, {}),
    "HardSigmoid": (lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1),
                    {"alpha": 0.2, "beta": 0.5}),
    "HardSwish": (lambda x: x * np.clip(x * np.float32(1 / 6) + np.float32(0.5), 0, 1), {}),
    "LeakyRelu": (lambda x, alpha: np.where(x < 0, alpha * x, x), {"alpha": 0.01}),
    "Neg": (np.negative, {}),
    "Reciprocal": (np.reciprocal, {}),
    "Round": (np.rint, {}),
    "Shrink": (_shrink, {"bias": 0.0, "lambd": 0.5}),
    "Sign": (np.sign, {}),
    "Softsign": (lambda x: x / (1 + np.abs(x)), {}),
    "ThresholdedRelu": (lambda x, alpha: np.where(x > alpha, x, 0), {"alpha": 1.0}),
}
FUNCTIONS = _SMOOTH | _ARITHMETIC


@operator(*FUNCTIONS)
def unary(node, state):
    """Of a tensor of at most 12 bits: a table"""
    function, defaults = FUNCTIONS[node.op]
    value = function_of(node, state)
    attributes = {name: node.attribute(name, default) for name, default in defaults.items()}
    dtype = np.float64 if node.op in _SMOOTH else np.float32
    return applied(node, value, lambda x: function(x.astype(dtype), **attributes))


def applied(node, value, function, *more):
    """What a node's ``function`` of float32 arrays makes of a Pointwise."""
    with np.errstate(all="ignore"):
        values = np.asarray(function(value.values, *more), np.float32)
    return replace(value, node=node, values=values)


def source_of(state, value):
    """The tensor that a Real or Pointwise is a function of, and the table between, or None."""
    table = None if isinstance(value, Pointwise) else next(
        (n for n in state.nodes if isinstance(n, Table) and n.output == value.tensor.name), None)
    return (state.tensors[table.input] if table else value.tensor), table


def function_of(node, state, index=0):
    """An input as a Pointwise: what a table made, as a function of that table's own input."""
    value = node.value(index)
    if isinstance(value, Pointwise):
        return value
    value = node.activation(index)
    tensor = value.tensor
    if tensor.bits > MAX_BITS:
        node.refuse(f"reads {tensor.name!r} of {tensor.bits} bits, and a function of more than "
                    f"{MAX_BITS} would be too large a table; quantize it to 8 bits (of a float network, "
                    "--bits16 N leaves it at 8)")
    # As DequantizeLinear computes: in float32.
    reals = np.arange(tensor.low, tensor.high + 1).astype(np.float32) * np.float32(tensor.scale)
    source, table = source_of(state, value)
    return Pointwise(node, source, value.layout,
                     reals[table.values - tensor.low] if table else reals[None])


def tabulated(node, state, value, tensor):
    """Append the table that rounds a Pointwise to ``tensor``; return it with its tight range.

    ``node`` is the QuantizeLinear.
    """
    unknown = np.isnan(value.values).any(axis=0)
    if unknown.any():
        stored = value.tensor.low + int(unknown.argmax())
        value.node.refuse(f"its result is no number where {value.tensor.name!r} is "
                          f"{stored * value.tensor.scale:g}; put a Clip before the function")
    # The quotient is float32, as the operator defines it.
    with np.errstate(over="ignore"):
        quotient = np.rint(value.values / np.float32(tensor.scale))
    rows = np.clip(quotient, tensor.low, tensor.high).astype(np.int64)
    if (rows == rows[0]).all():
        rows = rows[:1]
    made = replace(tensor, low=min(int(rows.min()), 0), high=max(int(rows.max()), 0))
    if state.tensors.get(made.name, made) != made:
        made = replace(made, name=node.proto.output[0])     # the reals are quantized in two ways
    if made.name not in state.tensors:
        state.add(Table(state.unique(value.node.name), value.tensor.name, made.name,
                        value.tensor.low, rows), made)
    return made
