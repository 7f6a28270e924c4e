"""Pointwise functions and arithmetic with constants: the importer against onnxruntime."""
import re

import numpy as np
import onnx
import pytest

from cores.errors import UserError
from cores.graph import Add, Conv, Table
from cores.importer.affine import ARITHMETIC
from cores.importer.pointwise import FUNCTIONS
from cores.preprocessing import Preprocessing
from cores.quantization import agreement
from cores.quantization.prepare import prepare
from cores.quantization.quantize import quantize
from sim import reference
from test_importer import Model, compare, matrix, random_conv, session

RNG = np.random.default_rng(3)
PER_CHANNEL = RNG.uniform(-2, 2, (3, 1, 1)).astype(np.float32)


def ramp(scale=0.05, zero=120, opset=21, kind=np.uint8):
    """A model whose input takes each of 256 values in each of 3 channels."""
    return Model(shape=(1, 3, 16, 16), opset=opset).qdq(scale, kind(zero))


def exact(model, tmp_path, steps=0):
    """Import, compare all stored values of each channel with onnxruntime; return the graph.

    At most ``steps`` of the 768 may differ, by one.
    """
    graph, notes = model.load(tmp_path)
    assert notes == []
    source, out = graph.tensors[graph.input], graph.tensors[graph.outputs[0]]
    x = np.arange(source.low, source.high + 1).reshape(1, 16, 16, 1).repeat(3, axis=3)
    got = reference.run_outputs(graph, x)[out.name]
    real = (x * np.float32(source.scale)).astype(np.float32).transpose(0, 3, 1, 2)
    expected, = session(model.proto()).run(None, {"x": real})
    expected = np.rint(expected / np.float32(out.scale)).astype(int)
    difference = np.abs(got - expected.reshape(1, 3, 16, 16).transpose(0, 2, 3, 1))
    assert difference.max() <= 1 and np.count_nonzero(difference) <= steps
    assert len(np.unique(got)) > 2
    assert (out.low, out.high) == (min(0, got.min()), max(0, got.max()))    # no wider than needed
    return graph


# Input scale, its zero point, output scale, its zero point: within the domain of the function.
WITHIN = {"Acos": (1 / 128, 128, 0.0125, 0), "Acosh": (0.1, 0, 0.02, 0),
          "Asin": (1 / 128, 128, 0.0125, 128), "Atanh": (1 / 130, 128, 0.02, 128),
          "Log": (0.02, 0, 0.03, 200), "Sqrt": (0.1, 0, 0.02, 0), "Tan": (0.01, 128, 0.03, 128)}


def within(op, model=None):
    scale, zero, out, out_zero = WITHIN.get(op, (0.04, 120, 0.037, 100))
    if op == "Acosh":       # from 1 on
        return ramp(scale, zero).node("Clip", np.float32(1)), out, out_zero
    return ramp(scale, zero), out, out_zero


@pytest.mark.parametrize("op", sorted(FUNCTIONS))
def test_function(op, tmp_path):
    """With the attributes' defaults, which are absent."""
    model, out, zero = within(op)
    graph = exact(model.node(op, name="f").qdq(out, np.uint8(zero)), tmp_path)
    node, = graph.nodes
    assert isinstance(node, Table) and (node.name, node.input) == ("f", "x")
    assert node.output == next(n.output[0] for n in model.nodes if n.name == "f")
    assert node.low == graph.tensors["x"].low and node.values.shape == (1, 256)


@pytest.mark.parametrize("op", sorted(FUNCTIONS))
def test_defaults_are_onnxs(op):
    defaults = FUNCTIONS[op][1]
    schema = onnx.defs.get_schema(op)
    given = {name: onnx.helper.get_attribute_value(a.default_value)
             for name, a in schema.attributes.items()}
    given = {n: v.decode() if isinstance(v, bytes) else v for n, v in given.items()}
    assert defaults == pytest.approx(given, rel=1e-7) if op != "Gelu" else defaults == given


