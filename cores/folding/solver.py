"""Choose one option for each stage at the least price, by integer programming.

The relaxation, with shares of options instead of one, bounds the price from below. Its reduced costs tell by how much
a choice with some option is dearer than that at least: all choices up to some price have few options, and the
search sees no others.
"""
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import coo_array, csr_array

__all__ = ["Stage", "Undecided", "cheapest"]

# Nodes of a search, and of one for any choice at all among many options: limits in seconds would make results differ.
NODE_LIMIT, FEW_NODES = 300, 30
EXACT = 2_000               # options up to which what no search found is proven not to be there
# Options at first are those that might be part of a choice dearer than the bound by so much, then more.
NEAR, MORE = 0.005, 4
FAR, NOT_FAR = 0.1, 0.01    # where searches among many options end, and those for any choice
CLOSE = 1e-3                # share by which the price of a choice among many options may be too high
SAME = 1e-9                 # share by which equal prices may differ, as reals
LIMIT = 1                   # status of a search that ended there


class Undecided(Exception):     # noqa: N818  (no error)
    """The search ended at its limit, neither with a choice nor with a proof that there is none."""


@dataclass(frozen=True, eq=False)
class Stage:
    """What a stage may be: N options, each of which reads tensors of one class at so many ways, and makes some of another.

    ``ways`` are those that it reads and makes (N, 2), of the classes ``reads`` and ``makes``; ``prices`` (N) and
    ``amounts`` (any number, N) are what it takes.
    """
    reads: str
    makes: str
    ways: np.ndarray
    prices: np.ndarray
    amounts: np.ndarray


def cheapest(stages, widths, limits, *, any_price=False, below=np.inf):
    """One option of each stage that agree on the ways of all tensors, at the least price in all.

    Parameters
    ----------
    stages : list of Stage
    widths : dict of str to list of int
        Numbers of ways that each class of tensors may have, rising; no option has others.
    limits : tuple of float
        What the chosen options' ``amounts`` may sum up to.
    any_price : bool
        Stop at the first choice that is found within the limits.
    below : float
        Price from which on a choice is of no use.

    Returns
    -------
    (list of int, dict of str to int, float) or None
        The option of each stage, the ways of each class, and the share by which the price might be too high: 0 if it is
        proven that it is the least. None if it is proven that there is no choice within the limits and ``below``.

    Raises
    ------
    Undecided
    """
    # Columns are the options of all stages, then the numbers of ways of all classes.
    ends = np.cumsum([len(stage.prices) for stage in stages])
    count = width = ends[-1]
    columns = {}
    for name, allowed in widths.items():
        columns[name] = np.arange(width, width + len(allowed))
        width += len(allowed)
    # A class has one number of ways, a stage one option of just that number.
    entries = [(n, of_class, 1) for n, of_class in enumerate(columns.values())]
    height = len(widths)
    for stage, options in zip(stages, np.split(np.arange(count), ends[:-1])):
        for name, ways in zip((stage.reads, stage.makes), stage.ways.T):
            entries.append((height + np.arange(len(widths[name])), columns[name], -1))
            entries.append((height + np.searchsorted(widths[name], ways), options, 1))
            height += len(widths[name])
    finite = np.isfinite(limits)
    program = _Program(
        _padded(np.concatenate([stage.prices for stage in stages]), width), _matrix(entries, height, width),
        np.repeat([1.0, 0.0], [len(widths), height - len(widths)]),
        _padded(np.concatenate([stage.amounts for stage in stages], axis=1)[finite], width), np.array(limits)[finite])
    found = program.least(count, any_price, below)
    if found is None:
        return None
    taken, gap = found
    return ([int(np.flatnonzero(each)[0]) for each in np.split(taken[:count], ends[:-1])],
            {name: allowed[int(np.flatnonzero(taken[columns[name]])[0])] for name, allowed in widths.items()}, gap)


@dataclass(frozen=True, eq=False)
class _Program:
    """Minimise ``prices @ x`` where ``equal @ x == right`` and ``amounts @ x <= limits``; ``x`` are 0 or 1."""
    prices: np.ndarray
    equal: csr_array
    right: np.ndarray
    amounts: np.ndarray
    limits: np.ndarray

    def least(self, options, any_price, below):
        """(x as array of bool, gap), or None; all but the first ``options`` are always part of the search."""
        bounded = {"A_ub": self.amounts, "b_ub": self.limits} if len(self.limits) else {}
        bound = linprog(self.prices, A_eq=self.equal, b_eq=self.right, bounds=(0, 1), **bounded)
        if bound.x is None or bound.fun >= below:
            return None
        dearer = self.prices - self.equal.T @ bound.eqlin.marginals
        if len(self.limits):
            dearer -= self.amounts.T @ bound.ineqlin.marginals
        dearer[options:] = 0
        is_large = options > EXACT
        nodes, far = (FEW_NODES, NOT_FAR) if is_large and any_price else (NODE_LIMIT, FAR)
        close = CLOSE if is_large else SAME
        width = NEAR * bound.fun or self.prices.max()
        while True:
            kept = np.flatnonzero(dearer <= width)
            is_all = len(kept) == len(dearer)
            found = self._search(kept, nodes, np.inf if any_price else close)
            if found.x is None:
                if is_all and found.status != LIMIT:
                    return None
                if is_all or (is_large and width > far * bound.fun):
                    raise Undecided
                width *= MORE
                continue
            taken = np.zeros(len(dearer), bool)
            taken[kept] = found.x > 0.5
            # What was left out is dearer than the bound by ``width`` at least.
            least = found.fun * (1 - (found.mip_gap or 0))
            if not is_all:
                least = min(least, bound.fun + width)
            gap = 1 - least / found.fun if found.fun else 0.0
            enough = found.fun - bound.fun          # no choice that is cheaper has an option beyond
            if any_price or is_all or gap <= close or width >= enough:
                return taken, 0.0 if gap < SAME else float(gap)
            width = enough

    def _search(self, kept, nodes, gap):
        constraints = [LinearConstraint(self.equal[:, kept], self.right, self.right)]
        if len(self.limits):
            constraints.append(LinearConstraint(self.amounts[:, kept], -np.inf, self.limits))
        return milp(self.prices[kept], integrality=1, bounds=Bounds(0, 1), constraints=constraints,
                    options={"mip_rel_gap": gap, "node_limit": nodes})


def _padded(values, width):
    """With zeros behind, for the numbers of ways."""
    return np.concatenate([values, np.zeros((*values.shape[:-1], width - values.shape[-1]))], axis=-1)


def _matrix(entries, height, width):
    """Of rows, columns and a value each."""
    rows, columns, values = zip(*(np.broadcast_arrays(*entry) for entry in entries))
    return coo_array((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))),
                     shape=(height, width)).tocsr()
