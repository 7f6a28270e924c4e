"""From a network and pictures to the order of its channels and the folding of its stages."""
from dataclasses import dataclass, replace

from cores.fit import ROUTABLE
from cores.folding.allocate import Design, allocate, cycles_per_frame
from cores.folding.channel_order import balanced, reorder
from cores.folding.profile import Profile
from cores.folding.space import Space
from cores.folding.weight_memory import weights_in_blocks
from cores.graph import Graph
from cores.pixels import stored
from cores.resources.predict import design_resources

__all__ = ["PROFILED", "Exploration", "completed", "explore"]

PROFILED = 16           # pictures that the folding is chosen by
WHOLE = dict.fromkeys(ROUTABLE, 1.0)


@dataclass(frozen=True, eq=False)
class Exploration:
    """A design, of the network with its channels in the order in which the hardware has them.

    ``predicted`` are the resources of all and of each stage, see
    :func:`~cores.resources.predict.design_resources`, and ``space`` is what the design was chosen from.
    """
    network: Graph
    profile: Profile
    design: Design
    predicted: tuple
    space: Space


def explore(network, images, engine, budget, target):
    """Choose the design.

    Parameters
    ----------
    network : Graph
    images : array (N, height, width, channels)
        Pictures; the first are profiled.
    engine : Engine
    budget : dict
        Of :func:`~cores.folding.allocate.allocate`.
    target : Board
        Its LUTs and block memories bound the design as far as tools can place and route it; if there is no
        such design all that it has; and if it has too little they do not.

    Returns
    -------
    Exploration
    """
    profile = Profile(network, stored(network, images[:PROFILED]), keep_zeros=engine.keep_zeros,
                      skip_empty=engine.skip_empty)
    if not engine.keep_zeros:           # or every channel has as much to do
        network, profile = _reordered(network, profile)
    space = Space(network, profile, engine)
    design = allocate(network, profile, engine, **budget, space=space)
    result = _explored(network, profile, design, engine, space, target)
    rest = _besides_stages(result.predicted)
    # Twice, since what is beside the stages is known of a design only.
    before = None
    for shares in () if _within(result, ROUTABLE, target) else (ROUTABLE, ROUTABLE, WHOLE, WHOLE):
        limits = {name: share * target.resources[name] - rest[name] for name, share in shares.items()}
        if limits == before:
            continue
        before = limits
        bounded = allocate(network, profile, engine, **budget, **limits, space=space)
        smaller = _explored(network, profile, bounded, engine, space, target)
        if _within(smaller, shares, target):
            design, result = bounded, smaller
            break
        rest = {name: max(amount, rest[name]) for name, amount in _besides_stages(smaller.predicted).items()}
    if engine.keep_zeros:
        return result
    # For just these numbers of lanes.
    network, profile = _reordered(network, profile, design.foldings)
    cycles = cycles_per_frame(network, profile, design.ways, design.foldings)
    if cycles >= design.cycles_per_frame:
        return result
    return _explored(network, profile, replace(design, cycles_per_frame=cycles), engine, space, target)


def _within(exploration, shares, target):
    """Whether a design takes at most these shares of a board's resources (predicted)."""
    return all(getattr(exploration.predicted[0], name) <= share * target.resources[name]
               for name, share in shares.items())


def _reordered(network, profile, foldings=None):
    orders = balanced(network, profile, foldings)
    network = reorder(network, orders)
    return network, profile.reordered(network, orders)


def _explored(network, profile, design, engine, space, target):
    return Exploration(network, profile, *completed(network, design, engine, target), space)


def completed(network, design, engine, target):
    """A chosen design with weights moved to block memory where the board has more of it to spare.

    Returns
    -------
    (Design, (Resources, dict of str to Resources))
        With what it takes, see :func:`~cores.resources.predict.design_resources`.
    """
    predicted = design_resources(network, design, engine)
    moved = weights_in_blocks(network, design, engine, predicted[0], target.resources)
    return (design, predicted) if moved == design else (moved, design_resources(network, moved, engine))


def _besides_stages(predicted):
    """What adapters, forks and queues between stages take."""
    whole, stages = predicted
    return {name: getattr(whole, name) - sum(getattr(part, name) for part in stages.values())
            for name in ROUTABLE}
