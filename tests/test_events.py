"""What stages report of each cycle: exactly one activity, and as many products as the reference counts."""
import pytest
from amaranth.sim import Simulator

import networks
from cores.events import ACTIVITIES, products_per_lookup, stage_events
from cores.folding.allocate import Design, fold
from cores.pixels import sample_bits, samples
from cores.stages import Engine, Folding
from cores.top import Top
from sim import axi, reference

LAYERS = [{"op": "conv", "filters": 6, "padding": (1, 1, 1, 1)}, {"op": "max", "kernel": (2, 2), "stride": (2, 2)},
          {"op": "add", "other": "t1"}, {"op": "depthwise", "kernel": (2, 2)}]
FOLDINGS = {"conv0": Folding(lanes=3, pes=4, ways=3), "max1": Folding(), "add2": Folding(), "depthwise3": Folding()}


def totals(*, offered=1.0, ready=1.0, keep_zeros=False, cycles=9000):
    """Each stage's events over two frames, offered or taken in every so-manieth cycle only."""
    graph, frames = networks.chain(*LAYERS, shape=(4, 4, 3), frames=2)
    design = Design(3, FOLDINGS, 0.0)
    stages = fold(graph, design, Engine(keep_zeros=keep_zeros))
    top = Top(graph, design=design, stages=stages, keep_zeros=keep_zeros)
    source = graph.tensors[graph.input]
    beats = list(zip(*axi.pack(samples(source, frames), sample_bits(source))))
    found = {(event.unit, event.kind): 0 for event in stage_events(stages)}
    simulator = Simulator(top)
    simulator.add_clock(1e-8)

    async def drive(ctx):
        for data, last in beats:
            for _ in range(round(1 / offered) - 1):
                await ctx.tick()
            ctx.set(top.s_axis.tdata, int(data))
            ctx.set(top.s_axis.tlast, int(last))
            ctx.set(top.s_axis.tvalid, 1)
            while not (await ctx.tick().sample(top.s_axis.tready))[2]:
                pass
            ctx.set(top.s_axis.tvalid, 0)

    async def take(ctx):
        ended, alone = 0, dict.fromkeys(stages, 0)
        for cycle in range(cycles):
            ctx.set(top.m_axis.tready, cycle % round(1 / ready) == 0)
            _, _, valid, last, happened = await ctx.tick().sample(
                top.m_axis.tvalid & top.m_axis.tready, top.m_axis.tlast, top.events)
            for n, event in enumerate(stage_events(stages)):
                found[event.unit, event.kind] += happened[f"event_{n}"]
                alone[event.unit] += happened[f"event_{n}"] if event.kind in ACTIVITIES else 0
            assert set(alone.values()) == {cycle}, "one activity each, reported a cycle later"
            ended += valid & last
            if ended == 2:
                break
        assert ended == 2

    simulator.add_testbench(take)
    simulator.add_testbench(drive, background=True)
    simulator.run()
    counted, _ = reference.nonzero_macs(graph, reference.run(graph, frames))
    for name, stage in stages.items():
        if products_per_lookup(stage) is not None:
            assert found[name, "lookups"] * products_per_lookup(stage) == counted[name], name
    return found


@pytest.mark.parametrize("keep_zeros", [False, True])
def test_products_are_those_of_the_reference(keep_zeros):
    """Also where 6 filters share 4 PEs, in both engines."""
    found = totals(keep_zeros=keep_zeros)
    assert found["conv0", "busy"] > found["conv0", "blocked"]


def test_a_slow_source_starves():
    found = totals(offered=1 / 300)
    assert all(found[name, "starved"] > 5 * found[name, "busy"] for name in FOLDINGS)


def test_a_slow_sink_blocks():
    """The last stage's second result finds the first one in the adapter."""
    assert totals(ready=1 / 3000)["depthwise3", "blocked"] > totals()["depthwise3", "blocked"]
