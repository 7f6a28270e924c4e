"""The importer against onnxruntime, and every message it refuses with."""
import re
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from cores import importer
from cores.errors import UserError
from cores.graph import Conv, Graph
from cores.importer.layout import to_file, to_map
from sim import reference

ZERO = np.uint8(0)
DIGITS = Path(importer.__file__).parents[1] / "bundled" / "digits.onnx"
FLOAT = TensorProto.FLOAT


class Model:
    """An ONNX model in the making; ``at`` is the name of the value that the next node reads."""
    def __init__(self, shape=(1, 3, 7, 6), kind=FLOAT, opset=21):
        self.inputs = [helper.make_tensor_value_info("x", kind, shape)]
        self.nodes, self.initializers, self.opset, self.at = [], [], opset, "x"
        self.outputs = None

    def constant(self, array):
        name = f"k{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, op, *more, name="", domain="", outputs=1, **attributes):
        """Append ``op(at, *more)``; arrays become initializers, names stay."""
        more = [m if isinstance(m, str) else self.constant(m) for m in more]
        made = [f"v{len(self.nodes)}", *(f"v{len(self.nodes)}_{i}" for i in range(1, outputs))]
        inputs = [self.at, *more] if self.at else more
        self.nodes.append(helper.make_node(op, inputs, made, name or f"n{len(self.nodes)}",
                                           domain=domain, **attributes))
        self.at = made[0]
        return self

    def q(self, scale, zero=ZERO, **attributes):
        return self.node("QuantizeLinear", np.float32(scale), np.asarray(zero), **attributes)

    def qdq(self, scale, zero=ZERO):
        self.q(scale, zero)
        return self.node("DequantizeLinear", np.float32(scale), np.asarray(zero))

    def weights(self, integers, scale, zero=None, **attributes):
        """The name of the dequantized constant."""
        inputs = [self.constant(integers), self.constant(np.asarray(scale, np.float32))]
        inputs += [] if zero is None else [self.constant(zero)]
        name = f"w{len(self.nodes)}"
        self.nodes.append(helper.make_node("DequantizeLinear", inputs, [name], **attributes))
        return name

    def proto(self):
        outputs = self.outputs or [self.at]
        graph = helper.make_graph(
            self.nodes, "g", self.inputs,
            [helper.make_tensor_value_info(o, FLOAT, None) for o in outputs], self.initializers)
        return helper.make_model(graph, ir_version=10, opset_imports=[
            helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)])

    def load(self, tmp_path):
        onnx.save(self.proto(), tmp_path / "model.onnx")
        return importer.load(tmp_path / "model.onnx")


def session(model):
    options = onnxruntime.SessionOptions()
    # Without optimisation it computes what the operators define, in float32.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def close(got, expected, share=0.001):
    """Equal, but for one step on a value in a thousand (the multiplier has 17 bits)."""
    assert got.shape == expected.shape
    difference = np.abs(got.astype(int) - expected)
    assert difference.max() <= 1
    assert np.count_nonzero(difference) <= max(1, difference.size * share)


def compare(model, tmp_path, seed=1, frames=4, share=0.001):
    """Import a model with a float input and output and compare; return the graph."""
    graph, notes = model.load(tmp_path)
    assert notes == []
    order = importer.layouts(model.proto())
    tensor, names = graph.tensors[graph.input], [o.name for o in model.proto().graph.output]
    rng = np.random.default_rng(seed)
    x = rng.integers(tensor.low, tensor.high + 1, (frames, *tensor.shape))
    x[rng.random(x.shape) < 0.3] = 0
    stored = reference.run_outputs(graph, x)
    run, shape = session(model.proto()), model.inputs[0].type.tensor_type.shape.dim
    real = (x * np.float32(tensor.scale)).astype(np.float32)
    found = [run.run(None, {"x": to_file(f, order[graph.input]).reshape(
        [1, *(d.dim_value for d in shape[1:])])}) for f in real]
    assert len(graph.outputs) == len(names)
    for index, name in enumerate(graph.outputs):
        out, got = graph.tensors[name], stored[name]
        expected = np.stack([to_map(f[index], order[name], out.shape) for f in found])
        expected = np.rint(expected / np.float32(out.scale)).astype(int)
        close(got, expected, share)
        assert len(np.unique(got)) > 3      # or it would compare nothing
    return graph


def random_conv(model, filters=8, kernel=(3, 3), channels=3, *, bias=True, name="", **attributes):
    """A convolution with int8 weights per channel, its input of scale 0.1."""
    rng = np.random.default_rng(5)
    scale = rng.uniform(0.002, 0.02, filters).astype(np.float32)
    weights = model.weights(rng.integers(-127, 128, (filters, channels, *kernel), np.int8), scale,
                            np.zeros(filters, np.int8), axis=0)
    more = [model.weights(rng.integers(-3000, 3000, filters, np.int32), scale * np.float32(0.1),
                          axis=0)] if bias else []
    return model.node("Conv", weights, *more, name=name, **attributes)


