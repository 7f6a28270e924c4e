"""Read the pictures a network is run on: a folder of image files, or an ``.npz`` of arrays."""
import csv
import re
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from hdl.check import positive

__all__ = ["PicturesError", "load"]

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".gif"}
LABELS = "labels.csv"


class PicturesError(ValueError):
    """The pictures cannot be used; the message is one line for the person who gave them."""


def load(path, height, width, channels):
    """Load all pictures, as bytes of the size a network takes.

    Of a folder, every image file is taken, in the order of the names; or of its subfolders, whose
    names are then the classes. Each picture is made RGB or grey, scaled until it just covers
    ``height`` x ``width`` (bilinear, antialiased) and cropped to the centre; of an animation it is
    the first frame. A ``labels.csv`` in the folder (lines ``filename,label``, filenames relative to
    the folder) goes before the subfolders' names. Labels that are all numbers stand for themselves;
    other ones are numbered in sorted order.

    An ``.npz`` has ``images``, uint8, (N, height, width, channels) or, with one channel,
    (N, height, width), used as they are; and may have ``labels``, N integers.

    Parameters
    ----------
    path : str or :class:`pathlib.Path`
    height, width : int
        Size wanted, in pixels.
    channels : int
        1 (grey) or 3 (RGB); of an ``.npz``, any number.

    Returns
    -------
    images : uint8 array, (N, height, width, channels)
        At least one.
    labels : int64 array, (N,), or None
    names : list of str
        The files, relative to the folder; ``file.npz[i]`` for an ``.npz``.

    Raises
    ------
    PicturesError
        If there is no such file, or anything in it is not as above.
    """
    size = positive("Height", height), positive("Width", width), positive("Channels", channels)
    path = Path(path)
    try:
        if path.is_dir():
            return _folder(path, size)
        if path.is_file():
            return _npz(path, size)
    except OSError as error:
        raise _error(path, f"cannot be read: {error.strerror or type(error).__name__}") from error
    raise _error(path, "does not exist")


def _error(path, text):
    return PicturesError(f"{str(path)!r} {text}")       # quoted: no line break gets through


def _by(shape):
    return " x ".join(map(str, shape)) or "a single number"


def _folder(path, size):
    if size[2] not in (1, 3):
        raise _error(path, f"holds grey or RGB pictures, but {size[2]} channels are wanted")
    folders = [entry for entry in path.iterdir() if entry.is_dir() and entry.name[0] != "."]
    top, below = _pictures(path), [file for folder in folders for file in _pictures(folder)]
    if top and below:
        raise _error(path, "has pictures both in itself and in subfolders")
    files = {file.relative_to(path).as_posix(): file for file in top + below}
    names = sorted(files)
    if not names:
        raise _error(path, f"has no pictures ({', '.join(sorted(SUFFIXES))})")

    if (path / LABELS).exists():
        labels = _numbered(_read_labels(path / LABELS, names))
    elif below:
        # An empty class keeps its number: a part of a data set has the labels of the whole.
        classes = sorted(folder.name for folder in folders)
        number = dict(zip(classes, _numbered(classes)))
        labels = [number[name.split("/")[0]] for name in names]
    else:
        labels = None
    if labels is not None:
        labels = _checked(path, np.array(labels, np.int64))

    images = np.empty((len(names), *size), np.uint8)
    for image, name in zip(images, names):
        image[...] = _read(files[name], size)
    return images, labels, names


def _pictures(folder):
    return [entry for entry in folder.iterdir()
            if entry.suffix.lower() in SUFFIXES and entry.name[0] != "." and not entry.is_dir()]


def _read(file, size):
    height, width, channels = size
    try:
        with Image.open(file) as image:
            if image.mode.startswith("I"):      # 16 bits: Pillow would clip them, not scale
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            if "transparency" in image.info:        # else Pillow warns; either way it is dropped
                image = image.convert("RGBA")
            image = image.convert("RGB" if channels == 3 else "L")
            image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    except Exception as error:      # decoders raise anything at all on broken files
        raise _error(file, "is not a picture that can be read") from error
    return np.asarray(image).reshape(size)


def _numbered(labels):
    """Return a number for each of the labels, which are str."""
    if all(re.fullmatch(r"-?[0-9]{1,18}", label) for label in labels):
        return [int(label) for label in labels]
    classes = sorted(set(labels))
    return [classes.index(label) for label in labels]


def _checked(path, labels):
    if labels.min() < 0:
        raise _error(path, f"must have labels of 0 and up, not {labels.min()}")
    return labels


def _read_labels(file, names):
    """Return the label of each of the names, as str."""
    try:
        with open(file, newline="", encoding="utf-8-sig") as lines:
            rows = [[cell.strip() for cell in row] for row in csv.reader(lines) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise _error(file, "is not a CSV file in UTF-8") from error
    if rows and rows[0] == ["filename", "label"]:
        del rows[0]
    labels, known = {}, set(names)
    for row in rows:
        if len(row) != 2 or not row[1]:
            raise _error(file, f"must have lines of 'filename,label', not {','.join(row)!r}")
        if row[0] not in known:
            raise _error(file, f"names {row[0]!r}, which is not among the pictures")
        if labels.setdefault(row[0], row[1]) != row[1]:
            raise _error(file, f"gives {row[0]!r} two labels")
    for name in names:
        if name not in labels:
            raise _error(file, f"has no label for {name!r}")
    return [labels[name] for name in names]


def _arrays(path):
    with path.open("rb") as stream:     # given a path, np.load leaves broken files open
        try:
            with np.load(stream, allow_pickle=False) as file:
                arrays = {key: file[key] for key in ("images", "labels") if key in file.files}
        except Exception as error:      # zipfile, zlib and NumPy each raise their own
            raise _error(path, "is not an .npz file of plain arrays") from error
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):     # else bytes
        raise _error(path, "is not an .npz file of plain arrays")
    return arrays


def _npz(path, size):
    if path.suffix.lower() != ".npz":
        raise _error(path, "must be a folder of pictures or an .npz file")
    arrays = _arrays(path)
    if "images" not in arrays:
        raise _error(path, "has no array 'images'")

    images, labels = arrays["images"], arrays.get("labels")
    if images.dtype != np.uint8:
        raise _error(path, f"must have images of uint8, not {images.dtype}")
    if images.ndim == 3 and size[2] == 1:
        images = images[..., np.newaxis]
    if images.shape[1:] != size:
        raise _error(path, f"must have images of {_by(('N', *size))}, not {_by(images.shape)}")
    if not len(images):
        raise _error(path, "has no pictures")
    if labels is not None:
        if labels.dtype.kind not in "iu":
            raise _error(path, f"must have labels that are integers, not {labels.dtype}")
        if labels.shape != (len(images),):
            raise _error(path, f"must have {len(images)} labels, one a picture, "
                               f"not {_by(labels.shape)}")
        labels = _checked(path, labels.astype(np.int64))
    return images, labels, [f"{path.name}[{number}]" for number in range(len(images))]