@pytest.mark.parametrize("op, attributes", [
    ("LeakyRelu", {"alpha": 0.3}), ("Elu", {"alpha": 1.7}), ("Celu", {"alpha": 0.4}),
    ("Selu", {"alpha": 1.2, "gamma": 0.9}), ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}),
    ("ThresholdedRelu", {"alpha": 2.0}), ("Shrink", {"bias": 0.3, "lambd": 1.1}),
    ("Gelu", {"approximate": "tanh"}),
], ids=str)
def test_attributes(op, attributes, tmp_path):
    exact(ramp().node(op, **attributes).qdq(0.04, np.uint8(100)), tmp_path)


@pytest.mark.parametrize("kind, zero", [(np.int8, 5), (np.int8, -128), (np.uint8, 255)])
def test_types(kind, zero, tmp_path):
    exact(ramp(0.03, zero, kind=kind).node("Sigmoid").qdq(1 / 255, np.int8(-128)), tmp_path)


@pytest.mark.parametrize("slope", [np.float32([0.3]), PER_CHANNEL, PER_CHANNEL[None]], ids=str)
def test_prelu(slope, tmp_path):
    node, = exact(ramp().node("PRelu", slope).qdq(0.1, np.uint8(90)), tmp_path).nodes
    assert node.values.shape == (slope.size, 256)


@pytest.mark.parametrize("op, constant", [
    ("Add", np.float32(1.3)), ("Add", PER_CHANNEL), ("Sub", PER_CHANNEL[None]), ("Mul", PER_CHANNEL),
    ("Mul", np.float32([[[[-0.7]]]])), ("Div", np.float32(6)), ("Pow", np.float32(2)),
    ("Min", np.float32(1.1)), ("Max", PER_CHANNEL), ("Pow", np.float32(3)),
], ids=lambda v: str(getattr(v, "shape", v)))
@pytest.mark.parametrize("quantized", [False, True])
def test_constant(op, constant, quantized, tmp_path):
    model = ramp()
    if quantized:       # as onnxruntime's quantizer stores them
        scale = np.abs(constant).max() / 127
        constant = model.weights(np.rint(constant / scale).astype(np.int8), scale, np.int8(0))
    exact(model.node(op, constant).qdq(0.12, np.uint8(99)), tmp_path)


@pytest.mark.parametrize("op", ["Sub", "Div", "Pow", "Mul"])
def test_constant_first(op, tmp_path):
    model = ramp(0.02, 0).node("Add", np.float32(0.5))
    base, model.at = model.at, model.constant(np.float32(1.7))
    exact(model.node(op, base).qdq(0.1, np.uint8(99)), tmp_path)


def test_batch_normalization(tmp_path):
    for epsilon in {}, {"epsilon": 0.1}:
        model = ramp().node("BatchNormalization", *(RNG.uniform(0.3, 2, 3).astype(np.float32)
                                                    for _ in range(4)), **epsilon)
        node, = exact(model.node("Relu").qdq(0.1), tmp_path, steps=2).nodes
        assert node.values.shape == (3, 256) and node.values.min() == 0


@pytest.mark.parametrize("clamp", [
    lambda m: m.node("Relu"), lambda m: m.node("Clip", np.float32(-1), np.float32(3)),
    lambda m: m.node("Clip", np.float32(1)), lambda m: m.node("Max", np.float32(0))])
def test_clamp_of_what_is_stored(clamp, tmp_path):
    node, = exact(clamp(ramp()).qdq(0.05, np.uint8(120)), tmp_path).nodes
    assert isinstance(node, Table)


