# amaranth: UnusedElaboratable=no
"""The cycles that the window engine is expected to take, against its hardware; and its foldings."""
import numpy as np
import pytest

import networks
from cores.folding.allocate import allocate, fold
from cores.folding.profile import Profile
from cores.folding.window_cycles import WindowLoads, chunks
from cores.folding.window_options import window_rows
from cores.resources.predict import stage_resources
from cores.stages import ENGINES, Engine, Folding, dsps, multipliers
from hdl.walk import Walk
from sim.harness import run
from test_conv import Stage
from test_window_engine import engine

PAD = (1, 1, 1, 1)


@pytest.mark.parametrize("fine, skip_empty, due", [
    (1, False, [1, 1, 2, 3, 4]), (2, False, [1, 1, 1, 2, 2]), (3, True, [0, 1, 1, 1, 2]), (4, False, [1] * 5)])
def test_chunks(fine, skip_empty, due):
    assert chunks(4, fine, skip_empty).tolist() == due


STAGES = {
    "filters in many steps": dict(walk=Walk(5, 5, (3, 3), padding=PAD), channels=4, filters=8, pes=1, fine=2),
    "streams": dict(walk=Walk(5, 5, (3, 3), padding=PAD), channels=4, filters=4, pes=1, fine=1, coarse_in=4),
    "empty windows left out": dict(walk=Walk(5, 5, (3, 3), padding=PAD), channels=6, filters=4, pes=1, fine=3,
                                   skip_empty=True, density=0.1),
    "lines only": dict(walk=Walk(6, 6, (3, 3), padding=PAD), channels=2, filters=2, pes=2, fine=9, out_ways=2),
    "stride": dict(walk=Walk(7, 7, (3, 3), stride=(2, 2), padding=PAD), channels=2, filters=4, pes=2, fine=2),
}


@pytest.mark.parametrize("name", STAGES)
def test_cycles(name):
    """In steady state, with one frame over and over: within 3 % or 8 cycles."""
    given = dict(density=0.4) | STAGES[name]
    stage = Stage(frames=3, make=engine, **given)
    stage.frames[:] = stage.frames[:1]
    coarse_in, fine = given.get("coarse_in", 1), given["fine"]
    loads = WindowLoads(stage.frames[:1] != 0, given["walk"], skip_empty=given.get("skip_empty", False))
    expected = loads.cycles(coarse_in, fine, given["filters"] // given["pes"], 4)
    stage.results[:] = stage.results[:1]
    sinks = stage.sinks([1.0])
    run(stage.dut, stage.sources([1.0]), sinks)
    assert stage.cycles(sinks) == pytest.approx(expected, rel=0.03, abs=8)


def test_more_streams_or_slots_are_no_slower():
    mask = np.random.default_rng(0).random((1, 6, 6, 8)) < 0.5
    loads = WindowLoads(mask, Walk(6, 6, (3, 3), padding=PAD))
    for steps in (1, 4):
        taken = [[loads.cycles(streams, fine, steps, 4) for fine in range(1, 10)] for streams in (1, 2, 4, 8)]
        assert (np.diff(taken, axis=0) <= 0).all() and (np.diff(taken, axis=1) <= 0).all()


LAYERS = [{"op": "conv", "filters": 6, "padding": PAD}, {"op": "conv", "filters": 4, "padding": PAD}]


def chain():
    graph, frames = networks.chain(*LAYERS, shape=(6, 6, 3), frames=3)
    return graph, Profile(graph, frames)


def test_foldings_divide_channels_filters_and_use_every_number_of_slots():
    graph, profile = chain()
    kind, node = Engine.named("window"), graph.nodes[1]
    make, fields, cycles, amounts = window_rows(graph, profile, kind, node, (1, 2), (1, 2))
    foldings = [make(row) for row in range(len(cycles))]
    assert {(f.lanes, f.fine, f.pes) for f in foldings} == {
        (streams, fine, filters) for streams in (1, 2, 3, 6) for fine in range(1, 10) for filters in (1, 2, 4)}
    assert all(f.pes % f.out_ways == 0 and f.lanes % f.ways == 0 for f in foldings)
    assert fields[:, 3:5].tolist() == [[f.ways, f.out_ways] for f in foldings]
    for row in range(0, len(foldings), 40):
        assert cycles[row] >= profile.cycles(node, foldings[row])
        assert amounts["dsp"][row] == dsps(graph, node, foldings[row], kind)
        assert amounts["multipliers"][row] == multipliers(node, foldings[row])


@pytest.mark.parametrize("name", ["window", "window-best"])
def test_network_with_the_window_engine(name):
    """A design within its budget, whose components are those that were counted."""
    graph, profile = chain()
    kind = Engine.named(name, "dsp48e2")
    design = allocate(graph, profile, kind, dsp=20)
    stages = fold(graph, design, kind)
    assert sum(dsps(graph, node, design.foldings[node.name], kind) for node in graph.nodes) <= 20
    for node in graph.nodes:
        folding, stage = design.foldings[node.name], stages[node.name]
        assert stage.dsp_count == dsps(graph, node, folding, kind)
        assert stage.multipliers == multipliers(node, folding)
        assert stage_resources(graph, node, folding, kind).dsp == stage.dsp_count


def test_engines_by_name():
    assert list(ENGINES) == ["sparse", "dense", "window", "window-best"]
    assert Engine.named("dense", "dsp48e2") == Engine(keep_zeros=True, family="dsp48e2")
    assert Engine.named("window").window and not Engine.named("window").paired
    assert Folding(lanes=2, pes=3, fine=4).multipliers == 24
