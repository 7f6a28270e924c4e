"""Float networks: cleaned up, quantized, imported, and compared with onnxruntime."""
import re

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from cores import build, check, opening
from cores.errors import UserError
from cores.graph import Add, Graph, Tensor
from cores.importer import load
from cores.opening import open_onnx
from cores.pixels import stored
from cores.preprocessing import Preprocessing, attach
from cores.quantization.agreement import compare
from cores.quantization.prepare import prepare
from cores.quantization.quantize import quantize
from real_networks import real_network
from sim import reference
from test_importer import Model, session


def weights(rng, *shape):
    return (rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def batch_norm(model, rng, channels):
    return model.node("BatchNormalization", *(rng.uniform(low, high, channels).astype(np.float32)
                                              for low, high in
                                              ((0.5, 2), (-1, 1), (-1, 1), (0.5, 2))))


def residual(opset=13, *, tail="Softmax", shape=("N", 3, 12, 10)):
    """BatchNormalization, ReLU6, a depthwise layer, a residual block, and a classifier."""
    rng, model = np.random.default_rng(opset), Model(shape=shape, opset=opset)

    def relu6():
        if opset < 11:
            model.node("Clip", min=0.0, max=6.0)
        else:
            model.node("Clip", np.float32(0), np.float32(6))
        return model.at

    model.node("Conv", weights(rng, 8, 3, 3, 3), pads=[1, 1, 1, 1], name="stem")
    batch_norm(model, rng, 8)
    trunk = relu6()
    model.node("Conv", weights(rng, 8, 1, 3, 3), weights(rng, 8, 1)[:, 0], group=8,
               pads=[1, 1, 1, 1])
    relu6()
    batch_norm(model.node("Conv", weights(rng, 8, 8, 1, 1)), rng, 8)
    model.node("Add", trunk).node("Relu").node("GlobalAveragePool").node("Flatten")
    model.node("Gemm", weights(rng, 5, 8), weights(rng, 5, 1)[:, 0], transB=1, name="classes")
    if tail:
        model.node(tail, axis=1, name="tail")
    return model


def pixels(frames=12, shape=(12, 10, 3), seed=3):
    return np.random.default_rng(seed).integers(0, 256, (frames, *shape), np.uint8)


def saved(model, tmp_path, name="net.onnx"):
    """The file of a Model; like older exporters', its weights are inputs as well."""
    proto = model.proto()
    if model.opset < 9:
        proto.ir_version = 3
        proto.graph.input.extend(
            helper.make_tensor_value_info(t.name, t.data_type, t.dims)
            for t in proto.graph.initializer)
    onnx.save(proto, tmp_path / name)
    return tmp_path / name


PREPROCESSING = Preprocessing((120, 110, 100), (1 / 60, 1 / 55, 1 / 50), "bgr")


@pytest.mark.parametrize("opset", [7, 8, 9, 11, 13, 17, 21])
def test_prepare_keeps_what_it_computes(opset, tmp_path):
    path = saved(residual(opset, tail=None), tmp_path)
    model = prepare(path)
    kinds = [node.op_type for node in model.graph.node]
    assert "BatchNormalization" not in kinds and kinds.count("Conv") == 3
    assert max(o.version for o in model.opset_import) == max(opset, 17)
    assert [i.name for i in model.graph.input] == ["x"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1
    assert all(node.name for node in model.graph.node)
    x = np.random.default_rng(1).normal(size=(1, 3, 12, 10)).astype(np.float32)
    before, after = (session(m).run(None, {"x": x})[0] for m in (onnx.load(path), model))
    assert np.abs(before).max() > 0.1 and np.allclose(before, after, atol=1e-5)


@pytest.mark.parametrize("tail", ["Softmax", "LogSoftmax", "ArgMax"])
def test_tail_is_left_to_the_host(tail, tmp_path):
    model = prepare(saved(residual(tail=tail), tmp_path))
    assert model.graph.node[-1].op_type == "Gemm"
    logits = model.graph.node[-1].output[0]
    assert [o.name for o in model.graph.output] == [logits]
    graph, notes = load(quantize(model, pixels(2), PREPROCESSING))
    assert notes == [f"{tail} node 'tail' is left to the host, which reads {logits!r}"]
    assert graph.outputs == (logits,)


def test_two_tails_of_one_output(tmp_path):
    model = residual(tail=None)
    logits = model.at
    first, model.at = model.node("Softmax", axis=1, name="a").at, logits
    model.outputs = [logits, first, model.node("Reshape", np.array([5]), name="b").node(
        "ArgMax", name="c").at]
    graph, notes = load(quantize(saved(model, tmp_path), pixels(2), PREPROCESSING))
    assert graph.outputs == (logits,)
    assert [note.split(" is left")[0] for note in notes] == [
        "Softmax node 'a'", "ArgMax node 'c'", "Reshape node 'b'"]


@pytest.mark.parametrize("opset", [7, 13])
def test_every_operator_agrees(opset, tmp_path):
    original = prepare(saved(residual(opset), tmp_path))
    images = pixels(24)
    network, found = compare(quantize(original, images, PREPROCESSING), original, images,
                             PREPROCESSING)
    assert [getattr(n, "op", "") for n in network.nodes] == [
        "conv", "depthwise", "conv", "add", "avg", "fc"]
    assert any(isinstance(n, Add) for n in network.nodes)
    assert network.tensors[network.nodes[0].output].low == 0       # ReLU6: zero point 0
    for name, tensor in found.tensors.items():
        assert not tensor.exceeded, (name, tensor)
        assert name == network.input or tensor.decibels > 20, (name, tensor)
    ours, theirs = found.answers(network.outputs[0])
    assert (ours == theirs).mean() > 0.9


def test_sixteen_bits_are_closer(tmp_path):
    original = prepare(saved(residual(), tmp_path))
    images, decibels = pixels(4), []
    for bits in 8, 16:
        network, found = compare(quantize(original, images, PREPROCESSING, bits=bits), original,
                                 images, PREPROCESSING)
        assert network.tensors[network.input].bits in (bits, bits + 1)
        decibels.append(found.tensors[network.outputs[0]].decibels)
    assert decibels[1] > decibels[0] + 3
    assert not any(t.limited for t in found.tensors.values())


@pytest.mark.parametrize("mean, scale", [
    ((0,), (1,)), ((127.5,), (1 / 127.5,)), ((123.675, 116.28, 103.53), (0.0171, 0.0175, 0.0174)),
    ((0,), (-0.5,))])
@pytest.mark.parametrize("zero", [0, 114, 255])
def test_input_table_is_onnxruntimes(mean, scale, zero):
    """Each of the 256 pixel values of each channel, ties and saturation included."""
    preprocessing = Preprocessing(mean, scale)
    model = Model(shape=("N", 3, 1, 256)).q(0.5 if len(mean) == 1 else 0.013, np.uint8(zero))
    proto = model.proto()
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.UINT8
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None], (1, 256, 3))
    expected, = onnxruntime.InferenceSession(proto.SerializeToString()).run(
        None, {"x": preprocessing.apply(ramp[None])})
    tensor = Tensor("x", 1, 256, 3, -zero, 255 - zero, zero,
                    float(numpy_helper.to_array(proto.graph.initializer[0])))
    assert (preprocessing.input_table(tensor) == expected[0, :, 0].astype(int) - zero).all()


