"""Whole designs in Amaranth's simulator: AXI4-Stream in, AXI4-Stream out, every width."""
import dataclasses

import numpy as np
import pytest

import networks
from cores.folding.allocate import Design, fold
from cores.folding.profile import Profile
from cores.pixels import sample_bits, samples, stored
from cores.stages import Engine, Folding
from cores.top import Top, output_ports
from sim import axi, harness, reference
from test_axi import bus

CONV = {"op": "conv", "filters": 4, "kernel": (3, 3), "padding": (1, 1, 1, 1)}


def simulate(graph, frames, foldings=None, *, ways=1, keep_zeros=False, stalls=0.0, seed=0, raw=False,
             design=None):
    """Frames of quantized outputs that the top makes of stored values or raw pixels, and its cycles.

    One array, or a list if the graph has several outputs.
    """
    if design is None:
        design = Design(ways, {n.name: (foldings or {}).get(n.name, Folding()) for n in graph.nodes}, 0.0)
    top = Top(graph, design=design, stages=fold(graph, design, Engine(keep_zeros=keep_zeros)),
              keep_zeros=keep_zeros)
    source, targets = graph.tensors[graph.input], [graph.tensors[name] for name in graph.outputs]
    data, last = axi.pack(frames if raw else samples(source, frames), 8 if raw else sample_bits(source))
    beats = [int(d) | int(l) << 64 for d, l in zip(data, last)]
    sinks = [harness.Sink(bus(getattr(top, port)), len(frames) * axi.beats_per_frame(target), 1 - stalls)
             for port, target in zip(output_ports(graph), targets)]
    result = harness.run(top, [harness.Source(bus(top.s_axis), beats, 1 - stalls)], sinks, seed=seed)
    outputs = []
    for sink, target in zip(sinks, targets):
        words = np.array([beat & (1 << 64) - 1 for beat in sink.got], np.uint64)
        assert not any(beat >> 65 for beat in sink.got), "no frame is bad"
        outputs.append(axi.unpack(words, (len(frames), *target.shape), sample_bits(target), target))
    return outputs if len(outputs) > 1 else outputs[0], result.cycles


def expected(graph, frames):
    """What :func:`simulate` must give."""
    outputs = reference.run_outputs(graph, frames)
    outputs = [samples(graph.tensors[name], values) for name, values in outputs.items()]
    return outputs if len(outputs) > 1 else outputs[0]


@pytest.mark.parametrize("bits, signed", [(4, False), (4, True), (8, False), (8, True), (16, False), (16, True)])
@pytest.mark.parametrize("weight_bits", [2, 8, 16])
def test_widths(bits, signed, weight_bits):
    low, high = networks.limits(bits, signed)
    graph, frames = networks.chain(
        {**CONV, "low": low, "high": high}, {"op": "max", "kernel": (2, 2), "stride": (2, 2)},
        {"op": "fc", "filters": 3, "low": low, "high": high},
        shape=(4, 4, 2), low=low, high=high, weight_bits=weight_bits)
    got, _ = simulate(graph, frames, {"conv0": Folding(pes=2)}, stalls=0.2)
    assert np.array_equal(got, expected(graph, frames))


def test_thresholds():
    """On a convolution, a depthwise one and an addition whose operands are tied: fewer non-zeros, the reference's."""
    layers = ({**CONV, "threshold": 40}, {"op": "depthwise", "padding": (1,) * 4, "threshold": 60},
              {"op": "add", "other": "t0", "threshold": 50}, {"op": "max", "kernel": (2, 2)},
              {"op": "fc", "filters": 3})
    graph, frames = networks.chain(*layers, shape=(4, 4, 2))
    values = reference.run(graph, frames)
    for name, threshold in ("t0", 40), ("t1", 60), ("t2", 50):
        assert values[name].any() and values[name][values[name] > 0].min() >= threshold
    got, _ = simulate(graph, frames, {"conv0": Folding(pes=2)}, stalls=0.2)
    assert np.array_equal(got, expected(graph, frames))



