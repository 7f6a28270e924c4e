"""Figures of `sim.stage`: the floor is what frames without a non-zero take."""
import numpy as np
import pytest

from hdl import clusters
from sim import reference
from sim.harness import Sink, Source, run
from sim.pixels import to_beats
from sim.stage import Stage, build, floor


def frame_of_zeros(stage, frames=4):
    """Cycles per frame in steady state, in Amaranth's simulator."""
    node, dut = build(stage)
    x = np.zeros((frames, stage.size, stage.size, stage.channels), np.int32)
    y = reference.run_node(node, x)
    sinks = [Sink(way, len(beats)) for way, beats in zip(dut.o.way, to_beats(y, stage.out_ways))]
    run(dut, [Source(way, beats) for way, beats in zip(dut.i.way, to_beats(x, stage.ways))], sinks, max_cycles=50_000)
    at = sinks[-1].cycles
    return (at[-1] - at[len(at) // frames - 1]) / (frames - 1)


SMALL = dict(kernel=3, channels=4, size=4, lanes=1)
SAME = {
    "taps": SMALL | dict(filters=4, pes=2),
    "taps of a row lane": SMALL | dict(filters=4, pes=2, row_lanes=2),
    "row lanes with no tap inside": SMALL | dict(kernel=5, size=2, filters=4, pes=1, row_lanes=5),
    "drain": SMALL | dict(kernel=1, filters=12, pes=6),
    "drain of a short last pass": SMALL | dict(kernel=1, filters=9, pes=6),
    "one that shares no divisor with the ways": SMALL | dict(kernel=1, filters=13, pes=8, out_ways=2),
    "zeros of serial multipliers": SMALL | dict(kernel=1, filters=4, pes=2, serial=True),
    "fewer filters than clusters in the last pass": SMALL | dict(kernel=1, filters=13, pes=12),
}


@pytest.mark.parametrize("name", SAME)
def test_floor(name, monkeypatch):
    """Exact where either the lookups or the drain take longer in every pass."""
    monkeypatch.setattr(clusters, "CLUSTER", 4 if "clusters" in name else 64)
    stage = Stage(zeros=1.0, **SAME[name])
    assert frame_of_zeros(stage) == floor(stage)


@pytest.mark.parametrize("pes", [5, 6, 7, 8])
def test_nothing_is_below_the_floor(pes):
    """Some passes wait for lookups, others for the drain: it can only be a little higher."""
    stage = Stage(zeros=1.0, **SMALL | dict(filters=16, pes=pes))
    assert floor(stage) <= frame_of_zeros(stage) <= 1.1 * floor(stage)
