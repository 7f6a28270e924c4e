"""Choose one option for each stage at the least price, by integer programming."""
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

__all__ = ["Option", "Undecided", "cheapest"]

NODE_LIMIT = 300            # of the search: a limit in seconds would make results differ
EXACT = 2_000               # options up to which the least price is proven; of more, to a thousandth
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
        Stop at the first choice within the limits.

    Returns
    -------
    (list of Option, dict of str to int, float) or None
        The options, the ways of each class, and by how much of it the price might be too high. None if it is proven that there
        is no choice within the limits.

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
    equal = _matrix(values, len(rows), len(options) + len(classes))
    right = np.array([right for _, right in rows.values()], float)
    constraints = [LinearConstraint(equal, right, right)]
    finite = [n for n, limit in enumerate(limits) if np.isfinite(limit)]
    if finite:
        amounts = np.zeros((len(finite), len(options) + len(classes)))
        amounts[:, :len(options)] = np.array([option.amounts for option in options])[:, finite].T
        constraints.append(LinearConstraint(amounts, -np.inf, np.array(limits, float)[finite]))
    result = milp(
        [*(option.price for option in options), *[0] * len(classes)], integrality=1,
        bounds=Bounds(0, 1), constraints=constraints,
        options={"mip_rel_gap": np.inf if any_price else 0 if len(options) <= EXACT else 1e-3, "node_limit": NODE_LIMIT})
    if result.x is None:
        if result.status == LIMIT:
            raise Undecided
        return None
    taken = result.x > 0.5
    return ([option for option, is_taken in zip(options, taken) if is_taken],
            {name: ways for (name, ways) in classes if taken[column[name, ways]]},
            float(result.mip_gap or 0))


def _matrix(values, height, width):
    row, column, value = zip(*values)
    return coo_array((value, (row, column)), shape=(height, width)).tocsr()
