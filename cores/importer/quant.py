"""Quant of QONNX: rounding to integers of any width, and back, in one operator."""
import numpy as np
import onnx

from cores.importer.constant import constant
from cores.importer.qdq import rounded
from cores.importer.reader import QONNX, constants
from cores.importer.registry import Node, State, operator
from cores.importer.values import Host, Real, Weights

__all__ = ["as_qdq"]

_MICROSOFT = "com.microsoft"
_WIDEST = 32        # of biases; what is wider than 16 bits elsewhere is refused where it is read


@operator("Quant", "IntQuant")
def quant(node, state):
    """Of QONNX: 2 to 16 bits (biases 32), rounding_mode ROUND; activations per tensor."""
    value = node.value(0)
    scale, zero, low, high = _parameters(node)
    if isinstance(value, Host):
        return value
    if isinstance(value, np.ndarray):
        return _constant(node, value, scale, zero, low, high)
    if scale.size != 1 or zero.size != 1:
        node.refuse("an activation's scale and zero point must be one number each; quantize "
                    "activations per tensor")
    if high - low >= 1 << 16:
        node.refuse("an activation must have at most 16 bits; quantize it to fewer")
    made = rounded(node, state, scale.item(), zero.item(), low, high)
    return Real(made.tensor, made.layout)


def _parameters(node):
    """Scale (float64), zero point (int64), and the range of the integers, checked."""
    scale, zero, bits = (node.constant(index) for index in (1, 2, 3))
    signed, narrow = node.attribute("signed"), node.attribute("narrow")
    mode = node.attribute("rounding_mode", "ROUND").upper()
    if any(v is None for v in (scale, zero, bits, signed, narrow)):
        node.refuse("scale, zero point, bit width, signed and narrow must be given; check the model")
    if mode not in ("ROUND", "HALF_EVEN"):
        node.refuse(f"rounding_mode {mode!r} is not supported; only 'ROUND', to the nearest")
    if bits.size != 1 or not 2 <= bits.item() <= _WIDEST or bits.item() % 1:
        node.refuse(f"bit width must be an integer from 2 to {_WIDEST}, not {bits.tolist()}")
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        node.refuse("scale must be positive and finite; check the training")
    if not np.isfinite(zero).all() or (zero % 1).any():
        node.refuse(f"zero point must be an integer, not {zero.tolist()}")
    values = 1 << int(bits.item())
    low = narrow - values // 2 if signed else 0
    high = values // 2 - 1 if signed else values - 1 - narrow
    if ((zero < low) | (zero > high)).any():
        node.refuse(f"zero point must be from {low} to {high}, not {zero.tolist()}")
    return scale.astype(np.float64), zero.astype(np.int64), low, high


def _constant(node, value, scale, zero, low, high):
    """Weights or a bias; the scale's shape says along which axis they have several."""
    if not np.isfinite(value).all():
        node.refuse("weights must be finite; check the training")
    scale, zero = np.broadcast_arrays(scale, zero)
    shape = (1,) * (value.ndim - scale.ndim) + scale.shape
    axes = [axis for axis, size in enumerate(shape) if size != 1]
    if len(axes) > 1 or len(shape) != value.ndim or any(
            shape[axis] != value.shape[axis] for axis in axes):
        node.refuse(f"scale of shape {scale.shape} does not fit {value.shape}; quantize per tensor "
                    "or per output channel")
    scale, zero = scale.reshape(shape), zero.reshape(shape)
    # In float32 and in this order, as the operator is defined.
    with np.errstate(over="ignore"):
        quotient = value.astype(np.float32) / scale.astype(np.float32) + zero.astype(np.float32)
    integers = np.rint(quotient.clip(low, high)).astype(np.int64) - zero
    return Weights(integers, scale.reshape(-1 if axes else ()), axes[0] if axes else 0)


