"""Quantization of float networks, by onnxruntime's static quantizer."""
import contextlib
import io
import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx

from cores.errors import UserError
from cores.importer.reader import array, is_quantized
from cores.quantization.bias_correction import correct_biases
from cores.quantization.channels import file_input
from cores.quantization.equalise import equalise
from cores.quantization.fusion import POINTWISE, fuse
from cores.quantization.prepare import prepare
from cores.quantization.second_opinion import Session
from cores.quantization.sensitivity import most_harmful, named
from cores.quantization.tie_concats import tie_concats

__all__ = ["METHODS", "quantize"]

# Names of onnxruntime's methods to choose a range by what the pictures reach.
METHODS = {"minmax": "MinMax", "percentile": "Percentile", "entropy": "Entropy"}

_SUFFIX = "_QuantizeLinear_Input"       # of what onnxruntime puts before an output's QuantizeLinear


def quantize(model, images, preprocessing, *, bits=8, method="minmax", equalised=False, bits16=(),
             bias_correction=True):
    """Quantize a float network: unsigned activations per tensor, 8-bit weights per channel.

    Parameters
    ----------
    model : str, Path or onnx.ModelProto
        A file, or what :func:`cores.quantization.prepare.prepare` made of it.
    images : uint8 array (N, height, width, channels)
        Raw pictures to calibrate by.
    preprocessing : Preprocessing
    bits : 8 or 16
        Width of the activations.
    method : one of METHODS
        How the range of an activation follows from what the pictures reach.
    equalised : bool
        Whether to scale channels first, see :func:`cores.quantization.equalise.equalise`.
    bits16 : int or sequence of str
        Activations that have 16 bits though the others have 8: so many, those that disturb the
        outputs most, or the named ones (or those of the named nodes).
    bias_correction : bool
        See :func:`cores.quantization.bias_correction.correct_biases`.

    Returns
    -------
    onnx.ModelProto
        With QuantizeLinear and DequantizeLinear around every layer (QDQ).

    Raises
    ------
    UserError
        If the file cannot be read, holds what is not supported, or cannot be quantized.
    """
    if not isinstance(model, onnx.ModelProto):
        model = prepare(model)
    model = _with_own_ranges(model)
    if bits not in (8, 16):
        raise UserError(f"Activations must have 8 or 16 bits, not {bits!r}")
    if method not in METHODS:
        raise UserError(f"Calibration method must be one of {', '.join(METHODS)}, not {method!r}")
    if bits16 and bits == 16:
        raise UserError("All activations have 16 bits with --bits 16; leave --bits16 out")
    if equalised:
        model = equalise(model, images, preprocessing)
    result = _static(model, images, preprocessing, bits, method)
    if bits16:
        wide = (most_harmful(bits16, result, model, images, preprocessing)
                if isinstance(bits16, int) else named(bits16, result, model))
        result = _static(model, images, preprocessing, bits, method, wide)
    if bias_correction:
        correct_biases(result, model, images, preprocessing)
    return result


def _static(model, images, preprocessing, bits, method, wide=()):
    """onnxruntime's quantizer, with 16 bits for the activations in ``wide``."""
    # Late: it takes a second, and a network that is quantized already does without.
    from onnxruntime import quantization as ort

    kinds = {8: ort.QuantType.QUInt8, 16: ort.QuantType.QUInt16}
    # One picture at a time: the histograms of all activations of all pictures need gigabytes.
    # And a Slice or a Pad of the input is quantized, too.
    extra = {"CalibStridedMinMax": 1, "ForceQuantizeNoInputCheck": True,
             "TensorQuantOverrides": {name: [{"quant_type": kinds[16]}] for name in wide}}
    logger = logging.getLogger()
    with tempfile.TemporaryDirectory(prefix="skipstone-") as folder:
        given, path = Path(folder, "float.onnx"), Path(folder, "quantized.onnx")
        onnx.save(model, given)     # a model in memory would be changed
        level = logger.level
        logger.setLevel(logging.ERROR)      # it advises to do what prepare did
        try:
            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")     # of values that are not finite, told below
                ort.quantize_static(
                    given, path, _reader(ort, model, images, preprocessing),
                    quant_format=ort.QuantFormat.QDQ, per_channel=True,
                    activation_type=kinds[bits], weight_type=ort.QuantType.QInt8,
                    calibrate_method=getattr(ort.CalibrationMethod, METHODS[method]),
                    op_types_to_quantize=[*ort.registry.QLinearOpsRegistry,
                                          *ort.registry.QDQRegistry, *POINTWISE, "ReduceMean"],
                    extra_options=extra)
        except UserError:
            raise
        except Exception as error:          # onnxruntime's own have no public base
            _check_finite(model, images, preprocessing)
            lines = str(error).splitlines() or [type(error).__name__]
            raise UserError(f"Model cannot be quantized; check it with onnxruntime ({lines[0]})"
                            ) from error
        finally:
            logger.setLevel(level)
        result = onnx.load(path)
    if not all(np.isfinite(array(tensor)).all() for tensor in result.graph.initializer
               if tensor.name.endswith("_scale")):
        _check_finite(model, images, preprocessing)
    if not is_quantized(result):
        raise UserError("Model has no layer to quantize; it needs a convolution or a matrix product")
    del result.metadata_props[:]
    result.metadata_props.extend(model.metadata_props)
    _restore_names(result.graph)
    fuse(result.graph, model.graph)
    tie_concats(result.graph, model.graph)
    return result


def _check_finite(model, images, preprocessing):
    """Refuse, with its name, the first node that makes infinities or NaNs of a picture."""
    session = Session(model, [name for node in model.graph.node for name in node.output if name], model)
    for index, image in enumerate(images):
        found = session.run(file_input(model, image, preprocessing))
        for node in model.graph.node:
            if not all(np.isfinite(found[name]).all() for name in node.output if name):
                raise UserError(f"{node.op_type} node {node.name!r}: makes values that are not finite of picture "
                                f"{index}; check --mean and --scale, or clip its input before")


def _reader(ort, model, images, preprocessing):
    """What onnxruntime asks for the pictures, one after the other."""
    class Reader(ort.CalibrationDataReader):
        def __init__(self):
            self.set_range(0, len(images))

        def __len__(self):
            return len(images)

        def set_range(self, start_index, end_index):
            self._indices = iter(range(start_index, end_index))

        def get_next(self):
            index = next(self._indices, None)
            if index is None:
                return None
            return {model.graph.input[0].name: file_input(model, images[index], preprocessing)}

    return Reader()


def _restore_names(graph):
    """Give a tensor before an output's QuantizeLinear the output's own name, as others have it."""
    renamed = {}
    for output in graph.output:
        if any(output.name + _SUFFIX in node.output for node in graph.node):
            renamed[output.name] = f"{output.name}_DequantizeLinear_Output"
            renamed[output.name + _SUFFIX] = output.name
            output.name = renamed[output.name]
    for node in graph.node:
        for names in node.input, node.output:
            names[:] = [renamed.get(name, name) for name in names]


def _with_own_ranges(model):
    """The model with outputs that no Relu or Clip reads.

    onnxruntime gives what only a Relu reads the range of its result, an output of the network too.
    """
    clamped = {node.input[0] for node in model.graph.node if node.op_type in ("Relu", "Clip")}
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for output in changed.graph.output:
        if output.name in clamped:
            changed.graph.node.add(op_type="Identity", name=f"{output.name}_own", input=[output.name],
                                   output=[f"{output.name}_own"])
            output.name = f"{output.name}_own"
    return changed
