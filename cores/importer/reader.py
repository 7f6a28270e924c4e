"""Reading an ONNX file, and what is refused before its nodes are looked at."""
import numpy as np
import onnx
import onnx.version_converter

from cores.errors import UserError
from cores.importer.values import Input

__all__ = ["HOST_KEY", "OPSET", "array", "read", "checked", "converted", "is_quantized",
           "check_format", "constants", "graph_input", "numpy_type"]

OPSET, OLDEST = 17, 7           # what models are converted to, and the first that can be
HOST_KEY = "skipstone.host"     # metadata of a model: what was cut off its end
_QUANTIZE = "quantize it with onnxruntime's quantize_static, quant_format=QuantFormat.QDQ"


def read(path):
    """The file as an ``onnx.ModelProto``, valid and of opset 13 or newer."""
    if not path.exists():
        raise UserError(f"{path}: no such file; give the path of an ONNX model")
    try:
        model = onnx.load(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:      # protobuf's decoding errors have no public base
        raise UserError(f"{path}: not an ONNX file, or a damaged one; export it again "
                        f"({_first_line(error)})") from error
    return converted(checked(model, path))


def checked(model, path):
    """``model``, stripped of what its nodes don't need, if it is valid ONNX."""
    if not model.graph.node:
        raise UserError(f"{path}: holds no ONNX graph with nodes; export the model again")
    # The checker wants shapes that onnxruntime can do without, and so can we.
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.shape.SetInParent()
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        raise UserError(f"{path}: not valid ONNX; export it again "
                        f"({_first_line(error)})") from error
    return model


def _first_line(error):
    return (str(error).splitlines() or [type(error).__name__])[0]


def converted(model, oldest=13):
    """``model``, at opset 17 if it is older than ``oldest``.

    Quantization per channel came with opset 13.
    """
    version = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
    if version >= oldest:
        return model
    if version < OLDEST:
        raise UserError(f"Model has opset {version}, at least {OLDEST} is needed; export it again")
    try:
        return onnx.version_converter.convert_version(model, OPSET)
    except Exception as error:      # the converter's own have no public base
        raise UserError(f"Model has opset {version}, and cannot be converted to {OPSET}; export it "
                        f"with opset {OPSET} ({_first_line(error)})") from error


def is_quantized(model):
    """Whether the file says how its values are rounded to integers."""
    return any(node.op_type in ("QuantizeLinear", "DequantizeLinear")
               or node.op_type.startswith("QLinear") or node.op_type.endswith("Integer")
               or node.domain.startswith("qonnx") for node in model.graph.node)


def check_format(model):
    """Refuse ways of quantization that the importer does not read."""
    operators = {node.op_type for node in model.graph.node}
    integer = sorted(o for o in operators if o.startswith("QLinear") or o.endswith("Integer"))
    if integer:
        raise UserError(f"Model has the operator {integer[0]}, which is not supported yet; "
                        f"{_QUANTIZE}")
    if not is_quantized(model):
        raise UserError("Model is not quantized, and quantization needs pictures to calibrate by; "
                        f"give them with --calib, or {_QUANTIZE}")


def constants(model):
    """{name: array} of the initializers."""
    if model.graph.sparse_initializer:
        raise UserError("Model has sparse initializers, which are not supported; store them dense")
    return {t.name: array(t) for t in model.graph.initializer}


def array(tensor):
    """An ``onnx.TensorProto`` as an array."""
    try:
        return onnx.numpy_helper.to_array(tensor)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"Constant {tensor.name!r} is damaged; export the model again "
                        f"({_first_line(error)})") from error


def graph_input(model):
    """The name of the graph's only input and its value, an Input."""
    stored = {t.name for t in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in stored]
    if len(inputs) != 1:
        names = ", ".join(repr(i.name) for i in inputs) or "none"
        raise UserError(f"Model must have one input, not {len(inputs)} ({names}); cut it so")
    name, kind = inputs[0].name, inputs[0].type.tensor_type
    where = f"Input {name!r} "
    shown = [d.dim_param or d.dim_value or "?" for d in kind.shape.dim]
    sizes = [d.dim_value for d in kind.shape.dim]
    if len(sizes) not in (2, 4):
        raise UserError(f"{where}must be (N, C, H, W) or (N, K), not {shown}; only "
                        "two-dimensional convolutions are supported")
    if min(sizes[1:]) < 1:
        raise UserError(f"{where}has dynamic sizes {shown}; fix all but the batch with "
                        "onnxruntime.tools.make_dynamic_shape_fixed")
    if sizes[0] not in (0, 1):
        raise UserError(f"{where}has a batch of {sizes[0]}; export the model with a batch of 1")
    shape = (1, 1, sizes[1]) if len(sizes) == 2 else (*sizes[2:], sizes[1])
    dtype = numpy_type(kind.elem_type)
    if dtype is None:
        raise UserError(f"{where}has no type that ONNX knows ({kind.elem_type}); export it again")
    return name, Input(name, shape, len(sizes) == 2, dtype)


def numpy_type(code):
    """NumPy's type for one of ONNX's type codes, None if there is none."""
    try:
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(code))
    except (KeyError, ValueError):
        return None
