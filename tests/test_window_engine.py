# amaranth: UnusedElaboratable=no
"""The published window engine against the reference: bit for bit, and cycle for cycle."""
import numpy as np
import pytest
from amaranth import signed
from hypothesis import given
from hypothesis import strategies as st

from cores import graph
from cores.emit import FilePlatform
from hdl.walk import Walk
from hdl.window_engine import WindowConv
from sim import reference, stage_bench
from sim.harness import offers_without_ready, run
from strategies import (
    activations,
    check,
    densities,
    random_map,
    run_after_reset,
    seeds,
    shares,
    walks,
)
from test_conv import Stage, check_stage
from test_requantize import compare

PAD = (1, 1, 1, 1)


def engine(shape, *, pes, keep_zeros, **kwargs):
    """The engine by the names that the bench of convolutions has for every engine."""
    assert not keep_zeros
    return WindowConv(shape, coarse_out=pes, **kwargs)


def check_engine(*args, **kwargs):
    return check_stage(*args, make=engine, **kwargs)


# ---- The whole parameter space ------------------------------------------------------------------

@st.composite
def cases(draw):
    walk = draw(walks(taps=3, size=4, extra=1))
    coarse_in, groups = draw(st.integers(1, 3)), draw(st.sampled_from([1, 1, 2]))
    out_ways = draw(st.integers(1, 2))
    coarse_out = out_ways * draw(st.integers(1, 2))
    return {
        "walk": walk, "channels": groups * coarse_in * draw(st.integers(1, 2)), "coarse_in": coarse_in,
        "filters": groups * coarse_out * draw(st.integers(1, 2)), "pes": coarse_out, "groups": groups,
        "ways": draw(st.sampled_from([n for n in range(1, coarse_in + 1) if coarse_in % n == 0])),
        "out_ways": out_ways, "fine": draw(st.integers(1, walk.taps)), "skip_empty": draw(st.booleans()),
        "density": draw(densities), "windows": draw(st.integers(1, 4)), "frames": 2,
        "activation": draw(activations), "result": draw(activations),
        "weight_width": draw(st.integers(2, 16)), "bias_width": draw(st.sampled_from([2, 12, 30])),
        "extreme": draw(st.sampled_from([False, False, "low", "high"])), "seed": draw(seeds),
        "p_in": draw(shares), "p_out": draw(shares)}


@given(case=cases())
@check(8)
def test_engine(case):
    check_engine(**case)


# ---- Corners ------------------------------------------------------------------------------------

CORNERS = {
    "one pixel, channel and filter": dict(walk=Walk(1, 1), channels=1, filters=1, pes=1, frames=5),
    "one channel": dict(walk=Walk(3, 3, (3, 3), padding=PAD), channels=1, filters=2, pes=2, fine=4),
    "one filter": dict(walk=Walk(3, 3, (3, 3), padding=PAD), channels=2, filters=1, pes=1, fine=2),
    "1xN": dict(walk=Walk(1, 6, (1, 3)), channels=2, filters=2, pes=2, fine=2),
    "all zeros": dict(walk=Walk(3, 3, (3, 3), padding=PAD), channels=2, filters=2, pes=1, density=0),
    "all zeros left out": dict(walk=Walk(3, 3, (3, 3), padding=PAD), channels=2, filters=2, pes=1, density=0,
                               skip_empty=True),
    "few zeros left in": dict(walk=Walk(3, 3, (2, 2)), channels=4, filters=2, pes=1, density=0.1,
                              skip_empty=True, fine=2, frames=4),
    "all dense": dict(walk=Walk(3, 3, (2, 2)), channels=2, filters=4, pes=2, density=1, fine=3),
    "fully connected": dict(walk=Walk(3, 2, (3, 2)), channels=2, filters=4, pes=2, fine=4, frames=3),
    "windows without a pixel": dict(walk=Walk(2, 2, (2, 2), padding=(3, 2, 3, 2)), channels=2, filters=2, pes=2),
    "a window of slack": dict(walk=Walk(3, 3, (3, 3), padding=PAD), channels=4, filters=4, pes=2, windows=1,
                              coarse_in=4, ways=2, out_ways=2, fine=2),
}


