"""Ties and queue depths of branching networks."""
import numpy as np
import pytest

from cores.branches import join_depths, readers, tied
from cores.graph import Add, Conv, Graph, Pool, Requantization, Tensor

SCALE = Requantization(np.array([1 << 16]), np.array([16]), 0, 255)


def graph(*nodes, size=(12, 12)):
    """A graph of one channel whose maps all have the size that their window makes of it."""
    tensors = {"x": Tensor("x", *size, 1, 0, 255)}
    for node in nodes:
        source = tensors[node.inputs[0]]
        stride = getattr(node, "stride", (1, 1))
        tensors[node.output] = Tensor(node.output, -(-source.height // stride[0]), -(-source.width // stride[1]), 1, 0, 255)
    return Graph("g", "x", (nodes[-1].output,), tensors, tuple(nodes))


def conv(source, target, kernel=3, stride=1, groups=1):
    return Conv(target, source, target, np.ones((1, kernel, kernel, 1), int), np.zeros(1, int), SCALE,
                (stride, stride), padding=(kernel // 2,) * 4, groups=groups)


def add(first, second, target):
    return Add(target, first, second, target, (1, 1), 0, 0, 0, 255)


def test_identity_shortcut():
    """The figure of two 3x3 convolutions: 2W + 2 pixels deadlock, a row more than 2W + 3 is fast."""
    g = graph(conv("x", "a"), conv("a", "b"), add("b", "x", "y"))
    assert join_depths(g, g.nodes[-1]) == (2, 3 * 12 + 3)


def test_operands_in_the_other_order():
    g = graph(conv("x", "a"), conv("a", "b"), add("x", "b", "y"))
    assert join_depths(g, g.nodes[-1]) == (3 * 12 + 3, 2)


def test_downsampling_block():
    """Behind the 1x1 convolution, pixels of the smaller map are counted."""
    g = graph(conv("x", "a", stride=2), conv("a", "b"), conv("x", "c", kernel=1, stride=2), add("b", "c", "y"))
    short = join_depths(g, g.nodes[-1])
    assert short[0] == 2 and 6 + 2 < short[1] <= 2 * 6 + 6 + 2


def test_same_operand_twice_and_equal_branches():
    g = graph(conv("x", "a"), add("a", "a", "y"))
    assert join_depths(g, g.nodes[-1]) == (2, 2)
    g = graph(conv("x", "a"), conv("x", "b"), add("a", "b", "y"))
    assert join_depths(g, g.nodes[-1]) == (2, 2)


def test_nested_joins():
    """A join inside a branch: the outer shortcut holds the lag of all four convolutions."""
    g = graph(conv("x", "a"), conv("a", "b"), add("b", "x", "s"), conv("s", "c"), conv("c", "d"),
              add("d", "s", "t"), add("t", "x", "y"))
    assert join_depths(g, g.nodes[2])[1] == 3 * 12 + 3
    assert join_depths(g, g.nodes[-2])[1] == 3 * 12 + 3
    assert join_depths(g, g.nodes[-1])[1] == 4 * 12 + 5 + 12


def test_ties():
    pool = Pool("p", "b", "p", "max", (1, 1))
    g = graph(conv("x", "a"), conv("a", "b"), pool, conv("p", "q", groups=2), add("q", "p", "y"), conv("y", "z"))
    ties = tied(g)
    assert len({ties[name] for name in ("b", "p", "q", "y")}) == 1
    assert len({ties[name] for name in ("x", "a", "b", "z")}) == 4


def test_readers():
    g = graph(conv("x", "a"), add("a", "x", "y"))
    assert [n.name for n in readers(g)["x"]] == ["a", "y"] and readers(g)["y"] == []


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_small_maps(size):
    g = graph(conv("x", "a"), conv("a", "b"), add("b", "x", "y"), size=size)
    first, second = join_depths(g, g.nodes[-1])
    assert first == 2 and 2 <= second <= size[0] * size[1] + size[1] + 1
