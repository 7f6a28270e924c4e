# amaranth: UnusedElaboratable=no
"""The zero-skipping window against its NumPy reference, under stalls; its timing and its ring."""
import itertools

import numpy as np
import pytest
from amaranth import Const, Module, Signal
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st

from hdl.pitch import Pitch, lookup, select, times
from hdl.stepper import Stepper
from hdl.walk import Walk
from hdl.window import Window, default_slots
from sim.harness import Sink, Source, offers_without_ready, run
from sim.pixels import to_beats
from sim.window import products
from strategies import (
    ACTIVATIONS,
    STALLS,
    activations,
    check,
    densities,
    lanes,
    latencies,
    ports,
    random_map,
    run_after_reset,
    seeds,
    shares,
    walks,
)

PAD = (1, 1, 1, 1)


def frames_of(walk, channels, activation, density, frames, seed):
    _, low, high = ACTIVATIONS[activation]
    return random_map(np.random.default_rng(seed), (frames, walk.height, walk.width, channels),
                      low, high, density)


def expected(x, walk, **kwargs):
    """Products of each lane over all frames."""
    parts = zip(*(products(frame, walk, **kwargs) for frame in x), strict=True)
    return [list(itertools.chain.from_iterable(streams)) for streams in parts]


def compare(sinks, streams):
    """Each lane's products are the reference's; one that stands for no non-zero has any address."""
    for lane, (sink, stream) in enumerate(zip(sinks, streams, strict=True)):
        for n, (got, due) in enumerate(zip(sink.got, stream, strict=True)):
            value, address, last, final = due
            address = got.address if address is None else address
            assert (got.value, got.address, got.last, got.final) == (value, address, last, final), \
                f"lane {lane}, product {n}"


def check_window(walk, channels, *, activation="u8", density=0.5, frames=2, seed=0, p_in=(1.0,),
                 p_out=(1.0,), ways=1, windows=4, slots=None, x=None, window=Window, **kwargs):
    """Stream random frames through a window and compare; returns its sinks."""
    dut = window(ACTIVATIONS[activation][0], walk=walk, channels=channels, ways=ways,
                 windows=windows, slots=slots, **kwargs)
    x = frames_of(walk, channels, activation, density, frames, seed) if x is None else x
    streams = expected(x, walk, **kwargs)
    sinks = ports(Sink, dut.o, streams, p_out)
    beats = to_beats(x, ways, keep_zeros=dut.keep_zeros)
    run(dut, ports(Source, dut.i.way, beats, p_in), sinks, seed=seed,
        max_cycles=20 * (1000 + sum(map(len, streams)) + sum(map(len, beats))))
    compare(sinks, streams)
    return sinks


# ---- The whole parameter space ------------------------------------------------------------------

