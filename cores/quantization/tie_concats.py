"""A network that onnxruntime quantized, with one scale for all that a Concat joins.

Each operand has a scale of its own then, and would have to be rescaled; one that only the Concat
reads may as well be rounded to the scale of the result from the start, which loses no accuracy
there.
"""
from onnx import numpy_helper

__all__ = ["tie_concats"]

# What has one scale before and after it.
_MOVES = ("Flatten", "GlobalMaxPool", "MaxPool", "Pad", "ReduceMax", "Reshape", "Resize", "Slice",
          "Squeeze", "Transpose", "Unsqueeze")
_CLAMPS = ("Relu", "Clip")


def tie_concats(graph, original):
    """Change a quantized ``onnx.GraphProto`` in place.

    Parameters
    ----------
    graph : onnx.GraphProto
        What onnxruntime's quantizer made of ``original``.
    original : onnx.GraphProto
        In floating point.
    """
    tied = _Tied(graph, original)
    # From the last on: a Concat that another one reads has its result's scale changed before.
    for node in list(reversed(graph.node)):
        rounding = tied.rounding(node.output[0]) if node.op_type == "Concat" else None
        if rounding is not None:
            for name in dict.fromkeys(node.input):
                tied.tie(name, node, rounding.input[1:3])


class _Tied:
    def __init__(self, graph, original):
        self._graph, self._original = graph, original
        self._outputs = {output.name for output in graph.output}
        self._makers = {name: node for node in graph.node for name in node.output}
        self._before = {name: node for node in original.node for name in node.output}
        self._types = {t.name: numpy_helper.to_array(t).dtype for t in graph.initializer
                       if not t.dims}
        self._readers = {}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)

    def rounding(self, real):
        """The one QuantizeLinear of a real value, None if it is not alone."""
        found = [n for n in self._readers.get(real, ()) if n.op_type == "QuantizeLinear"]
        return found[0] if len(found) == 1 else None

    def tie(self, name, reader, parameters):
        """Give ``name``, as far as only ``reader`` reads it, that scale and zero point.

        Returns whether it has them now.
        """
        dequantize = self._makers.get(name)
        quantize = self._makers.get(dequantize.input[0]) if dequantize is not None else None
        if quantize is None or quantize.op_type != "QuantizeLinear":
            return False
        if list(quantize.input[1:3]) == list(parameters):
            return True
        real, both = quantize.input[0], self._readers[quantize.output[0]]
        read = [n for node in both for n in self._readers.get(node.output[0], ())]
        if (any(n is not reader for n in read) or self._outputs.intersection(
                (real, *(node.output[0] for node in both)))
                or self.rounding(real) is None or real not in self._makers
                or self._types.get(parameters[1]) != self._types.get(quantize.input[2])):
            return False
        maker = self._makers[real]
        if maker.op_type == "Split" or (maker.op_type in _MOVES and not self.tie(
                maker.input[0], maker, parameters)):
            return False
        self._restore_clamps(real, maker)
        for node in (quantize, *both):
            node.input[1:3] = parameters
        return True

    def _restore_clamps(self, real, maker):
        """Put back what was left to the saturation at the scale and zero point before."""
        gone, name = [], real
        while (name in self._before and self._before[name].op_type in _CLAMPS
               and maker.op_type not in _CLAMPS):
            gone.append(self._before[name])
            name = gone[-1].input[0]
        if not gone:
            return
        maker.output[list(maker.output).index(real)] = name
        index = next(i for i, node in enumerate(self._graph.node) if node is maker)
        stored = {tensor.name for tensor in self._graph.initializer}
        for clamp in gone:      # the last first
            self._graph.node.insert(index + 1, clamp)
            self._graph.initializer.extend(
                tensor for tensor in self._original.initializer
                if tensor.name in clamp.input and tensor.name not in stored)
            stored.update(clamp.input)
        self._makers[real] = gone[0]
