"""Choose each stage's folding: the fastest network that a budget of DSP blocks or multipliers allows."""
from dataclasses import dataclass

from cores.branches import tied
from cores.errors import UserError
from cores.graph import Concat, Pad, Slice
from cores.stages import Folding, component, dsps, has_engine, is_depthwise, multipliers

__all__ = ["Design", "allocate", "fold"]

NOUNS = {"dsp": "DSP blocks", "multipliers": "multipliers"}
MAX_LANES, MAX_PES, MAX_WAYS = 32, 64, 16


@dataclass(frozen=True)
class Design:
    """A folding for every stage.

    ``ways`` are those of the network's input, ``foldings`` go by node name, and
    ``cycles_per_frame`` is the slowest stage's, the input's or the output's (modelled).
    """
    ways: int
    foldings: dict
    cycles_per_frame: float


def allocate(network, profile, engine, *, dsp=None, multipliers=None, cycles=None):
    """The design with the fewest cycles per frame within a budget, or the smallest within ``cycles``.

    Parameters
    ----------
    network : Graph
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


def row_lane_counts(node):
    """Numbers of row lanes that share a kernel's rows evenly."""
    return [n for n in range(1, node.kernel[0] + 1) if node.kernel[0] % n == 0]


class _Chooser:
    """Picks the cheapest folding of each stage that stays below a number of cycles."""

    def __init__(self, network, profile, engine, unit):
        self.network, self.profile, self.engine, self.unit = network, profile, engine, unit
        self.tied = tied(network)
        self._options = {}

    def cost(self, design):
        return sum(self._stage_cost(node, design.foldings[node.name]) for node in self.network.nodes)

    def choose(self, limit):
        """The design whose stages all take at most ``limit`` cycles, or None.

        Tensors that are tied have their ways in common: as few as the stages between them allow.
        """
        ways = {self.tied[name]: 1 for name in self.network.tensors}
        source = self.network.tensors[self.network.input]
        samples = source.height * source.width * source.channels
        while True:
            short = self._too_narrow(ways, samples, limit)
            if short is None:
                break
            ways[short] = next((w for w in self._widths(short) if w > ways[short]), None)
            if ways[short] is None:
                return None
        of = {name: ways[self.tied[name]] for name in self.network.tensors}
        foldings = {node.name: self._folding(node, of, limit) for node in self.network.nodes}
        targets = [self.network.tensors[name] for name in self.network.outputs]
        slowest = max(samples / of[self.network.input],
                      *(target.height * target.width * target.channels for target in targets),
                      *(self._stage_cycles(node, foldings[node.name]) for node in self.network.nodes))
        return Design(of[self.network.input], foldings, slowest) if slowest <= limit else None

    def _too_narrow(self, ways, samples, limit):
        """A class of tensors that needs more ways for ``limit``, or None."""
        of = {name: ways[self.tied[name]] for name in self.network.tensors}
        if samples / of[self.network.input] > limit:
            return self.tied[self.network.input]
        for node in self.network.nodes:
            if self._folding(node, of, limit) is None:
                return self.tied[node.output]
        return None

    def _widths(self, tie):
        """Numbers of ways that a class of tensors may have."""
        members = [t for name, t in self.network.tensors.items() if self.tied[name] == tie]
        most = min(MAX_WAYS, *(t.channels for t in members))
        source = self.network.tensors[self.network.input]
        is_input = self.tied[source.name] == tie
        whole = [n for node in self.network.nodes if self.tied[node.inputs[0]] == tie
                 for n in self._shifts(node)] + [source.channels] * is_input
        return [w for w in (range(1, most + 1) if is_input else (1, 2, 4, 8, 16))
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

    def _folding(self, node, ways, limit):
        """The preferred folding of a stage for the ways of all tensors, or None."""
        key = node.name, ways[node.inputs[0]], ways[node.output]
        if key not in self._options:
            options = [(self._stage_cost(node, f), f.multipliers, f.lanes * f.row_lanes,
                        self._stage_cycles(node, f), f) for f in self._candidates(node, *key[1:])]
            self._options[key] = sorted(options, key=lambda option: option[:-1])
        return next((f for *_, cycles, f in self._options[key] if cycles <= limit), None)

    def _candidates(self, node, ways, out_ways):
        if not has_engine(node):
            for row_lanes in row_lane_counts(node) if is_depthwise(node) else (1,):
                yield Folding(lanes=ways, row_lanes=row_lanes, ways=ways, out_ways=out_ways)
            return
        filters, channels = len(node.weights) // node.groups, node.weights.shape[3]
        pes = {-(-(-(-filters // passes)) // out_ways) * out_ways for passes in range(1, filters + 1)}
        if node.groups > 1:             # every pass is full, and a lane has its share of each group
            pes = {p for p in pes if filters % p == 0}
        for lanes in range(ways, min(MAX_LANES, channels) + 1, ways):
            if node.groups > 1 and channels % lanes:
                continue
            for row_lanes in row_lane_counts(node):
                for count in sorted(p for p in pes if p <= min(filters, MAX_PES)):
                    yield Folding(lanes, row_lanes, count, ways, out_ways)

    def _stage_cycles(self, node, folding):
        """Cycles per frame of a stage's own work, or of its output's beats where they are more."""
        return max(self.profile.cycles(node, folding),
                   self.profile.beats(node.output, folding.out_ways))

    def _stage_cost(self, node, folding):
        if self.unit == "multipliers":
            return multipliers(node, folding)
        return dsps(self.network, node, folding, self.engine)
