"""Biases of a quantized network, corrected for what rounding its weights does to the mean."""
import numpy as np
import onnx
from onnx import numpy_helper

from cores.importer.reader import array
from cores.quantization.channels import measure_channels

__all__ = ["correct_biases"]

_INT32 = np.iinfo(np.int32)


def correct_biases(model, original, images, preprocessing):
    """Change the biases of a quantized model in place.

    Rounding the weights w of a filter to w' moves its output by the sum of (w' - w) * E[x], with
    the means E[x] of its inputs on pictures; that is taken off the bias. So do Nagel et al., 2019,
    "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.2
    (https://arxiv.org/abs/1906.04721), who estimate the means without pictures.

    Parameters
    ----------
    model : onnx.ModelProto
        What onnxruntime's quantizer made of ``original``: weights and biases behind
        DequantizeLinear.
    original : onnx.ModelProto
        In floating point.
    images : uint8 array (N, height, width, channels)
    preprocessing : Preprocessing
    """
    layers = {node.name: node for node in original.graph.node
              if node.op_type in ("Conv", "Gemm") and len(node.input) > 2}
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    weights = {tensor.name: tensor for tensor in original.graph.initializer}
    made = {node.output[0]: node for node in model.graph.node
            if node.op_type == "DequantizeLinear" and node.input[0] in stored}
    found = [node for node in model.graph.node if node.name in layers
             and len(node.input) > 2 and node.input[1] in made and node.input[2] in made
             and layers[node.name].input[1] in weights]
    channels = measure_channels(original, [layers[node.name].input[0] for node in found], images,
                                preprocessing)
    for node in found:
        layer = layers[node.name]
        error = _real(made[node.input[1]], stored) - array(weights[layer.input[1]])
        shift = _shift(layer, error, channels[layer.input[0]].mean)
        bias = made[node.input[2]]
        tensor, scale = stored[bias.input[0]], array(stored[bias.input[1]]).astype(np.float64)
        if tensor.data_type != onnx.TensorProto.INT32:
            continue
        values = np.rint(array(tensor) - shift / scale)
        tensor.CopyFrom(numpy_helper.from_array(
            np.clip(values, _INT32.min, _INT32.max).astype(np.int32), tensor.name))


def _real(node, stored):
    """Constants that a DequantizeLinear makes, float64."""
    integers, scale = (array(stored[name]).astype(np.float64) for name in node.input[:2])
    axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
    shape = [1] * integers.ndim
    if scale.ndim:
        shape[axis] = -1
    zero = array(stored[node.input[2]]).astype(np.float64) if len(node.input) > 2 else np.zeros(())
    return (integers - zero.reshape(shape)) * scale.reshape(shape)


def _shift(layer, error, mean):
    """What an error of the weights adds to the mean of each filter's output."""
    if layer.op_type == "Gemm":
        attributes = {a.name: a for a in layer.attribute}
        return (error if "transB" in attributes and attributes["transB"].i else error.T) @ mean
    filters, channels = error.shape[:2]
    groups = len(mean) // channels
    of_group = np.repeat(mean.reshape(groups, channels), filters // groups, axis=0)
    return (error.reshape(filters, channels, -1).sum(2) * of_group).sum(1)
