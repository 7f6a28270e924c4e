# amaranth: UnusedElaboratable=no
"""Arrays that components are given: anything but integers is refused, not truncated."""
import numpy as np
import pytest

from hdl.accumulator import Accumulator
from hdl.bounds import sum_bounds
from hdl.check import integers
from hdl.clusters import Clusters
from hdl.conv import Conv
from hdl.depthwise import Depthwise
from hdl.dot import SparseDot
from hdl.pool import Pool
from hdl.requantize import Requantize
from hdl.rom import pack
from hdl.table import Table
from hdl.walk import Walk
from hdl.weigh import Weigh
from hdl.window_dot import WindowDot
from hdl.window_engine import WindowConv

ONES = [1] * 4
SCALES = dict(multiplier=ONES, shift=ONES)
STAGE = dict(low=0, high=255, walk=Walk(4, 4, (3, 3)), bias=ONES, weight_width=8, out_low=0, out_high=255,
             out_shape=8) | SCALES
DOT = dict(weights=np.ones((4, 6), int), weight_width=8, sum_width=20, pes=2)

COMPONENTS = [
    (Conv, (8,), dict(weights=np.ones((4, 3, 3, 2), int), pes=2) | STAGE),
    (Depthwise, (8,), dict(weights=np.ones((4, 3, 3), int)) | STAGE),
    (WindowConv, (8,), dict(weights=np.ones((4, 3, 3, 2), int)) | STAGE),
    (SparseDot, (8,), DOT),
    (Clusters, (8,), DOT),
    (WindowDot, (8,), dict(weights=np.ones((4, 9, 2), int), weight_width=8, fine=1, coarse_out=1, sum_width=20)),
    (Weigh, (8,), dict(weights=np.ones((4, 3, 3), int), weight_width=8, depth=36, channels=4)),
    (Accumulator, (), dict(lanes=1, sum_width=20, width=20, bias=ONES)),
    (Requantize, (), dict(width=20, low=0, high=255, shape=8) | SCALES),
    (Pool, (8,), dict(walk=Walk(4, 4, (2, 2)), channels=4, op="avg", out_shape=8, low=0, high=255) | SCALES),
    (Table, (8,), dict(tables=np.ones((1, 256), int), out_shape=8)),
]
NAMES = {"weights": "Weights", "bias": "Biases", "multiplier": "Multipliers", "shift": "Shifts", "tables": "Tables"}


@pytest.mark.parametrize("component, shape, given", COMPONENTS, ids=[entry[0].__name__ for entry in COMPONENTS])
def test_components_refuse_what_is_not_an_integer(component, shape, given):
    component(*shape, **given)
    names = NAMES.keys() & given
    assert names
    for name in names:
        for kind, text in (float, r"float64, such as 1\.0"), (bool, "bool, such as True"):
            with pytest.raises(TypeError, match=f"^{NAMES[name]} must be integers, not {text}$"):
                component(*shape, **given | {name: np.asarray(given[name]).astype(kind)})


@pytest.mark.parametrize("values, error, message", [
    ([1, 0.5], TypeError, r"Weights must be integers, not float64, such as 1\.0"),
    (np.full(2, np.nan), TypeError, "Weights must be integers, not float64, such as nan"),
    (["1"], TypeError, "Weights must be integers, not str32, such as '1'"),
    ([1, None], TypeError, "Weights must be integers, not object, such as 1"),
    (None, TypeError, "Weights must be integers, not object, such as None"),
    ([[1], [1, 2]], TypeError, r"Weights must be an array, not \[\[1\], \[1, 2\]\]"),
    ([1 << 63], ValueError, "Weights must be integers of 64 bits, not up to 9223372036854775808"),
])
def test_integers_refuse(values, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        integers("Weights", values)


@pytest.mark.parametrize("values", [
    5, [1, -2], ((1, 2), (3, 4)), np.arange(3, dtype=np.int8), np.arange(3, dtype=np.uint64), [], np.zeros((0, 3))])
def test_integers(values):
    got = integers("Weights", values)
    assert got.dtype == np.int64 and np.array_equal(got, values)


def test_functions_refuse_what_is_not_an_integer():
    with pytest.raises(TypeError, match=r"^Weights must be integers, not float64, such as 0\.5$"):
        sum_bounds([[0.5]], 0, 0, 255)
    with pytest.raises(TypeError, match=r"^Biases must be integers, not float64, such as 0\.5$"):
        sum_bounds([[1]], [0.5], 0, 255)
    with pytest.raises(TypeError, match=r"^Fields must be integers, not float64, such as 0\.5$"):
        pack([[0.5]], 8)
