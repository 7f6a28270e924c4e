"""Valid networks that onnxslim, onnxruntime's quantizer or its kernels stumble over, built and compared all the same."""
import numpy as np
import onnx
import pytest

from cores import build, check
from cores.errors import UserError
from cores.importer import load
from cores.importer.reader import checked, converted
from cores.preprocessing import Preprocessing
from cores.quantization.agreement import compare
from cores.quantization.prepare import prepare
from cores.quantization.quantize import quantize
from test_importer import Model, session
from test_quantize import pixels, saved, weights
from user_files import quantized_by_onnxruntime

PREPROCESSING = Preprocessing(scale=(1 / 255,))
RNG = np.random.default_rng(8)


def conv(model, filters, channels, *size, bias=True, **attributes):
    more = [weights(RNG, filters, 1)[:, 0]] if bias else []
    return model.node("Conv", weights(RNG, filters, channels, *size), *more, **attributes)


def begun(opset=17, filters=6, **attributes):
    return conv(Model((1, 3, 12, 10), opset=opset), filters, 3, 3, 3, **attributes).node("Relu")


def slice_of_slice():
    """The first leaves its steps out, the second counts its axis from the end."""
    cut = begun().node("Slice", *(np.array([n]) for n in (1, 9, 2)))
    return cut.node("Slice", *(np.array([n]) for n in (2, 6, -3)))


def unequal_parts():
    model = begun(18, filters=5).node("Split", outputs=3, axis=1, num_outputs=3)
    model.outputs = [model.at, f"{model.at}_1", f"{model.at}_2"]
    return model


def gemm(bias, *, transposed=0, **attributes):
    model = begun().node("GlobalAveragePool").node("Flatten")
    weight = weights(RNG, 6, 4)
    return model.node("Gemm", weight.T.copy() if transposed else weight, *bias, transB=transposed, **attributes)


def names_twice():
    model = conv(begun(), 4, 6, 3, 3)
    for node in model.nodes:
        node.name = "layer"
    return model


def shared():
    """One kernel and one bias of three layers, as a detector's heads have."""
    model = Model((1, 3, 12, 10), opset=17)
    kernel, bias = model.constant(weights(RNG, 3, 3, 3, 3)), model.constant(weights(RNG, 3, 1)[:, 0])
    for _ in range(3):
        model.node("Conv", kernel, bias, pads=[1] * 4).node("Relu")
    return model


def summed():
    """As Caffe2 exports a residual addition, and with three operands."""
    model = begun(pads=[1] * 4)
    first = model.at
    second = conv(model, 6, 6, 3, 3, pads=[1] * 4).at
    third = conv(model, 6, 6, 1, 1).at
    model.at = first
    model.node("Sum", second).node("Relu")
    return model.node("Sum", second, third)


def pooled(**attributes):
    return begun(19).node("AveragePool", **attributes)


NETWORKS = {
    "Slice of Slice": slice_of_slice, "Split into unequal parts": unequal_parts,
    "Gemm's bias of one number": lambda: gemm([np.float32([0.3])], transposed=1),
    "Gemm's bias of one row": lambda: gemm([weights(RNG, 1, 4)]),
    "Gemm's alpha and beta": lambda: gemm([weights(RNG, 4, 1)[:, 0]], alpha=0.5, beta=2.0),
    "Gemm's beta of 0": lambda: gemm([weights(RNG, 1, 4)], beta=0.0, alpha=-1.25, transposed=1),
    "one name for all nodes": names_twice, "weights that layers share": shared,
    "Sum": summed, "dilated average": lambda: pooled(kernel_shape=[2, 2], dilations=[2, 3]),
    "ceil_mode that counts pads": lambda: pooled(
        kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 0, 0], ceil_mode=1, count_include_pad=1),
}


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_float(make, tmp_path):
    path, images = saved(make(), tmp_path), pixels(6)
    model = prepare(path)
    given = onnx.load(path)
    for index, node in enumerate(given.graph.node):
        node.name = str(index)
    x = {"x": RNG.normal(size=(1, 3, 12, 10)).astype(np.float32)}
    for before, after in zip(session(given).run(None, x), session(model).run(None, x), strict=True):
        assert np.abs(before).max() > 0.1 and np.allclose(before, after, atol=1e-5)
    network, found = compare(quantize(model, images, PREPROCESSING), model, images, PREPROCESSING)
    for name, tensor in found.tensors.items():
        assert tensor.limited and not tensor.exceeded, (name, tensor)
    for name in network.outputs:
        assert found.tensors[name].decibels > 20, name


