"""Branches of a network: which tensors share their ways, and how deep the queues of a join must be."""
import functools

import numpy as np

from cores.graph import Pad, Slice, Upsample
from cores.stages import has_engine, is_windowed, walk_of

__all__ = ["tied", "readers", "join_depths"]


def readers(network):
    """Nodes that read each tensor, by its name."""
    result = {name: [] for name in network.tensors}
    for node in network.nodes:
        for name in node.inputs:
            result[name].append(node)
    return result


def tied(network):
    """The class of each tensor by name: tensors of one class have their channels on the same ways.

    Only a convolution that mixes channels starts a new order of them.
    """
    parent = {name: name for name in network.tensors}

    def root(name):
        while parent[name] != name:
            name = parent[name]
        return name

    for node in network.nodes:
        if not has_engine(node):
            for name in node.inputs:
                parent[root(name)] = root(node.output)
    return {name: root(name) for name in network.tensors}


def join_depths(network, node):
    """Pixels that the queue before each operand of ``node`` must hold so that nothing deadlocks.

    Where two paths part and meet again, the shorter one runs ahead while the longer one waits for
    the pixels under its windows. Its queue must hold what it makes meanwhile, whatever the data:
    counted from the pixels of the tensor where the paths part that each output pixel needs. A row
    more keeps both at full speed.

    Returns
    -------
    tuple of int
        In the order of ``node.inputs``.
    """
    makers = {n.output: n for n in network.nodes}
    origin = _parting(_dominators(network), node.inputs)

    @functools.cache
    def needs(name):
        """Number of the last pixel of ``origin`` that each pixel of ``name`` needs, never falling."""
        if name == origin:
            tensor = network.tensors[name]
            return np.arange(tensor.height * tensor.width)
        maker = makers[name]
        sources = [needs(source)[_pixels_needed(network, maker, network.tensors[source])]
                   for source in maker.inputs]
        return np.maximum.accumulate(np.max(sources, axis=0))

    depths = []
    for number, name in enumerate(node.inputs):
        mine, others = needs(name), [*node.inputs[:number], *node.inputs[number + 1:]]
        latest = np.max([needs(other) for other in others], axis=0)
        # Output pixels that this path must get rid of to accept what the latest of the others'
        # pixel n needs: a path without a stage accepts a pixel by holding it, a stage before making
        # anything of it.
        made = np.searchsorted(mine, latest, side="right" if name == origin else "left")
        ahead = int((made - np.arange(len(mine))).max())
        depths.append(max(2, ahead + network.tensors[node.output].width if ahead > 1 else 2))
    return tuple(depths)


def _dominators(network):
    """{tensor's name: those that every path from the input to it passes, nearest first, itself too}."""
    chains = {network.input: (network.input,)}
    for node in network.nodes:
        common = chains[_parting(chains, node.inputs)]
        chains[node.output] = (node.output, *common)
    return chains


def _parting(chains, names):
    """The nearest tensor through which all paths to all of ``names`` go."""
    first, *others = [chains[name] for name in names]
    return next(name for name in first if all(name in other for other in others))


def _pixels_needed(network, node, source):
    """Number of the last pixel of ``source`` that each output pixel of ``node`` needs."""
    target = network.tensors[node.output]
    if is_windowed(node):
        return np.array(walk_of(node, source).needs()).ravel()
    y, x = np.arange(target.height), np.arange(target.width)
    if isinstance(node, Slice):
        y, x = node.start[0] + y * node.step[0], node.start[1] + x * node.step[1]
    elif isinstance(node, Upsample):
        y, x = y // node.factor[0], x // node.factor[1]
    elif isinstance(node, Pad):         # what is beyond the map goes with its nearest pixel
        y = np.clip(y - node.before[0], 0, source.height - 1)
        x = np.clip(x - node.before[1], 0, source.width - 1)
    return np.add.outer(y * source.width, x).ravel()
