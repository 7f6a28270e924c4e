"""Gemm and MatMul: fully connected layers, convolutions whose kernel is the whole map."""
from cores.importer.conv import layer_sums, weights_of
from cores.importer.registry import operator


@operator("Gemm")
def gemm(node, state):
    for name in "alpha", "beta":
        node.expect(name, 1.0, "fold it into the weights")
    node.expect("transA", 0, "transpose the model's input instead")
    transposed = node.attribute("transB", 0)
    return _dense(node, state, filter_axis=0 if transposed else 1)


@operator("MatMul")
def matmul(node, state):
    return _dense(node, state, filter_axis=1)


def _dense(node, state, *, filter_axis):
    source = node.activation()
    tensor = source.tensor
    if not source.flat:
        node.refuse("input must be (1, K), not maps (1, C, H, W); put a Flatten before it")
    weights, scale = weights_of(node, 1, rank=2, axis=filter_axis)
    if filter_axis == 1:
        weights = weights.T
    if weights.shape[1] != tensor.height * tensor.width * tensor.channels:
        node.refuse(f"weights have {weights.shape[1]} inputs, the input has "
                    f"{tensor.height * tensor.width * tensor.channels}; check the model")
    # ONNX flattens a map channel by channel.
    weights = weights.reshape(-1, tensor.channels, tensor.height, tensor.width)
    return layer_sums(node, state, source, weights.transpose(0, 2, 3, 1), scale,
                      flat=True, op="fc")
