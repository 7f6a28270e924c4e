"""Choose each stage's folding: the fastest network within a budget, and the smallest of these."""
from dataclasses import dataclass
from math import inf

from cores.branches import tied
from cores.errors import UserError
from cores.folding.options import MAX_WAYS, Options
from cores.folding.solver import Option, cheapest
from cores.graph import Concat, Pad, Slice
from cores.resources.predict import stage_resources
from cores.stages import component, dsps, has_engine, multipliers

__all__ = ["Design", "allocate", "cycles_per_frame", "fold"]

NOUNS = {"dsp": "DSP blocks", "multipliers": "multipliers"}
GROWTH = 1.1            # by which more cycles are tried where the fastest design takes too much
STEPS = 8               # in which designs slower by up to the slack are looked at
# What a design that is fast enough should save: about the proportions in which devices hold them.
PRICES = {"dsp": 100, "lut": 1, "bram36": 300}


@dataclass(frozen=True)
class Design:
    """A folding for every stage.

    ``ways`` are those of the network's input, ``foldings`` go by node name, and
    ``cycles_per_frame`` is the slowest stage's, the input's or the output's (modelled). ``price`` is that
    of its stages in units of a LUT (predicted), and ``gap`` the share of it that a design as fast might save:
    0 if it was proven that none does.
    """
    ways: int
    foldings: dict
    cycles_per_frame: float
    price: float = 0.0
    gap: float = 0.0


def allocate(network, profile, engine, *, dsp=None, multipliers=None, cycles=None, slack=0.0, lut=None,
             bram36=None):
    """The fastest design within a budget, or one a little slower that is much smaller; or the smallest within ``cycles``.

    Of all designs as fast, it is the one with the least price in DSP blocks, LUTs and block memories. The
    last bit of speed costs many lanes of few PEs: among those up to ``slack`` slower than the fastest, the
    one with the most frames per price is taken.

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
    slack : float
        By which share of its cycles a design may be slower than the fastest, for more frames per price.
    lut, bram36 : float or None
        LUTs and block memories that the stages should take at most (predicted). Exceeded where no design
        takes less, or none that is fast enough.

    Raises
    ------
    UserError
        If even the smallest design exceeds the budget, or none is fast enough.
    """
    unit, budget = ("dsp", dsp) if multipliers is None else ("multipliers", multipliers)
    budget = inf if budget is None else budget
    limits = {unit: budget, "lut": lut, "bram36": bram36}
    chooser = _Chooser(network, profile, engine, unit,
                       {name: limit for name, limit in limits.items() if limit not in (None, inf)})
    least = chooser.leanest(inf)
    if chooser.amount(least) > budget:
        raise UserError(
            f"Budget of {budget} {NOUNS[unit]} is too small: {network.name!r} takes at least {chooser.amount(least)} "
            f"with one multiplier per convolution; raise --{unit}")
    if cycles is not None:
        enough = chooser.leanest(cycles)
        if enough is None:
            raise UserError(f"No folding of {network.name!r} takes at most {cycles:,.4g} cycles per frame; "
                            "lower --fps or raise --clock")
        if chooser.amount(enough) > budget:
            raise UserError(f"{network.name!r} takes {chooser.amount(enough)} {NOUNS[unit]} at that frame "
                            f"rate, of {budget} available; lower --fps or raise the budget")
        return chooser.cheapest(cycles) or chooser.cheapest(cycles, {})

    def affordable(cycles):
        design = chooser.leanest(cycles)
        return design if design is not None and chooser.amount(design) <= budget else None

    quickest = _fewest(affordable, least.cycles_per_frame, 0.0, step=0.5).cycles_per_frame
    design, allowed = chooser.cheapest(quickest), quickest
    while design is None and allowed < least.cycles_per_frame:      # LUTs or block memories are short
        allowed *= GROWTH
        design = _fewest(chooser.cheapest, allowed, allowed / GROWTH, step=quickest / 200)
    if design is None:
        return chooser.cheapest(inf, {})
    slower = [chooser.cheapest(design.cycles_per_frame * (1 + slack * n / STEPS))
              for n in range(1, STEPS + 1) if slack]
    return min([design, *filter(None, slower)], key=lambda design: design.cycles_per_frame * design.price)


def fold(network, design, engine):
    """The components of all stages, by node name."""
    return {node.name: component(network, node, design.foldings[node.name], engine)
            for node in network.nodes}


def cycles_per_frame(network, profile, ways, foldings):
    """Cycles per frame of the slowest stage, or of the input or an output where they are slower (modelled).

    ``ways`` are those of the network's input, whose samples arrive one per cycle and way; those of an output
    leave one per cycle.
    """
    source = network.tensors[network.input]
    outputs = [network.tensors[name] for name in network.outputs]
    return max(source.height * source.width * source.channels / ways,
               *(float(t.height * t.width * t.channels) for t in outputs),
               *(max(profile.cycles(node, foldings[node.name]),
                     profile.beats(node.output, foldings[node.name].out_ways)) for node in network.nodes))


def _fewest(attempt, slow, fast, *, step):
    """The design of the fewest cycles that ``attempt(cycles)`` finds, to ``step`` cycles; None if not even at ``slow``."""
    best = attempt(slow)
    while best is not None and slow - fast > step:
        middle = (slow + fast) / 2
        design = attempt(middle)
        if design is None:
            fast = middle
        else:
            best, slow = design, min(middle, design.cycles_per_frame)
    return best


