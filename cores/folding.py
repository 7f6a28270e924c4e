"""Choose each stage's folding: the fastest network that a budget of DSP blocks or multipliers allows."""
from dataclasses import dataclass

from cores.errors import UserError
from cores.graph import Conv
from cores.stages import Folding, component, dsps

__all__ = ["Design", "allocate", "fold"]

NOUNS = {"dsp": "DSP blocks", "multipliers": "multipliers"}
MAX_LANES, MAX_PES, MAX_WAYS = 32, 64, 16


@dataclass(frozen=True)
class Design:
    """A folding for every stage.

    ``ways`` are those of the network's input, ``foldings`` go by node name, and
    ``cycles_per_frame`` is the slowest stage's (modelled).
    """
    ways: int
    foldings: dict
    cycles_per_frame: float


def allocate(network, profile, engine, *, dsp=None, multipliers=None, cycles=None):
    """The design with the fewest cycles per frame within a budget, or the smallest within ``cycles``.

    Parameters
    ----------
    network : Graph
        A chain of stages.
    profile : Profile
        Where the zeros are.
    engine : Engine
    dsp, multipliers : int or None
        Budget: DSP blocks of the whole design, or multipliers of the convolutions.
    cycles : float or None
        Wanted cycles per frame, instead of a budget or beside it.

    Raises
    ------
    UserError
        If even the smallest design exceeds the budget, or none is fast enough.
    """
    chooser = _Chooser(network, profile, engine, "multipliers" if multipliers is not None else "dsp")
    budget = multipliers if multipliers is not None else dsp
    smallest = chooser.choose(float("inf"))
    cost = chooser.cost(smallest)
    if budget is not None and cost > budget:
        raise UserError(
            f"Budget of {budget} {NOUNS[chooser.unit]} is too small: {network.name!r} takes at least {cost} "
            f"with one multiplier per convolution; raise --{chooser.unit}")
    if cycles is not None:
        design = chooser.choose(cycles)
        if design is None:
            raise UserError(f"No folding of {network.name!r} takes at most {cycles:,.4g} cycles per frame; "
                            "lower --fps or raise --clock")
        if budget is not None and chooser.cost(design) > budget:
            raise UserError(f"{network.name!r} takes {chooser.cost(design)} {NOUNS[chooser.unit]} at that frame "
                            f"rate, of {budget} available; lower --fps or raise the budget")
        return design
    best, slow, fast = smallest, smallest.cycles_per_frame, 0.0
    while slow - fast > 0.5:            # the cost falls as the allowed cycles rise
        middle = (slow + fast) / 2
        design = chooser.choose(middle)
        if design is not None and chooser.cost(design) <= budget:
            best, slow = design, min(middle, design.cycles_per_frame)
        else:
            fast = middle
    return best


def fold(network, design, engine):
    """The components of all stages, by node name."""
    return {node.name: component(network, node, design.foldings[node.name], engine)
            for node in network.nodes}


class _Chooser:
    """Picks the cheapest folding of each stage that stays below a number of cycles."""

    def __init__(self, network, profile, engine, unit):
        self.network, self.profile, self.engine, self.unit = network, profile, engine, unit
        self._options = {}

    def cost(self, design):
        return sum(self._stage_cost(node, design.foldings[node.name]) for node in self.network.nodes)

    def choose(self, limit):
        """The design whose stages all take at most ``limit`` cycles, or None."""
        source = self.network.tensors[self.network.input]
        divisors = [w for w in range(1, min(MAX_WAYS, source.channels) + 1) if source.channels % w == 0]
        samples = source.height * source.width * source.channels
        ways = next((w for w in divisors if samples / w <= limit), None)
        if ways is None:
            return None
        first, slowest, foldings = ways, samples / ways, {}
        for node in self.network.nodes:
            folding = self._folding(node, ways, limit)
            if folding is None:
                return None
            foldings[node.name] = folding
            ways = folding.out_ways
            slowest = max(slowest, self._stage_cycles(node, folding))
        target = self.network.tensors[self.network.outputs[0]]
        slowest = max(slowest, target.height * target.width * target.channels)
        return Design(first, foldings, slowest) if slowest <= limit else None

    def _folding(self, node, ways, limit):
        """The preferred folding of a stage whose input has ``ways`` ways, or None."""
        if (node.name, ways) not in self._options:
            options = [(f.out_ways, self._stage_cost(node, f), f.multipliers, f.lanes * f.row_lanes,
                        self._stage_cycles(node, f), f) for f in self._candidates(node, ways)]
            self._options[node.name, ways] = sorted(options, key=lambda option: option[:-1])
        return next((f for *_, cycles, f in self._options[node.name, ways] if cycles <= limit), None)

    def _candidates(self, node, ways):
        if not isinstance(node, Conv):
            yield Folding(lanes=ways, ways=ways, out_ways=ways)
            return
        filters, channels = len(node.weights), self.network.tensors[node.input].channels
        for lanes in range(ways, min(MAX_LANES, channels) + 1, ways):
            for row_lanes in range(1, node.kernel[0] + 1):
                if row_lanes not in (1, node.kernel[0]) and node.kernel[0] % row_lanes:
                    continue
                seen = set()
                for out_ways in (1, 2, 4, 8, 16):
                    for passes in range(1, filters + 1):
                        pes = -(-(-(-filters // passes)) // out_ways) * out_ways
                        if pes <= min(filters, MAX_PES) and (pes, out_ways) not in seen:
                            seen.add((pes, out_ways))
                            yield Folding(lanes, row_lanes, pes, ways, out_ways)

    def _stage_cycles(self, node, folding):
        """Cycles per frame of a stage's own work, or of its output's beats where they are more."""
        return max(self.profile.cycles(node, folding),
                   self.profile.beats(node.output, folding.out_ways))

    def _stage_cost(self, node, folding):
        if self.unit == "multipliers":
            return folding.multipliers if isinstance(node, Conv) else 0
        return dsps(self.network, node, folding, self.engine)
