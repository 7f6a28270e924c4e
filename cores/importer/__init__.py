"""Quantized ONNX to the integer graph.

Operators live in a registry, a function each; see :mod:`cores.importer.registry` for how to add one
and :mod:`cores.importer.values` for what flows between them.
"""
from pathlib import Path

from cores.errors import UserError
from cores.graph import Graph
from cores.importer import (  # noqa: F401  (importing fills the registry)
    clamp,
    constant,
    conv,
    dense,
    host,
    pool,
    qdq,
    shape,
)
from cores.importer.reader import check_format, constants, graph_input, read
from cores.importer.registry import OPERATORS, Node, State
from cores.importer.values import Host, Input, Quantized, Real
from cores.validate import validate

__all__ = ["load"]


def load(path):
    """Import a quantized (QDQ) ONNX file.

    Maps become height x width x channels, and a value that ``Flatten`` makes keeps the shape of
    its map. Tensors are named after the real-valued ONNX tensor that they hold, nodes after
    ONNX's nodes.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    (graph, notes) : Graph, list of str
        The notes say what the host has left to do with the graph's outputs.

    Raises
    ------
    UserError
        If the file cannot be read or holds what is not supported.
    """
    path = Path(path)
    model = read(path)
    check_format(model)
    state = State(values=constants(model))
    name, state.values[name] = graph_input(model)
    for index, proto in enumerate(model.graph.node):
        node = Node(proto, index, state)
        if proto.op_type not in OPERATORS or proto.domain not in node.domains:
            node.refuse(f"operator is not supported; these are: {', '.join(sorted(OPERATORS))}")
        results = OPERATORS[proto.op_type](node, state)
        for output, value in zip(proto.output, results if isinstance(results, tuple)
                                 else (results,)):
            state.values[output] = value
    outputs = tuple(dict.fromkeys(_output(o.name, state) for o in model.graph.output))
    if not outputs:
        raise UserError("Model has no output; mark the last layer's")
    graph = Graph(path.stem, state.input.name, outputs, state.tensors, tuple(state.nodes))
    try:
        validate(graph)
    except ValueError as error:
        raise UserError(str(error)) from error
    return graph, state.notes


def _output(name, state):
    """The tensor's name for an ONNX output."""
    value = state.values.get(name)
    if isinstance(value, (Real, Quantized, Host)):
        if value.tensor.name != state.input.name:
            return value.tensor.name
        raise UserError(f"Output {name!r} is the input itself: there is nothing to build")
    if isinstance(value, Input) or value is None:
        raise UserError(f"Output {name!r} is made by no supported node; check the model")
    raise UserError(f"Output {name!r} is not quantized; add a QuantizeLinear and a "
                    "DequantizeLinear before it (onnxruntime's static quantizer does)")