@pytest.mark.parametrize("attributes", [
    {}, {"pads": [1, 1, 1, 1], "strides": [2, 1]}, {"pads": [0, 1, 2, 0], "dilations": [2, 1]},
    {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
    {"auto_pad": "VALID", "kernel_shape": [3, 3]},
], ids=str)
@pytest.mark.parametrize("zero", [0, 117])
def test_conv(attributes, zero, tmp_path):
    model = random_conv(Model().qdq(0.1, np.uint8(zero)), **attributes).qdq(0.3, np.uint8(zero))
    graph = compare(model, tmp_path)
    node, = graph.nodes
    assert isinstance(node, Conv) and node.op == "conv"


def test_names_and_defaults(tmp_path):
    model = random_conv(Model().qdq(0.1), name="first", bias=False).qdq(0.3, np.int8(-100))
    graph, _ = model.load(tmp_path)
    node, = graph.nodes
    real = next(n.output[0] for n in model.nodes if n.op_type == "Conv")
    assert (node.name, node.input, node.output) == ("first", "x", real)
    assert graph.name == "model" and graph.outputs == (real,)
    assert (node.stride, node.dilation, node.padding) == ((1, 1), (1, 1), (0, 0, 0, 0))
    assert (node.bias == 0).all()
    tensor = graph.tensors[real]
    assert tensor.shape == (5, 4, 8)
    assert (tensor.low, tensor.high, tensor.zero_point) == (-28, 227, -100)
    assert tensor.scale == np.float32(0.3)
    again = Graph.from_arrays(*graph.to_arrays())
    assert again.tensors == graph.tensors and again.nodes[0].weights is node.weights


@pytest.mark.parametrize("dtype, zero", [
    ("int8", None), ("uint8", 128), ("uint8", 3), ("int16", None), ("uint16", 30000),
    ("int4", None), ("uint4", 8)])
@pytest.mark.parametrize("per_channel", [False, True])
def test_weight_types(dtype, zero, per_channel, tmp_path):
    dtype = np.dtype(getattr(ml_dtypes, dtype, dtype))
    info = {"int4": (-8, 7), "uint4": (0, 15)}.get(dtype.name)
    low, high = info or (np.iinfo(dtype).min, np.iinfo(dtype).max)
    rng = np.random.default_rng(3)
    integers = rng.integers(low, high + 1, (4, 3, 3, 3))
    if dtype.name == "uint16":
        integers = integers.clip(0, 60000)      # less the zero point they must fit 16 bits
    shape = (4,) if per_channel else ()
    scale = rng.uniform(0.5, 1, shape) * 20 / (high - low)
    zero = None if zero is None else np.full(shape, zero).astype(dtype)
    model = Model().qdq(0.1, np.int8(0))
    weights = model.weights(integers.astype(dtype), scale, zero, axis=0)
    model.node("Conv", weights).qdq(2, np.int8(0))
    graph = compare(model, tmp_path)
    assert (graph.nodes[0].weights == (integers - (0 if zero is None else int(zero.flat[0])))
            .transpose(0, 2, 3, 1)).all()


@pytest.mark.parametrize("dtype, zero, low, high", [
    ("uint8", 0, 0, 255), ("uint8", 255, -255, 0), ("int8", -128, 0, 255), ("int8", 5, -133, 122),
    ("uint16", 0, 0, 65535), ("int16", 0, -32768, 32767), ("uint16", 30000, -30000, 35535),
    ("int4", -8, 0, 15), ("uint4", 3, -3, 12)])
def test_activation_types(dtype, zero, low, high, tmp_path):
    zero = np.array(zero).astype(getattr(ml_dtypes, dtype, dtype))
    scale = 0.1 * 256 / (high - low)
    model = random_conv(Model().qdq(scale, zero), bias=False).qdq(3 * scale, zero)
    # A multiplier of 17 bits is within a quarter of a step of 16 bits.
    graph = compare(model, tmp_path, share=0.05 if high - low > 255 else 0.001)
    for tensor in graph.tensors.values():
        assert (tensor.low, tensor.high, tensor.zero_point) == (low, high, int(zero))


def test_defaults_of_quantization(tmp_path):
    """No zero point is 0 of uint8, or of output_dtype; the axis of weights may be negative."""
    model = Model()
    model.node("QuantizeLinear", np.float32(0.1)).node("DequantizeLinear", np.float32(0.1))
    rng = np.random.default_rng(1)
    integers = rng.integers(-9, 9, (2, 3, 3, 3), np.int8)
    model.node("Conv", model.weights(integers, [0.1, 0.2], axis=-4))
    model.node("QuantizeLinear", np.float32([0.5]), output_dtype=TensorProto.INT8)
    graph = compare(model.node("DequantizeLinear", np.float32([0.5])), tmp_path)
    assert [(t.low, t.high) for t in graph.tensors.values()] == [(0, 255), (-128, 127)]


@pytest.mark.parametrize("kind", [TensorProto.UINT8, TensorProto.INT8])
def test_integer_input(kind, tmp_path):
    zero = helper.tensor_dtype_to_np_dtype(kind).type(5)
    model = Model(kind=kind, shape=("N", 3, 7, 6)).node("DequantizeLinear", np.float32(0.1), zero)
    graph, _ = random_conv(model).qdq(1.0).load(tmp_path)
    assert graph.tensors["x"].zero_point == 5
    x = np.random.default_rng(1).integers(0, 128, (2, 3, 7, 6)).astype(zero.dtype)
    expected, = session(model.proto()).run(None, {"x": x})
    got = reference.run_outputs(graph, x.transpose(0, 2, 3, 1).astype(int) - 5)[graph.outputs[0]]
    close(got, expected.transpose(0, 2, 3, 1))


def test_weights_and_bias_in_floating_point(tmp_path):
    """As quantization-aware training leaves them: a QuantizeLinear of constants."""
    rng = np.random.default_rng(4)
    model = Model().qdq(0.1)
    model.at, kept = None, model.at
    scale, zero = rng.uniform(0.01, 0.03, 4).astype(np.float32), np.full(4, 120, np.uint8)
    more = model.constant(scale), model.constant(zero)
    model.node("QuantizeLinear", rng.normal(size=(4, 3, 3, 3)).astype(np.float32), *more, axis=0)
    weights = model.node("DequantizeLinear", *more, axis=0).at
    model.at = kept
    model.node("Conv", weights, rng.normal(size=4).astype(np.float32)).qdq(0.3, np.uint8(128))
    compare(model, tmp_path)


def test_bias_of_another_scale(tmp_path):
    model = Model().qdq(0.1)
    weights = model.weights(np.ones((2, 3, 1, 1), np.int8), 0.01)
    bias = model.weights(np.array([100, -100], np.int32), 0.0123)
    graph, _ = model.node("Conv", weights, bias).qdq(0.3, np.uint8(128)).load(tmp_path)
    assert graph.nodes[0].bias.tolist() == [1230, -1230]


def test_multiplier_is_the_scale(tmp_path):
    graph, _ = random_conv(Model().qdq(0.1)).qdq(0.3).load(tmp_path)
    wanted = graph.nodes[0].requantization
    scale = np.random.default_rng(5).uniform(0.002, 0.02, 8) * 0.1 / 0.3
    assert np.allclose(wanted.multiplier / 2.0**wanted.shift, scale, rtol=2**-16)


def clip(low, high):
    return lambda m: m.node("Clip", *(np.float32(v) for v in (low, high)))


@pytest.mark.parametrize("clamp, bounds", [
    (lambda m: m.node("Relu"), (0, 135)), (clip(0, 6), (0, 20)), (clip(-1.07, 1e38), (-4, 135)),
    (lambda m: m.node("Clip"), (-120, 135)),
    (lambda m: m.node("Clip", "", np.float32(6)), (-120, 20)),
    (lambda m: clip(-3, 9)(m.node("Relu")), (0, 30)),
])
def test_clamp(clamp, bounds, tmp_path):
    model = clamp(random_conv(Model().qdq(0.1))).qdq(0.3, np.uint8(120))
    graph = compare(model, tmp_path)
    requantization = graph.nodes[0].requantization
    assert (requantization.low, requantization.high) == bounds
    out = graph.tensors[graph.outputs[0]]
    assert (out.low, out.high) == bounds


def test_clamp_that_the_quantization_does_already(tmp_path):
    model = random_conv(Model().qdq(0.1)).qdq(6 / 255).node("Relu")
    graph = compare(clip(0, 6)(model), tmp_path)
    assert len(graph.nodes) == 1


@pytest.mark.parametrize("op, attributes, shape", [
    ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}, (3, 3)),
    ("MaxPool", {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1]}, (7, 6)),
    ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}, (4, 3)),
    ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, (3, 3)),
    ("MaxPool", {"kernel_shape": [2, 2], "strides": [3, 3], "ceil_mode": 1, "pads": [1, 1, 1, 1]},
     (3, 3)),
    ("MaxPool", {"kernel_shape": [1, 1], "strides": [5, 5], "ceil_mode": 1}, (2, 2)),
    ("MaxPool", {"kernel_shape": [2, 2], "dilations": [2, 3], "storage_order": 0}, (5, 3)),
    ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}, (4, 3)),
    ("GlobalMaxPool", {}, (1, 1)),
    ("AveragePool", {"kernel_shape": [2, 3]}, (6, 4)),
    ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1,
                     "pads": [0, 0, 0, 1], "count_include_pad": 1}, (3, 3)),
    ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 0, 0], "count_include_pad": 1}, (6, 5)),
    ("GlobalAveragePool", {}, (1, 1)),
])
@pytest.mark.parametrize("zero", [0, 130])
def test_pools(op, attributes, shape, zero, tmp_path):
    scale = 0.1 if "Max" in op else 0.07
    model = Model().qdq(0.1, np.uint8(zero)).node(op, **attributes).qdq(scale, np.uint8(zero))
    graph = compare(model, tmp_path, frames=8)
    assert graph.tensors[graph.outputs[0]].shape == (*shape, 3)


