"""Operators that join, cut and rename maps: the importer against onnxruntime."""
import re

import numpy as np
import pytest

from cores import importer
from cores.errors import UserError
from cores.graph import Concat, Conv, Pad, Pool, Slice, Table, Upsample
from sim import reference
from test_importer import Model, close, compare, matrix, random_conv, session

ZERO = np.uint8(0)


def kinds(graph):
    return [type(node).__name__ for node in graph.nodes]


def fork(*scales, zeros=None, filters=(4, 3, 5), kind=np.uint8):
    """A model with a convolution of the input for each scale, and the names of their reals."""
    model = Model().qdq(0.1)
    source, names = model.at, []
    for index, scale in enumerate(scales):
        model.at = source
        zero = kind(zeros[index] if zeros else 0)
        names.append(random_conv(model, filters[index]).qdq(scale, zero).at)
    return model, names


def concat(model, names, axis=1, **options):
    model.at = names[0]
    return model.node("Concat", *names[1:], axis=axis, **options)


@pytest.mark.parametrize("axis", [1, -3])
def test_concat_of_one_scale(axis, tmp_path):
    model, names = fork(0.3, 0.3, 0.3, zeros=(9, 9, 9))
    graph = compare(concat(model, names, axis, name="join").qdq(0.3, np.uint8(9)), tmp_path)
    node = graph.nodes[-1]
    assert isinstance(node, Concat) and (node.name, node.op) == ("join", "concat")
    assert kinds(graph) == ["Conv"] * 3 + ["Concat"]
    assert node.inputs == tuple(n.output for n in graph.nodes[:3])


@pytest.mark.parametrize("out, zero, tables", [
    (0.4, 100, 2), (0.2, 0, 2), (0.31, 255, 3), (1e-6, 7, 3), (1e6, 7, 3)])
def test_concat_rescales(out, zero, tables, tmp_path):
    """Each value, not most of them, is what DequantizeLinear and QuantizeLinear make of it."""
    model, names = fork(0.3, 0.2, 0.4, zeros=(120, 0, 100))
    model = concat(model, names).qdq(out, np.uint8(zero))
    graph = compare(model, tmp_path, share=0.004) if 0.1 < out < 1 else model.load(tmp_path)[0]
    assert kinds(graph) == ["Conv"] * 3 + ["Table"] * tables + ["Concat"]
    tables = [node for node in graph.nodes if isinstance(node, Table)]
    for table in tables:
        tensor = graph.tensors[table.input]
        q = np.arange(tensor.low, tensor.high + 1).astype(np.float32) * np.float32(tensor.scale)
        q = np.clip(np.rint(q / np.float32(out)) + zero, 0, 255) - zero
        assert (table.values == q).all() and table.values.dtype == np.int64
        assert graph.tensors[table.output].scale == np.float32(out)


def test_concat_is_clamped(tmp_path):
    model, names = fork(0.3, 0.2, zeros=(120, 99))
    model = concat(model, names).node("Relu").qdq(0.3, np.uint8(120))
    graph = compare(model, tmp_path)
    assert graph.tensors[graph.outputs[0]].low == 0
    assert kinds(graph).count("Table") == 2     # one for its bound alone


def test_concat_of_sixteen_bits(tmp_path):
    model, names = fork(0.003, 0.002, zeros=(30000, 0), kind=np.uint16)
    graph = compare(concat(model, names).qdq(0.004, np.uint16(20000)), tmp_path, share=0.06)
    pool = next(n for n in graph.nodes if isinstance(n, Pool))
    assert (pool.op, pool.kernel) == ("avg", (1, 1))


def test_operand_read_twice_and_concat_of_concats(tmp_path):
    model, (a, b) = fork(0.3, 0.2)
    inner = concat(model, [a, b, a]).qdq(0.25).at
    graph = compare(concat(model, [inner, b, inner]).qdq(0.22), tmp_path)
    assert kinds(graph) == ["Conv", "Conv", "Table", "Table", "Concat", "Table", "Table", "Concat"]
    assert graph.nodes[4].inputs == (graph.nodes[2].output, graph.nodes[3].output,
                                     graph.nodes[2].output)
    assert graph.tensors[graph.outputs[0]].channels == 25


