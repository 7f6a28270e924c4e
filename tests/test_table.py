# amaranth: UnusedElaboratable=no
"""Tables against the reference: parameter space, corners, timing, reset, parameters."""
import numpy as np
import pytest
from amaranth import Shape, signed, unsigned
from hypothesis import given
from hypothesis import strategies as st

from cores import graph
from cores.emit import verilog
from cores.synthesis import synthesise
from hdl.table import Table
from maps import sent, stream_through
from sim import reference
from sim.harness import Sink, Source, offers_without_ready, run
from sim.pixels import to_beats
from strategies import (
    check,
    densities,
    latencies,
    ports,
    random_map,
    run_after_reset,
    seeds,
    shares,
)

# Input shapes with the lowest and highest value that occurs.
INPUTS = {"u1": (unsigned(1), 0, 1), "u8": (unsigned(8), 0, 255), "u8 short": (unsigned(8), 0, 200),
          "s4": (signed(4), -8, 7), "s8": (signed(8), -128, 127), "s9": (signed(9), -170, 85),
          "s12": (signed(12), -2048, 2047)}


def random_tables(rng, rows, entries, out_shape, at_zero=None):
    """Any results, some of them 0; ``at_zero`` is (column, result) of the input value 0."""
    low = -(1 << out_shape.width - 1) if out_shape.signed else 0
    tables = rng.integers(low, low + (1 << out_shape.width), (rows, entries))
    tables[rng.random(tables.shape) < 0.4] = 0
    tables[0, 0], tables[-1, -1] = low, low + (1 << out_shape.width) - 1
    if at_zero is not None:
        tables[:, at_zero[0]] = at_zero[1]
    return tables


def case_of(x, tables, *, name="u8", out_shape=8, ways=1, dense_input=False,
            keep_zeros=False):
    """A design, the beats of its input, and the expected output, of frames x."""
    shape, low, _ = INPUTS[name]
    dut = Table(shape, tables=tables, out_shape=out_shape, channels=x.shape[3], low=low, ways=ways,
                dense_input=dense_input, keep_zeros=keep_zeros)
    y = reference.run_node(graph.Table("table", "x", "y", low, np.asarray(tables)), x)
    return dut, to_beats(x, ways, dense_input or keep_zeros), y


def check_table(x, tables, *, p_in=(1.0,), p_out=(1.0,), seed=0, **case):
    return stream_through(*case_of(x, tables, **case), p_in=p_in, p_out=p_out, seed=seed)


def frames(shape, name="u8", density=0.5, seed=0):
    return random_map(np.random.default_rng(seed), shape, *INPUTS[name][1:], density)


@st.composite
def cases(draw):
    name, channels = draw(st.sampled_from(sorted(INPUTS))), draw(st.integers(1, 7))
    _, low, high = INPUTS[name]
    out_shape = Shape(draw(st.integers(1, 17)), draw(st.booleans()))
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3)), channels)
    seed = draw(seeds)
    at_zero = draw(st.sampled_from([None, None, (-low, 0)]))
    return {
        "x": frames(shape, name, draw(densities), seed), "name": name, "out_shape": out_shape,
        "tables": random_tables(np.random.default_rng(seed), draw(st.sampled_from([1, channels])),
                                high - low + 1, out_shape, at_zero),
        "ways": draw(st.integers(1, min(4, channels))), "keep_zeros": draw(st.booleans()),
        "dense_input": draw(st.booleans()), "seed": seed,
        "p_in": draw(shares), "p_out": draw(shares)}


@given(case=cases())
@check(60)
def test_table(case):
    check_table(**case)


# ---- Corners ------------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
SOME = random_tables(RNG, 3, 256, unsigned(8), (0, 7))          # 0 becomes 7
EVEN = np.array([[7], [0], [9]]) * (np.arange(256) < 9)         # as one channel does not
LATE = EVEN[[1, 0, 2]]
ZERO = random_tables(RNG, 3, 256, unsigned(8), (0, 0))


