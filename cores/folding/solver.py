"""Choose one option for each stage at the least price, by integer programming.

The relaxation, with shares of options instead of one, bounds the price from below. Its reduced costs tell by how much
a choice with some option is dearer than that at least: all choices up to some price have few options, and the
search sees no others.
"""
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import coo_array, csr_array

__all__ = ["Option", "Undecided", "cheapest"]

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
class Option:
    """What a stage may be: it reads tensors of one class at so many ways, and makes some of another."""
    stage: str
    reads: tuple[str, int]
    makes: tuple[str, int]
    price: float
    amounts: tuple
    choice: object


def cheapest(options, widths, limits, *, any_price=False):
    """One option of each stage that agree on the ways of all tensors, at the least price in all.

    Parameters
    ----------
    options : list of Option
    widths : dict of str to list of int
        Numbers of ways that each class of tensors may have.
    limits : tuple of float
        What the chosen options' ``amounts`` may sum up to.
    any_price : bool
        Stop at the first choice that is found within the limits.

    Returns
    -------
    (list of Option, dict of str to int, float) or None
        The options, the ways of each class, and the share by which the price might be too high: 0 if it is proven that
        it is the least. None if it is proven that there is no choice within the limits.

    Raises
    ------
    Undecided
    """
    classes = [(name, ways) for name, allowed in widths.items() for ways in allowed]
    column = {key: len(options) + n for n, key in enumerate(classes)}
    rows, values = {}, []           # name of a constraint: its number and right side

    def put(name, where, value, right=0):
        row = rows.setdefault(name, (len(rows), right))[0]
        values.append((row, where, value))

    for name, ways in classes:
        put(name, column[name, ways], 1, right=1)
    stages = {option.stage: option for option in options}
    for stage, option in stages.items():
        for side, (name, _) in (("reads", option.reads), ("makes", option.makes)):
            for ways in widths[name]:
                put((stage, side, ways), column[name, ways], -1)
    for n, option in enumerate(options):
        put((option.stage, "reads", option.reads[1]), n, 1)
        put((option.stage, "makes", option.makes[1]), n, 1)
    program = _Program(
        np.array([*(option.price for option in options), *[0.0] * len(classes)]),
        _matrix(values, len(rows), len(options) + len(classes)), np.array([right for _, right in rows.values()], float),
        np.array([[option.amounts[n] for option in options] + [0.0] * len(classes)
                  for n, limit in enumerate(limits) if np.isfinite(limit)]).reshape(-1, len(options) + len(classes)),
        np.array([limit for limit in limits if np.isfinite(limit)]))
    found = program.least(len(options), any_price)
    if found is None:
        return None
    taken, gap = found
    return ([option for option, is_taken in zip(options, taken) if is_taken],
            {name: ways for (name, ways) in classes if taken[column[name, ways]]}, gap)


@dataclass(frozen=True, eq=False)
class _Program:
    """Minimise ``prices @ x`` where ``equal @ x == right`` and ``amounts @ x <= limits``; ``x`` are 0 or 1."""
    prices: np.ndarray
    equal: csr_array
    right: np.ndarray
    amounts: np.ndarray
    limits: np.ndarray

    def least(self, options, any_price):
        """(x as array of bool, gap), or None; all but the first ``options`` are always part of the search."""
        bounded = {"A_ub": self.amounts, "b_ub": self.limits} if len(self.limits) else {}
        bound = linprog(self.prices, A_eq=self.equal, b_eq=self.right, bounds=(0, 1), **bounded)
        if bound.x is None:
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


def _matrix(values, height, width):
    row, column, value = zip(*values)
    return coo_array((value, (row, column)), shape=(height, width)).tocsr()
