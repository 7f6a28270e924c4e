"""A node on some of its channels, or on all of them in another order."""
from dataclasses import replace

import numpy as np

from cores.graph import Conv, Pool, Table

__all__ = ["take"]


def take(node, source, made):
    """``node`` on channels ``source`` of its input, and making channels ``made``: masks, or indices in their new order.

    A convolution loses what other input channels contribute. One with groups, but for a depthwise one,
    cannot be taken apart, and nodes that move channels are for the caller.
    """
    if isinstance(node, Conv) and node.groups > 1:
        weights = node.weights[made]
        return replace(node, weights=weights, bias=node.bias[made], groups=len(weights),
                       requantization=_entries(node.requantization, made))
    if isinstance(node, Conv):
        return replace(node, weights=np.ascontiguousarray(node.weights[made][..., source]),
                       bias=node.bias[made], requantization=_entries(node.requantization, made))
    if isinstance(node, Pool) and node.requantization is not None and node.counted is None:
        return replace(node, requantization=_entries(node.requantization, made))
    if isinstance(node, Table) and len(node.values) > 1:
        return replace(node, values=node.values[made])
    return node


def _entries(scale, made):
    return replace(scale, multiplier=scale.multiplier[made], shift=scale.shift[made])
