# amaranth: UnusedElaboratable=no
"""Pooling against the NumPy reference: parameter space, corners, timing, reset, bad parameters."""
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from amaranth import Module, Shape, signed, unsigned
from hypothesis import given
from hypothesis import strategies as st

import hdl.pool
import hdl.reduce
from cores import graph
from hdl.pool import Pool
from hdl.reduce import Reduce
from hdl.requantize import Requantize
from hdl.walk import Walk
from hdl.window import default_slots
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
    walks,
)

PAD = (1, 1, 1, 1)
HALF = Walk(6, 6, (2, 2), stride=(2, 2))
WHOLE = Walk(3, 4, (3, 4))


def only_padding(walk):
    return any(n == 0 for axis in walk.axes() for _, n in axis.inside)


def requantization(walk, channels, activation, out, seed):
    """Scales about one over the number of taps, and any bounds of ``out``; also no scale at all."""
    rng = np.random.default_rng(seed)
    (shape, *_), (out_shape, low, high) = ACTIVATIONS[activation], ACTIVATIONS[out]
    shift = 17 + walk.taps.bit_length() + Shape.cast(shape).width - Shape.cast(out_shape).width
    return graph.Requantization(
        rng.integers(0, 1 << 17, channels), np.clip(shift + rng.integers(-2, 2, channels), 0, 63),
        rng.choice([low, 0, low // 3]), rng.choice([high, high // 2]))


def case_of(walk, channels, op, *, x=None, activation="u8", out="u8", density=0.5, frames=2, seed=0,
            ways=1, slots=None, keep_zeros=False, counted=None, requantize_cycles=1, threshold=0):
    """A design, the beats of its input, and its expected output."""
    shape, low, high = ACTIVATIONS[activation]
    scale, options = None, {}
    if op == "avg":
        scale = requantization(walk, channels if counted is None else walk.taps, activation, out,
                               seed)
        if threshold:
            scale = replace(scale, low=0, high=ACTIVATIONS[out][2], threshold=threshold)
        options = {"multiplier": scale.multiplier, "shift": scale.shift, "low": int(scale.low),
                   "high": int(scale.high), "threshold": scale.threshold, "out_shape": ACTIVATIONS[out][0], "counted": counted}
    dut = Pool(shape, walk=walk, channels=channels, op=op, ways=ways, slots=slots,
               keep_zeros=keep_zeros, requantize_cycles=requantize_cycles, **options)
    if x is None:
        x = random_map(np.random.default_rng(seed), (frames, walk.height, walk.width, channels),
                       low, high, density)
    x = np.asarray(x, np.int32)
    node = graph.Pool("pool", "x", "y", op, walk.kernel, walk.stride, walk.dilation, walk.padding,
                      scale, counted)
    return dut, to_beats(x, ways, keep_zeros), reference.run_node(node, x)


def check_pool(walk, channels, op, *, p_in=(1.0,), p_out=(1.0,), seed=0, **case):
    """Stream frames through a pool and compare; returns its sinks and expected output."""
    dut, beats, y = case_of(walk, channels, op, seed=seed, **case)
    out = to_beats(y, dut.ways, dut.keep_zeros)
    sinks = ports(Sink, dut.o.way, out, p_out)
    work = len(y) * channels * (walk.taps_inside + walk.height * walk.width + y[0, ..., 0].size)
    run(dut, ports(Source, dut.i.way, beats, p_in), sinks, seed=seed, max_cycles=500 + 10 * work)
    compare(dut, sinks, y)
    return sinks, y


def frame_ends(sinks, y):
    """Cycles in which each frame's last beat left the first way."""
    ends = [cycle for cycle, beat in zip(sinks[0].cycles, sinks[0].got) if beat.last]
    return ends[y.shape[1] * y.shape[2] - 1::y.shape[1] * y.shape[2]]


# ---- The whole parameter space ------------------------------------------------------------------

@st.composite
def cases(draw, walk):
    """Arguments of check_pool; few enough products that an example takes a fraction of a second."""
    walk = draw(walk)
    channels = draw(st.integers(1, 9))
    ops = ["avg"] if only_padding(walk) else ["max", "max", "avg"]
    keep_zeros, density = draw(st.booleans()), draw(densities)
    work = walk.taps_inside * max(1, channels * (1 if keep_zeros else density))
    return {"walk": walk, "channels": channels, "op": draw(st.sampled_from(ops)),
            "activation": draw(activations), "out": draw(activations), "density": density,
            "frames": 1 if work > 200 else draw(st.integers(2, 3)), "seed": draw(seeds),
            "ways": draw(st.integers(1, min(3, channels))), "keep_zeros": keep_zeros,
            "slots": draw(st.sampled_from([None, walk.min_slots()])),
            "p_in": draw(shares), "p_out": draw(shares)}


@given(case=cases(walks(taps=4, size=6, extra=3)))
@check(30)
def test_pool(case):
    check_pool(**case)


wholes = st.builds(
    lambda height, width, stride: Walk(height, width, (height, width), stride=stride),
    st.integers(1, 5), st.integers(1, 5), st.tuples(st.integers(1, 4), st.integers(1, 4)))


@given(case=cases(wholes))
@check(20)
def test_global(case):
    check_pool(**case)


# ---- Corners ------------------------------------------------------------------------------------

def of_value(values, frames=3, height=4, width=4):
    """Frames whose pixels all hold the channels ``values``."""
    return np.broadcast_to(np.array(values), (frames, height, width, len(values)))


def with_zeros(pixels, frames=3):
    """Frames of 4x4 pixels with the two channels -5 and -7, but ``pixels`` are 0 in the second."""
    x = of_value([-5, -7], frames).copy()
    for row, column in pixels:
        x[:, row, column, 1] = 0
    return x


QUARTER = Walk(4, 4, (2, 2), stride=(2, 2))
CORNERS = {
    # One channel: all of a window's products meet in one word of the bank.
    "one channel": dict(walk=QUARTER, x=of_value([200])),
    "the same channel of the next window": dict(walk=Walk(4, 4), x=of_value([200])),
    "only the last of three channels": dict(walk=QUARTER, x=of_value([0, 0, 9])),
    "only the first of three channels": dict(walk=QUARTER, x=of_value([9, 0, 0])),
    "all negative": dict(walk=QUARTER, x=of_value([-5, -128]), activation="s8"),
    "all negative, padded": dict(walk=Walk(4, 4, (3, 3), padding=PAD), x=of_value([-5, -128]),
                                 activation="s8"),
    "all negative, padded, three by three": dict(
        walk=Walk(3, 3, (3, 3), padding=PAD), x=of_value([-5, -128], 3, 3, 3), activation="s8"),
    "all negative, 9 bits": dict(walk=QUARTER, x=of_value([-256, -1]), activation="s9 full"),
    "negative, one absent": dict(walk=QUARTER, x=with_zeros([(0, 0), (3, 2)]), activation="s8"),
    "negative, one absent, padded": dict(
        walk=Walk(4, 4, (3, 2), stride=(2, 1), padding=(1, 0, 0, 1)),
        x=with_zeros([(0, 0), (3, 2)]), activation="s8"),
    "all zeros": dict(walk=QUARTER, x=of_value([0, 0, 0])),
    "all zeros, signed": dict(walk=QUARTER, x=of_value([0, 0, 0]), activation="s8"),
    "one pixel": dict(walk=Walk(1, 1), x=of_value([3, 0, 1, 0], 9, 1, 1)),
    "one pixel, padded": dict(walk=Walk(1, 1, (3, 3), padding=PAD), x=of_value([-3, 0], 9, 1, 1),
                              activation="s8"),
    "one negative value": dict(walk=Walk(1, 1), x=of_value([-3], 9, 1, 1), activation="s4"),
    "global": dict(walk=Walk(4, 4, (4, 4), stride=(3, 2)), x=of_value([-3, 0]), activation="s8"),
    "global, one absent": dict(walk=Walk(4, 4, (4, 4)), x=with_zeros([(3, 3)]), activation="s8"),
    "global, padded": dict(walk=Walk(4, 4, (6, 6), padding=PAD), x=with_zeros([(0, 3)]),
                           activation="s8"),
    "largest sums": dict(walk=QUARTER, x=of_value([65535] * 3), activation="u16"),
    "least sums": dict(walk=QUARTER, x=of_value([-65536] * 3), activation="s17 full"),
}


@pytest.mark.parametrize("op, p_in, p_out", [("max", 1, 1), ("avg", 0.5, 0.5)])
@pytest.mark.parametrize("name", CORNERS)
def test_corners(name, op, p_in, p_out):
    case = CORNERS[name]
    check_pool(channels=case["x"].shape[-1], op=op, out="s8", p_in=[p_in], p_out=[p_out], **case)


def test_maximum_of_negatives():
    """The corners above prove what they say."""
    _, y = check_pool(channels=2, op="max", **CORNERS["all negative"])
    assert (y == [-5, -128]).all()
    _, y = check_pool(channels=2, op="max", **CORNERS["negative, one absent"])
    assert (y[:, :, :, 0] == -5).all() and (y[..., 1] == [[0, -7], [-7, 0]]).all()


@pytest.mark.parametrize("op, walk", [("max", HALF), ("avg", HALF), ("max", WHOLE), ("avg", WHOLE)])
def test_a_way_works_on_when_another_stands(op, walk):
    """Nothing but the ways' own handshakes couples them."""
    dut, beats, y = case_of(walk, 5, op, ways=2)
    out = to_beats(y, 2)
    sink = Sink(dut.o.way[1], len(out[1]))
    run(dut, [Source(dut.i.way[1], beats[1])], [sink])
    assert len(sink.got) == len(out[1])


# ---- Averages whose windows have different divisors ----------------------------------------------

def counts(walk, counted):
    """Counted taps of each output row and of each column."""
    sides = zip(walk.axes(), counted[:2], counted[2:])
    return [[sum(-before <= axis.coordinate(o, k) < axis.size + after for k in range(axis.taps))
             for o in range(axis.outputs)] for axis, before, after in sides]


@st.composite
def counted_cases(draw):
    """As ``cases``, but only walks whose windows all have a tap that counts."""
    case = draw(cases(walks(taps=4, size=6, extra=3)))
    walk = case["walk"]
    counted = tuple(draw(st.sampled_from([0, n // 2, n])) for n in walk.padding)
    if not min(map(min, counts(walk, counted))):
        counted = walk.padding          # counts all taps
    return case | {"op": "avg", "counted": counted}


@given(case=counted_cases())
@check(20)
def test_counted(case):
    check_pool(**case)


BORDERS = {
    "nothing counts": (Walk(4, 5, (3, 3), padding=PAD), (0, 0, 0, 0)),
    "everything counts": (Walk(4, 5, (3, 3), padding=PAD), PAD),
    "a ceiling's padding does not": (Walk(5, 6, (3, 3), (2, 2), padding=(1, 1, 2, 2)), PAD),
    "rows only": (Walk(4, 3, (3, 1), padding=(1, 0, 1, 0)), (0, 0, 0, 0)),
    "columns only": (Walk(3, 4, (1, 3), padding=(0, 1, 0, 1)), (0, 0, 0, 0)),
    "unequal sides": (Walk(3, 3, (4, 4), padding=(3, 2, 1, 3)), (1, 0, 0, 3)),
    "dilated": (Walk(4, 4, (2, 2), dilation=(2, 2), padding=(1, 1, 1, 1)), (0, 0, 0, 1)),
    "one window, padded": (Walk(2, 2, (4, 4), padding=PAD), (0, 1, 0, 0)),
    "one pixel": (Walk(1, 1, (3, 3), padding=PAD), (0, 0, 0, 0)),
    "one pixel, several windows": (Walk(1, 1, (2, 2), padding=PAD), (0, 0, 0, 0)),
}


@pytest.mark.parametrize("channels, ways, p_in, p_out", [(1, 1, 1, 1), (3, 2, 0.5, 0.5)])
@pytest.mark.parametrize("name", BORDERS)
def test_borders(name, channels, ways, p_in, p_out):
    walk, counted = BORDERS[name]
    for density, keep_zeros in (0, False), (0.5, True), (1, False):
        check_pool(walk, channels, "avg", counted=counted, ways=ways, density=density, out="s8",
                   keep_zeros=keep_zeros, p_in=[p_in], p_out=[p_out])


@pytest.mark.parametrize("name", BORDERS)
def test_threshold_of_an_average(name):
    walk, counted = BORDERS[name]
    _, y = check_pool(walk, 3, "avg", counted=counted, out="u8", threshold=20, seed=2)
    assert not ((y > 0) & (y < 20)).any()


@pytest.mark.parametrize("activation", ["u16", "s17 full"])
def test_counted_of_largest_magnitudes(activation):
    _, low, high = ACTIVATIONS[activation]
    for value in low, high:
        check_pool(Walk(3, 3, (3, 3), padding=PAD), 2, "avg", x=of_value([value] * 2, 2, 3, 3),
                   activation=activation, out="s17 full", counted=(0, 0, 0, 0))


def test_average_of_equal_values():
    """Divided by the taps that count, a map of one value stays what it is."""
    walk = Walk(4, 4, (3, 3), padding=PAD)
    dut = Pool(8, walk=walk, channels=2, op="avg", out_shape=8, low=0, high=255,
               multiplier=[round(2**16 / n) for n in range(1, 10)], shift=[16] * 9,
               counted=(0, 0, 0, 0))
    x = of_value([200, 3], 2)
    sinks = ports(Sink, dut.o.way, to_beats(x, 1), (1.0,))
    run(dut, ports(Source, dut.i.way, to_beats(x, 1), (1.0,)), sinks)
    compare(dut, sinks, x)


def test_counted_takes_the_same_cycles():
    walk = Walk(4, 4, (3, 3), padding=PAD)
    ends = [frame_ends(*check_pool(walk, 3, "avg", frames=3, counted=counted, keep_zeros=True))
            for counted in (None, PAD, (0, 0, 0, 0))]
    assert ends[0] == ends[1] == ends[2]


@pytest.mark.parametrize("cycles", [1, 60, 110])
def test_reset_of_counted(cycles):
    """The windows are counted from the first again."""
    walk = Walk(4, 4, (3, 3), padding=PAD)
    dut, beats, y = case_of(walk, 3, "avg", counted=(0, 0, 0, 0), ways=2, seed=cycles)
    _, junk, _ = case_of(walk, 3, "avg", density=0.2, ways=2, seed=1)
    sinks = ports(Sink, dut.o.way, to_beats(y, 2), (0.7,))
    run_after_reset(dut, ports(Source, dut.i.way, junk, (1.0,)),
                    ports(Source, dut.i.way, beats, (0.8,)), sinks, cycles=cycles)
    compare(dut, sinks, y)


@pytest.mark.parametrize("wrong", [([2, 3, 3], [2, 3, 3, 2]), ([2, 3, 2], [2, 3, 3]),
                                   ([3, 2, 3], [3, 2, 2, 3])])
def test_wrong_counts_are_found(wrong, monkeypatch):
    walk = Walk(3, 4, (3, 3), padding=PAD)
    assert counts(walk, (0, 0, 0, 0)) == [[2, 3, 2], [2, 3, 3, 2]]
    monkeypatch.setattr(hdl.pool, "_counts", lambda walk, counted: wrong)
    with pytest.raises(AssertionError):
        check_pool(walk, 2, "avg", counted=(0, 0, 0, 0), density=1)


def test_requantize_by_index():
    """The entry is chosen by the payload, for all ways alike, and not by the channel."""
    dut = Requantize(width=9, multiplier=[1, 2, 3], shift=[0, 0, 1], low=-256, high=255,
                     shape=signed(9), ways=2, channels=5)
    data = [{"sums": [2 * n + 2, -4 * n - 4], "last": n == 2, "index": index}
            for index in (2, 0, 1, 2) for n in range(3)]
    sums = np.array([2, -4, 4, -8, 6])
    y = np.stack([sums * 3 // 2, sums, sums * 2, sums * 3 // 2])
    sinks = ports(Sink, dut.o.way, to_beats(y, 2), (1.0, 0.5))
    run(dut, [Source(dut.i, data, p=0.7)], sinks)
    compare(dut, sinks, y)


# ---- The engine alone ---------------------------------------------------------------------------

def products(*windows):
    """Products of a Reduce from the (channel, value) pairs of each window."""
    return [{"value": value, "address": channel, "last": n == len(window) - 1,
             "final": n == len(window) - 1}
            for window in windows for n, (channel, value) in enumerate(window)]


@pytest.mark.parametrize("p_in, p_out", STALLS)
@pytest.mark.parametrize("op, shape, wanted", [
    ("sum", unsigned(8), [[765, 0, 7], [0, 0, 0], [0, 255, 0], [1, 2, 3]]),
    ("max", unsigned(8), [[255, 0, 7], [0, 0, 0], [0, 255, 0], [1, 2, 3]]),
])
def test_reduce(op, shape, wanted, p_in, p_out):
    """In any order of channels, and with the arbitrary channel of an empty window out of range."""
    dut = Reduce(shape, walk=QUARTER, channels=3, op=op)
    data = products([(0, 255), (0, 255), (2, 3 if op == "max" else 0), (0, 255), (2, 7)], [(3, 0)],
                    [(1, 255)], [(2, 3), (1, 2), (0, 1)])
    sink = Sink(dut.o, 12, p=p_out)
    run(dut, [Source(dut.i, data, p=p_in)], [sink])
    got = [(int(r.value), int(r.channel), int(r.last)) for r in sink.got]
    assert got == [(v, c, int(c == 2)) for window in wanted for c, v in enumerate(window)]


@pytest.mark.parametrize("sizes, cycles", [([5] * 8, 5), ([4] * 8, 4), ([3] * 8, 4), ([1] * 8, 4),
                                           ([7, 1] * 4, None)])
def test_reduce_takes_its_floor(sizes, cycles):
    """Cycles per window: its products or its channels, whichever are more."""
    dut = Reduce(unsigned(8), walk=QUARTER, channels=4, op="sum")
    data = products(*([(0, 1)] * size for size in sizes))
    sink = Sink(dut.o, 4 * len(sizes))
    run(dut, [Source(dut.i, data)], [sink])
    ends = [cycle for cycle, result in zip(sink.cycles, sink.got) if result.last]
    floor = [max(size, 4) for size in sizes] if cycles is None else [cycles] * len(sizes)
    assert np.diff(ends).tolist()[1:] == floor[2:]


# ---- Timing -------------------------------------------------------------------------------------

@pytest.mark.parametrize("op", ["max", "avg"])
@pytest.mark.parametrize("density, channels, ways, cycles", [
    (1, 8, 1, 288),     # 9 windows of 4 * 8 products
    (1, 8, 2, 144),
    (0, 8, 1, 72),      # 9 windows of 8 channels
    (0, 2, 1, 36),      # 9 windows of 4 taps, and 36 pixels
    (0, 8, 4, 36),
])
def test_steady_cycles(op, density, channels, ways, cycles):
    sinks, y = check_pool(HALF, channels, op, density=density, ways=ways, frames=5)
    assert np.diff(frame_ends(sinks, y))[1:].tolist() == [cycles] * 3


@pytest.mark.parametrize("op", ["max", "avg"])
@pytest.mark.parametrize("density, channels, cycles", [(1, 3, 36), (0, 3, 12), (0, 20, 20)])
def test_steady_cycles_of_global_pooling(op, density, channels, cycles):
    sinks, y = check_pool(WHOLE, channels, op, density=density, frames=5)
    assert np.diff(frame_ends(sinks, y))[1:].tolist() == [cycles] * 3


@pytest.mark.parametrize("counted", [None, (0, 0, 0, 0)])
@pytest.mark.parametrize("walk, density, cycles", [
    (HALF, 1, 9 * 4 * 4), (HALF, 0, 9 * 4 * 4), (Walk(5, 5, (3, 3)), 1, 9 * 9 * 4), (WHOLE, 0, 16)])
def test_serial_requantizers(walk, density, cycles, counted):
    """Their cycles for each sum bound an average whose windows have fewer products."""
    sinks, y = check_pool(walk, 8, "avg", ways=2, density=density, frames=4, counted=counted,
                          requantize_cycles=4)
    assert np.diff(frame_ends(sinks, y))[1:].tolist() == [cycles] * 2


@pytest.mark.parametrize("family, cycles, dsps", [
    ("behavioural", 1, 2), ("dsp48e2", 1, 2), ("behavioural", 4, 0), ("dsp48e2", 2, 0)])
def test_dsp_count(family, cycles, dsps):
    assert Pool(8, walk=HALF, channels=4, ways=2, family=family, requantize_cycles=cycles,
                **AVERAGE).dsp_count == dsps


@pytest.mark.parametrize("op, more", [("max", 0), ("avg", 6)])
def test_latency(op, more):
    """From the beat that completes a window to the window's first result."""
    (sink,), _ = check_pool(WHOLE, 3, op, density=1, frames=1, keep_zeros=True)
    # After a reset, three channels are cleared while one beat waits.
    assert latencies(sink)[0] == 35 + 2 + 5 + more
    (sink,), _ = check_pool(Walk(1, 2, (1, 1)), 3, op, density=1, frames=1, keep_zeros=True)
    assert latencies(sink)[0] == 2 + 13 + 3 + more


def test_default_slots_do_not_slow_it_down():
    walk = Walk(6, 20, (2, 2), stride=(2, 2))
    ends = [np.diff(frame_ends(*check_pool(walk, 3, "max", frames=3, slots=slots))).tolist()
            for slots in (None, 120)]
    assert default_slots(walk, channels=3) < 120 and ends[0] == ends[1]


# ---- Protocol and reset -------------------------------------------------------------------------

@pytest.mark.parametrize("op", ["max", "avg"])
@pytest.mark.parametrize("walk", [HALF, WHOLE])
def test_offers_without_ready(op, walk):
    dut, beats, _ = case_of(walk, 3, op, density=1)
    assert offers_without_ready(dut, [Source(dut.i.way[0], beats[0])], dut.o.way[0])


@pytest.mark.parametrize("op, activation", [("max", "u8"), ("max", "s8"), ("avg", "u8")])
@pytest.mark.parametrize("walk", [HALF, WHOLE, Walk(4, 4, (3, 3), padding=PAD)])
@pytest.mark.parametrize("cycles", [1, 37, 60])
def test_reset_in_a_frame(op, activation, walk, cycles):
    """Nothing of the frames before the reset is left in the banks."""
    dut, beats, y = case_of(walk, 3, op, density=0.1, activation=activation, ways=2, seed=cycles)
    _, junk, _ = case_of(walk, 3, op, density=1, activation=activation, ways=2, seed=1)
    sinks = ports(Sink, dut.o.way, to_beats(y, 2), (0.7,))
    run_after_reset(dut, ports(Source, dut.i.way, junk, (1.0,)),
                    ports(Source, dut.i.way, beats, (0.8,)), sinks, cycles=cycles)
    compare(dut, sinks, y)


# ---- The checks above fail when they should -----------------------------------------------------

BANKS = hdl.reduce.Banks


class Broken(BANKS):
    """Banks with one signal tied to 0."""

    def __init__(self, shape, *, channels, tied):
        super().__init__(shape, channels=channels)
        self.tied = tied

    def elaborate(self, platform):
        m = Module()
        m.submodules.banks = banks = BANKS(self.drained.shape(), channels=self.channels)
        for name in ("bank", "clearing", "address", "number", "write", "go"):
            m.d.comb += getattr(banks, name).eq(0 if name == self.tied else getattr(self, name))
        m.d.comb += [self.drained.eq(banks.drained), *(
            each.eq(value) for each, value in zip([*banks.data, *self.old], [*self.data, *banks.old]))]
        return m


@pytest.mark.parametrize("op", ["max", "avg"])
@pytest.mark.parametrize("tied", ["bank", "go", "write"])
def test_broken_banks_are_found(op, tied, monkeypatch):
    """One bank only, not cleared when drained, never written."""
    monkeypatch.setattr(hdl.reduce, "Banks", partial(Broken, tied=tied))
    with pytest.raises((AssertionError, TimeoutError)):
        check_pool(HALF, 3, op, frames=2)


def test_banks_not_cleared_after_a_reset_are_found(monkeypatch):
    monkeypatch.setattr(hdl.reduce, "Banks", partial(Broken, tied="clearing"))
    with pytest.raises(AssertionError):
        test_reset_in_a_frame("max", "u8", WHOLE, 60)


# ---- Bad parameters -----------------------------------------------------------------------------

AVERAGE = dict(op="avg", out_shape=8, multiplier=[1] * 4, shift=[0] * 4, low=0, high=255)
COUNTED = AVERAGE | dict(walk=Walk(6, 6, (3, 3), padding=PAD), multiplier=[1] * 9, shift=[0] * 9,
                         counted=(0, 0, 0, 0))
WRONG = [
    (dict(walk=(6, 6)), TypeError, r"^Walk must be a Walk, not \(6, 6\)$"),
    (dict(op="min"), ValueError, r"^Operation must be 'max' or 'avg', not 'min'$"),
    (dict(channels=0), TypeError, r"^Channels must be a positive integer, not 0$"),
    (dict(keep_zeros=1), TypeError, "Keep zeros must be a bool, not 1"),
    (dict(ways=5), ValueError, r"^Ways must be at most the 4 channels, not 5$"),
    (dict(ways=1.0), TypeError, r"^Ways must be a positive integer, not 1\.0$"),
    (dict(slots=1), ValueError, r"^Slots must be at least \d+, not 1$"),
    (dict(walk=WHOLE, slots=0), TypeError, r"^Slots must be a positive integer, not 0$"),
    (dict(low=0), ValueError, r"^Lower bound must be given for an average and only there, not 0$"),
    (dict(multiplier=[1] * 4), ValueError, r"^Multiplier must be given .*, not \[1, 1, 1, 1\]$"),
    (dict(out_shape=9), ValueError,
     r"^Output shape of a maximum must be unsigned\(8\), not 9$"),
    (dict(walk=Walk(2, 2, (1, 1), padding=PAD)), ValueError,
     r"^Every window of a maximum must have a tap inside the map, not lie in padding "
     r"\(1, 1, 1, 1\) only$"),
    (AVERAGE | dict(out_shape=None), ValueError,
     r"^Output shape must be given for an average, not None$"),
    (AVERAGE | dict(high=None), ValueError, r"^Upper bound must be given .*, not None$"),
    (AVERAGE | dict(shift=[0] * 3), ValueError,
     r"^Shifts must be 4, one per channel, not of shape \(3,\)$"),
    (AVERAGE | dict(multiplier=1), ValueError,
     r"^Multipliers must be 4, one per channel, not of shape \(\)$"),
    (dict(counted=PAD), ValueError,
     r"^Counted padding must be given for an average only, not \(1, 1, 1, 1\)$"),
    (COUNTED | dict(counted=(0, 0)), ValueError,
     r"^Counted padding must be 4 integers, not \(0, 0\)$"),
    (COUNTED | dict(counted=(0, 2, 0, 0)), ValueError,
     r"^Counted padding must be from 0 to 1, not 2$"),
    (COUNTED | dict(counted=(0, 0, 0, 0.5)), TypeError,
     r"^Counted padding must be an integer, not 0\.5$"),
    (COUNTED | dict(multiplier=[1] * 4), ValueError,
     r"^Multipliers must be 9, one per counted tap, not of shape \(4,\)$"),
    (COUNTED | dict(walk=Walk(2, 2, (1, 1), padding=PAD), multiplier=[1], shift=[0]), ValueError,
     r"^Every window of an average must have a tap that counts, not lie outside the counted "
     r"padding \(0, 0, 0, 0\)$"),
    (dict(requantize_cycles=4), ValueError,
     r"^Requantize cycles must be 1 for a maximum, not 4$"),
    (AVERAGE | dict(requantize_cycles=9), ValueError, r"^Cycles must be from 1 to 8, not 9$"),
    (dict(threshold=4), ValueError, r"^Threshold must be 0 for a maximum, not 4$"),
    (AVERAGE | dict(threshold=256), ValueError, r"^Threshold must be from 0 to 255, not 256$"),
    (AVERAGE | dict(low=1), ValueError, r"^Lower bound must be from 0 to 0, not 1$"),
]


@pytest.mark.parametrize("change, error, message", WRONG)
def test_wrong_parameters(change, error, message):
    with pytest.raises(error, match=message):
        Pool(8, **(dict(walk=HALF, channels=4, op="max") | change))


@pytest.mark.parametrize("change, error, message", [
    (dict(walk=None), TypeError, r"^Walk must be a Walk, not None$"),
    (dict(op="avg"), ValueError, r"^Operation must be 'max' or 'sum', not 'avg'$"),
    (dict(channels=-1), TypeError, r"^Channels must be a positive integer, not -1$"),
    (dict(depth=3), ValueError, r"^Depth must be at least the 4 channels, not 3$"),
    (dict(op="max", out_shape=8), ValueError, r"^Output shape must be given for a sum only, not 8$"),
])
def test_wrong_parameters_of_reduce(change, error, message):
    with pytest.raises(error, match=message):
        Reduce(8, **(dict(walk=HALF, channels=4, op="sum") | change))


@pytest.mark.parametrize("shape, walk, sums", [
    (unsigned(8), HALF, unsigned(10)), (signed(8), HALF, signed(10)),
    (unsigned(4), WHOLE, unsigned(8)), (signed(17), Walk(1, 1), signed(17)),
    (unsigned(8), Walk(2, 2, (3, 3), padding=PAD), unsigned(10)),
])
def test_width_of_sums(shape, walk, sums):
    """As narrow as the taps inside the map allow."""
    assert Reduce(shape, walk=walk, channels=2, op="sum").out_shape == sums
    assert Reduce(shape, walk=walk, channels=2, op="max").out_shape == shape
