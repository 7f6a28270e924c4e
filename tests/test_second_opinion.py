"""Files as others write them, run by onnxruntime and held against the integer reference."""
import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import helper

from cores.errors import UserError
from cores.quantization.second_opinion import Session, with_zero_points
from test_formats import agrees, pixels
from test_importer import Model


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
