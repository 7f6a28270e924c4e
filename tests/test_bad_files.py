"""Files that cannot be built, through the command line: one line that says what and where, code 2."""
import re

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cores import build, check, opening
from test_importer import Model

FLOAT = TensorProto.FLOAT
SHAPE = 1, 3, 8, 8


def kernel(*shape, value=0.1):
    return np.full(shape or (4, 3, 3, 3), value, np.float32)


def plain(shape=SHAPE, **options):
    """A float network of one layer."""
    return Model(shape=shape, opset=17).node("Conv", kernel(), name="conv", **options)


def quantized(scale=0.1, weight_scale=0.01, bias=None):
    model = Model(shape=SHAPE, opset=17).qdq(scale)
    rows = model.weights(np.ones((4, 3, 3, 3), np.int8), weight_scale)
    return model.node("Conv", rows, *([] if bias is None else [bias]), name="conv").qdq(0.2)


def stray(model):
    """With an input that the network does not need."""
    model.inputs.append(helper.make_tensor_value_info("y", FLOAT, [1, 3]))
    return model


def two_inputs():
    model = plain()
    model.inputs.append(helper.make_tensor_value_info("y", FLOAT, [1, 4, 6, 6]))
    return model.node("Add", "y")


def cycle():
    model = plain().node("Relu")
    model.nodes[0].input[0] = "back"
    model.node("Add", "x", name="joint")
    model.nodes[-1].output[0] = model.at = "back"
    return model.proto()


def backwards():
    """A node that is listed before the one that makes what it reads."""
    model = plain().node("Relu").proto()
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def quantized_backwards():
    model = quantized().proto()
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def branch():
    value = helper.make_tensor_value_info("b", FLOAT, None)
    return helper.make_graph([helper.make_node("Relu", ["x"], ["b"])], "branch", [], [value])


def condition_of_data():
    model = plain()
    maps = model.at
    model.node("ReduceMax", keepdims=0).node("Greater", np.float32(0))
    body = branch()
    body.node[0].input[0] = maps
    return model.node("If", name="which", then_branch=body, else_branch=body)


def loop():
    iterations, keep, value = (helper.make_tensor_value_info(n, t, s) for n, t, s in (
        ("i", TensorProto.INT64, []), ("c", TensorProto.BOOL, []), ("v", FLOAT, SHAPE)))
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Relu", ["v"], ["v2"])],
        "body", [iterations, keep, value],
        [helper.make_tensor_value_info("c2", TensorProto.BOOL, []),
         helper.make_tensor_value_info("v2", FLOAT, SHAPE)])
    model = Model(shape=SHAPE, opset=17)
    model.at = None
    return model.node("Loop", np.array(3), np.array(True), "x", name="again", body=body)


def recurrent():
    model = Model(shape=(1, 3, 4, 8), opset=17).node("Reshape", np.array([3, 4, 8]))
    return model.node("LSTM", kernel(1, 8, 8), kernel(1, 8, 2), name="memory", hidden_size=2)


def empty():
    model = plain().proto()
    del model.graph.node[:]
    return model


def no_outputs():
    model = plain().proto()
    del model.graph.output[:]
    return model


def no_inputs():
    model = plain().proto()
    del model.graph.input[:]
    return model


def unmade_output():
    model = plain()
    model.outputs = ["nowhere"]
    return model


def short_data():
    model = plain().proto()
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-1]
    return model


def sparse():
    model = quantized().proto()
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(
        numpy_helper.from_array(np.float32([1]), "s"), numpy_helper.from_array(np.array([0]), "i"),
        [3]))
    return model


def constant_node(value):
    model = Model(shape=SHAPE, opset=17)
    model.at = None
    weights = model.node("Constant", name="given", value=numpy_helper.from_array(value)).at
    model.at = "x"
    return model.node("Conv", weights)


def float_quantize(values):
    """Weights that the file has as reals, behind their QuantizeLinear."""
    model = Model(shape=SHAPE, opset=17).qdq(0.1)
    kept, model.at = model.at, model.constant(values)
    weights = model.qdq(0.01, np.int8(0)).at
    model.at = kept
    return model.node("Conv", weights).qdq(0.2)


def wrong_channels():
    model = Model(shape=(1, 5, 8, 8), opset=17).qdq(0.1)
    rows = model.weights(np.ones((4, 3, 3, 3), np.int8), 0.01)
    return model.node("Conv", rows, name="conv").qdq(0.2)


