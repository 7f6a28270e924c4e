"""Lanes that may run only some windows apart, against a count cycle by cycle."""
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cores.folding.lane_slack import slowdown
from strategies import check


def by_cycles(loads, windows):
    """Cycles until all lanes are through, each doing one cycle of work at a time."""
    lanes, count = loads.shape
    at, left = np.zeros(lanes, int), loads[:, 0].copy()
    for cycle in range(1, 10_000):
        complete = at.min()         # windows that all lanes have done, before this cycle
        for lane in range(lanes):
            if at[lane] < count and at[lane] < complete + windows:
                left[lane] -= 1
                if left[lane] == 0:
                    at[lane] += 1
                    left[lane] = loads[lane, at[lane]] if at[lane] < count else 0
        if at.min() == count:
            return cycle
    raise AssertionError("never through")


@given(st.integers(1, 4), st.integers(1, 20), st.integers(1, 6), st.integers(0, 1000))
@check(100)
def test_counts_cycles(lanes, count, windows, seed):
    loads = np.random.default_rng(seed).integers(1, 9, (lanes, count))
    assert round(slowdown(loads, windows) * loads.sum(1).max(), 6) == by_cycles(loads, windows)


def test_equal_lanes_lose_nothing():
    assert slowdown(np.full((3, 50), 7), 1) == 1


def test_lanes_in_turn_lose_all_without_room():
    """Two lanes that have all of the work by turns: one window apart they wait for each other."""
    loads = np.array([[9, 1] * 50, [1, 9] * 50])
    assert slowdown(loads, 1) == 1.8 and slowdown(loads, 2) < 1.02