def test_other_scale(tmp_path):
    """Rounding again, and what is quantized in two ways."""
    exact(ramp().qdq(0.08, np.uint8(60)), tmp_path)
    model = ramp().node("MaxPool", kernel_shape=[1, 1])
    real = model.at
    first, model.at = model.qdq(0.05, np.uint8(120)).at, real
    model.outputs = [model.qdq(0.07, np.uint8(90)).at, first]
    graph, _ = model.load(tmp_path)
    assert graph.outputs[1] == real and graph.nodes[1].input == real
    model = ramp().node("Tanh")
    real, made = model.at, []
    for scale in 0.02, 0.01, 0.02:
        model.at = real
        made.append(model.qdq(scale, np.uint8(128)).at)
    model.outputs = made
    graph, _ = model.load(tmp_path)
    assert [graph.tensors[n].scale for n in graph.outputs] == [np.float32(v) for v in (0.02, 0.01)]
    assert len(graph.nodes) == 2


def silu(model, *, inner, scale=1 / 256):
    source = model.at
    model.node("Sigmoid")
    if inner:
        model.qdq(scale)
    return model.node("Mul", source)


def hard_swish(model, *, inner):
    def rounded(*parameters):
        return model.qdq(*parameters) if inner else model

    source = model.at
    model.node("Add", np.float32(3))
    rounded(0.06, np.uint8(70))
    model.node("Clip", np.float32(0), np.float32(6))
    rounded(6 / 255)
    model.node("Mul", source)
    rounded(0.25, np.uint8(15))
    return model.node("Div", np.float32(6))


@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize("make", [silu, hard_swish])
def test_functions_of_one_tensor(make, inner, tmp_path):
    """Quantized inside or not, they are one table, and tables that nobody reads are not there."""
    graph = exact(make(ramp(), inner=inner).qdq(0.045, np.uint8(10)), tmp_path)
    node, = graph.nodes
    assert isinstance(node, Table) and set(graph.tensors) == {"x", node.output}


def test_inner_table_that_is_read(tmp_path):
    model = silu(random_conv(Model().qdq(0.1)).qdq(0.3, np.uint8(120)), inner=True)
    inner = [n.output[0] for n in model.nodes if n.op_type == "DequantizeLinear"][-1]
    made = model.qdq(0.1, np.uint8(5)).at
    model.outputs = [made, inner]
    graph, _ = model.load(tmp_path)
    conv, sigmoid, product = graph.nodes
    assert sigmoid.input == product.input == conv.output
    assert graph.outputs == (product.output, sigmoid.output)


def test_residual_beside_a_function(tmp_path):
    """Another stream is added to a table's result; one tensor added to itself is an Add as well."""
    model = Model().qdq(0.1, np.uint8(120))
    source = silu(model, inner=True).qdq(0.1, np.uint8(5)).at
    random_conv(model, 3, (1, 1)).qdq(0.3, np.uint8(120))
    graph = compare(model.node("Add", source).qdq(0.3, np.uint8(120)), tmp_path)
    assert [type(n) for n in graph.nodes] == [Table, Conv, Add]
    graph = exact(ramp().node("Relu").qdq(0.05).node("Add", "v1").qdq(0.1, np.uint8(60)), tmp_path)
    assert [type(n) for n in graph.nodes] == [Table]


def test_flattened(tmp_path):
    model = ramp().node("Tanh").node("Flatten").node("Mul", PER_CHANNEL.repeat(256).reshape(1, -1))
    node, = exact(model.qdq(0.02, np.uint8(128)), tmp_path).nodes
    assert node.values.shape == (3, 256)


PER_FILTER = np.random.default_rng(8).uniform(-2, 2, (8, 1, 1)).astype(np.float32)


def normalized(model):
    rng = np.random.default_rng(9)
    scale = rng.uniform(-2, 2, 8).astype(np.float32)
    scale[3] = 0
    return model.node("BatchNormalization", scale, *(
        rng.uniform(0.5, 2, 8).astype(np.float32) for _ in range(3)))