def as_qdq(model):
    """``model`` with each Quant as QuantizeLinear and DequantizeLinear, so that others can run it.

    Returns
    -------
    (model, meant) : onnx.ModelProto, dict
        What a QuantizeLinear stands for where values are clipped to fewer bits: names of the reals
        before, by those that it reads, and of the integers after, by those that it makes. The model
        is the same if it has no Quant.
    """
    if not any(node.domain in QONNX for node in model.graph.node):
        return model, {}
    result, meant = onnx.ModelProto(), {}
    result.CopyFrom(model)
    graph, state = result.graph, State(constants(model))
    del graph.node[:]
    for index, node in enumerate(model.graph.node):
        if node.op_type == "Constant":
            state.values[node.output[0]] = constant(Node(node, index, state), state)
        if node.domain not in QONNX:
            graph.node.append(node)
            continue
        rewritten = _Rewritten(graph, Node(node, index, state))
        if node.input[0] in state.values:
            rewritten.constant(quant(rewritten.node, state))
        else:
            meant.update(rewritten.activation(*_parameters(rewritten.node)))
    if not any(o.domain == _MICROSOFT for o in result.opset_import):
        result.opset_import.append(onnx.helper.make_opsetid(_MICROSOFT, 1))
    return result, meant


class _Rewritten:
    """Appends to a graph what stands for one Quant."""

    def __init__(self, graph, node):
        self._graph, self.node, self._output = graph, node, node.proto.output[0]

    def _named(self, value, what):
        name = f"{self._output}:{what}"
        self._graph.initializer.append(onnx.numpy_helper.from_array(value, name))
        return name

    def _append(self, op, inputs, output, dtype, **attributes):
        # 16 bits came to ONNX with opset 21, and to onnxruntime before.
        domain = _MICROSOFT if np.dtype(dtype).itemsize == 2 and "Linear" in op else ""
        self._graph.node.append(onnx.helper.make_node(
            op, inputs, [output], f"{self.node.name}:{output}", domain=domain, **attributes))
        return output

    def constant(self, weights):
        dtype = next(t for t in ("int8", "int16", "int32", "int64") if _fits(
            t, weights.values.min(), weights.values.max()))
        # onnxruntime takes a zero point that is left out for one number, whatever the scale's shape.
        inputs = (self._named(weights.values.astype(dtype), "integers"),
                  self._named(weights.scale.astype(np.float32), "scale"),
                  self._named(np.zeros(np.shape(weights.scale), dtype), "zero"))
        self._append("DequantizeLinear", inputs, self._output, dtype, axis=weights.axis)

    def activation(self, scale, zero, low, high):
        """Returns what the QuantizeLinear's names stand for."""
        dtype = next(t for t in ("uint8", "int8", "uint16", "int16") if _fits(t, low, high))
        whole = np.iinfo(dtype).max - np.iinfo(dtype).min == high - low
        pair = (self._named(np.float32(scale.item()), "scale"),
                self._named(zero.astype(dtype).reshape(()), "zero"))
        source, integers, meant = self.node.proto.input[0], f"{self._output}:integers", {}
        if not whole and high - low > 255:      # onnxruntime clips no integers of 16 bits
            bounds = [self._named(np.float32((b - zero.item()) * scale.item()), what)
                      for b, what in ((low, "low"), (high, "high"))]
            clipped = self._append("Clip", [source, *bounds], f"{self._output}:clipped", dtype)
            meant[clipped], source = source, clipped
        self._append("QuantizeLinear", [source, *pair], integers, dtype)
        if not whole and high - low <= 255:     # here, it still fuses the layer before
            bounds = [self._named(np.array(b, dtype), what)
                      for b, what in ((low, "low"), (high, "high"))]
            clipped = self._append("Clip", [integers, *bounds], f"{integers}:clipped", dtype)
            meant[integers], integers = clipped, clipped
        self._append("DequantizeLinear", [integers, *pair], self._output, dtype)
        return meant


def _fits(dtype, low, high):
    return np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max
