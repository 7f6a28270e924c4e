"""Arithmetic with constants and between functions of one tensor, and BatchNormalization.

On the sums of a convolution a factor and an offset are exact: they fold into its weights, bias and
requantization. On what is stored already the result is a function by table.
"""
from dataclasses import replace

import numpy as np

from cores.importer.layout import dimensions, to_map
from cores.importer.pointwise import MAX_BITS, applied, function_of, source_of
from cores.importer.registry import operator
from cores.importer.values import Pointwise, Real, Sums, Weights

__all__ = ["ARITHMETIC", "combined"]

ARITHMETIC = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide,
              "Pow": np.power, "Min": np.minimum, "Max": np.maximum}
_TWO = {
    "Mul": "product of two activations is not supported: one operand must be a constant, or both "
           "functions of one tensor, as in SiLU; gates (squeeze-and-excite) are not supported",
    "Sub": "difference of two activations is not supported; negate the weights of the layer before "
           "it and use Add",
}


@operator("Sub", "Mul", "Div", "Pow", "Min", "Max")
def arithmetic(node, state):
    """With a constant, a number or one per channel; or two functions of one tensor"""
    value = combined(node, state)
    if value is None:
        node.refuse(_TWO.get(node.op, "two different activations are not supported; one operand "
                                      "must be a constant, or both functions of one tensor"))
    return value


@operator("PRelu")
def prelu(node, state):
    """One slope, or one per channel"""
    value = function_of(node, state)
    slope = _per_channel(node, 1, value)
    return applied(node, value, lambda x: np.where(x < 0, slope[:, None] * x, x))


@operator("BatchNormalization")
def batch_normalization(node, state):
    """For inference; folded into the convolution before it, or a table per channel"""
    node.expect("training_mode", 0, "export the model for inference")
    node.attribute("momentum")
    epsilon, value = np.float32(node.attribute("epsilon", 1e-5)), _operand(node, 0)
    shape = (-1, *[1] * (len(value.layout) - 2))
    scale, bias, mean, variance = (_per_channel(node, index, value, shape) for index in range(1, 5))
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(variance + epsilon)
    offset = bias - mean * factor
    if isinstance(value, Sums):
        return _scaled(node, value, factor, offset)
    value = function_of(node, state)
    return applied(node, value, lambda x: x * factor[:, None] + offset[:, None])


def combined(node, state):
    """An operator on two values, one of them constant or both functions of one stored tensor.

    Returns None if they are activations of two tensors, or one twice that is too wide for a table.
    """
    if len(node.proto.input) != 2:
        node.refuse(f"{len(node.proto.input)} operands are not supported; use two")
    constant = [_is_constant(node.value(index)) for index in (0, 1)]
    function = ARITHMETIC[node.op]
    if any(constant):
        at = constant.index(False) if False in constant else 0
        value = _operand(node, at)
        number = _per_channel(node, 1 - at, value)
        if isinstance(value, Sums):
            return _folded(node, value, number, first=at == 0)
        other = number[:, None]
        return applied(node, function_of(node, state, at),
                       (lambda x: function(x, other)) if at == 0 else (lambda x: function(other, x)))
    first, second = (_stored(node, index) for index in (0, 1))
    same = source_of(state, first)[0].name == source_of(state, second)[0].name
    wide = isinstance(first, Real) and first.tensor.bits > MAX_BITS
    if not same or (node.op == "Add" and wide):
        return None
    if first.layout != second.layout:
        node.refuse("operands must have one shape, not "
                    f"{dimensions(first.layout, first.shape)} and "
                    f"{dimensions(second.layout, second.shape)}")
    second = function_of(node, state, 1)
    return applied(node, function_of(node, state, 0), function, second.values)


def _folded(node, sums, number, *, first):
    """``sums op number``, or the other way round if the sums do not come ``first``."""
    one, none = np.ones_like(number), np.zeros_like(number)
    if node.op in ("Min", "Max") and number.size == 1:
        bounds = (-np.inf, float(number[0])) if node.op == "Min" else (float(number[0]), np.inf)
        return sums.clamped(*bounds)
    with np.errstate(divide="ignore"):
        reciprocal = 1 / number.astype(np.float64)
    affine = {"Add": (one, number), "Mul": (number, none),
              "Sub": (one, -number) if first else (-one, number),
              "Div": (reciprocal, none) if first else None}.get(node.op)
    if affine is None:
        node.refuse(f"its operand is not quantized; {_QUANTIZE}")
    return _scaled(node, sums, *affine)


_QUANTIZE = "put a QuantizeLinear and a DequantizeLinear before this node"


def _scaled(node, sums, factor, offset):
    """The Sums ``sums * factor + offset``; both have one value, or one for each channel."""
    if sums.affine is None:
        node.refuse(f"reads the sums of {sums.node.op} node {sums.node.name!r}, and only those of "
                    f"a convolution are scaled or offset before they are rounded; {_QUANTIZE}")
    factor, offset = (np.broadcast_to(np.asarray(v, np.float64), sums.shape[2:])
                      for v in (factor, offset))
    if not (np.isfinite(factor).all() and np.isfinite(offset).all()):
        node.refuse("its constants must be finite, and a divisor not 0; check the training")
    minimum, maximum = sums.minimum, sums.maximum
    if (minimum, maximum) != (-np.inf, np.inf):
        if np.ptp(factor) or np.ptp(offset) or not factor[0]:
            node.refuse("stands behind a Relu or Clip, whose bounds would differ between channels; "
                        f"{_QUANTIZE}")
        minimum, maximum = sorted((minimum * factor[0] + offset[0], maximum * factor[0] + offset[0]))
    before, shift = sums.affine
    return replace(sums, minimum=minimum, maximum=maximum, made={},
                   affine=(before * factor, shift * factor + offset))


def _operand(node, index):
    """An input that must be Sums, or what a table can be made of."""
    value = node.value(index)
    return value if isinstance(value, Sums) else _stored(node, index)


def _stored(node, index):
    value = node.value(index)
    return value if isinstance(value, Pointwise) else node.activation(index)


def _is_constant(value):
    return isinstance(value, (np.ndarray, Weights))


def _per_channel(node, index, value, shape=None):
    """A constant input as float32 numbers for ``value``: one, or one for each channel."""
    constant, name = node.value(index), node.proto.input[index]
    if isinstance(constant, Weights):
        along = [-1 if axis == constant.axis else 1 for axis in range(constant.values.ndim)]
        scale = constant.scale.reshape(along) if constant.scale.ndim else constant.scale
        constant = np.asarray(constant.values.astype(np.float32) * scale.astype(np.float32))
    if not isinstance(constant, np.ndarray):
        node.refuse(f"input {name!r} must be a constant; store it in the model")
    constant = constant.astype(np.float32)
    if np.isnan(constant).any():
        node.refuse(f"constant {name!r} holds values that are no numbers; check the training")
    sizes = dimensions(value.layout, value.shape)
    try:
        whole = np.broadcast_to(constant if shape is None else constant.reshape(shape), sizes)
    except ValueError:
        node.refuse(f"constant {name!r} of shape {constant.shape} does not fit {sizes}; only one "
                    "number, or one for each channel, is supported")
    pixels = to_map(whole, value.layout, value.shape)
    if (pixels != pixels[0, 0]).any():
        node.refuse(f"constant {name!r} of shape {constant.shape} differs between the positions of "
                    "a map; only one number, or one for each channel, is supported")
    row = pixels[0, 0]
    return row[:1] if (row == row[0]).all() else row
