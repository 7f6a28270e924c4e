# amaranth: UnusedElaboratable=no
import numpy as np
import pytest
from amaranth import Shape, signed, unsigned
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl.table import Table
from sim.harness import Sink, Source, offers_without_ready, run
from sim.pixels import from_beats, to_beats


def check_table(width, out_shape, channels, ways, frames, *, keep_zeros=False, p_in=1.0, p_out=1.0, seed=0):
    """Compare a table stage with NumPy; returns the cycles that it took."""
    rng = np.random.default_rng(seed)
    low = -(1 << out_shape.width - 1) if out_shape.signed else 0
    tables = rng.integers(low, low + (1 << out_shape.width), (channels, 1 << width))
    tables[rng.random(tables.shape) < 0.4] = 0
    tables[0, 0], tables[-1, -1] = low, low + (1 << out_shape.width) - 1
    dut = Table(unsigned(width), tables=tables, out_shape=out_shape, ways=ways, keep_zeros=keep_zeros)
    pixels = rng.integers(0, 1 << width, (frames, 2, 3, channels))
    expected = tables[np.arange(channels), pixels]
    beats = to_beats(expected, ways, keep_zeros)
    sinks = [Sink(way, len(mine), p_out) for way, mine in zip(dut.o.way, beats)]
    sources = [Source(way, mine, p_in) for way, mine in zip(dut.i.way, to_beats(pixels, ways, True))]
    cycles = run(dut, sources, sinks, seed=seed).cycles
    got = [[{"value": b.value, "channel": b.channel, "last": b.last} for b in sink.got] for sink in sinks]
    assert np.array_equal(from_beats(got, expected.shape), expected)
    assert [len(mine) for mine in got] == [len(mine) for mine in beats]
    return cycles


@given(width=st.integers(1, 8), out_width=st.integers(2, 17), negative=st.booleans(), channels=st.integers(1, 7),
       ways=st.integers(1, 4), keep_zeros=st.booleans(), p_in=st.sampled_from([1.0, 0.4]),
       p_out=st.sampled_from([1.0, 0.4]), seed=st.integers(0, 99))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_table(width, out_width, negative, channels, ways, keep_zeros, p_in, p_out, seed):
    check_table(width, Shape(out_width, negative), channels, min(ways, channels), 2, keep_zeros=keep_zeros,
                p_in=p_in, p_out=p_out, seed=seed)


def test_cycles():
    """One value per cycle, the latency once, and a cycle to take the last result."""
    assert check_table(8, signed(9), 3, 1, 4, keep_zeros=True) == 4 * 2 * 3 * 3 + Table.latency + 1
    assert check_table(8, signed(9), 3, 3, 4, keep_zeros=True) == 4 * 2 * 3 + Table.latency + 1


def test_offers_without_ready():
    dut = Table(8, tables=np.ones((2, 256), int), out_shape=8)
    assert offers_without_ready(dut, [Source(dut.i.way[0], to_beats(np.ones((1, 2)), 1, True)[0])], dut.o.way[0])


@pytest.mark.parametrize("kwargs, error, message", [
    ({"shape": signed(8)}, ValueError, r"Shape must be unsigned with at most 12 bits, not signed\(8\)"),
    ({"shape": unsigned(13)}, ValueError, r"Shape must be unsigned with at most 12 bits, not unsigned\(13\)"),
    ({"tables": np.zeros((2, 255), int)}, ValueError, r"Tables must have 256 entries for each channel, not the shape \(2, 255\)"),
    ({"tables": np.full((2, 256), 300)}, ValueError, r"Entries must fit unsigned\(8\), not range from 300 to 300"),
    ({"tables": np.full((2, 256), -1)}, ValueError, r"Entries must fit unsigned\(8\), not range from -1 to -1"),
    ({"ways": 0}, TypeError, r"Ways must be a positive integer, not 0"),
    ({"ways": 3}, ValueError, r"Ways must be at most the 2 channels, not 3"),
])
def test_bad_parameters(kwargs, error, message):
    good = {"shape": unsigned(8), "tables": np.zeros((2, 256), int), "out_shape": unsigned(8), "ways": 1}
    with pytest.raises(error, match=f"^{message}$"):
        Table(**(good | kwargs))
