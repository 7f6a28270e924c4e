# amaranth: UnusedElaboratable=no
import random
from math import prod
from types import SimpleNamespace

import numpy as np
import pytest
from amaranth import Cat, Module, Shape, signed, unsigned
from amaranth.hdl import ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st

from hdl.axi import AxiStreamSignature, lane_bits
from hdl.axi_in import AxiInput
from hdl.axi_out import AxiOutput
from hdl.stream import connect_pixels, connect_streams
from sim.harness import Sink, Source, offers_without_ready, run
from sim.pixels import from_beats, to_beats
from strategies import check

# ---- AXI4-Stream for the harness ------------------------------------------------------------

def bus(port):
    """An AXI4-Stream port as a stream of Cat(tdata, tlast, tuser)."""
    payload = Cat(port.tdata, port.tlast, *([port.tuser] if hasattr(port, "tuser") else []))
    return SimpleNamespace(payload=payload, valid=port.tvalid, ready=port.tready)


def pack(samples, sample, beat_samples, last=True):
    """The beats that carry ``samples``; what pads the last one, and the lanes, is rubbish."""
    samples, bits = [int(q) for q in np.ravel(samples)], lane_bits(sample)
    rng = random.Random(len(samples))
    beats = []
    for start in range(0, len(samples), beat_samples):
        word = rng.getrandbits(bits * beat_samples)
        for n, q in enumerate(samples[start:start + beat_samples]):
            mask = (1 << Shape.cast(sample).width) - 1
            word = word & ~(mask << n * bits) | (q & mask) << n * bits
        beats.append(word)
    beats[-1] |= last << bits * beat_samples
    return beats


