"""onnxruntime, looked into: every tensor of the integer graph as it computes it."""
import numpy as np
import onnx

__all__ = ["FloatTensors", "StoredTensors"]


class _Session:
    """onnxruntime on ``model`` with ``names`` for outputs, at its default optimisation."""

    def __init__(self, model, names):
        import onnxruntime  # late: only networks that are checked need it

        exposed = onnx.ModelProto()
        exposed.CopyFrom(model)
        kinds = {output.name: output for output in model.graph.output}
        inferred = onnx.shape_inference.infer_shapes(model)
        kinds.update({value.name: value for value in inferred.graph.value_info})
        del exposed.graph.output[:]
        unknown = onnx.TensorProto.FLOAT, None
        exposed.graph.output.extend(
            kinds.get(name) or onnx.helper.make_tensor_value_info(name, *unknown)
            for name in names)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self._run = onnxruntime.InferenceSession(exposed.SerializeToString(), options,
                                                 providers=["CPUExecutionProvider"]).run
        self.names = list(names)
        stored = {tensor.name for tensor in model.graph.initializer}
        self._input, = (i for i in model.graph.input if i.name not in stored)

    def run(self, x):
        """{name: array} for an input, shaped and typed as the file wants it."""
        kind = self._input.type.tensor_type
        shape = [d.dim_value for d in kind.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        return dict(zip(self.names, self._run(
            self.names, {self._input.name: x.reshape(1, *shape[1:]).astype(dtype)})))


class StoredTensors:
    """Stored values of each tensor, from a quantized file.

    Parameters
    ----------
    model : onnx.ModelProto
    network : Graph
        What the importer made of ``model``.
    """

    def __init__(self, model, network):
        self._tensors = network.tensors
        self._integers = {node.input[0]: node.output[0] for node in model.graph.node
                          if node.op_type == "QuantizeLinear"}
        self._source = network.tensors[network.input]
        kind = next(i for i in model.graph.input if i.name == network.input).type.tensor_type
        self._takes_integers = kind.elem_type != onnx.TensorProto.FLOAT
        exposed = [self._integers.get(name, name) for name in network.tensors
                   if not (self._takes_integers and name == network.input)]
        self._session = _Session(model, list(dict.fromkeys(exposed)))

    def run(self, stored, real):
        """Stored values {tensor's name: int32 array (height, width, channels)} for one picture.

        Parameters
        ----------
        stored : integer array (height, width, channels)
            The input as stored values, for a file whose input is integers.
        real : float32 array (channels, height, width)
            The same as a file with a float input reads it.
        """
        if self._takes_integers:
            given = stored.transpose(2, 0, 1) + self._source.zero_point
        else:
            given = real
        found = self._session.run(given)
        values = {self._source.name: stored.astype(np.int32)} if self._takes_integers else {}
        for name, tensor in self._tensors.items():
            if name not in values:
                values[name] = _map(self._stored(found, tensor), tensor)
        return values

    def _stored(self, found, tensor):
        if tensor.name in self._integers:
            return found[self._integers[tensor.name]].astype(np.int32) - tensor.zero_point
        # A maximum that nothing quantizes again: its reals are those of stored values.
        return np.rint(found[tensor.name] / np.float32(tensor.scale)).astype(np.int32)


class FloatTensors:
    """Reals of the tensors that a float network has in common with its integer graph."""

    def __init__(self, model, network):
        made = {name for node in model.graph.node for name in node.output}
        self._tensors = {name: t for name, t in network.tensors.items() if name in made}
        self._session = _Session(model, list(self._tensors))

    def run(self, real):
        """{tensor's name: float32 array (height, width, channels)} for one picture."""
        found = self._session.run(real)
        return {name: _map(found[name], tensor) for name, tensor in self._tensors.items()}


def _map(array, tensor):
    """An array in the file's order as height x width x channels."""
    return array.reshape(tensor.channels, tensor.height, tensor.width).transpose(1, 2, 0)