@pytest.mark.parametrize("opset, keepdims", [(13, 1), (18, 0), (18, 1)])
def test_reduce_mean(opset, keepdims, tmp_path):
    model = Model(opset=opset).qdq(0.1)
    if opset == 13:
        model.node("ReduceMean", axes=[-1, 2])
    else:
        model.node("ReduceMean", np.array([2, 3]), keepdims=keepdims)
    compare(model.qdq(0.05), tmp_path, frames=16)


def matrix(model, inputs, outputs=5, *, transposed=False, op="Gemm", axis=None):
    rng = np.random.default_rng(7)
    shape = (outputs, inputs) if transposed else (inputs, outputs)
    axis = (0 if transposed else 1) if axis is None else axis
    weights = model.weights(rng.integers(-127, 128, shape, np.int8),
                            rng.uniform(0.005, 0.02, shape[axis]), axis=axis)
    more = [rng.normal(size=outputs).astype(np.float32)] if op == "Gemm" else []
    return model.node(op, weights, *more, **({"transB": 1} if transposed else {}))


@pytest.mark.parametrize("options", [{}, {"transposed": True}, {"op": "MatMul"}], ids=str)
def test_dense(options, tmp_path):
    graph = compare(matrix(Model(shape=("batch", 40)).qdq(0.1, np.uint8(100)), 40, **options)
                    .qdq(0.5, np.uint8(128)), tmp_path, frames=16)
    assert graph.nodes[0].op == "fc" and graph.nodes[0].weights.shape == (5, 1, 1, 40)


