"""Which layers of a network may have a threshold, and the network with them."""
from dataclasses import replace

from cores.graph import Add, Conv

__all__ = ["places", "thresholds_of", "with_thresholds"]


def places(network):
    """Nodes that a threshold may make sparser, in the order of the network.

    They are convolutions and additions with a ReLU: stored values from 0 on, whose smallest are real values next
    to zero. Whatever reads them, be it tied to others, takes zeros as well. What only leaves the network stays as it is.
    """
    read = {name for node in network.nodes for name in node.inputs}
    return [node for node in network.nodes
            if isinstance(node, (Conv, Add)) and node.output in read and _clamp(node).low == 0 < _clamp(node).high]


def thresholds_of(network):
    """{node's name: its threshold}, of the nodes that have one."""
    found = {node.name: _clamp(node).threshold for node in network.nodes
             if isinstance(node, Add) or getattr(node, "requantization", None) is not None}
    return {name: threshold for name, threshold in found.items() if threshold > 1}


def with_thresholds(network, thresholds):
    """The network with other thresholds: of the nodes in ``thresholds``, by their names."""
    def of(node):
        if node.name not in thresholds:
            return node
        changed = replace(_clamp(node), threshold=thresholds[node.name])
        return changed if isinstance(node, Add) else replace(node, requantization=changed)

    return replace(network, nodes=tuple(map(of, network.nodes)))


def _clamp(node):
    """What holds a node's bounds and threshold."""
    return node if isinstance(node, Add) else node.requantization