@pytest.mark.parametrize("form, options", [
    ("qdq", {}), ("qlinear", {"per_channel": False}), ("qlinear", {"activations": "int8"})], ids=str)
def test_quantized_with_shared_weights(form, options):
    """Held against onnxruntime with exact products: it has no kernel for those of signed numbers."""
    images = pixels(4)
    model = quantized_by_onnxruntime(shared().proto(), images, PREPROCESSING, form, **options)
    _, found = compare(converted(checked(model, "")), None, images, PREPROCESSING)
    assert len(found.tensors) == 4
    for name, tensor in found.tensors.items():
        assert tensor.limited and not tensor.exceeded, (name, tensor)


def flattened():
    """As PyTorch writes ``x.view(x.size(0), -1)`` for a batch that is not fixed, and weights stored the other way."""
    model = conv(Model((1, 3, 12, 10), opset=17), 6, 3, 3, 3).node("Relu")
    source = model.at
    model.node("Shape").node("Gather", np.array(0), axis=0).node("Unsqueeze", np.array([0]))
    sizes = model.node("Concat", np.array([-1]), axis=0).at
    model.at = source
    source = model.node("Reshape", sizes).at
    model.at = model.constant(weights(RNG, 4, 480))
    kernel = model.node("Transpose", perm=[1, 0]).at
    model.at = source
    return model.node("MatMul", kernel)


@pytest.mark.parametrize("form, options", [
    ("qdq", {}), ("qdq", {"per_channel": False}), ("qlinear", {"per_channel": False})], ids=str)
def test_quantized_with_sizes_that_are_computed(form, options):
    images = pixels(4)
    model = quantized_by_onnxruntime(flattened().proto(), images, PREPROCESSING, form, **options)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    assert {"Shape", "Gather", "Unsqueeze"} <= {node.op_type for node in model.graph.node}
    network, found = compare(converted(checked(model, "")), None, images, PREPROCESSING)
    assert [node.op for node in network.nodes] == ["conv", "fc"]
    for name, tensor in found.tensors.items():
        assert tensor.limited and not tensor.exceeded, (name, tensor)


def test_constants_that_do_not_fit():
    model = Model((1, 3, 12, 10), opset=17).qdq(1 / 255)
    model.at = model.constant(np.zeros(6, np.float32))
    with pytest.raises(UserError, match=r"^Reshape node 'cut': cannot be computed from its constants; check the model \(.*\)$"):
        load(model.node("Reshape", np.array([4]), name="cut").proto())


@pytest.mark.parametrize("make, name", [
    (lambda: conv(begun().node("Log", name="log"), 4, 6, 3, 3), "Log node 'log'"),
    (lambda: conv(begun().node("Mul", np.float32(1e38)).node("Mul", np.float32(1e10), name="far"), 4, 6, 1, 1),
     "Mul node 'far'")])
def test_values_that_are_not_finite(make, name, tmp_path):
    path = saved(make(), tmp_path)
    with pytest.raises(UserError, match=f"^{name}: makes values that are not finite of picture 0; "
                                        "check --mean and --scale, or clip its input before$"):
        quantize(path, pixels(2), PREPROCESSING)


def test_names_are_shown_as_they_are(tmp_path, capsys):
    """Those in brackets are no markup of the tables, nor are colons an emoji."""
    model = conv(Model((1, 3, 12, 10), opset=17), 4, 3, 3, 3, name="a[/b]").node("Softmax", name="s[red]:x:")
    model.inputs[0].name = model.nodes[0].input[0] = "x[/y]"
    path, pictures = str(saved(model, tmp_path)), str(tmp_path / "pictures.npz")
    np.savez(pictures, images=pixels(2))
    assert check.main([path, "--images", pictures]) == 0
    assert "x[/y]" in capsys.readouterr().out
    assert build.main(["--model", path, "--calib", pictures, "--dsp", "4", "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert " a[/b] " in text and "\nSoftmax node 's[red]:x:' is left to the host, which reads " in text
