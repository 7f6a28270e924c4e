# amaranth: UnusedElaboratable=no
"""Padding against the reference: parameter space, corners, timing, reset, parameters."""
import numpy as np
import pytest
from amaranth import signed, unsigned
from hypothesis import given
from hypothesis import strategies as st

from cores import graph
from cores.emit import verilog
from cores.synthesis import synthesise
from hdl.pad import Pad
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


def case_of(x, *, name="u8", before=(1, 1, 0), after=(1, 1, 0), value=0, ways=1, keep_zeros=False,
            out_shape=None):
    """A design, the beats of its input, and the expected output, of frames x."""
    dut = Pad(ACTIVATIONS[name][0], height=x.shape[1], width=x.shape[2], channels=x.shape[3],
              before=before, after=after, value=value, ways=ways, out_shape=out_shape,
              keep_zeros=keep_zeros)
    y = reference.run_node(graph.Pad("pad", "x", "y", before, after, value), x)
    return dut, to_beats(x, ways, keep_zeros), y


def check_dut(dut, beats, y, *, p_in=(1.0,), p_out=(1.0,), seed=0):
    """Every beat is as expected; without stalls one comes out per cycle."""
    sinks = stream_through(dut, beats, y, p_in=p_in, p_out=p_out, seed=seed)
    if min(p_in + p_out) == 1:
        for sink in sinks:
            assert latencies(sink) == list(range(Pad.latency, Pad.latency + sink.count))


def check_pad(x, *, p_in=(1.0,), p_out=(1.0,), seed=0, **case):
    check_dut(*case_of(x, **case), p_in=p_in, p_out=p_out, seed=seed)


@st.composite
def cases(draw):
    name, channels = draw(activations), draw(st.integers(1, 6))
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3)), channels)
    ways = draw(st.integers(1, min(3, channels)))
    pixels = st.sampled_from([0, 0, 1, 2])
    before = (draw(pixels), draw(pixels), ways * draw(st.sampled_from([0, 0, 1, 2])))
    after = (draw(pixels), draw(pixels), draw(st.integers(0, 4)))
    _, low, high = ACTIVATIONS[name]
    return {
        "x": frames(shape, name, draw(densities), draw(seeds)), "name": name, "before": before,
        "after": after, "value": draw(st.sampled_from([0, 0, low, high])), "ways": ways,
        "keep_zeros": draw(st.booleans()), "seed": draw(seeds),
        "p_in": draw(shares), "p_out": draw(shares)}


@given(case=cases())
@check(70)
def test_pad(case):
    check_pad(**case)


# ---- Corners ------------------------------------------------------------------------------------

@pytest.mark.parametrize("p_in, p_out", [(1.0, 1.0), (0.4, 0.5)])
@pytest.mark.parametrize("density", [0, 0.5])
@pytest.mark.parametrize("before, after", [
    ((0, 0, 0), (0, 0, 0)), ((2, 0, 0), (0, 0, 0)), ((0, 2, 0), (0, 0, 0)), ((0, 0, 2), (0, 0, 0)),
    ((0, 0, 0), (2, 0, 0)), ((0, 0, 0), (0, 2, 0)), ((0, 0, 0), (0, 0, 1)), ((3, 2, 4), (1, 4, 3))])
def test_sides(before, after, density, p_in, p_out):
    """Three frames back to back, each side on its own."""
    x = frames((3, 2, 2, 3), density=density)
    for value in 0, 255:
        check_pad(x, before=before, after=after, value=value, ways=2, p_in=[p_in], p_out=[p_out])


@pytest.mark.parametrize("keep_zeros", [False, True])
@pytest.mark.parametrize("value", [0, 7])
@pytest.mark.parametrize("pixel", [[0], [9], [0, 0], [3, 0], [0, 3]])
def test_one_pixel(pixel, value, keep_zeros):
    """Also the map's closing beat, with zero and without."""
    x = np.broadcast_to(np.array(pixel), (3, 1, 1, len(pixel)))
    for before, after in ((0, 0, 0), (0, 0, 1)), ((1, 1, 1), (1, 1, 2)), ((0, 0, 3), (0, 0, 0)):
        check_pad(x, before=before, after=after, value=value, keep_zeros=keep_zeros)


@pytest.mark.parametrize("value", [-128, 127])
def test_largest_magnitudes(value):
    """Also an unsigned map whose padding is negative."""
    x = frames((2, 2, 2, 3), "s8", 1)
    check_pad(x, name="s8", value=value, before=(1, 1, 1), after=(0, 0, 1))
    check_pad(np.abs(x % 2) * 255, value=value, before=(1, 1, 1), after=(0, 0, 1),
              out_shape=signed(9))


def test_ways_are_not_coupled():
    """A way goes on to the end when the others get nothing."""
    dut, beats, y = case_of(frames((2, 3, 3, 5)), ways=2, before=(1, 1, 2), after=(1, 1, 1))
    expected = to_beats(y, 2)[1]
    sink = Sink(dut.o.way[1], len(expected))
    run(dut, [Source(dut.i.way[1], beats[1])], [sink])
    assert sent([sink]) == [expected]