def test_channel_order(tmp_path):
    """Pictures are red first; the weights change places, not the pixels."""
    model = residual(tail=None)
    plain, _ = load(quantize(saved(model, tmp_path), pixels(), PREPROCESSING))
    network = attach(plain, PREPROCESSING)
    images = pixels(3)
    assert network.input_table.shape == (3, 256)
    quantized = stored(network, images)
    tensor = plain.tensors[plain.input]
    expected = np.rint(PREPROCESSING.apply(images) / np.float32(tensor.scale))
    expected = np.clip(expected, tensor.low, tensor.high).transpose(0, 2, 3, 1)     # b, g, r
    assert (quantized[..., ::-1] == expected).all() and not (quantized == expected).all()
    name = plain.outputs[0]
    got = reference.run_outputs(network, quantized)[name]
    assert (got == reference.run_outputs(plain, expected.astype(int))[name]).all()


def test_graph_round_trip(tmp_path):
    network = attach(load(quantize(saved(residual(), tmp_path), pixels(), PREPROCESSING))[0],
                     PREPROCESSING)
    plain, arrays = network.to_arrays()
    again = Graph.from_arrays(plain, arrays)
    assert again.input_table is network.input_table
    assert (stored(again, pixels()) == stored(network, pixels())).all()
    del plain["input_table"]        # of a build that had none
    assert Graph.from_arrays(plain, arrays).input_table is None


def test_build_and_check(tmp_path, capsys):
    """The command lines, with pictures from an .npz."""
    path = saved(residual(), tmp_path)
    np.savez(tmp_path / "pictures.npz", images=pixels(), labels=np.arange(12) % 5)
    options = ["--mean", "120,110,100", "--scale", "1/60,1/55,0.02", "--order", "bgr"]
    assert check.main([str(path), "--images", str(tmp_path / "pictures.npz"), *options]) == 0
    text = capsys.readouterr().out
    assert "top-1 agreement" in text and "depthwise" in text and "right by the labels" in text
    network, notes, preprocessing = opening.open_model(
        path, tmp_path / "pictures.npz", PREPROCESSING)
    assert network.input_table is not None and preprocessing == PREPROCESSING and len(notes) == 1
    assert opening.open_model(path, tmp_path / "pictures.npz")[2] == Preprocessing()
    quantized = tmp_path / "quantized.onnx"
    onnx.save(quantize(path, pixels(), PREPROCESSING), quantized)
    assert opening.open_model(quantized)[0].input_table is None
    table = opening.open_model(quantized, None, PREPROCESSING)[0].input_table
    assert (table == network.input_table).all()
    assert check.main([str(quantized), "--images", str(tmp_path / "pictures.npz")]) == 0
    assert "dB to onnxruntime" in capsys.readouterr().out


