"""Cross-layer equalisation: channels of a float network brought to one range, output unchanged."""
import json

import numpy as np
import onnx
from onnx import numpy_helper

from cores.importer.reader import array
from cores.quantization.channels import measure_channels

__all__ = ["SCALES_KEY", "equalise", "scales_of"]

SCALES_KEY = "skipstone.equalised"      # metadata of a model: its tensors' scales
FLOOR = 1 / 16          # of the largest channel: smaller ones are treated as if they had this range
RESERVE = 2             # of a channel made larger, over what it reaches on the pictures
ROUNDS = 20
# f(a * x) is a * f(x) for a positive a, channel by channel.
_HOMOGENEOUS = ("Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool",
                "GlobalMaxPool", "Identity", "Dropout")


def equalise(model, images, preprocessing):
    """Scale the channels of convolutions' outputs, and the weights that read them by the inverse.

    Activations are quantized per tensor: channels that are small beside the others are left few
    steps. Channel c is divided by s(c) where it is made, and the weights that read it are
    multiplied by it, over Relu, pooling, residual additions and concatenations. This is
    cross-layer equalisation (Nagel et al., 2019, https://arxiv.org/abs/1906.04721, section 4.1,
    equation 11: s = sqrt(r1 * r2) / r2), but r1 and r2 are other than there, as weights have a
    scale for each filter here. r1 is twice what the channel reaches on the pictures, as a share of
    the tensor's largest, and at most 1: on other pictures it may reach more. r2 is the largest
    share that its weights have of a filter's largest. A channel that only depthwise convolutions
    read has s = r1.

    A clip from above, as ReLU6 has, lets channels grow only as far as twice what they reach on the
    pictures stays below it. This alone is not exact: on others, a channel may be cut off there.

    Parameters
    ----------
    model : onnx.ModelProto
        In floating point, from :func:`cores.quantization.prepare.prepare`; it is left as it is.
    images : uint8 array (N, height, width, channels)
    preprocessing : Preprocessing

    Returns
    -------
    onnx.ModelProto
        Its metadata keeps the scales, see :func:`scales_of`.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    ties = _Ties(result)
    reached = measure_channels(result, ties.measured, images, preprocessing)
    scales = _solve(ties, {name: channels.largest for name, channels in reached.items()})
    for conv in ties.convolutions:
        conv.scale(*(scales[ties.classes(name)] for name in conv.ends))
    kept = {name: scales[ties.classes(name)] for name in ties.ids}
    result.metadata_props.add(key=SCALES_KEY, value=json.dumps(
        {name: scale.tolist() for name, scale in kept.items() if (scale != 1).any()}))
    return result


def scales_of(model):
    """{tensor's name: array (channels)}: what :func:`equalise` divided tensors by."""
    return {name: np.array(scale) for entry in model.metadata_props if entry.key == SCALES_KEY
            for name, scale in json.loads(entry.value).items()}


class _Conv:
    """A convolution whose weights can be scaled."""

    def __init__(self, node, stored):
        self.ends = node.input[0], node.output[0]
        self._tensors = [stored[name] for name in node.input[1:]]
        self.weights = array(self._tensors[0]).astype(np.float64)
        self.dense = _attribute(node, "group", 1) == 1

    def columns(self, scale):
        """Share of each channel in the largest weight of each filter, if inputs are scaled."""
        largest = np.abs(self.weights).max((2, 3)) * scale
        return (largest / np.maximum(largest.max(1, keepdims=True), 1e-30)).max(0)

    def scale(self, of_input, of_output):
        factor = of_input if self.dense else of_input[:, None]      # filters have one channel
        weights = self.weights * (factor / of_output[:, None])[..., None, None]
        values = weights, *(array(bias) / of_output for bias in self._tensors[1:])
        for tensor, value in zip(self._tensors, values):
            tensor.CopyFrom(numpy_helper.from_array(value.astype(np.float32), tensor.name))


class _Ties:
    """Which channels of which tensors must have one scale, and which must keep theirs."""

    def __init__(self, model):
        graph = model.graph
        stored = {tensor.name: tensor for tensor in graph.initializer}
        inferred = onnx.shape_inference.infer_shapes(model).graph
        self._sizes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
                       for v in (*inferred.input, *inferred.value_info, *inferred.output)}
        self._parents, self.ids, self.convolutions, self.measured = [], {}, [], []
        self.fixed, self.bounds = [], []        # tensors; (tensor, upper bound) of clips
        uses = [name for node in graph.node for name in node.input[1:] if name in stored]
        before_clamp = {node.input[0] for node in graph.node if node.op_type in ("Relu", "Clip")}
        for node in graph.node:
            self._node(node, stored, uses)
            # Reals that a clamp changes are not stored.
            self.measured += [o for o in node.output if o in self.ids and o not in before_clamp]
        self.fixed += [v.name for v in (*graph.input, *graph.output) if self._known(v.name)]

    def _node(self, node, stored, uses):
        inputs = [name for name in node.input if name and name not in stored]
        tensors = [*inputs, *node.output]
        kind = node.op_type
        if not all(map(self._known, tensors)):
            self.fixed += filter(self._known, tensors)
        elif kind == "Conv" and self._scalable(node, stored, uses):
            self.convolutions.append(_Conv(node, stored))
            list(map(self._id, tensors))
        elif kind in _HOMOGENEOUS and len(node.output) == 1:
            self._tie(self._id(inputs[0]), node.output[0])
        elif kind == "Clip" and len(inputs) == 1 and self._from_zero(node, stored):
            self._tie(self._id(inputs[0]), node.output[0])
            if len(node.input) > 2 and node.input[2]:
                self.bounds.append((node.output[0], array(stored[node.input[2]]).item()))
        elif kind == "Add" and len(inputs) == 2 and all(
                self._sizes[name] == self._sizes[node.output[0]] for name in inputs):
            for name in inputs:
                self._tie(self._id(name), node.output[0])
        elif (kind == "Concat" and _attribute(node, "axis", 0) == 1
              and len(inputs) == len(node.input)):
            self._tie(np.concatenate([self._id(name) for name in inputs]), node.output[0])
        else:
            self.fixed += tensors

    def _known(self, name):
        return len(self._sizes.get(name, ())) == 4 and self._sizes[name][1] > 0

    def _scalable(self, node, stored, uses):
        """Dense or depthwise, with weights of its own."""
        names = [name for name in node.input[1:] if name]
        groups, channels = _attribute(node, "group", 1), self._sizes[node.input[0]][1]
        return (all(name in stored and uses.count(name) == 1 for name in names)
                and (groups == 1 or groups == channels == self._sizes[node.output[0]][1]))

    @staticmethod
    def _from_zero(node, stored):
        bounds = [name for name in node.input[1:] if name]
        return (len(node.input) > 1 and node.input[1] in stored
                and all(name in stored and array(stored[name]).size == 1 for name in bounds)
                and array(stored[node.input[1]]).item() == 0)

    def _id(self, name):
        if name not in self.ids:
            first = len(self._parents)
            self.ids[name] = np.arange(first, first + self._sizes[name][1])
            self._parents.extend(self.ids[name].tolist())
        return self.ids[name]

    def _tie(self, ids, name):
        for first, second in zip(ids, self._id(name)):
            self._parents[self._root(first)] = self._root(second)

    def _root(self, index):
        while self._parents[index] != index:
            self._parents[index] = index = self._parents[self._parents[index]]
        return index

    def classes(self, name):
        """Number of the class of each of a tensor's channels."""
        return np.array([self._root(index) for index in self._id(name)])

    @property
    def count(self):
        return len(self._parents)


