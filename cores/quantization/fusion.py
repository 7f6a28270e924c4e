"""A network that onnxruntime quantized, with less rounding around pointwise functions.

The importer makes one table of all functions between two roundings, and takes constants as they
are; so roundings inside and of constants cost accuracy for nothing.
"""
from cores.importer.affine import ARITHMETIC
from cores.importer.pointwise import FUNCTIONS
from cores.quantization.replace_all import replace_all

__all__ = ["POINTWISE", "fuse"]

POINTWISE = (*FUNCTIONS, *ARITHMETIC, "BatchNormalization", "Clip", "PRelu", "Relu")


def fuse(graph, original):
    """Change a quantized ``onnx.GraphProto`` in place.

    Parameters
    ----------
    graph : onnx.GraphProto
        What onnxruntime's quantizer made of ``original``.
    original : onnx.GraphProto
        In floating point.
    """
    _restore_constants(graph, original)
    _skip_roundings(graph, original)
    _remove_unread(graph)


def _restore_constants(graph, original):
    """Let pointwise functions read constants that were quantized as they were before."""
    stored = {tensor.name for tensor in graph.initializer}
    before = {tensor.name: tensor for tensor in original.initializer}
    names = {node.output[0]: node.input[0].removesuffix("_quantized") for node in graph.node
             if node.op_type == "DequantizeLinear" and node.input[0] in stored}
    for node in graph.node:
        for index, name in enumerate(node.input):
            if node.op_type in POINTWISE and names.get(name) in before:
                node.input[index] = f"{names[name]}_real"       # its own may be the dequantized's
                if node.input[index] not in stored:
                    stored.add(node.input[index])
                    graph.initializer.add().CopyFrom(before[names[name]])
                    graph.initializer[-1].name = node.input[index]


def _skip_roundings(graph, original):
    """Let a function of one stored tensor read functions of it before they are rounded."""
    kinds = {output: node.op_type for node in original.node for output in node.output}
    quantized = {node.output[0]: node.input[0] for node in graph.node
                 if node.op_type == "QuantizeLinear"}
    # Names of reals before QuantizeLinear by those behind DequantizeLinear; the stored tensor that
    # a function reads, by the names of its results; and those results that are not saturated in
    # place of a Relu or Clip, which the quantizer takes out.
    rounded, reads, whole = {}, {}, set()
    constants = {"", *(tensor.name for tensor in graph.initializer)}
    for node in graph.node:
        inputs = [name for name in node.input if name not in constants]
        if node.op_type == "DequantizeLinear" and inputs and inputs[0] in quantized:
            rounded[node.output[0]] = quantized[inputs[0]]
        elif node.op_type in POINTWISE and inputs:
            before = [rounded.get(name, name) for name in inputs]
            found = {reads.get(name) or (name if inputs[i] in rounded else None)
                     for i, name in enumerate(before)}
            if len(found) == 1 and None not in found:
                reads[node.output[0]], = found
                if kinds.get(node.output[0]) == node.op_type:
                    whole.add(node.output[0])
                for index, name in enumerate(node.input):
                    if rounded.get(name) in whole:
                        node.input[index] = rounded[name]


def _remove_unread(graph):
    """Leave out nodes whose results nothing reads, and constants."""
    read, nodes = {output.name for output in graph.output}, []
    for node in reversed(graph.node):
        if read.intersection(node.output):
            read.update(node.input)
            nodes.append(node)
    nodes.reverse()
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    replace_all(graph.node, nodes)
    replace_all(graph.initializer, kept)