@pytest.mark.parametrize("then", [
    lambda m: m.node("Mul", PER_FILTER), lambda m: m.node("Add", PER_FILTER), normalized,
    lambda m: m.node("Div", np.float32(-3)), lambda m: m.node("Sub", np.float32(1.5)),
    lambda m: m.node("Mul", PER_FILTER).node("Add", PER_FILTER[::-1].copy()).node("Relu"),
    lambda m: m.node("Relu").node("Mul", np.float32(-0.4)).node("Add", np.float32(3)),
    lambda m: normalized(m).node("Clip", np.float32(-2), np.float32(2)),
    lambda m: m.node("Max", np.float32(-1)).node("Min", np.float32(2.5)),
])
def test_folded_into_a_convolution(then, tmp_path):
    model = then(random_conv(Model().qdq(0.1, np.uint8(30)), name="c")).qdq(0.4, np.uint8(120))
    graph = compare(model, tmp_path, frames=8, share=0.003)     # an offset is rounded
    node, = graph.nodes
    assert isinstance(node, Conv) and node.name == "c"


def test_constant_minus_a_convolution(tmp_path):
    model = random_conv(Model().qdq(0.1, np.uint8(30)))
    made, model.at = model.at, model.constant(PER_FILTER)
    assert len(compare(model.node("Sub", made).qdq(0.4, np.uint8(120)), tmp_path).nodes) == 1


@pytest.mark.parametrize("quantized", [False, True])
def test_bias_after_a_matrix(quantized, tmp_path):
    model = matrix(Model(shape=(1, 40)).qdq(0.1, np.uint8(100)), 40, op="MatMul")
    bias = np.random.default_rng(2).normal(size=5).astype(np.float32)
    if quantized:
        bias = model.weights(np.rint(bias * 40).astype(np.int8), 1 / 40, np.int8(0))
    node, = compare(model.node("Add", bias).qdq(0.5, np.uint8(128)), tmp_path, frames=16).nodes
    assert np.count_nonzero(node.bias) == 5


def gate():
    model = random_conv(ramp(), 3, (1, 1)).qdq(0.3)
    return model.node("Sigmoid").qdq(1 / 256).node("Mul", "v1").qdq(0.1)


def two_streams(op):
    return lambda: random_conv(ramp(), 3, (1, 1)).qdq(0.3).node(op, "v1").qdq(0.1)


def on_conv(op, *more):
    return lambda: random_conv(ramp(), 3, (1, 1)).node(op, *more).qdq(0.3)


def reciprocal_of_sums():
    model = random_conv(ramp(), 3, (1, 1))
    made, model.at = model.at, model.constant(np.float32(1))
    return model.node("Div", made).qdq(0.3)


def unrounded_stream():
    model = random_conv(ramp(), 3, (1, 1)).qdq(0.3)
    return model.node("Relu").node("Sigmoid").node("Add", "v1").qdq(0.3)


WIDE = r"reads 'x' of 16 bits, and a function of more than 12 would be too large a table; .*"
UNROUNDED = "is not quantized; put a QuantizeLinear and a DequantizeLinear before this node"