def test_concat_with_one_operand(tmp_path):
    model, names = fork(0.3)
    assert kinds(compare(concat(model, names).qdq(0.3), tmp_path)) == ["Conv"]


def test_concat_behind_a_table_is_one_table(tmp_path):
    model, (a, b) = fork(0.3, 0.2, zeros=(128, 0))
    model.at = a
    a = model.node("Sigmoid").qdq(1 / 256).at
    graph = compare(concat(model, [a, b]).qdq(0.2), tmp_path)
    assert kinds(graph) == ["Conv", "Conv", "Table", "Concat"]


def test_concat_of_vectors(tmp_path):
    model = Model().qdq(0.1)
    source, names = model.at, []
    for filters in 4, 3:
        model.at = source
        random_conv(model, filters).qdq(0.3).node("GlobalAveragePool").node("Flatten")
        names.append(model.qdq(0.2 if filters == 4 else 0.25).at)
    concat(model, names, -1).qdq(0.22)
    compare(matrix(model, 7).qdq(0.5, np.uint8(99)), tmp_path, frames=16)


def concat_of_flat_maps():
    model, names = fork(0.3, 0.3)
    flat = []
    for name in names:
        model.at = name
        flat.append(model.node("Flatten").at)
    return concat(model, flat)


def test_concat_of_flat_maps_is_left_to_the_host(tmp_path):
    graph, notes = concat_of_flat_maps().load(tmp_path)
    assert graph.outputs == tuple(node.output for node in graph.nodes)
    assert len(notes) == 1 and re.fullmatch(
        "Concat node .* is left to the host, which reads 'v.' and 'v.'", notes[0])


def layer(*more, op="Slice", shape=(1, 6, 9, 8), outputs=1, first=0, opset=17, **attributes):
    """A convolution, and an operator on its (1, 6, 9, 8)."""
    model = Model(shape=(1, 3, *shape[2:]), opset=opset).qdq(0.1)
    random_conv(model, shape[1], pads=[1, 1, 1, 1]).qdq(0.3, np.uint8(60))
    model.node(op, *more, outputs=outputs, **attributes)
    if first:
        model.at = f"{model.at}_{first}"
    return model


def ints(*values):
    return np.array(values, np.int64)


LAST = 2**63 - 1


@pytest.mark.parametrize("arguments, start, size, step", [
    ((ints(2), ints(5), ints(1)), (0, 0, 2), (9, 8, 3), (1, 1)),
    ((ints(-4, 1), ints(-1, LAST), ints(1, 2)), (1, 0, 2), (8, 8, 3), (1, 1)),
    ((ints(0, 1), ints(LAST, LAST), ints(2, 3), ints(2, 3)), (0, 1, 0), (5, 3, 6), (2, 3)),
    ((ints(1), ints(8), ints(-1), ints(4)), (0, 1, 0), (9, 2, 6), (1, 4)),
    ((ints(0, -100, 3, 2), ints(1, 100, 4, 3)), (3, 2, 0), (1, 1, 6), (1, 1)),
    ((np.array([5], np.int32), np.array([6], np.int32), np.array([1], np.int32)), (0, 0, 5),
     (9, 8, 1), (1, 1)),
])
def test_slice(arguments, start, size, step, tmp_path):
    graph = compare(layer(*arguments).qdq(0.3, np.uint8(60)), tmp_path)
    node = graph.nodes[-1]
    assert isinstance(node, Slice)
    assert (node.start, node.size, node.step) == (start, size, step)
    assert graph.tensors[node.output].shape == size


def test_slice_of_all_is_a_rename(tmp_path):
    graph = compare(layer(ints(0, -6), ints(LAST, 6), ints(2, 1)).qdq(0.3, np.uint8(60)), tmp_path)
    assert kinds(graph) == ["Conv"]


