"""The reference against loops that follow the definitions word by word."""
import dataclasses
import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cores.graph import Add, Conv, Graph, Pool, Requantization, Tensor, output_size
from cores.scaling import add_scales, requantization, requantized_conv
from cores.validate import validate
from hdl.bounds import sum_bounds
from sim import reference
from strategies import check


def rescale(multiplier, shift, low=-128, high=127):
    return Requantization(np.array(multiplier, np.int64), np.array(shift, np.int64), low, high)


def half_even(value, low, high):
    return min(max(round(value), low), high)        # Python rounds a Fraction half to even


@st.composite
def windows(draw):
    """An input (N, H, W, C) and the keyword arguments of a node that fits it."""
    side = st.integers(1, 3)
    kernel = draw(side), draw(side)
    dilation = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    padding = tuple(draw(st.integers(0, 2)) for _ in range(4))
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation)]
    height, width = (max(draw(st.integers(1, 6)), r - padding[i] - padding[i + 2])
                     for i, r in enumerate(reach))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    low, high = draw(st.sampled_from([(0, 255), (-128, 127), (-200, 55), (0, 15), (-5000, 60535)]))
    x = rng.integers(low, high + 1, (draw(st.integers(1, 3)), height, width, draw(side)))
    x *= rng.random(x.shape) < draw(st.sampled_from([0.0, 0.5, 1.0]))
    stride = draw(side), draw(side)
    return rng, x, kernel, {"stride": stride, "dilation": dilation, "padding": padding}


def naive_taps(x, kernel, stride, dilation, padding):
    """Yield ((output row, output column), [(row, column, pixel or None, kernel row, column)])."""
    top, left, bottom, right = padding
    rows = range(-top, x.shape[0] + bottom - dilation[0] * (kernel[0] - 1), stride[0])
    columns = range(-left, x.shape[1] + right - dilation[1] * (kernel[1] - 1), stride[1])
    for (a, y), (b, z) in itertools.product(enumerate(rows), enumerate(columns)):
        taps = []
        for i, j in itertools.product(range(kernel[0]), range(kernel[1])):
            row, column = y + i * dilation[0], z + j * dilation[1]
            inside = 0 <= row < x.shape[0] and 0 <= column < x.shape[1]
            taps.append((x[row, column] if inside else None, i, j))
        yield (a, b), taps


