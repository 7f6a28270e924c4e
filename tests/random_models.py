"""Small float ONNX networks drawn at random, with branches and joins of every kind."""
import numpy as np
import onnx
from onnx import helper, numpy_helper

__all__ = ["OPERATIONS", "random_model"]

MOST_CHANNELS, MOST_PIXELS = 12, 100
FLOAT = onnx.TensorProto.FLOAT


def random_model(operations, seed):
    """A model that applies ``operations``, each to tensors drawn among all made before.

    What nobody reads is an output. An operation that no tensor suits is left out.
    """
    builder = _Builder(seed)
    for name in operations:
        OPERATIONS[name](builder)
    if len(builder.shapes) == 1:
        _conv(builder)
    return builder.model()


class _Builder:
    """A graph in the making: shapes (channels, height, width) by tensor name, newest last."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.constants, self.read = [], [], set()
        self.shapes = {"x": (self.pick(1, 2, 3), self.pick(4, 5, 7, 8), self.pick(4, 5, 6, 9))}

    def pick(self, *choices):
        return choices[self.rng.integers(len(choices))]

    def tensor(self, suits=lambda shape: True):
        """A tensor that suits, newer ones more often; None if none does."""
        names = [name for name, shape in self.shapes.items() if suits(shape)]
        return names[-1 - min(int(self.rng.geometric(0.6)) - 1, len(names) - 1)] if names else None

    def constant(self, array):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def add(self, op, inputs, shape, outputs=1, **attributes):
        """Append a node; returns the name of its (first) output, of ``shape``."""
        name = f"{op.lower()}{len(self.nodes)}"
        names = [name] if outputs == 1 else [f"{name}_{n}" for n in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, name=name, **attributes))
        self.read.update(inputs)
        for output, made in zip(names, [shape] if outputs == 1 else shape):
            self.shapes[output] = made
        return names[0]

    def model(self):
        outputs = [name for name in self.shapes if name not in self.read and name != "x"]
        values = [helper.make_tensor_value_info(name, FLOAT, [1, *shape])
                  for name, shape in self.shapes.items()]
        kept = {value.name: value for value in values}
        graph = helper.make_graph(self.nodes, "random", [kept["x"]], [kept[o] for o in outputs],
                                  self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        return model


def _window(builder, shape, *, dilated=True):
    """Attributes of a window that fits, and the size of what it makes."""
    attributes, size = {"kernel_shape": [], "strides": [], "dilations": [], "pads": [0] * 4}, []
    for axis, length in enumerate(shape[1:]):
        kernel, stride = builder.pick(1, 2, 3), builder.pick(1, 1, 2)
        dilation = builder.pick(1, 1, 2) if dilated else 1
        before, after = builder.rng.integers(0, kernel, 2)
        if length + before + after < dilation * (kernel - 1) + 1:
            kernel, before, after = 1, 0, 0
        for key, value in (("kernel_shape", kernel), ("strides", stride), ("dilations", dilation)):
            attributes[key].append(value)
        attributes["pads"][axis], attributes["pads"][axis + 2] = int(before), int(after)
        size.append((length + int(before + after) - dilation * (kernel - 1) - 1) // stride + 1)
    if not dilated:
        del attributes["dilations"]
    return attributes, tuple(size)


def _convolve(builder, source, filters, groups, attributes, size):
    channels = builder.shapes[source][0]
    weights = builder.rng.normal(size=(filters, channels // groups, *attributes["kernel_shape"]))
    weights[builder.rng.random(filters) < 0.1] = 0          # a filter that always gives its bias
    weights /= np.sqrt(weights[0].size)
    bias = builder.rng.normal(size=filters) * 0.3
    made = builder.add(
        "Conv", [source, builder.constant(weights.astype(np.float32)),
                 builder.constant(bias.astype(np.float32))], (filters, *size), group=groups, **attributes)
    return _activate(builder, made)


def _activate(builder, source):
    op = builder.pick("Relu", "Relu", "Relu", "Clip", "none")
    shape = builder.shapes[source]
    if op == "Relu":
        return builder.add("Relu", [source], shape)
    if op == "Clip":
        low, high = (builder.constant(np.float32(value)) for value in (0, 1))
        return builder.add("Clip", [source, low, high], shape)
    return source


def _conv(builder):
    source = builder.tensor()
    shape = builder.shapes[source]
    groups = builder.pick(1, *(n for n in range(1, shape[0] + 1) if shape[0] % n == 0))
    filters = groups * builder.pick(*range(1, max(2, MOST_CHANNELS // groups // 2)))
    _convolve(builder, source, filters, groups, *_window(builder, shape))


def _depthwise(builder):
    source = builder.tensor(lambda shape: shape[0] > 1)
    if source:
        shape = builder.shapes[source]
        _convolve(builder, source, shape[0], shape[0], *_window(builder, shape))


def _max(builder):
    source = builder.tensor()
    attributes, size = _window(builder, builder.shapes[source])
    builder.add("MaxPool", [source], (builder.shapes[source][0], *size), **attributes)


def _average(builder):
    source = builder.tensor()
    attributes, size = _window(builder, builder.shapes[source], dilated=False)
    builder.add("AveragePool", [source], (builder.shapes[source][0], *size),
                count_include_pad=builder.pick(0, 1), **attributes)


def _join(builder):
    """Add a tensor to one of its shape, made of an older one if there is none."""
    first = builder.tensor()
    shape = builder.shapes[first]
    alike = [name for name, other in builder.shapes.items() if other == shape and name != first]
    if alike:
        second = builder.pick(*alike)
    else:
        one = {"kernel_shape": [1, 1], "strides": [1, 1], "dilations": [1, 1], "pads": [0] * 4}
        second = _convolve(builder, first, shape[0], 1, one, shape[1:])
    _activate(builder, builder.add("Add", [first, second], shape))


def _concat(builder):
    first = builder.tensor(lambda shape: shape[0] < MOST_CHANNELS)
    if first is None:
        return
    size = builder.shapes[first][1:]
    alike = [name for name, shape in builder.shapes.items()
             if shape[1:] == size and shape[0] + builder.shapes[first][0] <= MOST_CHANNELS]
    if alike:
        operands = [first, *(builder.pick(*alike) for _ in range(builder.pick(1, 1, 2)))]
        channels = sum(builder.shapes[name][0] for name in operands)
        builder.add("Concat", operands, (channels, *size), axis=1)


def _slice(builder):
    source = builder.tensor(lambda shape: max(shape) > 1)
    if source is None:
        return
    starts, ends, steps, made = [], [], [], []
    for axis, length in enumerate(builder.shapes[source]):
        start = builder.pick(0, 0, length // 3)
        end, step = builder.pick(length, max(start + 1, length - 1)), builder.pick(1, 1, 2) if axis else 1
        for values, value in ((starts, start), (ends, end), (steps, step)):
            values.append(value)
        made.append(-(-(end - start) // step))
    if tuple(made) != builder.shapes[source]:
        inputs = [np.array(v, np.int64) for v in (starts, ends, [1, 2, 3], steps)]
        builder.add("Slice", [source, *map(builder.constant, inputs)], tuple(made))


def _split(builder):
    source = builder.tensor(lambda shape: shape[0] > 1)
    if source:
        channels, *size = builder.shapes[source]
        first = builder.pick(*range(1, channels))
        builder.add("Split", [source, builder.constant(np.array([first, channels - first], np.int64))],
                    [(first, *size), (channels - first, *size)], outputs=2, axis=1)


def _pad(builder):
    source = builder.tensor(lambda shape: shape[0] < MOST_CHANNELS and shape[1] * shape[2] < MOST_PIXELS)
    if source:
        before, after = builder.rng.integers(0, 2, 3), builder.rng.integers(0, 2, 3)
        pads = np.array([0, *before, 0, *after], np.int64)
        shape = tuple(int(n) for n in builder.shapes[source] + before + after)
        if shape != builder.shapes[source]:
            builder.add("Pad", [source, builder.constant(pads)], shape)


def _upsample(builder):
    source = builder.tensor(lambda shape: shape[1] * shape[2] * 4 <= MOST_PIXELS)
    if source:
        channels, height, width = builder.shapes[source]
        factor = builder.pick((1, 2), (2, 1), (2, 2))
        scales = builder.constant(np.array([1, 1, *factor], np.float32))
        builder.add("Resize", [source, "", scales], (channels, height * factor[0], width * factor[1]),
                    mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")


def _pointwise(builder):
    source = builder.tensor(lambda shape: True)
    builder.add(builder.pick("Sigmoid", "LeakyRelu", "HardSwish", "Tanh"), [source],
                builder.shapes[source])


def _scale(builder):
    source = builder.tensor()
    factors = builder.rng.normal(size=(1, builder.shapes[source][0], 1, 1)).astype(np.float32)
    builder.add("Mul", [source, builder.constant(factors)], builder.shapes[source])


OPERATIONS = {
    "conv": _conv, "depthwise": _depthwise, "max": _max, "average": _average, "add": _join,
    "concat": _concat, "slice": _slice, "split": _split, "pad": _pad, "upsample": _upsample,
    "pointwise": _pointwise, "scale": _scale}