@pytest.mark.parametrize("bits", [4, 8, 16])
def test_zero_points(bits):
    """Unsigned data with a zero point take one bit more."""
    top, zero = (1 << bits) - 1, 5
    graph, frames = networks.chain(
        {**CONV, "low": -zero, "high": top - zero}, {"op": "avg", "kernel": (2, 2), "low": -zero, "high": top - zero},
        shape=(4, 3, 2), low=-zero, high=top - zero, zero_point=zero, out_zero_point=zero)
    assert graph.tensors["in"].bits == bits + 1
    got, _ = simulate(graph, frames, stalls=0.2)
    assert np.array_equal(got, expected(graph, frames))


@pytest.mark.parametrize("layers, shape, foldings, ways", [
    ([CONV], (1, 1, 1), {}, 1),
    ([{**CONV, "filters": 1}], (3, 1, 1), {}, 1),
    ([{**CONV, "stride": (2, 2)}, CONV], (5, 6, 3),
     {"conv0": Folding(lanes=3, row_lanes=3, pes=2, ways=3, out_ways=2), "conv1": Folding(lanes=2, pes=4, ways=2)}, 3),
    ([CONV, {"op": "avg", "kernel": (5, 4)}, {"op": "fc", "filters": 7}], (5, 4, 2), {}, 1),
    ([{"op": "fc", "filters": 5}], (4, 3, 2), {"fc0": Folding(lanes=2, row_lanes=2, pes=5)}, 1),
], ids=["1x1 map", "one filter", "lanes and ways", "global average", "fully connected"])
def test_shapes(layers, shape, foldings, ways):
    graph, frames = networks.chain(*layers, shape=shape, frames=4)
    got, _ = simulate(graph, frames, foldings, ways=ways, stalls=0.3)
    assert np.array_equal(got, expected(graph, frames))


def test_several_outputs():
    """One tensor that another layer reads too, and two ends."""
    graph, frames = networks.chain(CONV, CONV, {**CONV, "source": "t0", "stride": (2, 2)}, shape=(4, 5, 2), frames=4)
    graph = dataclasses.replace(graph, outputs=("t2", "t0", "t1"))
    got, _ = simulate(graph, frames, {"conv1": Folding(pes=4)}, stalls=0.3)
    for mine, wanted in zip(got, expected(graph, frames), strict=True):
        assert np.array_equal(mine, wanted)


SAME = {"op": "conv", "filters": 4, "padding": (1, 1, 1, 1)}
JOINS = {
    "identity": [SAME, SAME, SAME, {"op": "add", "other": "t0"}, SAME],
    "of the input": [{**SAME, "filters": 3}, {"op": "add", "other": "in"}],
    "downsampling": [SAME, {**SAME, "stride": (2, 2)}, SAME,
                     {**SAME, "source": "t0", "kernel": (1, 1), "stride": (2, 2), "padding": (0,) * 4},
                     {"op": "add", "source": "t2", "other": "t3"}],
    "nested": [SAME, SAME, {"op": "add", "other": "t0"}, SAME, {"op": "add", "other": "t2"},
               {"op": "add", "other": "t0"}],
    "doubled": [SAME, {"op": "add", "other": "t0"}],
    "pooled": [SAME, {"op": "max", "kernel": (3, 3), "padding": (1, 1, 1, 1)},
               {**SAME, "source": "t0", "kernel": (1, 1), "padding": (0,) * 4},
               {"op": "add", "source": "t1", "other": "t2"}],
    "depthwise": [SAME, {"op": "depthwise", "padding": (1, 1, 1, 1)},
                  {**SAME, "kernel": (1, 1), "padding": (0,) * 4}, {"op": "add", "other": "t0"}],
}