@pytest.mark.parametrize("name", CORNERS)
def test_corners(name):
    check_engine(p_in=[0.6], p_out=[0.5, 1.0], **CORNERS[name])


@pytest.mark.parametrize("activation, weight_width, end", [("u8", 2, "high"), ("s17 full", 16, "low")])
def test_largest_magnitudes(activation, weight_width, end):
    check_engine(Walk(2, 2, (2, 2), padding=(0, 0, 1, 1)), 4, 2, 2, activation=activation, density=1, fine=3,
                 extreme=end, weight_width=weight_width, result="s17 full")


# ---- Timing -------------------------------------------------------------------------------------

def chunks_of(stage, fine, skip_empty):
    """Chunks of the last frame's windows, by output pixel and channel."""
    node = stage.node
    ones = graph.Pool("p", "x", "y", "avg", node.kernel, node.stride, node.dilation, node.padding)
    nonzeros = reference.sum_pool((stage.frames[-1:] != 0).astype(np.int64), ones)[0]
    return np.maximum(-(-nonzeros // fine), 0 if skip_empty else 1).reshape(-1, nonzeros.shape[-1])


@pytest.mark.parametrize("fine, skip_empty", [(1, False), (2, True), (4, False)])
def test_steady_state(fine, skip_empty):
    """A chunk takes as many cycles as there are sets of filters; lines without a window hide behind."""
    stage = Stage(Walk(4, 4, (3, 3), padding=PAD), 3, 8, 1, frames=3, density=0.3, fine=fine,
                  skip_empty=skip_empty, make=engine)
    stage.frames[:] = stage.frames[:1]
    stage.results[:] = reference.requantize(
        reference.conv_sums(stage.frames[:1], stage.node), stage.node.requantization)
    sinks = stage.sinks([1.0])
    run(stage.dut, stage.sources([1.0]), sinks)
    compare(sinks, stage.results)
    work = chunks_of(stage, fine, skip_empty)
    least = 8 * np.maximum(work.sum(1), 1).sum()
    assert least <= stage.cycles(sinks) <= 1.05 * least + 12


def test_dense_is_all_taps_at_once():
    """With a multiplier for each tap, a window takes a cycle for each set of filters whatever is in it."""
    stage = Stage(Walk(4, 4, (2, 2)), 2, 8, 1, frames=3, density=1, fine=4, make=engine)
    sinks = stage.sinks([1.0])
    run(stage.dut, stage.sources([1.0]), sinks)
    compare(sinks, stage.results)
    assert stage.cycles(sinks) == 9 * 2 * 8


def test_lines_bound_a_stage():
    """One value per cycle and stream, padding included."""
    stage = Stage(Walk(4, 4, (3, 3), padding=PAD), 2, 2, 2, frames=3, density=0, fine=9, out_ways=2, make=engine)
    sinks = stage.sinks([1.0])
    run(stage.dut, stage.sources([1.0]), sinks)
    assert stage.cycles(sinks) == 6 * 6 * 2


# ---- Ready never, and reset ---------------------------------------------------------------------

def test_offers_without_ready():
    stage = Stage(Walk(2, 2), 2, 4, 4, ways=2, coarse_in=2, out_ways=2, density=1, spread=(4, 5), make=engine)
    for way in stage.dut.o.way:
        assert offers_without_ready(stage.dut, stage.sources([1.0]), way)


@pytest.mark.parametrize("cycles", [1, 60])
def test_reset_in_a_frame(cycles):
    stage = Stage(Walk(4, 3, (3, 3), padding=PAD), 2, 4, 2, coarse_in=2, fine=2, seed=cycles, skip_empty=True,
                  make=engine)
    sinks = stage.sinks([0.8])
    junk = np.roll(stage.frames, 1, axis=2)
    run_after_reset(stage.dut, stage.sources([1.0], junk), stage.sources([0.9]), sinks, cycles=cycles)
    compare(sinks, stage.results)


# ---- Parameters ---------------------------------------------------------------------------------

GOOD = dict(low=0, high=255, walk=Walk(4, 4, (3, 3)), weights=np.ones((4, 3, 3, 4), int), bias=[0] * 4,
            weight_width=8, multiplier=[1] * 4, shift=[0] * 4, out_low=0, out_high=255, out_shape=8)


@pytest.mark.parametrize("kwargs, error, message", [
    (dict(walk=None), TypeError, "Walk must be a Walk, not None"),
    (dict(weights=np.ones((4, 3, 2, 2), int)), ValueError,
     r"Weights must be of shape \(filters, 3, 3, channels\), not \(4, 3, 2, 2\)"),
    (dict(weights=np.full((4, 3, 3, 4), 128)), ValueError,
     "Weights must have 8 bits, not range from 128 to 128"),
    (dict(bias=[0] * 3), ValueError, r"Biases must be 4, one per filter, not \(3,\)"),
    (dict(coarse_in=3), ValueError, "Coarse in must be a divisor of the 4 channels, not 3"),
    (dict(coarse_in=2, ways=4), ValueError, "Coarse in must be a multiple of the 4 ways, not 2"),
    (dict(coarse_out=3), ValueError, "Coarse out must be a divisor of the 4 filters of a group, not 3"),
    (dict(out_ways=2), ValueError, "Coarse out must be a multiple of the 2 ways, not 1"),
    (dict(groups=3), ValueError, "Filters must be a multiple of the 3 groups, not 4"),
    (dict(fine=10), ValueError, "Fine must be from 1 to 9, not 10"),
    (dict(fine=0), ValueError, "Fine must be from 1 to 9, not 0"),
    (dict(windows=0), TypeError, "Windows must be a positive integer, not 0"),
    (dict(low=1), ValueError, "Lowest activation must be from 0 to 0, not 1"),
    (dict(family="asic"), ValueError, "Family must be one of behavioural, dsp48e2, mult18x18d, not 'asic'"),
])
def test_refuses(kwargs, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        WindowConv(8, **GOOD | kwargs)


@pytest.mark.parametrize("family, paired, dsps", [
    ("behavioural", False, 2 * 3 * 4), ("behavioural", True, 2 * 3 * 4), ("dsp48e2", False, 2 * 3 * 4),
    ("dsp48e2", True, 2 * 3 * 2)])
def test_dsps(family, paired, dsps):
    """Only filters of a slot have an activation in common; and one for the requantizer."""
    unit = WindowConv(8, **GOOD, coarse_in=2, fine=3, coarse_out=4, family=family, paired=paired)
    assert unit.multipliers == 2 * 3 * 4
    assert unit.dsp_count == dsps + 1


def test_blocks_in_verilator(tmp_path):
    """DSP48E2 blocks are instances, which only Verilog has: extremes included, two products in each."""
    rng = np.random.default_rng(0)
    walk, channels, filters = Walk(5, 4, (3, 3), padding=PAD), 4, 6
    weights = rng.choice([-128, -127, -1, 0, 1, 127], (filters, 3, 3, channels))
    bias = rng.integers(-5000, 5000, filters)
    scale = graph.Requantization(rng.integers(1 << 16, 1 << 17, filters), rng.integers(22, 26, filters), -128, 127)
    node = graph.Conv("conv", "x", "y", weights, bias, scale, padding=walk.padding)
    unit = WindowConv(
        signed(9), low=-170, high=255, walk=walk, weights=weights, bias=bias, weight_width=8,
        multiplier=scale.multiplier, shift=scale.shift, out_low=-128, out_high=127, out_shape=signed(8),
        coarse_in=2, coarse_out=3, fine=2, skip_empty=True, paired=True, family="dsp48e2")
    x = random_map(rng, (3, 5, 4, channels), -170, 255, 0.5)
    platform = FilePlatform()
    text = stage_bench.emit(unit, platform)
    for name, content in platform.files.items():
        (tmp_path / name).write_text(content)
    simulation = stage_bench.compile_stage(unit, text, folder=tmp_path, family="dsp48e2", runtime=None)
    expected = reference.run_node(node, x)
    got = stage_bench.stream(simulation, unit, [x], expected.shape, keep_zeros=False, cwd=tmp_path, stalls=0.3)
    assert np.array_equal(got.maps, expected)
    assert unit.dsp_count == 2 * 2 * 2 + 1 and text.count("DSP48E2 ") >= 2