def test_check_sees_a_difference(tmp_path, monkeypatch, capsys):
    path = saved(residual(), tmp_path)
    np.savez(tmp_path / "pictures.npz", images=pixels(4))
    run_node = reference.run_node
    monkeypatch.setattr(reference, "run_node", lambda node, *inputs: run_node(node, *inputs) + (
        2 * (getattr(node, "op", "") == "add")))
    assert check.main([str(path), "--images", str(tmp_path / "pictures.npz")]) == 1
    assert "limits exceeded" in capsys.readouterr().out


@pytest.mark.parametrize("arguments, message", [
    (["--model", "FILE"], "Model is not quantized, .* give them with --calib, .*"),
    (["--model", "FILE", "--calib", "none.npz"], "'none.npz' does not exist"),
    (["--model", "FILE", "--calib", "PICTURES", "--mean", "1,2"],
     "Mean must be one number, or one for each of the network's 3 channels, not 2"),
    (["--model", "FILE", "--calib", "PICTURES", "--scale", "0"], "Scale must not be 0: .*"),
    (["--model", "FILE", "--calib", "PICTURES", "--mean", "nan"], "Mean must be finite .*"),
    (["--order", "bgr"], "Order 'bgr' needs a network of 3 channels, not 1"),
    (["--mean", "1;2"], "argument --mean: must be numbers with commas between, not '1;2' .*"),
    (["--scale", "1/0"], "argument --scale: must be numbers with commas between, not '1/0' .*"),
    (["--scale", "1/2/3"], "argument --scale: must be numbers .*"),
])
def test_build_refuses(arguments, message, tmp_path, capsys):
    path = saved(residual(), tmp_path)
    np.savez(tmp_path / "pictures.npz", images=pixels(2))
    names = {"FILE": str(path), "PICTURES": str(tmp_path / "pictures.npz")}
    arguments = [names.get(a, a) for a in arguments]
    try:
        code = build.main([*arguments, "--out", str(tmp_path / "out")])
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    assert re.fullmatch(f"error: {message}\n", capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def depthwise_first():
    model = Model(opset=17)
    return model.node("Conv", weights(np.random.default_rng(1), 3, 1, 3, 3), group=3)


def not_finite():
    return Model(opset=17).node("Conv", np.full((2, 3, 1, 1), np.inf, np.float32))


@pytest.mark.parametrize("make, message", [
    (lambda: Model(opset=17).node("LSTM", *(np.zeros(s, np.float32) for s in
                                            ((1, 4, 3), (1, 4, 1))), hidden_size=1),
     "LSTM node .*: operator is not supported; docs/operators.md lists those that are"),
    (lambda: Model(opset=17, shape=(1, 3, 7, "W")).node("Relu"), "Input 'x' has dynamic sizes .*"),
    (lambda: Model(opset=17, shape=(1, 3, 7, 7, 7)).node("Relu"), "Input 'x' must be .*"),
    (not_finite, "Constant 'k0' holds values that are not finite; check the training"),
    (lambda: Model(opset=6).node("Relu"), "Model has opset 6, at least 7 is needed; .*"),
])
def test_prepare_refuses(make, message, tmp_path):
    with pytest.raises(UserError) as caught:
        prepare(saved(make(), tmp_path))
    assert re.fullmatch(message, str(caught.value)), str(caught.value)


def test_quantize_and_attach_refuse(tmp_path):
    path = saved(depthwise_first(), tmp_path)
    images = pixels(2, (7, 6, 3))
    with pytest.raises(UserError, match=r"^Activations must have 8 or 16 bits, not 12$"):
        quantize(path, images, PREPROCESSING, bits=12)
    network, _ = load(quantize(path, images, PREPROCESSING))
    with pytest.raises(UserError, match=r"^Node .* reads the input, and has no weights .*bgr; .*$"):
        attach(network, PREPROCESSING)
    attach(network, Preprocessing())
    with pytest.raises(UserError, match=r"^Order must be 'rgb' or 'bgr', not 'grb'$"):
        Preprocessing(order="grb")


@pytest.mark.parametrize("name, nodes, agreement", [
    ("resnet8_mlperf", 14, 0.9), ("mbv1_025_vww96", 29, 0.9), ("squeezenet_v10_dc", 38, None),
    ("resnet18_trunk", 23, None), ("mobilenetv2_imagenet", 63, None),
])
def test_real_networks(name, nodes, agreement):
    # A network of few products is quick enough for more pictures.
    path, preprocessing, images = real_network(name, 3 if agreement is None else 50)
    original = prepare(path)
    network, found = compare(quantize(original, images, preprocessing), original, images,
                             preprocessing)
    assert len(network.nodes) == nodes
    assert [n for n, tensor in found.tensors.items() if tensor.exceeded] == []
    for output in network.outputs:
        assert found.tensors[output].decibels > 8
    if agreement is not None:
        ours, theirs = found.answers(network.outputs[0])
        assert (ours == theirs).mean() >= agreement


def test_quantized_file_is_not_quantized_again(tmp_path):
    path = tmp_path / "quantized.onnx"
    onnx.save(quantize(saved(residual(), tmp_path), pixels(2), PREPROCESSING), path)
    model, original = open_onnx(path, None, None)
    assert original is None
    assert [n.name for n in model.graph.node] == [n.name for n in onnx.load(path).graph.node]


def signed_output():
    """Conv -> a, an output; Relu of a -> r, an output; Identity of r -> again, an output."""
    rng = np.random.default_rng(5)
    weight = numpy_helper.from_array(rng.normal(size=(4, 3, 3, 3)).astype(np.float32), "w")
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"], name="conv"),
             helper.make_node("Relu", ["a"], ["r"], name="relu"),
             helper.make_node("Identity", ["r"], ["again"], name="same")]
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (
        ("x", [1, 3, 8, 8]), ("a", [1, 4, 6, 6]), ("r", [1, 4, 6, 6]), ("again", [1, 4, 6, 6]))}
    graph = helper.make_graph(nodes, "signed", [values["x"]], [values[n] for n in ("a", "r", "again")],
                              [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_output_that_a_relu_reads_keeps_its_sign():
    preprocessing = Preprocessing(scale=(1 / 255,) * 3)
    images = pixels(shape=(8, 8, 3))
    graph, notes = load(quantize(signed_output(), images, preprocessing))
    assert graph.outputs[0] == "a" and graph.tensors["a"].low < 0
    assert len(graph.outputs) == 2
    assert [note for note in notes if "again" in note] == [
        "Output 'again' is left to the host: it is output 'r' again"]


def test_two_scales_of_one_slice():
    """Real values that are stored, and quantized to another scale too, are compared with their own."""
    scale = {name: numpy_helper.from_array(np.float32(value), name)
             for name, value in (("sx", 1 / 255), ("sw", 0.01), ("sa", 0.03), ("sb", 0.021))}
    rng = np.random.default_rng(6)
    constants = [*scale.values(), numpy_helper.from_array(np.uint8(0), "z"),
                 numpy_helper.from_array(np.int8(0), "zw"),
                 numpy_helper.from_array(rng.integers(-99, 99, (4, 3, 1, 1)).astype(np.int8), "w")]
    for name, value in (("zero", 0), ("two", 2), ("four", 4), ("axis", 1)):
        constants.append(numpy_helper.from_array(np.array([value], np.int64), name))
    node = helper.make_node
    nodes = [node("QuantizeLinear", ["x", "sx", "z"], ["xq"]),
             node("QLinearConv", ["xq", "sx", "z", "w", "sw", "zw", "sa", "z"], ["aq"]),
             node("DequantizeLinear", ["aq", "sa", "z"], ["a"]),
             node("Slice", ["a", "zero", "two", "axis"], ["b"]),
             node("QuantizeLinear", ["b", "sb", "z"], ["bq"]),
             node("Slice", ["a", "two", "four", "axis"], ["e"]),
             node("QuantizeLinear", ["e", "sa", "z"], ["eq"]),
             node("QLinearConcat", ["sa", "z", "bq", "sb", "z", "eq", "sa", "z"], ["yq"],
                  domain="com.microsoft", axis=1),
             node("DequantizeLinear", ["yq", "sa", "z"], ["y"])]
    nodes.append(node("QLinearConcat", ["sa", "z", "bq", "sb", "z", "bq", "sb", "z"], ["tq"],
                      domain="com.microsoft", axis=1))
    nodes.append(node("DequantizeLinear", ["tq", "sa", "z"], ["t"]))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "two", [value("x", TensorProto.FLOAT, [1, 3, 4, 4])],
                              [value(name, TensorProto.FLOAT, [1, 4, 4, 4]) for name in "yt"], constants)
    model = helper.make_model(graph, ir_version=8, opset_imports=[
        helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)])
    _, found = compare(model, None, pixels(shape=(4, 4, 3)), Preprocessing(scale=(1 / 255,) * 3))
    assert not any(tensor.exceeded for tensor in found.tensors.values())
    assert max(tensor.largest for tensor in found.tensors.values()) <= 1
