"""Residual additions and depthwise convolutions: the importer against onnxruntime."""
import re

import numpy as np
import pytest

from cores.errors import UserError
from cores.graph import Add, Conv, Graph
from sim import reference
from test_importer import Model, compare, random_conv


def branches(*, first=0.3, second=0.2, zeros=(0, 120), operands=(0, 1), shortcut=False):
    """Two convolutions of the input, or one and the input itself, with their sum still open."""
    model = Model().qdq(0.1, np.uint8(zeros[1] if shortcut else 0))
    source = model.at
    names = [random_conv(model, 3, (1, 1)).qdq(first, np.uint8(zeros[0])).at, source]
    if not shortcut:
        model.at = source
        names[1] = random_conv(model, 3, (1, 1)).qdq(second, np.uint8(zeros[1])).at
    model.at = names[operands[0]]
    return model.node("Add", names[operands[1]], name="sum")


@pytest.mark.parametrize("first, second, zeros, out", [
    (0.3, 0.2, (0, 120), (0.31, 130)),          # the larger operand first
    (0.02, 0.3, (117, 3), (0.15, 40)),          # last
    (0.2, 0.2, (128, 128), (0.2, 129)),         # equal
    (0.01, 0.4, (0, 0), (0.02, 0)),
])
@pytest.mark.parametrize("operands", [(0, 1), (1, 0)])
def test_add(first, second, zeros, out, operands, tmp_path):
    model = branches(first=first, second=second, zeros=zeros, operands=operands)
    graph = compare(model.qdq(out[0], np.uint8(out[1])), tmp_path, frames=16)
    node = graph.nodes[-1]
    assert isinstance(node, Add) and (node.name, node.op) == ("sum", "add")
    made = [n.output for n in graph.nodes[:2]]
    assert list(node.inputs) == [made[i] for i in operands]
    assert node.zero_point == out[1] and (node.low, node.high) == (-out[1], 255 - out[1])
    assert max(node.multipliers) >> 16 == 1
    scales = np.array([(first, second)[i] for i in operands]) / out[0]
    assert np.allclose(np.array(node.multipliers) / 2.0**node.shift, scales, rtol=1e-3)


def test_shortcut_and_relu(tmp_path):
    """The tensor where two paths part is read twice, and Relu is a bound of the sum."""
    model = branches(shortcut=True).node("Relu").qdq(0.25, np.uint8(10))
    graph = compare(model, tmp_path, frames=16)
    conv, add = graph.nodes
    assert add.inputs == (conv.output, "x") and conv.input == "x"
    assert (add.low, add.high) == (0, 245) and graph.tensors[add.output].low == 0
    again = Graph.from_arrays(*graph.to_arrays())
    assert vars(again.nodes[1]) == vars(add)


def test_sum_of_a_tensor_with_itself(tmp_path):
    model = random_conv(Model().qdq(0.1)).qdq(0.3, np.uint8(100))
    compare(model.node("Add", model.at).qdq(0.6, np.uint8(100)), tmp_path)


def test_sum_of_flat_tensors(tmp_path):
    model = branches().qdq(0.3, np.uint8(99))
    flat = model.node("Flatten").at
    graph = compare(model.node("Add", flat).qdq(0.5, np.uint8(50)), tmp_path)
    assert graph.nodes[-1].inputs == (graph.nodes[-2].output,)


@pytest.mark.parametrize("attributes", [
    {}, {"pads": [1, 1, 1, 1], "strides": [2, 2]}, {"dilations": [2, 2]}], ids=str)
@pytest.mark.parametrize("zero", [0, 131])
def test_depthwise(attributes, zero, tmp_path):
    model = random_conv(Model(shape=(1, 6, 8, 7)).qdq(0.1, np.uint8(zero)), 6, channels=1,
                        group=6, **attributes)
    graph = compare(model.node("Relu").qdq(0.05), tmp_path, frames=12)
    node, = graph.nodes
    assert isinstance(node, Conv) and (node.op, node.groups) == ("depthwise", 6)
    assert node.weights.shape == (6, 3, 3, 1)


def test_one_channel_is_no_depthwise(tmp_path):
    model = random_conv(Model(shape=(1, 1, 8, 7)).qdq(0.1), 1, channels=1, group=1).qdq(0.05)
    node, = compare(model, tmp_path, frames=12).nodes
    assert (node.op, node.groups) == ("conv", 1)


def test_several_outputs(tmp_path):
    model = branches(shortcut=True).qdq(0.3, np.uint8(90))
    model.outputs = [model.at, random_conv(model, 4).qdq(0.5).at]
    graph, _ = model.load(tmp_path)
    assert graph.outputs == (graph.nodes[1].output, graph.nodes[2].output)
    made = reference.run_outputs(graph, np.ones((1, 7, 6, 3), int))
    assert [made[name].shape[1:] for name in graph.outputs] == [(7, 6, 3), (5, 4, 4)]


@pytest.mark.parametrize("opset", [10, 12])
def test_older_opsets_are_converted(opset, tmp_path):
    """They know scales per tensor only."""
    model = Model(opset=opset).qdq(0.1, np.uint8(3))
    rng = np.random.default_rng(2)
    model.node("Conv", model.weights(rng.integers(-99, 99, (4, 3, 3, 3), np.int8), 0.01,
                                     np.int8(0)))
    compare(model.node("Relu").qdq(0.2), tmp_path)


def grouped(group, filters, channels):
    return lambda: random_conv(Model(shape=(1, 6, 8, 7)).qdq(0.1), filters, channels=channels,
                               group=group).qdq(0.3)


def add_unquantized():
    model = Model().qdq(0.1)
    source = model.at
    return random_conv(model, 3, (1, 1)).node("Add", source).qdq(0.3)


def add_of_shapes(flat):
    model = Model().qdq(0.1)
    other = (model.node("Flatten") if flat else random_conv(model)).at
    if not flat:
        other = model.qdq(0.3).at
    model.at = "v1"
    return model.node("Add", other).qdq(0.3)


@pytest.mark.parametrize("make, message", [
    (grouped(3, 5, 2), "Conv node 'n4': group 3 does not divide 5 filters; check the model"),
    (grouped(2, 6, 2), "Conv node 'n4': weights have 2 channels in each of 2 groups, the input has "
     "6; check the model"),
    (grouped(0, 6, 6), "Conv node 'n4': weights have 6 channels in each of 0 groups, .*"),
    (add_unquantized, "Add node .*: input 'v4' is not quantized; put a QuantizeLinear .*"),
    (lambda: add_of_shapes(flat=False), r"Add node .*: operands must have one shape, not "
     r"\(1, 3, 7, 6\) and \(1, 8, 5, 4\); an operand that is broadcast is not supported"),
    (lambda: add_of_shapes(flat=True), r"Add node .*: operands must have one shape, not "
     r"\(1, 3, 7, 6\) and \(1, 126\)"),
    (lambda: branches(first=1e9).qdq(0.1),
     r"Add node 'sum': Ratio of scales must be below 2\*\*17, not .*; check the scales around it"),
    (lambda: branches(), "Output 'v.*' is not quantized; .*"),
])
def test_refuses(make, message, tmp_path):
    with pytest.raises(UserError) as caught:
        make().load(tmp_path)
    assert re.fullmatch(message, str(caught.value)), str(caught.value)
