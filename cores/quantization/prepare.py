"""Float networks cleaned up, so that the quantizer and the importer meet few forms of them."""
import re
from pathlib import Path

import numpy as np
import onnx

from cores.errors import UserError
from cores.importer.host import TAIL
from cores.importer.reader import HOST_KEY, OPSET, array, converted, graph_input, read
from cores.importer.registry import Node, State
from cores.quantization.forms import add_sums, copy_shared, simplify_gemms

__all__ = ["prepare"]

# What a network may end with, and the host can do as well.
_STRIPPED = (*TAIL, "Transpose", "Reshape")
# Of onnxslim's patterns: it fails on a Slice of a Slice that leaves its steps out.
_SKIPPED = ["EliminationSlice"]


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
    _check_input(model)
    add_sums(model.graph)
    _strip_tail(model)
    metadata = list(model.metadata_props)
    try:
        with np.errstate(all="ignore"):     # what is not finite is refused below
            model = onnxslim.slim(model, skip_fusion_patterns=_SKIPPED)
    except Exception as error:
        raise UserError(f"{path}: cannot be cleaned up; export it again "
                        f"({type(error).__name__}: {str(error).splitlines()[:1]})") from error
    del model.metadata_props[:]
    model.metadata_props.extend(metadata)
    # What it infers of a Split into unequal parts is wrong.
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    if not model.graph.node or not model.graph.input:
        raise UserError(f"{path}: its outputs don't depend on its input; check the model")
    _name_nodes(model.graph)
    _check_numbers(model)       # again, with the constants that were nodes
    _check_control_flow(model)
    for index, node in enumerate(model.graph.node):
        Node(node, index, State({})).function()
    _check_shapes(model)
    simplify_gemms(model.graph)
    copy_shared(model.graph)
    return model


def _name_nodes(graph):
    """Give each node a name of its own, which onnxruntime wants."""
    taken = set()
    for index, node in enumerate(graph.node):
        node.name = node.name or f"{node.op_type}{index}"
        if node.name in taken:
            node.name = f"{node.name}_{node.output[0]}"
        taken.add(node.name)


def _check_input(model):
    value = graph_input(model)[1]       # refuses what sizes it cannot have
    if value.dtype != np.float32:
        raise UserError(f"Input {value.name!r} is of {value.dtype.name}, must be of float32; export "
                        "the model so")


def _check_control_flow(model):
    """Refuse what is left of it after folding: the conditions depend on the picture."""
    for node in model.graph.node:
        if any(a.type == onnx.AttributeProto.GRAPH for a in node.attribute):
            raise UserError(f"{node.op_type} node {node.name!r}: control flow is not supported; "
                            "export the model with fixed branches and loops unrolled")


def _check_shapes(model):
    """Refuse, with the node's name, what onnxruntime would fail on."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    except Exception as error:          # onnx's own have no public base
        where = re.search(r"op_type: ?(\w+), node name: ?(.+?)\): (?:\[\w+\] )?(.+)", str(error))
        op, name, text = where.groups() if where else ("Some", "", str(error).splitlines()[0])
        raise UserError(f"{op} node {name!r}: {text.strip()}; check the model") from error
    sizes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in (
        *inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output)}
    sizes.update((tensor.name, list(tensor.dims)) for tensor in model.graph.initializer)
    for node in model.graph.node:
        if node.op_type == "Conv":
            _check_conv(node, sizes)


def _check_conv(node, sizes):
    """What ONNX's shape inference leaves unsaid."""
    source, weights, *bias = (sizes.get(name) for name in node.input)
    groups = next((a.i for a in node.attribute if a.name == "group"), 1)
    where = f"Conv node {node.name!r}: "
    if source and weights and source[1] != weights[1] * groups:
        raise UserError(f"{where}weights have {weights[1]} channels in each of {groups} groups, the "
                        f"input has {source[1]}; check the model")
    if weights and any(bias) and bias[0] != weights[:1]:
        raise UserError(f"{where}bias must have {weights[0]} values, not shape {bias[0]}; check the "
                        "model")
    if min(sizes.get(node.output[0]) or [1]) < 1:
        raise UserError(f"{where}kernel {weights[2:]} does not fit the map of {source[2:]}; check "
                        "the input's size")


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


def _tail(name, makers):
    """What makes a tensor and can be left to the host, and the tensors that the host reads then.

    Each node comes with those that it needs. Of a detector's heads, even the Concat is a tail.
    """
    node = makers.get(name)
    joins = node is not None and node.op_type == "Concat" and all(
        source in makers and makers[source].op_type in _STRIPPED for source in node.input)
    if node is None or not (joins or node.op_type in _STRIPPED):
        return [], [name]
    parts = [_tail(source, makers) for source in (node.input if joins else node.input[:1])]
    names = list(dict.fromkeys(name for _, read in parts for name in read))
    return [(node, names), *(pair for tail, _ in parts for pair in tail)], names


def _strip_tail(model):
    """Make what the host's operators read the outputs, and say so in the metadata."""
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    outputs, notes = {}, {}
    for output in graph.output:
        tail, names = _tail(output.name, makers)
        for node, needed in tail:
            notes[node.output[0]] = (f"{node.op_type} node {node.name or node.output[0]!r} is left "
                                     f"to the host, which reads {' and '.join(map(repr, needed))}")
        for name in names:
            kept = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            outputs[name] = kept if tail else output
    del graph.output[:]
    graph.output.extend(outputs.values())
    if notes:
        model.metadata_props.add(key=HOST_KEY, value="\n".join(notes.values()))
