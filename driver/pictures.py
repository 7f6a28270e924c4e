"""Pictures of a design's input size."""
from pathlib import Path

import numpy as np

__all__ = ["PicturesError", "load", "golden_outputs"]

ENDINGS = ".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm"


class PicturesError(ValueError):
    """There are none, or they are of another size."""


def load(path, height, width, channels):
    """Pictures as uint8 (pictures, height, width, channels), from an .npz with ``images``, a picture or a folder of them.

    Raises
    ------
    PicturesError
        If there are none, or one is of another size: how to crop is the network's affair.
    """
    path = Path(path)
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            if "images" not in arrays:
                raise PicturesError(f"{path} must hold an array images, not {', '.join(arrays)}")
            pictures = arrays["images"]
    else:
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in ENDINGS) if path.is_dir() else [path]
        if not files:
            raise PicturesError(f"{path} holds no pictures ({', '.join(ENDINGS)})")
        pictures = np.stack([_read(file, height, width, channels) for file in files])
    if pictures.shape[1:] != (height, width, channels) or pictures.dtype != np.uint8 or not len(pictures):
        raise PicturesError(f"{path} must hold uint8 of {height} x {width} x {channels}, "
                            f"not {pictures.dtype} of {' x '.join(map(str, pictures.shape[1:]))}")
    return pictures


def golden_outputs(path, count):
    """What the design must make of the first pictures of golden.npz: an array for each output."""
    with np.load(path) as arrays:
        names = ["outputs"] if "outputs" in arrays else sorted(
            (name for name in arrays if name.startswith("outputs_")), key=lambda name: int(name[8:]))
        return [arrays[name][:count] for name in names]


def _read(file, height, width, channels):
    from PIL import Image
    try:
        with Image.open(file) as picture:
            pixels = np.asarray(picture.convert("L" if channels == 1 else "RGB"))
    except OSError as error:
        raise PicturesError(f"{file} is no picture that can be read ({error})") from error
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if pixels.shape != (height, width, channels):
        raise PicturesError(f"{file} is {pixels.shape[0]} x {pixels.shape[1]}, not {height} x {width}: crop it first")
    return pixels
