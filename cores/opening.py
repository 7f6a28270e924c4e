"""Opening an ONNX file, float or quantized, as the command lines give it."""
import argparse
from pathlib import Path

from cores import cli
from cores.errors import UserError
from cores.importer.reader import check_format, graph_input, is_quantized, read
from cores.preprocessing import Preprocessing
from cores.quantization.prepare import prepare
from cores.quantization.quantize import METHODS, quantize
from sim import pictures

__all__ = ["add_options", "input_shape", "open_onnx", "preprocessing_of", "quantization_of"]

# Attributes of parsed arguments, by the keywords of cores.quantization.quantize.quantize.
_QUANTIZATION = {"bits": "bits", "method": "calib_method", "equalised": "equalise",
                 "bits16": "bits16"}


def add_options(add):
    """Declare how pixels and float networks are treated; ``add`` is a parser's add_argument."""
    add("--mean", type=_numbers, metavar="R,G,B",
        help="what is subtracted from the pixels, 0 to 255, of each channel (or one number for "
             "all), in the order red, green, blue whatever --order is (default 0)")
    add("--scale", type=_numbers, metavar="R,G,B",
        help="what they are multiplied by after that; 1/255 is understood (default 1)")
    add("--order", choices=("rgb", "bgr"), help="order of the channels that the network was "
        "trained on (default rgb)")
    add("--bits", type=int, choices=(8, 16), help="width of the activations that a float network "
        "is quantized to; 16 take one DSP block for each multiplier (default 8)")
    add("--calib-method", choices=METHODS, help="how ranges of activations follow from the "
        "pictures: all that they reach, all but the outermost values, or least entropy; those "
        "other than minmax are slower (default minmax)")
    add("--equalise", action="store_true", default=None, help="bring the channels of activations "
        "to similar ranges before, by scaling weights; see docs/quantization.md")
    add("--bits16", type=_layers, metavar="N|NAME,NAME", help="give 16 bits to the N activations "
        "that quantization to 8 hurts most, or to the layers named")


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
