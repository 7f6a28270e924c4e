# amaranth: UnusedElaboratable=no
"""The sparse dot product and its weight memory, against NumPy."""
import numpy as np
import pytest
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st

from hdl.bounds import signed_bits, sum_bounds
from hdl.dot import SparseDot
from hdl.rom import Rom, pack
from sim.harness import Sink, Source, offers_without_ready, run
from strategies import (
    ACTIVATIONS,
    STALLS,
    activations,
    check,
    latencies,
    random_map,
    run_after_reset,
    seeds,
    shares,
)


def weights_of(rng, filters, addresses, width, extreme=False):
    limit = 1 << (width - 1)
    if extreme:
        return np.full((filters, addresses), -limit)
    return rng.integers(-limit, limit, (filters, addresses))


def random_windows(rng, low, high, addresses, passes, lengths, extreme=False):
    """Products of a window for each of ``lengths``, and (value, address) pairs that make them up.

    As the window makes them: each pass repeats the same non-zeros, which may also be none.
    """
    payloads, windows = [], []
    for length in lengths:
        where = np.sort(rng.choice(addresses, min(length, addresses), replace=False))
        values = random_map(rng, where.shape, low, high, 1.0)
        if extreme:
            values[:] = low if low else high
        line = list(zip(values.tolist(), where.tolist()))
        windows.append(line)
        for g in range(passes):
            for n, (value, address) in enumerate(line or [(0, int(rng.integers(addresses)))]):
                last = n >= len(line) - 1
                payloads.append({"value": value, "address": g * addresses + address, "last": last,
                                 "final": last and g == passes - 1})
    return payloads, windows


def sums(weights, windows):
    """The sums of all filters for each window."""
    return [[sum(value * int(row[address]) for value, address in line) for row in weights]
            for line in windows]


