"""What mends a quantization: calibration, equalisation, bias correction, 16 bits for some layers."""
import json
import re

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from cores import build, check
from cores.errors import UserError
from cores.importer import load
from cores.importer.reader import array
from cores.opening import open_onnx
from cores.preprocessing import Preprocessing, attach
from cores.quantization.agreement import compare, measure
from cores.quantization.bias_correction import correct_biases
from cores.quantization.equalise import equalise, scales_of
from cores.quantization.prepare import prepare
from cores.quantization.quality import advice, quality
from cores.quantization.quantize import METHODS, quantize
from test_importer import Model, session
from test_quantize import pixels, residual, saved, weights

PREPROCESSING = Preprocessing((120, 110, 100), (1 / 60, 1 / 55, 1 / 50))
IMAGES = pixels(16)


def uneven(kind="Relu"):
    """Channels of very different ranges: through clamps, depthwise, an addition, pools, concat."""
    rng, model = np.random.default_rng(4), Model(shape=("N", 3, 12, 10), opset=17)
    spread = np.float32(2.0) ** -np.arange(8, dtype=np.float32)[:, None, None, None]
    even = np.ones((1, 1, 1, 1), np.float32)

    def clamp():
        if kind == "Clip":
            model.node("Clip", np.float32(0), np.float32(6))
        else:
            model.node(kind)
        return model.at

    def conv(shape, scale=even, **attributes):
        bias = rng.normal(size=shape[0]).astype(np.float32) * scale[:, 0, 0, 0] / 8
        model.node("Conv", weights(rng, *shape) * scale, bias, **attributes)
        return model.at

    conv((8, 3, 3, 3), spread, pads=[1, 1, 1, 1], name="stem")
    trunk = clamp()
    conv((8, 1, 3, 3), group=8, pads=[1, 1, 1, 1], name="depthwise")
    clamp()
    conv((8, 8, 1, 1), spread, name="project")
    model.node("Add", trunk)
    added = model.at
    conv((8, 8, 1, 1), spread[::-1] / spread.reshape(1, 8, 1, 1), name="expand")
    clamp()
    model.node("Concat", added, axis=1)
    conv((5, 16, 1, 1), name="last")
    return model.node("GlobalAveragePool").node("Flatten")


def run(model, images=IMAGES):
    """Outputs of a float or QDQ model for each picture."""
    one = session(model)
    return np.concatenate([one.run(None, {"x": x[None]})[0]
                           for x in PREPROCESSING.apply(images)])


def decibels(model, original):
    """Of the integer network, run alone."""
    network = attach(load(model)[0], PREPROCESSING)
    found = measure(network, model, original, IMAGES, PREPROCESSING)
    return found.tensors[network.outputs[0]].decibels


@pytest.mark.parametrize("kind", ["Relu", "Clip"])
def test_equalised_network_is_the_same(kind, tmp_path):
    original = prepare(saved(uneven(kind), tmp_path))
    before = original.SerializeToString()
    model = equalise(original, IMAGES, PREPROCESSING)
    assert original.SerializeToString() == before
    assert not (run(model) == run(original)).all()
    assert np.allclose(run(model), run(original), rtol=1e-4, atol=1e-5)
    scales = scales_of(model)
    assert scales and max(scale.max() / scale.min() for scale in scales.values()) > 4
    if kind == "Relu":      # exact for pictures that were not seen, too
        other = pixels(4, seed=9)
        assert np.allclose(run(model, other), run(original, other), rtol=1e-4, atol=1e-5)


def test_equalisation_makes_ranges_even(tmp_path):
    """Only a depthwise layer reads the stem here: channels all reach the same, or half of it."""
    rng, model = np.random.default_rng(4), Model(shape=("N", 3, 12, 10), opset=17)
    spread = np.float32(2.0) ** -np.arange(4, dtype=np.float32)
    stem = weights(rng, 4, 3, 3, 3) * spread[:, None, None, None]
    model.node("Conv", stem, spread).node("Relu")
    model.node("Conv", weights(rng, 4, 1, 3, 3), np.zeros(4, np.float32), group=4)
    original = prepare(saved(model, tmp_path))
    equal = equalise(original, IMAGES, PREPROCESSING)
    stored = {t.name: array(t) for t in equal.graph.initializer}
    first, second = (node for node in equal.graph.node if node.op_type == "Conv")
    (scale,) = {tuple(s) for s in scales_of(equal).values()}
    assert np.allclose(stored[first.input[1]] * np.reshape(scale, (4, 1, 1, 1)), stem, rtol=1e-5)
    before, after = (onnx_outputs(m, first.output[0]).max((0, 2, 3)) for m in (original, equal))
    share = before / before.max()
    assert share.min() < 0.25 and share.argmax() == 0
    assert np.allclose(after, np.where(share < 0.5, before.max() / 2, before), rtol=1e-3)
    assert not np.allclose(stored[second.input[1]], 0)


