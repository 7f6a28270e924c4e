# amaranth: UnusedElaboratable=no
"""The accumulator: lanes' sums, which arrive windows apart, and the bias."""
import numpy as np
import pytest
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st

from hdl.accumulator import Accumulator
from hdl.bounds import signed_bits
from sim.harness import Sink, Source, offers_without_ready, run
from strategies import STALLS, check, latencies, ports, run_after_reset, seeds, shares


def random_sums(rng, lanes, windows, filters, sum_width, extreme=False):
    """Sums of each lane: (lanes, windows, filters)."""
    limit = 1 << (sum_width - 1)
    if extreme:
        return np.full((lanes, windows, filters), -limit)
    return rng.integers(-limit, limit, (lanes, windows, filters))


def transfers(sums, ways):
    """Payloads of one lane; rubbish beyond the last filter."""
    result = []
    for window in sums:
        for start in range(0, len(window), ways):
            part = [int(v) for v in window[start:start + ways]]
            result.append(part + [-1] * (ways - len(part)))
    return result


def compare(sink, totals, ways):
    filters = totals.shape[1]
    words = -(-filters // ways)
    assert len(sink.got) == len(totals) * words
    for n, window in enumerate(totals.tolist()):
        got = sink.got[n * words:(n + 1) * words]
        values = [value for payload in got for value in payload.sums]
        assert values[:filters] == window, f"window {n}"
        assert [payload.last for payload in got] == [0] * (words - 1) + [1], f"window {n}"


def check_accumulator(*, lanes=1, filters=4, sum_width=12, bias_width=12, ways=1, windows=4,
                      count=5, seed=0, p_in=(1.0,), p_out=1.0, extreme=False):
    rng = np.random.default_rng(seed)
    sums = random_sums(rng, lanes, count, filters, sum_width, extreme)
    limit = 1 << (bias_width - 1)
    bias = np.full(filters, -limit) if extreme else rng.integers(-limit, limit, filters)
    totals = sums.sum(axis=0) + bias
    # Exactly wide enough for what comes out: sums may overflow on the way.
    width = max(signed_bits(totals.min(), totals.max()), signed_bits(bias.min(), bias.max()))
    dut = Accumulator(lanes=lanes, sum_width=sum_width, bias=bias, width=width, ways=ways,
                      windows=windows)
    payloads = [transfers(lane, ways) for lane in sums]
    sink = Sink(dut.o, len(payloads[0]), p_out)
    run(dut, ports(Source, dut.i, payloads, p_in), [sink], seed=seed)
    compare(sink, totals, ways)
    return sink, dut


# ---- The whole parameter space ------------------------------------------------------------------

@st.composite
def cases(draw):
    return {"lanes": draw(st.integers(1, 6)), "filters": draw(st.integers(1, 12)),
            "sum_width": draw(st.integers(2, 48)), "bias_width": draw(st.integers(2, 50)),
            "ways": draw(st.integers(1, 5)), "windows": draw(st.integers(1, 5)),
            "count": draw(st.integers(1, 6)), "seed": draw(seeds), "p_in": draw(shares),
            "p_out": draw(shares)[0], "extreme": draw(st.booleans())}


@given(case=cases())
@check(50)
def test_accumulator(case):
    check_accumulator(**case)


CORNERS = {
    "one lane, one filter": dict(filters=1),
    "one lane, one filter, one window": dict(filters=1, windows=1),
    "ways do not divide": dict(lanes=2, filters=7, ways=3),
    "more ways than filters": dict(lanes=3, filters=2, ways=4),
    "lanes no power of two": dict(lanes=5, filters=3),
    "largest magnitudes": dict(lanes=4, extreme=True, sum_width=20, bias_width=22),
    "bias wider than the sums": dict(lanes=2, sum_width=4, bias_width=30),
    "sums wider than the bias": dict(lanes=2, sum_width=30, bias_width=4),
}


@pytest.mark.parametrize("name", CORNERS)
@pytest.mark.parametrize("p_in, p_out", STALLS)
def test_corners(name, p_in, p_out):
    check_accumulator(p_in=[p_in, 0.3], p_out=p_out, **CORNERS[name])


# ---- Timing -------------------------------------------------------------------------------------

@pytest.mark.parametrize("lanes, latency", [(1, 3), (2, 4), (3, 4), (4, 5), (7, 5), (8, 6)])
@pytest.mark.parametrize("windows", [1, 4])
def test_latency_and_rate(lanes, latency, windows):
    sink, dut = check_accumulator(lanes=lanes, count=8, windows=windows)
    assert dut.latency == latency
    assert latencies(sink) == list(range(latency, latency + 32))


@pytest.mark.parametrize("windows, filters, ways, held", [
    (1, 4, 1, 4), (4, 4, 1, 16), (4, 3, 1, 16), (2, 6, 2, 8), (4, 1, 1, 4), (1, 1, 1, 2)])
def test_a_lane_runs_ahead_by_its_windows(windows, filters, ways, held):
    """At least ``windows`` output pixels (rounded to a power of two) while another is silent."""
    dut, taken = Accumulator(lanes=2, sum_width=8, bias=[0] * filters, width=9, ways=ways,
                             windows=windows), []

    async def bench(ctx):
        ctx.set(dut.i[0].valid, 1)
        ctx.set(dut.o.ready, 1)
        for _ in range(50):
            _, _, ready, valid = await ctx.tick().sample(dut.i[0].ready, dut.o.valid)
            taken.append(ready)
            assert not valid

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert windows * -(-filters // ways) <= sum(taken) == held


# ---- Ready never, and reset ---------------------------------------------------------------------

def test_offers_without_ready():
    dut = Accumulator(lanes=2, sum_width=8, bias=[1, 2], width=10)
    assert offers_without_ready(dut, ports(Source, dut.i, [[[3], [4]]] * 2, [1.0]), dut.o)


@pytest.mark.parametrize("cycles", [1, 4, 9, 30])
def test_reset_in_a_window(cycles):
    rng = np.random.default_rng(cycles)
    junk, sums = (random_sums(rng, 3, n, 5, 10) for n in (6, 4))
    bias = np.arange(5)
    dut = Accumulator(lanes=3, sum_width=10, bias=bias, width=13)
    sink = Sink(dut.o, 20, 0.7)
    run_after_reset(dut, ports(Source, dut.i, [transfers(lane, 1) for lane in junk], [1.0]),
                    ports(Source, dut.i, [transfers(lane, 1) for lane in sums], [0.6, 1.0]), [sink],
                    cycles=cycles)
    compare(sink, sums.sum(axis=0) + bias, 1)


# ---- Parameters ---------------------------------------------------------------------------------

@pytest.mark.parametrize("kwargs, error, message", [
    (dict(lanes=0), TypeError, "Lanes must be a positive integer, not 0"),
    (dict(sum_width=0), TypeError, "Sum width must be a positive integer, not 0"),
    (dict(width=-1), TypeError, "Width must be a positive integer, not -1"),
    (dict(ways=0), TypeError, "Ways must be a positive integer, not 0"),
    (dict(windows=None), TypeError, "Windows must be a positive integer, not None"),
    (dict(bias=[128, 0]), ValueError, "Biases must have 8 bits, not range from 0 to 128"),
    (dict(bias=[-129]), ValueError, "Biases must have 8 bits, not range from -129 to -129"),
    (dict(bias=[]), ValueError, r"Biases must be one for each filter, not of shape \(0,\)"),
    (dict(bias=[[1, 2]]), ValueError, r"Biases must be one for each filter, not of shape \(1, 2\)"),
])
def test_accumulator_refuses(kwargs, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        Accumulator(**{"lanes": 1, "sum_width": 8, "bias": [0], "width": 8} | kwargs)