@pytest.mark.parametrize("p_in, p_out", [(1.0, 1.0), (0.4, 0.5)])
@pytest.mark.parametrize("tables", [SOME, EVEN, LATE, ZERO, SOME[:1], ZERO[:1]])
@pytest.mark.parametrize("pixel", [[0, 0, 0], [1, 2, 3], [4, 0, 0], [0, 5, 0], [0, 0, 6], [255, 0, 255]])
def test_pixels(pixel, tables, p_in, p_out):
    """Three frames back to back; of two ways only one inserts anything with EVEN."""
    x = np.broadcast_to(np.array(pixel), (3, 1, 2, 3))
    for ways in 1, 2:
        check_table(x, tables, ways=ways, p_in=[p_in], p_out=[p_out])


@pytest.mark.parametrize("keep_zeros", [False, True])
@pytest.mark.parametrize("tables", [SOME[:1], ZERO[:1]])
def test_one_channel(tables, keep_zeros):
    check_table(frames((3, 1, 1, 1)), tables, keep_zeros=keep_zeros)


@pytest.mark.parametrize("name", ["u8", "s8", "s9", "s12"])
def test_every_value(name):
    """The lowest and the highest too, results of the largest magnitude among them."""
    _, low, high = INPUTS[name]
    tables = random_tables(np.random.default_rng(1), 1, high - low + 1, signed(17))
    check_table(np.arange(low, high + 1).reshape(1, 1, -1, 1), tables, name=name, out_shape=signed(17))


def test_rows_are_channels():
    """Without ``channels`` there are as many as rows."""
    assert Table(8, tables=SOME, out_shape=8).o.signature.channels == 3


def test_ways_are_not_coupled():
    """A way goes on to the end when the others get nothing."""
    dut, beats, y = case_of(frames((2, 3, 3, 3)), SOME, ways=2)
    expected = to_beats(y, 2)[0]
    sink = Sink(dut.o.way[0], len(expected))
    run(dut, [Source(dut.i.way[0], beats[0])], [sink])
    assert sent([sink]) == [expected]


@pytest.mark.parametrize("tables", [SOME, ZERO])
def test_offers_without_ready(tables):
    dut, beats, _ = case_of(np.ones((1, 2, 2, 3), int), tables)
    assert offers_without_ready(dut, ports(Source, dut.i.way, beats, (1.0,)), dut.o.way[0])


# ---- Timing -------------------------------------------------------------------------------------

def test_cycles():
    """One beat per cycle, the latency once, and a cycle to take the last result."""
    x = frames((4, 2, 3, 3), density=1)
    for ways, each in (1, 3), (3, 1):
        dut, beats, y = case_of(x, SOME, ways=ways, keep_zeros=True)
        sinks = ports(Sink, dut.o.way, to_beats(y, ways, True), (1.0,))
        cycles = run(dut, ports(Source, dut.i.way, beats, (1.0,)), sinks).cycles
        assert cycles == 24 * each + Table.latency + 1


@pytest.mark.parametrize("tables, case, cycles", [
    (ZERO, {}, 1), (SOME, {}, 3), (LATE, {}, 3), (SOME, {"dense_input": True}, 3)])
def test_cycles_of_a_zero_pixel(tables, case, cycles):
    """Nothing is inserted where 0 stays 0; else every channel takes a cycle."""
    (sink,) = check_table(np.zeros((2, 2, 2, 3), int), tables, **case)
    ends = [cycle for cycle, beat in zip(latencies(sink), sink.got) if beat.last]
    assert ends == [cycles - 1 + Table.latency + cycles * n for n in range(8)]


