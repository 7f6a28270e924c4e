"""Choose each stage's folding: the fastest network within a budget, and the smallest of these."""
from dataclasses import replace
from math import inf

import numpy as np

from cores.errors import UserError
from cores.folding.solver import Undecided
from cores.folding.space import Design, Space, cycles_per_frame
from cores.stages import component

__all__ = ["Design", "allocate", "cycles_per_frame", "fastest", "fold"]

NOUNS = {"dsp": "DSP blocks", "multipliers": "multipliers"}
STEPS, MORE_STEPS = 8, 40   # in which designs slower by up to the slack are looked at; for a share of slots, which few have


def allocate(network, profile, engine, *, dsp=None, multipliers=None, cycles=None, slack=0.0, lut=None,
             bram36=None, utilisation=None, space=None):
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
    utilisation : float or None
        Share of multiplier slots that should be spent on non-zero products (modelled). Multipliers that idle cost
        DSP blocks, but may save lanes, and so LUTs.
    space : Space or None
        What there is to choose from, where it is known already.

    Raises
    ------
    UserError
        If even the smallest design exceeds the budget, or none is fast enough, or uses its multipliers that well.
    """
    space = space or Space(network, profile, engine)
    unit, budget = ("dsp", dsp) if multipliers is None else ("multipliers", multipliers)
    budget = inf if budget is None else budget
    limits = {name: limit for name, limit in ((unit, budget), ("lut", lut), ("bram36", bram36))
              if limit not in (None, inf)}
    nonzero = sum(profile.nonzero_macs.values())

    def at(cycles, below=inf):
        """The cheapest design within ``cycles``, or None; a price of ``below`` is too high."""
        design = _cheapest(space, cycles, limits, below)
        if utilisation is None or design is None or utilisation * design.cycles_per_frame <= (
                nonzero / design.amounts["multipliers"]):
            return design
        most = min(limits.get("multipliers", inf), nonzero / utilisation / cycles)
        return _cheapest(space, cycles, limits | {"multipliers": most}, below)

    least = space.best(inf, unit, {})
    if least.amounts[unit] > budget:
        raise UserError(
            f"Budget of {budget} {NOUNS[unit]} is too small: {network.name!r} takes at least {least.amounts[unit]:g}; "
            f"raise --{unit}")
    if cycles is not None:
        enough = space.best(cycles, unit, {})
        if enough is None:
            raise UserError(f"No folding of {network.name!r} takes at most {cycles:,.4g} cycles per frame; "
                            "lower --fps or raise --clock")
        if enough.amounts[unit] > budget:
            raise UserError(f"{network.name!r} takes {enough.amounts[unit]:g} {NOUNS[unit]} at that frame "
                            f"rate, of {budget} available; lower --fps or raise the budget")
        design = at(cycles)
        if design is None and utilisation is not None:
            raise UserError(_idle(network, utilisation, "at that frame rate", "--fps"))
        return design or space.best(cycles, "price", {})

    quickest = fastest(space, unit, limits)
    if quickest is None:                                # nothing takes so few LUTs or block memories
        return space.best(inf, "price", {})
    designs, before = [], 1.0               # what takes at most so many cycles is known already
    for cycles in _within(quickest.cycles_per_frame * np.array([1, 1 + slack]), space.levels, utilisation):
        designs.append(at(cycles, min(map(_area_time, filter(None, designs)), default=inf) / before))
        before = cycles
    if utilisation is None:
        designs.append(quickest)
    elif not any(designs):
        raise UserError(_idle(network, utilisation, f"at up to {slack:.0%} more cycles than the fastest", "--slack"))
    chosen = min(filter(None, designs), key=_area_time)
    return replace(chosen, rate_gap=quickest.rate_gap,
                   slower=chosen.cycles_per_frame / quickest.cycles_per_frame - 1)


def _within(ends, levels, utilisation):
    """Cycles per frame to look at, from the fewest to the most."""
    steps = np.linspace(*ends, STEPS + 1)
    if utilisation is not None:     # it is the cycles that a design really takes that count
        levels = levels[(levels >= ends[0]) & (levels <= ends[1])]
        steps = levels if len(levels) <= MORE_STEPS else np.linspace(*ends, MORE_STEPS + 1)
    return np.unique(steps)


def _idle(network, utilisation, where, option):
    return (f"No folding of {network.name!r} found within the budget spends {utilisation:.0%} of its multiplier slots on non-zeros "
            f"{where}; lower --utilisation or change {option}")


def fastest(space, unit, limits):
    """A design of the fewest cycles per frame within ``limits``, at any price; None if nothing is within them.

    Its ``rate_gap`` is 0 where it was proven, of the next lower cycles per frame that any design has, that
    none within the limits does.
    """
    levels = space.levels

    def attempt(n):
        if set(limits) <= {unit}:
            design = space.best(levels[n], unit, {})
            within = design is not None and design.amounts[unit] <= limits.get(unit, inf)
            return design if within else None
        return space.best(levels[n], "price", limits, any_price=True)

    def tried(n):
        """A design, None, or Undecided."""
        try:
            return attempt(n)
        except Undecided:
            return Undecided

    best = tried(len(levels) - 1)
    if best in (None, Undecided):
        return None
    # None is possible up to level ``impossible``, and one is known at ``high``.
    impossible, low, high, undecided = -1, -1, _level(levels, best), len(levels)
    while high - low > 1:
        middle = (low + high) // 2
        found = tried(middle)
        if found is Undecided:
            low, undecided = middle, min(undecided, middle)
        elif found is None:
            impossible = low = middle
        else:
            best, high = found, _level(levels, found)
    # Below what was left undecided, how far is it proven?
    top = min(undecided, high)
    while top - impossible > 1:
        middle = (impossible + top) // 2
        found = tried(middle)
        if found is None:
            impossible = middle
        else:
            top = middle
            if found is not Undecided:
                best, high = found, _level(levels, found)
    return replace(best, rate_gap=float(1 - levels[impossible + 1] / levels[high]))


def _level(levels, design):
    """Number of a design's cycles among those that designs may have."""
    return int(np.searchsorted(levels, design.cycles_per_frame))


def _area_time(design):
    """Cycles times price: the less, the more frames per price."""
    return design.cycles_per_frame * design.price


def _cheapest(space, cycles, limits, below):
    """The design of the least price within ``cycles`` and limits, or None."""
    try:
        return space.best(cycles, "price", limits, below=below)
    except Undecided:
        return None


def fold(network, design, engine):
    """The components of all stages, by node name."""
    return {node.name: component(network, node, design.foldings[node.name], engine)
            for node in network.nodes}
