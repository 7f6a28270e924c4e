# amaranth: UnusedElaboratable=no
"""Residual addition against the reference: parameter space, corners, timing, reset, parameters."""
import numpy as np
import pytest
from amaranth import Shape, signed
from hypothesis import given
from hypothesis import strategies as st

from cores import graph
from cores.emit import verilog
from cores.synthesis import synthesise
from hdl.add import Add
from maps import compare
from sim import reference
from sim.harness import Sink, Source, offers_without_ready, run
from sim.pixels import to_beats
from strategies import (
    ACTIVATIONS,
    STALLS,
    activations,
    check,
    densities,
    latencies,
    ports,
    random_map,
    run_after_reset,
    seeds,
    shares,
)

MOST = (1 << 17) - 1
# Widths that the tables' five bits divide are corners too.
SHAPES = ACTIVATIONS | {"s5": (signed(5), -16, 15), "s10": (signed(10), -512, 511)}


def case_of(x_a, x_b, *, a="u8", b="u8", out="u8", multipliers=(70000, 100000), shift=17,
            zero_point=0, low=None, high=None, ways=1, keep_zeros=False, dsps=None, threshold=0):
    """A design, the beats of both inputs, and the expected output, of maps (..., channels)."""
    (shape_a, *_), (shape_b, *_), (out_shape, least, most) = (SHAPES[n] for n in (a, b, out))
    node = graph.Add("add", "a", "b", "y", multipliers, shift, zero_point,
                     least if low is None else low, most if high is None else high, threshold)
    dut = Add(shape_a, shape_b, channels=x_a.shape[-1], ways=ways, multipliers=multipliers,
              shift=shift, zero_point=zero_point, low=node.low, high=node.high,
              out_shape=out_shape, keep_zeros=keep_zeros, dsps=dsps, threshold=threshold)
    beats = to_beats(x_a, ways, keep_zeros), to_beats(x_b, ways, keep_zeros)
    return dut, beats, reference.run_node(node, x_a, x_b)


def sources_of(dut, beats, rates=((1.0,), (1.0,))):
    return [source for side, data, p in zip((dut.a, dut.b), beats, rates)
            for source in ports(Source, side.way, data, p)]


def merged(beats_a, beats_b):
    """Cycles that a way's lists take: channels in either, pixel by pixel."""
    def places(beats):
        pixels = np.cumsum([0] + [beat["last"] for beat in beats[:-1]]).tolist()
        return {(pixel, beat["channel"]) for pixel, beat in zip(pixels, beats)}
    return len(places(beats_a) | places(beats_b))


def check_dut(dut, beats, y, *, p_a=(1.0,), p_b=(1.0,), p_out=(1.0,), seed=0):
    """Stream maps through an adder and compare; without stalls the cycles are exact."""
    sinks = ports(Sink, dut.o.way, to_beats(y, dut.ways, dut.keep_zeros), p_out)
    run(dut, sources_of(dut, beats, (p_a, p_b)), sinks, seed=seed, max_cycles=500 + 40 * y.size)
    compare(dut, sinks, y)
    if min(p_a + p_b + p_out) == 1:
        for sink, *ways in zip(sinks, *beats):
            # The last beat closes the last pixel and is always sent.
            assert latencies(sink)[-1] == Add.latency + merged(*ways) - 1
    return sinks


def check_add(x_a, x_b, *, p_a=(1.0,), p_b=(1.0,), p_out=(1.0,), seed=0, **case):
    dut, beats, y = case_of(x_a, x_b, **case)
    return check_dut(dut, beats, y, p_a=p_a, p_b=p_b, p_out=p_out, seed=seed), y


def maps(shape, a="u8", b="u8", density=(0.5, 0.5), seed=0):
    rng = np.random.default_rng(seed)
    return [random_map(rng, shape, *ACTIVATIONS[name][1:], d) for name, d in zip((a, b), density)]


# ---- The whole parameter space ------------------------------------------------------------------

multipliers = st.one_of(st.integers(0, MOST), st.sampled_from([0, 1, 2, 1 << 15, 1 << 16, MOST]))


