"""Opening an ONNX file, float or quantized, as the command lines give it."""
import argparse
from pathlib import Path

import numpy as np

from cores import bundled, cli
from cores.errors import UserError
from cores.importer import load
from cores.importer.reader import check_format, graph_input, is_quantized, read
from cores.preprocessing import Preprocessing, attach
from cores.quantization.prepare import prepare
from cores.quantization.quantize import METHODS, quantize
from sim import pictures

__all__ = ["add_options", "add_preprocessing", "add_source", "input_shape", "model_path", "open_images", "open_model",
           "open_onnx", "open_source", "opened", "preprocessing_of", "quantization_of"]

# Attributes of parsed arguments, by the keywords of cores.quantization.quantize.quantize.
_QUANTIZATION = {"bits": "bits", "method": "calib_method", "equalised": "equalise",
                 "bits16": "bits16"}
NOISE = 16              # random pictures, where none are given


def add_preprocessing(add):
    """Declare how pixels are treated; ``add`` is a parser's add_argument."""
    add("--mean", type=_numbers, metavar="R,G,B",
        help="what is subtracted from the pixels, 0 to 255, of each channel (or one number for "
             "all), in the order red, green, blue whatever --order is (default 0)")
    add("--scale", type=_numbers, metavar="R,G,B",
        help="what they are multiplied by after that; 1/255 is understood (default 1)")
    add("--order", choices=("rgb", "bgr"), help="order of the channels that the network was "
        "trained on (default rgb)")


def add_options(add):
    """Declare how pixels and float networks are treated; ``add`` is a parser's add_argument."""
    add_preprocessing(add)
    add("--bits", type=int, choices=(8, 16), help="width of the activations that a float network "
        "is quantized to; 16 take one DSP block for each multiplier (default 8)")
    add("--calib-method", choices=METHODS, help="how ranges of activations follow from the "
        "pictures: all that they reach, all but the outermost values, or least entropy; those "
        "other than minmax are slower (default minmax)")
    add("--equalise", action="store_true", default=None, help="bring the channels of activations "
        "to similar ranges before, by scaling weights; see docs/quantization.md")
    add("--bits16", type=_layers, metavar="N|NAME,NAME", help="give 16 bits to the N activations "
        "that quantization to 8 hurts most, or to the layers named")


def add_source(add):
    """Declare a network and pictures to look at it by, for :func:`open_source`."""
    add("model", metavar="MODEL", help=f"ONNX file, float or quantized, or {bundled.NAME!r}")
    add("--images", type=Path, metavar="PICTURES",
        help="folder of pictures, or .npz (default: the bundled network's)")
    add("--calib", type=Path, metavar="PICTURES",
        help="others to quantize a float network by (default: those of --images)")
    add_options(add)


def open_source(args):
    """The integer graph and the pictures that the options say.

    Raises
    ------
    UserError
        If there is no such model, or there are no pictures.
    """
    model_path(args.model)
    if args.images is None and args.calib is None and args.model != bundled.NAME:
        raise UserError("Pictures are needed, to see where the zeros are; give them with --images")
    network, *_ = opened(args.model, args.calib or args.images, preprocessing_of(args), **quantization_of(args))
    return network, open_images(args, network)[0]


def _layers(text):
    if text.strip().lstrip("+-").isdigit():
        return cli.positive_int(text)
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError(
            f"must be a number, or names with commas between, not {text!r}")
    return names


def _numbers(text):
    try:
        return tuple(_number(part) for part in text.split(","))
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(
            f"must be numbers with commas between, not {text!r}") from None


def _number(text):
    over, slash, under = text.partition("/")
    return float(over) / float(under) if slash else float(over)


def preprocessing_of(args):
    """The Preprocessing that the options say, None if there are none of them."""
    given = {name: getattr(args, name) for name in ("mean", "scale", "order")
             if getattr(args, name) is not None}
    return Preprocessing(**given) if given else None


def quantization_of(args):
    """Keywords of :func:`cores.quantization.quantize.quantize` that the options say."""
    return {keyword: getattr(args, name) for keyword, name in _QUANTIZATION.items()
            if getattr(args, name) is not None}


def input_shape(model):
    """Height, width and channels of the pictures that a model reads."""
    return graph_input(model)[1].shape


def open_onnx(path, calibration, preprocessing, **quantization):
    """Read a network, and quantize it if it is not.

    Parameters
    ----------
    path : str or Path
    calibration : str, Path or None
        Pictures to calibrate by, see :func:`sim.pictures.load`.
    preprocessing : Preprocessing or None
    quantization
        Keywords of :func:`cores.quantization.quantize.quantize`.

    Returns
    -------
    (quantized, original) : onnx.ModelProto, onnx.ModelProto or None
        The original is the cleaned float network, if the file has one.
    """
    path = Path(path)
    model = read(path)
    if is_quantized(model):
        if quantization:
            given = ", ".join("--" + _QUANTIZATION[key].replace("_", "-") for key in quantization)
            raise UserError(f"{path.name} is quantized already: {given} only fit a float network")
        return model, None
    if calibration is None:
        check_format(model)     # refuses it
    original = prepare(path)
    images, _, _ = pictures.load(calibration, *input_shape(original))
    return quantize(original, images, preprocessing or Preprocessing(), **quantization), original


def open_model(model, calibration=None, preprocessing=None):
    """The integer graph of a bundled name or an ONNX file, notes for the host, the preprocessing."""
    return opened(model, calibration, preprocessing)[:3]


def opened(model, calibration=None, preprocessing=None, **quantization):
    """The same, and the quantized and the float model: None if the file has none."""
    path = model_path(model)
    quantized, original = open_onnx(path, calibration, preprocessing, **quantization)
    network, notes = load(quantized, name=path.stem)
    if preprocessing is None and original is not None:
        preprocessing = Preprocessing()     # as it was quantized
    if preprocessing is not None:
        network = attach(network, preprocessing)
    return network, notes, preprocessing, quantized, original


def model_path(model):
    """The file of a bundled name or a path; raise UserError if there is none."""
    path = bundled.MODEL if model == bundled.NAME else Path(model)
    if not path.exists():
        raise UserError(f"Model {model!r} is neither a file nor the bundled network {bundled.NAME!r}")
    return path


def open_images(args, network):
    """Pictures of the network's input size, and their labels or None."""
    source = network.tensors[network.input]
    if args.images or args.calib:
        images, labels, _ = pictures.load(args.images or args.calib, *source.shape)
        return images, labels
    if args.model == bundled.NAME:
        data = bundled.load_images()
        return data["images"], data["labels"]
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (NOISE, *source.shape), np.uint8), None