def compare(sink, expected, ways):
    """Each transfer carries ``ways`` sums; those beyond the last filter are rubbish."""
    per_window = -(-len(expected[0]) // ways)
    for n, window in enumerate(expected):
        part = sink.got[n * per_window:(n + 1) * per_window]
        got = [value for payload in part for value in payload]
        assert got[:len(window)] == window, f"window {n}"
    assert len(sink.got) == per_window * len(expected)


def check_dot(*, filters, addresses, pes, ways=1, weight_width=8, activation="u8",
              lengths=(5, 0, 9), seed=0, p_in=1.0, p_out=1.0, extreme=False, family="behavioural", dot=SparseDot,
              **options):
    shape, low, high = ACTIVATIONS[activation]
    rng = np.random.default_rng(seed)
    weights = weights_of(rng, filters, addresses, weight_width, extreme)
    least, most = sum_bounds(weights, 0, low, high)
    dut = dot(shape, weights=weights, weight_width=weight_width, pes=pes, ways=ways,
              sum_width=signed_bits(least.min(), most.max()), family=family, **options)
    payloads, windows = random_windows(rng, low, high, addresses, dut.passes, lengths, extreme)
    expected = sums(weights, windows)
    sink = Sink(dut.o, len(windows) * -(-filters // ways), p_out)
    run(dut, [Source(dut.i, payloads, p_in)], [sink], seed=seed)
    compare(sink, expected, ways)
    return sink


# ---- The whole parameter space ------------------------------------------------------------------

@st.composite
def cases(draw):
    ways = draw(st.integers(1, 4))
    pes = ways * draw(st.integers(1, 4))
    return {"filters": draw(st.integers(1, 3 * pes)), "addresses": draw(st.integers(1, 20)),
            "pes": pes, "ways": ways, "weight_width": draw(st.integers(2, 16)),
            "activation": draw(activations), "seed": draw(seeds),
            "lengths": draw(st.lists(st.integers(0, 12), min_size=1, max_size=8)),
            "p_in": draw(shares)[0], "p_out": draw(shares)[0], "extreme": draw(st.booleans()),
            "serial": draw(st.booleans())}


@given(case=cases())
@check(60)
def test_dot(case):
    check_dot(**case)


# ---- Corners ------------------------------------------------------------------------------------

CORNERS = {
    "one filter, one address": dict(filters=1, addresses=1, pes=1, lengths=[1, 1, 0, 1]),
    "one pass": dict(filters=4, addresses=9, pes=4),
    "PEs do not divide": dict(filters=7, addresses=9, pes=4),
    "PEs and ways do not divide": dict(filters=11, addresses=9, pes=6, ways=3),
    "a last pass of one": dict(filters=9, addresses=3, pes=4, ways=2),
    "fewer filters than PEs": dict(filters=3, addresses=9, pes=8, ways=2),
    "all zeros": dict(filters=6, addresses=9, pes=3, lengths=[0] * 6),
    "all dense": dict(filters=6, addresses=12, pes=3, lengths=[12] * 4),
    "drain in one transfer": dict(filters=8, addresses=4, pes=4, ways=4, lengths=[1] * 8),
    "drain is the bound": dict(filters=16, addresses=4, pes=8, lengths=[1] * 4),
}


@pytest.mark.parametrize("name", CORNERS)
@pytest.mark.parametrize("p_in, p_out", STALLS)
@pytest.mark.parametrize("serial", [False, True])
def test_corners(name, p_in, p_out, serial):
    check_dot(p_in=p_in, p_out=p_out, serial=serial, **CORNERS[name])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("weight_width", [2, 8, 15, 16])
@pytest.mark.parametrize("serial", [False, True])
def test_largest_magnitudes(activation, weight_width, serial):
    """All weights -2**(w-1), all activations the least or the greatest, at the exact sum width."""
    check_dot(filters=3, addresses=30, pes=2, activation=activation, weight_width=weight_width,
              lengths=[30, 30, 1], extreme=True, serial=serial)


# ---- Timing -------------------------------------------------------------------------------------

@pytest.mark.parametrize("length", [1, 4, 9])
@pytest.mark.parametrize("pes, ways", [(1, 1), (4, 1), (4, 2), (4, 4)])
def test_latency(length, pes, ways):
    """From the last product of a pass to its first sums."""
    sink = check_dot(filters=pes, addresses=9, pes=pes, ways=ways, lengths=[length])
    assert latencies(sink)[0] == length - 1 + SparseDot.latency
    assert latencies(sink) == list(range(latencies(sink)[0], latencies(sink)[0] + pes // ways))


@pytest.mark.parametrize("length, pes, ways", [
    (9, 4, 1), (4, 4, 1), (2, 4, 1), (2, 4, 2), (1, 8, 1), (1, 4, 4)])
@pytest.mark.parametrize("passes", [1, 3])
def test_rate(length, pes, ways, passes):
    """A pass takes its products or its drain, whichever is longer; the engine never idles else."""
    sink = check_dot(filters=pes * passes, addresses=9, pes=pes, ways=ways, lengths=[length] * 6)
    words = pes // ways
    ends = latencies(sink)[words - 1::words]
    assert set(np.diff(ends)) == {max(length, words)}


@pytest.mark.parametrize("length, weight_width, pes, ways", [(9, 8, 4, 1), (3, 5, 2, 1), (2, 2, 4, 1), (1, 16, 8, 1)])
def test_rate_of_serial_multipliers(length, weight_width, pes, ways):
    """A product takes a cycle for each digit of base 4, and the first sums as long after its last one as ever."""
    sink = check_dot(filters=pes, addresses=9, pes=pes, ways=ways, weight_width=weight_width, lengths=[length] * 6,
                     serial=True)
    digits = -(-weight_width // 2)
    assert latencies(sink)[0] == length * digits - 1 + SparseDot.latency
    assert set(np.diff(latencies(sink)[pes // ways - 1::pes // ways])) == {max(length * digits, pes // ways)}


def test_a_short_last_pass_drains_sooner():
    sink = check_dot(filters=9, addresses=4, pes=8, lengths=[1] * 6)
    ends = latencies(sink)[8::9]
    assert set(np.diff(ends)) == {9}


# ---- Ready never, and reset ---------------------------------------------------------------------

def test_offers_without_ready():
    dut = SparseDot(8, weights=np.ones((2, 3), int), weight_width=2, pes=2, sum_width=12)
    payload = {"value": 1, "address": 0, "last": 1, "final": 1}
    assert offers_without_ready(dut, [Source(dut.i, [payload] * 3)], dut.o)


def check_reset(dot, *, filters, pes, cycles):
    """A window after a reset in one of two passes is right."""
    rng = np.random.default_rng(cycles)
    weights = weights_of(rng, filters, 6, 8)
    dut = dot(8, weights=weights, weight_width=8, pes=pes, sum_width=24)
    junk, _ = random_windows(rng, 0, 255, 6, 2, [5, 2, 6])
    payloads, windows = random_windows(rng, 0, 255, 6, 2, [3, 0, 6])
    sink = Sink(dut.o, filters * len(windows), 0.7)
    run_after_reset(dut, [Source(dut.i, junk)], [Source(dut.i, payloads)], [sink], cycles=cycles)
    compare(sink, sums(weights, windows), 1)


@pytest.mark.parametrize("cycles", [1, 6, 9, 13, 30])
def test_reset_in_a_pass(cycles):
    check_reset(SparseDot, filters=7, pes=4, cycles=cycles)


# ---- Parameters ---------------------------------------------------------------------------------

@pytest.mark.parametrize("kwargs, error, message", [
    (dict(weight_width=1), ValueError, "Weight width must be from 2 to 16, not 1"),
    (dict(weight_width=17), ValueError, "Weight width must be from 2 to 16, not 17"),
    (dict(weight_width=8.0), TypeError, r"Weight width must be an integer, not 8\.0"),
    (dict(pes=0), TypeError, "PEs must be a positive integer, not 0"),
    (dict(ways=0), TypeError, "Ways must be a positive integer, not 0"),
    (dict(serial=1), TypeError, "Serial must be a bool, not 1"),
    (dict(weights_in_blocks=1), TypeError, "Weights in blocks must be a bool, not 1"),
    (dict(pes=4, ways=3), ValueError, "PEs must be a multiple of the 3 ways, not 4"),
    (dict(sum_width=0), ValueError, "Sum width must be from 2 to 48, not 0"),
    (dict(sum_width=49), ValueError, "Sum width must be from 2 to 48, not 49"),
    (dict(sum_width=None), TypeError, "Sum width must be an integer, not None"),
    (dict(shape=18), ValueError, "Activation width must be from 2 to 17, not 18"),
    (dict(family="vhdl"), ValueError, "Family must be one of behavioural, dsp48e2, mult18x18d, not 'vhdl'"),
    (dict(weight_width=3), ValueError, "Weights must have 3 bits, not range from -4 to 4"),
    (dict(weights=np.full((2, 3), -9), weight_width=4), ValueError,
     "Weights must have 4 bits, not range from -9 to -9"),
    (dict(weights=np.zeros(3, int)), ValueError,
     r"Weights must be of shape \(filters, addresses\), not \(3,\)"),
    (dict(weights=np.zeros((0, 3), int)), ValueError,
     r"Weights must be of shape \(filters, addresses\), not \(0, 3\)"),
    (dict(depth=2), ValueError, "Depth must be at least 3, not 2"),
])
def test_dot_refuses(kwargs, error, message):
    shape = kwargs.pop("shape", 8)
    with pytest.raises(error, match=f"^{message}$"):
        SparseDot(shape, **{"weights": np.array([[-4, 4, 0], [1, 2, 3]]), "weight_width": 4,
                            "pes": 2, "sum_width": 16} | kwargs)


# ---- Weight memory ------------------------------------------------------------------------------

@given(rows=st.integers(1, 9), fields=st.integers(1, 40), width=st.integers(1, 40), seed=seeds)
@check(100)
def test_pack(rows, fields, width, seed):
    limit = 1 << (width - 1)
    values = np.random.default_rng(seed).integers(-limit, limit, (rows, fields))
    for row, word in zip(values, pack(values, width), strict=True):
        assert word == sum((int(v) % (1 << width)) << n * width for n, v in enumerate(row))


@given(filters=st.integers(1, 20), addresses=st.integers(1, 9), pes=st.integers(1, 8), seed=seeds)
@check(50)
def test_words_hold_the_weights_of_all_pes(filters, addresses, pes, seed):
    weights = weights_of(np.random.default_rng(seed), filters, addresses, 5)
    dut = SparseDot(8, weights=weights, weight_width=5, pes=pes, sum_width=24)
    assert len(dut.words) == dut.passes * addresses
    for g in range(dut.passes):
        for address in range(addresses):
            word = dut.words[g * addresses + address]
            for n in range(pes):
                f = g * pes + n
                expected = int(weights[f, address]) if f < filters else 0
                assert (word >> 5 * n) % 32 == expected % 32


@pytest.mark.parametrize("words", [[5], [1, 2], [7, 0, 3, 3, 6]])
def test_rom(words):
    dut, got = Rom(3, words), []

    async def bench(ctx):
        ctx.set(dut.en, 1)
        for n in range(len(words)):
            ctx.set(dut.address, n)
            await ctx.tick()
            got.append(ctx.get(dut.data))
        ctx.set(dut.en, 0)
        ctx.set(dut.address, 0)
        await ctx.tick()
        assert ctx.get(dut.data) == words[-1]       # holds its word while disabled

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert got == words


@pytest.mark.parametrize("width, words, error, message", [
    (0, [0], TypeError, "Width must be a positive integer, not 0"),
    (4, [], TypeError, "Number of words must be a positive integer, not 0"),
    (4, [3, 16], ValueError, "Words must have 4 bits, not range from 3 to 16"),
    (4, [-1, 2], ValueError, "Words must have 4 bits, not range from -1 to 2"),
])
def test_rom_refuses(width, words, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        Rom(width, words)
