"""From single layers' thresholds to an order in which to raise them: the most work saved for the least noise first."""
import numpy as np

from cores.thresholds.loss import Loss
from cores.thresholds.places import places

__all__ = ["SHARES", "candidates", "path"]

# Shares of a layer's non-zeros that its thresholds cut off.
SHARES = 0.03, 0.06, 0.1, 0.15, 0.2, 0.27, 0.35, 0.45, 0.55, 0.65


def candidates(evaluator):
    """{node's name: its possible thresholds, rising}: each cuts off a further share of the non-zeros."""
    found = {}
    for node in places(evaluator.network):
        values = evaluator.nonzeros(node)
        if values.size:
            steps = np.quantile(values, SHARES, method="higher").astype(int)
            found[node.name] = sorted(set(steps[steps > 1].tolist()))
    return {name: steps for name, steps in found.items() if steps}


def path(evaluator, work, *, points, each=iter):
    """Thresholds for the whole network, from none to all.

    Every threshold is tried alone. The work that it saves is added up over the layers, and so is the noise that it leaves in the outputs,
    but for what the layer's lowest threshold does: in 8 bits, any change moves values from one side of a rounding to the
    other, and many do it no more than one does. Of each layer the thresholds on the upper hull of work over noise remain, and the
    steps between them are taken in the order of their slopes: the path is optimal where layers do not act on each other.

    Parameters
    ----------
    evaluator : Evaluator
    work : callable
        Of :attr:`Evaluated.products`, what a frame costs.
    points : int
        At most so many.
    each : callable
        Wraps the sequence of layers, to show progress.

    Returns
    -------
    list of {node's name: threshold}
    """
    without = evaluator.run({})
    steps = []
    for name, thresholds in each(list(candidates(evaluator).items())):
        rows = [(0, 0.0, 0.0)]
        for threshold in thresholds:
            found = evaluator.run({name: threshold})
            noise = Loss.of(evaluator.network, without.outputs, found.outputs).noise
            rows.append((threshold, work(without.products) - work(found.products), noise))
        least = min(noise for _, _, noise in rows[1:])
        rows[1:] = [(threshold, saved, noise - least) for threshold, saved, noise in rows[1:]]
        steps += [(slope, name, threshold, saved) for threshold, saved, slope in _hull(rows)]
    # Layers that tie are taken in the order of the network.
    steps.sort(key=lambda step: -step[0])
    taken, result, saved = {}, [], []
    for _, name, threshold, more in steps:
        taken[name] = threshold
        result.append(dict(taken))
        saved.append((saved[-1] if saved else 0.0) + more)
    if len(result) <= points:
        return result
    # Evenly in the work that they save.
    places = np.searchsorted(saved, np.linspace(0, saved[-1], points + 1)[1:])
    return [result[place] for place in sorted(set(np.minimum(places, len(result) - 1).tolist()))]


def _hull(rows):
    """[(threshold, work saved beyond the one before, slope)] of the thresholds worth taking, slopes falling."""
    found, at = [], rows[0]
    while True:
        better = [row for row in rows if row[1] > at[1] and row[0] > at[0]]
        if not better:
            return found
        best = max(better, key=lambda row: (_slope(at, row), row[1]))
        found.append((best[0], best[1] - at[1], _slope(at, best)))
        at = best


def _slope(a, b):
    return (b[1] - a[1]) / (b[2] - a[2]) if b[2] > a[2] else np.inf