@pytest.mark.parametrize("first", [0, 1, 2])
@pytest.mark.parametrize("opset, arguments, attributes, sizes", [
    (17, [ints(1, 3, 2)], {"axis": 1}, (1, 3, 2)), (17, [], {"axis": -3}, (2, 2, 2)),
    (18, [], {"axis": 2, "num_outputs": 3}, (3, 3, 3)), (11, [], {"axis": 1, "split": [4, 1, 1]},
                                                         (4, 1, 1)),
    (18, [], {"axis": 3, "num_outputs": 3}, (3, 3, 2)),
])
def test_split(first, opset, arguments, attributes, sizes, tmp_path):
    if opset == 11:
        model = split_of_opset_11(first, attributes)
    else:
        model = layer(*arguments, op="Split", outputs=3, first=first, opset=opset, **attributes)
    graph = compare(model.qdq(0.3, np.uint8(60)), tmp_path, frames=8)
    axis = {1: 2, -3: 2, 2: 0, 3: 1}[attributes["axis"]]
    assert kinds(graph) == ["Conv", "Slice"]
    assert graph.nodes[-1].size[axis] == sizes[first]
    assert graph.nodes[-1].start[axis] == sum(sizes[:first])


def split_of_opset_11(first, attributes):
    """Weights of one scale, as opset 11 has them."""
    model = Model(shape=(1, 3, 9, 8), opset=11).qdq(0.1)
    rng = np.random.default_rng(2)
    model.node("Conv", model.weights(rng.integers(-99, 99, (6, 3, 3, 3), np.int8), 0.0117,
                                     np.int8(0))).qdq(0.3, np.uint8(60))
    model.node("Split", outputs=3, **attributes)
    model.at += f"_{first}" if first else ""
    return model


def test_parts_are_joined_again(tmp_path):
    model = layer(op="Split", outputs=2, axis=1)
    a, b = model.at, f"{model.at}_1"
    graph = compare(concat(model, [b, a]).qdq(0.3, np.uint8(60)), tmp_path)
    assert kinds(graph) == ["Conv", "Slice", "Slice", "Concat"]


@pytest.mark.parametrize("pads, value, before, after, stored", [
    ((0, 0, 1, 2, 0, 0, 3, 4), None, (1, 2, 0), (3, 4, 0), 0),
    ((0, 2, 0, 0, 0, 1, 0, 0), 0.0, (0, 0, 2), (0, 0, 1), 0),
    ((0, 0, 1, 1, 0, 0, 0, 0), 7.1, (1, 1, 0), (0, 0, 0), 24),
    ((0, 0, 1, 1, 0, 0, 0, 0), -2.5, (1, 1, 0), (0, 0, 0), -8),
    ((0, 0, 1, 1, 0, 0, 1, 1), -1e9, (1, 1, 0), (1, 1, 0), -60),
    ((0, 0, 1, 1, 0, 0, 1, 1), -np.inf, (1, 1, 0), (1, 1, 0), -60),
    ((0, 0, 0, 1, 0, 0, 0, 1), 1e38, (0, 1, 0), (0, 1, 0), 195),
    ((0, -2, 1, -3, 0, -1, -4, 2), 3.0, (1, 0, 0), (0, 2, 0), 10),
])
def test_pad(pads, value, before, after, stored, tmp_path):
    more = [] if value is None else [np.float32(value)]
    graph = compare(layer(ints(*pads), *more, op="Pad").qdq(0.3, np.uint8(60)), tmp_path)
    node = graph.nodes[-1]
    assert isinstance(node, Pad)
    assert (node.before, node.after, node.value) == (before, after, stored)


def test_pad_to_another_scale(tmp_path):
    model = layer(ints(0, 0, 1, 1, 0, 0, 1, 1), np.float32(7.1), op="Pad").qdq(0.25, np.uint8(99))
    graph = compare(model, tmp_path)
    assert kinds(graph) == ["Conv", "Table", "Pad"] and graph.nodes[-1].value == 28


def test_negative_pads_are_a_slice(tmp_path):
    graph = compare(layer(ints(0, -1, -2, 0, 0, 0, 0, -3), op="Pad").qdq(0.3, np.uint8(60)),
                    tmp_path)
    assert kinds(graph) == ["Conv", "Slice"]
    assert (graph.nodes[1].start, graph.nodes[1].size) == ((2, 0, 1), (7, 5, 5))


@pytest.mark.parametrize("axes", [[2, 3], [-2, -1]])
def test_pad_with_axes(axes, tmp_path):
    model = layer(ints(1, 2, 0, 3), "", ints(*axes), op="Pad", opset=18).qdq(0.3, np.uint8(60))
    assert compare(model, tmp_path).nodes[-1].before == (1, 2, 0)