def constant_output():
    model = plain()
    model.outputs = [model.constant(kernel(1, 3))]
    return model


def half_trained():
    model = Model(shape=SHAPE, opset=17)
    model.node("Quant", *map(np.float32, (0.1, 0, 8)), signed=1, narrow=0, rounding_mode="ROUND",
               domain="qonnx.custom_op.general")
    return model.node("Conv", kernel(), name="conv")


MODELS = {
    "wrong channels": (
        lambda: Model(shape=SHAPE, opset=17).node("Conv", kernel(4, 5, 3, 3), name="conv"),
        "Conv node 'conv': weights have 5 channels in each of 1 groups, the input has 3; check .*"),
    "wrong channels, quantized": (
        wrong_channels,
        "Conv node .*: weights have 3 channels, the input has 5; check the model"),
    "wrong inputs of a matrix": (
        lambda: plain().node("Flatten").node("Gemm", kernel(7, 5), name="classes"),
        "Gemm node 'classes': .*7 and 144; check the model"),
    "weights of three dimensions": (
        lambda: Model(shape=SHAPE, opset=17).node("Conv", kernel(4, 3, 3), name="conv"),
        r"Conv node 'conv': .*weight tensor \(1\).*; check the model"),
    "bias too long": (
        lambda: Model(shape=SHAPE, opset=17).node("Conv", kernel(), kernel(5), name="conv"),
        r"Conv node 'conv': bias must have 4 values, not shape \[5\]; check the model"),
    "kernel larger than the map": (
        lambda: Model(shape=SHAPE, opset=17).node("Conv", kernel(4, 3, 9, 9), name="conv"),
        r"Conv node 'conv': kernel \[9, 9\] does not fit the map of \[8, 8\]; check the .*"),
    "NaN weights": (lambda: Model(shape=SHAPE, opset=17).node("Conv", kernel(value=np.nan)),
                    "Constant 'k0' holds values that are not finite; check the training"),
    "infinite weights": (
        lambda: Model(shape=SHAPE, opset=17).node("Conv", kernel(value=-np.inf)),
        "Constant 'k0' holds values that are not finite; check the training"),
    "NaN weights in a node": (lambda: constant_node(kernel(value=np.nan)),
                            "Constant '.*' holds values that are not finite; check the training"),
    "NaN weights, quantized": (lambda: float_quantize(kernel(value=np.nan)),
                               "QuantizeLinear node .*: weights must be finite; check the training"),
    "infinite bias": (
        lambda: Model(shape=SHAPE, opset=17).node("Conv", kernel(), kernel(4, value=np.inf)),
        "Constant 'k1' holds values that are not finite; check the training"),
    "NaN bias, quantized": (lambda: quantized(bias=kernel(4, value=np.nan)),
                            "Conv node 'conv': bias must be finite; check the training"),
    "NaN scale": (lambda: quantized(scale=np.nan),
                  "QuantizeLinear node 'n0': scale must be positive and finite; .*"),
    "infinite scale of weights": (
        lambda: quantized(weight_scale=np.inf),
        "DequantizeLinear node .*: scale must be positive and finite; .*"),
    "scale of 0": (lambda: quantized(scale=0),
                   "QuantizeLinear node 'n0': scale must be positive and finite; .*"),
    "overflow": (lambda: Model(shape=SHAPE, opset=17).node("Conv", kernel(value=3e38)).node(
        "Conv", kernel(4, 4, 3, 3, value=3e38)),
        "Conv node 'n0': makes values that are not finite of picture 0; check --mean and --scale, or .*"),
    "dynamic height": (lambda: plain((1, 3, "height", 8)),
                       r"Input 'x' has dynamic sizes \[1, 3, 'height', 8\]; fix all but the .*"),
    "all sizes dynamic": (lambda: plain((None, None, None, None)), "Input 'x' has dynamic sizes .*"),
    "batch of 8": (lambda: plain((8, 3, 8, 8)), "Input 'x' has a batch of 8; export .*"),
    "cycle": (cycle, "FILE: Conv node 'conv' reads 'back', which is made only after it: a cycle, .*"),
    "backwards": (backwards, "FILE: Relu node 'n1' reads 'v0', which is made only after it: .*"),
    "backwards, quantized": (quantized_backwards, "FILE: DequantizeLinear node .* after it: .*"),
    "3-D convolution": (
        lambda: Model(shape=(1, 3, 8, 8, 8), opset=17).node("Conv", kernel(4, 3, 3, 3, 3)),
        r"Input 'x' must be .*, not \[1, 3, 8, 8, 8\]; .*"),
    "3-D convolution inside": (
        lambda: Model(shape=SHAPE, opset=17).node("Reshape", np.array([1, 3, 2, 4, 8])).node(
            "Conv", kernel(4, 3, 1, 1, 1), name="deep"),
        r"Reshape node 'n0': shape \[1, 3, 2, 4, 8\] of .* is not supported; .*"),
    "LSTM": (recurrent, "LSTM node 'memory': operator is not supported; docs/operators.md lists those that are"),
    "If": (condition_of_data, "If node 'which': control flow is not supported; export .*"),
    "Loop": (loop, "Loop node 'again': control flow is not supported; export .*"),
    "no layer": (lambda: Model(shape=SHAPE, opset=17).node("Relu"),
                 "Model has no layer to quantize; it needs a convolution or a matrix product"),
    "foreign operator": (
        lambda: plain().node("Gelu", name="g", domain="com.example"),
        "Gelu node 'g': operator is not supported; docs/operators.md lists those that are"),
    "unknown operator": (lambda: plain().node("Frobnicate", name="f"),
                         "FILE: not valid ONNX; export it again .*Frobnicate.*"),
    "empty graph": (empty, "FILE: holds no ONNX graph with nodes; export the model again"),
    "two inputs": (two_inputs, "Model must have one input, not 2 .*; cut it so"),
    "input nobody reads": (lambda: stray(plain()), "Model must have one input, not 2 .*; cut it so"),
    "no inputs": (no_inputs, "FILE: Conv node 'conv' reads 'x', which nothing makes; export .*"),
    "no outputs": (no_outputs, "FILE: has no output; mark the last layer's"),
    "output nobody makes": (unmade_output, "FILE: not valid ONNX; export .*'nowhere' is not .*"),
    "constant output": (constant_output,
                        "FILE: its outputs don't depend on its input; check the model"),
    "too little data": (short_data, "FILE: not valid ONNX; export it again .*k0.*too small.*"),
    "sparse": (sparse, "Model has sparse initializers, which are not supported; store them dense"),
    "opset 6": (lambda: Model(shape=SHAPE, opset=6).node("Relu"),
                "Model has opset 6, at least 7 is needed; export it again"),
    "strings": (lambda: Model(shape=SHAPE, kind=TensorProto.STRING, opset=17).node("Identity"),
                "Input 'x' is of object, must be of float32; export the model so"),
    "half precision": (lambda: Model(shape=SHAPE, kind=TensorProto.FLOAT16, opset=17).node(
        "Conv", kernel().astype(np.float16)),
        "Input 'x' is of float16, must be of float32; export the model so"),
    "QONNX left in floats": (half_trained, "Conv node .*: weights .* quantize .*"),
}


