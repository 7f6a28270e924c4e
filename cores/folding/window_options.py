"""The foldings of the published window engine: all that divide channels, filters and taps."""
from itertools import product

import numpy as np

from cores.folding.fields import fields_of
from cores.resources.predict import stage_resources
from cores.stages import Folding

__all__ = ["window_rows"]

MAX_IN, MAX_OUT, MAX_FINE = 32, 64, 9
REQUANTIZE_CYCLES = (8, 4, 2, 1)


def window_rows(network, profile, engine, node, in_widths, widths):
    """Foldings of a convolution: a function from a row's number to its Folding, their fields, cycles, resources.

    Streams, filters at a time and slots as finely as they go, each with the smallest requantizer that
    does not slow it down.
    """
    filters, channels = len(node.weights) // node.groups, node.weights.shape[3]
    taps = node.kernel[0] * node.kernel[1]
    foldings, cycles, taken = [], [], []
    for lanes, fine, pes, out_ways in product(
            _divisors(channels, MAX_IN), _slots(taps), _divisors(filters, MAX_OUT), widths):
        ways = [n for n in in_widths if lanes % n == 0]
        if pes % out_ways or not ways:
            continue
        each = [Folding(lanes, 1, pes, ways[0], out_ways, n, fine=fine) for n in REQUANTIZE_CYCLES]
        spent = [max(profile.window_cycles(node, f), profile.beats(node.output, out_ways)) for f in each]
        best = spent.index(min(spent))
        resources = stage_resources(network, node, each[best], engine)      # near enough for all ways
        for n in ways:
            foldings.append(Folding(**vars(each[best]) | {"ways": n}))
            cycles.append(spent[best])
            taken.append(resources)
    amounts = {name: np.array([getattr(one, name) for one in taken]) for name in ("dsp", "lut", "bram36")}
    amounts["multipliers"] = np.array([f.multipliers for f in foldings])
    return foldings.__getitem__, fields_of(foldings), np.array(cycles), amounts


def _slots(taps):
    """Numbers of slots: every one up to :data:`MAX_FINE`, and of larger kernels those that divide."""
    return [*range(1, min(taps, MAX_FINE) + 1), *(n for n in _divisors(taps, taps) if n > MAX_FINE)]


def _divisors(number, most):
    return [n for n in range(1, min(number, most) + 1) if number % n == 0]
