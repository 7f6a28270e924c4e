# amaranth: UnusedElaboratable=no
"""Whole convolution stages against the reference: bit for bit, and cycle for cycle."""
import warnings

import numpy as np
import pytest
from amaranth import Module
from amaranth.back import verilog
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from hypothesis import given
from hypothesis import strategies as st

from cores import graph
from hdl.bounds import signed_bits
from hdl.conv import Conv
from hdl.digits import digit_count
from hdl.stream import connect_pixels
from hdl.walk import Walk
from sim import reference
from sim.harness import Sink, Source, offers_without_ready, run
from sim.pixels import to_beats
from strategies import (
    ACTIVATIONS,
    STALLS,
    activations,
    check,
    densities,
    lanes,
    ports,
    random_map,
    run_after_reset,
    seeds,
    shares,
    walks,
)
from test_requantize import compare

PAD = (1, 1, 1, 1)


class Stage:
    """A random stage: its hardware ``dut`` by ``make``, random ``frames`` and the ``results`` due for them."""

    def __init__(self, walk, channels, filters, pes, *, activation="u8", result="u8",
                 weight_width=8, bias_width=12, density=0.5, frames=2, seed=0, extreme=False, spread=(14, 19),
                 multiplier=None, threshold=0, keep_zeros=False, ways=1, out_ways=1, groups=1, make=Conv, **kwargs):
        rng = np.random.default_rng(seed)
        shape, low, high = ACTIVATIONS[activation]
        out_shape, out_low, out_high = ACTIVATIONS[result]
        limit, bound = 1 << weight_width - 1, 1 << bias_width - 1
        weights = rng.integers(-limit, limit, (filters, *walk.kernel, channels // groups))
        bias = rng.integers(-bound, bound, filters)
        if extreme:
            weights[:], bias[:] = -limit, -bound
        x = random_map(rng, (frames, walk.height, walk.width, channels), low, high, density)
        if extreme and density == 1:
            x[:] = low if extreme == "low" and low else high
        # So that results of every size occur, and many are clamped.
        usual = signed_bits(0, 16 * limit * max(high, -low)) - signed_bits(0, out_high)
        shift = np.clip(usual + rng.integers(*spread, filters), 0, 63)
        factors = rng.integers(1 << 16, 1 << 17, filters)
        if multiplier:
            factors[:] = multiplier
        scale = graph.Requantization(factors, shift, out_low, out_high, threshold)
        node = graph.Conv("conv", "x", "y", weights, bias, scale, stride=walk.stride,
                          dilation=walk.dilation, padding=walk.padding, groups=groups)
        self.node, self.low, self.high = node, low, high
        self.frames, self.keep_zeros, self.ways, self.out_ways = x, keep_zeros, ways, out_ways
        self.results = reference.requantize(reference.conv_sums(x, node), scale)
        self.dut = make(shape, low=low, high=high, walk=walk, weights=weights, bias=bias,
                        weight_width=weight_width, multiplier=factors, shift=shift,
                        out_low=out_low, out_high=out_high, threshold=threshold, out_shape=out_shape, pes=pes, ways=ways,
                        out_ways=out_ways, keep_zeros=keep_zeros, groups=groups, **kwargs)

    def sources(self, rates, frames=None):
        beats = to_beats(self.frames if frames is None else frames, self.ways, self.keep_zeros)
        return ports(Source, self.dut.i.way, beats, rates)

    def sinks(self, rates):
        beats = to_beats(self.results, self.out_ways, self.keep_zeros)
        return ports(Sink, self.dut.o.way, beats, rates)

    def cycles(self, sinks):
        """Cycles between the ends of the last two frames, the last way's."""
        per_frame = [len(to_beats(y, self.out_ways, self.keep_zeros)[-1]) for y in self.results]
        ends = np.cumsum(per_frame) - 1
        return sinks[-1].cycles[ends[-1]] - sinks[-1].cycles[ends[-2]]


def check_stage(walk, channels, filters, pes, *, seed=0, p_in=(1.0,), p_out=(1.0,),
                max_cycles=60_000, **kwargs):
    """Run a random stage and compare each way's beats; returns the cycles of a steady frame."""
    stage = Stage(walk, channels, filters, pes, seed=seed, **kwargs)
    sinks = stage.sinks(p_out)
    try:
        run(stage.dut, stage.sources(p_in), sinks, seed=seed, max_cycles=max_cycles)
    except (AssertionError, TimeoutError):
        # A wrong zero changes the number of beats; the first wrong beat says more.
        compare(sinks, stage.results, stage.keep_zeros, partly=True)
        raise
    compare(sinks, stage.results, stage.keep_zeros)
    return stage.cycles(sinks)


# ---- The whole parameter space ------------------------------------------------------------------

@st.composite
def cases(draw, budget=250):
    walk = draw(walks(taps=4, size=5, extra=3) | walks(size=4, extra=2))
    case = draw(lanes(walk, channels=6)) | {
        "walk": walk, "density": draw(densities), "keep_zeros": draw(st.booleans()),
        "frames": draw(st.integers(2, 3)), "windows": draw(st.integers(1, 4)),
        "activation": draw(activations), "result": draw(activations),
        "weight_width": draw(st.integers(2, 16)), "bias_width": draw(st.sampled_from([2, 12, 30])),
        "extreme": draw(st.sampled_from([False, False, "low", "high"])), "seed": draw(seeds),
        "multiplier": draw(st.sampled_from([None, 1 << 16])), "out_ways": draw(st.integers(1, 3)),
        "serial": draw(st.booleans()),
        "p_in": draw(shares), "p_out": draw(shares)}
    case["pes"] = case["out_ways"] * draw(st.integers(1, 2))
    share = -(-case["channels"] // case["lanes"]) * (1 if case["keep_zeros"] else case["density"])
    windows = walk.out_height * walk.out_width
    work = max(1, share) * (digit_count(case["weight_width"]) if case["serial"] else 1)
    pass_ = walk.taps_inside * work + windows * case["pes"] / case["out_ways"]
    passes = max(1, min(4, int(budget / case["frames"] / pass_)))
    case["filters"] = draw(st.integers(case["pes"], case["pes"] * passes))
    least = walk.min_slots(case["row_lanes"])
    case["slots"] = draw(st.sampled_from([None, least]))
    return case


@given(case=cases())
@check(30)
def test_conv(case):
    check_stage(**case)


# ---- Corners ------------------------------------------------------------------------------------

CORNERS = {
    "one pixel, channel and filter": dict(walk=Walk(1, 1), channels=1, filters=1, pes=1, frames=9),
    "one channel": dict(walk=Walk(4, 4, (3, 3), padding=PAD), channels=1, filters=3, pes=3),
    "one filter": dict(walk=Walk(4, 4, (3, 3), padding=PAD), channels=3, filters=1, pes=1),
    "1xN": dict(walk=Walk(1, 7, (1, 3)), channels=2, filters=2, pes=2),
    "Nx1": dict(walk=Walk(7, 1, (3, 1)), channels=2, filters=2, pes=2, row_lanes=3),
    "all zeros": dict(walk=Walk(3, 3, (3, 3), padding=PAD), channels=3, filters=4, pes=2,
                      density=0),
    "all dense": dict(walk=Walk(3, 3, (3, 3), padding=PAD), channels=3, filters=4, pes=2,
                      density=1),
    "nothing divides": dict(walk=Walk(3, 3, (2, 2)), channels=7, filters=7, pes=6, lanes=4, ways=2,
                            out_ways=3, row_lanes=2),
    "fully connected": dict(walk=Walk(3, 3, (3, 3)), channels=2, filters=5, pes=2, frames=4),
    "windows without a pixel": dict(walk=Walk(2, 2, (2, 2), padding=(3, 2, 3, 2)), channels=2,
                                    filters=3, pes=2, row_lanes=2),
    "zeros kept": dict(walk=Walk(3, 3, (3, 3), padding=PAD), channels=3, filters=4, pes=2,
                       keep_zeros=True, lanes=2, out_ways=2),
    "one window of slack": dict(walk=Walk(4, 4, (3, 3), padding=PAD), channels=4, filters=4, pes=2,
                                windows=1, lanes=2, row_lanes=2),
    "ties": dict(walk=Walk(4, 4), channels=2, filters=4, pes=4, spread=(15, 18), multiplier=1 << 16,
                 result="s8", bias_width=4, weight_width=2, activation="s4", density=1),
}


@pytest.mark.parametrize("name", CORNERS)
@pytest.mark.parametrize("p_in, p_out", STALLS)
def test_corners(name, p_in, p_out):
    # Each corner with either kind of multipliers, under half of the patterns of stalls.
    serial = (list(CORNERS).index(name) + STALLS.index((p_in, p_out))) % 2 > 0
    check_stage(p_in=[p_in], p_out=[p_out, 1.0], serial=serial, **CORNERS[name])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("weight_width, end", [(2, "high"), (8, "low"), (16, "high"), (16, "low")])
@pytest.mark.parametrize("serial", [False, True])
def test_largest_magnitudes(activation, weight_width, end, serial):
    check_stage(Walk(2, 2, (2, 2), padding=(0, 0, 1, 1)), 4, 2, 2, activation=activation, density=1,
                extreme=end, weight_width=weight_width, result="s17 full", serial=serial)


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_ring_under_a_slow_output(slots):
    """A 1x1 stage: the ring is full, and lists wait to be read, most of the time."""
    check_stage(Walk(5, 5), 4, 4, 2, slots=slots, density=0.7, frames=3, p_out=[0.12], seed=slots)


class Chain(wiring.Component):
    """Two stages that share two ways; each way has a handshake of its own."""

    def __init__(self, a, b):
        self.a, self.b = a, b
        super().__init__({"i": In(a.i.signature.flip()), "o": Out(b.o.signature)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.a, m.submodules.b = a, b = self.a, self.b
        connect_pixels(m, wiring.flipped(self.i), a.i)
        connect_pixels(m, a.o, b.i)
        connect_pixels(m, b.o, wiring.flipped(self.o))
        return m


@pytest.mark.parametrize("p_in, p_out, windows", [(1.0, 1.0, 1), (1.0, 0.5, 4), (0.5, 0.3, 1)])
def test_two_stages_on_two_ways(p_in, p_out, windows):
    walk = Walk(4, 4, (3, 3), padding=PAD)
    a = Stage(walk, 3, 5, 4, ways=1, out_ways=2, windows=windows)
    b = Stage(walk, 5, 6, 2, ways=2, lanes=4, out_ways=2, windows=windows, seed=1,
              slots=walk.min_slots())
    sums = reference.conv_sums(a.results, b.node)
    results = reference.requantize(sums, b.node.requantization)
    dut = Chain(a.dut, b.dut)
    sinks = ports(Sink, dut.o.way, to_beats(results, 2), [p_out, 1.0])
    run(dut, ports(Source, dut.i.way, to_beats(a.frames, 1), [p_in]), sinks)
    compare(sinks, results)


# ---- Timing -------------------------------------------------------------------------------------

def passes_of(stage):
    """For each window and pass of a frame: non-zeros, taps inside and transfers of the drain."""
    node, dut = stage.node, stage.dut
    x = stage.frames[-1][None]
    x = x.reshape(*x.shape[:3], node.groups, -1)
    ones = graph.Pool("p", "x", "y", "avg", node.kernel, node.stride, node.dilation, node.padding)
    nonzeros = reference.sum_pool((x != 0).sum(axis=-1), ones).ravel()
    taps = reference.sum_pool(np.ones_like(x[..., 0]), ones).ravel()
    pes, filters = dut.dots[0].pes, len(node.weights) // node.groups
    drains = [-(-min(pes, filters - first) // stage.out_ways) for first in range(0, filters, pes)]
    return [(n, t, d) for n, t in zip(nonzeros, taps) for d in drains]


EXACT = {
    "dense": dict(walk=Walk(4, 4, (3, 3), padding=PAD), channels=3, filters=4, pes=2, density=1),
    "dense, stride": dict(walk=Walk(5, 5, (3, 3), stride=(2, 2), padding=PAD), channels=4,
                          filters=4, pes=2, density=1),
    "dense 1x1": dict(walk=Walk(4, 4), channels=6, filters=4, pes=2, density=1),
    "zeros kept": dict(walk=Walk(4, 4, (2, 2)), channels=4, filters=4, pes=2, keep_zeros=True),
    "fully connected": dict(walk=Walk(3, 3, (3, 3)), channels=3, filters=8, pes=2, density=1),
    "little overlap": dict(walk=Walk(5, 7, (3, 2), stride=(1, 2)), channels=3, filters=4, pes=2,
                           density=1),
    "zeros only: taps": dict(walk=Walk(4, 4, (3, 3), padding=PAD), channels=3, filters=4, pes=2,
                             density=0),
    "zeros only: drain": dict(walk=Walk(4, 4), channels=3, filters=12, pes=6, density=0),
    "zeros only: drain of a short pass": dict(walk=Walk(4, 4), channels=3, filters=8, pes=6,
                                              density=0),
    "zeros only: two ways": dict(walk=Walk(4, 4), channels=3, filters=12, pes=6, out_ways=2,
                                 density=0),
}


@pytest.mark.parametrize("name", EXACT)
def test_steady_state(name):
    """A pass takes the largest of its non-zeros, its taps inside and its drain."""
    stage = Stage(frames=4, **EXACT[name])
    if stage.keep_zeros:
        stage.frames = np.ones_like(stage.frames)
        stage.results = reference.requantize(
            reference.conv_sums(stage.frames, stage.node), stage.node.requantization)
    sinks = stage.sinks([1.0])
    run(stage.dut, stage.sources([1.0]), sinks)
    compare(sinks, stage.results, stage.keep_zeros)
    assert stage.cycles(sinks) == sum(max(case) for case in passes_of(stage))


@pytest.mark.parametrize("density, out_ways, cycles", [
    (1, 1, 9 * 2 * 27), (0, 2, 9 * 2 * 9),      # two passes of 27 products, or of 9 taps
    (0, 1, 9 * 8 * 4),                          # 8 sums
])
def test_serial_requantizer(density, out_ways, cycles):
    """It bounds a stage only whose sums come faster, and takes no DSP block."""
    stage = Stage(Walk(5, 5, (3, 3)), 3, 8, 4, frames=4, density=density, out_ways=out_ways,
                  requantize_cycles=4)
    sinks = stage.sinks([1.0])
    run(stage.dut, stage.sources([1.0]), sinks)
    compare(sinks, stage.results)
    assert stage.cycles(sinks) == cycles
    assert stage.dut.dsp_count == stage.dut.multipliers


@pytest.mark.parametrize("density", [0.1, 0.3, 0.6])
def test_sparse_steady_state(density):
    """Between what bounds the whole frame and what bounds each pass, and what starts it."""
    stage = Stage(Walk(5, 5, (3, 3), padding=PAD), 6, 8, 4, frames=3, density=density)
    stage.frames[:] = stage.frames[:1]
    stage.results[:] = reference.requantize(
        reference.conv_sums(stage.frames[:1], stage.node), stage.node.requantization)
    sinks = stage.sinks([1.0])
    run(stage.dut, stage.sources([1.0]), sinks)
    compare(sinks, stage.results)
    bounds = passes_of(stage)
    assert max(map(sum, zip(*bounds))) <= stage.cycles(sinks) <= sum(map(max, bounds))


@pytest.mark.parametrize("walk, channels, filters, pes, kwargs", [
    (Walk(5, 5, (3, 3), padding=PAD), 4, 8, 4, dict(lanes=2)),
    (Walk(5, 5, (3, 3), padding=PAD), 4, 8, 4, dict(lanes=2, row_lanes=3, out_ways=2)),
    (Walk(5, 5, (3, 3), padding=PAD), 2, 16, 16, {}),
    (Walk(4, 4), 4, 16, 8, dict(lanes=4, ways=2)),
])
def test_zeros_cost_no_more_than_their_taps(walk, channels, filters, pes, kwargs):
    cycles = check_stage(walk, channels, filters, pes, density=0, frames=4, **kwargs)
    passes, out_ways = -(-filters // pes), kwargs.get("out_ways", 1)
    pixels = walk.out_height * walk.out_width
    assert cycles <= 1.03 * pixels * passes * max(walk.taps, pes // out_ways)


@pytest.mark.parametrize("kwargs", [{}, dict(out_ways=2, lanes=2), dict(requantize_cycles=4), dict(keep_zeros=True)])
def test_threshold(kwargs):
    walk = Walk(4, 4, (3, 3), padding=PAD)
    results = Stage(walk, 4, 6, 2, seed=1).results
    threshold = int(np.median(results[results > 0]))
    check_stage(walk, 4, 6, 2, seed=1, threshold=threshold, p_out=(0.6, 1.0), **kwargs)


def test_latency():
    """From the only beat of a 1x1 stage to its first result: the sum of the parts' latencies."""
    stage = Stage(Walk(1, 1), 1, 1, 1, density=1, frames=1)
    sinks = stage.sinks([1.0])
    run(stage.dut, stage.sources([1.0]), sinks)
    dut = stage.dut
    assert sinks[0].cycles[0] - 1 == (
        9 + dut.dots[0].latency + dut.accumulator.latency + dut.requantize.latency)


# ---- Ready never, and reset ---------------------------------------------------------------------

def test_offers_without_ready():
    stage = Stage(Walk(2, 2), 2, 4, 4, ways=2, lanes=2, out_ways=2, density=1, spread=(4, 5))
    for way in stage.dut.o.way:
        assert offers_without_ready(stage.dut, stage.sources([1.0]), way)


@pytest.mark.parametrize("cycles", [1, 20, 45, 90, 200])
def test_reset_in_a_frame(cycles):
    stage = Stage(Walk(4, 5, (3, 3), padding=PAD), 3, 5, 2, lanes=2, row_lanes=2, seed=cycles)
    sinks = stage.sinks([0.8])
    junk = np.roll(stage.frames, 1, axis=2)
    run_after_reset(stage.dut, stage.sources([1.0], junk), stage.sources([0.9]), sinks,
                    cycles=cycles)
    compare(sinks, stage.results)


# ---- Conversion ---------------------------------------------------------------------------------

@pytest.mark.parametrize("family", ["behavioural", "dsp48e2"])
@pytest.mark.parametrize("kwargs", [
    dict(channels=1, filters=1, pes=1, walk=Walk(1, 1)),
    dict(channels=5, filters=7, pes=4, lanes=4, ways=2, row_lanes=2, out_ways=2,
         walk=Walk(5, 4, (3, 2), stride=(2, 1), padding=(1, 0, 2, 1))),
])
def test_converts_to_verilog(family, kwargs):
    stage = Stage(family=family, **kwargs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = verilog.convert(stage.dut, name="conv", strip_internal_attrs=True, emit_src=False)
    assert "module conv(" in text and "i__way_0__payload" in text


# ---- Parameters ---------------------------------------------------------------------------------

GOOD = dict(low=0, high=255, walk=Walk(4, 4, (3, 3)), weights=np.ones((4, 3, 3, 2), int),
            bias=[0] * 4, weight_width=8, multiplier=[1] * 4, shift=[0] * 4, out_low=0, out_high=255, out_shape=8,
            pes=2)


@pytest.mark.parametrize("kwargs, error, message", [
    (dict(walk=None), TypeError, "Walk must be a Walk, not None"),
    (dict(low=1), ValueError, "Lowest activation must be from 0 to 0, not 1"),
    (dict(low=-1), ValueError, "Lowest activation must be from 0 to 0, not -1"),
    (dict(high=-1), ValueError, "Highest activation must be from 0 to 255, not -1"),
    (dict(high=256), ValueError, "Highest activation must be from 0 to 255, not 256"),
    (dict(high=1.0), TypeError, r"Highest activation must be an integer, not 1\.0"),
    (dict(weights=np.ones((4, 3, 2, 2), int)), ValueError,
     r"Weights must be of shape \(filters, 3, 3, channels\), not \(4, 3, 2, 2\)"),
    (dict(weights=np.ones((4, 9), int)), ValueError,
     r"Weights must be of shape \(filters, 3, 3, channels\), not \(4, 9\)"),
    (dict(weights=np.full((4, 3, 3, 2), 128)), ValueError,
     "Weights must have 8 bits, not range from 128 to 128"),
    (dict(weight_width=1), ValueError, "Weight width must be from 2 to 16, not 1"),
    (dict(bias=[0] * 3), ValueError, r"Biases must be 4, one per filter, not \(3,\)"),
    (dict(multiplier=[1] * 3, shift=[0] * 3), ValueError,
     r"Multipliers must be 4, one per filter, not \(3,\)"),
    (dict(shift=[64] * 4), ValueError, "Shift must be from 0 to 63, not 64"),
    (dict(pes=0), TypeError, "PEs must be a positive integer, not 0"),
    (dict(pes=5), ValueError, "PEs must be at most the 4 filters, not 5"),
    (dict(pes=3, out_ways=2), ValueError, "PEs must be a multiple of the 2 ways, not 3"),
    (dict(out_ways=0), ValueError, "Output ways must be from 1 to 64, not 0"),
    (dict(lanes=3), ValueError, "Lanes must be at most the 2 channels, not 3"),
    (dict(ways=2), ValueError, "Lanes must be a multiple of the 2 ways, not 1"),
    (dict(row_lanes=4), ValueError, "Row lanes must be at most the kernel's 3 rows, not 4"),
    (dict(windows=0), TypeError, "Windows must be a positive integer, not 0"),
    (dict(slots=10), ValueError, "Slots must be at least 11, not 10"),
    (dict(out_low=-1), ValueError, "Lower bound must be from 0 to 0, not -1"),
    (dict(out_high=256), ValueError, "Upper bound must be from 0 to 255, not 256"),
    (dict(family="asic"), ValueError, "Family must be one of behavioural, dsp48e2, mult18x18d, not 'asic'"),
])
def test_conv_refuses(kwargs, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        Conv(8, **GOOD | kwargs)


def test_multipliers():
    assert Stage(Walk(3, 3, (3, 3)), 4, 6, 2, lanes=4, row_lanes=3).dut.multipliers == 4 * 3 * 2


# ---- Widths -------------------------------------------------------------------------------------

@given(low=st.integers(-(1 << 40), 1 << 40), high=st.integers(-(1 << 40), 1 << 40))
@check(200)
def test_signed_bits(low, high):
    bits = signed_bits(low, high)
    assert bits == max(2, *(next(b for b in range(1, 64) if -(1 << b - 1) <= v < 1 << b - 1)
                            for v in (low, high)))
