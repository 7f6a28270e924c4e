"""Quantized files as users bring them, made of a float network by onnxruntime's quantizer alone.

None of what ``cores.quantization`` does about it: no clean-up, no fusion, no bias correction. The
file keeps the names, the opset and the tail that the exporter gave it.
"""
import logging
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime import quantization as ort

from cores import cli
from cores.importer.reader import graph_input, read
from cores.opening import add_preprocessing, preprocessing_of
from cores.preprocessing import Preprocessing
from cores.quantization.channels import file_input
from sim import pictures

__all__ = ["FORMS", "as_qonnx", "quantized_by_onnxruntime"]

FORMS = ("qdq", "qlinear", "qonnx")
EXAMPLE = "python tests/user_files.py net.onnx --images PICTURES --form qlinear --save net_q.onnx"


class _Reader(ort.CalibrationDataReader):
    def __init__(self, model, images, preprocessing):
        self._frames = ({graph_input(model)[0]: file_input(model, image, preprocessing)}
                        for image in images)

    def get_next(self):
        return next(self._frames, None)


def quantized_by_onnxruntime(model, images, preprocessing, form="qdq", *, per_channel=True,
                             weights="int8", activations="uint8", **extra):
    """``model`` as onnxruntime's static quantizer makes it.

    Parameters
    ----------
    model : onnx.ModelProto
        A float network; not changed.
    images : uint8 array (N, height, width, channels)
    preprocessing : Preprocessing
    form : one of FORMS
        QONNX is what the quantizer made as QDQ, see :func:`as_qonnx`.
    per_channel : bool
        One scale for each filter; the quantizer's own default is one for all.
    weights, activations : "int8" or "uint8"; activations "int16" or "uint16" too
    extra
        The quantizer's ``extra_options``.
    """
    types = {"int8": ort.QuantType.QInt8, "uint8": ort.QuantType.QUInt8,
             "int16": ort.QuantType.QInt16, "uint16": ort.QuantType.QUInt16}
    quant_format = ort.QuantFormat.QOperator if form == "qlinear" else ort.QuantFormat.QDQ
    logger = logging.getLogger()
    with tempfile.TemporaryDirectory(prefix="skipstone-") as folder:
        given, made = Path(folder, "float.onnx"), Path(folder, "quantized.onnx")
        onnx.save(model, given)
        level = logger.level
        logger.setLevel(logging.ERROR)      # it advises to clean the network up before
        try:
            ort.quantize_static(
                given, made, _Reader(model, images, preprocessing), quant_format=quant_format,
                per_channel=per_channel, weight_type=types[weights],
                activation_type=types[activations], extra_options=extra)
        finally:
            logger.setLevel(level)
        result = onnx.load(made)
    return as_qonnx(result) if form == "qonnx" else result


def as_qonnx(model):
    """A QDQ model in QONNX's form, its constants as real values."""
    arrays = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    result, integers, made = [], {}, {}
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            integers[node.output[0]] = node.input[0]
        elif node.op_type != "DequantizeLinear":
            result.append(node)
        else:
            source, scale, zero = node.input
            values, dtype = arrays.get(source), arrays[zero].dtype
            bits, offset = np.iinfo(dtype).bits, arrays[zero].astype(np.float32)
            scales, rank = arrays[scale], 0 if values is None else values.ndim
            if scales.size > 1:
                scales, offset = (a.reshape(-1, *[1] * (rank - 1)) for a in (scales, offset))
            name = source
            if values is not None:
                name = f"{source}_reals"
                made[name] = ((values - offset) * scales).astype(np.float32)
            inputs = [f"{node.output[0]}_{what}" for what in ("scale", "zero", "bits")]
            made.update(zip(inputs, (scales, offset, np.float32(bits))))
            result.append(helper.make_node(
                "Quant", [integers.get(name, name), *inputs], node.output, node.name,
                domain="qonnx.custom_op.general", rounding_mode="ROUND", narrow=0,
                signed=int(dtype.kind == "i")))
    converted = onnx.ModelProto()
    converted.CopyFrom(model)
    for field, values in ((converted.graph.node, result), (converted.graph.initializer, [
            numpy_helper.from_array(np.asarray(a), n) for n, a in {**arrays, **made}.items()])):
        del field[:]
        field.extend(values)
    converted.opset_import.append(helper.make_opsetid("qonnx.custom_op.general", 1))
    return converted


def main():
    """Run the command line; returns the exit code."""
    parser = cli.Parser("tests.user_files", __doc__, EXAMPLE)
    parser.prog = "python tests/user_files.py"
    add = parser.add_argument
    add("model", type=Path, metavar="FILE.onnx", help="a float network")
    add("--images", type=Path, required=True, metavar="PICTURES", help="folder of pictures, or .npz")
    add("--frames", type=cli.positive_int, metavar="N", help="at most so many (default all)")
    add("--form", choices=FORMS, default="qdq", help="form of the file (default qdq)")
    add("--per-tensor", action="store_true", help="one scale for all filters of a layer, as is the "
        "quantizer's own default")
    add("--weights", choices=("int8", "uint8"), default="int8", help="(default int8)")
    add("--activations", choices=("int8", "uint8", "int16", "uint16"), default="uint8", help="(default uint8)")
    add("--save", type=Path, required=True, metavar="FILE.onnx", help="where to write it")
    add_preprocessing(add)
    return cli.guarded(lambda: run(parser.parse_args()), pictures.PicturesError)


def run(args):
    """Quantize and write one file."""
    cli.check_writable(args.save)
    read(args.model)        # refuses what is no valid file; the file itself keeps its opset
    model = onnx.load(args.model)
    images, _, _ = pictures.load(args.images, *graph_input(model)[1].shape)
    onnx.save(quantized_by_onnxruntime(
        model, images[:args.frames], preprocessing_of(args) or Preprocessing(), args.form,
        per_channel=not args.per_tensor, weights=args.weights, activations=args.activations), args.save)


if __name__ == "__main__":
    sys.exit(main())