@pytest.mark.parametrize("cycles", [1, 4, 9, 30])
def test_reset_in_a_frame(cycles):
    dut, beats, y = case_of(frames((2, 2, 2, 3)), SOME, ways=2)
    junk = ports(Source, dut.i.way, to_beats(frames((1, 2, 2, 3), density=1), 2), (1.0,))
    expected = to_beats(y, 2)
    sinks = ports(Sink, dut.o.way, expected, (0.7, 1.0))
    run_after_reset(dut, junk, ports(Source, dut.i.way, beats, (0.8, 1.0)), sinks, cycles=cycles)
    assert sent(sinks) == expected


@pytest.mark.parametrize("name, value", [
    ("dense_input", True), ("keep_zeros", True), ("low", -127), ("tables", SOME[::-1])])
def test_a_wrong_table_is_found(name, value):
    tables = random_tables(RNG, 3, 256, unsigned(8), (128, 7))
    dut, beats, y = case_of(frames((2, 2, 3, 3), "s8"), tables, name="s8")
    expected = to_beats(y, 1)
    setattr(dut, name, value)
    sinks = ports(Sink, dut.o.way, expected, (1.0,))
    with pytest.raises((AssertionError, TimeoutError)):
        run(dut, ports(Source, dut.i.way, beats, (1.0,)), sinks, max_cycles=500)
        assert sent(sinks) == expected


@pytest.mark.parametrize("tables", [SOME[:1], ZERO[:1]])
def test_size(tables):
    """The table itself is 32 LUTs at most."""
    dut, _, _ = case_of(np.zeros((1, 1, 1, 64), int), tables)
    cells = synthesise(verilog(dut, name="table"), top="table", family="xc7")
    assert cells.dsp == dut.dsp_count == 0
    assert cells.lut < 100 and cells.bram36 == 0


@pytest.mark.parametrize("change, error, message", [
    (dict(shape=13), ValueError, "Input width must be from 1 to 12, not 13"),
    (dict(shape=0), ValueError, "Input width must be from 1 to 12, not 0"),
    (dict(tables=np.zeros((2, 257), int)), ValueError,
     r"Tables must be 1 or 2 rows of 1 to 256 entries, not of shape \(2, 257\)"),
    (dict(tables=np.zeros((2, 0), int)), ValueError,
     r"Tables must be 1 or 2 rows of 1 to 256 entries, not of shape \(2, 0\)"),
    (dict(tables=np.zeros(256, int), channels=2), ValueError,
     r"Tables must be 1 or 2 rows of 1 to 256 entries, not of shape \(256,\)"),
    (dict(channels=3), ValueError,
     r"Tables must be 1 or 3 rows of 1 to 256 entries, not of shape \(2, 256\)"),
    (dict(shape=signed(8), low=-100, tables=np.zeros((2, 100), int)), ValueError,
     r"Tables must be 1 or 2 rows of 101 to 228 entries, not of shape \(2, 100\)"),
    (dict(tables=np.zeros((0, 256), int)), TypeError, "Channels must be a positive integer, not 0"),
    (dict(tables=np.full((2, 256), 300)), ValueError,
     r"Entries must fit unsigned\(8\), not range from 300 to 300"),
    (dict(tables=np.full((2, 256), -1)), ValueError,
     r"Entries must fit unsigned\(8\), not range from -1 to -1"),
    (dict(low=-1), ValueError, "Lowest value must be from 0 to 0, not -1"),
    (dict(shape=signed(8), low=-129), ValueError, "Lowest value must be from -128 to 0, not -129"),
    (dict(ways=0), TypeError, "Ways must be a positive integer, not 0"),
    (dict(keep_zeros=1), TypeError, "Keep zeros must be a bool, not 1"),
    (dict(ways=3), ValueError, "Ways must be at most the 2 channels, not 3"),
])
def test_table_refuses(change, error, message):
    good = {"shape": unsigned(8), "tables": np.zeros((2, 256), int), "out_shape": unsigned(8)}
    with pytest.raises(error, match=f"^{message}$"):
        Table(**(good | change))
