# amaranth: UnusedElaboratable=no
"""Concatenation against the reference: parameter space, corners, timing, reset, parameters."""
from functools import partial

import numpy as np
import pytest
from amaranth import Shape, signed, unsigned
from hypothesis import given
from hypothesis import strategies as st

from cores import graph
from cores.emit import verilog
from cores.synthesis import synthesise
from hdl.concat import Concat
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


def narrowest(shapes):
    """The narrowest shape that holds all of ``shapes``."""
    shapes = [Shape.cast(shape) for shape in shapes]
    negative = any(shape.signed for shape in shapes)
    return Shape(max(s.width + (negative and not s.signed) for s in shapes), negative)


def case_of(*xs, kinds=None, ways=1, keep_zeros=False, wider=0):
    """A design, the beats of its operands, and the expected output, of maps (..., channels)."""
    shapes = [ACTIVATIONS[kind][0] for kind in kinds or ["u8"] * len(xs)]
    out = narrowest(shapes)
    dut = Concat(shapes, channels=[x.shape[-1] for x in xs], ways=ways, keep_zeros=keep_zeros,
                 out_shape=Shape(out.width + wider, out.signed))
    node = graph.Concat("concat", tuple("abc"), "y")
    return dut, [to_beats(x, ways, keep_zeros) for x in xs], reference.run_node(node, *xs)


def sources_of(dut, beats, rates=((1.0,),)):
    return [source for n, (operand, data) in enumerate(zip(dut.operands, beats, strict=True))
            for source in ports(Source, operand.way, data, rates[n % len(rates)])]


def check_dut(dut, beats, y, *, p_in=((1.0,),), p_out=(1.0,), seed=0):
    """Stream maps through a design and compare; without stalls the cycles are exact."""
    sinks = ports(Sink, dut.o.way, to_beats(y, dut.ways, dut.keep_zeros), p_out)
    run(dut, sources_of(dut, beats, p_in), sinks, seed=seed,
        max_cycles=500 + 40 * (y.size + y[..., 0].size * len(beats)))
    compare(dut, sinks, y)
    if min(min(map(min, p_in)), *p_out) == 1:
        for sink, *ways in zip(sinks, *beats):
            # The last beat closes the last pixel and is always sent.
            assert latencies(sink)[-1] == Concat.latency + sum(map(len, ways)) - 1
    return sinks


def check_concat(*xs, p_in=((1.0,),), p_out=(1.0,), seed=0, **case):
    return check_dut(*case_of(*xs, **case), p_in=p_in, p_out=p_out, seed=seed)


def maps(shape, channels, kinds=None, density=(0.5,), seed=0):
    rng = np.random.default_rng(seed)
    kinds = kinds or ["u8"] * len(channels)
    return [random_map(rng, (*shape, number), *ACTIVATIONS[kind][1:], density[n % len(density)])
            for n, (kind, number) in enumerate(zip(kinds, channels))]


# ---- The whole parameter space ------------------------------------------------------------------

@st.composite
def cases(draw):
    operands, ways = draw(st.integers(2, 5)), draw(st.integers(1, 3))
    channels = [ways * draw(st.integers(1, 3)) for _ in range(operands)]
    channels[-1] += draw(st.integers(0, ways - 1))
    kinds = [draw(activations) for _ in channels]
    shape = [draw(st.integers(1, 3)) for _ in range(3)]
    seed = draw(seeds)
    density = [draw(densities) for _ in channels]
    return maps(shape, channels, kinds, density, seed), {
        "kinds": kinds, "ways": ways, "keep_zeros": draw(st.booleans()), "seed": seed,
        "wider": draw(st.integers(0, 2)), "p_in": [draw(shares) for _ in channels],
        "p_out": draw(shares)}


@given(case=cases())
@check(50)
def test_concat(case):
    xs, case = case
    check_concat(*xs, **case)


# ---- Corners ------------------------------------------------------------------------------------

def of_value(values, frames=3, height=2, width=2):
    """Frames whose pixels all hold the channels ``values``."""
    return np.broadcast_to(np.array(values), (frames, height, width, len(values)))