@check(150)
@given(windows(), st.sampled_from([2, 8, 16]))
def test_conv(drawn, bits):
    rng, x, kernel, window = drawn
    limit = 1 << (bits - 1)
    weights = rng.integers(-limit, limit, (3, *kernel, x.shape[3]))
    bias = rng.integers(-1000, 1000, 3)
    conv = Conv("c", "i", "o", weights, bias, None, **window)
    sums = reference.conv_sums(x, conv)
    assert sums.dtype == np.int64
    assert sums.shape[1:3] == output_size(conv, *x.shape[1:3])
    assert (sums[0] == reference.conv_sums(x[0], conv)).all()
    products, seen = 0, 0
    for n, frame in enumerate(x):
        for (a, b), taps in naive_taps(frame, kernel, **window):
            expected = bias.copy()
            for pixel, i, j in taps:
                if pixel is not None:
                    expected += (weights[:, i, j] * pixel).sum(axis=1)
                    products += np.count_nonzero(pixel) * len(weights)
            assert (sums[n, a, b] == expected).all()
            seen += 1
    assert seen == sums[..., 0].size
    tensors = {"i": Tensor("i", *x.shape[1:], 0, 1), "o": Tensor("o", *sums.shape[1:], 0, 1)}
    graph = Graph("g", "i", ("o",), tensors, (conv,))
    assert reference.nonzero_macs(graph, {"i": x}) == ({"c": products}, len(x))
    assert reference.macs(graph) == {"c": seen // len(x) * weights.size}


@check(100)
@given(windows(), st.sampled_from([2, 8, 16]))
def test_depthwise(drawn, bits):
    rng, x, kernel, window = drawn
    channels, limit = max(2, x.shape[3]), 1 << (bits - 1)       # of one channel it is a convolution
    x = np.resize(x, (*x.shape[:3], channels))
    weights = rng.integers(-limit, limit, (channels, *kernel, 1))
    bias = rng.integers(-1000, 1000, channels)
    conv = Conv("c", "i", "o", weights, bias, None, op="depthwise", groups=channels, **window)
    sums, products = reference.conv_sums(x, conv), 0
    assert sums.dtype == np.int64
    assert (sums[0] == reference.conv_sums(x[0], conv)).all()
    for n, frame in enumerate(x):
        for (a, b), taps in naive_taps(frame, kernel, **window):
            inside = [(pixel, i, j) for pixel, i, j in taps if pixel is not None]
            for c in range(channels):
                total = sum(int(pixel[c]) * int(weights[c, i, j, 0]) for pixel, i, j in inside)
                assert sums[n, a, b, c] == total + bias[c]
            products += sum(np.count_nonzero(pixel) for pixel, *_ in inside)
    tensors = {"i": Tensor("i", *x.shape[1:], 0, 1), "o": Tensor("o", *sums.shape[1:], 0, 1)}
    graph = Graph("g", "i", ("o",), tensors, (conv,))
    assert reference.nonzero_macs(graph, {"i": x}) == ({"c": products}, len(x))
    assert reference.macs(graph) == {"c": sums[0].size * kernel[0] * kernel[1]}


@pytest.mark.parametrize("activation, weight", [(1, 1 << 30), ((1 << 16) - 1, 1 << 14), (60000, -40000)])
def test_depthwise_is_exact_in_every_arithmetic(activation, weight):
    """Sums around the limits of 32 bits."""
    weights = np.full((2, 2, 1, 1), weight)
    conv = Conv("c", "i", "o", weights, np.zeros(2, np.int64), None, groups=2)
    sums = reference.conv_sums(np.full((2, 1, 2), activation, np.int32), conv)
    assert sums.tolist() == [[[2 * activation * weight] * 2]]


@pytest.mark.parametrize(
    "magnitude, taps", [(1 << 9, 31), (1 << 12, 3), (1 << 24, 31), (1 << 26, 9)])
def test_conv_is_exact_in_every_arithmetic(magnitude, taps):
    """Sums that end at odd numbers close to the limits of float32, float64 and beyond."""
    weights = np.full((1, 1, 1, taps), magnitude - 1)
    x = np.full((1, 1, 1, taps), magnitude - 1)
    sums = reference.conv_sums(x, Conv("c", "i", "o", weights, np.zeros(1, np.int64), None))
    assert sums.item() == taps * (magnitude - 1) ** 2


@check(100)
@given(windows(), st.sampled_from(["max", "avg"]))
def test_pools(drawn, op):
    _, x, kernel, window = drawn
    pool = Pool("p", "i", "o", op, kernel, **window)
    got = (reference.max_pool if op == "max" else reference.sum_pool)(x, pool)
    assert got.shape == (len(x), *output_size(pool, *x.shape[1:3]), x.shape[3])
    for n, frame in enumerate(x):
        for (a, b), taps in naive_taps(frame, kernel, **window):
            pixels = [pixel for pixel, *_ in taps if pixel is not None]
            if op == "avg":
                assert (got[n, a, b] == sum(pixels, np.zeros(x.shape[3], int))).all()
            elif pixels:        # validate() refuses windows without one
                assert (got[n, a, b] == np.max(pixels, axis=0)).all()


@check(300)
@given(st.lists(st.tuples(st.integers(-(1 << 45) + 1, (1 << 45) - 1), st.integers(0, (1 << 17) - 1),
                          st.integers(0, 63)), min_size=1, max_size=8))
def test_requantize(channels):
    sums, multiplier, shift = (list(x) for x in zip(*channels))
    low, high = -(1 << 16), (1 << 16) - 1
    got = reference.requantize(np.array([sums, sums]), rescale(multiplier, shift, low, high))
    expected = [half_even(Fraction(s * m, 1 << n), low, high) for s, m, n in channels]
    assert got.tolist() == [expected, expected]


@pytest.mark.parametrize("threshold", [0, 1, 2, 9, 20])
def test_thresholds(threshold):
    """Of a requantization, and of an addition with ReLU; whatever the bounds cut stays as large."""
    values = np.arange(-30, 31)
    wanted = np.clip(values, 0, 20)
    wanted[wanted < threshold] = 0
    scale = dataclasses.replace(rescale([1], [0], 0, 20), threshold=threshold)
    assert (reference.requantize(values[:, None], scale)[:, 0] == wanted).all()
    node = Add("add", "a", "b", "o", (1, 1), 0, 0, 0, 20, threshold)
    assert (reference.add(values, np.zeros_like(values), node) == wanted).all()


def test_requantize_ties():
    sums = np.arange(-9, 10)[:, None]
    for shift in 1, 2, 3:
        got = reference.requantize(sums, rescale([1], [shift]))[:, 0]
        assert got.tolist() == [round(Fraction(int(s), 1 << shift)) for s in sums[:, 0]]


@check(200)
@given(st.lists(st.floats(1e-16, 100000), min_size=1, max_size=4))
def test_requantization_is_the_scale(scales):
    got = requantization(scales, -1 << 15, 1 << 15, sum_min=-1 << 44, sum_max=1 << 44)
    kept = got.multiplier > 0
    for scale, multiplier, shift, keep in zip(scales, got.multiplier.tolist(), got.shift.tolist(),
                                              kept):
        assert 0 <= shift <= 63
        if keep:
            assert 1 << 16 <= multiplier < 1 << 17
            error = abs(Fraction(multiplier, 1 << shift) / Fraction(scale) - 1)
            assert error <= Fraction(1, 1 << 17)        # half a unit of 17 significant bits
        else:
            assert scale * (1 << 44) <= 0.5
            assert shift == (min(got.shift[kept]) if kept.any() else 0)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf, 2.0**17, 2.0**17 - 0.25])
