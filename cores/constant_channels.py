"""Channels that have one value for every input, or that nobody reads, taken out of a network exactly."""
from dataclasses import replace

import numpy as np

from cores.branches import readers
from cores.graph import Concat, Conv, Pad, Slice
from cores.ranges import channel_ranges
from cores.stages import is_depthwise
from cores.take import take

__all__ = ["without_constant_channels"]


def without_constant_channels(network):
    """The network without needless channels, with the same outputs for every input.

    A filter whose output cannot leave one value is left out, and what it gives to the sums of the
    next layer becomes part of their biases: not where padding would make that differ at the border,
    unless the value is 0. So is a channel that meets zero weights only. Tensors whose channels are
    tied, by an addition for instance, lose them together. Input and outputs keep all.

    Returns
    -------
    (Graph, {tensor's name: number of channels removed})
        The second without tensors that keep all.
    """
    keep = _Removal(network).kept()
    ranges = channel_ranges(network)
    tensors = {name: replace(tensor, channels=int(keep[name].sum()))
               for name, tensor in network.tensors.items()}
    nodes = tuple(_rebuilt(node, [keep[name] for name in node.inputs], keep[node.output],
                           ranges[node.inputs[0]][0]) for node in network.nodes)
    removed = {name: int((~mask).sum()) for name, mask in keep.items() if not mask.all()}
    return replace(network, tensors=tensors, nodes=nodes), removed


class _Removal:
    """Which channels can go: all at first, then fewer until no node objects."""

    def __init__(self, network):
        self.network = network
        self.ranges = channel_ranges(network)
        self.readers = readers(network)
        self.gone = {name: np.full(tensor.channels, True) for name, tensor in network.tensors.items()}
        for name in (network.input, *network.outputs):
            self.gone[name][:] = False

    def kept(self):
        """{tensor's name: mask of its channels}, at least one in each."""
        while True:
            while any([self._object(node) for node in self.network.nodes]):
                pass
            empty = [mask for name, mask in self.gone.items() if mask.all()]
            if not empty:
                return {name: ~mask for name, mask in self.gone.items()}
            empty[0][0] = False

    def _object(self, node):
        """Keep what ``node`` needs kept; returns whether that was anything new."""
        before = [self.gone[name].sum() for name in (*node.inputs, node.output)]
        made = self.gone[node.output]
        if isinstance(node, Conv) and not is_depthwise(node):
            source = self.gone[node.input]
            if node.groups > 1:
                source[:] = made[:] = False
            else:
                used = node.weights[~made].any(axis=(0, 1, 2))
                source &= ~used | self._foldable(node)
        elif isinstance(node, Concat):
            ends = np.cumsum([len(self.gone[name]) for name in node.inputs])
            for name, part in zip(node.inputs, np.split(made, ends[:-1])):
                part &= self.gone[name]             # a view of made
                self.gone[name] &= part
        elif isinstance(node, Slice):
            source = self.gone[node.input][node.start[2]:][:node.size[2]]
            source &= made
            made &= source
        elif isinstance(node, Pad) and (node.before[2] or node.after[2]):
            self.gone[node.input][:] = made[:] = False
        else:
            for name in node.inputs:
                made &= self.gone[name]
            for name in node.inputs:
                self.gone[name] &= made
        return before != [self.gone[name].sum() for name in (*node.inputs, node.output)]

    def _foldable(self, node):
        """Channels whose contribution to a convolution's sums is the same for every window."""
        low, high = self.ranges[node.input]
        return (low == high) & ((low == 0) | (not any(node.padding)))


def _rebuilt(node, sources, made, values):
    """``node`` on the kept channels; ``values`` are those of its constant input channels."""
    source = sources[0]
    if isinstance(node, Slice):
        top, left, first = node.start
        return replace(node, start=(top, left, int(source[:first].sum())),
                       size=(*node.size[:2], int(made.sum())))
    if not isinstance(node, Conv) or is_depthwise(node):
        return take(node, source, made)
    if node.groups > 1:
        return node
    kept = take(node, source, made)
    return replace(kept, bias=kept.bias + node.weights[made][..., ~source].sum(axis=(1, 2)) @ values[~source])
