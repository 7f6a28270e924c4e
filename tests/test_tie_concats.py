"""Float networks that join, cut, pad and resize maps: quantized, imported, and compared."""
import numpy as np
import onnx
import pytest

from cores.graph import Concat, Table
from cores.importer import load
from cores.preprocessing import Preprocessing
from cores.quantization.agreement import compare
from cores.quantization.prepare import prepare
from cores.quantization.quantize import quantize
from test_importer import Model
from test_quantize import pixels, saved, weights

PREPROCESSING = Preprocessing((120, 110, 100), (1 / 60, 1 / 55, 1 / 50))
LAST = 2**31 - 1


def ints(*values):
    return np.array(values, np.int64)


class Net(Model):
    """A float network in the making, with random weights."""
    def __init__(self, shape=("N", 3, 12, 10), opset=17):
        super().__init__(shape=shape, opset=opset)
        self.random = np.random.default_rng(1)

    def conv(self, filters, channels, kernel=(3, 3), *, relu=True, gain=1, **attributes):
        attributes.setdefault("pads", [k // 2 for k in kernel] * 2)
        group = attributes.get("group", 1)
        self.node("Conv",
                  weights(self.random, filters, channels // group, *kernel) * np.float32(gain),
                  weights(self.random, filters, 1)[:, 0], **attributes)
        return self.node("Relu") if relu else self

    def dense(self, inputs, outputs=5):
        return self.node("Gemm", weights(self.random, outputs, inputs),
                         weights(self.random, outputs, 1)[:, 0], transB=1)

    def classes(self, channels):
        return self.node("GlobalAveragePool").node("Flatten").dense(channels)

    def concat(self, *names):
        self.at = names[0]
        return self.node("Concat", *names[1:], axis=1)

    def behind(self, name, call):
        """Name of what ``call`` makes of a value."""
        self.at = name
        call(self)
        return self.at


def fire(opset=17):
    net = Net(opset=opset).conv(8, 3).node("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    squeezed = net.conv(4, 8, (1, 1)).at
    names = [net.behind(squeezed, lambda n, k=k: n.conv(6, 4, (k, k))) for k in (1, 3)]
    return net.concat(*names).classes(12)


def signs():
    """One operand is never negative, another is cut off at 1, the last is neither."""
    net = Net().conv(8, 3)
    trunk = net.at
    names = [net.behind(trunk, lambda n: n.conv(4, 8)),
             net.behind(trunk, lambda n: n.conv(4, 8, relu=False).node(
                 "Clip", np.float32(0), np.float32(1)).node("MaxPool", kernel_shape=[1, 1])),
             net.behind(trunk, lambda n: n.conv(4, 8, relu=False))]
    return net.concat(*names).conv(5, 12)


def dense_block():
    net = Net().conv(4, 3)
    first = net.at
    second = net.concat(first, net.conv(4, 4).at).at
    return net.concat(second, net.conv(4, 8).at).conv(6, 12, relu=False)


def unet(mode="asymmetric"):
    net = Net().conv(4, 3)
    skipped = net.at
    net.node("MaxPool", kernel_shape=[2, 2], strides=[2, 2]).conv(4, 4).conv(8, 4, gain=20)
    net.node("Resize", "", np.float32([1, 1, 2, 2]), coordinate_transformation_mode=mode,
             nearest_mode="floor" if mode == "asymmetric" else "round_prefer_floor")
    return net.concat(net.at, skipped).conv(2, 12, relu=False)


def split():
    net = Net().conv(8, 3).node("Split", ints(4, 4), axis=1, outputs=2)
    halves = net.at, f"{net.at}_1"
    sums = net.behind(halves[1], lambda n: n.conv(4, 4).node("Add", halves[1]))
    return net.concat(*halves, sums).conv(6, 12, (1, 1)).classes(6)


def focus():
    """Slices of the input itself."""
    net = Net()
    names = [net.behind("x", lambda n, y=y, x=x: n.node(
        "Slice", ints(y, x), ints(LAST, LAST), ints(2, 3), ints(2, 2)))
        for y in (0, 1) for x in (0, 1)]
    return net.concat(*names).conv(6, 12)


def pads():
    net = Net().node("Pad", ints(0, 1, 1, 2, 0, 0, 1, 2)).conv(8, 4).node(
        "Pad", ints(0, 0, 0, 1, 0, 0, 0, 1)).node("MaxPool", kernel_shape=[2, 2])
    return net.node("Pad", ints(0, 2, -1, 0, 0, 2, 0, 0)).conv(4, 12).classes(4)


def inception():
    net = Net().conv(8, 3)
    trunk = net.at
    names = [net.behind(trunk, call) for call in (
        lambda n: n.conv(6, 8, (1, 1), relu=False),
        lambda n: n.node("MaxPool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        lambda n: n.conv(3, 8, (1, 1)))]
    return net.concat(*names, trunk).classes(25)


def channels_last():
    net = Net(shape=("N", 12, 10, 3)).node("Transpose", perm=[0, 3, 1, 2]).conv(8, 3)
    net.node("MaxPool", kernel_shape=[2, 2], strides=[2, 2]).node("Transpose", perm=[0, 2, 3, 1])
    net.node("Reshape", ints(-1, 240)).node("MatMul", weights(net.random, 5, 240).T.copy())
    return net.node("Add", weights(net.random, 5, 1)[:, 0])


def signal():
    net = Net(shape=("N", 3, 20)).conv(6, 3, (3,)).node("MaxPool", kernel_shape=[2], strides=[2])
    return net.conv(6, 6, (3,)).classes(6)


def old_upsample():
    net = Net(opset=9).conv(4, 3).node("Upsample", np.float32([1, 1, 2, 3]), mode="nearest")
    return net.conv(2, 4, relu=False)


def reduced(op):
    return Net().conv(8, 3).node(op, axes=[-2, -1], keepdims=0).dense(8)


def two_groups():
    return Net().conv(8, 3).conv(12, 8, group=4).conv(24, 12, group=12).classes(24)


@pytest.mark.parametrize("make, operators", [
    (fire, "conv max conv conv conv concat avg fc"),
    (lambda: fire(9), "conv max conv conv conv concat avg fc"),
    (signs, "conv conv conv max conv concat conv"),
    (dense_block, "conv conv concat conv concat conv"),
    (unet, "conv max conv conv upsample table concat conv"),
    (lambda: unet("half_pixel"), "conv max conv conv upsample table concat conv"),
    (split, "conv slice slice conv add table table concat conv avg fc"),
    (focus, "slice slice slice slice concat conv"),
    (pads, "pad conv pad max slice pad conv avg fc"),
    (inception, "conv conv max conv table table concat avg fc"),
    (channels_last, "conv max fc"), (signal, "conv max conv avg fc"),
    (old_upsample, "conv upsample conv"), (two_groups, "conv grouped grouped avg fc"),
    (lambda: reduced("ReduceMean"), "conv avg fc"), (lambda: reduced("ReduceMax"), "conv max fc"),
    (lambda: Net().conv(8, 3, relu=False).node("GlobalMaxPool").conv(
        5, 8, (1, 1), relu=False),
     "conv max table conv"),
])
@pytest.mark.parametrize("bits", [8, 16])
def test_float_networks(make, operators, bits, tmp_path):
    original = prepare(saved(make(), tmp_path))
    images = pixels(6, (1, 20, 3) if make is signal else (12, 10, 3))
    quantized = quantize(original, images, PREPROCESSING, bits=bits)
    network, found = compare(quantized, original, images, PREPROCESSING)
    operators = operators if bits == 8 else operators.replace("table", "avg")
    assert sorted(node.op for node in network.nodes) == sorted(operators.split())
    for name, tensor in found.tensors.items():
        assert tensor.largest <= 1 and not tensor.exceeded, (name, tensor)
    for name in network.outputs:
        assert found.tensors[name].decibels > (24 if bits == 8 else 36)


def test_clamps_are_put_back(tmp_path):
    """The scale of the Concat has a zero point that no longer does what Relu and Clip do."""
    original = prepare(saved(signs(), tmp_path))
    network, _ = load(quantize(original, pixels(6), PREPROCESSING))
    node = next(n for n in network.nodes if isinstance(n, Concat))
    operands = [network.tensors[name] for name in node.inputs]
    assert len({(t.scale, t.zero_point) for t in operands}) == 1 and operands[0].zero_point > 0
    one = round(1 / operands[0].scale)
    assert [t.low for t in operands[:2]] == [0, 0] and operands[2].low < 0
    assert operands[1].high == one < operands[0].high


def test_operand_that_others_read_keeps_its_scale(tmp_path):
    original = prepare(saved(unet(), tmp_path))
    network, _ = load(quantize(original, pixels(6), PREPROCESSING))
    table, = (n for n in network.nodes if isinstance(n, Table))
    assert table.input == network.nodes[0].output


def test_heads_are_cut_off(tmp_path):
    net = Net().conv(8, 3)
    trunk, ends = net.at, []
    for kernel in 1, 3:
        net.at = trunk
        net.conv(12, 8, (kernel, kernel), relu=False).node("Reshape", ints(1, 2, 6, 120))
        ends.append(net.node("Transpose", perm=[0, 1, 3, 2]).node("Reshape", ints(1, 240, 6)).at)
    path = saved(net.concat(*ends).node("Softmax", axis=2), tmp_path)
    original = prepare(path)
    assert [node.op_type for node in original.graph.node] == ["Conv", "Relu", "Conv", "Conv"]
    network, notes = load(quantize(original, pixels(3), PREPROCESSING))
    assert network.outputs == tuple(node.output for node in network.nodes[1:])
    assert notes[0] == (f"Softmax node 'n{len(net.nodes) - 1}' is left to the host, which reads "
                        f"{network.outputs[0]!r} and {network.outputs[1]!r}")
    assert len(notes) == 8
    assert len(onnx.load(path).graph.node) == len(net.nodes)