def resized(factors=(2, 2), *, sizes=False, opset=17, **attributes):
    if sizes:
        more = ["", "", ints(1, 6, 9 * factors[0], 8 * factors[1])]
    else:
        more = ["", np.float32([1, 1, *factors])]
    return layer(*more, op="Resize", opset=opset, **attributes)


@pytest.mark.parametrize("attributes", [
    {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}, {},
    {"nearest_mode": "round_prefer_ceil"},
    {"coordinate_transformation_mode": "pytorch_half_pixel"},
    {"coordinate_transformation_mode": "half_pixel", "mode": "nearest"},
], ids=str)
@pytest.mark.parametrize("factors, sizes", [((2, 2), False), ((3, 1), True), ((1, 4), False)])
def test_resize(attributes, factors, sizes, tmp_path):
    graph = compare(resized(factors, sizes=sizes, **attributes).qdq(0.3, np.uint8(60)), tmp_path)
    node = graph.nodes[-1]
    assert isinstance(node, Upsample) and node.factor == factors


def test_resize_is_repetition_or_refused(tmp_path):
    """Of all modes, those that are accepted agree with onnxruntime, and the others do not repeat."""
    accepted = set()
    for transformation in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric",
                           "half_pixel_symmetric"):
        for nearest in "round_prefer_floor", "round_prefer_ceil", "floor", "ceil":
            model = resized((2, 3), opset=19, coordinate_transformation_mode=transformation,
                            nearest_mode=nearest).qdq(0.3, np.uint8(60))
            try:
                model.load(tmp_path)
            except UserError as error:
                assert f"{transformation!r} with nearest_mode {nearest!r} does not" in str(error)
            else:
                compare(model, tmp_path, frames=2)
                accepted.add((transformation, nearest))
    halves = {(t, n) for t in ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric")
              for n in ("round_prefer_floor", "round_prefer_ceil")}
    assert accepted == {("asymmetric", "floor"), *halves}


def test_resize_with_axes_and_upsample(tmp_path):
    model = layer("", np.float32([2, 2]), op="Resize", axes=[2, 3], opset=18)
    assert compare(model.qdq(0.3, np.uint8(60)), tmp_path).nodes[-1].factor == (2, 2)
    assert kinds(compare(resized((1, 1), mode="linear").qdq(0.3, np.uint8(60)), tmp_path)) == ["Conv"]


@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("window", [
    {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]},
    {"kernel_shape": [3, 2], "pads": [1, 0, 2, 1], "strides": [2, 2]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "pads": [1, 1, 1, 1]},
    {"kernel_shape": [2, 2], "strides": [3, 3], "ceil_mode": 1, "pads": [1, 1, 0, 0]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
], ids=str)
@pytest.mark.parametrize("opset", [17, 21])
def test_average_at_borders(include, window, opset, tmp_path):
    model = Model(opset=opset).qdq(0.1, np.uint8(70))
    model.node("AveragePool", count_include_pad=include, **window)
    # Scales whose quotient is no simple fraction: no ties.
    graph = compare(model.qdq(0.073, np.uint8(70)), tmp_path, frames=8)
    pool, = graph.nodes
    assert isinstance(pool, Pool)
    if include == 0:
        assert pool.counted == (0, 0, 0, 0)
        assert len(pool.requantization.shift) == np.prod(window["kernel_shape"])
    elif not window.get("ceil_mode"):
        assert pool.counted is None


@pytest.mark.parametrize("op, attributes", [
    ("ReduceMean", {"axes": [-2, -1], "keepdims": 0}), ("ReduceMean", {"axes": [2], "keepdims": 1}),
    ("ReduceMax", {"axes": [3, 2], "keepdims": 1}), ("ReduceMax", {"axes": [-1], "keepdims": 0}),
], ids=str)
def test_reductions(op, attributes, tmp_path):
    model = layer(op=op, **attributes).qdq(0.3, np.uint8(60))
    pool = compare(model, tmp_path, frames=12).nodes[-1]
    assert pool.op == {"ReduceMean": "avg", "ReduceMax": "max"}[op]


