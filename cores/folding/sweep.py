"""Designs from the slowest to the fastest, for a curve of frame rate against resources."""
import numpy as np

from cores.folding.solver import Undecided

__all__ = ["sweep"]


def sweep(space, fastest, points=12):
    """The design of the least price at each of several frame rates, without any budget.

    Parameters
    ----------
    space : Space
    fastest : float
        Cycles per frame that need not be gone below.
    points : int
        Frame rates at most, in equal ratios from that of the smallest design on.

    Returns
    -------
    list of Design
        Slowest first, each once.
    """
    slowest = space.best(np.inf, "price", {})
    fastest = max(fastest, space.levels[0])
    found = [slowest]
    for cycles in np.geomspace(slowest.cycles_per_frame, fastest, points)[1:].tolist():
        try:
            design = space.best(cycles * (1 + 1e-12), "price", {})
        except Undecided:
            continue
        if design is not None and design.cycles_per_frame < found[-1].cycles_per_frame:
            found.append(design)
    return found
