"""Branches of a network: which tensors share their ways, and how deep the queues of a join must be."""
import numpy as np

from cores.graph import Add, Conv
from cores.stages import walk_of

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

    A pool and a depthwise convolution keep their channels' order, an addition has both operands'.
    """
    parent = {name: name for name in network.tensors}

    def root(name):
        while parent[name] != name:
            name = parent[name]
        return name

    for node in network.nodes:
        if not (isinstance(node, Conv) and node.groups == 1):
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
    origin = _parting(makers, node.inputs)
    needs = [_needs(network, makers, name, origin) for name in node.inputs]
    depths = []
    for name, mine, other in zip(node.inputs, needs, needs[::-1]):
        # Output pixels that this path must get rid of to accept what the other's pixel n needs: a
        # path without a stage accepts a pixel by holding it, a stage before making anything of it.
        made = np.searchsorted(mine, other, side="right" if name == origin else "left")
        ahead = int((made - np.arange(len(mine))).max())
        depths.append(max(2, ahead + network.tensors[node.output].width if ahead > 1 else 2))
    return tuple(depths)


def _ancestors(makers, name):
    """Tensors that every path from the input to ``name`` passes, nearest first, ``name`` included."""
    chain = [name]
    while chain[-1] in makers:
        inputs = makers[chain[-1]].inputs
        chain.append(inputs[0] if len(set(inputs)) == 1 else _parting(makers, inputs))
    return chain


def _parting(makers, names):
    """The nearest tensor through which all paths to all of ``names`` go."""
    first, *others = [_ancestors(makers, name) for name in names]
    return next(name for name in first if all(name in other for other in others))


def _needs(network, makers, name, origin):
    """Number of the last pixel of ``origin`` that each pixel of ``name`` needs, never falling."""
    if name == origin:
        tensor = network.tensors[name]
        return np.arange(tensor.height * tensor.width)
    node = makers[name]
    if isinstance(node, Add):
        needs = np.max([_needs(network, makers, operand, origin) for operand in node.inputs], axis=0)
    else:
        source = node.inputs[0]
        own = np.array(walk_of(node, network.tensors[source]).needs()).ravel()
        needs = _needs(network, makers, source, origin)[own]
    return np.maximum.accumulate(needs)
