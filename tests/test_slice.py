# amaranth: UnusedElaboratable=no
"""Slicing against the reference: parameter space, corners, timing, reset, parameters."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cores import graph
from cores.emit import verilog
from cores.synthesis import synthesise
from hdl.slice import Slice
from maps import compare, frames, stream_through
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
    run_after_reset,
    seeds,
    shares,
)


def case_of(x, start, size, step=(1, 1), *, activation="u8", ways=1, keep_zeros=False):
    """A design, the beats of its input, and the expected output, of frames (N, H, W, C)."""
    height, width, channels = x.shape[1:]
    dut = Slice(ACTIVATIONS[activation][0], height=height, width=width, channels=channels,
                start=start, size=size, step=step, ways=ways, keep_zeros=keep_zeros)
    y = reference.run_node(graph.Slice("slice", "x", "y", start, size, step), x)
    assert y.shape[1:] == size
    return dut, to_beats(x, ways, keep_zeros), y


def check_slice(x, start, size, step=(1, 1), *, p_in=(1.0,), p_out=(1.0,), seed=0, **case):
    return stream_through(*case_of(x, start, size, step, **case), p_in=p_in, p_out=p_out, seed=seed)


# ---- The whole parameter space ------------------------------------------------------------------

@st.composite
def boxes(draw, places, *, multiple=1, least=1, steps=3):
    """Start, size and step along an axis of ``places``."""
    start = multiple * draw(st.integers(0, (places - least) // multiple))
    step = draw(st.integers(1, steps))
    return start, draw(st.integers(least, (places - 1 - start) // step + 1)), step


@st.composite
def cases(draw):
    height, width = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    ways = draw(st.integers(1, 3))
    channels = draw(st.integers(ways, 9))
    box = [draw(boxes(height)), draw(boxes(width)),
           draw(boxes(channels, multiple=ways, least=ways, steps=1))]
    start, size, step = zip(*box)
    activation, seed = draw(activations), draw(seeds)
    x = frames((draw(st.integers(1, 3)), height, width, channels), activation, draw(densities), seed)
    return {"x": x, "start": start, "size": size, "step": step[:2], "activation": activation,
            "ways": ways, "keep_zeros": draw(st.booleans()), "seed": seed,
            "p_in": draw(shares), "p_out": draw(shares)}


@given(case=cases())
@check(70)
def test_slice(case):
    check_slice(**case)


# ---- Corners ------------------------------------------------------------------------------------

BOXES = {
    "the whole map": ((0, 0, 0), (4, 5, 6)),
    "one pixel": ((2, 3, 0), (1, 1, 6)),
    "the first value": ((0, 0, 0), (1, 1, 1)),
    "the last value": ((3, 4, 5), (1, 1, 1)),
    "one row": ((3, 0, 0), (1, 5, 6)),
    "one column": ((0, 4, 0), (4, 1, 6)),
    "the first channels": ((0, 0, 0), (4, 5, 3)),
    "the last channels": ((0, 0, 3), (4, 5, 3)),
    "one channel in the middle": ((0, 0, 2), (4, 5, 1)),
    "steps": ((0, 0, 0), (2, 3, 6), (2, 2)),
    "steps from odd places": ((1, 1, 1), (2, 2, 4), (2, 2)),
    "a step of rows beyond the end": ((1, 0, 0), (1, 5, 6), (7, 1)),
    "a step that leaves some at the end": ((0, 0, 0), (1, 2, 2), (3, 3)),
}


@pytest.mark.parametrize("density, p_in, p_out", [(0, 1, 1), (0, 0.5, 0.5), (0.4, 1, 1),
                                                  (0.4, 0.5, 0.5), (1, 1, 0.5)])
@pytest.mark.parametrize("name", BOXES)
def test_boxes(name, density, p_in, p_out):
    """Frames back to back."""
    x = frames((2, 4, 5, 6), density=density)
    for keep_zeros in False, True:
        check_slice(x, *BOXES[name], keep_zeros=keep_zeros, p_in=[p_in], p_out=[p_out])


# Channels 1 and 2 of four: the box's last beat may close, or a beat beyond, or the map's last.
@pytest.mark.parametrize("values", list(np.ndindex(2, 2, 2, 2)))
def test_closing_beat(values):
    x = np.broadcast_to(np.array(values) * [1, 2, 3, 4], (2, 2, 2, 4))
    for start in range(4):
        for size in range(1, 5 - start):
            check_slice(x, (0, 0, start), (2, 2, size))


@pytest.mark.parametrize("ways, start, size", [(2, 2, 5), (3, 3, 4), (3, 0, 3), (4, 4, 4)])
def test_ways(ways, start, size):
    """Also ways with one channel only, or with unequal numbers of them."""
    check_slice(frames((2, 3, 3, 10)), (0, 1, start), (3, 2, size), ways=ways)


def test_one_channel_and_one_pixel():
    for density in 0, 1:
        check_slice(frames((9, 1, 1, 1), density=density), (0, 0, 0), (1, 1, 1))


@pytest.mark.parametrize("activation", ["u16", "s9 full", "s17 full"])
def test_largest_magnitudes(activation):
    x = np.broadcast_to(np.array(ACTIVATIONS[activation][1:] * 2), (2, 2, 2, 4))
    check_slice(x, (0, 0, 1), (2, 2, 2), activation=activation)


# ---- Protocol, timing and reset -----------------------------------------------------------------

def test_cycles():
    """One beat per cycle, those outside too; those inside leave ``latency`` cycles later."""
    (sink,) = check_slice(frames((2, 3, 4, 5), density=1), (1, 1, 1), (2, 2, 3), (1, 2))
    taken = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)[:, 1:3, 1:4:2, 1:4].ravel()
    assert latencies(sink) == (taken + Slice.latency).tolist()


def test_cycles_of_zeros():
    """A beat for each pixel, and each closes at once."""
    (sink,) = check_slice(frames((2, 3, 4, 5), density=0), (0, 0, 1), (3, 4, 2))
    assert latencies(sink) == list(range(Slice.latency, Slice.latency + 24))


@pytest.mark.parametrize("p_in, p_out", STALLS)
def test_ways_of_unequal_length_and_rate(p_in, p_out):
    check_slice(frames((2, 3, 3, 8)), (0, 1, 3), (2, 2, 5), ways=3, p_in=[p_in, 1.0, 0.3],
                p_out=[p_out, 1.0, 0.6])


def test_a_way_works_on_when_another_stands():
    """Nothing but the ways' own handshakes couples them."""
    dut, beats, y = case_of(frames((2, 3, 3, 5)), (1, 1, 2), (2, 2, 3), ways=2)
    data = to_beats(y, 2)
    sink = Sink(dut.o.way[1], len(data[1]))
    run(dut, [Source(dut.i.way[1], beats[1])], [sink])
    assert len(sink.got) == len(data[1])


