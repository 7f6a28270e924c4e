"""Quantization of float networks, by onnxruntime's static quantizer."""
import logging
import tempfile
from pathlib import Path

import onnx

from cores.errors import UserError
from cores.prepare import prepare

__all__ = ["quantize"]

_SUFFIX = "_QuantizeLinear_Input"       # of what onnxruntime puts before an output's QuantizeLinear


def quantize(model, images, preprocessing, *, bits=8):
    """Quantize a float network: unsigned activations per tensor, 8-bit weights per channel.

    The range of each activation is what the pictures reach.

    Parameters
    ----------
    model : str, Path or onnx.ModelProto
        A file, or what :func:`cores.prepare.prepare` made of it.
    images : uint8 array (N, height, width, channels)
        Raw pictures to calibrate by.
    preprocessing : Preprocessing
    bits : 8 or 16
        Width of the activations.

    Returns
    -------
    onnx.ModelProto
        With QuantizeLinear and DequantizeLinear around every layer (QDQ).

    Raises
    ------
    UserError
        If the file cannot be read, holds what is not supported, or cannot be quantized.
    """
    # Late: it takes a second, and a network that is quantized already does without.
    from onnxruntime import quantization as ort

    if not isinstance(model, onnx.ModelProto):
        model = prepare(model)
    kinds = {8: ort.QuantType.QUInt8, 16: ort.QuantType.QUInt16}
    if bits not in kinds:
        raise UserError(f"Activations must have 8 or 16 bits, not {bits!r}")
    source = model.graph.input[0]
    shape = tuple(d.dim_value for d in source.type.tensor_type.shape.dim)
    logger = logging.getLogger()
    with tempfile.TemporaryDirectory(prefix="skipstone-") as folder:
        given, path = Path(folder, "float.onnx"), Path(folder, "quantized.onnx")
        onnx.save(model, given)     # a model in memory would be changed
        level = logger.level
        logger.setLevel(logging.ERROR)      # it advises to do what prepare did
        try:
            ort.quantize_static(
                given, path, _reader(ort, source.name, shape, images, preprocessing),
                quant_format=ort.QuantFormat.QDQ, per_channel=True,
                activation_type=kinds[bits], weight_type=ort.QuantType.QInt8)
        except UserError:
            raise
        except Exception as error:          # onnxruntime's own have no public base
            lines = str(error).splitlines() or [type(error).__name__]
            raise UserError(f"Model cannot be quantized; check it with onnxruntime ({lines[0]})"
                            ) from error
        finally:
            logger.setLevel(level)
        result = onnx.load(path)
    del result.metadata_props[:]
    result.metadata_props.extend(model.metadata_props)
    _restore_names(result.graph)
    return result


def _reader(ort, name, shape, images, preprocessing):
    """What onnxruntime asks for the pictures, one after the other."""
    class Reader(ort.CalibrationDataReader):
        def __init__(self):
            self._index = -1

        def get_next(self):
            self._index += 1
            if self._index >= len(images):
                return None
            return {name: preprocessing.apply(images[self._index:][:1]).reshape(shape)}

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
