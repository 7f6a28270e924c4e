# amaranth: UnusedElaboratable=no
"""Grouped convolutions: windows and whole stages against the references, and their cycles."""
import warnings

import numpy as np
import pytest
from amaranth.back import verilog
from hypothesis import given
from hypothesis import strategies as st

from hdl.conv import Conv
from hdl.walk import Walk
from hdl.window import Window
from sim import reference
from sim.harness import Sink, Source, offers_without_ready, run
from sim.pixels import to_beats
from sim.window import products
from strategies import (
    ACTIVATIONS,
    activations,
    check,
    densities,
    ports,
    random_map,
    run_after_reset,
    seeds,
    shares,
    walks,
)
from test_conv import Stage, check_stage, passes_of
from test_requantize import compare as compare_beats
from test_window import compare

PAD = (1, 1, 1, 1)


def divisors(number):
    return st.sampled_from([n for n in range(1, number + 1) if number % n == 0])


@st.composite
def folded(draw, walk, most_channels):
    """Groups, and lanes that divide the channels of one."""
    groups, channels = draw(st.integers(2, 5)), draw(st.integers(1, most_channels))
    lanes = draw(divisors(channels))
    return {"walk": walk, "groups": groups, "channels": groups * channels, "lanes": lanes,
            "ways": draw(divisors(lanes)), "row_lanes": draw(st.integers(1, min(walk.kernel[0], 3))),
            "density": draw(densities), "keep_zeros": draw(st.booleans()),
            "activation": draw(activations), "windows": draw(st.integers(1, 4)), "seed": draw(seeds),
            "p_in": draw(shares), "p_out": draw(shares)}


# ---- The window ---------------------------------------------------------------------------------

