"""Quantized files of other forms than QDQ, and float files of every opset."""
import re

import numpy as np
import onnx
import pytest
from onnx import helper

from cores.errors import UserError
from cores.importer import load
from cores.importer.expand import EXPANSIONS, expand
from cores.importer.quant import as_qdq
from cores.importer.reader import checked, converted
from cores.preprocessing import Preprocessing
from cores.quantization.agreement import compare
from cores.quantization.prepare import prepare
from cores.quantization.quantize import quantize
from test_importer import Model, session
from user_files import quantized_by_onnxruntime

PLAIN = Preprocessing(scale=(1 / 255,))
MIDDLE = np.uint8(128)


def weights(rng, *shape):
    return (rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def pixels(frames=16, shape=(12, 10, 3), seed=3):
    return np.random.default_rng(seed).integers(0, 256, (frames, *shape), np.uint8)


def agrees(model, images, preprocessing=PLAIN, *, limited=True):
    """The integer graph, each of its operators compared with what onnxruntime makes of the file."""
    network, found = compare(converted(checked(model, "")), None, images, preprocessing)
    for name, tensor in found.tensors.items():
        assert not tensor.exceeded and tensor.limited >= limited, (name, tensor)
    for name in network.outputs:
        assert found.tensors[name].decibels > 15, (name, found.tensors[name])
        assert len(np.unique(found.outputs[name])) > 3
    return network


# QLinear operators.

class Integers(Model):
    """A model whose values are integers, each of one scale and zero point."""

    def begin(self, scale=1 / 255, zero=MIDDLE):
        self.q(scale, zero)
        self.pair = list(self.nodes[-1].input[1:3])
        return self

    def linear(self, op, *more, scale=0.02, zero=MIDDLE, last=(), **attributes):
        """``op(at, its scale and zero point, *more, new scale and zero point, *last)``."""
        new = [self.constant(np.float32(scale)), self.constant(zero)]
        self.node(op, *self.pair, *more, *new, *last, **attributes)
        self.pair = new
        return self

    def conv(self, filters=8, channels=3, kernel=3, *, bias=True, per_channel=True, **attributes):
        rng = np.random.default_rng(filters)
        scale = rng.uniform(0.002, 0.01, filters if per_channel else ()).astype(np.float32)
        parameters = [rng.integers(-127, 128, (filters, channels, kernel, kernel), np.int8), scale,
                      np.zeros(scale.shape, np.int8)]
        last = [rng.integers(-4000, 4000, filters, np.int32)] if bias else []
        return self.linear("QLinearConv", *parameters, last=last, **attributes)

    def microsoft(self, op, *more, **attributes):
        return self.linear(op, *more, domain="com.microsoft", **attributes)

    def end(self):
        return self.node("DequantizeLinear", *self.pair).proto()


def started(opset=17, **options):
    return Integers(shape=("N", 3, 12, 10), opset=opset).begin(**options)


def constant_operand(op):
    return lambda: started().conv().microsoft(
        op, np.uint8([[[200]]] * 8), np.float32(0.01), np.uint8(100), scale=0.0413)


def residual():
    model = started().conv()
    skip, pair = model.at, model.pair
    model.conv(8, 8, pads=[1, 1, 1, 1], name="second")
    return model.microsoft("QLinearAdd", skip, *pair, scale=0.05)


def joined():
    """QLinearConcat of two scales, and a third operand that comes through twice."""
    model = started().conv()
    first, pair = model.at, model.pair
    model.conv(4, 8, 1, scale=0.03)
    operands = [model.at, *model.pair, first, *pair]
    scale, zero = model.constant(np.float32(0.035)), model.constant(np.uint8(120))
    model.at = None
    model.node("QLinearConcat", scale, zero, *operands, domain="com.microsoft", axis=1)
    model.pair = [scale, zero]
    return model


def dense(op):
    def make():
        rng = np.random.default_rng(2)
        model = started().conv(strides=[2, 2]).node("Flatten")
        columns = model.constant(rng.integers(-127, 128, (160, 5), np.int8))
        scale, zero = rng.uniform(0.002, 0.01, 5).astype(np.float32), np.zeros(5, np.int8)
        if op == "QLinearMatMul":
            return model.linear(op, columns, scale, zero, scale=0.1)
        bias = rng.integers(-9999, 9999, 5, np.int32)
        if op == "transB":
            rows = rng.integers(-127, 128, (5, 160), np.int8)
            return model.microsoft("QGemm", rows, scale, zero, bias, scale=0.1, transB=1)
        return model.microsoft("QGemm", columns, scale, zero, bias, scale=0.1)
    return make


QLINEAR = {
    "QLinearConv": lambda: started().conv(pads=[1, 0, 2, 1], strides=[2, 1]),
    "QLinearConv, per tensor, no bias": lambda: started(zero=np.uint8(3)).conv(
        bias=False, per_channel=False, zero=np.uint8(0)),
    "QLinearConv, depthwise": lambda: started().conv(3, 1, group=3),
    "QLinearConv, opset 11": lambda: started(11).conv(),
    "QLinearMatMul": dense("QLinearMatMul"), "QGemm": dense("QGemm"),
    "QGemm, transposed": dense("transB"),
    "QLinearAdd": residual, "QLinearConcat": joined,
    "QLinearAdd of a constant": constant_operand("QLinearAdd"),
    "QLinearMul by a constant": constant_operand("QLinearMul"),
    "QLinearAveragePool": lambda: started().conv().microsoft(
        "QLinearAveragePool", kernel_shape=[2, 3], strides=[2, 1], scale=0.0187),
    "QLinearAveragePool, padded": lambda: started().conv().microsoft(
        "QLinearAveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1,
        zero=np.uint8(110), scale=0.0187),
    "QLinearGlobalAveragePool": lambda: started().conv().microsoft(
        "QLinearGlobalAveragePool", channels_last=0, scale=0.005),
    "QLinearSigmoid": lambda: started().conv().microsoft(
        "QLinearSigmoid", scale=1 / 256, zero=np.uint8(0)),
    "QLinearLeakyRelu": lambda: started().conv().microsoft("QLinearLeakyRelu", alpha=0.2),
    "MaxPool of integers": lambda: started().conv().node(
        "MaxPool", kernel_shape=[2, 2], strides=[2, 2]).conv(4, 8, 1),
    "MaxPool of integers at the end": lambda: started().conv().node("MaxPool", kernel_shape=[2, 2]),
    "Pad of integers": lambda: started().conv().node(
        "Pad", np.array([0, 0, 1, 1, 0, 0, 2, 1]), MIDDLE).conv(4, 8, 3),
    "Resize of integers": lambda: started().conv().node(
        "Resize", "", np.float32([1, 1, 2, 2]), mode="nearest", nearest_mode="floor",
        coordinate_transformation_mode="asymmetric").conv(4, 8, 3),
    "Slice of integers": lambda: started().conv().node(
        "Slice", np.array([2]), np.array([6]), np.array([1])).conv(4, 4, 3),
    "Reshape of integers": lambda: started().conv().node("Reshape", np.array([1, 640])),
}


@pytest.mark.parametrize("name", QLINEAR)
def test_qlinear(name, tmp_path):
    model = QLINEAR[name]().end()
    agrees(model, pixels())
    onnx.save(model, tmp_path / "net.onnx")
    assert load(tmp_path / "net.onnx")[1] == []


def test_a_tail_of_integers():
    model = dense("QGemm")().microsoft("QLinearSoftmax", scale=1 / 256, zero=np.uint8(0), axis=1,
                                       opset=13, name="tail").end()
    network, notes = load(model)
    assert notes == [f"Softmax node 'tail' is left to the host, which reads {network.outputs[0]!r}"]


def test_names(tmp_path):
    """Tensors are called as the integers less "_quantized", nodes as in the file."""
    model = started().conv(name="first")
    model.nodes[-1].output[0] = model.at = "maps_quantized"
    network, _ = load(model.node("MaxPool", kernel_shape=[2, 2], name="pool").end())
    assert list(network.tensors) == ["x", "maps", "v2_real"]
    assert [node.name for node in network.nodes] == ["first", "pool"]


def test_expand_leaves_others_alone():
    model = Model().qdq(0.1).node("MaxPool", kernel_shape=[2, 2]).qdq(0.1).proto()
    assert expand(model) is model
    given = started().conv().end()
    kept = given.SerializeToString()
    assert not any(node.op_type in EXPANSIONS for node in expand(given).graph.node)
    assert given.SerializeToString() == kept


def unlike():
    model = started().conv()
    other = model.at
    return model.conv(8, 8, 1, scale=0.03).node("Concat", other, axis=1)


def scale_that_is_computed():
    model = started().conv()
    model.nodes[-1].input[4] = model.nodes[0].output[0]
    return model


@pytest.mark.parametrize("make, message", [
    (unlike, "Concat node 'n3': its inputs have different scales or zero points, .*QLinearConcat"),
    (lambda: started().conv().node("Concat", "x", axis=1),
     "Concat node 'n2': its inputs must all be quantized alike; check the quantization"),
    (lambda: started().conv(scale=np.nan, name="c"),
     "QuantizeLinear node 'c': scale must be positive and finite; check the quantization"),
    (lambda: started().conv(scale=[0.1, 0.2], zero=np.zeros(2, np.uint8)),
     "QuantizeLinear node 'n1': an activation's scale must be one number; .*"),
    (scale_that_is_computed, "QLinearConv node 'n1': input 'v0' must be a constant; .*"),
    (lambda: started().conv().microsoft("QLinearAveragePool", kernel_shape=[2, 2], channels_last=1),
     "QLinearAveragePool node 'n2': attribute 'channels_last' = 1 is not supported; .*"),
    (lambda: started().conv().microsoft("QLinearGlobalAveragePool", name="a").microsoft(
        "QLinearReduceMean", axes=[1]), "ReduceMean node 'n3': axes .*1.* not supported; .*"),
    (lambda: started().conv().microsoft("QLinearWhere"), "QLinearWhere node .*not supported; .*"),
    (lambda: started().node("DynamicQuantizeLinear", outputs=3),
     "DynamicQuantizeLinear node 'n1': .* run time is not supported; quantize it with .*"),
    (lambda: started().node("QLinearAdd", domain="com.microsoft", name="a"),
     "QLinearAdd node 'a': an operand or its scale is missing; check the model"),
])
def test_refuses_integers(make, message):
    with pytest.raises(UserError) as caught:
        load(make().end())
    assert re.fullmatch(message, str(caught.value)), str(caught.value)


def varied():
    """A float network of what onnxruntime's quantizer has QLinear operators for."""
    rng, model = np.random.default_rng(8), Model(shape=(1, 3, 12, 10), opset=17)
    model.node("Conv", weights(rng, 8, 3, 3, 3), weights(rng, 8, 1)[:, 0], pads=[1, 1, 1, 1])
    trunk = model.node("Relu").node("MaxPool", kernel_shape=[2, 2], strides=[2, 2]).at
    model.node("Conv", weights(rng, 8, 1, 3, 3), group=8, pads=[1, 1, 1, 1])
    model.node("LeakyRelu", alpha=0.1).node("Add", trunk).node("Concat", trunk, axis=1)
    model.node("Conv", weights(rng, 6, 16, 1, 1)).node("Sigmoid")
    model.node("AveragePool", kernel_shape=[3, 2], strides=[3, 1]).node("Flatten")
    model.node("Gemm", weights(rng, 5, 48), weights(rng, 5, 1)[:, 0], transB=1)
    return model.proto()


def test_qlinear_by_onnxruntime():
    model = quantized_by_onnxruntime(varied(), pixels(), PLAIN, "qlinear")
    kinds = {node.op_type for node in model.graph.node}
    assert {"QLinearConv", "QLinearAdd", "QLinearConcat", "QLinearSigmoid", "QLinearLeakyRelu",
            "QLinearAveragePool", "QGemm"} <= kinds
    network = agrees(model, pixels())
    assert len(network.nodes) == 11


# QONNX.

def quant(model, scale, bits=8, *, zero=0.0, signed=1, narrow=0, mode="ROUND", op="Quant",
          domain="qonnx.custom_op.general", **attributes):
    return model.node(op, np.float32(scale), np.float32(zero), np.float32(bits), domain=domain,
                      signed=signed, narrow=narrow, rounding_mode=mode, **attributes)


class Trained(Model):
    """A QONNX model in the making."""

    def __init__(self, shape=(1, 3, 12, 10), opset=13):
        super().__init__(shape, opset=opset)

    def quant(self, *arguments, **options):
        return quant(self, *arguments, **options)

    def fixed(self, values, *arguments, **options):
        """The name of a constant behind its Quant."""
        kept, self.at = self.at, self.constant(values)
        name = self.quant(*arguments, **options).at
        self.at = kept
        return name

    def proto(self):
        model = super().proto()
        model.opset_import.append(helper.make_opsetid("qonnx.custom_op.general", 1))
        model.opset_import.append(helper.make_opsetid("onnx.brevitas", 1))
        return model


def conv(model, filters=8, channels=3, *, bits=4, scale=None, source=0.01, **attributes):
    """Weights per channel; a bias of 32 bits in units of the sums, ``source`` the input's scale."""
    rng = np.random.default_rng(filters)
    values = weights(rng, filters, channels, 3, 3)
    if scale is None:
        scale = (np.abs(values).max((1, 2, 3), keepdims=True) / (2 ** (bits - 1) - 1))
    kernel = model.fixed(values, scale, bits, narrow=1)
    bias = [] if source is None else [
        model.fixed(rng.normal(size=filters).astype(np.float32), source * np.ravel(scale), 32)]
    return model.node("Conv", kernel, *bias, **attributes)


def trained(opset=13, bits=4):
    """Activations and weights of few bits, a maximum, an average, and a dense layer."""
    model, rng = Trained(opset=opset).quant(1 / 127), np.random.default_rng(1)
    conv(model, bits=bits, source=1 / 127, name="stem").node("Relu").quant(0.15, bits, signed=0)
    model.node("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    conv(model, 6, 8, bits=bits, source=0.15).quant(0.2, bits, narrow=1)
    model.node("GlobalAveragePool").quant(0.03, 8).node("Flatten")
    rows = model.fixed(weights(rng, 5, 6), 0.02, bits)
    bias = model.fixed(weights(rng, 5, 1)[:, 0], 0.03 * 0.02, 16)
    return model.node("Gemm", rows, bias, transB=1).quant(0.0113, 8)


@pytest.mark.parametrize("opset, bits", [(9, 4), (11, 2), (13, 3), (17, 8), (21, 5)])
def test_qonnx(opset, bits):
    network = agrees(trained(opset, bits).proto(), pixels())
    tensors = list(network.tensors.values())
    assert [(t.low, t.high) for t in tensors[:3]] == [
        (-128, 127), (0, 2 ** bits - 1), (0, 2 ** bits - 1)]
    assert (tensors[3].low, tensors[3].high) == (1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1)
    assert np.abs(network.nodes[0].weights).max() == 2 ** (bits - 1) - 1
    assert network.nodes[0].name == "stem" and len(network.nodes) == 5


@pytest.mark.parametrize("options", [
    {"domain": "onnx.brevitas"}, {"op": "IntQuant"}, {"zero": 4.0, "signed": 0, "bits": 6},
    {"narrow": 1, "signed": 0, "bits": 5}, {"mode": "HALF_EVEN"}, {"bits": 12}], ids=str)
def test_quant_of_activations(options):
    options = {"bits": 8, **options}
    model = conv(Trained().quant(1 / 100), bits=8).quant(4 / 2 ** options["bits"], **options)
    agrees(model.proto(), pixels(), limited=options["bits"] <= 8)


def test_qonnx_of_a_matrix_that_is_transposed():
    """As Brevitas exports a linear layer without a bias; scales in Constant nodes."""
    model, rng = conv(Trained().quant(0.01)).quant(0.05).node("Flatten"), np.random.default_rng(4)
    kept = model.at
    model.at = model.constant(weights(rng, 5, 640))
    names = []
    for value in 0.013, 0.0, 4.0:
        names.append(f"constant{value}")
        model.nodes.append(helper.make_node("Constant", [], names[-1:], value_float=value))
    model.node("Quant", *names, domain="qonnx.custom_op.general", signed=1, narrow=1,
               rounding_mode="ROUND")
    matrix, model.at = model.node("Transpose", perm=[1, 0]).at, kept
    network = agrees(model.node("MatMul", matrix).quant(0.0413).proto(), pixels())
    assert network.nodes[1].weights.shape == (5, 10, 8, 8)


@pytest.mark.parametrize("bits", [8, 5])
def test_qonnx_of_a_tensor_that_has_other_integers(bits):
    """What is concatenated has a scale already: its Quant is a table behind it."""
    model = conv(Trained().quant(0.01)).quant(0.05, bits)
    model.node("Concat", model.at, axis=1).quant(0.07, bits)
    network = agrees(conv(model, 4, 16, source=0.07).quant(0.15, bits).proto(), pixels())
    assert [node.op for node in network.nodes] == ["conv", "concat", "table", "conv"]


def test_quant_of_weights_is_qonnx():
    """Against the QONNX package itself."""
    reference = pytest.importorskip("qonnx.custom_op.general.quant").quant
    rng = np.random.default_rng(2)
    values = np.concatenate([weights(rng, 7, 3, 3, 3), np.full((1, 3, 3, 3), 0.25, np.float32)])
    for bits, signed, narrow, zero, scale in [
            (8, 1, 1, 0, 0.01), (4, 1, 0, 0, rng.uniform(0.02, 0.1, (8, 1, 1, 1))),
            (2, 1, 1, 0, 0.3), (5, 0, 0, 15, 0.5), (16, 1, 0, 0, 1e-4), (3, 0, 1, 3, 0.1)]:
        scale = np.float32(scale)
        model = Trained().quant(1 / 100)
        kernel = model.fixed(values, scale, bits, signed=signed, narrow=narrow, zero=zero)
        network, _ = load(model.node("Conv", kernel).quant(0.1, zero=0).proto())
        wanted = reference(values, scale, np.float32(zero), np.float32(bits), signed, narrow,
                           "ROUND")
        got = network.nodes[0].weights.transpose(0, 3, 1, 2) * scale
        assert np.array_equal(got.astype(np.float32), wanted.astype(np.float32)), (bits, zero)


@pytest.mark.parametrize("bits", [2, 3, 8, 12, 16])
def test_quant_as_qdq_is_qonnx(bits):
    """What onnxruntime runs in the second opinion, against the QONNX package."""
    reference = pytest.importorskip("qonnx.custom_op.general.quant").quant
    x = np.random.default_rng(3).normal(size=(1, 3, 12, 10)).astype(np.float32)
    x.flat[:40] = np.arange(-20, 20) / 8        # ties
    x.flat[40:42] = -1e9, 1e9
    for signed, narrow, zero in (0, 0, 0), (0, 1, 2), (1, 0, 0), (1, 1, 1):
        if zero % 2:
            x = np.where(x * 8 % 2 == 1, 0, x)      # an odd zero point sends ties the other way
        model = Trained().quant(0.25, bits, signed=signed, narrow=narrow, zero=zero)
        got, = session(as_qdq(model.proto())[0]).run(None, {"x": x})
        assert np.array_equal(got, reference(
            x, np.float32(0.25), np.float32(zero), np.float32(bits), signed, narrow, "ROUND"))


@pytest.mark.parametrize("make, message", [
    (lambda: conv(Trained()).quant(0.1),
     "Conv node .*: input 'x' is not quantized; put a QuantizeLinear .* before this node"),
    (lambda: Trained().quant(0.1).node("Conv", np.ones((2, 3, 1, 1), np.float32)).quant(0.1),
     "Conv node .*: weights 'k3' must be quantized constants; quantize the weights too"),
    (lambda: conv(Trained().quant(0.1)), "Output 'v3' is not quantized; add a QuantizeLinear .*"),
    (lambda: conv(Trained().quant(0.1)).node("BipolarQuant", np.float32(1), name="b",
                                             domain="qonnx.custom_op.general"),
     "BipolarQuant node 'b': values of -1 and 1 are not supported; .*"),
    (lambda: conv(Trained().quant(0.1)).node("Trunc", np.float32(1), name="t",
                                             domain="qonnx.custom_op.general"),
     "Trunc node 't': truncation is not supported; .*"),
    (lambda: Trained().node("FloatQuant", name="f", domain="qonnx.custom_op.general"),
     "FloatQuant node 'f': minifloats are not supported; .*"),
    (lambda: Trained().node("MultiThreshold", name="m", domain="qonnx.custom_op.general"),
     "MultiThreshold node 'm': operator is not supported; .*"),
    (lambda: Trained().quant(0.1, 8, mode="FLOOR", name="q"),
     "Quant node 'q': rounding_mode 'FLOOR' is not supported; only 'ROUND', to the nearest"),
    (lambda: Trained().quant(0.1, 1), "Quant node .*: bit width must be .* from 2 to 32, not 1.0"),
    (lambda: Trained().quant(0.1, 4.5), "Quant node .*: bit width must be .*, not 4.5"),
    (lambda: Trained().quant(0.1, 17), "Quant node .*: .* at most 16 bits; quantize it to fewer"),
    (lambda: Trained().quant(0), "Quant node .*: scale must be positive and finite; .*"),
    (lambda: Trained().quant(np.inf), "Quant node .*: scale must be positive and finite; .*"),
    (lambda: Trained().quant(0.1, zero=0.5), "Quant node .*: zero point must be an integer, .*"),
    (lambda: Trained().quant(0.1, zero=200), "Quant node .*: zero point must be from -128 to 127,.*"),
    (lambda: Trained().quant(np.ones((1, 3, 1, 1))),
     "Quant node .*: an activation's scale and zero point must be one number each; .*"),
    (lambda: conv(Trained().quant(0.1), scale=np.ones((8, 3, 1, 1))).quant(0.1),
     r"Quant node .*: scale of shape \(8, 3, 1, 1\) does not fit \(8, 3, 3, 3\); .*"),
    (lambda: conv(Trained().quant(0.1), scale=np.ones((1, 3, 1, 1)), source=None).quant(0.1),
     "Conv node .*: weights are quantized along axis 1, must be along 0, .*"),
    (lambda: Trained().node("Quant", *[np.float32(8)] * 3, domain="qonnx.custom_op.general"),
     "Quant node .*: scale, zero point, bit width, signed and narrow must be given; .*"),
    (lambda: Trained().quant(0.1).quant(0.1, domain="com.example"), "Quant node .*: operator is not .*"),
])
def test_refuses_qonnx(make, message):
    model = make().proto()
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(UserError) as caught:
        load(model)
    assert re.fullmatch(message, str(caught.value)), str(caught.value)


# Float networks of every opset.

class Old(Model):
    """A float model in the making, in the spelling of its opset."""

    def __init__(self, opset):
        super().__init__((1, 3, 12, 10), opset=opset)
        self.rng = np.random.default_rng(opset)

    def conv(self, filters, channels, kernel=3, **attributes):
        return self.node("Conv", weights(self.rng, filters, channels, kernel, kernel),
                         weights(self.rng, filters, 1)[:, 0], **attributes)

    def spelled(self, since, op, inputs=(), **attributes):
        """Attributes before opset ``since``, and from then on the same as ``inputs``."""
        return self.node(op, *inputs) if self.opset >= since else self.node(op, **attributes)

    def batch_norm(self, channels):
        return self.node("BatchNormalization", *(
            self.rng.uniform(low, high, channels).astype(np.float32)
            for low, high in ((0.5, 2), (-1, 1), (-1, 1), (0.5, 2))))

    def clip(self, low, high):
        return self.spelled(11, "Clip", np.float32([low, high]), min=low, max=high)

    def pad(self, *pads):
        return self.spelled(11, "Pad", [np.array(pads), np.float32(0)], pads=pads, value=0.0)

    def dropout(self):
        return self.spelled(12, "Dropout", [np.float32(0.3)], ratio=0.3)

    def squeeze(self, *axes):
        return self.spelled(13, "Squeeze", [np.array(axes)], axes=axes)

    def unsqueeze(self, *axes):
        return self.spelled(13, "Unsqueeze", [np.array(axes)], axes=axes)

    def twice(self):
        factors = np.float32([1, 1, 2, 2])
        if self.opset < 9:
            return self.node("Upsample", scales=factors.tolist(), mode="nearest")
        if self.opset == 9:
            return self.node("Upsample", factors, mode="nearest")
        if self.opset == 10:
            return self.node("Resize", factors, mode="nearest")
        return self.node("Resize", np.float32([]), factors, mode="nearest", nearest_mode="floor",
                         coordinate_transformation_mode="asymmetric")

    def reduce_mean(self):
        return self.spelled(18, "ReduceMean", [np.array([2, 3])], axes=[2, 3])


def padded(model):
    model.pad(0, 0, 1, 1, 0, 0, 1, 1).conv(8, 3)
    return model.batch_norm(8).clip(0.0, 6.0).node("Flatten")


def pooled(model):
    model.conv(8, 3).batch_norm(8).node("Relu").dropout()
    model.node("AveragePool", kernel_shape=[3, 3], strides=[2, 2])     # an odd divisor: no ties
    model.node("MaxPool", kernel_shape=[2, 2], strides=[1, 1])
    return model.conv(4, 8, 1).node("GlobalAveragePool").squeeze(2, 3)


def enlarged(model):
    return model.conv(8, 3, strides=[2, 2]).node("Relu").twice().conv(4, 8)


def classified(model):
    model.conv(8, 3).clip(-1.0, 1.0).reduce_mean().unsqueeze(0).squeeze(0)
    model.node("Flatten").dropout().node("Gemm", weights(model.rng, 5, 8),
                                         weights(model.rng, 5, 1)[:, 0], transB=1)
    return model.node("Softmax", axis=1)


OPSETS = [7, 8, 9, 10, 11, 12, 13, 15, 18, 20, 21, 23]


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("make", [padded, pooled, enlarged, classified])
def test_opsets(make, opset, tmp_path):
    model = make(Old(opset)).proto()
    onnx.save(model, tmp_path / "net.onnx")
    original = prepare(tmp_path / "net.onnx")
    assert max(o.version for o in original.opset_import) == max(opset, 17)
    if make is not classified:      # its tail is cut off
        x = PLAIN.apply(pixels(1))
        before, after = (session(m).run(None, {"x": x})[0] for m in (model, original))
        assert np.abs(before).max() > 0.1 and np.allclose(before, after, atol=1e-5)
    images = pixels()
    network, found = compare(quantize(original, images, PLAIN), original, images, PLAIN)
    for name, tensor in found.tensors.items():
        assert not tensor.exceeded, (name, tensor)
    assert found.tensors[network.outputs[0]].decibels > 25


@pytest.mark.parametrize("opset", [1, 6])
def test_too_old(opset, tmp_path):
    onnx.save(Old(opset).node("Relu").proto(), tmp_path / "net.onnx")
    with pytest.raises(UserError, match=f"^Model has opset {opset}, at least 7 is needed; .*$"):
        prepare(tmp_path / "net.onnx")


def test_too_new(tmp_path):
    """An opset that onnx does not know yet."""
    onnx.save(Old(99).conv(8, 3).proto(), tmp_path / "net.onnx")
    with pytest.raises(UserError, match=r"^Model has opset 99, at most .* export it with .* 17$"):
        prepare(tmp_path / "net.onnx")