@pytest.fixture
def refused(tmp_path, capfd):
    """Builds a model and returns the one line on stderr."""
    def run(model, *options, calib=None, main=build.main):
        path = tmp_path / "net.onnx"
        if model is not None:
            model = model.proto() if isinstance(model, Model) else model
            if isinstance(model, onnx.ModelProto):
                known = {o.domain for o in model.opset_import}
                model.opset_import.extend(
                    helper.make_opsetid(node.domain, 1) for node in model.graph.node
                    if node.domain not in known)
                model = model.SerializeToString()
            path.write_bytes(model)
        if calib is None:
            calib = tmp_path / "pictures.npz"
            np.savez(calib, images=np.random.default_rng(1).integers(0, 256, (3, 8, 8, 3), np.uint8))
        before = sorted(tmp_path.rglob("*"))
        arguments = {build.main: ["--model", path, "--calib", calib, "--out", tmp_path / "out"],
                     check.main: [path, "--images", calib]}[main]
        capfd.readouterr()
        code = main([*map(str, arguments), *options])
        out, error = capfd.readouterr()
        assert code == 2 and "wrote" not in out, (out, error)
        assert re.fullmatch("error: [^\n]+\n", error), error
        assert sorted(tmp_path.rglob("*")) == before
        return error.removeprefix("error: ")[:-1].replace(str(path), "FILE")
    return run


@pytest.mark.parametrize("name", MODELS)
def test_models(name, refused):
    make, message = MODELS[name]
    line = refused(make())
    assert re.fullmatch(message, line), line


