# amaranth: UnusedElaboratable=no
"""Requantization against the reference, and both against exact fractions."""
from fractions import Fraction

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st

from cores.emit import ROM_MODULE, FilePlatform, verilog
from cores.graph import Requantization
from cores.synth import synthesise
from hdl.multiply import multiply, multiply_latency
from hdl.requantize import Requantize, requantize_dsps
from sim import reference
from sim.harness import Sink, Source, offers_without_ready, run
from sim.pixels import to_beats
from strategies import (
    ACTIVATIONS,
    STALLS,
    activations,
    check,
    latencies,
    ports,
    run_after_reset,
    seeds,
    shares,
)


def transfers(sums, ways):
    """Payloads that carry ``sums`` (pixels, channels); rubbish beyond the last channel."""
    result = []
    for pixel in sums.tolist():
        for start in range(0, len(pixel), ways):
            part = pixel[start:start + ways]
            result.append({"sums": part + [-1] * (ways - len(part)),
                           "last": start + ways >= len(pixel)})
    return result


def compare(sinks, results, keep_zeros=False, partly=False):
    """Each way carries exactly the beats of ``results``; or the first of them, if ``partly``."""
    ways = to_beats(results, len(sinks), keep_zeros)
    for way, (sink, beats) in enumerate(zip(sinks, ways, strict=True)):
        for n, (got, beat) in enumerate(zip(sink.got, beats)):
            got = {"value": got.value, "channel": got.channel, "last": got.last}
            assert got == beat, f"way {way}, beat {n}"
        assert partly or len(sink.got) == len(beats)


def check_requantize(sums, multiplier, shift, *, width=None, activation="s8", low=None, high=None,
                     ways=1, keep_zeros=False, depth=16, cycles=1, threshold=0, seed=0, p_in=1.0,
                     p_out=(1.0,)):
    """Requantize ``sums`` (pixels, channels) and compare; returns the results and the sinks."""
    sums = np.asarray(sums, np.int64)
    shape, least, most = ACTIVATIONS[activation]
    low, high = least if low is None else low, most if high is None else high
    width = max(int(np.abs(sums).max()).bit_length() + 1, 2) if width is None else width
    scale = Requantization(np.asarray(multiplier, np.int64), np.asarray(shift, np.int64), low, high,
                           threshold)
    results = reference.requantize(sums, scale)
    dut = Requantize(width=width, multiplier=multiplier, shift=shift, low=low, high=high,
                     threshold=threshold, shape=shape, ways=ways, keep_zeros=keep_zeros, depth=depth,
                     cycles=cycles)
    sinks = ports(Sink, dut.o.way, to_beats(results, ways, keep_zeros), p_out)
    run(dut, [Source(dut.i, transfers(sums, ways), p_in)], sinks, seed=seed)
    compare(sinks, results, keep_zeros)
    return results, sinks


# Products in DSP blocks, and in one, two, three and four adders.
forms = pytest.mark.parametrize("cycles", [1, 8, 4, 3, 2])


# ---- The whole parameter space ------------------------------------------------------------------

