"""Files that move pixels about before they quantize them.

Static quantizers leave a Pad, a Slice or a MaxPool of a float input in floating point: what it
makes is quantized, with one scale. Rounding first and moving then is the same, exactly.
"""
import onnx
from onnx import numpy_helper

__all__ = ["input_first"]

_MOVES = ("Concat", "Dropout", "Flatten", "Identity", "MaxPool", "Pad", "Reshape", "Resize", "Slice",
          "Split", "Squeeze", "Transpose", "Unsqueeze")


def input_first(model, source):
    """``model`` with its float input ``source`` quantized before it is moved.

    Returns
    -------
    onnx.ModelProto
        ``model`` itself if nothing moves the input before it is quantized, or if what is made of it
        is quantized differently, or not at all, or computed with.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    constants.update({node.output[0]: a.t for node in model.graph.node if node.op_type == "Constant"
                      for a in node.attribute if a.name == "value"})
    moved, found = {source}, []
    for node in model.graph.node:
        if not moved & {*node.input}:
            continue
        if node.op_type == "QuantizeLinear":
            found.append(node)
        elif _only_moves(node, moved, constants):
            moved.update(filter(None, node.output))
        else:
            return model
    parameters = {_parameters(node, constants) for node in found}
    if len(moved) == 1 or len(parameters) != 1 or None in parameters or moved & {
            output.name for output in model.graph.output}:
        return model
    return _rewritten(model, source, found[0])


def _only_moves(node, moved, constants):
    """Whether the results of a node are values of the input, or 0."""
    if node.op_type not in _MOVES:
        return False
    if node.op_type == "Concat":
        return moved >= {*node.input}
    mode = next((a.s for a in node.attribute if a.name == "mode"), None)
    if node.op_type == "Pad":
        value = [constants.get(name) for name in node.input[2:3] if name]
        zero = not value or (value[0] is not None and not numpy_helper.to_array(value[0]).any())
        return mode in (None, b"constant") and zero
    if node.op_type == "MaxPool":
        return len(node.output) == 1        # or it counts positions
    return node.op_type != "Resize" or mode in (None, b"nearest")


def _parameters(node, constants):
    """Scale and zero point of a QuantizeLinear, comparable; None if they are computed."""
    tensors = [constants.get(name) for name in node.input[1:] if name]
    if None in tensors:
        return None
    attributes = sorted((a.name, a.i) for a in node.attribute)
    return (*((t.data_type, numpy_helper.to_array(t).tobytes()) for t in tensors), *attributes)


def _rewritten(model, source, quantizer):
    result = onnx.ModelProto()
    result.CopyFrom(model)
    del result.graph.node[:]
    integers, real = f"{source}:integers", f"{source}:rounded"
    needed = {*quantizer.input[1:]}
    head = [node for node in model.graph.node if needed & {*node.output}]
    result.graph.node.extend(head)
    first = result.graph.node.add(op_type="QuantizeLinear", name=integers,
                                  domain=quantizer.domain, input=[source, *quantizer.input[1:]],
                                  output=[integers])
    first.attribute.extend(quantizer.attribute)
    result.graph.node.add(op_type="DequantizeLinear", name=real,
                          domain=quantizer.domain, input=[integers, *quantizer.input[1:]], output=[real])
    for node in model.graph.node:
        if node not in head:
            kept = result.graph.node.add()
            kept.CopyFrom(node)
            kept.input[:] = [real if name == source else name for name in node.input]
    return result