LISTS = {
    "both dense": ([1, 2, 3], [4, 5, 6]),
    "all zeros": ([0, 0, 0], [0, 0, 0]),
    "the first zero": ([0, 0, 0], [4, 0, 6]),
    "the second zero": ([1, 0, 3], [0, 0, 0]),
    "both end with a zero": ([1, 2, 0], [4, 5, 0]),
    "only the closing beats": ([0, 0, 9], [0, 0, 9]),
    "one channel each": ([200], [100]),
    "one channel each, zero": ([0], [0]),
    "unequal": ([0, 1, 2, 0, 0, 3, 0], [4]),
    "three operands, the middle zero": ([7, 0], [0, 0], [0, 8]),
}


@pytest.mark.parametrize("keep_zeros", [False, True])
@pytest.mark.parametrize("p_first, p_other, p_out", [(1, 1, 1), (0.2, 1, 1), (1, 0.2, 1),
                                                     (0.5, 0.5, 0.4)])
@pytest.mark.parametrize("name", LISTS)
def test_lists(name, p_first, p_other, p_out, keep_zeros):
    """Frames back to back."""
    check_concat(*map(of_value, LISTS[name]), p_in=[[p_first], [p_other]], p_out=[p_out],
                 keep_zeros=keep_zeros)


def test_one_pixel():
    check_concat(*maps((9, 1, 1), [2, 5], ["s9", "u4"]), kinds=["s9", "u4"], ways=2)


@pytest.mark.parametrize("operands", [2, 3, 63, 64])
def test_many_operands(operands):
    check_concat(*maps((2, 1, 2), [1 + n % 3 for n in range(operands)]))


@pytest.mark.parametrize("kinds", [
    ("u8", "u8"), ("u8", "s9 full"), ("s9 full", "u8"), ("u16", "s17 full"), ("u4", "s4"),
    ("s4", "u16", "s17 full")])
def test_largest_magnitudes(kinds):
    xs = [of_value(ACTIVATIONS[kind][1:]) for kind in kinds]
    for wider in 0, 3:
        check_concat(*xs, kinds=kinds, wider=wider)


# ---- Protocol, timing and reset -----------------------------------------------------------------

@pytest.mark.parametrize("density, cycles", [((1, 1), 12), ((0, 1), 5), ((1, 0), 9), ((0, 0), 2)])
def test_cycles_per_pixel(density, cycles):
    """An operand's non-zeros and, if it ends with none, the beat that closes: 8 and 4 channels."""
    (sink,) = check_concat(*maps((2, 3, 3), [8, 4], density=density))
    ends = [cycle for cycle, beat in zip(sink.cycles, sink.got) if beat.last]
    assert np.diff(ends).tolist() == [cycles] * 17


def test_latency():
    (sink,) = check_concat(*maps((2, 2, 2), [3, 1]), keep_zeros=True)
    assert latencies(sink) == list(range(Concat.latency, Concat.latency + 32))


@pytest.mark.parametrize("p_in, p_out", STALLS)
def test_ways_of_unequal_length_and_rate(p_in, p_out):
    check_concat(*maps((2, 3, 3), [3, 6, 4]), ways=3, p_in=[[p_in, 1.0, 0.3], [1.0, p_in]],
                 p_out=[p_out, 1.0, 0.6])


def test_a_way_works_on_when_another_stands():
    """Nothing but the ways' own handshakes couples them."""
    dut, beats, y = case_of(*maps((2, 3, 3), [2, 3]), ways=2)
    data = to_beats(y, 2)
    sink = Sink(dut.o.way[1], len(data[1]))
    run(dut, [Source(operand.way[1], mine[1]) for operand, mine in zip(dut.operands, beats)], [sink])
    assert len(sink.got) == len(data[1])


def test_an_operand_is_taken_before_the_next_arrives():
    """A pixel of the first operand passes though nothing of the second is there."""
    dut, beats, _ = case_of(*maps((1, 1, 1), [4, 4], density=(1,)))
    sink = Sink(dut.o.way[0], 4)
    run(dut, [Source(dut.i0.way[0], beats[0][0])], [sink])
    assert [int(beat.last) for beat in sink.got] == [0] * 4