def unpack(beats, sample, beat_samples, shape):
    """The frames and the TUSER of each, from all beats of the output; checks TLAST and padding."""
    bits, signed_ = lane_bits(sample), Shape.cast(sample).signed
    per_frame = -(-prod(shape) // beat_samples)
    frames, users = [], []
    for start in range(0, len(beats), per_frame):
        lanes = []
        for n, beat in enumerate(beats[start:start + per_frame]):
            user, last = beat >> bits * beat_samples + 1, beat >> bits * beat_samples & 1
            assert last == (n == per_frame - 1), f"TLAST {last} on beat {n} of {per_frame}"
            assert last or not user, f"TUSER on beat {n} of {per_frame}"
            lanes += [beat >> bits * k & (1 << bits) - 1 for k in range(beat_samples)]
        assert not any(lanes[prod(shape):]), "padding must be zero"
        q = [v - (1 << bits) if signed_ and v >> bits - 1 else v for v in lanes[:prod(shape)]]
        frames.append(np.array(q).reshape(shape))
        users.append(user)
    return frames, users


class Loop(wiring.Component):
    """AxiInput straight into AxiOutput."""

    def __init__(self, shape, *, beat_out, keep_zeros=False, **common):
        self.a = AxiInput(shape, keep_zeros=keep_zeros, **common)
        self.b = AxiOutput(shape, **(common | {"beat_samples": beat_out}))
        super().__init__({
            "s_axis": self.a.signature.members["s_axis"],
            "m_axis": self.b.signature.members["m_axis"],
            "clear": In(1), "was_short": Out(1), "was_long": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.a, m.submodules.b = self.a, self.b
        connect_pixels(m, self.a.o, self.b.i)
        connect_streams(m, self.a.status, self.b.status)
        wiring.connect(m, wiring.flipped(self.s_axis), self.a.s_axis)
        wiring.connect(m, self.b.m_axis, wiring.flipped(self.m_axis))
        m.d.comb += [self.a.clear.eq(self.clear), self.was_short.eq(self.a.was_short),
                     self.was_long.eq(self.a.was_long)]
        return m


def stored_shape(sample, zero_point):
    sample = Shape.cast(sample)
    return sample if not zero_point else signed(sample.width + 1)


def draw_frame(rng, shape, sample, zero_point, density):
    """Random samples, extremes included, of which a share ``density`` is not the zero point."""
    low = -(1 << sample.width - 1) if sample.signed else 0
    high = low + (1 << sample.width) - 1
    frame = rng.integers(low, high + 1, shape)
    frame = np.where(rng.random(shape) < 0.2, rng.choice([low, high], shape), frame)
    return np.where(rng.random(shape) < density, frame, zero_point)


# ---- Whole loop -----------------------------------------------------------------------------

@st.composite
def formats(draw, biggest=5, most=9):
    channels = draw(st.integers(1, most))
    sample = Shape(draw(st.sampled_from([4, 8, 16])), draw(st.booleans()))
    half = 1 << sample.width - 1
    zero_point = draw(st.sampled_from([0, 3, half - 1] + ([-half] if sample.signed
                                                          else [2 * half - 1])))
    return dict(
        height=draw(st.integers(1, biggest)), width=draw(st.integers(1, biggest)),
        channels=channels, sample=sample, zero_point=zero_point,
        ways=draw(st.sampled_from([n for n in range(1, channels + 1) if channels % n == 0])),
        beat_samples=draw(st.sampled_from([1, 2, 4, 8])))


def shape_of(fmt):
    return fmt["height"], fmt["width"], fmt["channels"]


def loop(fmt, beats, count, *, beat_out=1, p=(1.0, 1.0), seed=0, keep_zeros=False):
    """Send ``beats``; return the frames and TUSERs that come back, and the harness's result."""
    stored = stored_shape(fmt["sample"], fmt["zero_point"])
    dut = Loop(stored, beat_out=beat_out, keep_zeros=keep_zeros, **fmt)
    out = Sink(bus(dut.m_axis), count * -(-prod(shape_of(fmt)) // beat_out), p[1])
    result = run(dut, [Source(bus(dut.s_axis), beats, p[0])], [out], seed=seed, max_cycles=6_000)
    return *unpack(out.got, fmt["sample"], beat_out, shape_of(fmt)), result


@check(50)
@given(fmt=formats(), beat_out=st.sampled_from([1, 2, 4, 8]), seed=st.integers(0, 99),
       density=st.sampled_from([0.0, 0.1, 0.5, 1.0]), frames=st.integers(1, 3),
       p=st.tuples(*[st.sampled_from([0.3, 0.8, 1.0])] * 2), keep_zeros=st.booleans())
def test_roundtrip(fmt, beat_out, seed, density, frames, p, keep_zeros):
    rng = np.random.default_rng(seed)
    sent = [draw_frame(rng, shape_of(fmt), fmt["sample"], fmt["zero_point"], density)
            for _ in range(frames)]
    beats = [beat for frame in sent for beat in pack(frame, fmt["sample"], fmt["beat_samples"])]
    got, users, _ = loop(fmt, beats, frames, beat_out=beat_out, p=p, seed=seed,
                         keep_zeros=keep_zeros)
    np.testing.assert_array_equal(got, sent)
    assert users == [0] * frames


@pytest.mark.parametrize("value", [0, 7])
def test_one_sample_frames(value):
    fmt = dict(height=1, width=1, channels=1, ways=1, sample=signed(8), zero_point=0,
               beat_samples=4)
    beats = [beat for n in range(40) for beat in pack([value * n], signed(8), 4)]
    got, users, _ = loop(fmt, beats, 40, p=(1.0, 0.6), beat_out=2)
    assert [int(frame.item()) for frame in got] == [value * n - (value * n > 127) * 256
                                                    for n in range(40)]
    assert users == [0] * 40


# ---- Frames of the wrong length -------------------------------------------------------------

def spoil(frame, fmt, rng, change):
    """Beats of ``frame`` with ``change`` beats too many or too few, and what should come of it."""
    size, per = frame.size, fmt["beat_samples"]
    samples = np.ravel(frame)
    beats = -(-size // per)
    if change < 0:
        sent = samples[:(beats + change) * per]
    elif change > 0:
        extra = draw_frame(rng, (beats + change) * per - size, fmt["sample"], 0, 1.0)
        sent = np.concatenate([samples, extra])
    else:
        sent = samples
    expected = np.full(size, fmt["zero_point"])
    expected[:len(sent)] = sent[:size]
    return pack(sent, fmt["sample"], per), expected.reshape(frame.shape)


@check(50)
@given(fmt=formats(biggest=3, most=6), data=st.data(), seed=st.integers(0, 99),
       p=st.tuples(*[st.sampled_from([0.5, 1.0])] * 2))
def test_short_and_long_frames(fmt, data, seed, p):
    rng = np.random.default_rng(seed)
    size = prod(shape_of(fmt))
    full = -(-size // fmt["beat_samples"])
    changes = data.draw(st.lists(st.integers(1 - full, 2 * full + 1) | st.just(0)
                                 | st.sampled_from([max(-1, 1 - full), 1]),
                                 min_size=2, max_size=5))
    sent, expected = [], []
    for change in changes + [0]:
        frame = draw_frame(rng, shape_of(fmt), fmt["sample"], fmt["zero_point"], 0.7)
        beats, wanted = spoil(frame, fmt, rng, change)
        sent += beats
        expected.append(wanted)
    got, users, _ = loop(fmt, sent, len(expected), beat_out=2, p=p, seed=seed)
    np.testing.assert_array_equal(got, expected)
    assert users == [int(change != 0) for change in changes] + [0]


@pytest.mark.parametrize("beat_samples", [1, 2, 8])
@pytest.mark.parametrize("ways", [1, 3])
def test_every_length(ways, beat_samples):
    """Frames of 18 samples, from one beat to two frames and a beat, each with a good one behind."""
    fmt = dict(height=2, width=3, channels=3, ways=ways, sample=unsigned(8), zero_point=5,
               beat_samples=beat_samples)
    rng = np.random.default_rng(0)
    full = -(-18 // beat_samples)
    sent, expected, bad = [], [], []
    for change in range(1 - full, full + 2):
        for one in (change, 0):
            frame = draw_frame(rng, shape_of(fmt), unsigned(8), 5, 0.8)
            beats, wanted = spoil(frame, fmt, rng, one)
            sent += beats
            expected.append(wanted)
            bad.append(int(one != 0))
    got, users, _ = loop(fmt, sent, len(expected), beat_out=4, p=(1.0, 0.7))
    np.testing.assert_array_equal(got, expected)
    assert users == bad


def flags_after(frames, clears=()):
    """(was_short, was_long) after each frame of 4 beats made of ``frames[n]`` beats."""
    dut = Loop(unsigned(8), height=2, width=2, channels=1, sample=unsigned(8), zero_point=0,
               beat_samples=1, beat_out=1)
    seen = []

    async def testbench(ctx):
        ctx.set(dut.m_axis.tready, 1)
        for n, beats in enumerate(frames):
            ctx.set(dut.clear, n in clears)
            await ctx.tick()
            ctx.set(dut.clear, 0)
            for beat in range(beats):
                ctx.set(dut.s_axis.tvalid, 1)
                ctx.set(dut.s_axis.tlast, beat == beats - 1)
                ready = 0
                while not ready:
                    _, _, ready = await ctx.tick().sample(dut.s_axis.tready)
                # A long frame is known as such when its own samples have gone, not at its TLAST.
                if beats > 4 and beat == 5:
                    assert ctx.get(dut.was_long)
            ctx.set(dut.s_axis.tvalid, 0)
            await ctx.tick().repeat(10)
            seen.append((ctx.get(dut.was_short), ctx.get(dut.was_long)))

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    return seen


def test_flags_stick_until_cleared():
    assert flags_after([4, 3, 4, 6, 4]) == [(0, 0), (1, 0), (1, 0), (1, 1), (1, 1)]
    assert flags_after([3, 4, 9, 4], clears={1, 3}) == [(1, 0), (0, 0), (0, 1), (0, 0)]


def test_clear_does_not_hide_a_new_error():
    dut = AxiInput(unsigned(8), height=1, width=2, channels=1, sample=unsigned(8))
    seen = []

    async def testbench(ctx):
        ctx.set(dut.clear, 1)
        ctx.set(dut.s_axis.tvalid, 1)
        ctx.set(dut.s_axis.tlast, 1)
        for _ in range(8):
            await ctx.tick()
            seen.append(ctx.get(dut.was_short))

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    assert 0 in seen and 1 in seen


@pytest.mark.parametrize("ways, sample, channels", [(1, unsigned(8), 3), (3, unsigned(8), 3), (2, signed(16), 2)])
def test_bytes_of_the_last_beat(ways, sample, channels):
    """With TKEEP a frame of the right number of beats is short or long by bytes, and told once."""
    dut = AxiInput(sample, height=2, width=3, channels=channels, ways=ways, sample=sample, beat_samples=8, keep=True)
    size = 6 * channels * lane_bits(sample) // 8
    per, told = 8 * lane_bits(sample) // 8, []
    lengths = [size, size - 1, -(-size // per) * per, size + 1, size - per, size + per, size]

    async def send(ctx):
        for length in lengths:
            for start in range(0, length, per):
                ctx.set(dut.s_axis.tkeep, (1 << min(per, length - start)) - 1)
                ctx.set(dut.s_axis.tlast, start + per >= length)
                ctx.set(dut.s_axis.tvalid, 1)
                while not (await ctx.tick().sample(dut.s_axis.tready))[2]:
                    pass
            ctx.set(dut.s_axis.tvalid, 0)

    async def receive(ctx):
        ctx.set(dut.clear, 1)
        for way in dut.o.way:
            ctx.set(way.ready, 1)
        ctx.set(dut.status.ready, 1)
        flags = []
        while len(told) < len(lengths):
            _, _, valid, bad, short, long = await ctx.tick().sample(
                dut.status.valid, dut.status.payload, dut.was_short, dut.was_long)
            flags += ["short"] * short + ["long"] * long
            if valid:
                told.append(bad)
        assert flags == ["short", "long", "short", "long"]
        assert told == [0, 1, 0, 1, 1, 1, 0]

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(receive)
    simulator.add_testbench(send, background=True)
    simulator.run()


# ---- The sparse side ------------------------------------------------------------------------

@pytest.mark.parametrize("keep_zeros", [False, True])
@pytest.mark.parametrize("ways", [1, 2, 3, 6])
def test_input_beats(ways, keep_zeros):
    rng = np.random.default_rng(ways)
    frame = draw_frame(rng, (2, 4, 3, 6), unsigned(8), 100, 0.4)
    dut = AxiInput(signed(9), height=4, width=3, channels=6, ways=ways, sample=unsigned(8),
                   zero_point=100, beat_samples=4, keep_zeros=keep_zeros)
    beats = [beat for one in frame for beat in pack(one, unsigned(8), 4)]
    expected = to_beats(frame - 100, ways, keep_zeros)
    sinks = [Sink(way, len(expected[w]), 0.7) for w, way in enumerate(dut.o.way)]
    status = Sink(dut.status, 2)
    run(dut, [Source(bus(dut.s_axis), beats, 0.8)], [*sinks, status])
    for sink, wanted in zip(sinks, expected):
        assert sink.got == [sink.stream.payload.shape().const(beat) for beat in wanted]
    assert status.got == [0, 0]
    np.testing.assert_array_equal(from_beats([s.got for s in sinks], frame.shape), frame - 100)


def test_output_takes_a_closing_zero_of_any_channel():
    """Producers need not know which channel comes last in an all-zero pixel."""
    dut = AxiOutput(unsigned(8), height=1, width=3, channels=4, sample=unsigned(8), zero_point=0)
    pixels = [{"value": 0, "channel": 0, "last": 1}, {"value": 9, "channel": 1, "last": 1},
              {"value": 0, "channel": 3, "last": 1}]
    out = Sink(bus(dut.m_axis), 12)
    run(dut, [Source(dut.i.way[0], pixels), Source(dut.status, [1])], [out])
    frames, users = unpack(out.got, unsigned(8), 1, (1, 3, 4))
    assert frames[0].tolist() == [[[0] * 4, [0, 9, 0, 0], [0] * 4]] and users == [1]


@pytest.mark.parametrize(("channels", "ways"), [(5, 2), (7, 3), (4, 4)])
def test_output_ways_need_not_divide_channels(channels, ways):
    rng = np.random.default_rng(channels)
    frames = draw_frame(rng, (3, 2, 2, channels), signed(4), 0, 0.5)
    dut = AxiOutput(signed(4), height=2, width=2, channels=channels, ways=ways, sample=signed(4),
                    beat_samples=4)
    sources = [Source(way, beats, 0.6) for way, beats in zip(dut.i.way, to_beats(frames, ways))]
    out = Sink(bus(dut.m_axis), 3 * channels, 0.7)
    run(dut, [*sources, Source(dut.status, [0, 1, 0], 0.05)], [out])
    got, users = unpack(out.got, signed(4), 4, (2, 2, channels))
    np.testing.assert_array_equal(got, frames)
    assert users == [0, 1, 0]


def test_unequal_ways_do_not_deadlock():
    """The merge of the ways waits for an empty one; its queues must let the pixel be closed."""
    fmt = dict(height=2, width=1, channels=120, ways=2, sample=unsigned(8), zero_point=0,
               beat_samples=2)
    frame = np.tile([1, 0], 120).reshape(2, 1, 120)
    for one in (frame, 1 - frame):
        got, _, _ = loop(fmt, pack(one, unsigned(8), 2), 1)
        np.testing.assert_array_equal(got[0], one)


def test_input_waits_for_room_in_the_status_queue():
    dut = AxiInput(unsigned(8), height=1, width=1, channels=1, sample=unsigned(8))
    beats = pack([1], unsigned(8), 1) * 30
    out = Sink(dut.o.way[0], 17)                # 16 in the queue and one in its output register
    run(dut, [Source(bus(dut.s_axis), beats)], [out])   # fails if an 18th came


def test_output_waits_for_status_with_its_last_beat_only():
    dut = AxiOutput(unsigned(8), height=1, width=4, channels=1, sample=unsigned(8))
    pixels = [{"value": 1, "channel": 0, "last": 1}] * 4
    run(dut, [Source(dut.i.way[0], pixels)], [Sink(bus(dut.m_axis), 3)])    # fails at a 4th


def test_nobody_waits_for_ready():
    fmt = dict(height=2, width=2, channels=4, ways=2, sample=unsigned(8))
    beats = pack(range(1, 17), unsigned(8), 1)
    for way in range(2):
        dut = AxiInput(unsigned(8), **fmt)
        assert offers_without_ready(dut, [Source(bus(dut.s_axis), beats)], dut.o.way[way])
    dut = AxiInput(unsigned(8), height=1, width=1, channels=1, sample=unsigned(8))
    assert offers_without_ready(dut, [Source(bus(dut.s_axis), [256])], dut.status)
    dut = Loop(unsigned(8), beat_out=8, **fmt | {"zero_point": 0, "beat_samples": 1})
    assert offers_without_ready(dut, [Source(bus(dut.s_axis), beats)], bus(dut.m_axis))


class Restarted(wiring.Component):
    """A loop that is reset once, in cycle 30; the bus behind it is held still meanwhile."""

    def __init__(self, inner):
        self.inner, self.reset = inner, Signal()
        super().__init__(inner.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.inner = ResetInserter(self.reset)(self.inner)
        wiring.connect(m, wiring.flipped(self), self.inner)
        return m


def test_reset_in_a_frame():
    fmt = dict(height=3, width=3, channels=2, ways=2, sample=unsigned(8), zero_point=0,
               beat_samples=4)
    dut = Restarted(Loop(unsigned(8), beat_out=4, **fmt))
    rng = np.random.default_rng(1)
    first, second = draw_frame(rng, (2, 3, 3, 2), unsigned(8), 0, 0.7)
    beats, out = bus(dut.s_axis), []

    async def send(ctx):
        for beat in pack(first, unsigned(8), 4)[:3]:
            ctx.set(beats.payload, beat)
            ctx.set(beats.valid, 1)
            await ctx.tick()
        ctx.set(beats.valid, 0)
        await ctx.tick().repeat(5)
        ctx.set(dut.reset, 1)
        await ctx.tick()
        ctx.set(dut.reset, 0)
        ctx.set(dut.m_axis.tready, 1)
        for beat in pack(second, unsigned(8), 4):
            ctx.set(beats.payload, beat)
            ctx.set(beats.valid, 1)
            ready = 0
            while not ready:
                _, _, ready = await ctx.tick().sample(beats.ready)
        ctx.set(beats.valid, 0)
        await ctx.tick().repeat(60)

    async def collect(ctx):
        stream_ = bus(dut.m_axis)
        async for _, _, valid, ready, payload in ctx.tick().sample(
                stream_.valid, stream_.ready, stream_.payload):
            if valid and ready:
                out.append(payload)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(send)
    simulator.add_testbench(collect, background=True)
    simulator.run()
    frames, users = unpack(out, unsigned(8), 4, (3, 3, 2))
    np.testing.assert_array_equal(frames, [second])
    assert users == [0]


# ---- Timing ---------------------------------------------------------------------------------

FIRST = 1       # the cycle in which the harness offers the first payload


@pytest.mark.parametrize(("ways", "beat_samples"),
                         [(1, 1), (1, 8), (3, 1), (3, 2), (3, 8), (6, 4), (6, 8), (2, 8)])
@pytest.mark.parametrize("size", [(2, 4), (3, 3), (1, 1)])
def test_input_cycles(ways, beat_samples, size):
    """Three frames without a gap between beats, or between frames, at the rate of both sides."""
    height, width = size
    samples = height * width * 6
    dut = AxiInput(unsigned(8), height=height, width=width, channels=6, ways=ways,
                   sample=unsigned(8), beat_samples=beat_samples)
    frame = np.arange(1, samples + 1)
    beats = pack(frame, unsigned(8), beat_samples) * 3
    sinks = [Sink(way, 3 * samples // ways) for way in dut.o.way]
    run(dut, [Source(bus(dut.s_axis), beats)], [*sinks, Sink(dut.status, 3)])
    period = max(samples // ways, -(-samples // beat_samples))
    first = FIRST + 3 + -(-ways // beat_samples) - 1    # latency, beats of the first group
    for sink in sinks:
        assert sink.cycles[0] == first
        assert sink.cycles[samples // ways] - first == period
        assert sink.cycles[2 * samples // ways] - first == 2 * period
        if beat_samples >= ways:
            assert sink.cycles == list(range(first, first + 3 * samples // ways))


@pytest.mark.parametrize("beat_samples", [1, 2, 8])
def test_output_cycles(beat_samples):
    """One sample per cycle; a beat is offered one cycle after its last sample."""
    dut = AxiOutput(unsigned(8), height=2, width=2, channels=2, sample=unsigned(8),
                    beat_samples=beat_samples)
    frames = np.arange(1, 25).reshape(3, 2, 2, 2)
    out = Sink(bus(dut.m_axis), 24 // beat_samples)
    run(dut, [Source(dut.i.way[0], to_beats(frames, 1)[0]), Source(dut.status, [0] * 3)], [out])
    assert out.cycles == list(range(FIRST + beat_samples, FIRST + 25, beat_samples))


def test_output_cycles_of_several_ways():
    dut = AxiOutput(unsigned(8), height=2, width=2, channels=2, ways=2, sample=unsigned(8))
    beats = to_beats(np.arange(1, 9).reshape(1, 2, 2, 2), 2)
    out = Sink(bus(dut.m_axis), 8)
    run(dut, [Source(way, one) for way, one in zip(dut.i.way, beats)]
        + [Source(dut.status, [0])], [out])
    assert out.cycles == list(range(FIRST + 3, FIRST + 11))


def test_loop_latency():
    """The first sample of a frame is on the output bus 4 cycles after its beat."""
    dut = Loop(unsigned(8), height=1, width=1, channels=4, sample=unsigned(8), zero_point=0,
               beat_samples=4, beat_out=1)
    out = Sink(bus(dut.m_axis), 4)
    run(dut, [Source(bus(dut.s_axis), pack([1, 0, 3, 4], unsigned(8), 4))], [out])
    # The second sample is known to be 0 when the third is in sight, one cycle later.
    assert out.cycles == [FIRST + n for n in (4, 6, 7, 8)]


# ---- Helpers and parameters -----------------------------------------------------------------

@pytest.mark.parametrize("keep_zeros", [False, True])
def test_pixels_roundtrip(keep_zeros):
    rng = np.random.default_rng(3)
    frame = rng.integers(-2, 3, (2, 3, 5))
    for ways in (1, 2, 5):
        beats = to_beats(frame, ways, keep_zeros)
        np.testing.assert_array_equal(from_beats(beats, frame.shape), frame)
    assert to_beats([[[0, 0, 7, 0]]], 2) == [
        [{"value": 7, "channel": 1, "last": 1}], [{"value": 0, "channel": 1, "last": 1}]]


@pytest.mark.parametrize(("beats", "message"), [
    ([], r"^Way 0 closes 0 pixels, not 1$"),
    ([(1, 0, 0)], r"^Way 0 closes 0 pixels, not 1$"),
    ([(1, 1, 0), (1, 1, 1)], r"^Way 0, pixel 0: channel 1 after 1$"),
    ([(1, 2, 1)], r"^Way 0, pixel 0: channel 2 after -1$"),
    ([(1, 0, 1), (1, 0, 1)], r"^Way 0 carries more than 1 pixels$"),
])
def test_from_beats_refuses(beats, message):
    with pytest.raises(ValueError, match=message):
        from_beats([[dict(zip(("value", "channel", "last"), b)) for b in beats]], (1, 1, 2))


def test_signature():
    signature = AxiStreamSignature(data_bits=16, user_bits=1)
    assert list(signature.members) == ["tdata", "tlast", "tuser", "tvalid", "tready"]
    assert signature == AxiStreamSignature(data_bits=16, user_bits=1)
    assert signature != AxiStreamSignature(data_bits=16)
    assert repr(signature) == "AxiStreamSignature(data_bits=16, user_bits=1)"
    assert "tuser" not in AxiStreamSignature(data_bits=8).members


@pytest.mark.parametrize(("change", "error", "message"), [
    (dict(data_bits=12), ValueError, r"^Data bits must be a multiple of 8, not 12$"),
    (dict(data_bits=0), ValueError, r"^Data bits must be from 8 to 1024, not 0$"),
    (dict(data_bits="8"), TypeError, r"^Data bits must be an integer, not '8'$"),
    (dict(user_bits=-1), ValueError, r"^User bits must be from 0 to 4096, not -1$"),
])
def test_wrong_signature(change, error, message):
    with pytest.raises(error, match=message):
        AxiStreamSignature(**{"data_bits": 8} | change)


COMMON = [
    (dict(height=0), TypeError, r"^Height must be a positive integer, not 0$"),
    (dict(width=1.5), TypeError, r"^Width must be a positive integer, not 1.5$"),
    (dict(channels=0), TypeError, r"^Channels must be a positive integer, not 0$"),
    (dict(ways=0), TypeError, r"^Ways must be a positive integer, not 0$"),
    (dict(sample=unsigned(5)), ValueError,
     r"^Sample must be 4, 8 or 16 bits wide, not unsigned\(5\)$"),
    (dict(zero_point=256), ValueError, r"^Zero point must be from 0 to 255, not 256$"),
    (dict(zero_point=1.0), TypeError, r"^Zero point must be an integer, not 1.0$"),
    (dict(zero_point=1), ValueError,
     r"^Shape must hold stored values from -1 to 254, not unsigned\(8\)$"),
    (dict(sample=signed(8)), ValueError,
     r"^Shape must hold stored values from -128 to 127, not unsigned\(8\)$"),
    (dict(beat_samples=3), ValueError, r"^Beat samples must be a power of two up to 128, not 3$"),
    (dict(beat_samples=256), ValueError,
     r"^Beat samples must be a power of two up to 128, not 256$"),
    (dict(beat_samples=0), TypeError, r"^Beat samples must be a positive integer, not 0$"),
]


@pytest.mark.parametrize(("component", "change", "error", "message"), [
    *[(component, *case) for component in (AxiInput, AxiOutput) for case in COMMON],
    (AxiInput, dict(ways=3), ValueError, r"^Ways must be a divisor of the 4 channels, not 3$"),
    (AxiInput, dict(keep_zeros=1), TypeError, r"^Keep zeros must be a bool, not 1$"),
    (AxiOutput, dict(ways=5), ValueError, r"^Ways must be at most the 4 channels, not 5$"),
])
def test_wrong_parameters(component, change, error, message):
    good = dict(height=2, width=2, channels=4, sample=unsigned(8))
    component(unsigned(8), **good)
    with pytest.raises(error, match=message):
        component(unsigned(8), **good | change)
