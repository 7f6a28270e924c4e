"""The foldings that a stage may have, with their cycles, DSP blocks and multipliers."""
from itertools import product

import numpy as np

from cores.folding.profile import WINDOWS
from cores.graph import Add, Pool
from cores.stages import Folding, dsps, has_engine, is_depthwise, multipliers

__all__ = ["MAX_WAYS", "Options"]

MAX_LANES, MAX_PES, MAX_WAYS = 32, 64, 16
REQUANTIZE_CYCLES = (1, 2, 3, 4, 8)     # one with a DSP block, and with 4, 3, 2 and 1 adders of LUTs


class Options:
    """All foldings of a stage as columns of numbers, one row each.

    A convolution's lanes leave open how many ways its input has: any number that divides them. The
    other stages have as many ways on both sides as lanes.

    Parameters
    ----------
    network : Graph
    profile : Profile
    engine : Engine
    node : node of the graph
    widths : sequence of int
        Numbers of ways that its output may have.
    """

    def __init__(self, network, profile, engine, node, widths):
        self.node, self.any_ways = node, has_engine(node)
        rows = _engine_rows if self.any_ways else _plain_rows
        self.foldings, cycles = zip(*rows(network, profile, node, widths))
        self.cycles = np.array(cycles)
        self.lanes, self.out_ways = (np.array([getattr(f, name) for f in self.foldings])
                                     for name in ("lanes", "out_ways"))
        self.amounts = {"dsp": _dsps(network, node, self.foldings, engine),
                        "multipliers": np.array([multipliers(node, f) for f in self.foldings])}

    def within(self, cycles, ways, out_ways):
        """Numbers of the rows that take at most ``cycles`` with these ways."""
        fits = (self.cycles <= cycles) & (self.out_ways == out_ways)
        return np.flatnonzero(fits & (self.lanes % ways == 0 if self.any_ways else self.lanes == ways))

    def distinct(self, rows, unit):
        """Of rows that are fast enough, those that may be the cheapest; least of a unit first.

        Of the same lanes and PEs, the slowest requantizer is the smallest, and windows that need not be far
        apart; more than two numbers of PEs on the same lanes save nothing.
        """
        best, seen, kept = {}, {}, []
        for row in rows.tolist():
            f = self.foldings[row]
            key = f.lanes, f.row_lanes, f.pes, f.requantize_cycles > 1, f.add_dsps
            best[key] = max(best.get(key, (0, 0, 0)), (f.requantize_cycles, -f.windows, row))
        for *_, row in sorted(best.values(), key=lambda item: (self.amounts[unit][item[-1]], item[-1])):
            f = self.foldings[row]
            key = f.lanes, f.row_lanes, f.requantize_cycles, f.windows, f.add_dsps
            seen[key] = seen.get(key, 0) + 1
            if seen[key] <= 2:
                kept.append(row)
        return kept

    def folding(self, row, ways):
        """A row's folding."""
        folding = self.foldings[row]
        return Folding(**vars(folding) | {"ways": ways})


def _engine_rows(network, profile, node, widths):
    """(Folding, cycles) of a convolution."""
    filters, channels = len(node.weights) // node.groups, node.weights.shape[3]
    beats = {ways: profile.beats(node.output, ways) for ways in widths}
    for lanes, row_lanes in product(range(1, min(MAX_LANES, channels) + 1), _row_lanes(node)):
        if node.groups > 1 and channels % lanes:
            continue
        cells = [(pes, ways, n) for ways in widths for pes in _pes(node, filters, ways)
                 for n in REQUANTIZE_CYCLES]
        pes, ways, cycles = np.array(cells).T
        for windows in WINDOWS if lanes * row_lanes > 1 else WINDOWS[:1]:
            taken = -(-filters // pes) * profile.busiest(node, lanes, row_lanes, -(-pes // ways) * cycles, windows)
            for cell, own in zip(cells, taken.tolist()):
                yield (Folding(lanes, row_lanes, cell[0], 1, *cell[1:], windows=windows),
                       max(own, beats[cell[1]]))


def _plain_rows(network, profile, node, widths):
    """(Folding, cycles) of any other stage."""
    requantizes = is_depthwise(node) or (isinstance(node, Pool) and node.requantization is not None)
    for ways, row_lanes, cycles, add_dsps, windows in product(
            widths, _row_lanes(node) if is_depthwise(node) else (1,), REQUANTIZE_CYCLES if requantizes else (1,),
            (None, 0) if isinstance(node, Add) else (None,), WINDOWS):
        if row_lanes == 1 and windows != WINDOWS[0]:
            continue
        folding = Folding(ways, row_lanes, 1, ways, ways, cycles, add_dsps, windows)
        yield folding, max(profile.cycles(node, folding), profile.beats(node.output, ways))


def _row_lanes(node):
    """Numbers of row lanes that share a kernel's rows evenly."""
    return [n for n in range(1, node.kernel[0] + 1) if node.kernel[0] % n == 0]


def _pes(node, filters, ways):
    """Numbers of PEs, multiples of ``ways``, that each take fewer passes than the one before."""
    counts = {-(-(-(-filters // passes)) // ways) * ways for passes in range(1, filters + 1)}
    if node.groups > 1:             # every pass is full, and a lane has its share of each group
        counts = {pes for pes in counts if filters % pes == 0}
    return sorted(pes for pes in counts if pes <= min(filters, MAX_PES))


def _dsps(network, node, foldings, engine):
    """DSP blocks of each folding; of a convolution, all lanes have as many."""
    if not has_engine(node):
        return np.array([dsps(network, node, folding, engine) for folding in foldings])
    known = {}

    def of(pes, ways, serial):
        if (pes, ways, serial) not in known:
            known[pes, ways, serial] = dsps(network, node, Folding(
                pes=pes, out_ways=ways, requantize_cycles=2 if serial else 1), engine)
        return known[pes, ways, serial]

    counts = []
    for f in foldings:
        lane = of(f.pes, f.out_ways, True)
        rest = of(f.pes, f.out_ways, f.requantize_cycles > 1) - lane
        counts.append(f.lanes * f.row_lanes * lane + rest)
    return np.array(counts)