@st.composite
def cases(draw, budget=400):
    """Arguments of check_window; few enough products for a fraction of a second."""
    walk = draw(walks())
    case = draw(lanes(walk, channels=9)) | {
        "walk": walk, "density": draw(densities), "keep_zeros": draw(st.booleans()),
        "by_channel": draw(st.booleans()), "frames": draw(st.integers(2, 3)),
        "windows": draw(st.integers(1, 4)), "activation": draw(activations), "seed": draw(seeds),
        "p_in": draw(shares), "p_out": draw(shares)}
    share = -(-case["channels"] // case["lanes"]) * (1 if case["keep_zeros"] else case["density"])
    pass_ = walk.taps_inside * max(1, share) + walk.out_height * walk.out_width
    case["passes"] = draw(st.integers(1, max(1, min(4, int(budget / case["frames"] / pass_)))))
    least = walk.min_slots(case["row_lanes"])
    case["slots"] = draw(st.sampled_from([None, least, least, least + 1]))
    return case


@given(case=cases())
@check(40)
def test_window(case):
    check_window(**case)


@given(walk=walks(taps=5, size=5, extra=2), row_lanes=st.integers(1, 3), seed=seeds)
@check(15)
def test_least_slots_never_deadlock(walk, row_lanes, seed):
    row_lanes = min(row_lanes, walk.kernel[0])
    least = walk.min_slots(row_lanes)
    check_window(walk, 2, row_lanes=row_lanes, slots=least, windows=1, seed=seed, p_out=(0.5, 0.2))
    with pytest.raises((ValueError, TypeError), match=r"^Slots must be .*, not \d+$"):
        Window(8, walk=walk, channels=2, row_lanes=row_lanes, slots=least - 1)


# ---- Corners ------------------------------------------------------------------------------------

CORNERS = {
    "one pixel, one channel": dict(walk=Walk(1, 1), channels=1, frames=9),
    "one channel": dict(walk=Walk(4, 5, (3, 3), padding=PAD), channels=1),
    "1xN": dict(walk=Walk(1, 9, (1, 3), padding=(0, 1, 0, 1)), channels=3),
    "Nx1": dict(walk=Walk(9, 1, (3, 1), padding=(1, 0, 1, 0)), channels=3, row_lanes=3),
    "all zeros": dict(walk=Walk(4, 4, (3, 3), padding=PAD), channels=4, density=0, passes=2),
    "all dense": dict(walk=Walk(4, 4, (3, 3), padding=PAD), channels=4, density=1, passes=2),
    "lanes do not divide": dict(walk=Walk(3, 3, (2, 2)), channels=7, lanes=3),
    "lanes do not divide, two ways": dict(walk=Walk(3, 3, (2, 2)), channels=7, lanes=4, ways=2),
    "six lanes on two ways": dict(walk=Walk(3, 3), channels=11, lanes=6, ways=2),
    "a lane a channel": dict(walk=Walk(3, 3, (2, 2)), channels=5, lanes=5, ways=5),
    "a lane a row": dict(walk=Walk(4, 4, (4, 2)), channels=3, row_lanes=4),
    "fully connected": dict(walk=Walk(3, 4, (3, 4)), channels=3, passes=3, frames=4),
    "11x11": dict(walk=Walk(4, 4, (11, 11), padding=(5, 5, 5, 5)), channels=1, row_lanes=3),
    "stride skips pixels": dict(walk=Walk(7, 7, (1, 1), stride=(4, 3)), channels=3),
    "stride leaves an edge": dict(walk=Walk(6, 6, (3, 3), stride=(2, 2), padding=(0, 0, 1, 1)),
                                  channels=3),
    "dilation beyond the map": dict(walk=Walk(2, 2, (3, 3), dilation=(3, 3), padding=(3, 3, 3, 3)),
                                    channels=2),
    "windows without a pixel": dict(walk=Walk(2, 2, (2, 2), padding=(3, 2, 4, 3)), channels=2,
                                    row_lanes=2, passes=2),
    "only padding": dict(walk=Walk(1, 1, (2, 2), stride=(4, 4), padding=(2, 2, 1, 1)), channels=2),
    "largest values": dict(walk=Walk(3, 3), channels=3, activation="s17 full", density=1),
}


@pytest.mark.parametrize("name", CORNERS)
@pytest.mark.parametrize("p_in, p_out", STALLS)
def test_corners(name, p_in, p_out):
    case = {"frames": 2} | CORNERS[name]
    least = case["walk"].min_slots(case.get("row_lanes", 1))
    check_window(p_in=[p_in], p_out=[p_out, 1.0], slots=least, **case)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_widths(activation):
    check_window(Walk(3, 3, (2, 2)), 3, activation=activation, density=1.0)


@pytest.mark.parametrize("slots", range(1, 6))
def test_slots_are_not_overwritten_before_they_are_read(slots):
    """Lists wait for a slow output while their slots would be free if lookups counted as reads."""
    check_window(Walk(5, 5), 4, slots=slots, frames=3, density=0.7, p_out=[0.15], seed=slots)


# ---- Timing -------------------------------------------------------------------------------------

@pytest.mark.parametrize("walk, channels, kwargs", [
    (Walk(1, 1), 1, {}),
    (Walk(4, 4), 3, {}),
    (Walk(4, 4, (3, 3), padding=PAD), 2, {"lanes": 2}),
    (Walk(4, 4, (3, 3), padding=PAD), 2, {"row_lanes": 3, "passes": 2}),
])
def test_latency(walk, channels, kwargs):
    """From the beat that completes the first window to its first product, if nothing stalls."""
    x = np.ones((1, walk.height, walk.width, channels), int)
    sinks = check_window(walk, channels, x=x, **kwargs)
    lane = len(sinks) - 1                       # row lanes that need earlier pixels start earlier
    row, rows = lane // kwargs.get("lanes", 1), kwargs.get("row_lanes", 1)
    completed = (walk.needs(row, rows)[0][0] + 1) * channels - 1
    assert latencies(sinks[lane])[0] == completed + 9


def steady(sink, per_frame):
    """Cycles between the ends of the last two frames."""
    ends = sink.cycles[per_frame - 1::per_frame]
    return ends[-1] - ends[-2]


# In the last two cases a window shares few pixels with the next one, or none. More than the default
# slots let the next frame arrive meanwhile.
@pytest.mark.parametrize("walk, channels, passes, slots", [
    (Walk(4, 4, (3, 3), padding=PAD), 3, 1, None),
    (Walk(4, 4, (3, 3), padding=PAD), 3, 2, None),
    (Walk(4, 4), 3, 2, None),
    (Walk(5, 7, (3, 2), stride=(1, 2)), 2, 1, 70),
    (Walk(3, 3, (3, 3)), 3, 4, 18),
])
@pytest.mark.parametrize("keep_zeros", [False, True])
def test_dense_steady_state(walk, channels, passes, slots, keep_zeros):
    """A product in every cycle, frame after frame."""
    sink, = check_window(walk, channels, passes=passes, density=0.3 if keep_zeros else 1.0,
                         frames=3, keep_zeros=keep_zeros, slots=slots)
    cycles = passes * walk.taps_inside * channels
    assert steady(sink, cycles) == cycles


@pytest.mark.parametrize("walk, passes, slots", [
    (Walk(6, 6, (3, 3), padding=PAD), 1, None), (Walk(6, 6, (3, 3), padding=PAD), 3, None),
    (Walk(4, 4), 2, None), (Walk(5, 5, (5, 5)), 2, 50)])
def test_all_zero_steady_state(walk, passes, slots):
    """One tap a cycle."""
    sink, = check_window(walk, 4, passes=passes, density=0, frames=4, slots=slots)
    cycles = passes * walk.taps_inside
    assert steady(sink, passes * walk.out_height * walk.out_width) == cycles


def test_a_window_as_large_as_the_map_waits_for_the_next_frame():
    """A row of the next frame fits; the other rows arrive when the window before has been read."""
    walk, passes = Walk(4, 4, (4, 4)), 6
    sink, = check_window(walk, 2, passes=passes, density=1.0, frames=3, slots=20)
    products, late = passes * walk.taps * 2, (16 - 4) * 2
    assert products + late <= steady(sink, products) <= products + late + 12


@pytest.mark.parametrize("density", [0.05, 0.1, 0.2, 0.5])
@pytest.mark.parametrize("passes", [1, 2])
def test_sparse_steady_state(density, passes):
    """At least the non-zeros and at least the taps; at most the greater of them in each pass."""
    walk, frames = Walk(6, 6, (3, 3), padding=PAD), 4
    x = np.repeat(frames_of(walk, 6, "u8", density, 1, 3), frames, axis=0)
    sink, = check_window(walk, 6, x=x, passes=passes)
    counts = np.pad(np.count_nonzero(x[0], axis=-1), 1)
    inside = np.pad(np.ones((6, 6), int), 1)
    over = [(counts[y:y + 3, z:z + 3].sum(), inside[y:y + 3, z:z + 3].sum())
            for y in range(6) for z in range(6)]
    cycles = steady(sink, len(sink.got) // frames)
    least = passes * max(sum(n for n, _ in over), sum(t for _, t in over))
    assert least <= cycles <= passes * sum(max(pair) for pair in over)


def test_lanes_run_apart_by_their_windows():
    """A lane goes on while another's output is blocked, and is held in the end."""
    walk = Walk(6, 6)
    x = np.ones((1, 6, 6, 2), int)
    reached = []
    for windows in (1, 2, 4):
        dut, passed = Window(8, walk=walk, channels=2, lanes=2, windows=windows), []

        async def bench(ctx, dut=dut, passed=passed):
            ctx.set(dut.o[1].ready, 1)
            for _ in range(200):
                _, _, valid = await ctx.tick().sample(dut.o[1].valid)
                passed.append(valid)

        simulator = Simulator(dut)
        simulator.add_clock(1e-8)
        simulator.add_testbench(bench)
        simulator.add_testbench(feed(dut.i.way[0], to_beats(x, 1)[0]), background=True)
        simulator.run()
        reached.append(sum(passed))
    assert all(windows <= n for windows, n in zip((1, 2, 4), reached))
    assert reached == sorted(reached) and reached[-1] < 36


def feed(stream, payloads):
    async def testbench(ctx):
        for payload in payloads:
            ctx.set(stream.payload, payload)
            ctx.set(stream.valid, 1)
            ready = 0
            while not ready:
                _, _, ready = await ctx.tick().sample(stream.ready)
        ctx.set(stream.valid, 0)
    return testbench


# ---- Ready never, and reset ---------------------------------------------------------------------

def test_offers_without_ready():
    walk = Walk(3, 3, (2, 2))
    dut = Window(8, walk=walk, channels=4, ways=2, lanes=2, row_lanes=2)
    beats = to_beats(np.ones((1, 3, 3, 4), int), 2)
    for stream in dut.o:
        assert offers_without_ready(dut, ports(Source, dut.i.way, beats, [1.0]), stream)


@pytest.mark.parametrize("cycles", [1, 7, 30, 61, 150])
def test_reset_in_a_frame(cycles):
    walk = Walk(5, 4, (3, 3), padding=(1, 0, 2, 1))
    kwargs = dict(lanes=2, row_lanes=2, passes=2)
    dut = Window(8, walk=walk, channels=3, ways=1, **kwargs)
    junk, x = (frames_of(walk, 3, "u8", 0.5, 2, seed) for seed in (1, 2))
    streams = expected(x, walk, **kwargs)
    sinks = ports(Sink, dut.o, streams, [0.7, 1.0])
    run_after_reset(dut, ports(Source, dut.i.way, to_beats(junk, 1), [1.0]),
                    ports(Source, dut.i.way, to_beats(x, 1), [0.8]), sinks, cycles=cycles)
    compare(sinks, streams)


# ---- Parameters ---------------------------------------------------------------------------------

@pytest.mark.parametrize("kwargs, error, message", [
    (dict(walk=(4, 4)), TypeError, r"Walk must be a Walk, not \(4, 4\)"),
    (dict(channels=0), TypeError, "Channels must be a positive integer, not 0"),
    (dict(keep_zeros=1), TypeError, "Keep zeros must be a bool, not 1"),
    (dict(ways="1"), TypeError, "Ways must be a positive integer, not '1'"),
    (dict(lanes=0), TypeError, "Lanes must be a positive integer, not 0"),
    (dict(row_lanes=-1), TypeError, "Row lanes must be a positive integer, not -1"),
    (dict(passes=0), TypeError, "Passes must be a positive integer, not 0"),
    (dict(windows=0.5), TypeError, r"Windows must be a positive integer, not 0\.5"),
    (dict(lanes=5), ValueError, "Lanes must be at most the 4 channels, not 5"),
    (dict(lanes=3, ways=2), ValueError, "Lanes must be a multiple of the 2 ways, not 3"),
    (dict(row_lanes=4), ValueError, "Row lanes must be at most the kernel's 3 rows, not 4"),
    (dict(slots=0), TypeError, "Slots must be a positive integer, not 0"),
    (dict(slots=10), ValueError, "Slots must be at least 11, not 10"),
])
def test_window_refuses(kwargs, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        Window(8, **{"walk": Walk(4, 4, (3, 3)), "channels": 4} | kwargs)


@pytest.mark.parametrize("kwargs, error, message", [
    (dict(walk=None), TypeError, "Walk must be a Walk, not None"),
    (dict(slots=10), ValueError, "Slots must be at least 11, not 10"),
])
def test_stepper_refuses(kwargs, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        Stepper(**{"walk": Walk(4, 4, (3, 3)), "row": 0, "rows": 1, "slots": 11,
                   "passes": 1} | kwargs)


@given(walk=walks(), channels=st.integers(1, 64), row_lanes=st.integers(1, 4))
@check(100)
def test_default_slots(walk, channels, row_lanes):
    row_lanes = min(row_lanes, walk.kernel[0])
    slots = default_slots(walk, channels=channels, row_lanes=row_lanes)
    reach = walk.dilation[0] * (walk.kernel[0] - 1) + 1
    wanted = max(walk.min_slots(row_lanes, ahead=1) + 8,
                 (reach + 1) * walk.width if reach > walk.stride[0] else 0)
    assert wanted >= walk.min_slots(row_lanes) + 8
    assert wanted <= slots < 2 * wanted
    # Rounding up to a power of two is for free, or not done.
    assert -(-slots * channels // 1024) == -(-wanted * channels // 1024)


# ---- Addressing ---------------------------------------------------------------------------------

def evaluate(table):
    """What the expressions of ``table(m, index)`` are for each index."""
    m, index, found = Module(), Signal(8), []
    results = []
    for n, value in enumerate(table(m, index)):
        results.append(Signal(64, name=f"result_{n}"))
        m.d.comb += results[-1].eq(value)

    async def bench(ctx):
        for n in range(256):
            ctx.set(index, n)
            found.append([ctx.get(result) for result in results])

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
    return found


def test_times():
    factors = [*range(17), 27, 63, 64, 255, 1023]
    for n, found in enumerate(evaluate(lambda m, index: [times(index, f) for f in factors])):
        assert found == [n * f for f in factors]


def test_lookup():
    tables = [[5], [0, 0, 1, 0], [3, 1, 4, 1, 5, 9, 2, 6], list(range(256))]
    for n, found in enumerate(evaluate(
            lambda m, index: [lookup(m, index, t, name=f"t{k}") for k, t in enumerate(tables)])):
        assert all(value == table[n] for value, table in zip(found, tables) if n < len(table))


def test_select():
    tables = [[5], [6, 1], [3, 1, 4, 1, 5, 9, 2, 6], [*range(100, 200)]]
    for n, found in enumerate(evaluate(
            lambda m, index: [select([Const(v, 8) for v in t], index) for t in tables])):
        assert all(value == table[n] for value, table in zip(found, tables) if n < len(table))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 12])
def test_pitch(size):
    blocks = 255 // size
    pitch = Pitch(size, blocks)
    assert pitch.depth == size * blocks
    for n, found in enumerate(evaluate(
            lambda m, index: [pitch.word(pitch.base(index), Const(k, 4)) for k in range(size)])):
        if n < blocks:
            assert found == [n * size + k for k in range(size)]