@pytest.mark.parametrize("make, message", [
    (on_conv("Sigmoid"), f"Sigmoid node .*: input 'v.' {UNROUNDED}"),
    (on_conv("PRelu", np.float32(1)), f"PRelu node .*: input 'v.' {UNROUNDED}"),
    (on_conv("Pow", np.float32(2)), f"Pow node .*: its operand {UNROUNDED}"),
    (on_conv("Max", PER_CHANNEL), f"Max node .*: its operand {UNROUNDED}"),
    (reciprocal_of_sums, f"Div node .*: its operand {UNROUNDED}"),
    (unrounded_stream, f"Add node .*: input 'v.' {UNROUNDED}"),
    (lambda: Model().node("Tanh").qdq(0.1), f"Tanh node .*: input 'x' {UNROUNDED}"),
    (on_conv("Mul", "v1"), f"Mul node .*: input 'v.' {UNROUNDED}"),
    (lambda: ramp(kind=np.uint16, zero=0).node("Sigmoid").qdq(1 / 256), f"Sigmoid node .*: {WIDE}"),
    (lambda: ramp(kind=np.uint16, zero=0).node("Mul", np.float32(2)).qdq(1), f"Mul .*: {WIDE}"),
    (gate, r"Mul node .*: product of two activations is not supported: .*; gates "
     r"\(squeeze-and-excite\) are not supported"),
    (two_streams("Sub"), "Sub node .*: difference of two activations is not supported; .*"),
    (two_streams("Max"), "Max node .*: two different activations are not supported; .*"),
    (lambda: ramp().node("Flatten").node("Mul", "v1").qdq(1),
     "Mul node .*: operands must have one shape, not .*"),
    (lambda: ramp().node("Add", np.ones((16, 16), np.float32)
                         * np.arange(16, dtype=np.float32)).qdq(1),
     r"Add node .*: constant 'k.*' of shape \(16, 16\) differs between the positions of a map; .*"),
    (lambda: ramp().node("Mul", np.ones(5, np.float32)).qdq(1),
     r"Mul node .*: constant 'k.*' of shape \(5,\) does not fit \(1, 3, 16, 16\); .*"),
    (lambda: ramp().node("Mul", np.ones((1, 1, 3, 1, 1), np.float32)).qdq(1),
     "Mul node .*: constant 'k.*' of shape .* does not fit .*"),
    (lambda: ramp().node("Mul", np.float32(np.nan)).qdq(1), "Mul node .*: constant 'k.*' holds .*"),
    (lambda: ramp().node("PRelu", "v1").qdq(1), "PRelu node .*: input 'v1' must be a constant; .*"),
    (lambda: ramp().node("Min", "v1", np.float32(1)).qdq(1),
     "Min node .*: 3 operands are not supported; use two"),
    (lambda: ramp().node("Log", name="l").qdq(1), "Log node 'l': its result is no number where 'x' "
     "is -6; put a Clip before the function"),
    (on_conv("Div", np.float32(0)), "Div node .*: its constants must be finite, .*"),
    (lambda: random_conv(ramp(), 3, (1, 1)).node("Relu").node("Mul", PER_CHANNEL).qdq(1),
     "Mul node .*: stands behind a Relu or Clip, whose bounds would differ between channels; .*"),
    (lambda: ramp().node("GlobalAveragePool").node("Mul", np.float32(2)).qdq(1),
     "Mul node .*: reads the sums of GlobalAveragePool node .*, and only those of a convolution .*"),
    (lambda: ramp().node("BatchNormalization", *[np.ones(3, np.float32)] * 4, training_mode=1,
                         outputs=3).qdq(1), "BatchNormalization node .*: training_mode 1 is not .*"),
    (lambda: ramp().node("Tanh"), "Output 'v2' is not quantized; add a QuantizeLinear .*"),
])
def test_refuses(make, message, tmp_path):
    with pytest.raises(UserError) as caught:
        make().load(tmp_path)
    assert re.fullmatch(message, str(caught.value)), str(caught.value)


