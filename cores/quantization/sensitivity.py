"""Which activations of a quantized network need more bits."""
from difflib import get_close_matches

import numpy as np
import onnx

from cores.errors import UserError
from cores.importer.reader import array
from cores.quantization.channels import file_input
from cores.quantization.fusion import POINTWISE
from cores.quantization.second_opinion import Session

__all__ = ["most_harmful", "named"]

PICTURES = 4        # that each activation is judged by
_CLAMPS = ("Relu", "Clip")


def most_harmful(count, model, original, images, preprocessing):
    """Names of the activations that, quantized alone, disturb the float network's outputs most.

    What reads or makes a pointwise function by table is left out: tables have 8 bits.

    Parameters
    ----------
    count : int
    model : onnx.ModelProto
        Quantized.
    original : onnx.ModelProto
        In floating point.
    images : uint8 array (N, height, width, channels)
    preprocessing : Preprocessing

    Raises
    ------
    UserError
        If there are not so many.
    """
    tabled = {name for node in original.graph.node
              if node.op_type in POINTWISE and node.op_type not in _CLAMPS
              for name in (*node.input, *node.output)}
    inputs = [file_input(original, image, preprocessing) for image in images[:PICTURES]]
    names = [output.name for output in original.graph.output]
    plain = Session(original, names, original)
    expected = [plain.run(real) for real in inputs]
    noise = {}
    for node in model.graph.node:
        owner = _owner(node)
        if node.op_type != "QuantizeLinear" or owner in noise or owner in tabled:
            continue
        rounded = _rounded(original, owner, node, model)
        if rounded is None:
            continue
        session = Session(rounded, names, rounded)
        noise[owner] = max(sum(_distance(session.run(real)[name], wanted[name])
                               for real, wanted in zip(inputs, expected)) for name in names)
    if count > len(noise):
        if not noise:
            raise UserError("No activation of the network can have 16 bits; leave --bits16 out")
        raise UserError(f"--bits16 must be at most the {len(noise)} activations that can have 16 bits, not {count}")
    return sorted(noise, key=noise.get, reverse=True)[:count]


def named(names, model, original):
    """Activations by their names, or those of the nodes that make them.

    Where several share a scale, it is the one that the scale belongs to.
    """
    owners = {node.input[0]: _owner(node) for node in model.graph.node
              if node.op_type == "QuantizeLinear" and node.input[1].endswith("_scale")}
    readers = {name: node for node in original.graph.node for name in node.input}

    def owner(tensor):
        # A clamp is part of the layer before it.
        while (tensor not in owners and tensor in readers
               and readers[tensor].op_type in (*_CLAMPS, "Flatten", "Reshape")):
            tensor = readers[tensor].output[0]
        return owners.get(tensor)

    makers = {node.name: owner(node.output[0]) for node in original.graph.node}
    known = {name: tensor for name, tensor in makers.items() if tensor}
    for name in names:
        if not known.get(name) and not owner(name):
            near = get_close_matches(name, known, cutoff=0.3) or list(known)[:3]
            raise UserError(f"Layer {name!r} of --bits16 is none of the network's {len(known)}; there are "
                            f"{', '.join(map(repr, near))}")
    return list(dict.fromkeys(known.get(name) or owner(name) for name in names))


def _owner(node):
    """The activation that a QuantizeLinear's scale was made for."""
    return node.input[1].removesuffix("_scale") if len(node.input) > 1 else None


def _rounded(original, name, quantizer, model):
    """The float network with one activation rounded as in ``model``; None if it is not there."""
    result = onnx.ModelProto()
    result.CopyFrom(original)
    nodes = result.graph.node
    place = next((i + 1 for i, node in enumerate(nodes) if name in node.output),
                 0 if name == original.graph.input[0].name else None)
    outputs = [output.name for output in original.graph.output]
    if place is None or name in outputs:
        return None
    for node in nodes:
        node.input[:] = [f"{name}.rounded" if i == name else i for i in node.input]
    constants = {tensor.name: array(tensor) for tensor in model.graph.initializer}
    for suffix, source in zip(("scale", "zero"), quantizer.input[1:]):
        result.graph.initializer.append(
            onnx.numpy_helper.from_array(constants[source], f"{name}.{suffix}"))
    own = [f"{name}.scale", f"{name}.zero"]
    nodes.insert(place, onnx.helper.make_node(
        "DequantizeLinear", [f"{name}.stored", *own], [f"{name}.rounded"]))
    nodes.insert(place, onnx.helper.make_node(
        "QuantizeLinear", [name, *own], [f"{name}.stored"]))
    return result


def _distance(got, wanted):
    """Share of the noise in an output."""
    energy = float(np.square(wanted, dtype=np.float64).sum())
    return float(np.square(got - wanted, dtype=np.float64).sum()) / (energy or 1.0)
