"""All foldings that a network's stages may have together, and the choice among them."""
from dataclasses import dataclass, field
from functools import cached_property
from math import inf

import numpy as np

from cores.branches import tied
from cores.folding.options import MAX_WAYS, RESOURCES, Options
from cores.folding.solver import Stage, cheapest
from cores.graph import Concat, Pad, Slice
from cores.stages import has_engine

__all__ = ["PRICES", "Design", "Space", "cycles_per_frame"]

WAYS = (1, 2, 4, 8, 16)
# What a design that is fast enough should save: about the proportions in which devices hold them.
PRICES = {"dsp": 100, "lut": 1, "bram36": 300}


@dataclass(frozen=True)
class Design:
    """A folding for every stage.

    ``ways`` are those of the network's input, ``foldings`` go by node name, and
    ``cycles_per_frame`` is the slowest stage's, the input's or the output's (modelled). ``amounts`` are the DSP
    blocks, multipliers, LUTs and block memories of its stages, and their "price" in units of a LUT (predicted). ``gap`` is
    the share of that which a design as fast might save: 0 if it was proven that none does. ``slower`` is the share by which it takes more cycles than the
    fastest design that was found within the budget, and ``rate_gap`` the share by which one may exist that
    takes fewer than that: 0 if it was proven that none does.
    """
    ways: int
    foldings: dict
    cycles_per_frame: float
    amounts: dict = field(default_factory=dict)
    gap: float = 0.0
    slower: float = 0.0
    rate_gap: float = 0.0

    @property
    def price(self):
        return self.amounts["price"]


def cycles_per_frame(network, profile, ways, foldings):
    """Cycles per frame of the slowest stage, or of the input or an output where they are slower (modelled).

    ``ways`` are those of the network's input, whose samples arrive one per cycle and way; those of an output
    leave one per cycle.
    """
    return max(_samples(network, network.input) / ways,
               *(float(_samples(network, name)) for name in network.outputs),
               *(max(profile.cycles(node, foldings[node.name]),
                     profile.beats(node.output, foldings[node.name].out_ways)) for node in network.nodes))


class Space:
    """The Pareto sets of all stages, and what their foldings must agree on.

    Parameters
    ----------
    network : Graph
    profile : Profile
    engine : Engine
    """

    def __init__(self, network, profile, engine):
        self.network, self.profile, self.engine = network, profile, engine
        self.tied = tied(network)
        self.widths = {tie: self._widths(tie) for tie in dict.fromkeys(self.tied.values())}
        self.options = {}
        for node in network.nodes:
            reads, makes = (self.widths[self.tied[name]] for name in (node.inputs[0], node.output))
            self.options[node.name] = options = Options(network, profile, engine, node, reads, makes)
            options.amounts["price"] = sum(options.amounts[name] * price for name, price in PRICES.items())

    @cached_property
    def levels(self):
        """All cycles per frame that a design may have, rising."""
        network = self.network
        inputs = [_samples(network, network.input) / ways for ways in self.widths[self.tied[network.input]]]
        outputs = [float(_samples(network, name)) for name in network.outputs]
        return np.unique(np.concatenate(
            [inputs, outputs, *(options.cycles for options in self.options.values())]))

    def best(self, cycles, objective, limits, *, any_price=False, below=inf):
        """The design within ``cycles`` and ``limits`` that takes least of ``objective``.

        Parameters
        ----------
        cycles : float
        objective : str
            A resource, or "price".
        limits : dict of str to float
            How much of which resource all stages may take.
        any_price : bool
            Any design that is within them.
        below : float
            Amount of the objective from which on a design is of no use.

        Returns
        -------
        Design or None
            None if it is proven that there is none of use.

        Raises
        ------
        Undecided
            If the search ended before.
        """
        network = self.network
        samples, *outputs = (_samples(network, name) for name in (network.input, *network.outputs))
        widths = {tie: [n for n in allowed if tie != self.tied[network.input] or samples / n <= cycles]
                  for tie, allowed in self.widths.items()}
        if max(outputs) > cycles or not all(widths.values()):
            return None
        names, stages, rows = list(dict.fromkeys((*limits, objective))), [], []
        for node in network.nodes:
            reads, makes, own = self.tied[node.inputs[0]], self.tied[node.output], self.options[node.name]
            found = own.within(cycles, names)
            found = found[np.isin(own.ways[found, 0], widths[reads]) & np.isin(own.ways[found, 1], widths[makes])]
            if not found.size:
                return None
            stages.append(Stage(reads, makes, own.ways[found], own.amounts[objective][found],
                                np.array([own.amounts[name][found] for name in limits]).reshape(-1, found.size)))
            rows.append(found)
        found = cheapest(stages, widths, tuple(limits.values()), any_price=any_price, below=below)
        if found is None:
            return None
        numbers, ways, gap = found
        ways = ways[self.tied[network.input]]
        chosen = [(own, found[number]) for own, found, number in zip(self.options.values(), rows, numbers)]
        slowest = max(samples / ways, *outputs, *(own.cycles[row] for own, row in chosen))
        foldings = {name: own.folding(row) for name, (own, row) in zip(self.options, chosen)}
        amounts = {name: sum(own.amounts[name][row] for own, row in chosen) for name in (*RESOURCES, "price")}
        return Design(ways, foldings, float(slowest), amounts, gap)

    def _widths(self, tie):
        """Numbers of ways that a class of tensors may have."""
        members = [t for name, t in self.network.tensors.items() if self.tied[name] == tie]
        most = min(MAX_WAYS, *(t.channels for t in members))
        source = self.network.tensors[self.network.input]
        is_input = self.tied[source.name] == tie
        whole = [n for node in self.network.nodes if self.tied[node.inputs[0]] == tie
                 for n in self._shifts(node)] + [source.channels] * is_input
        return [w for w in (range(1, most + 1) if is_input else WAYS)
                if w <= most and all(n % w == 0 for n in whole)]

    def _shifts(self, node):
        """By how many channels a stage moves some of them: multiples of the ways, or way would change."""
        if isinstance(node, Concat):
            return [self.network.tensors[name].channels for name in node.inputs[:-1]]
        if isinstance(node, Slice):
            return [node.start[2]]
        if isinstance(node, Pad):
            return [node.before[2]]
        return [node.weights.shape[3]] if has_engine(node) and node.groups > 1 else []


def _samples(network, name):
    tensor = network.tensors[name]
    return tensor.height * tensor.width * tensor.channels