@pytest.mark.parametrize("reshape", [
    lambda m: m.node("Flatten"), lambda m: m.node("Flatten", axis=-3),
    lambda m: m.node("Reshape", np.array([1, -1])), lambda m: m.node("Reshape", np.array([0, 126])),
    lambda m: m.node("Reshape", np.array([1, 126]), allowzero=1),      # as torch.onnx.export has it
    lambda m: m.node("Flatten").qdq(0.1), lambda m: m.node("Identity").node("Flatten"),
])
def test_flatten_of_a_map(reshape, tmp_path):
    model = reshape(Model().qdq(0.1))
    model = matrix(model.node("Dropout"), 126, transposed=True).node("Relu").qdq(0.5, np.uint8(100))
    graph = compare(model, tmp_path, frames=16)
    assert graph.nodes[0].weights.shape == (5, 7, 6, 3)


@pytest.mark.parametrize("squeeze", [
    lambda m: m.node("Squeeze", np.array([2, -1])), lambda m: m.node("Flatten"),
    lambda m: m.node("Reshape", np.array([-1, 3])).node("Reshape", np.array([1, 3, 1, 1]))
    .node("Flatten")])
def test_flatten_before_quantization(squeeze, tmp_path):
    model = squeeze(Model().qdq(0.1).node("GlobalAveragePool")).qdq(0.05)
    compare(matrix(model, 3).qdq(0.1, np.uint8(128)), tmp_path, frames=16)


def test_host_tail(tmp_path):
    model = matrix(Model(shape=(1, 40)).qdq(0.1), 40).qdq(0.5, np.uint8(128))
    real = model.at
    model.node("Softmax", name="prob").qdq(1 / 256)
    soft, model.at = model.at, real
    model.outputs = [soft, model.node("ArgMax", name="top").at, real]
    graph, notes = model.load(tmp_path)
    assert len(graph.outputs) == 1 and len(graph.nodes) == 1
    assert [n.split(" is left")[0] for n in notes] == ["Softmax node 'prob'", "ArgMax node 'top'"]
    assert all(repr(graph.outputs[0]) in n for n in notes)


def test_two_outputs_and_fork(tmp_path):
    model = random_conv(Model().qdq(0.1)).qdq(0.3)
    fork = model.at
    first = random_conv(model, channels=8, kernel=(1, 1)).qdq(1.0).at
    model.at = fork
    model.outputs = [first, model.node("MaxPool", kernel_shape=[2, 2]).qdq(0.3).at]
    graph, _ = model.load(tmp_path)
    assert len(graph.outputs) == 2 and len(graph.nodes) == 3
    assert graph.nodes[1].input == graph.nodes[2].input == graph.nodes[0].output
    assert graph.outputs == (graph.nodes[1].output, graph.nodes[2].output)


def test_sums_clamped_in_two_ways(tmp_path):
    """Two tensors, so two nodes, and each has its own name."""
    model = random_conv(Model().qdq(0.1), name="c")
    real = model.at
    first, model.at = model.qdq(0.3, np.int8(0)).at, real
    model.outputs = [first, model.node("Relu").qdq(0.3, np.int8(0)).at]
    graph, _ = model.load(tmp_path)
    assert [(n.name, n.requantization.low) for n in graph.nodes] == [("c", -128), ("c_2", 0)]


def test_microsoft_domain_and_constant_nodes(tmp_path):
    model = Model(opset=17)
    zero = np.uint16(7)
    for op in "QuantizeLinear", "DequantizeLinear":
        model.node(op, np.float32(0.001), zero, domain="com.microsoft")
    kept, model.at = model.at, None
    model.node("Constant", value=numpy_helper.from_array(np.float32(0)))
    low, model.at = model.at, None
    model.node("Constant", value_float=6.0)
    high, model.at = model.at, kept
    random_conv(model, bias=False).node("Clip", low, high).qdq(0.05)
    graph, _ = model.load(tmp_path)
    assert graph.tensors["x"].high == 65528
    assert graph.nodes[0].requantization.high == 120


