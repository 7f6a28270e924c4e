"""Float networks cleaned up, so that the quantizer and the importer meet few forms of them."""
from pathlib import Path

import numpy as np
import onnx

from cores.errors import UserError
from cores.importer.host import TAIL
from cores.importer.reader import HOST_KEY, OPSET, array, converted, graph_input, read
from cores.importer.registry import Node, State

__all__ = ["prepare"]

# What a network may end with, and the host can do as well.
_STRIPPED = (*TAIL, "Transpose", "Reshape")


def prepare(path):
    """Read a float ONNX file and clean it up.

    It comes out at opset 17 (or what it has, if that is newer), with a batch of 1, constants and
    BatchNormalization folded, all nodes named, and without a tail that the host computes; what that
    was is in the model's metadata, where :func:`cores.importer.load` finds it.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    onnx.ModelProto

    Raises
    ------
    UserError
        If the file cannot be read or holds an operator that is not supported.
    """
    import onnxslim  # late: it brings sympy with it

    model = converted(read(Path(path)), OPSET)
    _check_numbers(model)
    _fix_batch(model)
    graph_input(model)      # refuses what sizes it cannot have
    _strip_tail(model)
    metadata = list(model.metadata_props)
    try:
        model = onnxslim.slim(model)
    except Exception as error:
        raise UserError(f"{path}: cannot be cleaned up; export it again "
                        f"({type(error).__name__}: {str(error).splitlines()[:1]})") from error
    del model.metadata_props[:]
    model.metadata_props.extend(metadata)
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}{index}"
        Node(node, index, State({})).function()
    return model


def _check_numbers(model):
    for tensor in model.graph.initializer:
        values = array(tensor)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise UserError(f"Constant {tensor.name!r} holds values that are not finite; check the "
                            "training")


def _fix_batch(model):
    """Make a batch of any size one of 1, and leave constants out of the inputs."""
    model.ir_version = max(model.ir_version, 8)     # older formats want them there
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in stored]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    for value in model.graph.input:
        sizes = value.type.tensor_type.shape.dim
        if sizes and sizes[0].dim_value < 1:
            sizes[0].dim_value = 1


def _strip_tail(model):
    """Make what the host's operators read the outputs, and say so in the metadata."""
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    outputs, notes = {}, {}
    for output in graph.output:
        name, tail = output.name, []
        while name in makers and makers[name].op_type in _STRIPPED:
            tail.append(makers[name])
            name = makers[name].input[0]
        for node in tail:
            notes[node.output[0]] = (f"{node.op_type} node {node.name or node.output[0]!r} is left "
                                     f"to the host, which reads {name!r}")
        kept = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        outputs[name] = kept if tail else output
    del graph.output[:]
    graph.output.extend(outputs.values())
    if notes:
        model.metadata_props.add(key=HOST_KEY, value="\n".join(notes.values()))