@pytest.mark.parametrize("data", ["random", "all zero", "all dense", "alternating"])
@pytest.mark.parametrize("name", JOINS)
def test_branches(name, data):
    """No data makes branches that meet again block each other."""
    graph, frames = networks.chain(*JOINS[name], shape=(5, 4, 3), frames=3)
    if data != "random":
        frames[:] = {"all zero": 0, "all dense": 255}.get(data, 0)
        if data == "alternating":
            frames[::2] = 255
    foldings = {node.name: Folding(lanes=2, pes=2, ways=1) for node in graph.nodes if node.op == "conv"}
    got, _ = simulate(graph, frames, foldings, stalls=0.0 if data == "random" else 0.3)
    assert np.array_equal(got, expected(graph, frames))


@pytest.mark.parametrize("name", ["identity", "depthwise"])
def test_branches_of_the_dense_engine(name):
    graph, frames = networks.chain(*JOINS[name], shape=(5, 4, 3), frames=3)
    got, _ = simulate(graph, frames, keep_zeros=True, stalls=0.3)
    assert np.array_equal(got, expected(graph, frames))


def test_branches_on_two_ways():
    graph, frames = networks.chain(*JOINS["depthwise"], SAME, shape=(5, 5, 4), frames=3)
    two = {"ways": 2, "out_ways": 2, "lanes": 2}
    foldings = {"conv0": Folding(lanes=2, pes=4, out_ways=2), "depthwise1": Folding(**two, row_lanes=3),
                "conv2": Folding(**two, pes=2), "add3": Folding(**two), "conv4": Folding(ways=2, lanes=4, pes=3)}
    got, _ = simulate(graph, frames, foldings, stalls=0.3)
    assert np.array_equal(got, expected(graph, frames))


def test_table_at_the_input():
    """Raw pixels on the bus become what the network expects."""
    graph, _ = networks.chain(SAME, shape=(4, 5, 3), low=-100, high=155, zero_point=100)
    rng = np.random.default_rng(3)
    tables = np.clip(np.round(np.arange(256) * np.array([[0.9], [0.5], [1.0]])) - 100, -100, 155).astype(int)
    graph = dataclasses.replace(graph, input_table=tables)
    images = rng.integers(0, 256, (3, 4, 5, 3)).astype(np.uint8)
    images[0] = np.argmin(np.abs(tables), axis=1)               # pixels that mean zero
    frames = stored(graph, images)
    assert not frames[0].any() and np.array_equal(frames[..., 1], tables[1][images[..., 1]])
    got, _ = simulate(graph, images, ways=3, foldings={"conv0": Folding(lanes=3, ways=3)}, stalls=0.3, raw=True)
    assert np.array_equal(got, expected(graph, frames))


def test_engines_agree_and_zeros_cost_the_dense_one():
    graph, frames = networks.chain(CONV, CONV, shape=(5, 5, 4), frames=4)
    frames[:] = np.where(np.arange(4) % 2, frames, 0)       # every other channel is zero
    sparse, sparse_cycles = simulate(graph, frames)
    dense, dense_cycles = simulate(graph, frames, keep_zeros=True)
    assert np.array_equal(sparse, expected(graph, frames)) and np.array_equal(dense, sparse)
    assert dense_cycles > 1.5 * sparse_cycles


def test_profile_models_the_cycles_of_the_slowest_stage():
    """Steady state of the whole pipeline within 2 % of the model that folding is chosen by."""
    graph, frames = networks.chain(CONV, {**CONV, "filters": 8}, shape=(6, 6, 4), frames=6)
    foldings = {"conv0": Folding(pes=4), "conv1": Folding(pes=2)}
    short = simulate(graph, frames[:2], foldings)[1]
    cycles = (simulate(graph, frames, foldings)[1] - short) / 4
    modelled = Profile(graph, frames[2:]).cycles(graph.nodes[1], foldings["conv1"])
    assert cycles == pytest.approx(modelled, rel=0.02)