def every_tensor(graph, model, inputs):
    """{tensor's name: stored values} as onnxruntime computes them."""
    stored = {n.input[0]: n.output[0] for n in model.graph.node if n.op_type == "QuantizeLinear"
              and n.input[0] in graph.tensors}
    kinds = {n.output[0]: t.data_type for n in model.graph.node for t in model.graph.initializer
             if n.op_type == "QuantizeLinear" and t.name == n.input[2]}
    extended = onnx.ModelProto()
    extended.CopyFrom(model)
    del extended.graph.output[:]
    extended.graph.output.extend(
        helper.make_tensor_value_info(o, kinds[o], None) for o in stored.values())
    name = graph.input
    run = session(extended)
    results = [run.run(None, {name: x[None]}) for x in inputs]
    values = {}
    for (real, _), *arrays in zip(stored.items(), *results):
        tensor = graph.tensors[real]
        array = np.concatenate(arrays).astype(int) - tensor.zero_point
        array = array.reshape(-1, tensor.channels, tensor.height, tensor.width)
        values[real] = array.transpose(0, 2, 3, 1)
    return values


def compare_nodes(graph, model, inputs):
    """Every node on what onnxruntime gives its input."""
    values = every_tensor(graph, model, inputs)
    assert set(values) == set(graph.tensors)
    for node in graph.nodes:
        close(reference.run_node(node, values[node.input]), values[node.output])
    return values


