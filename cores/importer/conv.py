"""Conv, and what it shares with fully connected layers."""
import numpy as np

from cores.graph import Conv
from cores.importer.registry import operator
from cores.importer.values import Sums, Weights
from cores.importer.window import fitting_size, read_window
from cores.quantization import requantized_conv

__all__ = ["layer_sums", "weights_of"]


def weights_of(node, index, rank, axis):
    """An input's dequantized weights and their scales along ``axis``, checked."""
    weights = node.value(index)
    if not isinstance(weights, Weights):
        node.refuse(f"weights {node.proto.input[index]!r} must be quantized constants; quantize "
                    "the weights too")
    if weights.values.ndim != rank or not weights.values.size:
        node.refuse(f"weights must have {rank} dimensions, not shape {weights.values.shape}; only "
                    "two-dimensional convolutions and plain matrices are supported")
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


def layer_sums(node, state, source, weights, scale, *, flat, op, **window):
    """The Sums of a convolution with ``weights`` (F, kernel height, kernel width, C)."""
    tensor = source.tensor
    unit = tensor.scale * scale
    bias = _bias_of(node, len(weights), unit)
    weights = np.ascontiguousarray(weights)

    def build(name, output, integers, rounded, requantization):
        return Conv(name, tensor.name, output, integers, rounded, requantization, op=op, **window)

    def make(made, low, high):
        return build(state.unique(node.name), made.name, *requantized_conv(
            weights, bias, unit / made.scale, low, high,
            input_low=tensor.low, input_high=tensor.high))

    size = fitting_size(node, build("", "", weights, bias, None), tensor)
    return Sums(node, make, (*size, len(weights)), flat)


@operator("Conv")
def conv(node, state):
    source = node.map()
    weights, scale = weights_of(node, 1, rank=4, axis=0)
    channels, groups = source.tensor.channels, node.attribute("group", 1)
    if groups < 1 or weights.shape[1] * groups != channels:
        grouped = f" in each of {groups} groups" if groups != 1 else ""
        node.refuse(f"weights have {weights.shape[1]} channels{grouped}, the input has {channels}; "
                    "check the model")
    if groups > 1 and not groups == channels == len(weights):
        node.refuse(f"group {groups} with {channels} channels and {len(weights)} filters is not "
                    "supported; use one group, or depthwise: as many groups and filters as "
                    "channels")
    window = read_window(node, source.tensor, kernel=weights.shape[2:])
    kernel = window.pop("kernel")
    if kernel != weights.shape[2:]:
        node.refuse(f"kernel_shape {kernel} must be that of the weights, {weights.shape[2:]}")
    return layer_sums(node, state, source, weights.transpose(0, 2, 3, 1), scale, flat=False,
                      op="conv" if groups == 1 else "depthwise", groups=groups, **window)