class _Chooser:
    """Finds designs that stay below a number of cycles; ``limits`` are what they may take of what."""

    def __init__(self, network, profile, engine, unit, limits):
        self.network, self.profile, self.engine = network, profile, engine
        self.unit, self.limits = unit, limits
        self.tied = tied(network)
        self.widths = {tie: self._widths(tie) for tie in dict.fromkeys(self.tied.values())}
        self.options = {node.name: Options(network, profile, engine, node, self.widths[self.tied[node.output]])
                        for node in network.nodes}
        self._resources = {}

    def amount(self, design):
        """DSP blocks or multipliers of a design, whichever is the budget's unit."""
        foldings = [(node, design.foldings[node.name]) for node in self.network.nodes]
        if self.unit == "multipliers":
            return sum(multipliers(node, folding) for node, folding in foldings)
        return sum(dsps(self.network, node, folding, self.engine) for node, folding in foldings)

    def leanest(self, cycles):
        """The design within ``cycles`` that takes least of the budget's unit, or None."""
        options = []
        for node, reads, makes, rows in self._rows(cycles):
            amounts = self.options[node.name].amounts[self.unit]
            row = rows[amounts[rows].argmin()]
            options.append(Option(node.name, reads, makes, float(amounts[row]), (), row))
        return self._design(options, cycles, ())

    def cheapest(self, cycles, limits=None):
        """The design of the least price within ``cycles`` and the limits, or None."""
        limits = self.limits if limits is None else limits
        places, least = self._rows(cycles), {}
        for node, _, _, rows in places:
            amount = self.options[node.name].amounts[self.unit][rows].min()
            least[node.name] = min(least.get(node.name, amount), amount)
        spare = limits.get(self.unit, inf) - sum(least.values())
        options = []
        for node, reads, makes, rows in places:
            for row, taken, price in self._useful(
                    node, reads[1], rows, least[node.name] + spare, set(limits) <= {self.unit}):
                options.append(Option(node.name, reads, makes, price, tuple(map(taken.get, limits)), row))
        return self._design(options, cycles, tuple(limits.values()))

    def _rows(self, cycles):
        """[(node, class and ways that it reads, that it makes, rows of its options)] within ``cycles``."""
        places = []
        for node in self.network.nodes:
            options, tie, out_tie = self.options[node.name], self.tied[node.inputs[0]], self.tied[node.output]
            for out_ways in self.widths[out_tie]:
                for ways in self.widths[tie] if options.any_ways else [out_ways]:
                    rows = options.within(cycles, ways, out_ways)
                    if rows.size:
                        places.append((node, (tie, ways), (out_tie, out_ways), rows))
        return places

    def _useful(self, node, ways, rows, most, free):
        """[(row, {resource: amount}, price)] of the rows that no other one beats in everything.

        Rows beyond ``most`` of the budget's unit are of no use, nor, if nothing else is limited (``free``),
        those whose DSP blocks alone cost more than another row.
        """
        options, found, lanes = self.options[node.name], [], []
        amounts = options.amounts[self.unit]
        for row in options.distinct(rows[amounts[rows] <= most], self.unit):
            folding = options.folding(row, ways)
            dsp = int(options.amounts["dsp"][row])
            if free and any(PRICES["dsp"] * dsp >= price for _, _, price in found):
                continue
            # A third more lanes, and no fewer DSP blocks, save nothing.
            if any(0.75 * folding.lanes * folding.row_lanes >= count for count in lanes):
                continue
            resources = self._stage_resources(node, folding)
            taken = {"dsp": dsp, "multipliers": int(options.amounts["multipliers"][row]),
                     "lut": resources.lut, "bram36": resources.bram36}
            if not any(all(other[name] <= taken[name] for name in taken) for _, other, _ in found):
                lanes.append(folding.lanes * folding.row_lanes)
                found.append((row, taken, sum(taken[name] * each for name, each in PRICES.items())))
        return found

    def _stage_resources(self, node, folding):
        key = node.name, folding
        if key not in self._resources:
            self._resources[key] = stage_resources(self.network, node, folding, self.engine)
        return self._resources[key]

    def _design(self, options, cycles, limits):
        """The Design of the cheapest of ``options``, or None."""
        network = self.network
        source = network.tensors[network.input]
        samples = source.height * source.width * source.channels
        outputs = [network.tensors[name] for name in network.outputs]
        widths = {tie: [n for n in allowed if tie != self.tied[source.name] or samples / n <= cycles]
                  for tie, allowed in self.widths.items()}
        if (max(t.height * t.width * t.channels for t in outputs) > cycles or not all(widths.values())
                or len({option.stage for option in options}) < len(network.nodes)):
            return None
        found = cheapest(options, widths, limits)
        if found is None:
            return None
        chosen, ways, gap = found
        foldings = {option.stage: self.options[option.stage].folding(option.choice, option.reads[1])
                    for option in chosen}
        width = ways[self.tied[source.name]]
        return Design(width, foldings, cycles_per_frame(network, self.profile, width, foldings),
                      sum(option.price for option in chosen), gap)

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
