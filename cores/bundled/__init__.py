"""The bundled network: a small CNN that reads handwritten digits, quantized to 8 bits.

It lets everything be tried without a download. ``digits.onnx`` (QDQ, u8 activations, s8 weights
per channel) takes one 28 x 28 grey image; its input has scale 1/255 and zero point 0, so a raw
pixel *is* the quantized input. ``digits.npz`` holds images that it was not trained on, and
``digits.json`` what :mod:`cores.bundled.train`, which made all three, measured.
"""
from pathlib import Path

import numpy as np

__all__ = ["MODEL", "NAME", "load_images"]

NAME = "digits"
MODEL = Path(__file__).with_name("digits.onnx")


def load_images():
    """Load the stored held-out images, ten of each digit.

    Returns
    -------
    dict
        ``images``, uint8, (100, 28, 28, 1), 0 (background) to 255; and ``labels``, int64, (100,),
        0 to 9 in turn.
    """
    with np.load(MODEL.with_suffix(".npz")) as file:
        return dict(file)
