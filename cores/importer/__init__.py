"""Quantized ONNX to the integer graph.

Operators live in a registry, a function each; see :mod:`cores.importer.registry` for how to add one
and :mod:`cores.importer.values` for what flows between them.
"""
from pathlib import Path

import onnx

from cores.errors import UserError
from cores.graph import Graph
from cores.importer import (  # noqa: F401  (importing fills the registry)
    add,
    affine,
    clamp,
    concat,
    constant,
    conv,
    dense,
    host,
    pad,
    pointwise,
    pool,
    qdq,
    quant,
    resize,
    shape,
    slice,
)
from cores.importer.expand import expand
from cores.importer.fold import folded
from cores.importer.input_first import input_first
from cores.importer.reader import (
    HOST_KEY,
    check_format,
    checked,
    constants,
    converted,
    graph_input,
    read,
)
from cores.importer.registry import Node, State
from cores.importer.values import Host, Input, Quantized
from cores.validate import validate

__all__ = ["layouts", "load"]


def load(model, *, name=None):
    """Import a quantized ONNX file: QDQ, QLinear operators, or QONNX.

    Maps become height x width x channels, and a value that ``Flatten`` makes keeps the shape of
    its map. Tensors are named after the real-valued ONNX tensor that they hold, nodes after
    ONNX's nodes.

    Parameters
    ----------
    model : str, Path or onnx.ModelProto
        The file, or what it holds.
    name : str or None
        Name of the graph; None for the file's, without its suffix, or the model's own.

    Returns
    -------
    (graph, notes) : Graph, list of str
        The notes say what the host has left to do with the graph's outputs.

    Raises
    ------
    UserError
        If the file cannot be read or holds what is not supported.
    """
    graph, state = _imported(model, name)
    return graph, state.notes


def layouts(model):
    """How the ONNX values that tensors are named after hold their maps.

    Returns
    -------
    {tensor's name: layout}
        See :mod:`cores.importer.layout`. A tensor that is no value of the file has none.
    """
    graph, state = _imported(model, None)
    return {name: state.values[name].layout for name in graph.tensors if name in state.values}


def _imported(model, name):
    if isinstance(model, onnx.ModelProto):
        name = name or model.graph.name or "network"
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        model = converted(checked(copy, name))
    else:
        name = name or Path(model).stem
        model = read(Path(model))
    check_format(model)
    source, given = graph_input(model)
    model = expand(input_first(model, source))
    state = State(values=constants(model))
    state.notes += [line for entry in model.metadata_props if entry.key == HOST_KEY
                    for line in entry.value.splitlines()]
    state.values[source] = given
    for index, proto in enumerate(model.graph.node):
        node = Node(proto, index, state)
        results = folded(node, state, model.opset_import)
        if results is None:
            results = node.function()(node, state)
        for output, value in zip(proto.output, results if isinstance(results, tuple)
                                 else (results,)):
            state.values[output] = value
    outputs = {}        # whether an output of the file is the tensor itself, by the tensor's name
    for output in model.graph.output:
        itself = not isinstance(state.values.get(output.name), Host)
        for tensor in _output(output.name, state):
            if itself and outputs.get(tensor):
                state.notes.append(f"Output {output.name!r} is left to the host: it is output {tensor!r} again")
            outputs[tensor] = outputs.get(tensor, False) or itself
    outputs = tuple(outputs)
    if not outputs:
        raise UserError("Model has no output; mark the last layer's")
    graph = Graph(name, state.input.name, outputs, *_needed(state, outputs))
    try:
        validate(graph)
    except ValueError as error:
        raise UserError(str(error)) from error
    return graph, state


def _needed(state, outputs):
    """The tensors and nodes that an output needs: tables that went into others are left out."""
    needed, nodes = {state.input.name, *outputs}, []
    for node in reversed(state.nodes):
        if node.output in needed:
            nodes.append(node)
            needed.update(node.inputs)
    return {n: t for n, t in state.tensors.items() if n in needed}, tuple(reversed(nodes))


def _output(name, state):
    """The names of the tensors for an ONNX output."""
    value = state.values.get(name)
    if isinstance(value, (Quantized, Host)):
        tensors = value.tensors if isinstance(value, Host) else (value.tensor,)
        if state.input not in tensors:
            return [tensor.name for tensor in tensors]
        raise UserError(getattr(value, "reason", "") or
                        f"Output {name!r} is the input itself: there is nothing to build")
    if isinstance(value, Input) or value is None:
        raise UserError(f"Output {name!r} is made by no supported node; check the model")
    raise UserError(f"Output {name!r} is not quantized; add a QuantizeLinear and a "
                    "DequantizeLinear before it (onnxruntime's static quantizer does)")