def test_requantization_refuses(scale):
    with pytest.raises(ValueError, match=r"^Scale must be (positive and finite|below 2\*\*17,)"):
        requantization([scale], 0, 255, sum_min=-10, sum_max=10)


def test_constant_filters():
    """Filters 1 to 4 cannot leave 0, 3, ReLU, and a bias that no accumulator could hold."""
    weights = np.array([[100, -100], [1, 1], [0, 0], [-1, -1], [0, 0]]).reshape(5, 1, 1, 2)
    scale = np.array([1e-3, 1e-16, 1e-9, 1e-3, 1e-16])
    bias = np.array([7.4, 1000, 3e9, 100, 9e16])
    kept, integers, requantized = requantized_conv(weights, bias, scale, 0, 255,
                                                   input_low=0, input_high=255)
    assert (kept[0] == weights[0]).all() and not kept[1:].any()
    assert integers[0] == 7 and abs(integers).max() < 1 << 24
    x = np.array([[[[255, 255]]], [[[255, 0]]], [[[0, 0]]]])
    sums = reference.conv_sums(x, Conv("c", "i", "o", kept, integers, None))
    out = reference.requantize(sums, requantized)[:, 0, 0]
    assert out.tolist() == [[0, 0, 3, 0, 9], [26, 0, 3, 0, 9], [0, 0, 3, 0, 9]]
    assert len(set(requantized.shift.tolist())) == 1


def test_bias_alone_is_rounded_as_its_scale_says():
    """Where a window holds nothing but zeros, as of a dead channel, every pixel is the bias."""
    # Of a MobileNetV2 in one scale for all filters: 27.49999 was rounded to 28.
    bias, scale = np.array([-5, 1664, 700]), np.full(3, 27.49999 / 1664)
    weights = np.ones((3, 1, 1, 1), np.int64)
    _, integers, requantized = requantized_conv(weights, bias, scale, 0, 255, input_low=0, input_high=255)
    assert reference.requantize(integers, requantized).tolist() == [0, 27, 12]
    assert len(set(requantized.multiplier.tolist())) == 1       # still one for all

    rng = np.random.default_rng(3)
    bias = rng.integers(1, 5000, 2000)
    scale = (rng.integers(0, 200, 2000) + 0.5 + rng.choice([-1e-5, 1e-5], 2000)) / bias
    weights = np.ones((2000, 1, 1, 1), np.int64)
    _, integers, requantized = requantized_conv(weights, bias, scale, 0, 255, input_low=0, input_high=255)
    wanted = np.clip(np.rint(np.float32(bias) * np.float32(scale)), 0, 255)
    wrong = reference.requantize(integers, requantized) != wanted
    assert np.count_nonzero(wrong) <= 2
    error = (requantized.multiplier / 2.0 ** requantized.shift / scale - 1)[integers == bias]
    assert 1900 < len(error) and np.abs(error).max() < 1.5 * 2**-16


