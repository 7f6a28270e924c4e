"""Gemm and MatMul: fully connected layers, convolutions whose kernel is the whole map."""
from cores.importer.conv import layer_sums, weights_of
from cores.importer.layout import dimensions, holds
from cores.importer.registry import operator


@operator("Gemm")
def gemm(node, state):
    """Quantized weights, transB or not; alpha and beta 1."""
    for name in "alpha", "beta":
        node.expect(name, 1.0, "fold it into the weights")
    node.expect("transA", 0, "transpose the model's input instead")
    transposed = node.attribute("transB", 0)
    return _dense(node, state, filter_axis=0 if transposed else 1)


@operator("MatMul")
def matmul(node, state):
    """Quantized weights; of a vector, or of the channels of each pixel."""
    return _dense(node, state, filter_axis=1)


def _dense(node, state, *, filter_axis):
    source = node.activation()
    tensor, *outer, axes = source.tensor, *source.layout
    weights, scale = weights_of(node, 1, rank=2, axis=filter_axis)
    if filter_axis == 1:
        weights = weights.T
    each = any(outer)
    if (node.op == "Gemm" and len(outer) != 1) or (
            each and not holds(source.layout, tensor.shape, -1, "C")):
        node.refuse(f"input must be (1, K), not maps {dimensions(source.layout, tensor.shape)}; "
                    "put a Flatten before it")
    inputs = dimensions((axes,), tensor.shape)[0]
    if weights.shape[1] != inputs:
        node.refuse(f"weights have {weights.shape[1]} inputs, the input has {inputs}; check the "
                    "model")
    # One pixel at a time, or the whole map, which is flattened in the order of ``axes``.
    kernel = dict(zip("HWC", (1, 1, tensor.channels) if each else tensor.shape))
    axes += "".join(axis for axis in "CHW" if axis not in axes)
    weights = weights.reshape(-1, *(kernel[axis] for axis in axes)).transpose(
        0, *(axes.index(axis) + 1 for axis in "HWC"))
    return layer_sums(node, state, source, weights, scale, layout=(*outer, "C"),
                      op="conv" if each else "fc")