def network(body, tail=None):
    """A float network: a convolution, ``body``, and a convolution or ``tail``."""
    rng = np.random.default_rng(1)

    def weights(*shape):
        return (rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    model = Model(shape=("N", 3, 12, 10)).node("Conv", weights(8, 3, 3, 3), weights(8, 1)[:, 0])
    body(model)
    return model if tail else model.node("Conv", weights(6, 8, 3, 3), weights(6, 1)[:, 0])


def quantized(model, tmp_path):
    """What comes of a float network by the whole way; limits hold, and it is close to it."""
    onnx.save(model.proto(), tmp_path / "float.onnx")
    original = prepare(tmp_path / "float.onnx")
    images = np.random.default_rng(2).integers(0, 256, (8, 12, 10, 3), np.uint8)
    preprocessing = Preprocessing((120,), (1 / 60,))
    made = quantize(original, images, preprocessing)
    graph, found = agreement.compare(made, original, images, preprocessing)
    for name, tensor in found.tensors.items():
        assert tensor.largest <= 1 and tensor.differing <= 0.005 * tensor.values, name
    assert min(found.tensors[name].decibels for name in graph.outputs) > 17
    return graph, made, min(found.tensors[name].decibels for name in graph.outputs)


DOMAIN = {"Acos": (-0.9, 0.9), "Asin": (-0.9, 0.9), "Atanh": (-0.9, 0.9), "Tan": (-0.9, 0.9),
          "Log": (0.1, 9), "Sqrt": (0, 9), "Reciprocal": (0.2, 9), "Acosh": (1.1, 9)}


@pytest.mark.parametrize("op", [*sorted(FUNCTIONS), "PRelu", "BatchNormalization", "Sub", "Div",
                                "Pow", "Min", "Max"])
def test_float_network(op, tmp_path):
    rng = np.random.default_rng(4)
    count = {"PRelu": 1, "BatchNormalization": 4}.get(op, 1 if op in ARITHMETIC else 0)
    shape = (8,) if op == "BatchNormalization" else (8, 1, 1)
    constants = [rng.uniform(0.3, 2, shape).astype(np.float32) for _ in range(count)]

    def body(model):
        if op in DOMAIN:        # not Clip, which the quantizer takes out
            low, high = DOMAIN[op]
            model.node("Max", np.float32(low)).node("Min", np.float32(high))
        if op in ("BatchNormalization", "Pow"):
            model.node("Relu")      # or it would be folded into the weights, and no power of x < 0
        model.node(op, *constants)

    graph, _, _ = quantized(network(body), tmp_path)
    assert [n.op for n in graph.nodes] == ["conv", "table", "conv"]


def decomposed_gelu(model):
    source = model.at
    model.node("Div", np.float32(2**0.5)).node("Erf").node("Add", np.float32(1))
    return model.node("Mul", source).node("Mul", np.float32(0.5))


@pytest.mark.parametrize("body", [
    lambda m: silu(m, inner=False), lambda m: hard_swish(m, inner=False), decomposed_gelu,
    lambda m: m.node("Exp").node("Add", np.float32(1)).node("Log"), lambda m: m.node("Mul", m.at)])
def test_float_chain(body, tmp_path):
    """One table, and no rounding within, but where the quantizer made a Clip of one."""
    graph, made, decibels = quantized(network(body), tmp_path)
    assert [n.op for n in graph.nodes] == ["conv", "table", "conv"] and decibels > 30
    rounded = [n.op_type for n in made.graph.node].count("QuantizeLinear")
    assert rounded == 4 + (body(Model()).nodes[0].op_type == "Add")


@pytest.mark.parametrize("body, kinds", [
    (lambda m: m.node("HardSwish"), ["conv", "table"]),
    (lambda m: m.node("HardSwish").node("MaxPool", kernel_shape=[3, 3]), ["conv", "table", "max"]),
    (lambda m: m.node("Tanh").node("ReduceMean", np.array([2, 3])), ["conv", "table", "avg"]),
    (lambda m: m.node("Elu").node("GlobalAveragePool").node("Sigmoid"),
     ["conv", "table", "avg", "table"]),
])
def test_float_network_that_ends_so(body, kinds, tmp_path):
    graph, _, _ = quantized(network(body, tail=True), tmp_path)
    assert [n.op for n in graph.nodes] == kinds


def test_float_branches(tmp_path):
    """Functions of two tensors are rounded before they are added; one is read twice."""
    def body(model):
        source = silu(model, inner=False).at
        random = np.random.default_rng(6).normal(size=(8, 8, 1, 1)) / 3
        model.node("Conv", random.astype(np.float32)).node("Tanh").node("Add", source)

    graph, _, _ = quantized(network(body), tmp_path)
    assert [n.op for n in graph.nodes] == ["conv", "table", "conv", "table", "add", "conv"]