def onnx_outputs(model, name):
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    del exposed.graph.output[:]
    exposed.graph.output.append(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return np.maximum(run(exposed), 0)


def test_options_mend(tmp_path):
    original = prepare(saved(uneven(), tmp_path))

    def quantized(**options):
        return decibels(quantize(original, IMAGES, PREPROCESSING, **options), original)

    plain = quantized()
    assert quantized(equalised=True) > plain + 3
    assert quantized(bits16=3) > plain
    assert quantized(bits=16) > plain + 3


def test_bias_correction_keeps_the_mean(tmp_path):
    original = prepare(saved(residual(tail=None), tmp_path))
    raw, corrected = (quantize(original, IMAGES, PREPROCESSING, bits=16, bias_correction=on)
                      for on in (False, True))
    expected = run(original)
    off, mended = (np.abs((run(m) - expected).mean(0)).max() for m in (raw, corrected))
    assert mended < off / 2
    changed = [a.name for a, b in zip(raw.graph.initializer, corrected.graph.initializer)
               if a != b]
    assert changed and all(t.data_type == onnx.TensorProto.INT32
                           for t in raw.graph.initializer if t.name in changed)
    again = onnx.ModelProto()
    again.CopyFrom(raw)
    correct_biases(again, original, IMAGES, PREPROCESSING)
    assert again == corrected


@pytest.mark.parametrize("method", METHODS)
def test_methods(method, tmp_path, capsys):
    """All make ranges within what minmax finds; percentile cuts outliers off."""
    original = prepare(saved(residual(tail=None, shape=("N", 3, 48, 40)), tmp_path))
    scales = {}
    for name in {"minmax", method}:
        model = quantize(original, pixels(12, (48, 40, 3)), PREPROCESSING, method=name)
        scales[name] = {t.name: float(numpy_helper.to_array(t)) for t in model.graph.initializer
                        if t.name.endswith("_scale") and not t.dims}
    shares = [scale / scales["minmax"][name] for name, scale in scales[method].items()]
    assert max(shares) < 1.001
    assert (min(shares) < 0.999) == (method != "minmax")
    assert capsys.readouterr().out == ""


def wide(network):
    return {name for name, t in network.tensors.items() if t.high - t.low > 255}


def test_bits16_by_name_and_number(tmp_path):
    """A layer's own name or its output's; everything that agreed in 8 bits still does."""
    original = prepare(saved(uneven(), tmp_path))
    makers = {node.name: node.output[0] for node in original.graph.node}
    for given in ("stem", "depthwise"), (makers["project"],), 2:
        model = quantize(original, IMAGES, PREPROCESSING, bits16=given)
        network, found = compare(model, original, IMAGES[:4], PREPROCESSING)
        if isinstance(given, int):      # what is concatenated takes the type of the result
            assert len(wide(network)) >= given
        else:
            assert len(wide(network)) == len(given)
        assert not any(tensor.exceeded for tensor in found.tensors.values())
        assert any(tensor.limited for tensor in found.tensors.values())


def test_bits16_spares_shared_scales(tmp_path):
    """A maximum has its input's type and scale."""
    rng, model = np.random.default_rng(4), Model(shape=("N", 3, 12, 10), opset=17)
    model.node("Conv", weights(rng, 4, 3, 3, 3), np.zeros(4, np.float32), name="first")
    model.node("MaxPool", kernel_shape=[2, 2], strides=[2, 2], name="pool")
    model.node("Conv", weights(rng, 4, 4, 1, 1), np.zeros(4, np.float32), name="last")
    original = prepare(saved(model, tmp_path))
    for name in "first", "pool":
        network, found = compare(quantize(original, IMAGES, PREPROCESSING, bits16=(name,)),
                                 original, IMAGES[:2], PREPROCESSING)
        first, pool, last = (n.output for n in network.nodes)
        assert wide(network) == {first, pool}
        assert not found.tensors[last].limited


def test_quality(tmp_path):
    path = saved(residual(), tmp_path)
    np.savez(tmp_path / "pictures.npz", images=IMAGES)
    options = {"equalised": True, "bits16": 1}
    model, original = open_onnx(path, tmp_path / "pictures.npz", PREPROCESSING, **options)
    network = attach(load(model)[0], PREPROCESSING)
    found = measure(network, model, original, IMAGES, PREPROCESSING)
    same = compare(model, original, IMAGES, PREPROCESSING)[1]
    assert {n: t.decibels for n, t in found.tensors.items()} == {
        n: t.decibels for n, t in same.tensors.items()}
    figures = quality(network, found, options)
    assert json.loads(json.dumps(figures)) == figures
    assert figures["layers"][figures["worst_layer"]] == min(figures["layers"].values())
    assert figures["frames"] == 16 and len(figures["bits16"]) == 1 and figures["equalised"]
    assert 0.5 < figures["top1_agreement"] <= 1 and figures["output_snr_db"] > 15
    assert min(figures["layers"].values()) > 10         # scales are taken into account
    ours, theirs = found.answers(network.outputs[0])
    assert figures["top1_agreement"] == (ours == theirs).mean()


@pytest.mark.parametrize("figures, expected", [
    ({}, None), ({"top1_agreement": 0.89}, "--equalise, --calib-method percentile, --bits16 4, "),
    ({"output_snr_db": 14.9, "equalised": True}, "try --calib-method percentile, --bits16 4, "),
    ({"output_snr_db": 3.0, "bits16": ["a"], "method": "entropy"}, "try --equalise, --bits 16, "),
    ({"output_snr_db": None, "top1_agreement": None}, None), ({"top1_agreement": 0.5, "frames": 2}, None),
    ({"output_snr_db": 1, "bits": 16, "equalised": True, "method": "entropy"}, None)])
def test_advice(figures, expected):
    good = {"method": "minmax", "bits": 8, "equalised": False, "bits16": [], "top1_agreement": 0.9,
            "output_snr_db": 15.0, "frames": 16}
    line = advice({**good, **figures})
    assert line is None if expected is None else expected in line


def test_command_lines(tmp_path, capsys):
    path = saved(uneven(), tmp_path)
    np.savez(tmp_path / "pictures.npz", images=IMAGES)
    options = ["--mean", "120,110,100", "--scale", "1/60", "--equalise", "--bits16", "stem",
               "--calib-method", "percentile"]
    assert build.main(["--model", str(path), "--calib", str(tmp_path / "pictures.npz"), *options,
                       "--out", str(tmp_path / "out")]) == 0
    assert "against the float network, 16 pictures: top-1 agreement" in capsys.readouterr().out
    figures, manifest = (json.loads((tmp_path / "out" / f"{name}.json").read_text())["quantization"]
                         for name in ("report", "build"))
    assert figures == manifest and figures["method"] == "percentile" and figures["equalised"]
    assert len(figures["bits16"]) == 1
    assert check.main([str(path), "--images", str(tmp_path / "pictures.npz"), *options]) == 0


def test_nothing_can_be_wide(tmp_path):
    """Both activations are read by the table of one function."""
    model = Model((1, 3, 12, 10), opset=17).node("Elu").node("Conv", weights(np.random.default_rng(4), 4, 3, 3, 3))
    with pytest.raises(UserError, match=r"^No activation of the network can have 16 bits; leave --bits16 out$"):
        quantize(saved(model.node("Elu"), tmp_path), IMAGES, PREPROCESSING, bits16=2)


@pytest.mark.parametrize("arguments, message", [
    (["--bits16", "clases"], r"Layer 'clases' of --bits16 is none of the network's \d+; there are 'classes'.*"),
    (["--bits16", "999"], r"--bits16 must be at most the \d+ activations that can have 16 bits, not 999"),
    (["--bits16=-3"], "argument --bits16: must be a positive integer, not '-3' .*"),
    (["--bits16", "0"], "argument --bits16: must be a positive integer, not '0' .*"),
    (["--bits16", "a,,b"], "argument --bits16: must be a number, or names .*, not 'a,,b' .*"),
    (["--bits16", "2", "--bits", "16"], "All activations have 16 bits with --bits 16; .*"),
    (["--calib-method", "best"], "argument --calib-method: invalid choice: 'best' .*"),
    (["--bits", "12"], "argument --bits: invalid choice: .*"),
    (["QUANTIZED", "--equalise", "--calib-method", "minmax"],
     "quantized.onnx is quantized already: .*--equalise.* only fit a float network"),
])
def test_refuses(arguments, message, tmp_path, capsys):
    path = saved(residual(tail=None), tmp_path)
    np.savez(tmp_path / "pictures.npz", images=IMAGES)
    if arguments[0] == "QUANTIZED":
        path = tmp_path / "quantized.onnx"
        onnx.save(quantize(tmp_path / "net.onnx", IMAGES, PREPROCESSING), path)
        arguments = arguments[1:]
    try:
        code = check.main([str(path), "--images", str(tmp_path / "pictures.npz"), *arguments])
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    assert re.fullmatch(f"error: {message}\n", capsys.readouterr().err)


def test_quantize_refuses(tmp_path):
    with pytest.raises(UserError, match=r"^Calibration method must be one of minmax, .*'mean'$"):
        quantize(saved(residual(), tmp_path), IMAGES, PREPROCESSING, method="mean")
