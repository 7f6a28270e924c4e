# amaranth: UnusedElaboratable=no
"""Upsampling against the reference: parameter space, corners, timing, reset, parameters."""
import pytest
from amaranth import unsigned
from hypothesis import given
from hypothesis import strategies as st

from cores import graph
from cores.emit import verilog
from cores.synthesis import synthesise
from hdl.upsample import Upsample
from maps import frames, sent, stream_through
from sim import reference
from sim.harness import Sink, Source, offers_without_ready, run
from sim.pixels import to_beats
from strategies import (
    ACTIVATIONS,
    activations,
    check,
    densities,
    latencies,
    ports,
    run_after_reset,
    seeds,
    shares,
)


def case_of(x, *, name="u8", factor=(2, 2), ways=1, slots=None, keep_zeros=False):
    """A design, the beats of its input, and the expected output, of frames x."""
    dut = Upsample(ACTIVATIONS[name][0], height=x.shape[1], width=x.shape[2], channels=x.shape[3],
                   factor=factor, ways=ways, slots=slots, keep_zeros=keep_zeros)
    y = reference.run_node(graph.Upsample("upsample", "x", "y", factor), x)
    return dut, to_beats(x, ways, keep_zeros), y


def check_upsample(x, *, p_in=(1.0,), p_out=(1.0,), seed=0, **case):
    return stream_through(*case_of(x, **case), p_in=p_in, p_out=p_out, seed=seed)


@st.composite
def cases(draw):
    name, channels = draw(activations), draw(st.integers(1, 6))
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(1, 4)), channels)
    factor = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    least = shape[2] if factor[0] > 1 else 1
    return {
        "x": frames(shape, name, draw(densities), draw(seeds)), "name": name, "factor": factor,
        "ways": draw(st.integers(1, min(3, channels))), "keep_zeros": draw(st.booleans()),
        "slots": draw(st.sampled_from([None, None, least, least + 1])), "seed": draw(seeds),
        "p_in": draw(shares), "p_out": draw(shares)}


@given(case=cases())
@check(70)
def test_upsample(case):
    check_upsample(**case)


# ---- Corners ------------------------------------------------------------------------------------

@pytest.mark.parametrize("p_in, p_out", [(1.0, 1.0), (0.4, 0.5)])
@pytest.mark.parametrize("factor", [(1, 1), (1, 2), (2, 1), (2, 2), (4, 3)])
@pytest.mark.parametrize("shape", [(3, 1, 1, 1), (3, 1, 1, 3), (2, 3, 1, 2), (2, 1, 3, 2)])
def test_shapes(shape, factor, p_in, p_out):
    for density in 0, 0.5:
        check_upsample(frames(shape, density=density), factor=factor, p_in=[p_in], p_out=[p_out])


@pytest.mark.parametrize("name", ["s8", "u16", "s17 full"])
def test_largest_magnitudes(name):
    check_upsample(frames((2, 2, 2, 3), name, 1), name=name, ways=2)


@pytest.mark.parametrize("slots", [3, 4, 5, 8, 20])
def test_slots(slots):
    """A ring of one row up to more than all rows, and a source that is faster than the replays."""
    check_upsample(frames((2, 4, 3, 4)), slots=slots)
    check_upsample(frames((2, 4, 3, 4)), slots=slots, p_out=[0.3])


@pytest.mark.parametrize("factor, width, slots", [
    ((2, 2), 8, 16), ((2, 1), 3, 6), ((3, 2), 1, 4), ((1, 2), 8, 4), ((1, 1), 1, 4)])
def test_default_slots(factor, width, slots):
    """A row and the next, or a few pixels."""
    dut, _, _ = case_of(frames((1, 2, width, 3)), factor=factor)
    assert dut.slots == slots


def test_ways_are_not_coupled():
    """A way goes on to the end when the others get nothing."""
    dut, beats, y = case_of(frames((2, 3, 3, 5)), ways=2)
    expected = to_beats(y, 2)[1]
    sink = Sink(dut.o.way[1], len(expected))
    run(dut, [Source(dut.i.way[1], beats[1])], [sink])
    assert sent([sink]) == [expected]


def test_offers_without_ready():
    dut, beats, _ = case_of(frames((1, 2, 2, 3)))
    assert offers_without_ready(dut, ports(Source, dut.i.way, beats, (1.0,)), dut.o.way[0])