def test_the_next_operand_waits():
    """For the whole pixel of the operand before."""
    dut, beats, _ = case_of(*maps((1, 1, 1), [4, 4], density=(1,)))
    assert not offers_without_ready(dut, [Source(dut.i1.way[0], beats[1][0])], dut.o.way[0])


@pytest.mark.parametrize("keep_zeros", [False, True])
def test_offers_without_ready(keep_zeros):
    dut, beats, _ = case_of(*maps((2, 2, 2), [4, 4]), ways=2, keep_zeros=keep_zeros)
    for way in dut.o.way:
        assert offers_without_ready(dut, sources_of(dut, beats), way)


@pytest.mark.parametrize("cycles", [1, 4, 9, 30])
def test_reset_in_a_frame(cycles):
    dut, beats, y = case_of(*maps((2, 2, 2), [2, 4, 3], seed=cycles), ways=2)
    junk = [to_beats(x, 2) for x in maps((2, 2, 2), [2, 4, 3], density=(1,), seed=1)]
    sinks = ports(Sink, dut.o.way, to_beats(y, 2), (0.7, 1.0))
    run_after_reset(dut, sources_of(dut, junk), sources_of(dut, beats, ((0.8,), (1.0,))), sinks,
                    cycles=cycles)
    compare(dut, sinks, y)


# ---- The checks above fail when they should -----------------------------------------------------

@pytest.mark.parametrize("name, value", [("keep_zeros", True), ("channels", [2, 2, 3])])
def test_a_wrong_concat_is_found(name, value):
    make = partial(case_of, *maps((2, 3, 3), [3, 2, 3]))
    check_dut(*make())
    dut, beats, y = make()
    setattr(dut, name, value)
    with pytest.raises((AssertionError, TimeoutError, ValueError)):
        check_dut(dut, beats, y)


# ---- Cost ---------------------------------------------------------------------------------------

def test_size():
    dut = Concat([8, 8], channels=[32, 32], out_shape=8)
    cells = synthesise(verilog(dut, name="concat"), top="concat", family="xc7")
    assert cells.dsp == dut.dsp_count == 0
    assert cells.lut < 90


# ---- Parameters ---------------------------------------------------------------------------------

@pytest.mark.parametrize("change, error, message", [
    (dict(shapes=[8]), ValueError, "Operands must be from 2 to 64, not 1"),
    (dict(shapes=[8] * 65), ValueError, "Operands must be from 2 to 64, not 65"),
    (dict(channels=[4]), ValueError, "Channels must be 2 numbers, one per operand, not 1"),
    (dict(channels=[4, 0]), TypeError, "Channels must be a positive integer, not 0"),
    (dict(keep_zeros=1), TypeError, "Keep zeros must be a bool, not 1"),
    (dict(ways=0), TypeError, "Ways must be a positive integer, not 0"),
    (dict(ways=3), ValueError,
     "Channels of all operands but the last must be multiples of the 3 ways, not 4"),
    (dict(ways=4), ValueError, "Ways must be at most the 3 channels, not 4"),
    (dict(out_shape=7), ValueError,
     r"Output shape must hold every unsigned\(8\), not be unsigned\(7\)"),
    (dict(out_shape=signed(8)), ValueError,
     r"Output shape must hold every unsigned\(8\), not be signed\(8\)"),
    (dict(shapes=[8, signed(4)], out_shape=unsigned(9)), ValueError,
     r"Output shape must hold every signed\(4\), not be unsigned\(9\)"),
    (dict(shapes=[8, signed(10)], out_shape=signed(9)), ValueError,
     r"Output shape must hold every signed\(10\), not be signed\(9\)"),
])
def test_concat_refuses(change, error, message):
    parameters = {"shapes": [8, 8], "channels": [4, 3], "out_shape": 8} | change
    with pytest.raises(error, match=f"^{message}$"):
        Concat(parameters.pop("shapes"), **parameters)