@st.composite
def cases(draw):
    a, b, out = (draw(activations) for _ in range(3))
    channels = draw(st.integers(1, 9))
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3)), channels)
    seed = draw(seeds)
    x_a, x_b = maps(shape, a, b, (draw(densities), draw(densities)), seed)
    _, least, most = ACTIVATIONS[out]
    low = draw(st.sampled_from([least, least // 2, 0]))
    high = draw(st.sampled_from([most, most // 2, 0]))
    pair = draw(multipliers), draw(multipliers)
    scaling = draw(st.sampled_from(["any", "full", "ties"]))
    if scaling == "any":
        shift = draw(st.integers(0, 63))
    elif scaling == "full":             # about what fills the output
        widths = [Shape.cast(ACTIVATIONS[name][0]).width for name in (a, b, out)]
        shift = max(m.bit_length() + w for m, w in zip(pair, widths)) - widths[2]
        shift = min(max(shift + draw(st.integers(-2, 2)), 0), 63)
    else:                               # and no clamping that hides them
        power = draw(st.integers(0, 16))
        pair, shift = (1 << power, 1 << power), power + draw(st.integers(1, 2))
        low, high = least, most
    return {
        "x_a": x_a, "x_b": x_b, "a": a, "b": b, "out": out, "multipliers": pair,
        "shift": shift, "zero_point": draw(st.integers(0, 255)), "low": low, "high": high,
        "ways": draw(st.integers(1, min(3, channels))), "keep_zeros": draw(st.booleans()),
        "dsps": draw(st.sampled_from([None, 0, 1, 2])), "seed": seed,
        "threshold": 0 if low else draw(st.sampled_from([0, min(1, high), high // 9, high])),
        "p_a": draw(shares), "p_b": draw(shares), "p_out": draw(shares)}


@given(case=cases())
@check(70)
def test_add(case):
    check_add(**case)


# ---- Corners of the merge -----------------------------------------------------------------------

def of_value(values, frames=3, size=2):
    return np.broadcast_to(np.array(values), (frames, size, size, len(values)))


LISTS = {
    "all zero": ([0, 0, 0], [0, 0, 0]),
    "both dense": ([1, 2, 3], [4, 5, 6]),
    "first all zero": ([0, 0, 0], [4, 5, 6]),
    "second all zero": ([4, 5, 6], [0, 0, 0]),
    "disjoint": ([1, 0, 3, 0, 5, 0], [0, 2, 0, 4, 0, 6]),
    "one after the other": ([1, 2, 0, 0, 0], [0, 0, 3, 4, 0]),
    "the last of one only": ([0, 0, 9], [0, 0, 0]),
    "the first of one only": ([9, 0, 0], [0, 0, 0]),
    "one channel": ([200], [100]),
    "one channel, zero": ([0], [0]),
}


@pytest.mark.parametrize("p_a, p_b, p_out", [(1, 1, 1), (0.2, 1, 1), (1, 0.2, 1), (0.5, 0.5, 0.4)])
@pytest.mark.parametrize("name", LISTS)
def test_lists(name, p_a, p_b, p_out):
    """Frames back to back; also results that are 0 though an operand is not."""
    x_a, x_b = map(of_value, LISTS[name])
    for pair in (1 << 16, 1 << 16), (1 << 14, 1 << 15):
        check_add(x_a, x_b, multipliers=pair, shift=16, p_a=[p_a], p_b=[p_b], p_out=[p_out])


def test_one_pixel():
    x_a, x_b = maps((9, 1, 1, 5), "s9", "u8")
    check_add(x_a, x_b, a="s9", out="s8", ways=2)


def test_a_way_works_on_when_another_stands():
    """Nothing but the ways' own handshakes couples them."""
    dut, beats, y = case_of(*maps((2, 3, 3, 5)), ways=2)
    data = to_beats(y, 2)
    sink = Sink(dut.o.way[1], len(data[1]))
    run(dut, [Source(dut.a.way[1], beats[0][1]), Source(dut.b.way[1], beats[1][1])], [sink])
    assert len(sink.got) == len(data[1])


# ---- Corners of the arithmetic ------------------------------------------------------------------

@pytest.mark.parametrize("dsps", [0, 1])
@pytest.mark.parametrize("zero_point", [0, 7, 128, 255])
@pytest.mark.parametrize("shift", [1, 2, 16])
def test_ties_go_to_the_even_quantized_value(shift, zero_point, dsps):
    """Every half from -9/2 to 9/2; q = stored + zero point is what is rounded."""
    values = np.arange(-9, 10)
    one = 1 << shift - 1
    _, y = check_add(values.reshape(-1, 1), np.zeros((19, 1), int), a="s8", b="s8", out="s8",
                     multipliers=(one, 3 * one), shift=shift, zero_point=zero_point, dsps=dsps)
    assert y[:, 0].tolist() == [
        int(np.rint(value / 2 + zero_point)) - zero_point for value in values]


@pytest.mark.parametrize("dsps", [0, 1])
def test_threshold(dsps):
    """Sums of 0 to 20 halves."""
    values = np.arange(21).reshape(-1, 1)
    sinks, y = check_add(values, np.zeros_like(values), multipliers=(3 << 8, 1), shift=9 + 1, low=0, high=9,
                         threshold=4, dsps=dsps)
    rounded = np.minimum(np.rint(values * 0.75), 9)
    assert (y == np.where(rounded < 4, 0, rounded)).all()
    assert {beat.value for beat in sinks[0].got} == {0, *range(4, 10)}


@pytest.mark.parametrize("dsps", [0, 1, 2])
@pytest.mark.parametrize("activation", ["u8", "s9 full", "u16", "s17 full"])
@pytest.mark.parametrize("pair", [(MOST, MOST), (MOST, 1), (0, MOST), (0, 0), (1 << 16, MOST)])
def test_largest_magnitudes(activation, pair, dsps):
    _, low, high = ACTIVATIONS[activation]
    x = np.array([(a, b) for a in (low, high, 1) for b in (low, high, -1 if low else 0)])
    for shift in 0, 17:
        check_add(x[:, :1], x[:, 1:], a=activation, b=activation, out="s17 full",
                  multipliers=pair, shift=shift, zero_point=1, dsps=dsps)


@pytest.mark.parametrize("pair", [(MOST, MOST - 1), (1, 0)])
@pytest.mark.parametrize("shift", [*range(21), 34, 35, 36, 37, 38, 39, 63])
def test_every_shift(shift, pair):
    """Also about the one from which on every sum is less than half a unit, and rounds to 0."""
    values = np.array([-65536, 65535, 1, -1, 0, 12345])
    x = np.array([(a, b) for a in values for b in values])
    check_add(x[:, :1], x[:, 1:], a="s17 full", b="s17 full", out="s17 full",
              multipliers=pair, shift=shift, zero_point=1)


@pytest.mark.parametrize("activation", ["u4", "s5", "u8", "s9 full", "s10"])
def test_every_value_of_a_table(activation):
    """Each operand in turn is the one that tables multiply."""
    _, low, high = SHAPES[activation]
    x, zero = np.arange(low, high + 1).reshape(-1, 1), np.zeros((high + 1 - low, 1), int)
    for pair in (zero, x), (x, zero):
        check_add(*pair, a=activation, b=activation, out="s17 full", multipliers=(99991, 70001),
                  shift=9, dsps=0)


# ---- Protocol, timing and reset -----------------------------------------------------------------

@pytest.mark.parametrize("density, cycles", [((1, 1), 8), ((0, 1), 8), ((0, 0), 1)])
def test_cycles_per_pixel(density, cycles):
    (sink,), _ = check_add(*maps((2, 3, 3, 8), density=density), shift=10)
    ends = [cycle for cycle, beat in zip(sink.cycles, sink.got) if beat.last]
    assert np.diff(ends).tolist() == [cycles] * 17


def test_latency():
    (sink,), _ = check_add(*maps((2, 2, 2, 4), density=(1, 1)), keep_zeros=True)
    assert latencies(sink) == list(range(Add.latency, Add.latency + 32))


@pytest.mark.parametrize("p_in, p_out", STALLS)
def test_ways_of_unequal_length_and_rate(p_in, p_out):
    check_add(*maps((2, 3, 3, 7)), ways=3, p_a=[p_in, 1.0, 0.3], p_b=[1.0, p_in, 1.0],
              p_out=[p_out, 1.0, 0.6])


@pytest.mark.parametrize("keep_zeros", [False, True])
def test_offers_without_ready(keep_zeros):
    dut, beats, _ = case_of(*maps((2, 2, 2, 4), density=(1, 1)), ways=2, keep_zeros=keep_zeros)
    for way in dut.o.way:
        assert offers_without_ready(dut, sources_of(dut, beats), way)


def test_one_input_alone_offers_nothing():
    """Only both lists tell which channel is next."""
    dut, beats, _ = case_of(*maps((2, 2, 2, 4), density=(1, 1)))
    for side, data in zip((dut.a, dut.b), beats):
        assert not offers_without_ready(dut, [Source(side.way[0], data[0])], dut.o.way[0])


@pytest.mark.parametrize("cycles", [1, 4, 9, 30])
def test_reset_in_a_frame(cycles):
    dut, beats, y = case_of(*maps((2, 2, 2, 5), seed=cycles), ways=2)
    junk = [to_beats(x, 2) for x in maps((2, 2, 2, 5), density=(1, 1), seed=1)]
    sinks = ports(Sink, dut.o.way, to_beats(y, 2), (0.7, 1.0))
    run_after_reset(dut, sources_of(dut, junk), sources_of(dut, beats, ((0.8,), (1.0,))), sinks,
                    cycles=cycles)
    compare(dut, sinks, y)


# ---- The checks above fail when they should -----------------------------------------------------

@pytest.mark.parametrize("name, value", [
    ("ties_to_odd", True), ("keep_zeros", True), ("shift", 2), ("multipliers", (3, 1)), ("low", 0),
    ("high", 50),
])
def test_a_wrong_adder_is_found(name, value):
    dut, beats, y = case_of(*maps((2, 3, 3, 5), "s8", "s8"), a="s8", b="s8", out="s8",
                            multipliers=(1, 3), shift=1)
    check_dut(dut, beats, y)
    dut, beats, y = case_of(*maps((2, 3, 3, 5), "s8", "s8"), a="s8", b="s8", out="s8",
                            multipliers=(1, 3), shift=1)
    assert getattr(dut, name) != value
    setattr(dut, name, value)
    with pytest.raises((AssertionError, TimeoutError, ValueError)):
        check_dut(dut, beats, y)


# ---- Cost ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("a, b, case, dsps", [
    ("u8", "u8", {}, 1), ("s9", "u8", {}, 1), ("u16", "u8", {}, 1), ("u8", "u16", {}, 1),
    ("u16", "s17", {}, 2), ("u16", "s17", dict(dsps=1), 1), ("u8", "u8", dict(dsps=0), 0),
    ("u8", "u8", dict(dsps=2), 2), ("u8", "u8", dict(ways=3), 3),
    ("u16", "u16", dict(ways=3), 6),
    # Powers of two cost nothing, those that are only after a division by a common factor too.
    ("u8", "u8", dict(multipliers=(0, 5)), 1), ("u8", "u8", dict(multipliers=(4, 1)), 0),
    ("u8", "u8", dict(multipliers=(0, 0)), 0), ("u16", "u16", dict(multipliers=(1 << 16, 5)), 1),
])
def test_dsp_count(a, b, case, dsps):
    dut, _, _ = case_of(*maps((1, 1, 1, 3)), a=a, b=b, **case)
    assert dut.dsp_count == dsps


def test_size():
    """One DSP block, and LUTs that leave room."""
    dut, _, _ = case_of(*maps((1, 1, 1, 64)))
    cells = synthesise(verilog(dut, name="add"), top="add", family="xc7")
    assert cells.dsp == dut.dsp_count == 1
    assert cells.lut < 150


# ---- Parameters ---------------------------------------------------------------------------------

@pytest.mark.parametrize("change, error, message", [
    (dict(shape_a=18), ValueError, "Operand width must be from 1 to 17, not 18"),
    (dict(shape_b=0), ValueError, "Operand width must be from 1 to 17, not 0"),
    (dict(channels=0), TypeError, "Channels must be a positive integer, not 0"),
    (dict(keep_zeros=1), TypeError, "Keep zeros must be a bool, not 1"),
    (dict(ways=0), TypeError, "Ways must be a positive integer, not 0"),
    (dict(ways=5), ValueError, "Ways must be at most the 4 channels, not 5"),
    (dict(multipliers=(1, 2, 3)), ValueError, r"Multipliers must be two, not \(1, 2, 3\)"),
    (dict(multipliers=7), ValueError, "Multipliers must be two, not 7"),
    (dict(multipliers=(1, 1 << 17)), ValueError, "Multiplier must be from 0 to 131071, not 131072"),
    (dict(multipliers=(-1, 1)), ValueError, "Multiplier must be from 0 to 131071, not -1"),
    (dict(multipliers=(0.5, 1)), TypeError, r"Multiplier must be an integer, not 0\.5"),
    (dict(shift=64), ValueError, "Shift must be from 0 to 63, not 64"),
    (dict(shift=-1), ValueError, "Shift must be from 0 to 63, not -1"),
    (dict(zero_point=1 << 16), ValueError, "Zero point must be from -65536 to 65535, not 65536"),
    (dict(zero_point=None), TypeError, "Zero point must be an integer, not None"),
    (dict(low=1), ValueError, "Lower bound must be from 0 to 0, not 1"),
    (dict(low=-1), ValueError, "Lower bound must be from 0 to 0, not -1"),
    (dict(high=256), ValueError, "Upper bound must be from 0 to 255, not 256"),
    (dict(high=-1), ValueError, "Upper bound must be from 0 to 255, not -1"),
    (dict(threshold=256), ValueError, "Threshold must be from 0 to 255, not 256"),
    (dict(out_shape=signed(8), low=-1, high=9, threshold=2), ValueError,
     "Threshold must be 0 with a lower bound other than 0, not 2"),
    (dict(dsps=3), ValueError, "DSP blocks must be from 0 to 2, not 3"),
    (dict(dsps="all"), TypeError, "DSP blocks must be an integer, not 'all'"),
])
def test_add_refuses(change, error, message):
    parameters = {"shape_a": 8, "shape_b": 8, "channels": 4, "multipliers": (1, 1), "shift": 0,
                  "zero_point": 0, "low": 0, "high": 255, "out_shape": 8} | change
    with pytest.raises(error, match=f"^{message}$"):
        Add(parameters.pop("shape_a"), parameters.pop("shape_b"), **parameters)
