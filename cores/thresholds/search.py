"""Thresholds for a network: as much work saved as a bounded loss on half of the pictures allows."""
from dataclasses import dataclass, replace

import numpy as np

from cores.errors import UserError
from cores.folding.explore import Exploration
from cores.graph import Graph
from cores.pixels import stored
from cores.stages import multipliers
from cores.thresholds.evaluate import Evaluator
from cores.thresholds.loss import Loss
from cores.thresholds.path import SHARES, path
from cores.thresholds.places import places
from sim import reference

__all__ = ["Point", "Search", "halves", "search"]

FEWEST, TRIED = 4, 64   # pictures that thresholds of single layers are tried on,
PRODUCTS = 3e11         # within so many products in all: a minute or two
VALUES = 1 << 27        # of all tensors and pictures of the search, in memory together
POINTS = 24             # of the path
BEYOND = 4              # that are shown of those that lose too much


@dataclass(frozen=True, eq=False)
class Point:
    """A network on the way from no thresholds to high ones.

    ``work`` is what its products cost in multiplier cycles, as a share of those without thresholds; ``search`` and ``test`` are the losses on the
    halves of the pictures. ``exploration`` is its design, None if its folding was not chosen.
    """
    thresholds: dict
    network: Graph
    work: float
    search: Loss
    test: Loss
    exploration: Exploration | None = None


@dataclass(frozen=True, eq=False)
class Search:
    """All that was looked at, no thresholds first; ``chosen`` is one of the ``points``."""
    points: list
    chosen: Point
    limit: float
    pictures: dict          # how many: {"search": n, "test": n}


def halves(count):
    """Numbers of the pictures to search on, and of those to test on: drawn, as pictures are often sorted."""
    if count < 2:
        raise UserError(f"--threshold-loss needs at least 2 pictures, to search on one half and test on the other, not {count}")
    order = np.random.default_rng(0).permutation(count)
    return np.sort(order[::2]), np.sort(order[1::2])


def search(network, images, labels, limit, *, explore, price, each):
    """Find thresholds.

    A path of rising thresholds is walked while the loss on the search half stays within the limit. What is then within it
    by chance, further on, does not count. The pictures of the other half choose nothing.

    Parameters
    ----------
    network : Graph
        With every channel.
    images : uint8 array (N, height, width, channels)
    labels : int array (N) or None
    limit : float
        Of :attr:`Loss.larger`.
    explore : callable
        Makes an Exploration of a network.
    price : callable
        Of a :class:`~cores.folding.allocate.Design`, what shall be little.
    each : callable
        ``each(sequence, what)`` wraps a sequence, to show progress.

    Returns
    -------
    Search
    """
    ours, theirs = halves(len(images))
    ours = ours[:max(FEWEST, VALUES // sum(int(np.prod(t.shape)) for t in network.tensors.values()))]
    frames, others = (stored(network, images[half]) for half in (ours, theirs))
    their_labels, our_labels = (None if labels is None else labels[half] for half in (theirs, ours))
    base = explore(network)
    costs = _costs(base)

    def work(products):
        return sum(cost * products[name] for name, cost in costs.items())

    tried = PRODUCTS // (len(places(network)) * len(SHARES) * sum(reference.macs(network).values()) // 2 + 1)
    steps = path(Evaluator(network, frames[:int(min(max(tried, FEWEST), TRIED))]), work, points=POINTS,
                 each=lambda layers: each(layers, "trying thresholds of each layer"))
    evaluator = Evaluator(network, frames)
    without, expected = evaluator.run({}), reference.run_outputs(network, others)
    all_work = work(without.products) or 1.0

    def point(thresholds, exploration=None):
        found = evaluator.run(thresholds)
        got = reference.run_outputs(found.network, others)
        return Point(thresholds, found.network, work(found.products) / all_work,
                     Loss.of(network, without.outputs, found.outputs, our_labels),
                     Loss.of(network, expected, got, their_labels), exploration)

    points, within = [point({}, base)], 1
    for thresholds in each(steps, "raising thresholds"):
        points.append(point(thresholds))
        if within == len(points) - 1 and points[-1].search.larger <= limit:
            within += 1
        if len(points) == within + BEYOND:
            break
    # The folding is chosen for the highest thresholds within the limit, for some half as high, and for what lies beyond.
    for place in sorted({within - 1, within // 2, len(points) - 1} - {0}):
        points[place] = replace(points[place], exploration=explore(points[place].network))
    allowed = [p for p in points[:within] if p.exploration is not None]
    return Search(points, min(allowed, key=lambda p: price(p.exploration.design)), limit,
                  {"search": len(frames), "test": len(others)})


def _costs(exploration):
    """{node's name: DSP blocks times cycles for each of its products}; multipliers of a stage without DSP blocks."""
    network, profile, design, (_, stages) = (
        getattr(exploration, name) for name in ("network", "profile", "design", "predicted"))
    costs = {}
    for node in network.nodes:
        products = profile.nonzero_macs[node.name]
        if products:
            folding = design.foldings[node.name]
            units = stages[node.name].dsp or multipliers(node, folding)
            costs[node.name] = units * profile.cycles(node, folding) / products
    return costs
