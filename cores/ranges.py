"""What each channel of each tensor can reach: intervals carried through the network."""
import numpy as np

from cores.graph import Add, Concat, Conv, Pad, Pool, Slice, Table
from sim import reference

__all__ = ["channel_ranges"]


def channel_ranges(network):
    """Bounds of the stored values of each channel, for any input.

    They are exact for a single layer; over several, correlations are lost and they are wider.

    Returns
    -------
    {tensor's name: (lowest, highest)}, int64 arrays of one entry per channel
    """
    source = network.tensors[network.input]
    if network.input_table is None:
        ranges = {source.name: (np.full(source.channels, source.low), np.full(source.channels, source.high))}
    else:
        ranges = {source.name: (network.input_table.min(1), network.input_table.max(1))}
    for node in network.nodes:
        ranges[node.output] = _through(node, [ranges[name] for name in node.inputs])
    return ranges


def _through(node, sources):
    low, high = sources[0]
    if isinstance(node, (Conv, Pool)) and any(node.padding) and node.op != "max":
        low, high = np.minimum(low, 0), np.maximum(high, 0)
    if isinstance(node, Conv):
        return _conv(node, low, high)
    if isinstance(node, Pool):
        return (low, high) if node.op == "max" else _average(node, low, high)
    if isinstance(node, Add):
        return tuple(reference.add(a, b, node).astype(np.int64) for a, b in zip(*sources))
    if isinstance(node, Concat):
        return tuple(np.concatenate(ends) for ends in zip(*sources))
    if isinstance(node, Slice):
        return tuple(ends[node.start[2]:][:node.size[2]] for ends in (low, high))
    if isinstance(node, Pad):
        return _pad(node, low, high)
    return _table(node, low, high) if isinstance(node, Table) else (low, high)


def _conv(node, low, high):
    positive, negative = np.maximum(node.weights, 0).sum((1, 2)), np.minimum(node.weights, 0).sum((1, 2))
    filters, channels = positive.shape
    group = np.repeat(np.arange(node.groups), filters // node.groups)
    low, high = (ends.reshape(node.groups, channels)[group] for ends in (low, high))
    sums = ((positive * a + negative * b).sum(1) + node.bias for a, b in ((low, high), (high, low)))
    return tuple(reference.requantize(s, node.requantization).astype(np.int64) for s in sums)


def _average(node, low, high):
    taps = node.kernel[0] * node.kernel[1]
    if node.counted is None:
        return tuple(reference.requantize(ends * taps, node.requantization).astype(np.int64)
                     for ends in (low, high))
    # Fewer taps inside than counted ones are possible: 0 is then an operand too.
    counts = np.arange(1, taps + 1)[:, None]
    ends = [reference.requantize((counts * ends).T, node.requantization) for ends in
            (np.minimum(low, 0), np.maximum(high, 0))]
    return ends[0].min(1).astype(np.int64), ends[1].max(1).astype(np.int64)


def _pad(node, low, high):
    widths = node.before[2], node.after[2]
    if any((*node.before[:2], *node.after[:2])):
        low, high = np.minimum(low, node.value), np.maximum(high, node.value)
    return tuple(np.pad(ends, widths, constant_values=node.value) for ends in (low, high))


def _table(node, low, high):
    rows = np.broadcast_to(node.values, (len(low), node.values.shape[1]))
    parts = [row[a - node.low:b - node.low + 1] for row, a, b in zip(rows, low, high)]
    return np.array([part.min() for part in parts]), np.array([part.max() for part in parts])
