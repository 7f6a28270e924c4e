# amaranth: UnusedElaboratable=no
# (for stages that are refused, or that are built to be looked at only)
"""Depthwise convolution against the NumPy reference: parameter space, corners, timing, reset."""
import itertools
import warnings
from functools import partial

import numpy as np
import pytest
from amaranth import Module, Shape
from amaranth.back import verilog
from hypothesis import given
from hypothesis import strategies as st

import hdl.depthwise
from cores import graph
from hdl.accumulator import Accumulator
from hdl.bounds import signed_bits
from hdl.depthwise import Depthwise
from hdl.digits import digit_count
from hdl.walk import Walk
from hdl.weigh import Weigh
from hdl.window import Window
from sim import reference
from sim.harness import Sink, Source, offers_without_ready, run
from sim.pixels import from_beats, to_beats
from strategies import (
    ACTIVATIONS,
    STALLS,
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

PAD = (1, 1, 1, 1)
SAME = Walk(4, 4, (3, 3), padding=PAD)


class Stage:
    """A random stage: its hardware ``dut``, random ``frames`` and the ``results`` due for them."""

    def __init__(self, walk, channels, *, activation="u8", result="u8", weight_width=8,
                 bias_width=12, density=0.5, frames=2, seed=0, extreme=False, spread=(14, 19),
                 multiplier=None, threshold=0, keep_zeros=False, ways=1, **kwargs):
        rng = np.random.default_rng(seed)
        shape, low, high = ACTIVATIONS[activation]
        out_shape, out_low, out_high = ACTIVATIONS[result]
        limit, bound = 1 << weight_width - 1, 1 << bias_width - 1
        weights = rng.integers(-limit, limit, (channels, *walk.kernel))
        bias = rng.integers(-bound, bound, channels)
        if extreme:
            weights[:], bias[:] = -limit, -bound
        x = random_map(rng, (frames, walk.height, walk.width, channels), low, high, density)
        if extreme and density == 1:
            x[:] = low if extreme == "low" and low else high
        # So that results of every size occur, and many are clamped.
        usual = signed_bits(0, 4 * limit * max(high, -low)) - signed_bits(0, out_high)
        shift = np.clip(usual + rng.integers(*spread, channels), 0, 63)
        factors = rng.integers(1 << 16, 1 << 17, channels)
        if multiplier:
            factors[:] = multiplier
        scale = graph.Requantization(factors, shift, out_low, out_high, threshold)
        self.node = graph.Conv("conv", "x", "y", weights[..., None], bias, scale, walk.stride,
                               walk.dilation, walk.padding, "depthwise", channels)
        self.frames, self.keep_zeros, self.ways = x.astype(np.int32), keep_zeros, ways
        self.dut = Depthwise(shape, low=low, high=high, walk=walk, weights=weights, bias=bias,
                             weight_width=weight_width, multiplier=factors, shift=shift,
                             out_low=out_low, out_high=out_high, threshold=threshold,
                             out_shape=out_shape, ways=ways, keep_zeros=keep_zeros, **kwargs)

    @property
    def results(self):
        return reference.run_node(self.node, self.frames)

    def sources(self, rates, frames=None):
        beats = to_beats(self.frames if frames is None else frames, self.ways, self.keep_zeros)
        return ports(Source, self.dut.i.way, beats, rates)

    def sinks(self, rates):
        return ports(Sink, self.dut.o.way, to_beats(self.results, self.ways, self.keep_zeros), rates)

    def compare(self, sinks):
        """The sinks' beats are exactly the results'; the channel of a closing zero counts too."""
        got = [[{"value": int(b.value), "channel": int(b.channel), "last": int(b.last)}
                for b in sink.got] for sink in sinks]
        np.testing.assert_array_equal(from_beats(got, self.results.shape), self.results)
        assert got == to_beats(self.results, self.ways, self.keep_zeros)

    def cycles(self, sinks):
        """Cycles between the ends of the last two frames, on the first way."""
        ends = [cycle for cycle, beat in zip(sinks[0].cycles, sinks[0].got) if beat.last]
        pixels = self.results[0, ..., 0].size
        return ends[-1] - ends[-1 - pixels]


def check_stage(walk, channels, *, seed=0, p_in=(1.0,), p_out=(1.0,), **kwargs):
    """Run a random stage and compare each way's beats; returns the stage and its sinks."""
    stage = Stage(walk, channels, seed=seed, **kwargs)
    sinks = stage.sinks(p_out)
    work = len(stage.frames) * channels * (walk.taps_inside + walk.height * walk.width
                                           + walk.out_height * walk.out_width)
    work *= stage.dut.product_cycles
    run(stage.dut, stage.sources(p_in), sinks, seed=seed, max_cycles=1000 + 10 * work)
    stage.compare(sinks)
    return stage, sinks


# ---- The whole parameter space ------------------------------------------------------------------

@st.composite
def cases(draw):
    """Arguments of check_stage; few enough products that an example takes a fraction of a second."""
    walk = draw(walks(taps=5, size=6, extra=3))
    channels = draw(st.integers(1, 7))
    keep_zeros, density, serial = draw(st.booleans()), draw(densities), draw(st.booleans())
    weight_width = draw(st.integers(2, 16))
    work = walk.taps_inside * max(1, channels * (1 if keep_zeros else density)) * (digit_count(weight_width) if serial else 1)
    row_lanes = draw(st.integers(1, min(3, walk.kernel[0])))
    return {"walk": walk, "channels": channels, "activation": draw(activations),
            "result": draw(activations), "weight_width": weight_width, "serial": serial,
            "bias_width": draw(st.sampled_from([2, 12, 30])), "density": density,
            "frames": 1 if work > 200 else draw(st.integers(2, 3)), "seed": draw(seeds),
            "extreme": draw(st.sampled_from([False, False, "low", "high"])),
            "multiplier": draw(st.sampled_from([None, 1 << 16])),
            "ways": draw(st.integers(1, min(3, channels))), "row_lanes": row_lanes,
            "windows": draw(st.integers(1, 4)), "keep_zeros": keep_zeros,
            "slots": draw(st.sampled_from([None, walk.min_slots(row_lanes)])),
            "p_in": draw(shares), "p_out": draw(shares)}


@given(case=cases())
@check(20)
def test_depthwise(case):
    check_stage(**case)


# ---- Corners ------------------------------------------------------------------------------------

CORNERS = {
    "one pixel, one channel": dict(walk=Walk(1, 1), channels=1, frames=9),
    "one pixel, padded": dict(walk=Walk(1, 1, (3, 3), padding=PAD), channels=3, frames=9),
    # All of a window's products meet in one word of the bank.
    "one channel": dict(walk=SAME, channels=1, density=1),
    "a way a channel": dict(walk=SAME, channels=3, ways=3, row_lanes=3),
    "ways do not divide": dict(walk=SAME, channels=5, ways=2, row_lanes=2),
    "1xN": dict(walk=Walk(1, 7, (1, 5), padding=(0, 2, 0, 2)), channels=2),
    "Nx1": dict(walk=Walk(7, 1, (5, 1), padding=(2, 0, 2, 0)), channels=2, row_lanes=5),
    "whole map": dict(walk=Walk(3, 4, (3, 4)), channels=3, frames=4, row_lanes=3),
    "stride": dict(walk=Walk(5, 5, (3, 3), stride=(2, 2), padding=(0, 0, 1, 1)), channels=3),
    "dilation": dict(walk=Walk(5, 5, (3, 3), dilation=(2, 2), padding=(2,) * 4), channels=3,
                     row_lanes=2),
    "all zeros": dict(walk=SAME, channels=3, density=0, spread=(5, 6), row_lanes=3),
    "all dense": dict(walk=SAME, channels=3, density=1, ways=2),
    "windows without a pixel": dict(walk=Walk(2, 2, (2, 2), padding=(3, 2, 3, 2)), channels=2,
                                    row_lanes=2, spread=(5, 6)),
    "a row lane without a pixel": dict(walk=Walk(1, 4, (3, 3), padding=PAD), channels=3,
                                       row_lanes=3),
    "zeros kept": dict(walk=SAME, channels=3, keep_zeros=True, ways=2, row_lanes=3),
    "one window of slack": dict(walk=SAME, channels=4, windows=1, row_lanes=3, slots=13),
    "ties": dict(walk=Walk(4, 4), channels=4, spread=(13, 16), multiplier=1 << 16, result="s8",
                 bias_width=4, weight_width=2, activation="s4", density=1),
}


@pytest.mark.parametrize("name", CORNERS)
def test_corners(name):
    # Every corner under two of the patterns of stalls, each pattern in half of the corners.
    first = list(CORNERS).index(name) % 2
    for n, (p_in, p_out) in enumerate(STALLS[first::2]):
        check_stage(p_in=[p_in], p_out=[p_out, 1.0], serial=n % 2 > 0, **CORNERS[name])


def test_all_zeros_give_the_requantized_bias():
    """The corner above proves what it says."""
    stage, _ = check_stage(**CORNERS["all zeros"])
    assert (stage.results == reference.requantize(stage.node.bias, stage.node.requantization)).all()
    assert stage.results.any()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("end, row_lanes", [("high", 2), ("low", 1)])
@pytest.mark.parametrize("serial", [False, True])
def test_largest_magnitudes(activation, end, row_lanes, serial):
    check_stage(Walk(2, 2, (2, 2)), 2, activation=activation, density=1, extreme=end,
                weight_width=16, result="s17 full", row_lanes=row_lanes, serial=serial)


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_ring_under_a_slow_output(slots):
    """The ring is full, and lists wait to be read, most of the time."""
    check_stage(Walk(5, 5), 4, slots=slots, density=0.7, frames=3, p_out=[0.12], seed=slots)


def test_a_way_works_on_when_another_stands():
    """Nothing but the ways' own handshakes couples them."""
    stage = Stage(SAME, 5, ways=2, row_lanes=3)
    sink = stage.sinks([1.0])[1]
    run(stage.dut, stage.sources([1.0])[1:], [sink])
    assert len(sink.got) == sink.count


# ---- Timing -------------------------------------------------------------------------------------

def loads(stage):
    """Non-zeros and taps inside (windows, row lanes) of the last frame's first way."""
    x, (y, z) = stage.frames[-1], stage.dut.window.walk.axes()
    counts = (np.ones_like(x) if stage.keep_zeros else x != 0)[..., ::stage.ways].sum(-1)
    lanes = stage.dut.row_lanes
    found = np.zeros((2, y.outputs, z.outputs, lanes), int)
    for (o, (top, rows)), (p, (left, columns)) in itertools.product(
            enumerate(y.inside), enumerate(z.inside)):
        for i, j in itertools.product(range(top, top + rows), range(left, left + columns)):
            found[:, o, p, i % lanes] += counts[y.coordinate(o, i), z.coordinate(p, j)], 1
    return found.reshape(2, -1, lanes)


def busy(stage):
    """For each window what it costs: its non-zeros or taps on the busiest lane, or the channels."""
    found, taps = loads(stage)
    work = np.maximum(np.maximum(found, 1) * stage.dut.product_cycles, taps).max(1)
    return np.maximum(work, -(-len(stage.node.bias) // stage.ways))


EXACT = {
    "dense": dict(walk=SAME, channels=3, density=1),
    "dense, two ways": dict(walk=SAME, channels=5, density=1, ways=2),
    "dense, stride": dict(walk=Walk(5, 5, (3, 3), stride=(2, 2), padding=PAD), channels=4, density=1),
    "dense 1x1": dict(walk=Walk(4, 4), channels=6, density=1),
    "zeros kept": dict(walk=Walk(4, 4, (2, 2)), channels=4, keep_zeros=True),
    "whole map": dict(walk=Walk(3, 3, (3, 3)), channels=3, density=1),
    "zeros only: taps": dict(walk=SAME, channels=3, density=0),
    "zeros only: channels": dict(walk=SAME, channels=12, density=0),
    "zeros only: 5x5": dict(walk=Walk(6, 6, (5, 5), padding=(2,) * 4), channels=3, density=0),
    "row lanes, dense": dict(walk=Walk(5, 5, (3, 3)), channels=3, density=1, row_lanes=3),
    "row lanes, zeros only: channels": dict(walk=SAME, channels=5, density=0, row_lanes=3),
    "serial, zeros only": dict(walk=Walk(4, 4), channels=2, density=0, serial=True),
    "serial, dense": dict(walk=SAME, channels=3, density=1, serial=True),
    "serial, row lanes, 5 bits": dict(walk=Walk(5, 5, (3, 3)), channels=3, density=1, row_lanes=3, serial=True, weight_width=5),
}


@pytest.mark.parametrize("name", EXACT)
def test_steady_state(name):
    """A window takes the largest of its non-zeros, its taps inside and the channels."""
    stage, sinks = check_stage(frames=3, **EXACT[name])
    assert stage.cycles(sinks) == busy(stage).sum()


@pytest.mark.parametrize("density, cycles", [(1, 9 * 27), (0, 9 * 3 * 4)])
def test_serial_requantizers(density, cycles):
    """They bound a stage only whose sums come faster, and take no DSP block."""
    stage, sinks = check_stage(Walk(5, 5, (3, 3)), 6, frames=3, density=density, ways=2,
                               requantize_cycles=4)
    assert stage.cycles(sinks) == cycles
    assert stage.dut.dsp_count == stage.dut.multipliers == 2


@pytest.mark.parametrize("density, row_lanes", [(0.1, 1), (0.3, 3), (0.6, 1), (0.6, 3)])
def test_sparse_steady_state(density, row_lanes):
    """Between what bounds the whole frame and what bounds each window."""
    stage = Stage(SAME, 6, frames=3, density=density, row_lanes=row_lanes)
    stage.frames[:] = stage.frames[:1]
    sinks = stage.sinks([1.0])
    run(stage.dut, stage.sources([1.0]), sinks)
    stage.compare(sinks)
    assert loads(stage).sum(1).max() <= stage.cycles(sinks) <= busy(stage).sum()


def test_row_lanes_are_three_times_as_fast():
    """A 3x3 stage whose output is not what bounds it."""
    one, three = (stage.cycles(sinks) for stage, sinks in (
        check_stage(Walk(5, 5, (3, 3)), 4, frames=3, density=1, row_lanes=n) for n in (1, 3)))
    assert one == 3 * three


@pytest.mark.parametrize("row_lanes", [1, 3])
def test_latency(row_lanes):
    """From the beat that completes the first window to its first result: the parts' latencies."""
    walk = Walk(3, 3, (3, 3))
    stage, (sink,) = check_stage(walk, 1, density=1, frames=1, row_lanes=row_lanes)
    products, dut = 9 // row_lanes, stage.dut
    assert sink.cycles[0] - 1 == 8 + (
        8 + products + Weigh.latency + 3 + dut.accumulators[0].latency
        + dut.requantizes[0].latency)


# ---- Protocol and reset -------------------------------------------------------------------------

def test_offers_without_ready():
    stage = Stage(Walk(2, 2), 4, ways=2, density=1, spread=(4, 5))
    for way in stage.dut.o.way:
        assert offers_without_ready(stage.dut, stage.sources([1.0]), way)


@pytest.mark.parametrize("row_lanes", [1, 3])
@pytest.mark.parametrize("cycles", [1, 45, 130])
def test_reset_in_a_frame(cycles, row_lanes):
    """Nothing of the frames before the reset is left in the banks."""
    stage = Stage(Walk(4, 5, (3, 3), padding=PAD), 5, ways=2, row_lanes=row_lanes, seed=cycles,
                  density=0.2)
    sinks = stage.sinks([0.8])
    junk = np.roll(stage.frames, 1, axis=2) | 1
    run_after_reset(stage.dut, stage.sources([1.0], junk), stage.sources([0.9]), sinks, cycles=cycles)
    stage.compare(sinks)


@pytest.mark.parametrize("kwargs", [
    dict(channels=1, walk=Walk(1, 1)),
    dict(channels=5, ways=2, row_lanes=2,
         walk=Walk(5, 4, (3, 2), stride=(2, 1), padding=(1, 0, 2, 1))),
])
def test_converts_to_verilog(kwargs):
    stage = Stage(**kwargs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = verilog.convert(stage.dut, name="depthwise", strip_internal_attrs=True, emit_src=False)
    assert "module depthwise(" in text and "i__way_0__payload" in text


# ---- The checks above fail when they should -----------------------------------------------------

class Askew(Window):
    """Products tell a channel that is not theirs."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.window = window = Window(
            self.shape, walk=self.walk, channels=self.channels, ways=self.ways, lanes=self.lanes,
            with_channel=True)
        for a, b in zip(self.i.way, window.i.way):
            m.d.comb += [b.valid.eq(a.valid), b.payload.eq(a.payload), a.ready.eq(b.ready)]
        for a, b in zip(window.o, self.o):
            m.d.comb += [b.valid.eq(a.valid), b.payload.eq(a.payload), a.ready.eq(b.ready),
                         b.payload.channel.eq(a.payload.channel ^ 1)]
        return m


class Late(Weigh):
    """Weights of the tap after."""

    @property
    def words(self):
        right = super().words
        return right[len(self.weights):] + right[:len(self.weights)]


def without_bias(accumulator, *, bias, **kwargs):
    return accumulator(bias=bias * 0, **kwargs)


@pytest.mark.parametrize("name, broken", [
    ("Window", Askew), ("Weigh", Late), ("Accumulator", partial(without_bias, Accumulator))])
def test_broken_parts_are_found(name, broken, monkeypatch):
    monkeypatch.setattr(hdl.depthwise, name, broken)
    with pytest.raises((AssertionError, TimeoutError)):
        check_stage(SAME, 4, spread=(5, 6))


# ---- Parameters ---------------------------------------------------------------------------------

GOOD = dict(low=0, high=255, walk=Walk(4, 4, (3, 3)), weights=np.ones((4, 3, 3), int),
            bias=[0] * 4, weight_width=8, multiplier=[1] * 4, shift=[0] * 4, out_low=0, out_high=255,
            out_shape=8)


@pytest.mark.parametrize("kwargs, error, message", [
    (dict(walk=None), TypeError, "Walk must be a Walk, not None"),
    (dict(low=1), ValueError, "Lowest activation must be from 0 to 0, not 1"),
    (dict(high=256), ValueError, "Highest activation must be from 0 to 255, not 256"),
    (dict(high=1.0), TypeError, r"Highest activation must be an integer, not 1\.0"),
    (dict(weights=np.ones((4, 3, 2), int)), ValueError,
     r"Weights must be of shape \(channels, 3, 3\), not \(4, 3, 2\)"),
    (dict(weights=np.ones((4, 3, 3, 1), int)), ValueError,
     r"Weights must be of shape \(channels, 3, 3\), not \(4, 3, 3, 1\)"),
    (dict(weights=np.ones((0, 3, 3), int)), ValueError,
     r"Weights must be of shape \(channels, 3, 3\), not \(0, 3, 3\)"),
    (dict(weights=np.full((4, 3, 3), 128)), ValueError,
     "Weights must have 8 bits, not range from 128 to 128"),
    (dict(weight_width=1), ValueError, "Weight width must be from 2 to 16, not 1"),
    (dict(weight_width=17), ValueError, "Weight width must be from 2 to 16, not 17"),
    (dict(bias=[0] * 3), ValueError, r"Biases must be 4, one per channel, not of shape \(3,\)"),
    (dict(multiplier=1), ValueError, r"Multipliers must be 4, one per channel, not of shape \(\)"),
    (dict(shift=[0] * 5), ValueError, r"Shifts must be 4, one per channel, not of shape \(5,\)"),
    (dict(shift=[64] * 4), ValueError, "Shift must be from 0 to 63, not 64"),
    (dict(ways=0), TypeError, "Ways must be a positive integer, not 0"),
    (dict(serial=1), TypeError, "Serial must be a bool, not 1"),
    (dict(ways=5), ValueError, "Ways must be at most the 4 channels, not 5"),
    (dict(row_lanes=0), TypeError, "Row lanes must be a positive integer, not 0"),
    (dict(row_lanes=4), ValueError, "Row lanes must be at most the kernel's 3 rows, not 4"),
    (dict(windows=0), TypeError, "Windows must be a positive integer, not 0"),
    (dict(slots=10), ValueError, "Slots must be at least 11, not 10"),
    (dict(out_low=-1), ValueError, "Lower bound must be from 0 to 0, not -1"),
    (dict(out_high=256), ValueError, "Upper bound must be from 0 to 255, not 256"),
    (dict(family="asic"), ValueError, "Family must be one of behavioural, dsp48e2, mult18x18d, not 'asic'"),
])
def test_depthwise_refuses(kwargs, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        Depthwise(8, **GOOD | kwargs)


@pytest.mark.parametrize("shape, message", [
    (1, "Activation width must be from 2 to 17, not 1"),
    (18, "Activation width must be from 2 to 17, not 18"),
])
def test_depthwise_refuses_activations(shape, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Depthwise(shape, **GOOD | dict(high=1))


def test_sums_are_as_wide_as_the_weights_demand():
    dut = Depthwise(8, **GOOD | dict(bias=[-2000] * 4))
    assert dut.reduces[0][0].out_shape == Shape(13, signed=True)       # 9 * 255
    assert dut.width == 13
    dut = Depthwise(8, **GOOD | dict(row_lanes=3, bias=[1800] * 4))
    assert [unit.out_shape.width for unit in dut.reduces[0]] == [11] * 3
    assert dut.width == 13


@pytest.mark.parametrize("ways, row_lanes, family, wide, multipliers, dsps", [
    (1, 1, "behavioural", False, 1, 2), (2, 3, "behavioural", False, 6, 8),
    (2, 1, "behavioural", True, 2, 6), (2, 1, "dsp48e2", True, 2, 4),
])
def test_multipliers(ways, row_lanes, family, wide, multipliers, dsps):
    """One a way and row lane; a requantizer takes two where sums are wider than its block's port."""
    bias = [(1 << 25) - 1 if wide else 0] * 4
    dut = Depthwise(8, **GOOD | dict(ways=ways, row_lanes=row_lanes, family=family, bias=bias))
    assert (dut.multipliers, dut.dsp_count) == (multipliers, dsps)
