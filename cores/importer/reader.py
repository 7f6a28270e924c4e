"""Reading an ONNX file, and what is refused before its nodes are looked at."""
import numpy as np
import onnx
import onnx.version_converter

from cores.errors import UserError
from cores.importer.layout import FIRST, LAST
from cores.importer.values import Input

__all__ = ["HOST_KEY", "OPSET", "QONNX", "array", "read", "checked", "converted", "is_quantized",
           "check_format", "constants", "graph_input", "numpy_type"]

OPSET, OLDEST = 17, 7           # what models are converted to, and the first that can be
HOST_KEY = "skipstone.host"     # metadata of a model: what was cut off its end
QONNX = ("qonnx.custom_op.general", "onnx.brevitas")       # domains of its operators
_REFUSED = {
    "BipolarQuant": "values of -1 and 1 are not supported; train with a Quant of 2 bits or more",
    "Trunc": "truncation is not supported; train with a Quant, which rounds, in its place",
    "FloatQuant": "minifloats are not supported; train with a Quant to integers",
}
_QUANTIZE = "quantize it with onnxruntime's quantize_static, quant_format=QuantFormat.QDQ"


def read(path):
    """The file as an ``onnx.ModelProto``, valid and of opset 13 or newer."""
    if not path.exists():
        raise UserError(f"{path}: no such file; give the path of an ONNX model")
    try:
        model = onnx.load(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except onnx.checker.ValidationError as error:
        raise UserError(f"{path}: a file that holds its weights cannot be read; put it where the model says, as it was exported "
                        f"({_first_line(error)})") from error
    except Exception as error:      # protobuf's decoding errors have no public base
        raise UserError(f"{path}: not an ONNX file, or a damaged one; export it again "
                        f"({_first_line(error)})") from error
    return converted(checked(model, path))


def checked(model, path):
    """``model``, stripped of what its nodes don't need, if it is valid ONNX."""
    if not model.graph.node:
        raise UserError(f"{path}: holds no ONNX graph with nodes; export the model again")
    if not model.graph.output:
        raise UserError(f"{path}: has no output; mark the last layer's")
    _check_order(model.graph, path)
    model.ir_version = max(model.ir_version, 4)     # before, constants had to be inputs too
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


def _check_order(graph, path):
    """Refuse a node that reads what is not made before it."""
    known = {"", *(value.name for value in (*graph.input, *graph.initializer)),
             *(tensor.values.name for tensor in graph.sparse_initializer)}
    for node in graph.node:
        for name in node.input:
            if name not in known:
                later = any(name in other.output for other in graph.node)
                why = "is made only after it: a cycle, or nodes out of order" if later else \
                    "nothing makes"
                raise UserError(f"{path}: {node.op_type} node {node.name or node.output[0]!r} reads "
                                f"{name!r}, which {why}; export the model again")
        known.update(node.output)


def _first_line(error):
    return (str(error).splitlines() or [type(error).__name__])[0]


def converted(model, oldest=13):
    """``model``, at opset 17 if it is older than ``oldest``.

    Quantization per channel came with opset 13.
    """
    version = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
    newest = onnx.defs.onnx_opset_version()
    if version > newest:
        raise UserError(f"Model has opset {version}, at most {newest} is known; export it with opset "
                        f"{OPSET}")
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
    return any(node.op_type in ("QuantizeLinear", "DequantizeLinear", "QGemm")
               or node.op_type.startswith(("QLinear", "DynamicQuantize"))
               or node.op_type.endswith("Integer") or node.domain in QONNX
               for node in model.graph.node)


def check_format(model):
    """Refuse ways of quantization that the importer does not read."""
    if not is_quantized(model):
        raise UserError("Model is not quantized, and quantization needs pictures to calibrate by; "
                        f"give them with --calib, or {_QUANTIZE}")
    for node in model.graph.node:
        where = f"{node.op_type} node {node.name or node.output[0]!r}: "
        if node.op_type.endswith("Integer") or node.op_type.startswith("DynamicQuantize"):
            raise UserError(f"{where}quantization at run time is not supported; {_QUANTIZE}")
        if node.domain in QONNX and node.op_type in _REFUSED:
            raise UserError(f"{where}{_REFUSED[node.op_type]}")


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
    if len(sizes) not in FIRST:
        raise UserError(f"{where}must be (N, C, H, W), (N, C, L) or (N, K), not {shown}; only "
                        "convolutions of one or two dimensions are supported")
    if min(sizes[1:]) < 1:
        raise UserError(f"{where}has dynamic sizes {shown}; fix all but the batch with "
                        "onnxruntime.tools.make_dynamic_shape_fixed")
    if sizes[0] not in (0, 1):
        raise UserError(f"{where}has a batch of {sizes[0]}; export the model with a batch of 1")
    layout = (LAST if _channels_last(model, name, sizes) else FIRST)[len(sizes)]
    shape = tuple(dict(zip(layout, sizes)).get(axis, 1) for axis in "HWC")
    dtype = numpy_type(kind.elem_type)
    if dtype is None:
        raise UserError(f"{where}has no type that ONNX knows ({kind.elem_type}); export it again")
    return name, Input(name, shape, layout, dtype)


def _channels_last(model, name, sizes):
    """Whether the first that a network does to its input is to move the last dimension forward."""
    readers = [node for node in model.graph.node if name in node.input[:1]]
    if len(sizes) == 2 or not readers:
        return False
    for node in readers:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear", "Quant",
                            "IntQuant", "Identity", "Unsqueeze"):
            if not _channels_last(model, node.output[0], sizes):
                return False
        elif node.op_type == "Transpose":
            order = [a for attribute in node.attribute for a in attribute.ints]
            if len(order) < 3 or order[1] != len(order) - 1:
                return False
        elif node.op_type != "Reshape" or sizes[-1] != 1 or max(sizes[1:2]) == 1:
            return False        # one channel is moved by a Reshape just as well
    return True


def numpy_type(code):
    """NumPy's type for one of ONNX's type codes, None if there is none."""
    try:
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(code))
    except (KeyError, ValueError):
        return None
