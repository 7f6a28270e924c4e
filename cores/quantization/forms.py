"""Float networks in the forms that onnxruntime's quantizer takes."""
import numpy as np
import onnx
from onnx import numpy_helper

from cores.importer.reader import array
from cores.quantization.replace_all import replace_all

__all__ = ["add_sums", "copy_shared", "simplify_gemms"]

_LAYERS = ("Conv", "Gemm", "MatMul")


def add_sums(graph):
    """Write each Sum of several tensors as one Add after the other."""
    nodes = []
    for node in graph.node:
        if node.op_type != "Sum" or node.domain not in ("", "ai.onnx") or len(node.input) < 2:
            nodes.append(node)
            continue
        total, output = node.input[0], node.output[0]
        for index, name in enumerate(node.input[1:], 2):
            made = output if index == len(node.input) else f"{output}_of_{index}"
            nodes.append(onnx.helper.make_node("Add", [total, name], [made], node.name))
            total = made
    replace_all(graph.node, nodes)


def simplify_gemms(graph):
    """Fold alpha and beta of each Gemm with constant weights into them and the bias, one per filter.

    The quantizer fails on biases of other shapes, and the importer wants alpha and beta of 1.
    """
    stored = {tensor.name: array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "Gemm" or not {*node.input[1:], ""} <= stored.keys() | {""}:
            continue
        attributes = {a.name: a for a in node.attribute}
        alpha, beta = (attributes[name].f if name in attributes else 1.0 for name in ("alpha", "beta"))
        weights = stored[node.input[1]]
        filters = weights.shape[0 if "transB" in attributes and attributes["transB"].i else 1]
        if alpha != 1:
            node.input[1] = _added(graph, f"{node.output[0]}_weights", weights * np.float32(alpha))
        if any(node.input[2:]) and (beta != 1 or stored[node.input[2]].shape != (filters,)):
            bias = np.broadcast_to(stored[node.input[2]] * np.float32(beta), (1, filters))[0]
            node.input[2] = _added(graph, f"{node.output[0]}_bias", bias)
        kept = [a for a in node.attribute if a.name not in ("alpha", "beta")]
        del node.attribute[:]
        node.attribute.extend(kept)


def copy_shared(graph):
    """Give each layer weights and biases of its own.

    A shared bias has as many scales as layers that read it, and the correction of one layer's bias
    is none for the others.
    """
    stored, taken = {tensor.name: tensor for tensor in graph.initializer}, set()
    for node in graph.node:
        for index, name in enumerate(node.input):
            if node.op_type in _LAYERS and name in taken:
                node.input[index] = _added(graph, f"{name}_of_{node.output[0]}", array(stored[name]))
            elif name in stored:
                taken.add(name)


def _added(graph, name, values):
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
    return name