def _solve(ties, reached):
    """The scale of each class."""
    for name in ties.fixed:
        ties.classes(name)
    share, largest, bound = np.zeros(ties.count), np.zeros(ties.count), np.full(ties.count, np.inf)
    free, dense = np.ones(ties.count, bool), np.zeros(ties.count, bool)
    for name in ties.fixed:
        free[ties.classes(name)] = False
    for name in ties.measured:
        np.maximum.at(share, ties.classes(name), reached[name] / max(reached[name].max(), 1e-30))
        np.maximum.at(largest, ties.classes(name), reached[name])
    for name, high in ties.bounds:
        np.minimum.at(bound, ties.classes(name), high)
    for conv in ties.convolutions:
        dense[ties.classes(conv.ends[0])] |= conv.dense
    free &= largest > 0         # nothing is known of the others
    lowest = np.where(np.isinf(bound), 0, np.minimum(RESERVE * largest / bound, 1))
    highest = np.where(np.isinf(bound), np.inf, 1)
    share = np.minimum(RESERVE * np.maximum(share, FLOOR), 1)
    scales = np.ones(ties.count)
    for _ in range(ROUNDS):
        column = np.zeros(ties.count)
        for conv in ties.convolutions:
            if conv.dense:
                index = ties.classes(conv.ends[0])
                np.maximum.at(column, index, conv.columns(scales[index]))
        column = np.maximum(column / scales, FLOOR)      # of the weights as they were
        wanted = np.where(dense, np.sqrt(share / column), share)
        wanted = np.where(free, np.clip(wanted, lowest, highest), 1)
        if np.allclose(wanted, scales, rtol=1e-3):
            break
        scales = wanted
    return scales


def _attribute(node, name, default):
    return next((a.i for a in node.attribute if a.name == name), default)
