# amaranth: UnusedElaboratable=no
"""The netlist of a convolution stage, simulated cell by cell, equals the reference."""
import numpy as np
import pytest

from cores import graph
from cores.stages import Engine, Folding, component
from cores.synthesis import FAMILIES
from sim import reference
from sim.netlist import library, simulate_netlist
from sim.verilator import SimulationError

BLOCKS = {"xc7": ("DSP48E1", 2), "xcup": ("DSP48E2", 1), "ecp5": ("MULT18X18D", 2)}


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    return tmp_path_factory.mktemp("runtime")


def network(bias):
    rng = np.random.default_rng(5)
    tensors = [graph.Tensor("x", 4, 4, 2, 0, 255), graph.Tensor("y", 4, 4, 2, 0, 255)]
    node = graph.Conv("conv", "x", "y", rng.integers(-128, 128, (2, 1, 1, 2)), np.array([500, bias]),
                      graph.Requantization(rng.integers(1 << 16, 1 << 17, 2), np.full(2, 24), 0, 255))
    return graph.Graph("tiny", "x", ("y",), {t.name: t for t in tensors}, (node,))


def frames():
    rng = np.random.default_rng(6)
    images = rng.integers(0, 256, (4, 4, 4, 2)) * (rng.random((4, 4, 4, 2)) < 0.6)
    images[1] = 255                     # maximum magnitudes, and all dense
    return images


@pytest.mark.parametrize("family", FAMILIES)
def test_convolution(family, tmp_path, runtime):
    """Equal to the reference, and not to that of another bias: the comparison can fail."""
    tiny, images = network(700), frames()
    node, = tiny.nodes
    expected = reference.run(tiny, images)["y"]
    assert 0.05 < (expected == 0).mean() < 0.95 and len(np.unique(expected)) > 10
    folding = Folding(pes=2, requantize_cycles=8, weights_in_blocks=family == "xcup")
    stage = component(tiny, node, folding, Engine(family=FAMILIES[family]))
    got, cells = simulate_netlist(stage, [images], expected.shape, family=family, folder=tmp_path, runtime=runtime)
    assert (got.maps == expected).all() and not got.idle
    assert (got.maps != reference.run(network(-20000), images)["y"]).any()
    block, count = BLOCKS[family]
    assert cells.by_type[block] == count
    assert not any(cell.startswith(("RAMB", "DP16KD")) for cell in cells.by_type)


def test_a_cell_without_a_model():
    with pytest.raises(SimulationError, match="There is no model of the cell RAMB36E9"):
        library(["LUT4", "RAMB36E9"], "ecp5")