@pytest.mark.parametrize("op", ["GlobalMaxPool", "MaxPool"])
def test_maximum_of_another_scale(op, tmp_path):
    """As quantizers leave it that calibrate the maximum by itself."""
    more = {"kernel_shape": [2, 2]} if op == "MaxPool" else {}
    graph = compare(layer(op=op, **more).qdq(0.25, np.uint8(9)), tmp_path, frames=16)
    assert kinds(graph) == ["Conv", "Pool", "Table"]


@pytest.mark.parametrize("twice", [False, True])
def test_wide_values_of_another_scale(twice, tmp_path):
    model = Model().qdq(0.001, np.uint16(9)).node("MaxPool", kernel_shape=[2, 2])
    model.outputs = [model.qdq(0.0013, np.uint16(700)).at]
    if twice:
        model.at = "v2"
        model.outputs.append(model.qdq(0.0017, np.uint16(700)).at)
    graph, _ = model.load(tmp_path)
    assert [n.op for n in graph.nodes] == ["max", "avg", "avg"][:2 + twice]
    x = np.random.default_rng(1).integers(-9, 65526, (1, 7, 6, 3))
    real = (x * np.float32(0.001)).astype(np.float32).transpose(0, 3, 1, 2)
    for name, found in zip(graph.outputs, session(model.proto()).run(None, {"x": real})):
        wanted = np.rint(found / np.float32(graph.tensors[name].scale)).transpose(0, 2, 3, 1)
        close(reference.run_outputs(graph, x)[name], wanted.astype(int), share=0.3)


