"""Opening an ONNX file, float or quantized, as the command lines give it."""
import argparse
from pathlib import Path

from cores.importer.reader import check_format, graph_input, is_quantized, read
from cores.prepare import prepare
from cores.preprocessing import Preprocessing
from cores.quantize import quantize
from sim import pictures

__all__ = ["add_options", "input_shape", "open_onnx", "preprocessing_of"]


def add_options(add):
    """Declare --mean, --scale and --order with ``add``, a parser's ``add_argument``."""
    add("--mean", type=_numbers, metavar="R,G,B",
        help="what is subtracted from the pixels, 0 to 255, of each channel (or one number for "
             "all), in the order red, green, blue whatever --order is (default 0)")
    add("--scale", type=_numbers, metavar="R,G,B",
        help="what they are multiplied by after that; 1/255 is understood (default 1)")
    add("--order", choices=("rgb", "bgr"), help="order of the channels that the network was "
        "trained on (default rgb)")


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


def input_shape(model):
    """Height, width and channels of the pictures that a model reads."""
    return graph_input(model)[1].shape


def open_onnx(path, calibration, preprocessing):
    """Read a network, and quantize it if it is not.

    Parameters
    ----------
    path : str or Path
    calibration : str, Path or None
        Pictures to calibrate by, see :func:`sim.pictures.load`.
    preprocessing : Preprocessing or None

    Returns
    -------
    (quantized, original) : onnx.ModelProto, onnx.ModelProto or None
        The original is the cleaned float network, if the file has one.
    """
    path = Path(path)
    model = read(path)
    if is_quantized(model):
        return model, None
    if calibration is None:
        check_format(model)     # refuses it
    original = prepare(path)
    images, _, _ = pictures.load(calibration, *input_shape(original))
    return quantize(original, images, preprocessing or Preprocessing()), original
