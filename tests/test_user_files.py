"""Real networks as files that were quantized before: imported, and held against onnxruntime."""
import subprocess
import sys

import numpy as np
import onnx
import pytest

from cores import check
from cores.importer.reader import checked, converted
from cores.quantization.agreement import compare
from cores.quantization.prepare import prepare
from cores.quantization.quantize import quantize
from real_networks import real_network
from user_files import as_qonnx, quantized_by_onnxruntime

RESNET8 = ("qdq", {}), ("qdq", {"per_channel": False}), ("qdq", {"weights": "uint8"}), (
    "qdq", {"activations": "int8"}), ("qdq", {"AddQDQPairToWeight": True}), (
    "qdq", {"DedicatedQDQPair": True}), ("qlinear", {}), ("qlinear", {"per_channel": False}), (
    "qonnx", {}), ("qonnx", {"per_channel": False})


def within_limits(model, images, preprocessing):
    network, found = compare(converted(checked(model, "")), None, images, preprocessing)
    for name, tensor in found.tensors.items():
        assert tensor.limited and not tensor.exceeded, (name, tensor)
    for name in network.outputs:
        assert found.tensors[name].decibels > 15, name
    return network


@pytest.mark.parametrize("form, options", RESNET8, ids=str)
def test_resnet8(form, options):
    path, preprocessing, images = real_network("resnet8_mlperf", 12)
    model = quantized_by_onnxruntime(onnx.load(path), images, preprocessing, form, **options)
    assert len(within_limits(model, images, preprocessing).nodes) == 14


# SqueezeNet's concatenations have operands of eight other scales, that a file of ours would share.
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("name, nodes", [
    ("mbv1_025_vww96", 29), ("squeezenet_v10_dc", 46), ("mobilenetv2_imagenet", 63),
    ("resnet18_trunk", 23)])
def test_networks(name, nodes, per_channel):
    path, preprocessing, images = real_network(name, 2)
    model = quantized_by_onnxruntime(onnx.load(path), images, preprocessing, per_channel=per_channel)
    assert len(within_limits(model, images, preprocessing).nodes) == nodes


@pytest.mark.parametrize("form", ["qdq", "qonnx"])
def test_saved_by_us_and_checked(form, tmp_path, capsys):
    """What ``--save`` writes is a file like any other, as QONNX too."""
    path, preprocessing, images = real_network("resnet8_mlperf", 12)
    model = quantize(prepare(path), images, preprocessing)
    onnx.save(model if form == "qdq" else as_qonnx(model), tmp_path / "net.onnx")
    np.savez(tmp_path / "pictures.npz", images=images[:4])
    assert check.main([str(tmp_path / "net.onnx"), "--scale", "1", "--images",
                       str(tmp_path / "pictures.npz")]) == 0
    assert "dB to onnxruntime" in capsys.readouterr().out


def test_command_line(tmp_path):
    path, _, images = real_network("resnet8_mlperf", 3)
    np.savez(tmp_path / "pictures.npz", images=images)
    command = [sys.executable, __file__.replace("test_user", "user"), str(path), "--images",
               str(tmp_path / "pictures.npz"), "--form", "qlinear", "--save", str(tmp_path / "q.onnx")]
    subprocess.run(command, check=True, cwd=tmp_path)
    assert "QLinearConv" in {node.op_type for node in onnx.load(tmp_path / "q.onnx").graph.node}


def test_command_line_refuses(tmp_path):
    command = [sys.executable, __file__.replace("test_user", "user"), str(tmp_path / "absent.onnx"),
               "--images", str(tmp_path), "--save", str(tmp_path / "q.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and "no such file; give the path of an ONNX model" in done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