@pytest.mark.parametrize("group, filters", [(2, 4), (3, 9), (6, 12), (2, 6)])
def test_groups(group, filters, tmp_path):
    model = Model(shape=(1, 6, 8, 7)).qdq(0.1, np.uint8(30))
    random_conv(model, filters, channels=6 // group, group=group, pads=[1, 1, 1, 1])
    node, = compare(model.qdq(0.3, np.uint8(120)), tmp_path).nodes
    assert (node.op, node.groups) == ("grouped", group)
    assert node.weights.shape == (filters, 3, 3, 6 // group)


def signal(model=None, **attributes):
    model = model or Model(shape=(1, 3, 20)).qdq(0.1)
    return random_conv(model, 4, (3,), **attributes)


@pytest.mark.parametrize("attributes", [
    {}, {"strides": [2], "pads": [1, 2]}, {"dilations": [2]},
    {"strides": [3], "auto_pad": "SAME_UPPER"}], ids=str)
def test_signals(attributes, tmp_path):
    graph = compare(signal(**attributes).qdq(0.3, np.uint8(90)), tmp_path)
    node, = graph.nodes
    assert isinstance(node, Conv) and node.kernel == (1, 3)
    assert graph.tensors[graph.input].shape == (1, 20, 3)


@pytest.mark.parametrize("op, attributes, out", [
    ("MaxPool", {"kernel_shape": [2], "strides": [2]}, 0.3),
    ("AveragePool", {"kernel_shape": [3], "pads": [1, 1]}, 0.13), ("GlobalAveragePool", {}, 0.13),
    ("GlobalMaxPool", {}, 0.3), ("ReduceMean", {"axes": [2], "keepdims": 0}, 0.13)])
def test_pools_of_signals(op, attributes, out, tmp_path):
    model = signal().qdq(0.3, np.uint8(90)).node(op, **attributes).qdq(out, np.uint8(90))
    if op == "ReduceMean":
        model.opset = 17
    compare(model, tmp_path, frames=16)


def test_signals_are_cut_joined_and_classified(tmp_path):
    model = signal().qdq(0.3)
    model.node("Split", ints(10, 8), axis=2, outputs=2)
    a, b = model.at, f"{model.at}_1"
    model.at = a
    a = model.node("Pad", ints(0, 0, 0, 0, 0, -2)).at
    concat(model, [b, a]).node("Resize", "", np.float32([1, 1, 2])).node("Flatten")
    graph = compare(matrix(model, 128).qdq(0.5, np.uint8(128)), tmp_path, frames=16)
    assert kinds(graph) == ["Conv", "Slice", "Slice", "Slice", "Concat", "Upsample", "Conv"]


def test_signal_along_the_height(tmp_path):
    model = Model(shape=(1, 3, 20, 1)).qdq(0.1).node("Squeeze", ints(3))
    node, = compare(signal(model, strides=[2], pads=[1, 0]).qdq(0.3, np.uint8(90)), tmp_path).nodes
    assert (node.kernel, node.stride, node.padding) == ((3, 1), (2, 1), (1, 0, 0, 0))


def test_signal_becomes_a_map(tmp_path):
    model = Model(shape=(1, 3, 20)).qdq(0.1).node("Unsqueeze", ints(2))
    random_conv(model, 4, (1, 3)).qdq(0.3)
    model.node("Reshape", ints(1, 4, 18))
    random_conv(model, 5, (3,), channels=4).qdq(0.5, np.uint8(128))
    assert kinds(compare(model, tmp_path)) == ["Conv", "Conv"]


def vector(op="Flatten", *more, **attributes):
    return layer(op="GlobalAveragePool").qdq(0.2, np.uint8(60)).node(op, *more, **attributes)


@pytest.mark.parametrize("op, more, attributes", [
    ("Resize", [np.float32([1, 1, 2, 3])], {"mode": "nearest"}),
    ("Pad", [], {"pads": [0, 0, 1, 0, 0, 0, 1, 2]}),
    ("Slice", [ints(1, 0), ints(LAST, -1), ints(2, 1)], {})])
def test_operators_of_old_opsets(op, more, attributes, tmp_path):
    model = Model(shape=(1, 3, 9, 8), opset=10)
    model.qdq(0.1).node(op, *more, **attributes).qdq(0.1)
    assert len(compare(model, tmp_path).nodes) == 1


def test_transposed_weights(tmp_path):
    """As exports of linear layers have them."""
    rng = np.random.default_rng(7)
    model = Model(shape=(1, 40)).qdq(0.1, np.uint8(100))
    kept, scale = model.at, rng.uniform(0.005, 0.02, 5)
    model.at = model.weights(rng.integers(-127, 128, (5, 40), np.int8), scale, axis=0)
    weights, model.at = model.node("Transpose", perm=[1, 0]).at, kept
    compare(model.node("MatMul", weights).qdq(0.5, np.uint8(128)), tmp_path, frames=16)


@pytest.mark.parametrize("make", [
    lambda: vector("Reshape", ints(1, 6)), lambda: vector("Reshape", ints(-1, 6)),
    lambda: vector("Squeeze", ints(2, 3)), lambda: vector("Squeeze").node("Unsqueeze", ints(0)),
    lambda: vector("Transpose", perm=[0, 2, 3, 1]).node("Flatten"),
    lambda: vector("Transpose", perm=[0, 2, 3, 1]).node("Reshape", ints(0, -1)),
    lambda: vector().node("Unsqueeze", ints(2, -1)).node("Transpose", perm=[2, 0, 3, 1]).node(
        "Flatten", axis=2),
    lambda: vector("Reshape", ints(-1)).node("Gather", np.arange(6).reshape(1, 6, 1, 1), axis=0).node(
        "Reshape", ints(1, 6), allowzero=1),        # as torch.onnx.export writes as_strided
], ids=range(8))
def test_renamed_vectors(make, tmp_path):
    graph = compare(matrix(make(), 6).qdq(0.5, np.uint8(128)), tmp_path, frames=16)
    assert kinds(graph) == ["Conv", "Pool", "Conv"]


def test_channels_last_in_between(tmp_path):
    """A layer each pixel, a sum and a mean, all of them (N, H, W, C), then a flattened map."""
    model = layer(op="Transpose", perm=[0, 2, 3, 1])
    trunk = model.at
    matrix(model, 6, 6, op="MatMul").qdq(0.4137, np.uint8(99))
    model.node("Add", trunk).qdq(0.4137, np.uint8(99))
    names = [model.at, trunk]
    concat(model, names, -1).qdq(0.4137, np.uint8(99))
    model.node("Slice", ints(1, 2), ints(LAST, 9), ints(1, 3), ints(2, 1))
    model.outputs = [model.at]
    model.node("Reshape", ints(1, -1))
    model.outputs.append(matrix(model, 4 * 8 * 7).qdq(5, np.uint8(128)).at)
    graph = compare(model, tmp_path)
    assert kinds(graph) == ["Conv", "Conv", "Add", "Table", "Concat", "Slice", "Conv"]
    assert [n.op for n in graph.nodes if isinstance(n, Conv)] == ["conv", "conv", "fc"]
    assert importer.layouts(model.proto())[graph.outputs[0]] == ("", "H", "W", "C")


def test_pair_of_transposes_cancels(tmp_path):
    model = layer(op="Transpose", perm=[0, 3, 1, 2]).node("Transpose", perm=[0, 2, 3, 1])
    random_conv(model, 4, channels=6).qdq(0.5, np.uint8(128))
    assert kinds(compare(model, tmp_path)) == ["Conv", "Conv"]


def test_pair_of_reshapes_cancels(tmp_path):
    model = layer(ints(1, 6, 72), op="Reshape").node("Reshape", ints(0, 0, 9, 8))
    random_conv(model, 4, channels=6).qdq(0.5, np.uint8(128))
    assert kinds(compare(model, tmp_path)) == ["Conv", "Conv"]


@pytest.mark.parametrize("quantized_first", [False, True])
def test_input_with_channels_last(quantized_first, tmp_path):
    model = Model(shape=("N", 7, 6, 3))
    if quantized_first:
        model.qdq(0.1, np.uint8(5)).node("Transpose", perm=[0, 3, 1, 2])
    else:
        model.node("Transpose", perm=[0, 3, 1, 2]).qdq(0.1, np.uint8(5))
    graph = compare(random_conv(model).qdq(0.3), tmp_path)
    assert graph.tensors[graph.input].shape == (7, 6, 3)


def test_input_of_one_channel_last(tmp_path):
    model = Model(shape=(1, 7, 6, 1)).node("Reshape", ints(-1, 1, 7, 6)).qdq(0.1)
    graph = compare(random_conv(model, channels=1).qdq(0.3), tmp_path)
    assert graph.tensors[graph.input].shape == (7, 6, 1)


def test_signal_with_channels_last(tmp_path):
    model = Model(shape=(1, 20, 3)).qdq(0.1).node("Transpose", perm=[0, 2, 1])
    graph = compare(signal(model).qdq(0.3, np.uint8(90)), tmp_path)
    assert graph.tensors[graph.input].shape == (1, 20, 3)


def heads(tmp_path):
    """Two heads as detectors have them: reordered, cut and joined by the host."""
    model, names = fork(0.3, 0.2, filters=(4, 8))
    ends = []
    for name in names:
        model.at = name
        model.node("Transpose", perm=[0, 2, 3, 1]).node("Reshape", ints(1, -1, 4))
        ends.append(model.at)
    model = concat(model, ends).qdq(0.3).node("Softmax", axis=2)
    return model.load(tmp_path)


def test_heads_are_left_to_the_host(tmp_path):
    graph, notes = heads(tmp_path)
    assert graph.outputs == tuple(n.output for n in graph.nodes) and len(graph.outputs) == 2
    assert [note.split(" ")[0] for note in notes] == ["Reshape", "Concat", "Softmax"]
    assert "reads 'v5' and 'v8'" in notes[-1] or all(repr(o) in notes[-1] for o in graph.outputs)


def ends(model):
    """A convolution behind what the host would have to compute."""
    return random_conv(model, channels=6).qdq(0.3)


@pytest.mark.parametrize("make, message", [
    (lambda: layer(ints(4), ints(0), ints(2), ints(-1)),
     "Slice node .*: step -1 is not supported; only steps from 1"),
    (lambda: layer(ints(0), ints(6), ints(1), ints(2)),
     "Slice node .*: step 2 over channels is not supported; only 1"),
    (lambda: layer(ints(5), ints(5), ints(1)),
     "Slice node .*: nothing of the 6 of axis 1 is left; check the model"),
    (lambda: layer(ints(0), ints(1), ints(4)),
     "Slice node .*: axis 4 does not fit 4 dimensions; check the model"),
    (lambda: layer(ints(0), ints(1, 2), ints(1)),
     r"Slice node .*: starts \[0\], ends \[1, 2\], .* must be as many; check the model"),
    (lambda: layer(op="Transpose", perm=[0, 1]),
     r"Transpose node .*: perm \[0, 1\] does not fit 4 dimensions; check the model"),
    (lambda: layer(op="Flatten").node("Slice", ints(5), ints(50), ints(1)),
     r"Slice node .*: axis 1 of \(1, 432\) is not supported, as it holds more than one of .*"),
    (lambda: layer(ints(5, 5), op="Split", axis=1, outputs=2),
     r"Split node .*: parts \[5, 5\] do not fit axis 1 of 6 and 2 outputs; check the model"),
    (lambda: layer(ints(0, 0, 1, 1, 0, 0, 1, 1), op="Pad", mode="reflect"),
     "Pad node .*: mode 'reflect' is not supported; only constant padding is"),
    (lambda: layer(ints(0, 0, 1, 1, 0, 0, 1, 1), np.float32(np.nan), op="Pad"),
     "Pad node .*: value 'k.*' must be one constant number"),
    (lambda: layer(ints(1, 0, 1, 1, 0, 0, 1, 1), op="Pad"),
     r"Pad node .*: pads .* of \(1, 6, 9, 8\) is not supported; only over the height, .*"),
    (lambda: layer(ints(0, 0, 1, 1, 0, 0, 1, 1), np.float32(-np.inf), op="Pad").node(
        "MaxPool", kernel_shape=[3, 3]), "MaxPool node .*: input 'v.' is not quantized; put .*"),
    (lambda: resized(mode="linear"), "Resize node .*: mode 'linear' is not supported; only .*"),
    (lambda: resized((1.5, 1)),
     r"Resize node .*: from \(1, 6, 9, 8\) to \(1, 6, 13, 8\) is not supported; only integer .*"),
    (lambda: resized(coordinate_transformation_mode="align_corners", nearest_mode="floor"),
     "Resize node .*: coordinate_transformation_mode 'align_corners' with nearest_mode "
     "'floor' does not repeat each pixel 2 times; use 'asymmetric' with 'floor'"),
    (lambda: layer(np.float32([0] * 8), np.float32([1, 1, 2, 2]), op="Resize",
                   coordinate_transformation_mode="tf_crop_and_resize"),
     "Resize node .*: coordinate_transformation_mode 'tf_crop_and_resize' is not supported; .*"),
    (lambda: resized(opset=18, antialias=1), "Resize node .*: antialias 1 is not supported; .*"),
    (lambda: layer("", "v1", op="Resize"), "Resize node .*: input 'v1' must be a constant; .*"),
    (lambda: ends(layer(op="Transpose", perm=[0, 1, 3, 2])),
     r"Conv node .*: input must be maps .*, not \(1, 6, 8, 9\) in this order"),
    (lambda: ends(layer(ints(1, 2, 3, 9, 8), op="Reshape").node("Transpose", perm=[0, 2, 1, 3, 4])
                  .node("Reshape", ints(1, 6, 9, 8))),
     r"Reshape node .*: shape \[1, 2, 3, 9, 8\] of \(1, 6, 9, 8\) is not supported; only what "
     "keeps each of C, H and W whole"),
    (lambda: matrix(concat_of_flat_maps(), 140).qdq(0.3),
     r"Concat node .*: axis 1 of \(1, 80\) and \(1, 60\) is not supported; only the channels .*"),
    (lambda: matrix(layer(op="Transpose", perm=[0, 2, 1, 3]), 8, op="MatMul").qdq(0.3),
     r"MatMul node .*: input must be \(1, K\), not maps \(1, 9, 6, 8\); put a Flatten before it"),
    (lambda: layer(op="ConvTranspose"), "ConvTranspose node .*: operator is not supported; .*"),
    (lambda: layer(op="GlobalLpPool"), "GlobalLpPool node .*: operator is not supported; .*"),
    (lambda: concat(fork(0.3)[0], ["v1", "x"]), "Concat node .*: input 'x' is not quantized; .*"),
])
def test_refuses(make, message, tmp_path):
    if "ConvTranspose" in message:      # weights, for the checker
        model = layer(np.ones((6, 2, 3, 3), np.float32), op="ConvTranspose")
    else:
        model = make()
    with pytest.raises(UserError) as caught:
        model.load(tmp_path)
    assert re.fullmatch(message, str(caught.value)), str(caught.value)
