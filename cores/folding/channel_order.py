"""Which channel goes to which lane: channels put into an order that gives every lane as much to do.

Lanes and ways take channels in turn, so that an order of a tensor's channels is an assignment. It costs
no hardware: filters, and the weights that meet them, are stored in that order.
"""
from dataclasses import dataclass, replace

import numba
import numpy as np

from cores.graph import Add, Concat, Pad, Slice
from cores.stages import has_engine, is_windowed, walk_of
from cores.take import take

__all__ = ["balanced", "order_classes", "reorder"]

SWAPS = 3000            # tried in each class
ANY_LANES = range(2, 17)


def balanced(network, profile, foldings=None):
    """Orders of channels that balance the lanes of all stages.

    Parameters
    ----------
    network : Graph
    profile : Profile
        Where the non-zeros are.
    foldings : dict or None
        Folding of each node, whose lanes are balanced; None to balance any number of lanes about as well.

    Returns
    -------
    dict of str to array of int
        For :func:`reorder`, of all tensors that can be in another order.
    """
    classes = order_classes(network)
    uses = {tie: [] for tie in classes}
    for node in network.nodes:
        if not (is_windowed(node) or isinstance(node, Add)):
            continue
        for name in dict.fromkeys(node.inputs):
            for tie, members in classes.items():
                if name not in members:
                    continue
                counts = _products(profile, node, name)
                for lanes in ANY_LANES if foldings is None else [foldings[node.name].lanes]:
                    if 1 < lanes < len(counts):
                        weight = 1.0 if foldings is None else profile.cycles(node, foldings[node.name])
                        uses[tie].append(Use(counts * (weight * lanes / max(1, counts.sum())), lanes))
    rng = np.random.default_rng(0)
    orders = {name: _order(uses[tie], network.tensors[name].channels, rng)
              for tie, members in classes.items() if uses[tie] for name in members[:1]}
    return {name: orders[members[0]] for members in classes.values() if members[0] in orders
            for name in members}


@dataclass(frozen=True, eq=False)
class Use:
    """How much each channel of a class gives a stage to do, whose lanes take them in turn."""
    work: np.ndarray
    lanes: int


def order_classes(network):
    """Tensors whose channels may be in any order, by classes that must have one order in common.

    Only a convolution that mixes all channels lets them be in another order on its other side. Input
    and outputs keep theirs, and so does what is joined, cut or padded along its channels, or read or made
    in groups.

    Returns
    -------
    dict of str to list of str
        Names of the tensors of each class, by the name of one of them.
    """
    parent = {name: name for name in network.tensors}

    def root(name):
        while parent[name] != name:
            name = parent[name]
        return name

    fixed = {network.input, *network.outputs}
    for node in network.nodes:
        if has_engine(node) and node.groups == 1:
            continue
        if has_engine(node) or isinstance(node, Concat) or _moves_channels(network, node):
            fixed.update((*node.inputs, node.output))
        for name in node.inputs:
            parent[root(name)] = root(node.output)
    classes = {}
    for name in network.tensors:
        classes.setdefault(root(name), []).append(name)
    return {tie: names for tie, names in classes.items() if not fixed.intersection(names)}


def _moves_channels(network, node):
    return (isinstance(node, (Slice, Pad))
            and network.tensors[node.inputs[0]].channels != network.tensors[node.output].channels)


def _products(profile, node, name):
    """How many products of a stage each channel of its input takes part in, over all frames."""
    counts = profile.nonzeros(name)         # of each pixel's place and channel
    if isinstance(node, Add):
        return counts.sum((0, 1)).astype(float)
    y, x = walk_of(node, profile.network.tensors[name]).axes()
    return np.einsum("hwc,h,w->c", counts, _visits(y), _visits(x), dtype=float)


def _visits(axis):
    """How many windows see each coordinate of an axis."""
    visits = np.zeros(axis.size)
    for output, (first, count) in enumerate(axis.inside):
        for tap in range(first, first + count):
            visits[axis.coordinate(output, tap)] += 1
    return visits


def _order(uses, channels, rng):
    """An order of channels: new channel n is old channel order[n].

    The channels with most work are dealt first, there and back again, and swapped as long as that helps.
    """
    work = sum(use.work / use.lanes for use in uses)
    most = max(use.lanes for use in uses)
    places = np.arange(channels)
    turn, lane = divmod(places, most)
    order = np.argsort(-work, kind="stable")[
        np.minimum(turn * most + np.where(turn % 2, np.minimum(most, channels - turn * most) - 1 - lane, lane),
                   channels - 1)]
    loads = np.zeros((len(uses), most))
    for load, use in zip(loads, uses):
        load[:use.lanes] = np.bincount(places % use.lanes, use.work[order], use.lanes)
    _swap(order, np.stack([use.work for use in uses]), np.array([use.lanes for use in uses]), loads,
          rng.integers(channels, size=(SWAPS, 2)))
    return order


@numba.njit(cache=True)
def _swap(order, work, lanes, loads, pairs):
    """Swap pairs of places where that brings the busiest lanes of the uses down; changes ``order`` and ``loads``."""
    after = np.empty_like(loads)
    for a, b in pairs:
        gain = 0.0
        for use in range(len(lanes)):
            after[use] = loads[use]
            more = work[use, order[b]] - work[use, order[a]]
            after[use, a % lanes[use]] += more
            after[use, b % lanes[use]] -= more
            gain += loads[use].max()**4 - after[use].max()**4       # the stage that is slowest matters most
        if gain > 0:
            order[a], order[b] = order[b], order[a]
            loads[:] = after


def reorder(network, orders):
    """The network with the channels of some tensors in another order.

    Parameters
    ----------
    network : Graph
    orders : dict of str to array of int
        Of each tensor's name: its new channel n is old channel order[n]. Tensors of one class have the
        same.

    Returns
    -------
    Graph
        With the same outputs for every input.
    """
    def of(name):
        return orders.get(name, np.arange(network.tensors[name].channels))

    return replace(network, nodes=tuple(
        take(node, of(node.inputs[0]), of(node.output))
        if {*node.inputs, node.output} & set(orders) else node for node in network.nodes))