def test_quantized_by_onnxruntime(tmp_path):
    """A float network through onnxruntime's quantizer, node by node."""
    from onnxruntime import quantization as ort

    rng = np.random.default_rng(11)

    def weights(*shape):
        fan = int(np.prod(shape[1:]))
        return (rng.normal(size=shape) / np.sqrt(fan)).astype(np.float32)

    model = Model(shape=("N", 3, 15, 14), opset=17)
    model.node("Conv", weights(8, 3, 3, 3), weights(8, 1)[:, 0], pads=[1, 1, 1, 1]).node("Relu")
    model.node("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    model.node("Conv", weights(12, 8, 3, 3), weights(12, 1)[:, 0], strides=[2, 2])
    clip(0, 6)(model)
    model.node("Conv", weights(16, 12, 1, 1))       # linear: gets a zero point
    model.node("AveragePool", kernel_shape=[1, 3])      # sums over 3 make no ties
    model.node("Flatten").node("Gemm", weights(80, 48).T.copy(), weights(80, 1)[:, 0]).node("Relu")
    model.node("Gemm", weights(10, 80), transB=1)
    inputs = rng.normal(size=(24, 3, 15, 14)).astype(np.float32)

    class Reader(ort.CalibrationDataReader):
        def __init__(self):
            self.left = iter(inputs)

        def get_next(self):
            x = next(self.left, None)
            return None if x is None else {"x": x[None]}

    onnx.save(model.proto(), tmp_path / "float.onnx")
    ort.quantize_static(tmp_path / "float.onnx", tmp_path / "int8.onnx", Reader(),
                        quant_format=ort.QuantFormat.QDQ, per_channel=True,
                        activation_type=ort.QuantType.QUInt8, weight_type=ort.QuantType.QInt8)
    graph, notes = importer.load(tmp_path / "int8.onnx")
    assert notes == []
    assert [type(n).__name__ for n in graph.nodes] == ["Conv", "Pool", "Conv", "Conv", "Pool",
                                                       "Conv", "Conv"]
    compare_nodes(graph, onnx.load(tmp_path / "int8.onnx"), inputs)


def test_bundled_network():
    """Node by node, and the whole network's answers."""
    graph, _ = importer.load(DIGITS)
    data = np.load(DIGITS.with_suffix(".npz"))
    images = data["images"]
    inputs = (images.transpose(0, 3, 1, 2) / np.float32(255)).astype(np.float32)
    values = compare_nodes(graph, onnx.load(DIGITS), inputs[:20])
    assert (values[graph.input] == images[:20]).all()
    logits = reference.run_outputs(graph, images)[graph.outputs[0]].reshape(len(images), -1)
    run = session(onnx.load(DIGITS))
    expected = [int(run.run(None, {graph.input: x[None]})[0].argmax()) for x in inputs]
    assert (logits.argmax(axis=1) == expected).all()
    assert (logits.argmax(axis=1) == data["labels"]).mean() > 0.95


def scaled(scale, zero=0):
    return lambda: random_conv(Model().qdq(scale, np.uint8(zero))).qdq(0.3)


def conv_with(model, integers=None, scale=0.01, bias=None, wzero=None, **attributes):
    integers = np.ones((2, 3, 3, 3), np.int8) if integers is None else integers
    axis = {"axis": attributes.pop("axis")} if "axis" in attributes else {}
    weights = model.weights(integers, scale, wzero, **axis)
    return model.node("Conv", weights, *([] if bias is None else [bias]), **attributes)


def ready():
    return Model().qdq(0.1)


def done(model):
    return model.qdq(0.3)


def two_inputs():
    model = random_conv(ready())
    model.inputs.append(helper.make_tensor_value_info("y", FLOAT, (1, 3)))
    return model.qdq(0.3)


def constant_bias_from_input():
    model = ready()
    return done(conv_with(model, bias=model.at))


def pools_with(op="MaxPool", **attributes):
    return lambda: ready().node(op, **{"kernel_shape": [2, 2], **attributes}).qdq(0.1)


def twice():
    model = random_conv(ready())
    real = model.at
    first, model.at = model.qdq(0.3).at, real
    model.outputs = [first, model.qdq(0.4).at]
    return model


def input_twice():
    model = Model().qdq(0.1)
    first, model.at = random_conv(model).qdq(0.3).at, "x"
    model.outputs = [first, random_conv(model.qdq(0.2)).qdq(0.3).at]
    return model


def behind_softmax():
    return conv_with(ready().node("Softmax"))


def mismatched_dequantize():
    return ready().q(0.1).node("DequantizeLinear", np.float32(0.2), np.uint8(0)).q(0.2)


def unknown_attribute():
    model = ready()
    model.nodes.append(helper.make_node("Relu", [model.at], ["r"], "n", alpha=0.1))
    model.at = "r"
    return model


def constant_of(**attributes):
    def make():
        model = random_conv(ready(), bias=False)
        kept, model.at = model.at, None
        low, model.at = model.node("Constant", **attributes).at, kept
        return model.node("Clip", low).qdq(0.3)
    return make


def short_initializer():
    model = done(random_conv(ready()))
    model.initializers[-1].raw_data = model.initializers[-1].raw_data[:-1]
    return model


def sparse_initializer():
    model = done(random_conv(ready()))
    whole = model.proto()
    sparse = helper.make_sparse_tensor(numpy_helper.from_array(np.float32([1]), "s"),
                                       numpy_helper.from_array(np.array([0]), "i"), [3])
    whole.graph.sparse_initializer.append(sparse)
    model.proto = lambda: whole
    return model


REFUSALS = [
    (constant_of(value_string="a"), "Constant node .*: only numbers are supported"),
    (short_initializer, ".*(damaged|not valid ONNX).*; export .*"),
    (sparse_initializer, "Model has sparse initializers, which are not supported; .*"),
    (lambda: Model(kind=99).q(0.1), r"Input 'x' has no type that ONNX knows \(99\); .*"),
    (lambda: Model().q(0.1).node("QuantizeLinear", np.float32(1), output_dtype=99),
     "QuantizeLinear node .*: output_dtype 99 is no type that ONNX knows; .*"),
    (lambda: done(ready().node("Flatten").node("Reshape", "x")),
     "Reshape node .*: input 'x' must be a constant; .*"),
    (lambda: done(ready().node("Reshape", np.int64(1))),
     "Reshape node .*: input 'k.' must be a list of integers; check the model"),
    (lambda: done(ready().node("Det")), r"Det node 'n\d': operator is not supported; "
     "docs/operators.md lists .*"),
    (lambda: done(ready().node("Relu", domain="com.microsoft")), "Relu node .*not supported; .*"),
    (lambda: done(conv_with(ready(), np.ones((2, 4, 3, 3), np.int8))),
     "Conv node .*: weights have 4 channels, the input has 3; check the model"),
    (lambda: done(conv_with(ready(), np.ones((2, 3, 3), np.int8))),
     r"Conv node .*: weights must have 4 dimensions, not shape \(2, 3, 3\); as many as .*"),
    (lambda: done(conv_with(ready(), np.ones((0, 3, 3, 3), np.int8))), "Conv node .*not shape .*"),
    (lambda: done(conv_with(ready(), kernel_shape=[3, 2])),
     r"Conv node .*: kernel_shape \(3, 2\) must be that of the weights, \(3, 3\)"),
    (lambda: done(conv_with(ready(), np.ones((2, 3, 9, 9), np.int8))),
     r"Conv node .*: kernel \(9, 9\) does not fit the map of 7 x 6; check the input's size"),
    (lambda: done(conv_with(ready(), strides=[0, 1])), r"Conv node .*: strides \[0, 1\] is not .*"),
    (lambda: done(conv_with(ready(), dilations=[1])), r"Conv node .*: dilations \[1\] is not .*"),
    (lambda: done(conv_with(ready(), pads=[0, 0, -1, 0])),
     r"Conv node .*: pads \[0, 0, -1, 0\] is not supported, must be four numbers from 0"),
    (lambda: done(conv_with(ready(), auto_pad="SAME")), "Conv node .*: auto_pad 'SAME' is not .*"),
    (lambda: done(conv_with(ready(), scale=[0.1, 0.1, 0.1], axis=1)),
     "Conv node .*: weights are quantized along axis 1, must be along 0, .*"),
    (lambda: done(conv_with(ready(), scale=[0.1, 0.1, 0.1], axis=0)),
     r"DequantizeLinear node .*: scale of shape \(3,\) does not fit axis 0 of \(2, 3, 3, 3\)"),
    (lambda: done(conv_with(ready(), np.full((2, 3, 3, 3), 65535, np.uint16), wzero=np.uint16(0))),
     "Conv node .*: weights less their zero point must fit 16 bits; .*"),
    (lambda: done(conv_with(ready(), np.full((2, 3, 3, 3), 3.0, np.float16))),
     "DequantizeLinear node .*: type float16 is not supported; use one of .*"),
    (lambda: done(ready().node("Conv", np.ones((2, 3, 3, 3), np.float32))),
     "Conv node .*: weights 'k.' must be quantized constants; quantize the weights too"),
    (lambda: done(conv_with(ready(), bias=np.float32([1, np.nan]))),
     "Conv node .*: bias must be finite; check the training"),
    (lambda: done(conv_with(ready(), bias=np.float32([1, 2, 3]))),
     "Conv node .*: bias must have 2 values, not 3; check the model"),
    (constant_bias_from_input, "Conv node .*: bias 'v.' must be a constant; .*"),
    (lambda: done(conv_with(ready(), scale=1e9)),
     r"Conv node .*: Scale must be below 2\*\*17, not .*; check the scales around it"),
    (scaled(np.nan), "QuantizeLinear node 'n0': scale must be positive and finite; .*"),
    (scaled(np.inf), "QuantizeLinear node 'n0': scale must be positive and finite; .*"),
    (scaled(-1), "QuantizeLinear node 'n0': scale must be positive and finite; .*"),
    (lambda: done(conv_with(ready(), scale=np.nan)), "DequantizeLinear node .*: scale must be .*"),
    (lambda: done(Model().qdq([0.1, 0.1, 0.1], np.zeros(3, np.uint8))),
     "QuantizeLinear node 'n0': an activation's scale must be one number; .*"),
    (lambda: done(Model().qdq(0.1, np.zeros(3, np.uint8))),
     r"QuantizeLinear node 'n0': zero point's shape \(3,\) must be the scale's, \(\)"),
    (lambda: done(Model().qdq(0.1, np.zeros((), ml_dtypes.float8_e4m3fn))),
     "QuantizeLinear node 'n0': type float8_e4m3fn is not supported; .*"),
    (lambda: Model().q(0.1, block_size=2),
     "QuantizeLinear node 'n0': block_size 2 is not supported; .*"),
    (mismatched_dequantize,
     "DequantizeLinear node .*: scale or zero point differs from the QuantizeLinear before it; .*"),
    (lambda: ready().node("DequantizeLinear", np.float32(0.1), np.uint8(0)),
     "DequantizeLinear node .*: input 'v1' must be quantized"),
    (lambda: Model().q(0.1).q(0.1), "QuantizeLinear node .*: input 'v0' must be a real activation"),
    (twice, "QuantizeLinear node .*: its input is quantized twice, and differently; .*"),
    (input_twice, "QuantizeLinear node .*: the graph's input is quantized twice, and .*"),
    (lambda: random_conv(Model()).qdq(0.1),
     "Conv node .*: input 'x' is not quantized; put a QuantizeLinear and a DequantizeLinear .*"),
    (lambda: random_conv(random_conv(ready()), channels=8).qdq(0.1),
     "Conv node .*: input 'v.' is not quantized; .*"),
    (lambda: random_conv(ready()), "Output 'v.' is not quantized; add a QuantizeLinear .*"),
    (lambda: random_conv(ready()).node("Softmax"),
     "Softmax node .*: input 'v.' is not quantized; .*"),
    (behind_softmax, "Conv node .*: input 'v2' is not an activation of the network; .*"),
    (lambda: Model().q(0.1), "Output 'v0' is the input itself: there is nothing to build"),
    (lambda: done(conv_with(ready().node("Flatten"))),
     r"Conv node .*: input must be maps \(1, C, H, W\) or \(1, C, L\), not \(1, 126\)"),
    (lambda: done(matrix(ready(), 126)), r"Gemm node .*: input must be \(1, K\), not maps .*"),
    (lambda: done(matrix(ready().node("Flatten"), 125)),
     "Gemm node .*: weights have 125 inputs, the input has 126; check the model"),
    (lambda: done(matrix(ready().node("Flatten"), 126, axis=0)),
     "Gemm node .*: weights are quantized along axis 0, must be along 1, .*"),
    (lambda: done(ready().node("Flatten").node("Gemm", np.ones((126, 2), np.float32), alpha=0.5)),
     "Gemm node .*: alpha 0.5 is not supported; fold it into the weights"),
    (lambda: done(ready().node("Flatten").node("Gemm", np.ones((126, 2), np.float32), beta=2.0)),
     "Gemm node .*: beta 2.0 is not supported; .*"),
    (lambda: done(ready().node("Flatten").node("Gemm", np.ones((1, 2), np.float32), transA=1)),
     "Gemm node .*: transA 1 is not supported; .*"),
    (lambda: done(matrix(ready().node("Flatten", axis=2), 42, op="MatMul")),
     r"MatMul node .*: input must be \(1, K\), not maps \(3, 42\); put a Flatten before it"),
    (lambda: done(ready().node("Reshape", np.array([1, 6, 21]))),
     r"Reshape node .*: shape \[1, 6, 21\] of \(1, 3, 7, 6\) is not supported; only what keeps .*"),
    (lambda: done(ready().node("Reshape", np.array([0, -1]), allowzero=1)),
     r"Reshape node .*: shape \[0, -1\] with allowzero 1 is of an empty tensor; .*"),
    (lambda: done(ready().node("Gather", np.array([0, 2, 1]), axis=1)),
     "Gather node .*: only one that takes everything in order is supported; slice instead"),
    (lambda: done(ready().node("Squeeze", np.array([2, 3]))), r"Squeeze node .*: axes \[2, 3\] .*"),
    (pools_with(ceil_mode=0, kernel_shape=[2]), r"MaxPool node .*: kernel_shape \[2\] is not .*"),
    (pools_with(kernel_shape=[8, 8]), r"MaxPool node .*: kernel \(8, 8\) does not fit the map .*"),
    (pools_with("AveragePool", pads=[0, 1, 0, 1], dilations=[1, 7]),
     "AveragePool node .*: a window lies outside of what it counts, at pads .*"),
    (pools_with(pads=[2, 0, 0, 0]), "Node 'n2': every window must hold a pixel of the map"),
    (lambda: ready().node("MaxPool", kernel_shape=[2, 2], outputs=2).qdq(0.1),
     "MaxPool node .*: its second output, Indices, is not supported; .*"),
    (lambda: done(ready().node("ReduceMean", np.array([1]))),
     r"ReduceMean node .*: axes \[1\] is not supported; only height and width, \[2, 3\] of maps"),
    (lambda: done(ready().node("ReduceMean", "x")),
     "ReduceMean node .*: input 'x' must be a constant; export the model with fixed parameters"),
    (lambda: ready().node("Dropout", outputs=2).qdq(0.1), "Dropout node .*: its second output is "
     "not supported; remove what reads it"),
    (lambda: Model().qdq(0.1, np.uint16(9)).node("LeakyRelu").qdq(0.1, np.uint16(9)),
     "LeakyRelu node .*: reads 'x' of 17 bits, and a function of more than 12 would be too large a "
     r"table; quantize it to 8 bits \(of a float network, --bits16 N leaves it at 8\)"),
    (lambda: Model().node("Relu").qdq(0.1), "Relu node .*: input 'x' is not quantized; put .*"),
    (lambda: done(random_conv(ready()).node("Clip", "x")),
     "Clip node .*: bound 'x' must be one constant number"),
    (lambda: done(random_conv(ready()).node("Clip", np.float32(np.nan))), "Clip node .*: bound .*"),
    (lambda: done(Model(shape=(1, 3, "H", 6)).qdq(0.1)),
     r"Input 'x' has dynamic sizes \[1, 3, 'H', 6\]; fix all but the batch with .*"),
    (lambda: done(Model(shape=(8, 3, 7, 6)).qdq(0.1)), "Input 'x' has a batch of 8; export .*"),
    (lambda: done(Model(shape=(1, 3, 7, 6, 5)).qdq(0.1)),
     r"Input 'x' must be \(N, C, H, W\), \(N, C, L\) or \(N, K\), not \[1, 3, 7, 6, 5\]; only .*"),
    (two_inputs, r"Model must have one input, not 2 \('x', 'y'\); cut it so"),
    (lambda: done(random_conv(Model(opset=6).qdq(0.1))),
     ".*(opset 6, at least 7 is needed; export it again|not valid ONNX.*)"),
    (lambda: Model().node("Conv", np.ones((2, 3, 3, 3), np.float32)),
     "Model is not quantized, .*; give them with --calib, or quantize it with onnxruntime's .*"),
    (lambda: ready().node("QLinearConv", *"abcdefg"),
     ".*model.onnx: QLinearConv node .* reads .a., which nothing makes; .*"),
    (lambda: ready().node("MatMulInteger", "x"),
     "MatMulInteger node .*: quantization at run time is not supported; quantize it with .*"),
    (unknown_attribute, ".*model.onnx: not valid ONNX; export it again .*alpha.*"),
]


@pytest.mark.parametrize("make, message", REFUSALS)
def test_refuses(make, message, tmp_path):
    with pytest.raises(UserError) as caught:
        make().load(tmp_path)
    assert "\n" not in str(caught.value)
    assert re.fullmatch(message, str(caught.value)), str(caught.value)


def damaged(path, data):
    path.write_bytes(data)
    return path


def test_refuses_files(tmp_path):
    whole = random_conv(ready()).qdq(0.3).proto().SerializeToString()
    path = tmp_path / "model.onnx"
    for cut in range(0, len(whole), 97):
        with pytest.raises(UserError):
            importer.load(damaged(path, whole[:cut]))
    for data, message in [
            (b"", r"holds no ONNX graph with nodes; export the model again"),
            (b"hello", r"not an ONNX file, or a damaged one; export it again \(.*\)")]:
        with pytest.raises(UserError, match=f"model.onnx: {message}$"):
            importer.load(damaged(path, data))
    with pytest.raises(UserError, match=r"absent: no such file; give the path of an ONNX model$"):
        importer.load(tmp_path / "absent")
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\)$"):
        importer.load(tmp_path)
