"""The bundled network is what its documentation says, and reads as well as its figures claim."""
import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from cores.bundled import MODEL, NAME, load_images


@pytest.fixture(scope="module")
def figures():
    return json.loads(MODEL.with_suffix(".json").read_text())


@pytest.fixture(scope="module")
def graph():
    model = onnx.load(MODEL)
    onnx.checker.check_model(model, full_check=True)
    return model.graph


@pytest.fixture(scope="module")
def constants(graph):
    return {t.name: numpy_helper.to_array(t) for t in graph.initializer}


def test_name(graph):
    assert NAME == MODEL.stem == graph.name == "digits"


def test_files_are_small():
    for suffix in (".onnx", ".npz", ".json"):
        assert MODEL.with_suffix(suffix).stat().st_size < 200_000


def test_images():
    data = load_images()
    assert set(data) == {"images", "labels"}
    assert data["images"].shape == (100, 28, 28, 1)
    assert data["images"].dtype == np.uint8
    assert data["images"].max() == 255
    assert len(np.unique(data["images"], axis=0)) == 100
    assert np.array_equal(data["labels"], np.tile(np.arange(10), 10))


def test_pixels_are_the_quantized_input(graph, constants):
    first = next(n for n in graph.node if graph.input[0].name in n.input)
    assert first.op_type == "QuantizeLinear"
    assert constants[first.input[1]] == np.float32(1) / np.float32(255)
    assert constants[first.input[2]] == 0
    assert constants[first.input[2]].dtype == np.uint8


def test_every_layer_is_quantized(graph, constants):
    makers = {output: n for n in graph.node for output in n.output}
    readers = {i: n for n in graph.node for i in n.input}
    ends = ("QuantizeLinear", "DequantizeLinear")
    layers = [n for n in graph.node if n.op_type not in ends]
    assert [n.op_type for n in layers] == [
        "Conv", "Conv", "MaxPool", "Conv", "Conv", "MaxPool", "Conv",
        "GlobalAveragePool", "Flatten", "Gemm"]
    for layer in layers:
        sources = [makers[i] for i in layer.input]
        assert all(s.op_type == "DequantizeLinear" for s in sources)
        result = readers[layer.output[0]]
        assert result.op_type == "QuantizeLinear"
        if layer.op_type != "Gemm":             # what follows a ReLU; logits may be negative
            assert constants[result.input[2]] == 0
        if layer.op_type == "MaxPool":
            assert constants[result.input[1]] == constants[sources[0].input[1]]
        if len(sources) == 3:
            x, w, b = ([constants.get(i) for i in s.input] for s in sources)
            assert w[0].dtype == np.int8
            assert len(w[1]) == len(w[0])       # a scale per filter
            assert not w[2].any()
            assert b[0].dtype == np.int32
            assert np.array_equal(b[1], x[1] * w[1])


def test_weights_and_macs(graph, constants, figures):
    weights = {k: v for k, v in constants.items() if k.endswith(".weight_quantized")}
    assert sum(w.size for w in weights.values()) == figures["weights"] < 100_000
    pixels = {"conv1": 784, "conv2": 784, "conv3": 196, "conv4": 196, "conv5": 49, "head": 1}
    assert figures["macs"] == sum(
        w.size * pixels[name.partition(".")[0]] for name, w in weights.items())


def test_figures(figures):
    assert figures["held_out"] == 1000
    assert figures["accuracy_float"] >= 0.98
    assert figures["accuracy_quantized"] >= 0.98
    assert all(0 <= share < 1 for share in figures["zeros"].values())


def test_accuracy(figures):
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    options = ort.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")  # exact without VNNI too
    session = ort.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
    data = load_images()
    inputs = data["images"].transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    read = [session.run(None, {"image": x[None]})[0].argmax() for x in inputs]
    accuracy = np.mean(read == data["labels"])
    assert accuracy >= 0.95
    assert accuracy == figures["accuracy_quantized_100"]
