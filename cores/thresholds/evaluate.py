"""A network under some thresholds: what becomes of its outputs, and how many products remain."""
from dataclasses import dataclass, replace

import numpy as np

from cores.graph import Conv, Graph
from cores.thresholds.places import with_thresholds
from sim import reference

__all__ = ["Evaluated", "Evaluator"]


@dataclass(frozen=True, eq=False)
class Evaluated:
    """A network with its thresholds, and on the pictures: its outputs, and products per frame by node."""
    network: Graph
    outputs: dict
    products: dict


class Evaluator:
    """Runs a network under thresholds, each time from the first layer that they change.

    What a threshold cuts off lowers the sums of the layers behind. Their mean is put back: the biases of every convolution
    that reads changed values are corrected by what its sums lack on the pictures, filter by filter, in the order of the layers.

    Parameters
    ----------
    network : Graph
        Without thresholds.
    frames : integer array (N, height, width, channels)
        Stored values of its input.
    """

    def __init__(self, network, frames):
        self.network = network
        self._values, self._means, self._products = {network.input: np.asarray(frames, np.int32)}, {}, {}
        for node in network.nodes:
            if isinstance(node, Conv):
                sums = reference.conv_sums(self._values[node.input], node)
                self._means[node.name] = sums.mean((0, 1, 2))
                self._values[node.output] = reference.requantize(sums, node.requantization)
            else:
                self._values[node.output] = reference.run_node(node, *(self._values[n] for n in node.inputs))
        self._products = self._count(network, self._values, network.nodes)

    def nonzeros(self, node):
        """All values of a node's output but zeros."""
        values = self._values[node.output]
        return values[values != 0]

    def run(self, thresholds):
        """The network with ``thresholds``, by the names of :func:`~cores.thresholds.places.places`: an :class:`Evaluated`."""
        network = with_thresholds(self.network, thresholds)
        changed, nodes = {}, []
        for node in network.nodes:
            inputs = [changed.get(name, self._values[name]) for name in node.inputs]
            if isinstance(node, Conv) and node.input in changed:
                sums = reference.conv_sums(inputs[0], node)
                missing = np.rint(self._means[node.name] - sums.mean((0, 1, 2))).astype(np.int64)
                node = replace(node, bias=node.bias + missing)
                changed[node.output] = reference.requantize(sums + missing, node.requantization)
            elif thresholds.get(node.name) or changed.keys() & set(node.inputs):
                changed[node.output] = reference.run_node(node, *inputs)
            nodes.append(node)
        network = replace(network, nodes=tuple(nodes))
        values = self._values | changed
        products = self._products | self._count(
            network, values, [node for node in nodes if changed.keys() & set(node.inputs)])
        return Evaluated(network, {name: values[name] for name in network.outputs}, products)

    def _count(self, network, values, nodes):
        counts, frames = reference.nonzero_macs(replace(network, nodes=tuple(nodes)), values)
        return {name: count / frames for name, count in counts.items()}