@pytest.mark.parametrize("keep_zeros", [False, True])
def test_offers_without_ready(keep_zeros):
    dut, beats, _ = case_of(frames((1, 2, 2, 4)), (1, 1, 0), (1, 1, 2), keep_zeros=keep_zeros)
    assert offers_without_ready(dut, [Source(dut.i.way[0], beats[0])], dut.o.way[0])


@pytest.mark.parametrize("cycles", [1, 4, 9, 30, 55])
def test_reset_in_a_frame(cycles):
    box = (1, 1, 2), (2, 2, 2), (2, 2)
    dut, beats, y = case_of(frames((2, 4, 4, 5), seed=cycles), *box, ways=2)
    junk = to_beats(frames((2, 4, 4, 5), density=1, seed=1), 2)
    sinks = ports(Sink, dut.o.way, to_beats(y, 2), (0.7, 1.0))
    run_after_reset(dut, ports(Source, dut.i.way, junk, (1.0,)),
                    ports(Source, dut.i.way, beats, (0.8, 1.0)), sinks, cycles=cycles)
    compare(dut, sinks, y)


# ---- The checks above fail when they should -----------------------------------------------------

@pytest.mark.parametrize("name, value", [
    ("keep_zeros", True), ("start", (1, 1, 0)), ("start", (0, 1, 1)), ("start", (1, 0, 1)),
    ("size", (1, 2, 3)), ("size", (2, 1, 3)), ("step", (1, 2, 1)), ("step", (2, 1, 1)),
])
def test_a_wrong_slice_is_found(name, value):
    x = frames((2, 4, 4, 6))
    check_slice(x, (1, 1, 1), (2, 2, 3))
    dut, beats, y = case_of(x, (1, 1, 1), (2, 2, 3))
    assert getattr(dut, name) != value
    setattr(dut, name, value)
    with pytest.raises((AssertionError, TimeoutError, ValueError)):
        stream_through(dut, beats, y)


# ---- Cost ---------------------------------------------------------------------------------------

def test_size():
    dut = Slice(8, height=56, width=56, channels=64, start=(0, 0, 16), size=(28, 28, 32), step=(2, 2))
    cells = synthesise(verilog(dut, name="slice_box"), top="slice_box", family="xc7")
    assert cells.dsp == dut.dsp_count == 0
    assert cells.lut < 120


# ---- Parameters ---------------------------------------------------------------------------------

@pytest.mark.parametrize("change, error, message", [
    (dict(height=0), TypeError, "Height must be a positive integer, not 0"),
    (dict(keep_zeros=1), TypeError, "Keep zeros must be a bool, not 1"),
    (dict(width=1.5), TypeError, r"Width must be a positive integer, not 1\.5"),
    (dict(channels=0), TypeError, "Channels must be a positive integer, not 0"),
    (dict(start=(0, 0)), ValueError, r"Start must be 3 integers, not \(0, 0\)"),
    (dict(size=4), ValueError, "Size must be 3 integers, not 4"),
    (dict(step=(1, 1, 1)), ValueError, r"Step must be 2 integers, not \(1, 1, 1\)"),
    (dict(step=(0, 1)), TypeError, "Step must be a positive integer, not 0"),
    (dict(start=(4, 0, 0)), ValueError, "Start must be from 0 to 3, not 4"),
    (dict(start=(0, -1, 0)), ValueError, "Start must be from 0 to 4, not -1"),
    (dict(start=(0, 0, 0.0)), TypeError, r"Start must be an integer, not 0\.0"),
    (dict(size=(5, 1, 1)), ValueError, "Size must be from 1 to 4, not 5"),
    (dict(size=(3, 1, 1), step=(2, 1)), ValueError, "Size must be from 1 to 2, not 3"),
    (dict(start=(0, 0, 4), size=(1, 1, 3)), ValueError, "Size must be from 1 to 2, not 3"),
    (dict(size=(1, 0, 1)), ValueError, "Size must be from 1 to 5, not 0"),
    (dict(ways=0), TypeError, "Ways must be a positive integer, not 0"),
    (dict(start=(0, 0, 3), ways=2), ValueError,
     "First channel must be a multiple of the 2 ways, not 3"),
    (dict(ways=3), ValueError, "Ways must be at most the 2 channels, not 3"),
])
def test_slice_refuses(change, error, message):
    parameters = {"height": 4, "width": 5, "channels": 6, "start": (0, 0, 0),
                  "size": (1, 1, 2)} | change
    with pytest.raises(error, match=f"^{message}$"):
        Slice(8, **parameters)
