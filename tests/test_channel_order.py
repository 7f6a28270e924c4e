"""Channels in another order: the same outputs, and lanes that have as much to do."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import networks
from cores.folding.channel_order import balanced, order_classes, reorder
from cores.folding.lane_loads import lane_loads
from cores.folding.profile import Profile
from cores.graph import Concat, Conv, Graph, Requantization, Slice, Table, Tensor
from cores.stages import Folding, walk_of
from cores.validate import validate
from sim import reference
from strategies import check

LAYERS = (
    {"op": "conv", "filters": 7, "padding": (1, 1, 1, 1)}, {"op": "depthwise", "padding": (1, 1, 1, 1)},
    {"op": "add", "other": "t0"}, {"op": "avg", "kernel": (2, 2), "padding": (1, 0, 0, 1)},
    {"op": "conv", "filters": 6, "kernel": (1, 1)}, {"op": "max", "kernel": (2, 2), "stride": (2, 2)},
    {"op": "fc", "filters": 3})


@given(st.integers(0, 1000))
@check(25)
def test_any_order_has_the_same_outputs(seed):
    network, x = networks.chain(*LAYERS, shape=(6, 6, 3), seed=seed)
    rng, orders = np.random.default_rng(seed), {}
    for members in order_classes(network).values():
        order = rng.permutation(network.tensors[members[0]].channels)
        orders.update(dict.fromkeys(members, order))
    other = reorder(network, orders)
    validate(other)
    before, after = (reference.run(n, x) for n in (network, other))
    for name, values in before.items():
        assert np.array_equal(after[name], values[..., orders[name]] if name in orders else values)
    profile = Profile(network, x)
    again, made = profile.reordered(other, orders), Profile(other, x)
    for node in other.nodes:
        folding = Folding(2, 1, 1, 2, 2)
        assert again.cycles(node, folding) == made.cycles(node, folding)


def test_classes():
    """What the chain ties, and that input and output keep their order."""
    network, _ = networks.chain(*LAYERS, shape=(6, 6, 3))
    assert sorted(order_classes(network).values()) == [["t0", "t1", "t2", "t3"], ["t4", "t5"]]


def scale(channels):
    return Requantization(np.full(channels, 1 << 16), np.full(channels, 20), 0, 255)


def conv(name, source, target, filters, channels, groups=1):
    weights = np.random.default_rng(0).integers(-99, 99, (filters, 1, 1, channels // groups))
    return Conv(name, source, target, weights, np.zeros(filters, int), scale(filters), groups=groups)


@pytest.mark.parametrize("kind", ["concat", "slice", "grouped"])
def test_what_moves_channels_keeps_them(kind):
    middle = {"concat": Concat("m", ("a", "b"), "c"), "slice": Slice("m", "a", "c", (0, 0, 2), (4, 4, 4)),
              "grouped": conv("m", "a", "c", 8, 8, groups=2)}[kind]
    channels = {"in": 4, "a": 8, "b": 8, "c": {"concat": 16, "slice": 4, "grouped": 8}[kind], "d": 6, "out": 2}
    network = Graph("g", "in", ("out",), {n: Tensor(n, 4, 4, c, 0, 255) for n, c in channels.items()}, (
        conv("1", "in", "a", 8, 4), conv("2", "in", "b", 8, 4), middle, conv("3", "c", "d", 6, channels["c"]),
        conv("4", "d", "out", 2, 6)))
    assert list(order_classes(network).values()) == ([["d"]] if kind == "concat" else [["b"], ["d"]])


def test_tables_of_channels_move_along():
    network, x = networks.chain(LAYERS[0], {"op": "conv", "filters": 4}, shape=(5, 5, 2))
    table = Table("t", "t0", "tt", 0, np.random.default_rng(1).integers(0, 256, (7, 256)))
    tensors = {**network.tensors, "tt": Tensor("tt", 5, 5, 7, 0, 255)}
    last = Conv(**vars(network.nodes[1]) | {"input": "tt"})
    network = Graph("g", "in", network.outputs, tensors, (network.nodes[0], table, last))
    order = np.random.default_rng(2).permutation(7)
    other = reorder(network, {"t0": order, "tt": order})
    wanted, got = (reference.run_outputs(n, x) for n in (network, other))
    np.testing.assert_array_equal(got["t1"], wanted["t1"])


def uneven(lanes):
    """A network whose second stage reads channels of very different density, in a bad order for ``lanes``."""
    channels = 8 * lanes
    network, x = networks.chain({"op": "conv", "filters": channels, "kernel": (1, 1)}, {"op": "conv", "filters": 4},
                                shape=(8, 8, 3), frames=4)
    first = network.nodes[0]
    dense = np.arange(channels) % lanes == 0
    bias = np.where(dense, 1 << 20, -(1 << 14) * (np.arange(channels) % 5))
    nodes = (Conv(**vars(first) | {"bias": bias}), network.nodes[1])
    return Graph(network.name, "in", network.outputs, network.tensors, nodes), x


@pytest.mark.parametrize("lanes", [2, 3, 4])
def test_lanes_are_balanced(lanes):
    network, x = uneven(lanes)
    profile, node = Profile(network, x), network.nodes[1]
    foldings = {n.name: Folding(lanes=lanes if n is node else 1, pes=4) for n in network.nodes}

    def share(profile, of=network):
        node = of.nodes[1]
        walk = walk_of(node, of.tensors[node.input])
        products = lane_loads(profile.mask(node.input), walk, 1, lanes, 1).sum(0)
        return products.mean() / products.max()

    assert share(profile) < 0.7
    for given_foldings, least in ((foldings, 0.9), (None, 0.8)):
        orders = balanced(network, profile, given_foldings)
        other = reorder(network, orders)
        ordered = profile.reordered(other, orders)
        assert share(ordered, other) > least


def test_same_order_each_time():
    network, x = uneven(4)
    first, second = (balanced(network, Profile(network, x)) for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first) and set(first) == set(second)
