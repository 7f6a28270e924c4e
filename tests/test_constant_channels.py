"""Channels taken out must not change any output."""
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cores.constant_channels import without_constant_channels
from cores.graph import Concat, Graph, Pad, Slice, Table, Tensor, Upsample
from cores.ranges import channel_ranges
from cores.thresholds.places import with_thresholds
from cores.validate import validate
from sim import reference
from strategies import check
from tests.networks import chain

LAYERS = (
    {"op": "conv", "filters": 6, "padding": (1, 1, 1, 1)},
    {"op": "depthwise", "padding": (1, 1, 1, 1)},
    {"op": "conv", "filters": 6, "kernel": (1, 1)},
    {"op": "add", "other": "t0"},
    {"op": "max", "kernel": (2, 2), "stride": (2, 2)},
    {"op": "conv", "filters": 5, "low": -128, "high": 127},
    {"op": "avg", "kernel": (2, 2), "padding": (1, 0, 0, 1), "low": -128, "high": 127},
    {"op": "fc", "filters": 3, "low": -128, "high": 127},
)


def silenced(network, filters):
    """The network with some filters made constant: {node's index: [(filter, bias), ...]}."""
    nodes = list(network.nodes)
    for index, pairs in filters.items():
        weights, bias = nodes[index].weights.copy(), nodes[index].bias.copy()
        for number, value in pairs:
            weights[number], bias[number] = 0, value
        nodes[index] = replace(nodes[index], weights=weights, bias=bias)
    return replace(network, nodes=tuple(nodes))


def alive(*layers, **options):
    """A chain whose weights are positive: no filter is silent by chance."""
    network, x = chain(*layers, **options)
    nodes = (replace(node, weights=abs(node.weights) + 1) for node in network.nodes)
    return replace(network, nodes=tuple(nodes)), x


def assert_same(network, x):
    """The network made smaller, its outputs checked, and what was removed."""
    smaller, removed = without_constant_channels(network)
    validate(smaller)
    wanted, got = (reference.run_outputs(n, x) for n in (network, smaller))
    for name, values in wanted.items():
        np.testing.assert_array_equal(got[name], values)
    return smaller, removed


@given(st.data())
@check(60)
def test_outputs_stay(data):
    network, x = chain(*LAYERS, shape=(8, 8, 3), seed=data.draw(st.integers(0, 99)))
    filters = {}
    for index in (0, 1, 2, 5):
        count = len(network.nodes[index].weights)
        filters[index] = data.draw(st.lists(st.tuples(
            st.integers(0, count - 1), st.sampled_from((-10**6, 0, 5000, 10**6))), max_size=count))
    network = silenced(network, filters)
    assert_same(network, x)
    values, ranges = reference.run(network, x), channel_ranges(network)
    for name, (low, high) in ranges.items():
        assert (low <= values[name].min((0, 1, 2))).all() and (values[name].max((0, 1, 2)) <= high).all()


def test_channels_below_their_threshold_go():
    """A threshold keeps bounds exact: what stays below it is the constant 0."""
    network, x = alive({"op": "conv", "filters": 4}, {"op": "conv", "filters": 2}, shape=(6, 6, 2))
    network = silenced(network, {0: [(1, 300), (2, 2000)]})
    constant = reference.run(network, x)["t0"][0, 0, 0, 1:3]
    assert 1 < constant[0] < constant[1] - 1
    network = with_thresholds(network, {"conv0": int(constant[0]) + 1})
    low, high = (ends[1:3].tolist() for ends in channel_ranges(network)["t0"])
    assert low == high == [0, constant[1]]
    smaller, removed = assert_same(network, x)
    assert removed == {"t0": 2} and smaller.nodes[0].requantization.threshold == constant[0] + 1


def test_zero_channels_go_everywhere():
    network, x = chain(*LAYERS, shape=(8, 8, 3))
    # Filters 1 and 4 of both operands of the addition, whose sums are then 0.
    network = silenced(network, {n: [(1, -10**6), (4, -10**6)] for n in (0, 1, 2)})
    smaller, removed = assert_same(network, x)
    assert removed == {"t0": 2, "t1": 2, "t2": 2, "t3": 2, "t4": 2}
    assert smaller.nodes[5].weights.shape[3] == 4


def test_tied_channels_stay_together():
    network, x = chain(*LAYERS, shape=(8, 8, 3))
    network = silenced(network, {2: [(1, -10**6)]})        # one operand of the addition only
    assert assert_same(network, x)[1] == {}


def test_value_under_padding_stays():
    layers = ({"op": "conv", "filters": 2, "kernel": (1, 1)},
              {"op": "conv", "filters": 2, "padding": (1, 1, 1, 1)})
    network, x = alive(*layers, shape=(5, 5, 2))
    constant = silenced(network, {0: [(0, 10**6)]})         # 255 everywhere, but not in the padding
    assert assert_same(constant, x)[1] == {}
    unpadded = replace(constant, nodes=(constant.nodes[0], replace(constant.nodes[1], padding=(0,) * 4)),
                       tensors={**constant.tensors, "t1": replace(constant.tensors["t1"], height=3, width=3)})
    assert assert_same(unpadded, x)[1] == {"t0": 1}


def test_unread_channel_goes():
    network, x = chain({"op": "conv", "filters": 4}, {"op": "conv", "filters": 2}, shape=(6, 6, 2))
    weights = network.nodes[1].weights.copy()
    weights[..., 2] = 0
    network = replace(network, nodes=(network.nodes[0], replace(network.nodes[1], weights=weights)))
    assert assert_same(network, x)[1] == {"t0": 1}


def test_a_channel_remains():
    network, x = chain({"op": "conv", "filters": 4}, {"op": "conv", "filters": 2}, shape=(6, 6, 2))
    network = silenced(network, {0: [(n, -1) for n in range(4)]})
    assert assert_same(network, x)[0].tensors["t0"].channels == 1


@pytest.mark.parametrize("dead", [(), (1,), (0, 3)])
def test_moved_channels(dead):
    """Concat, slice, pad, upsample and table between two convolutions."""
    first, x = alive({"op": "conv", "filters": 4, "kernel": (1, 1)}, shape=(4, 4, 2))
    first = silenced(first, {0: [(n, -10**6) for n in dead]})
    shapes = {"two": (4, 4, 8), "cut": (4, 4, 5), "big": (8, 8, 5), "wide": (9, 8, 5), "f": (9, 8, 5)}
    tensors = {name: Tensor(name, *shape, 0, 255) for name, shape in shapes.items()}
    table = np.tile(np.arange(256)[::-1], (5, 1))
    table[2:] = np.arange(256)
    nodes = (Concat("concat", ("t0", "t0"), "two"), Slice("slice", "two", "cut", (0, 0, 2), (4, 4, 5)),
             Upsample("up", "cut", "big", (2, 2)), Pad("pad", "big", "wide", (1, 0, 0), (0, 0, 0)),
             Table("table", "wide", "f", 0, table))
    last, _ = chain({"op": "conv", "filters": 2, "kernel": (2, 2)}, shape=(9, 8, 5))
    nodes += (replace(last.nodes[0], input="f", output="o", name="last"),)
    tensors["o"] = replace(last.tensors["t0"], name="o")
    network = Graph("net", "in", ("o",), {**first.tensors, **tensors}, first.nodes + nodes)
    validate(network)
    _, removed = assert_same(network, x)
    # Channels 2, 3, 0, 1, 2 of the first convolution arrive.
    assert removed.get("f", 0) == sum((2, 3, 0, 1, 2).count(n) for n in dead)