@check(100)
@given(st.integers(1, 3), st.integers(1, 4), st.sampled_from([(0, 255), (-3, 2), (-9, 0)]),
       st.integers(0, 1 << 30))
def test_sum_bounds_are_reached(filters, taps, limits, seed):
    rng = np.random.default_rng(seed)
    weights, bias = rng.integers(-8, 8, (filters, taps)), rng.integers(-50, 50, filters)
    sums = [weights @ np.array(x) + bias for x in itertools.product(limits, repeat=taps)]
    minimum, maximum = sum_bounds(weights, bias, *limits)
    assert (minimum == np.min(sums, axis=0)).all() and (maximum == np.max(sums, axis=0)).all()


def test_sum_bounds_refuses():
    with pytest.raises(ValueError, match=r"^Input range must include 0, not 1 to 5$"):
        sum_bounds(np.ones((1, 1)), 0, 1, 5)


def network():
    """Input 6x6x2, a 3x3 convolution, a maximum, an average, a classifier."""
    rng = np.random.default_rng(1)
    shapes = {"i": (6, 6, 2), "a": (6, 6, 3), "b": (3, 3, 3), "c": (2, 2, 3), "o": (1, 1, 4)}
    tensors = {name: Tensor(name, *shape, -128 if name in "io" else 0, 127)
               for name, shape in shapes.items()}
    nodes = (
        Conv("conv", "i", "a", rng.integers(-8, 8, (3, 3, 3, 2)), np.arange(3),
             rescale([70000] * 3, [20, 21, 22], 0), padding=(1, 1, 1, 1)),
        Pool("max", "a", "b", "max", (2, 2), stride=(2, 2)),
        Pool("avg", "b", "c", "avg", (2, 2), requantization=rescale([1 << 16] * 3, [18] * 3, 0)),
        Conv("fc", "c", "o", rng.integers(-8, 8, (4, 2, 2, 3)), np.zeros(4, np.int64),
             rescale([1 << 16] * 4, [17] * 4), op="fc"))
    return Graph("net", "i", ("b", "o"), tensors, nodes)


def depthwise_network(**changes):
    """Input 6x6x2 and a depthwise 3x3 convolution."""
    conv = Conv("conv", "i", "a", np.ones((2, 3, 3, 1), np.int64), np.zeros(2, np.int64),
                rescale([1] * 2, [1] * 2), op="depthwise", groups=2)
    tensors = {"i": Tensor("i", 6, 6, 2, 0, 255), "a": Tensor("a", 4, 4, 2, -128, 127)}
    return Graph("net", "i", ("a",), tensors, (dataclasses.replace(conv, **changes),))


def test_validate_depthwise():
    validate(depthwise_network())
    for changes, message in (
            (dict(groups=3), "groups must divide 2 channels and 2 filters, not be 3"),
            (dict(weights=np.ones((2, 3, 3, 2), np.int64)), "weights must have 1 channels, not 2"),
            (dict(groups=1), "weights must have 2 channels, not 1")):
        with pytest.raises(ValueError, match=f"^Node 'conv': {message}$"):
            validate(depthwise_network(**changes))


def test_run():
    graph = network()
    validate(graph)
    frames = np.random.default_rng(2).integers(-128, 128, (19, 6, 6, 2)).astype(np.int8)
    values = reference.run(graph, frames)
    assert {name: v.shape[1:] for name, v in values.items()} == {
        name: t.shape for name, t in graph.tensors.items()}
    for node in graph.nodes:        # every frame alone, and no batch mixed up with another
        for x, y in zip(values[node.input], values[node.output]):
            assert (reference.run_node(node, x) == y).all()
    assert all(len(np.unique(v)) > 5 for v in values.values())
    outputs = reference.run_outputs(graph, frames)
    assert list(outputs) == ["b", "o"]
    assert all((outputs[name] == values[name]).all() for name in outputs)
    assert reference.macs(graph) == {"conv": 36 * 54, "max": 0, "avg": 0, "fc": 48}


