"""Conv, and what it shares with fully connected layers."""
import numpy as np

from cores.graph import Conv
from cores.importer.layout import whole
from cores.importer.registry import operator
from cores.importer.values import Sums, Weights
from cores.importer.window import fitting_size, in_plane, read_window, spatial
from cores.scaling import requantized_conv

__all__ = ["layer_sums", "weights_of"]


def weights_of(node, index, rank, axis):
    """An input's dequantized weights and their scales along ``axis``, checked."""
    weights = node.value(index)
    if not isinstance(weights, Weights):
        node.refuse(f"weights {node.proto.input[index]!r} must be quantized constants; quantize "
                    "the weights too")
    if weights.values.ndim != rank or not weights.values.size:
        node.refuse(f"weights must have {rank} dimensions, not shape {weights.values.shape}; as "
                    "many as the input has, or two for a matrix")
    if weights.scale.ndim and weights.axis != axis:
        node.refuse(f"weights are quantized along axis {weights.axis}, must be along {axis}, that "
                    "of the output channels")
    if weights.values.min() < -1 << 15 or weights.values.max() >= 1 << 15:
        node.refuse("weights less their zero point must fit 16 bits; use a zero point of 0")
    return weights.values, np.broadcast_to(weights.scale, weights.values.shape[axis])


def _bias_of(node, filters, unit):
    """The third input in units of the sums: exact where the file has it so, else a float."""
    bias = node.value(2)
    if bias is None:
        return np.zeros(filters)
    values = bias.values if isinstance(bias, Weights) else bias
    if not isinstance(values, np.ndarray):
        node.refuse(f"bias {node.proto.input[2]!r} must be a constant; store it in the model")
    if values.size not in (1, filters):
        node.refuse(f"bias must have {filters} values, not {values.size}; check the model")
    values = np.broadcast_to(values.astype(np.float64).reshape(-1), filters)
    if isinstance(bias, Weights):
        ratio = bias.scale / unit
        # The file's scale is the product rounded to float32: then the integers are meant.
        return np.where(np.abs(ratio - 1) < 1e-5, values, values * ratio)
    if not np.isfinite(values).all():
        node.refuse("bias must be finite; check the training")
    return values / unit


def layer_sums(node, state, source, weights, scale, *, layout, op, **window):
    """The Sums of a convolution with ``weights`` (F, kernel height, kernel width, C)."""
    tensor = source.tensor
    unit = tensor.scale * scale
    bias = _bias_of(node, len(weights), unit)
    weights = np.ascontiguousarray(weights)

    def build(name, output, integers, rounded, requantization):
        return Conv(name, tensor.name, output, integers, rounded, requantization, op=op, **window)

    def make(made, low, high, factor, offset):
        # The requantizer multiplies by what is positive: a sign goes to the weights.
        gain = np.where(factor == 0, 1, np.abs(factor)) * unit
        sign = np.sign(factor).astype(np.int64)
        return build(state.unique(node.name), made.name, *requantized_conv(
            weights * sign[:, None, None, None], bias * sign + offset / gain, gain / made.scale,
            low, high, input_low=tensor.low, input_high=tensor.high))

    size = fitting_size(node, build("", "", weights, bias, None), tensor)
    neutral = np.ones(len(weights)), np.zeros(len(weights))
    return Sums(node, make, (*size, len(weights)), layout, affine=neutral)


@operator("Conv")
def conv(node, state):
    """One and two dimensions; strides, dilations, pads, auto_pad, any group."""
    source = node.map()
    weights, scale = weights_of(node, 1, rank=2 + len(spatial(source)), axis=0)
    filters, channels, groups = len(weights), source.tensor.channels, node.attribute("group", 1)
    if groups < 1 or weights.shape[1] * groups != channels:
        grouped = f" in each of {groups} groups" if groups != 1 else ""
        node.refuse(f"weights have {weights.shape[1]} channels{grouped}, the input has {channels}; "
                    "check the model")
    if filters % groups:
        node.refuse(f"group {groups} does not divide {filters} filters; check the model")
    window = read_window(node, source, kernel=weights.shape[2:])
    kernel = window.pop("kernel")
    if kernel != in_plane(source, weights.shape[2:], 1):
        node.refuse(f"kernel_shape {kernel} must be that of the weights, {weights.shape[2:]}")
    op = "conv" if groups == 1 else "depthwise" if groups == channels == filters else "grouped"
    weights = weights.reshape(filters, -1, *kernel).transpose(0, 2, 3, 1)
    return layer_sums(node, state, source, weights, scale, op=op, groups=groups,
                      layout=whole(source.layout, source.shape), **window)