@st.composite
def cases(draw):
    channels = draw(st.integers(1, 9))
    _, least, most = ACTIVATIONS[activation := draw(activations)]
    width, seed = draw(st.integers(2, 40)), draw(seeds)
    rng = np.random.default_rng(seed)
    first = draw(st.integers(0, 63))
    shift = rng.integers(first, draw(st.integers(first, 63)) + 1, channels)
    multiplier = rng.integers(0, 1 << 17, channels)
    multiplier[rng.random(channels) < 0.2] = rng.choice([0, 1, 1 << 16, (1 << 17) - 1])
    low, high = draw(st.sampled_from([least, min(0, least // 2), 0])), draw(st.sampled_from([most, most // 2, 0]))
    # Sums of every magnitude, the extremes among them.
    sums = rng.integers(-1 << width - 1, 1 << width - 1, (draw(st.integers(1, 12)), channels))
    sums >>= rng.integers(0, width, sums.shape)
    sums[rng.random(sums.shape) < 0.1] = rng.choice([-1 << width - 1, (1 << width - 1) - 1])
    return {"sums": sums, "multiplier": multiplier, "shift": shift, "width": width,
            "activation": activation, "low": low, "high": high,
            "threshold": 0 if low else draw(st.sampled_from([0, min(1, high), high // 9, high // 3, high])),
            "ways": draw(st.integers(1, min(4, channels))), "keep_zeros": draw(st.booleans()),
            "depth": draw(st.integers(1, 4)), "cycles": draw(st.sampled_from([1, 1, 4, 4, 3, 8])), "seed": seed, "p_in": draw(shares)[0],
            "p_out": draw(shares)}


@given(case=cases())
@check(50)
def test_requantize(case):
    check_requantize(**case)


# ---- Corners of the arithmetic ------------------------------------------------------------------

def half_even(total, multiplier, shift, low, high):
    """The definition; Python rounds a Fraction half to even."""
    return min(max(round(Fraction(total * multiplier, 1 << shift)), low), high)


@pytest.mark.parametrize("shift", [1, 2, 5, 16])
@pytest.mark.parametrize("multiplier", [1, 3])
@pytest.mark.parametrize("cycles", [1, 4])
def test_ties_go_to_even(shift, multiplier, cycles):
    half = 1 << shift - 1
    sums = [[k * half + d] for k in range(-9, 10) for d in (-1, 0, 1)]
    results, _ = check_requantize(sums, [multiplier], [shift], cycles=cycles)
    assert results[:, 0].tolist() == [half_even(s, multiplier, shift, -128, 127) for s, in sums]


@pytest.mark.parametrize("shift", range(0, 64, 7))
@pytest.mark.parametrize("cycles", [1, 4])
def test_every_shift(shift, cycles):
    sums = [[value] for value in (0, 1, -1, 2, -3, 255, -256, (1 << 39) - 1, -1 << 39)]
    results, _ = check_requantize(sums, [(1 << 17) - 1], [shift], activation="s17 full",
                                  cycles=cycles)
    assert results[:, 0].tolist() == [
        half_even(s, (1 << 17) - 1, shift, -65536, 65535) for s, in sums]


@forms
def test_shifts_from_0_to_63_between_channels(cycles):
    shift = [0, 63, 31, 7, 62, 1]
    sums = np.random.default_rng(1).integers(-1 << 39, 1 << 39, (12, 6))
    sums[:4] >>= 38
    check_requantize(sums, [1, 131071, 65536, 3, 131071, 2], shift, cycles=cycles)


def test_multiplier_0_gives_only_closing_beats():
    results, (sink,) = check_requantize(np.arange(-6, 6).reshape(4, 3), [0, 0, 0], [0, 5, 63])
    assert not results.any() and len(sink.got) == 4


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_clamps(activation):
    _, low, high = ACTIVATIONS[activation]
    edges = [low - 1, low, low + 1, -1, 0, 1, high - 1, high, high + 1, 10 * low - 10, 10 * high]
    results, _ = check_requantize([[value] for value in edges], [1], [0], activation=activation)
    assert results[:, 0].tolist() == [min(max(value, low), high) for value in edges]


def test_rounding_up_over_the_upper_bound():
    results, _ = check_requantize([[255], [254], [253], [-257], [-256]], [1], [1])
    assert results[:, 0].tolist() == [127, 127, 126, -128, -128]


@pytest.mark.parametrize("low, high", [(0, 0), (0, 127), (-128, 0), (-1, 1), (0, 6)])
def test_bounds(low, high):
    results, _ = check_requantize(np.arange(-20, 20).reshape(-1, 2), [1 << 16] * 2, [16] * 2,
                                  low=low, high=high)
    assert results.min() == max(low, -20) and results.max() == min(high, 19)


@pytest.mark.parametrize("threshold", [0, 1, 2, 7, 8, 15])
@pytest.mark.parametrize("cycles", [1, 4])
def test_threshold(threshold, cycles):
    """Halves from -10 to 20: what rounds to the threshold stays, what rounds below it is not sent."""
    sums = np.arange(-20, 41)
    results, (sink,) = check_requantize(sums.reshape(-1, 1), [1], [1], low=0, high=15, threshold=threshold, cycles=cycles)
    rounded = np.minimum(np.rint(sums / 2), 15)
    assert results[:, 0].tolist() == np.where(rounded < max(threshold, 1), 0, rounded).tolist()
    assert {beat.value for beat in sink.got} == {0, *range(max(threshold, 1), 16)}


def test_a_threshold_costs_a_comparison():
    """It is another bound; see docs/requantize.md."""
    def luts(threshold):
        platform = FilePlatform()
        dut = Requantize(width=24, multiplier=range(70000, 70032), shift=[22, 23, 24, 25] * 8, low=0, high=255,
                         shape=8, threshold=threshold)
        text = ROM_MODULE + verilog(dut, name="requantize", platform=platform)
        return synthesise(text, top="requantize", family="xc7", files=platform.files).lut
    assert luts(5) <= luts(0) + 4


SHAPES = {
    "one channel": dict(channels=1), "ways do not divide": dict(channels=7, ways=3),
    "a way a channel": dict(channels=4, ways=4),
    "one channel on the last way": dict(channels=3, ways=2),
    "zeros kept": dict(channels=5, ways=2, keep_zeros=True),
    "short queues": dict(channels=6, ways=2, depth=1),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("p_in, p_out", STALLS)
@pytest.mark.parametrize("cycles", [1, 4])
def test_streams(name, p_in, p_out, cycles):
    case = dict(SHAPES[name])
    channels = case.pop("channels")
    rng = np.random.default_rng(3)
    sums = rng.integers(-1000, 1000, (10, channels)) * (rng.random((10, channels)) < 0.5)
    check_requantize(sums, rng.integers(1 << 16, 1 << 17, channels), rng.integers(18, 22, channels),
                     p_in=p_in, p_out=[p_out, 1.0], cycles=cycles, **case)


# ---- Timing -------------------------------------------------------------------------------------

@pytest.mark.parametrize("channels, ways", [(1, 1), (4, 1), (4, 2), (3, 3)])
@pytest.mark.parametrize("shift", [0, 20])
@pytest.mark.parametrize("cycles, latency", [(1, 8), (4, 15), (3, 16)])
def test_latency_and_rate(channels, ways, shift, cycles, latency):
    """A sum per way every ``cycles`` cycles."""
    _, sinks = check_requantize(np.full((10, channels), 127 << shift), [1] * channels,
                                [shift] * channels, ways=ways, cycles=cycles)
    for sink in sinks:
        assert latencies(sink) == [latency + n * cycles for n in range(len(sink.got))]


# ---- The multipliers alone ----------------------------------------------------------------------

def products_of(dut, sums, factors, gaps, enabled):
    """(product, tag, latency) of each; the tag is the number. ``enabled`` says at which cycles."""
    got = []

    async def testbench(ctx):
        started, n, wait, now = {}, 0, 0, 0
        for en in enabled:
            start = n < len(sums) and wait <= 0
            ctx.set(dut.en, en)
            ctx.set(dut.start, start)
            if start:
                ctx.set(dut.sums, [int(sums[n])])
                ctx.set(dut.factors, [int(factors[n])])
                ctx.set(dut.tag, n)
            _, _, done, products, tag = await ctx.tick().sample(dut.done, dut.products, dut.tag_out)
            if not en:
                continue
            if done:
                got.append((products[0], tag, now - started[tag]))
            if start:
                started[n], wait, n = now, gaps[n], n + 1
            wait, now = wait - 1, now + 1

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    return got


@pytest.mark.parametrize("cycles", range(1, 9))
@pytest.mark.parametrize("width", [2, 24])
def test_products(cycles, width):
    """All pairs of digits, sums that end in zeros, the extremes; gaps and stalls."""
    rng = np.random.default_rng(width)
    count = 120
    factors = rng.integers(0, 1 << 17, count)
    factors[:7] = 0, 1, 43690, 87381, 1 << 16, 3 << 15, (1 << 17) - 1
    sums = rng.integers(-1 << width - 1, 1 << width - 1, count)
    sums = np.where(rng.random(count) < 0.5, sums >> width // 2 << width // 2, sums)
    sums[:7] = -1 << width - 1
    factors[7:14], sums[7:14] = factors[:7], (1 << width - 1) - 1
    dut = multiply(cycles=cycles, width=width, ways=1, tag=range(count))
    gaps = cycles + rng.choice([0, 0, 0, 1, 2, 30], count)
    enabled = rng.random(2 * (gaps.sum() + 50)) < 0.8
    got = products_of(dut, sums, factors, gaps.tolist(), enabled.tolist())
    assert got == [(s * f, n, multiply_latency(cycles))
                   for n, (s, f) in enumerate(zip(sums.tolist(), factors.tolist()))]


@forms
def test_only_one_form_multiplies(cycles):
    """So that synthesis has no reason to spend a DSP block on the others."""
    text = rtlil.convert(multiply(cycles=cycles, width=24, ways=2, tag=4))
    assert ("$mul" in text) == (cycles == 1)


@pytest.mark.parametrize("width, family, cycles, dsps", [
    (25, "behavioural", 1, 3), (26, "behavioural", 1, 6), (27, "dsp48e2", 1, 3),
    (28, "dsp48e2", 1, 6), (28, "dsp48e2", 2, 0), (24, "behavioural", 4, 0)])
def test_dsps(width, family, cycles, dsps):
    assert requantize_dsps(width, ways=3, family=family, cycles=cycles) == dsps


# ---- Ready never, and reset ---------------------------------------------------------------------

@pytest.mark.parametrize("cycles", [1, 4])
def test_offers_without_ready(cycles):
    dut = Requantize(width=8, multiplier=[1, 1, 1], shift=[0, 0, 0], low=0, high=255, shape=8,
                     ways=2, cycles=cycles)
    source = Source(dut.i, transfers(np.array([[1, 2, 3]]), 2))
    for way in dut.o.way:
        assert offers_without_ready(dut, [source], way)


@pytest.mark.parametrize("cycles", [1, 4, 8, 20, 33])
@pytest.mark.parametrize("form", [1, 4])
def test_reset_in_a_pixel(cycles, form):
    multiplier, shift = np.array([1, 2, 3]), np.array([0, 1, 2])
    dut = Requantize(width=10, multiplier=multiplier, shift=shift, low=-128, high=127,
                     shape=ACTIVATIONS["s8"][0], ways=2, depth=2, cycles=form)
    sums = np.random.default_rng(cycles).integers(-200, 200, (8, 3))
    results = reference.requantize(sums, Requantization(multiplier, shift, -128, 127))
    sinks = ports(Sink, dut.o.way, to_beats(results, 2), [0.7, 1.0])
    run_after_reset(dut, [Source(dut.i, transfers(sums + 1, 2))],
                    [Source(dut.i, transfers(sums, 2), 0.7)], sinks, cycles=cycles)
    compare(sinks, results)


# ---- Parameters ---------------------------------------------------------------------------------

@pytest.mark.parametrize("kwargs, error, message", [
    (dict(width=0), TypeError, "Width must be a positive integer, not 0"),
    (dict(ways=0), TypeError, "Ways must be a positive integer, not 0"),
    (dict(keep_zeros=1), TypeError, "Keep zeros must be a bool, not 1"),
    (dict(ways=3), ValueError, "Ways must be at most the 2 channels, not 3"),
    (dict(depth=0), TypeError, "Depth must be a positive integer, not 0"),
    (dict(cycles=0), ValueError, "Cycles must be from 1 to 8, not 0"),
    (dict(cycles=9), ValueError, "Cycles must be from 1 to 8, not 9"),
    (dict(cycles=4.0), TypeError, r"Cycles must be an integer, not 4\.0"),
    (dict(multiplier=[1]), ValueError,
     r"Multipliers and shifts must be equally many, not of shapes \(1,\) and \(2,\)"),
    (dict(multiplier=[[1, 1]], shift=[[1, 1]]), ValueError,
     r"Multipliers and shifts must be equally many, not of shapes \(1, 2\) and \(1, 2\)"),
    (dict(multiplier=[], shift=[]), ValueError,
     r"Multipliers and shifts must be equally many, not of shapes \(0,\) and \(0,\)"),
    (dict(multiplier=[1, 1 << 17]), ValueError, "Multiplier must be from 0 to 131071, not 131072"),
    (dict(multiplier=[-1, 1]), ValueError, "Multiplier must be from 0 to 131071, not -1"),
    (dict(shift=[0, 64]), ValueError, "Shift must be from 0 to 63, not 64"),
    (dict(shift=[-1, 0]), ValueError, "Shift must be from 0 to 63, not -1"),
    (dict(low=1), ValueError, "Lower bound must be from 0 to 0, not 1"),
    (dict(low=-1), ValueError, "Lower bound must be from 0 to 0, not -1"),
    (dict(low=0.0), TypeError, r"Lower bound must be an integer, not 0\.0"),
    (dict(high=256), ValueError, "Upper bound must be from 0 to 255, not 256"),
    (dict(high=-1), ValueError, "Upper bound must be from 0 to 255, not -1"),
    (dict(threshold=-1), ValueError, "Threshold must be from 0 to 255, not -1"),
    (dict(threshold=256), ValueError, "Threshold must be from 0 to 255, not 256"),
    (dict(threshold=1.5), TypeError, r"Threshold must be an integer, not 1\.5"),
    (dict(shape=ACTIVATIONS["s8"][0], low=-1, high=9, threshold=2), ValueError,
     "Threshold must be 0 with a lower bound other than 0, not 2"),
    (dict(shape=ACTIVATIONS["s8"][0], low=-129, high=0), ValueError,
     "Lower bound must be from -128 to 0, not -129"),
    (dict(shape=ACTIVATIONS["s8"][0], high=128), ValueError,
     "Upper bound must be from 0 to 127, not 128"),
])
def test_requantize_refuses(kwargs, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        Requantize(**{"width": 8, "multiplier": [1, 1], "shift": [0, 0], "low": 0, "high": 255,
                      "shape": 8} | kwargs)
