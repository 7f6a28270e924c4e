"""QuantizeLinear and DequantizeLinear: where reals become stored integers and back."""
from dataclasses import replace

import numpy as np
import onnx

from cores.graph import Tensor
from cores.importer.pointwise import MAX_BITS, function_of, tabulated
from cores.importer.pool import averaged
from cores.importer.reader import numpy_type
from cores.importer.registry import operator
from cores.importer.values import (
    Host,
    Input,
    Pointwise,
    Quantized,
    Real,
    Sums,
    Weights,
    stored_bound,
)

__all__ = ["rounded"]

RANGES = {"uint4": (0, 15), "int4": (-8, 7), "uint8": (0, 255), "int8": (-128, 127),
          "uint16": (0, 65535), "int16": (-32768, 32767)}


def _parameters(node):
    """Scale (float64), zero point (int64), its type (or None) and axis, checked."""
    scale, zero = node.constant(1), node.constant(2)
    node.expect("block_size", 0, "quantize per tensor or per channel")
    for name in "saturate", "precision", "output_dtype":
        node.attribute(name)
    axis = node.attribute("axis", 1)
    if scale is None:
        node.refuse("scale must be given")
    dtype = None if zero is None else zero.dtype
    scale = np.asarray(scale, np.float64)
    zero = np.zeros(scale.shape, np.int64) if zero is None else zero.astype(np.int64)
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        node.refuse("scale must be positive and finite; check the quantization")
    if zero.size != scale.size:
        node.refuse(f"zero point's shape {zero.shape} must be the scale's, {scale.shape}")
    shape = () if scale.size == 1 else scale.shape
    return scale.reshape(shape), zero.reshape(shape), dtype, axis


def _activation_type(node, scale, dtype):
    """Lowest and highest integer of an activation's type."""
    if scale.ndim:
        node.refuse("an activation's scale must be one number; quantize activations per tensor")
    if dtype.name not in RANGES:
        node.refuse(f"type {dtype.name} is not supported; use one of {', '.join(RANGES)}")
    return RANGES[dtype.name]


def _tensor(name, shape, scale, zero, low, high):
    zero = int(zero)
    return Tensor(name, *shape, low - zero, high - zero, zero, float(scale))


@operator("QuantizeLinear")
def quantize(node, state):
    """4, 8 or 16 bits, signed or not, any zero point; activations per tensor."""
    value = node.value(0)
    scale, zero, dtype, axis = _parameters(node)
    if dtype is None:
        code = node.attribute("output_dtype", 0) or onnx.TensorProto.UINT8
        dtype = numpy_type(code)
        if dtype is None:
            node.refuse(f"output_dtype {code} is no type that ONNX knows; export it again")
    if isinstance(value, np.ndarray):
        return _quantize_constant(node, value, scale, zero, dtype, axis)
    if isinstance(value, Host):
        return value
    return rounded(node, state, scale, zero, *_activation_type(node, scale, dtype))


def rounded(node, state, scale, zero, low, high):
    """The first input, an activation, as integers from ``low`` to ``high``: a Quantized."""
    value, name = node.value(0), node.proto.input[0]
    if isinstance(value, Input):
        tensor = _tensor(value.name, value.shape, scale, zero, low, high)
        return Quantized(_graph_input(node, state, tensor), value.layout)
    if isinstance(value, Real):
        tensor = value.tensor
        same = (float(scale), int(zero)) == (tensor.scale, tensor.zero_point)
        if same and low - zero <= tensor.low and tensor.high <= high - zero:
            return Quantized(tensor, value.layout)
        # From the one scale to the other: a table, or an average of single pixels.
        value = (function_of(node, state) if tensor.bits <= MAX_BITS else
                 averaged(node, state, value, layout=value.layout, kernel=(1, 1)))
    if isinstance(value, Pointwise):
        tensor = _tensor(name, value.shape, scale, zero, low, high)
        return Quantized(tabulated(node, state, value, tensor), value.layout)
    if isinstance(value, Sums):
        if name in state.tensors and not value.made:        # the reals of a stored tensor
            name = node.proto.output[0]
        tensor = _tensor(name, value.shape, scale, zero, low, high)
        return Quantized(_round(node, state, value, tensor), value.layout)
    node.refuse(f"input {name!r} must be a real activation")


def _quantize_constant(node, value, scale, zero, dtype, axis):
    """Weights that the file keeps in floating point, ahead of their QuantizeLinear."""
    if not np.isfinite(value).all():
        node.refuse("weights must be finite; check the training")
    if dtype.name not in RANGES:
        node.refuse(f"type {dtype.name} is not supported; use one of {', '.join(RANGES)}")
    shape = _along(node, value, scale, axis)
    # The quotient is float32, as the operator defines it.
    with np.errstate(over="ignore"):
        quotient = value.astype(np.float32) / scale.astype(np.float32).reshape(shape)
    integers = np.rint(quotient) + zero.reshape(shape)
    return np.clip(integers, *RANGES[dtype.name]).astype(np.int64).astype(dtype)


def _along(node, value, scale, axis):
    """Shape that broadcasts ``scale`` along ``axis`` of ``value``."""
    if not scale.ndim:
        return ()
    if not -value.ndim <= axis < value.ndim or scale.shape != (value.shape[axis],):
        node.refuse(f"scale of shape {scale.shape} does not fit axis {axis} of {value.shape}")
    shape = [1] * value.ndim
    shape[axis] = -1
    return shape


def _graph_input(node, state, tensor):
    if state.input is not None and state.input != tensor:
        node.refuse("the graph's input is quantized twice, and differently; quantize it once")
    state.input = state.tensors[tensor.name] = tensor
    return tensor


def _round(node, state, sums, tensor):
    """Append the node that rounds ``sums`` to ``tensor``; return it with the range it has then."""
    if sums.made:
        if tensor not in sums.made:
            node.refuse("its input is quantized twice, and differently; quantize it once")
        return sums.made[tensor]
    low, high = stored_bound(sums.minimum, tensor), stored_bound(sums.maximum, tensor)
    made = replace(tensor, low=min(low, 0), high=max(high, 0))
    try:
        state.add(sums.make(made, low, high, *(sums.affine or ())), made)
    except ValueError as error:
        sums.node.refuse(f"{error}; check the scales around it")
    sums.made[tensor] = made
    return made


@operator("DequantizeLinear")
def dequantize(node, state):
    """Integers of 4, 8 or 16 bits, biases of 32; weights per tensor or per output channel."""
    value = node.value(0)
    scale, zero, _, axis = _parameters(node)
    if isinstance(value, Host):
        return value
    if isinstance(value, np.ndarray):
        if value.dtype.name not in (*RANGES, "int32"):
            node.refuse(f"type {value.dtype.name} is not supported; use one of "
                        f"{', '.join(RANGES)}")
        shape = _along(node, value, scale, axis)
        integers = value.astype(np.int64) - zero.reshape(shape)
        return Weights(integers, scale, axis % value.ndim if value.ndim else 0)
    if isinstance(value, Input):
        low, high = _activation_type(node, scale, value.dtype)
        tensor = _tensor(value.name, value.shape, scale, zero, low, high)
        return Real(_graph_input(node, state, tensor), value.layout)
    if isinstance(value, Real) or not isinstance(value, Quantized):
        node.refuse(f"input {node.proto.input[0]!r} must be quantized")
    tensor = value.tensor
    if scale.ndim or (float(scale), int(zero)) != (tensor.scale, tensor.zero_point):
        node.refuse("scale or zero point differs from the QuantizeLinear before it; "
                    "give both the same")
    return Real(tensor, value.layout)
