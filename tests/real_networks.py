"""Trained networks of others, which are not part of this repository; their tests skip without them."""
import os
from pathlib import Path

import pytest

from cores.importer.reader import graph_input, read
from cores.preprocessing import Preprocessing
from sim import pictures

__all__ = ["NETWORKS", "real_network"]

FOLDER = Path(os.environ.get("SKIPSTONE_MODELS") or Path(__file__).parents[2] / "shared" / "models")
IMAGENET = Preprocessing((123.675, 116.28, 103.53), (1 / 58.395, 1 / 57.12, 1 / 57.375))
NETWORKS = {
    "resnet8_mlperf": Preprocessing(),
    "mbv1_025_vww96": Preprocessing(scale=(1 / 255,)),
    "squeezenet_v10_dc": Preprocessing((122.67892, 116.66877, 104.00699), order="bgr"),
    "mobilenetv2_imagenet": IMAGENET,
    "resnet18_trunk": IMAGENET,
}


def real_network(name, frames):
    """Path, preprocessing, and so many of the pictures that a network is measured on."""
    path = FOLDER / name / f"{name}.onnx"
    if not path.exists():
        pytest.skip(f"{name}.onnx is not there; say where with SKIPSTONE_MODELS")
    height, width, channels = graph_input(read(path))[1].shape
    if height == 32:
        images, _, _ = pictures.load(FOLDER / "cifar10.npz", height, width, channels)
    else:
        photos, _, _ = pictures.load(FOLDER / "photos.npz", 256, 256, channels)
        edge = (256 - height) // 2
        images = photos[:, edge:edge + height, edge:edge + width]
    return path, NETWORKS[name], images[:frames]