# ---- Timing -------------------------------------------------------------------------------------

@pytest.mark.parametrize("factor", [(1, 1), (1, 2), (2, 1), (2, 2), (3, 2)])
@pytest.mark.parametrize("width", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("density, beats", [(0, 1), (1, 3)])
def test_one_beat_per_cycle(density, beats, width, factor):
    """From the first pixel's closing beat on, without a gap at the ends of rows and frames."""
    x = frames((2, 4, width, 3), density=density)
    (sink,) = check_upsample(x, factor=factor)
    first = beats - 1 + Upsample.latency
    if factor == (2, 1) and beats > 1:      # the first row is sent as fast as it comes
        assert latencies(sink)[-1] <= first + sink.count - 1 + width * beats
        return
    assert latencies(sink) == list(range(first, first + sink.count))


def test_cycles():
    """A 4 x 4 map of 3 dense channels becomes 8 x 8: 64 * 3 beats, two that precede the first closing
    one, the latency, and a cycle to take the last."""
    dut, beats, _ = case_of(frames((1, 4, 4, 3), density=1))
    sink = Sink(dut.o.way[0], 64 * 3)
    cycles = run(dut, ports(Source, dut.i.way, beats, (1.0,)), [sink]).cycles
    assert cycles == 64 * 3 + 2 + Upsample.latency + 1


@pytest.mark.parametrize("cycles", [1, 4, 9, 30])
def test_reset_in_a_frame(cycles):
    dut, beats, y = case_of(frames((2, 2, 3, 5)), ways=2)
    junk = ports(Source, dut.i.way, to_beats(frames((1, 2, 3, 5), density=1), 2), (1.0,))
    expected = to_beats(y, 2)
    sinks = ports(Sink, dut.o.way, expected, (0.7, 1.0))
    run_after_reset(dut, junk, ports(Source, dut.i.way, beats, (0.8, 1.0)), sinks, cycles=cycles)
    assert sent(sinks) == expected


@pytest.mark.parametrize("name, value", [
    ("factor", (1, 2)), ("factor", (2, 1)), ("width", 2), ("slots", 2)])
def test_a_wrong_upsample_is_found(name, value):
    dut, beats, y = case_of(frames((2, 2, 3, 4)))
    expected = to_beats(y, 1)
    setattr(dut, name, value)
    sinks = ports(Sink, dut.o.way, expected, (1.0,))
    with pytest.raises((AssertionError, TimeoutError)):
        run(dut, ports(Source, dut.i.way, beats, (1.0,)), sinks, max_cycles=500)
        assert sent(sinks) == expected


def test_size():
    """A row and the next, 28 lists of 32 beats, take a kiloword of 13 bits."""
    dut, _, _ = case_of(frames((1, 14, 14, 32)))
    cells = synthesise(verilog(dut, name="upsample"), top="upsample", family="xc7")
    assert cells.dsp == dut.dsp_count == 0
    assert cells.lut < 150 and cells.bram36 <= 1


@pytest.mark.parametrize("change, error, message", [
    (dict(height=0), TypeError, "Height must be a positive integer, not 0"),
    (dict(keep_zeros=1), TypeError, "Keep zeros must be a bool, not 1"),
    (dict(width=0), TypeError, "Width must be a positive integer, not 0"),
    (dict(channels=0), TypeError, "Channels must be a positive integer, not 0"),
    (dict(ways=0), TypeError, "Ways must be a positive integer, not 0"),
    (dict(ways=5), ValueError, "Ways must be at most the 4 channels, not 5"),
    (dict(factor=2), ValueError, "Factor must be 2 integers, not 2"),
    (dict(factor=(2, 0)), ValueError, "Factor must be from 1 to 65536, not 0"),
    (dict(factor=(1.5, 2)), TypeError, r"Factor must be an integer, not 1\.5"),
    (dict(slots=0), TypeError, "Slots must be a positive integer, not 0"),
    (dict(slots=2), ValueError, "Slots must be at least the 3 pixels of a row, not 2"),
])
def test_upsample_refuses(change, error, message):
    parameters = {"shape": unsigned(8), "height": 2, "width": 3, "channels": 4,
                  "factor": (2, 2)} | change
    with pytest.raises(error, match=f"^{message}$"):
        Upsample(parameters.pop("shape"), **parameters)