def test_nothing_before_a_frame():
    """Border pixels of a frame that never comes would be half a frame too many."""
    dut, _, _ = case_of(frames((1, 2, 2, 3)))
    assert not offers_without_ready(dut, [], dut.o.way[0])


@pytest.mark.parametrize("before", [(0, 0, 0), (1, 1, 1)])
def test_offers_without_ready(before):
    dut, beats, _ = case_of(frames((1, 2, 2, 3)), before=before)
    assert offers_without_ready(dut, ports(Source, dut.i.way, beats, (1.0,)), dut.o.way[0])


def test_cycles():
    """A border of one pixel around 4 x 4 dense pixels of 3 channels: 16 * 3 and 20 beats."""
    dut, beats, y = case_of(frames((1, 4, 4, 3), density=1))
    sink = Sink(dut.o.way[0], 16 * 3 + 20)
    assert run(dut, ports(Source, dut.i.way, beats, (1.0,)), [sink]).cycles == Pad.latency + 68 + 1
    assert len(to_beats(y, 1)[0]) == 68


@pytest.mark.parametrize("cycles", [1, 4, 9, 30])
def test_reset_in_a_frame(cycles):
    case = dict(before=(1, 0, 2), after=(0, 1, 1), value=3, ways=2)
    dut, beats, y = case_of(frames((2, 2, 2, 5)), **case)
    junk = ports(Source, dut.i.way, to_beats(frames((1, 2, 2, 5), density=1), 2), (1.0,))
    expected = to_beats(y, 2)
    sinks = ports(Sink, dut.o.way, expected, (0.7, 1.0))
    run_after_reset(dut, junk, ports(Source, dut.i.way, beats, (0.8, 1.0)), sinks, cycles=cycles)
    assert sent(sinks) == expected


@pytest.mark.parametrize("name, value", [
    ("value", 1), ("keep_zeros", True), ("before", (0, 1, 0)), ("after", (1, 2, 0)),
    ("size", (3, 3, 4))])
def test_a_wrong_pad_is_found(name, value):
    dut, beats, y = case_of(frames((2, 2, 3, 4)))
    expected = to_beats(y, 1)
    setattr(dut, name, value)
    sinks = ports(Sink, dut.o.way, expected, (1.0,))
    with pytest.raises((AssertionError, TimeoutError)):
        run(dut, ports(Source, dut.i.way, beats, (1.0,)), sinks, max_cycles=500)
        assert sent(sinks) == expected


def test_size():
    dut, _, _ = case_of(frames((1, 28, 28, 64)))
    cells = synthesise(verilog(dut, name="pad"), top="pad", family="xc7")
    assert cells.dsp == dut.dsp_count == 0
    assert cells.lut < 100 and cells.bram36 == 0


@pytest.mark.parametrize("change, error, message", [
    (dict(height=0), TypeError, "Height must be a positive integer, not 0"),
    (dict(keep_zeros=1), TypeError, "Keep zeros must be a bool, not 1"),
    (dict(width=0), TypeError, "Width must be a positive integer, not 0"),
    (dict(channels=0), TypeError, "Channels must be a positive integer, not 0"),
    (dict(ways=0), TypeError, "Ways must be a positive integer, not 0"),
    (dict(ways=5), ValueError, "Ways must be at most the 4 channels, not 5"),
    (dict(before=(1, 1)), ValueError, r"Padding before must be 3 integers, not \(1, 1\)"),
    (dict(after=1), ValueError, "Padding after must be 3 integers, not 1"),
    (dict(before=(-1, 0, 0)), ValueError, "Padding before must be from 0 to 65536, not -1"),
    (dict(after=(0, 0.5, 0)), TypeError, r"Padding after must be an integer, not 0\.5"),
    (dict(before=(0, 0, 3), ways=2), ValueError,
     "Channels before the map must be a multiple of the 2 ways, not 3"),
    (dict(value=256), ValueError, "Value must be from 0 to 255, not 256"),
    (dict(value=-1), ValueError, "Value must be from 0 to 255, not -1"),
    (dict(value=None), TypeError, "Value must be an integer, not None"),
    (dict(out_shape=signed(8)), ValueError,
     r"Output shape must hold every unsigned\(8\), not be signed\(8\)"),
    (dict(shape=signed(8), out_shape=8), ValueError,
     r"Output shape must hold every signed\(8\), not be unsigned\(8\)"),
])
def test_pad_refuses(change, error, message):
    parameters = {"shape": unsigned(8), "height": 2, "width": 2, "channels": 4,
                  "before": (0, 0, 0), "after": (0, 0, 0)} | change
    with pytest.raises(error, match=f"^{message}$"):
        Pad(parameters.pop("shape"), **parameters)
