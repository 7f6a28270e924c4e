"""onnxruntime, looked into: every tensor of the integer graph as it computes it."""
import numpy as np
import onnx

from cores.errors import UserError
from cores.importer.expand import expand
from cores.importer.input_first import input_first
from cores.importer.layout import to_file, to_map
from cores.importer.quant import as_qdq
from cores.quantization.runnable import float_averages, session, with_zero_points
from sim import reference

__all__ = ["FloatTensors", "Session", "StoredTensors"]


class Session:
    """onnxruntime on ``model`` with ``names`` for outputs, at its default optimisation.

    Their types are those that they have in ``typed``.
    """

    def __init__(self, model, names, typed):
        exposed = with_zero_points(model)
        kinds = {output.name: output for output in model.graph.output}
        inferred = onnx.shape_inference.infer_shapes(typed)
        kinds.update({value.name: value for value in inferred.graph.value_info})
        # Inference knows no QuantizeLinear of com.microsoft.
        types = {tensor.name: tensor.data_type for tensor in typed.graph.initializer}
        kinds.update({node.output[0]: onnx.helper.make_tensor_value_info(
            node.output[0], types[node.input[2]], None) for node in typed.graph.node
            if node.op_type == "QuantizeLinear" and types.keys() & node.input[2:3]})
        del exposed.graph.output[:]
        unknown = onnx.TensorProto.FLOAT, None
        exposed.graph.output.extend(
            kinds.get(name) or onnx.helper.make_tensor_value_info(name, *unknown)
            for name in names)
        exposed.graph.output.extend(float_averages(model, names))
        self._run = session(exposed.SerializeToString()).run
        self.names = list(names)
        stored = {tensor.name for tensor in model.graph.initializer}
        self._input, = (i for i in model.graph.input if i.name not in stored)

    def run(self, x):
        """{name: array} for an input, shaped and typed as the file wants it."""
        if not self.names:      # onnxruntime refuses to compute nothing
            return {}
        kind = self._input.type.tensor_type
        shape = [d.dim_value for d in kind.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        try:
            found = self._run(self.names, {self._input.name: x.reshape(1, *shape[1:]).astype(dtype)})
        except Exception as error:          # onnxruntime's own have no public base
            raise UserError(f"onnxruntime fails on the model; check it ({_first_line(error)})") from error
        return dict(zip(self.names, found))


def _first_line(error):
    return (str(error).splitlines() or [type(error).__name__])[0]


class StoredTensors:
    """Stored values of each tensor, from a quantized file.

    Parameters
    ----------
    model : onnx.ModelProto
    network : Graph
        What the importer made of ``model``.
    layouts : dict
        See :func:`cores.importer.layouts`.
    """

    def __init__(self, model, network, layouts):
        self._network, self._layouts = network, layouts
        self._tensors = {n: t for n, t in network.tensors.items() if n in layouts}
        model, meant = as_qdq(input_first(model, network.input))
        expanded = expand(model)    # names the reals; it is the file itself that runs
        self._integers = _integers_of(expanded, network.tensors, meant)
        self._source = network.tensors[network.input]
        kind = next(i for i in model.graph.input if i.name == network.input).type.tensor_type
        self._takes_integers = kind.elem_type != onnx.TensorProto.FLOAT
        # What neither the file makes nor its integers tell is a step of ours.
        made = {name for node in model.graph.node for name in node.output} | {network.input}
        self._tensors = {name: tensor for name, tensor in self._tensors.items()
                         if self._integers.get(name, name) in made}
        exposed = [self._integers.get(name, name) for name in self._tensors
                   if not (self._takes_integers and name == network.input)]
        self._session = Session(model, list(dict.fromkeys(exposed)), expanded)

    def run(self, stored, real):
        """Stored values {tensor's name: int32 array (height, width, channels)} for one picture.

        Parameters
        ----------
        stored : integer array (height, width, channels)
            The input as stored values, for a file whose input is integers.
        real : float32 array (channels, height, width)
            The same as a file with a float input reads it.
        """
        given = (stored + self._source.zero_point if self._takes_integers
                 else real.transpose(1, 2, 0))
        found = self._session.run(to_file(given, self._layouts[self._source.name]))
        values = {self._source.name: stored.astype(np.int32)} if self._takes_integers else {}
        for name, tensor in self._tensors.items():
            if name not in values:
                values[name] = to_map(self._stored(found, tensor), self._layouts[name],
                                      tensor.shape)
        for node in self._network.nodes:
            if node.output not in values:       # no value of the file: a step of ours
                values[node.output] = reference.run_node(node, *(values[n] for n in node.inputs))
        return values

    def _stored(self, found, tensor):
        values = found[self._integers.get(tensor.name, tensor.name)]
        if values.dtype.kind in "iu":
            return values.astype(np.int32) - tensor.zero_point
        # A maximum that nothing quantizes again: its reals are those of stored values.
        return np.rint(values / np.float32(tensor.scale)).astype(np.int32)


def _integers_of(model, tensors, meant):
    """{tensor's name: that of its integers}, where a QuantizeLinear with its scale makes them.

    ``meant`` is that of :func:`cores.importer.quant.as_qdq`.
    """
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    result = {}
    for node in model.graph.node:
        if node.op_type != "QuantizeLinear":
            continue
        real, integers = (meant.get(name, name) for name in (node.input[0], node.output[0]))
        if real in tensors:
            tensor, scale = tensors[real], constants.get(node.input[1])
            zero = constants.get(node.input[2], 0) if len(node.input) > 2 else 0
            same = scale is None or (float(scale), int(zero)) == (tensor.scale, tensor.zero_point)
            # A tensor named after the integers was quantized from reals that have others too.
            if same and integers not in tensors:
                result.setdefault(real, integers)
    return result


class FloatTensors:
    """Reals of the tensors that a float network has in common with its integer graph."""

    def __init__(self, model, network, layouts):
        made = {name for node in model.graph.node for name in node.output}
        self._tensors = {name: t for name, t in network.tensors.items() if name in made & layouts.keys()}
        self._layouts, self._source = layouts, network.input
        self._session = Session(model, list(self._tensors), model)

    def run(self, real):
        """{tensor's name: float32 array (height, width, channels)} for one picture."""
        found = self._session.run(to_file(real.transpose(1, 2, 0), self._layouts[self._source]))
        return {name: to_map(found[name], self._layouts[name], tensor.shape)
                for name, tensor in self._tensors.items()}