@pytest.mark.parametrize("frames, message", [
    (np.zeros((1, 6, 6, 3), int), r"^Frames must be \(N, 6, 6, 2\), not \(1, 6, 6, 3\)$"),
    (np.zeros((0, 6, 6, 2), int), r"^Frames must be \(N, 6, 6, 2\), not \(0, 6, 6, 2\)$"),
    (np.zeros((1, 6, 6, 2)), r"^Frames must be integers, not float64$"),
    (np.full((1, 6, 6, 2), 128), r"^Frames must be from -128 to 127, not 128 to 128$"),
])
def test_run_refuses(frames, message):
    for function in reference.run, reference.run_outputs:
        with pytest.raises(ValueError, match=message):
            function(network(), frames)


def altered(tensors=None, index=0, outputs=("o",), input="i", **changes):
    graph = network()
    nodes = list(graph.nodes)
    nodes[index] = dataclasses.replace(nodes[index], **changes)
    changed = {name: dataclasses.replace(graph.tensors[name], **new)
               for name, new in (tensors or {}).items()}
    return dataclasses.replace(graph, nodes=tuple(nodes), outputs=outputs, input=input,
                               tensors={**graph.tensors, **changed})


WEIGHTS = np.zeros((3, 3, 3, 2), np.int64)


@pytest.mark.parametrize("changes, message", [
    (dict(tensors={"i": dict(height=0)}), r"Tensor 'i': shape must be positive, not \(0, 6, 2\)"),
    (dict(tensors={"o": dict(low=1)}), "Tensor 'o': range must include 0, not 1 to 127"),
    (dict(tensors={"o": dict(high=1 << 17)}), "Tensor 'o': values must be at most 17 bits, not 19"),
    (dict(input="x"), "Input 'x' must be a tensor"),
    (dict(index=1, name="conv"), "Node 'conv': name must be used once"),
    (dict(input="c"), "Node 'conv': input 'i' must be made before it is read"),
    (dict(index=3, output="x"), "Node 'fc': output 'x' must be a tensor"),
    (dict(index=3, output="a"), "Node 'fc': output 'a' must be made once"),
    (dict(outputs=()), "Graph must have an output"),
    (dict(outputs=("x",)), "Output 'x' must be made by a node"),
    (dict(outputs=("i",)), "Output 'i' must be made by a node"),
    (dict(stride=(0, 1)), "Node 'conv': kernel, stride and dilation must be positive"),
    (dict(padding=(0, 0, 0, -1)), r"Node 'conv': padding must not be negative: .*"),
    (dict(dilation=(4, 1)), r"Node 'conv': kernel \(3, 3\) must fit the padded map of 6 x 6"),
    (dict(stride=(2, 2)), r"Node 'conv': output must be \(3, 3, 3\), not \(6, 6, 3\)"),
    (dict(weights=WEIGHTS * 1.0), "Node 'conv': weights must be four-dimensional int64"),
    (dict(weights=WEIGHTS[..., :1]), "Node 'conv': weights must have 2 channels, not 1"),
    (dict(weights=WEIGHTS + (1 << 15)), "Node 'conv': weights must fit 16 bits signed"),
    (dict(bias=np.zeros(2, np.int64)), "Node 'conv': bias must be int64, one value per filter"),
    (dict(bias=np.full(3, 1 << 45)), r"Node 'conv': sums must be below 2\*\*45"),
    (dict(requantization=None), "Node 'conv': requantization must be given"),
    (dict(requantization=rescale([1] * 2, [1] * 3, 0)),
     "Node 'conv': multiplier and shift must be int64, 3 values each"),
    (dict(requantization=rescale([1 << 17] * 3, [1] * 3, 0)),
     r"Node 'conv': multiplier must be below 2\*\*17"),
    (dict(requantization=rescale([1] * 3, [64] * 3, 0)), "Node 'conv': shift must be from 0 to 63"),
    (dict(requantization=rescale([1] * 3, [1] * 3)),
     "Node 'conv': clamp bounds must lie in the output's 0 to 127"),
    (dict(requantization=dataclasses.replace(rescale([1] * 3, [1] * 3, 0), threshold=128)),
     "Node 'conv': threshold must be from 0 to 127, not 128"),
    (dict(requantization=dataclasses.replace(rescale([1] * 3, [1] * 3, -1), threshold=2), tensors={"a": dict(low=-1)}),
     "Node 'conv': threshold must be 0 with a lower bound other than 0, not 2"),
    (dict(index=1, op="min"), "Node 'max': op must be 'max' or 'avg', not 'min'"),
    (dict(index=1, op="avg"), "Node 'max': requantization must be given"),
    (dict(index=2, op="max"), "Node 'avg': a maximum must have no requantization"),
    (dict(index=1, padding=(2, 0, 0, 0), tensors={"b": dict(height=4)}),
     "Node 'max': every window must hold a pixel of the map"),
])
def test_validate_refuses(changes, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        validate(altered(**changes))


def test_requantized_conv_refuses():
    """A bias of 2**46 that the output shows."""
    with pytest.raises(ValueError, match=r"^Bias must be below 2\*\*45 units of the sum$"):
        requantized_conv(np.full((1, 1, 1, 1), 30000), [2.0**46], [2.0**-42], 0, 255 << 8,
                         input_low=0, input_high=1 << 40)


# ---- Addition -----------------------------------------------------------------------------------

multipliers = st.tuples(*[st.integers(0, (1 << 17) - 1)] * 2)
powers = st.integers(0, 16).map(lambda n: (1 << n, 1 << n))       # many ties


@check(300)
@given(st.lists(st.tuples(*[st.integers(-1 << 16, (1 << 16) - 1)] * 2), min_size=1, max_size=8),
       multipliers | powers, st.integers(0, 63) | st.integers(0, 20), st.integers(0, 65535))
def test_add(pairs, multipliers, shift, zero_point):
    low, high = -60000, 50000
    a, b = np.array(pairs).T
    got = reference.add(a, b, Add("n", "a", "b", "o", multipliers, shift, zero_point, low, high))
    assert got.dtype == np.int32
    # The definition; Python rounds a Fraction half to even.
    quantized = [round(Fraction(x * multipliers[0] + y * multipliers[1], 1 << shift) + zero_point)
                 for x, y in pairs]
    assert got.tolist() == [min(max(q - zero_point, low), high) for q in quantized]


def test_add_rounds_once_and_ties_to_the_even_quantized_value():
    a = np.array([-3, -1, 1, 3, 5, 1])
    b = np.array([0, 0, 0, 0, 0, 1])
    for zero_point, expected in (4, [-2, 0, 0, 2, 2, 1]), (5, [-1, -1, 1, 1, 3, 1]):
        node = Add("n", "a", "b", "o", (1 << 16, 1 << 16), 17, zero_point, -128, 127)
        assert reference.add(a, b, node).tolist() == expected


def residual():
    """A convolution and what it adds to, the input; rounded with ReLU."""
    tensors = {name: Tensor(name, 4, 5, 3, low, 127, zero) for name, low, zero in
               (("i", -128, 3), ("a", -128, 128), ("o", 0, 0))}
    nodes = (Conv("conv", "i", "a", np.eye(3, dtype=np.int64).reshape(3, 1, 1, 3) * 5,
                  np.zeros(3, np.int64), rescale([1 << 16] * 3, [18] * 3)),
             Add("add", "a", "i", "o", (70000, 131071), 17, 0, 0, 127))
    return Graph("residual", "i", ("o",), tensors, nodes)


def test_run_with_an_addition():
    graph = residual()
    validate(graph)
    frames = np.random.default_rng(0).integers(-128, 128, (9, 4, 5, 3))
    values = reference.run(graph, frames)
    sums = values["a"] * 70000.0 + values["i"] * 131071.0
    expected = np.clip(np.rint(sums / (1 << 17)), 0, 127)
    assert (values["o"] == expected).all() and len(np.unique(expected)) > 50
    assert (reference.run_node(graph.nodes[1], values["a"], values["i"]) == expected).all()
    assert (reference.run_outputs(graph, frames)["o"] == expected).all()
    assert reference.macs(graph) == {"conv": 180, "add": 0}
    assert reference.nonzero_macs(graph, values) == (
        {"conv": 3 * np.count_nonzero(frames), "add": 0}, 9)


@pytest.mark.parametrize("changes, message", [
    (dict(second="x"), "Node 'add': input 'x' must be made before it is read"),
    (dict(first="o"), "Node 'add': input 'o' must be made before it is read"),
    (dict(multipliers=(1, 1 << 17)),
     r"Node 'add': multipliers must be two from 0 to 2\*\*17 - 1, not \(1, 131072\)"),
    (dict(multipliers=(-1, 1)),
     r"Node 'add': multipliers must be two from 0 to 2\*\*17 - 1, not \(-1, 1\)"),
    (dict(multipliers=(1,)),
     r"Node 'add': multipliers must be two from 0 to 2\*\*17 - 1, not \(1,\)"),
    (dict(shift=64), "Node 'add': shift must be from 0 to 63, not 64"),
    (dict(shift=-1), "Node 'add': shift must be from 0 to 63, not -1"),
    (dict(low=1), "Node 'add': clamp bounds must include 0, not 1 to 127"),
    (dict(low=-1), "Node 'add': clamp bounds must lie in the output's 0 to 127"),
    (dict(high=128), "Node 'add': clamp bounds must lie in the output's 0 to 127"),
])
def test_validate_refuses_additions(changes, message):
    graph = residual()
    nodes = graph.nodes[0], dataclasses.replace(graph.nodes[1], **changes)
    with pytest.raises(ValueError, match=f"^{message}$"):
        validate(dataclasses.replace(graph, nodes=nodes))


def test_validate_refuses_an_addition_of_other_shapes():
    graph = residual()
    node = dataclasses.replace(graph.nodes[1], first="i")
    wide = {"o": dataclasses.replace(graph.tensors["o"], width=9)}
    with pytest.raises(ValueError, match=r"^Node 'add': operand 'i' must be \(4, 9, 3\), "
                                         r"not \(4, 5, 3\)$"):
        validate(dataclasses.replace(graph, nodes=(graph.nodes[0], node),
                                     tensors=graph.tensors | wide))


ratios = st.floats(2.0**-40, 2.0**16)


@check(200)
@given(ratios, ratios, st.floats(1e-6, 1e6))
def test_add_scales(first, second, scale):
    multipliers, shift = add_scales(first * scale, second * scale, scale)
    assert all(type(number) is int for number in (*multipliers, shift))
    assert 1 << 16 <= max(multipliers) < 1 << 17 and 0 <= shift <= 63
    for multiplier, ratio in zip(multipliers, (first, second)):
        # Half a unit of the common binary point; and what float64 loses in the division.
        error = abs(multiplier - Fraction(ratio) * (1 << shift))
        assert error <= Fraction(1, 2) + Fraction(1, 1 << 30)


@pytest.mark.parametrize("scales, expected", [
    ((1.0, 1.0, 1.0), ((1 << 16, 1 << 16), 16)),
    ((0.5, 0.25, 1.0), ((1 << 16, 1 << 15), 17)),
    ((1.0, 1e-9, 1.0), ((1 << 16, 0), 16)),
    ((1 - 2.0**-20, 0.5, 1.0), ((1 << 16, 1 << 15), 16)),       # 17 bits, after the carry too
    ((2.0**-48, 2.0**-60, 1.0), ((0, 0), 0)),
])
def test_add_scales_of(scales, expected):
    assert add_scales(*scales) == expected


@pytest.mark.parametrize("scales, message", [
    ((0.0, 1.0, 1.0), "Scales must be positive and their ratios finite, not 0.0, 1.0 and 1.0"),
    ((1.0, -1.0, 1.0), "Scales must be positive and their ratios finite, not 1.0, -1.0 and 1.0"),
    ((1.0, 1.0, 0.0), "Scales must be positive and their ratios finite, not 1.0, 1.0 and 0.0"),
    ((1.0, np.nan, 1.0), "Scales must be positive and their ratios finite, not 1.0, nan and 1.0"),
    ((1.0, 131072.0, 1.0), r"Ratio of scales must be below 2\*\*17, not 131072"),
])
def test_add_scales_refuses(scales, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        add_scales(*scales)