def test_truncated(refused):
    """Wherever the file is cut."""
    whole = quantized().proto().SerializeToString()
    for cut in [*range(0, len(whole), 41), len(whole) - 1]:
        assert re.fullmatch("FILE: .*; .*", refused(whole[:cut])), cut


def test_weights_elsewhere(refused, tmp_path):
    model = onnx.load_from_string(quantized().proto().SerializeToString())
    weights = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    onnx.external_data_helper.set_external_data(weights, "absent.data")
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    assert re.fullmatch(r"FILE: a file that holds its weights cannot be read; put it .* \(.*absent\.data.*\)",
                        refused(model.SerializeToString()))


@pytest.mark.parametrize("data, message", [
    (b"", "FILE: holds no ONNX graph with nodes; export the model again"),
    (b"# a readme\nnothing else\n" * 40, r"FILE: not an ONNX file, or a damaged one; export .*"),
    (bytes(1000), "FILE: not an ONNX file, or a damaged one; export .*"),
    (b"\x89PNG\r\n\x1a\n" + bytes(100), "FILE: not an ONNX file, or a damaged one; export .*"),
])
def test_not_onnx(data, message, refused):
    line = refused(data)
    assert re.fullmatch(message, line), line


def test_absent_and_folder(refused, tmp_path):
    assert re.fullmatch("Model .* is neither a file nor the bundled network .*", refused(None))
    (tmp_path / "net.onnx").mkdir()
    assert re.fullmatch(r"FILE: cannot be read \(Is a directory\).*", refused(None))


def test_external_data(refused, tmp_path):
    onnx.save_model(plain().proto(), tmp_path / "net.onnx", save_as_external_data=True,
                    location="weights.bin", size_threshold=0)
    data = tmp_path / "weights.bin"
    data.write_bytes(data.read_bytes()[:-40])
    line = refused(None)
    assert re.fullmatch("FILE: .*", line), line
    data.unlink()
    line = refused(None)
    assert re.fullmatch("FILE: .*weights.bin.*", line), line


def test_dynamic_batch_is_made_one(tmp_path, capsys):
    onnx.save(plain(("N", 3, 8, 8)).proto(), tmp_path / "net.onnx")
    np.savez(tmp_path / "pictures.npz", images=np.zeros((2, 8, 8, 3), np.uint8) + 99)
    network, _, _ = opening.open_model(tmp_path / "net.onnx", tmp_path / "pictures.npz")
    assert network.tensors[network.input].shape == (8, 8, 3)


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def text(path):
    path.write_text("images")
    return path


def folder(path, *files):
    path.mkdir()
    for name in files:
        (path / name).write_text("not a picture")
    return path


@pytest.mark.parametrize("make, message", [
    (lambda p: npz(p / "p.npz", images=np.zeros((2, 9, 8, 3), np.uint8)),
     ".*p.npz' must have images of N x 8 x 8 x 3, not 2 x 9 x 8 x 3"),
    (lambda p: npz(p / "p.npz", images=np.zeros((2, 8, 8), np.uint8)), ".*p.npz' must have .*"),
    (lambda p: npz(p / "p.npz", images=np.zeros((0, 8, 8, 3), np.uint8)), ".*p.npz' has no .*"),
    (lambda p: npz(p / "p.npz", images=np.zeros((2, 8, 8, 3))), ".*p.npz' must .*uint8, not float64"),
    (lambda p: npz(p / "p.npz", pictures=np.zeros(3)), ".*p.npz' has no array 'images'"),
    (lambda p: text(p / "p.npz"), ".*p.npz' is not an .npz file of plain arrays"),
    (lambda p: text(p / "p.txt"), ".*p.txt' must be a folder of pictures or an .npz file"),
    (lambda p: p / "absent", ".*absent' does not exist"),
    (lambda p: folder(p / "empty"), ".*empty' has no pictures .*"),
    (lambda p: folder(p / "bad", "a.png"), ".*a.png' is not a picture that can be read"),
])
@pytest.mark.parametrize("main", [build.main, check.main])
def test_pictures(make, message, main, refused, tmp_path):
    line = refused(plain(), calib=make(tmp_path), main=main)
    assert re.fullmatch(message, line), line


def test_check_names_a_missing_file_before_it_asks_for_pictures(capsys):
    assert check.main(["nothing.onnx"]) == 2
    assert capsys.readouterr().err == "error: Model 'nothing.onnx' is neither a file nor the bundled network 'digits'\n"