def expected(x, walk, *, groups, passes, lanes, row_lanes, **kwargs):
    """Products of each lane over all frames: in each window the passes of one group after another."""
    size = x.shape[-1] // groups
    streams = [[] for _ in range(lanes * row_lanes)]
    for frame in x:
        parts = [products(frame[..., g * size:(g + 1) * size], walk, passes=passes, lanes=lanes,
                          row_lanes=row_lanes, **kwargs) for g in range(groups)]
        for n, stream in enumerate(streams):
            rows = len(range(n // lanes, walk.kernel[0], row_lanes))
            pitch = passes * rows * walk.kernel[1] * size // lanes
            left = [iter(part[n]) for part in parts]
            for _ in range(walk.out_height * walk.out_width):
                for g, part in enumerate(left):
                    final = False
                    while not final:
                        value, address, last, final = next(part)
                        address = None if address is None else g * pitch + address
                        stream.append((value, address, last, final and g == groups - 1))
    return streams


def check_window(walk, channels, groups, *, activation="u8", density=0.5, frames=2, seed=0,
                 p_in=(1.0,), p_out=(1.0,), ways=1, passes=1, lanes=1, row_lanes=1,
                 keep_zeros=False, x=None, **kwargs):
    """Stream random frames through a window and compare; returns its sinks."""
    shape, low, high = ACTIVATIONS[activation]
    dut = Window(shape, walk=walk, channels=channels, groups=groups, ways=ways, lanes=lanes,
                 row_lanes=row_lanes, passes=passes, keep_zeros=keep_zeros, **kwargs)
    if x is None:
        x = random_map(np.random.default_rng(seed), (frames, walk.height, walk.width, channels),
                       low, high, density)
    streams = expected(x, walk, groups=groups, passes=passes, lanes=lanes, row_lanes=row_lanes,
                       keep_zeros=keep_zeros)
    assert dut.depth > max((address or 0 for stream in streams for _, address, *_ in stream))
    sinks = ports(Sink, dut.o, streams, p_out)
    beats = to_beats(x, ways, keep_zeros)
    run(dut, ports(Source, dut.i.way, beats, p_in), sinks, seed=seed,
        max_cycles=20 * (1000 + sum(map(len, streams)) + sum(map(len, beats))))
    compare(sinks, streams)
    return sinks


@st.composite
def windows(draw, budget=500):
    case = draw(folded(draw(walks(taps=4, size=5, extra=2)), 6))
    walk = case["walk"]
    products = walk.taps_inside * case["channels"] + walk.out_height * walk.out_width
    case["passes"] = draw(st.integers(1, max(1, min(3, budget // (2 * products)))))
    case["slots"] = draw(st.sampled_from([None, walk.min_slots(case["row_lanes"])]))
    return case


@given(case=windows())
@check(20)
def test_window(case):
    check_window(**case)


@pytest.mark.parametrize("groups, channels, passes", [(4, 8, 1), (4, 8, 2), (3, 9, 2), (5, 5, 3)])
def test_dense_window(groups, channels, passes):
    """A product in every cycle, frame after frame, whatever group comes next."""
    walk = Walk(4, 4, (3, 3), padding=PAD)
    sink, = check_window(walk, channels, groups, passes=passes, density=1.0, frames=3)
    per_frame = passes * walk.taps_inside * channels
    assert np.diff(sink.cycles[per_frame - 1::per_frame])[-1] == per_frame


def test_each_group_alone():
    """A pixel whose only non-zeros are those of one group: the others' lists are empty."""
    x = np.zeros((6, 3, 3, 6), int)
    for group in range(3):
        x[2 * group:2 * group + 2, ..., 2 * group + group % 2] = 7 + group
    check_window(Walk(3, 3, (2, 2)), 6, 3, x=x)


@pytest.mark.parametrize("kwargs, error, message", [
    (dict(groups=0), TypeError, "Groups must be a positive integer, not 0"),
    (dict(groups=4), ValueError, "Channels must be a multiple of the 4 groups, not 6"),
    (dict(groups=3, lanes=4), ValueError,
     "Lanes must be a divisor of the 2 channels of a group, not 4"),
    (dict(groups=2, by_channel=True), ValueError,
     "Groups must be 1 where products tell their channel, not 2"),
    (dict(groups=2, with_channel=True), ValueError,
     "Groups must be 1 where products tell their channel, not 2"),
])
def test_window_refuses(kwargs, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        Window(8, **{"walk": Walk(4, 4), "channels": 6} | kwargs)


# ---- The whole stage ----------------------------------------------------------------------------

@st.composite
def stages(draw, budget=400):
    case = draw(folded(draw(walks(taps=3, size=4, extra=2)), 6)) | {
        "weight_width": draw(st.integers(2, 16)), "bias_width": draw(st.sampled_from([2, 12, 30])),
        "result": draw(activations), "out_ways": draw(st.integers(1, 3)),
        "extreme": draw(st.sampled_from([False, False, "low", "high"]))}
    walk, groups = case["walk"], case["groups"]
    case["pes"] = case["out_ways"] * draw(st.integers(1, 2))
    pass_ = walk.taps_inside * case["channels"] + walk.out_height * walk.out_width * groups * case["pes"]
    passes = draw(st.integers(1, max(1, min(3, budget // (2 * pass_)))))
    case["filters"] = groups * case["pes"] * passes
    case["slots"] = draw(st.sampled_from([None, walk.min_slots(case["row_lanes"])]))
    return case


@given(case=stages())
@check(14)
def test_stage(case):
    check_stage(**case)


SAME = Walk(3, 3, (3, 3), padding=PAD)
CORNERS = {
    "two groups": dict(walk=SAME, channels=4, filters=8, pes=2, groups=2),
    "depthwise": dict(walk=SAME, channels=4, filters=4, pes=1, groups=4),
    "three filters a channel": dict(walk=SAME, channels=4, filters=12, pes=3, groups=4, out_ways=3),
    "all zeros": dict(walk=SAME, channels=6, filters=6, pes=2, groups=3, density=0),
    "all dense": dict(walk=SAME, channels=6, filters=6, pes=2, groups=3, density=1, lanes=2),
    "one pixel": dict(walk=Walk(1, 1), channels=6, filters=6, pes=2, groups=3, frames=6),
    "1x1": dict(walk=Walk(4, 4), channels=8, filters=8, pes=2, groups=2, lanes=4, ways=2, out_ways=2),
    "zeros kept": dict(walk=SAME, channels=6, filters=6, pes=2, groups=3, keep_zeros=True, ways=2,
                       lanes=2),
    "zeros kept, depthwise": dict(walk=SAME, channels=3, filters=6, pes=2, groups=3, keep_zeros=True),
    "no power of two": dict(walk=Walk(2, 3, (2, 2)), channels=27, filters=9, pes=3, groups=3, lanes=3,
                            density=0.2),
    "six lanes on two ways": dict(walk=Walk(2, 3, (2, 2)), channels=36, filters=6, pes=2, groups=3,
                                  lanes=6, ways=2, row_lanes=2, density=0.4),
    "stride and dilation": dict(walk=Walk(7, 6, (3, 2), (2, 3), (2, 1), (2, 0, 1, 1)), channels=4,
                                filters=4, pes=1, groups=2, row_lanes=3, lanes=2),
    "windows without a pixel": dict(walk=Walk(2, 2, (2, 2), padding=(3, 2, 3, 2)), channels=4,
                                    filters=4, pes=2, groups=2, row_lanes=2),
    "many groups": dict(walk=Walk(2, 2), channels=33, filters=33, pes=1, groups=33, density=0.1),
}


@pytest.mark.parametrize("name", CORNERS)
@pytest.mark.parametrize("p_in, p_out", [(1.0, 0.5), (0.3, 0.3)])
def test_corners(name, p_in, p_out):
    check_stage(p_in=[p_in], p_out=[p_out, 1.0], **CORNERS[name])


@pytest.mark.parametrize("activation", ["u8", "s17 full"])
@pytest.mark.parametrize("weight_width, end", [(2, "high"), (8, "low"), (16, "high")])
def test_largest_magnitudes(activation, weight_width, end):
    check_stage(Walk(2, 2, (2, 2), padding=(0, 0, 1, 1)), 6, 6, 2, groups=3, activation=activation,
                density=1, extreme=end, weight_width=weight_width, result="s17 full")


WALK = Walk(4, 4, (3, 3), padding=PAD)
EXACT = {
    "dense": dict(channels=6, filters=6, pes=2, groups=3, density=1),
    "dense, two passes a group": dict(channels=6, filters=8, pes=2, groups=2, density=1),
    "zeros kept": dict(channels=4, filters=4, pes=2, groups=2, keep_zeros=True),
    "zeros only: taps": dict(channels=8, filters=8, pes=2, groups=4, density=0),
    "depthwise: taps": dict(channels=4, filters=8, pes=2, groups=4, density=1),
    "drain": dict(channels=4, filters=24, pes=12, groups=2, density=1),
    "drain on two ways": dict(channels=4, filters=48, pes=24, groups=2, density=0, out_ways=2),
}


def steady(stage):
    """Cycles of a steady frame without stalls, after its results have been compared."""
    stage.results = reference.requantize(
        reference.conv_sums(stage.frames, stage.node), stage.node.requantization)
    sinks = stage.sinks([1.0])
    run(stage.dut, stage.sources([1.0]), sinks)
    compare_beats(sinks, stage.results, stage.keep_zeros)
    return stage.cycles(sinks)


@pytest.mark.parametrize("name", EXACT)
def test_steady_state(name):
    """A pass takes the largest of its group's non-zeros, the taps inside and its drain."""
    stage = Stage(WALK, frames=4, **EXACT[name])
    if stage.keep_zeros:
        stage.frames = np.ones_like(stage.frames)
    assert steady(stage) == sum(max(case) for case in passes_of(stage))


@pytest.mark.parametrize("density", [0.2, 0.6])
def test_sparse_steady_state(density):
    """Between what bounds the whole frame and what bounds each pass, and what starts it."""
    stage = Stage(WALK, 12, 8, 2, groups=2, frames=3, density=density)
    stage.frames[:] = stage.frames[:1]
    cycles, bounds = steady(stage), passes_of(stage)
    assert max(map(sum, zip(*bounds))) <= cycles <= sum(map(max, bounds))


def test_other_groups_cost_nothing():
    """A group without non-zeros is looked up while the other's are multiplied."""
    stage = Stage(WALK, 8, 4, 2, groups=2, frames=4, density=1)
    stage.frames[..., 4:] = 0
    nonzeros = 4 * WALK.taps_inside
    assert nonzeros <= steady(stage) <= nonzeros + 2 * WALK.out_height * WALK.out_width


def test_latency():
    """As without groups: a window is read as soon as its last pixel is there."""
    stage = Stage(Walk(1, 1), 2, 2, 1, groups=2, density=1, frames=1)
    sinks = stage.sinks([1.0])
    run(stage.dut, stage.sources([1.0]), sinks)
    dut = stage.dut
    assert sinks[0].cycles[0] - 2 == (
        9 + dut.dots[0].latency + dut.accumulator.latency + dut.requantize.latency)


def test_offers_without_ready():
    stage = Stage(Walk(2, 2), 8, 8, 4, groups=2, ways=2, lanes=2, out_ways=2, density=1, spread=(4, 5))
    for way in stage.dut.o.way:
        assert offers_without_ready(stage.dut, stage.sources([1.0]), way)


@pytest.mark.parametrize("cycles", [20, 90, 200])
def test_reset_in_a_frame(cycles):
    stage = Stage(Walk(4, 5, (3, 3), padding=PAD), 6, 6, 2, groups=3, lanes=2, row_lanes=2, seed=cycles)
    sinks = stage.sinks([0.8])
    junk = np.roll(stage.frames, 1, axis=2)
    run_after_reset(stage.dut, stage.sources([1.0], junk), stage.sources([0.9]), sinks,
                    cycles=cycles)
    compare_beats(sinks, stage.results)


def test_converts_to_verilog():
    stage = Stage(Walk(5, 4, (3, 2)), 12, 12, 4, groups=3, lanes=4, ways=2, row_lanes=2, out_ways=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "module conv(" in verilog.convert(stage.dut, name="conv", emit_src=False)


GOOD = dict(low=0, high=255, walk=Walk(4, 4, (3, 3)), weights=np.ones((12, 3, 3, 2), int),
            bias=[0] * 12, weight_width=8, multiplier=[1] * 12, shift=[0] * 12, out_low=0,
            out_high=255, out_shape=8, pes=2, groups=3)


@pytest.mark.parametrize("kwargs, error, message", [
    (dict(groups=0), TypeError, "Groups must be a positive integer, not 0"),
    (dict(groups=5), ValueError, "Filters must be a multiple of the 5 groups, not 12"),
    (dict(pes=3), ValueError, "PEs must be a divisor of the 4 filters of a group, not 3"),
    (dict(pes=6), ValueError, "PEs must be a divisor of the 4 filters of a group, not 6"),
    (dict(pes=13), ValueError, "PEs must be at most the 12 filters, not 13"),
    (dict(lanes=3), ValueError, "Lanes must be a divisor of the 2 channels of a group, not 3"),
])
def test_conv_refuses(kwargs, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        Conv(8, **GOOD | kwargs)


def test_parts():
    """As many multipliers and slots as without groups, and only the weights that there are."""
    grouped, dense = (Stage(SAME, 8, 8, 2, groups=groups, lanes=2).dut for groups in (4, 1))
    assert grouped.multipliers == dense.multipliers and grouped.dsp_count == dense.dsp_count
    assert grouped.window.slots == dense.window.slots
    assert grouped.window.depth == dense.window.depth // 4 == len(grouped.dots[0].words) == 4 * 9
