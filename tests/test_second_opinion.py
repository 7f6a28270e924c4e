"""Files as others write them, run by onnxruntime and held against the integer reference."""
import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import helper

from cores.errors import UserError
from cores.importer import load
from cores.importer.input_first import input_first
from cores.quantization.runnable import with_zero_points
from cores.quantization.second_opinion import Session
from test_formats import agrees, pixels
from test_importer import Model, random_conv


def without_zero_points(dtype=np.int8, *, bias=True, nodes=False):
    """Weights per channel of two layers, and their biases, that leave their zero points out."""
    rng = np.random.default_rng(5)
    info = ml_dtypes.iinfo(dtype)
    model, source = Model((1, 3, 12, 10), opset=21).qdq(1 / 255), np.float32(1 / 255)
    for op, shape, scale in ("Conv", (8, 3, 3, 3), 0.03), ("Gemm", (6, 640), 0.2):
        scales = rng.uniform(0.2, 1, shape[0]).astype(np.float32) / info.max
        more = [model.weights(rng.integers(info.min, info.max + 1, shape).astype(dtype), scales, axis=0)]
        if bias:
            integers = rng.integers(-info.max, info.max, shape[0], np.int32)
            more.append(model.weights(integers, scales * source, axis=0))
        if op == "Gemm":
            model.node("Flatten").qdq(source, np.uint8(128))
        model.node(op, *more, **({"transB": 1} if op == "Gemm" else {})).qdq(scale, np.uint8(128))
        source = np.float32(scale)
    if nodes:
        model.nodes[:0] = [helper.make_node("Constant", [], [tensor.name], value=tensor)
                           for tensor in model.initializers]
        model.initializers.clear()
    return model.proto()


@pytest.mark.parametrize("options", [
    {}, {"bias": False}, {"nodes": True}, {"dtype": ml_dtypes.int4}], ids=str)
def test_weights_without_zero_points(options):
    """onnxruntime by itself fails on those of a matrix where it is told to keep 8-bit products exact."""
    agrees(without_zero_points(**options), pixels(), None)


def test_zero_points_are_written_once():
    model = without_zero_points()
    kept = model.SerializeToString()
    made = with_zero_points(model)
    assert model.SerializeToString() == kept
    added = made.graph.initializer[len(model.graph.initializer):]
    assert [(t.data_type, list(t.dims)) for t in added] == [
        (onnx.TensorProto.INT8, [8]), (onnx.TensorProto.INT32, [8]),
        (onnx.TensorProto.INT8, [6]), (onnx.TensorProto.INT32, [6])]
    assert with_zero_points(made) == made


def test_what_onnxruntime_refuses_is_one_line():
    model = Model().node("Relu").proto()
    with pytest.raises(UserError, match=r"^onnxruntime cannot run the model; check it \(.*absent.*\)$"):
        Session(model, ["absent"], model)
    run = Session(model, ["v0"], model).run
    with pytest.raises(UserError, match=r"^onnxruntime fails on the model; check it \(.*\)$"):
        run(np.zeros((1, 3, 7, 5)))


def moved(scale=1 / 255, **changes):
    """What quantizers make of a network that moves its float input before it computes with it."""
    model = Model((1, 3, 12, 10), opset=17)
    model.node("Pad", np.array([0, 0, 1, 0, 0, 0, 0, 1]), *changes.get("value", []))
    padded = model.at
    model.node("MaxPool", kernel_shape=[2, 2]).qdq(1 / 255)
    model = random_conv(model, bias=False).qdq(0.05)
    first, model.at = model.at, padded
    model.node("Slice", np.array([0, 0]), np.array([12, 10]), np.array([2, 3])).qdq(scale)
    random_conv(model, bias=False).qdq(0.05)
    return model.node("Add", first).qdq(0.08).proto()


def test_input_that_is_moved_before_it_is_quantized():
    network = agrees(moved(), pixels(), None)
    assert [node.op for node in network.nodes] == ["pad", "max", "conv", "slice", "conv", "add"]
    assert input_first(moved(), "x") != moved()


@pytest.mark.parametrize("model, node", [
    (moved(scale=1 / 200), "Pad node 'n0'"),                    # quantized in two ways
    (moved(value=[np.float32(0.3)]), "Pad node 'n0'"),
    (Model(opset=17).node("Relu").qdq(0.1).proto(), "Relu node 'n0'")])
def test_input_that_is_not_only_moved(model, node):
    assert input_first(model, "x") is model
    with pytest.raises(UserError, match=f"^{node}: input 'x' is not quantized; put a .*$"):
        load(model)


@pytest.mark.parametrize("op, more", [("Relu", []), ("Clip", [np.float32(-1), np.float32(2)])])
def test_clamp_of_16_bits(op, more):
    """Rounded before it is clamped, as quantizers leave it: no table holds so many."""
    model = Model((1, 3, 12, 10), opset=21).qdq(1 / 255)
    model = random_conv(model, bias=False).qdq(1e-4, np.int16(0))
    model = model.node(op, *more).qdq(1e-4, np.int16(0))
    network = agrees(model.proto(), pixels(), None, limited=False)
    assert [node.op for node in network.nodes] == ["conv", "avg"]
