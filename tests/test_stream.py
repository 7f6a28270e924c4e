# amaranth: UnusedElaboratable=no
"""The pixel stream, its connections, the queue and the fork."""
import numpy as np
import pytest
from amaranth import Module, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st

from hdl.stream import (
    Fork,
    PixelSignature,
    Queue,
    beat_layout,
    channels_of_way,
    connect_pixels,
    connect_streams,
)
from sim.harness import Sink, Source, offers_without_ready, run
from sim.pixels import from_beats, to_beats
from strategies import (
    ACTIVATIONS,
    STALLS,
    check,
    latencies,
    ports,
    random_map,
    run_after_reset,
    shares,
)

# ---- Layouts, signatures and connections --------------------------------------------------------

@given(channels=st.integers(1, 200), ways=st.integers(1, 16))
@check(200)
def test_ways_share_the_channels(channels, ways):
    rides = [[c for c in range(channels) if c % ways == way] for way in range(ways)]
    assert [channels_of_way(channels, ways, way) for way in range(ways)] == list(map(len, rides))
    assert channels_of_way(channels, ways) == max(map(len, rides))


@pytest.mark.parametrize("channels, width", [(1, 1), (2, 1), (3, 2), (64, 6), (65, 7)])
def test_beat_layout(channels, width):
    layout = beat_layout(signed(9), channels)
    assert layout["value"].shape == signed(9)
    assert layout["channel"].shape == width and layout["last"].shape == 1


def test_signature():
    signature = PixelSignature(8, channels=7, ways=3)
    assert (signature.shape, signature.channels, signature.ways) == (unsigned(8), 7, 3)
    assert signature.beat == beat_layout(8, 3)
    assert signature == PixelSignature(unsigned(8), channels=7, ways=3)
    for other in (PixelSignature(signed(8), channels=7, ways=3), signature.members,
                  PixelSignature(8, channels=8, ways=3), PixelSignature(8, channels=7, ways=2)):
        assert signature != other
    assert repr(signature) == "PixelSignature(unsigned(8), channels=7, ways=3)"
    interface = signature.create()
    assert interface.way == [interface.way_0, interface.way_1, interface.way_2]
    assert signature.is_compliant(interface)


@pytest.mark.parametrize("kwargs, error, message", [
    (dict(channels=0), TypeError, "Channels must be a positive integer, not 0"),
    (dict(channels=True), TypeError, "Channels must be a positive integer, not True"),
    (dict(channels=4, ways=0), TypeError, "Ways must be a positive integer, not 0"),
    (dict(channels=4, ways=1.0), TypeError, r"Ways must be a positive integer, not 1\.0"),
    (dict(channels=4, ways=5), ValueError, "Ways must be at most the 4 channels, not 5"),
])
def test_signature_refuses(kwargs, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        PixelSignature(8, **kwargs)


@pytest.mark.parametrize("source, sink", [
    (unsigned(8), signed(8)),
    (unsigned(9), data.StructLayout({"value": 8, "last": 1})),
    (data.StructLayout({"value": 8, "last": 1}), data.StructLayout({"value": 8, "first": 1})),
])
def test_unequal_payloads_do_not_connect(source, sink):
    a, b = stream.Signature(source).create(), stream.Signature(sink).create()
    with pytest.raises(TypeError, match=r"^Stream payloads must have equal shapes, not .* and .*$"):
        connect_streams(Module(), a, b)


def test_unequal_ways_do_not_connect():
    a, b = (PixelSignature(8, channels=4, ways=n).create() for n in (1, 2))
    with pytest.raises(TypeError, match=r"^Pixel streams must have equally many ways, not 1 and 2$"):
        connect_pixels(Module(), a, b)


# ---- Queue --------------------------------------------------------------------------------------



LAYOUT = data.StructLayout({"value": signed(5), "last": 1})


@given(depth=st.integers(1, 9), count=st.integers(1, 60), p_in=shares, p_out=shares)
@check(25)
def test_queue(depth, count, p_in, p_out):
    dut = Queue(LAYOUT, depth=depth)
    sent = [{"value": n % 32 - 16, "last": n % 3 == 0} for n in range(count)]
    sink = Sink(dut.o, count, p_out[0])
    run(dut, [Source(dut.i, sent, p_in[0])], [sink], seed=count)
    assert [{"value": got.value, "last": got.last} for got in sink.got] == sent


@pytest.mark.parametrize("shape", [unsigned(7), signed(7), LAYOUT])
def test_queue_latency_and_rate(shape):
    dut = Queue(shape, depth=4)
    sent = [LAYOUT.const({"value": n - 9, "last": 0}) if shape is LAYOUT else n for n in range(20)]
    sink = Sink(dut.o, 20)
    run(dut, [Source(dut.i, sent)], [sink])
    assert sink.got == sent
    assert latencies(sink) == list(range(2, 22))


@pytest.mark.parametrize("depth, rounded", [(1, 2), (2, 2), (3, 4), (4, 4), (5, 8), (16, 16)])
def test_queue_holds_its_depth(depth, rounded):
    dut, taken = Queue(8, depth=depth), []

    async def fill(ctx):
        ctx.set(dut.i.valid, 1)
        for _ in range(40):
            _, _, ready = await ctx.tick().sample(dut.i.ready)
            taken.append(ready)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(fill)
    simulator.run()
    assert dut.depth == rounded
    assert sum(taken) == rounded + 1            # one more stands in the output register


def test_queue_offers_without_ready():
    dut = Queue(8, depth=2)
    assert offers_without_ready(dut, [Source(dut.i, [1])], dut.o)


@pytest.mark.parametrize("cycles", [1, 3, 10])
def test_queue_after_reset(cycles):
    dut = Queue(8, depth=4)
    sink = Sink(dut.o, 30, 0.5)
    run_after_reset(dut, [Source(dut.i, [200])], [Source(dut.i, list(range(30)))], [sink],
                    cycles=cycles)
    assert sink.got == list(range(30))


@pytest.mark.parametrize("depth", [0, -1, 2.0, None])
def test_queue_refuses(depth):
    with pytest.raises(TypeError, match=f"^Depth must be a positive integer, not {depth}$"):
        Queue(8, depth=depth)


# ---- Fork ---------------------------------------------------------------------------------------

def check_fork(channels, ways, depths, p_in, p_out, activation="u8", frames=2):
    shape, low, high = ACTIVATIONS[activation]
    dut = Fork(PixelSignature(shape, channels=channels, ways=ways), depths=depths)
    x = random_map(np.random.default_rng(channels), (frames, 3, 3, channels), low, high, 0.5)
    beats = to_beats(x, ways)
    sinks = ports(Sink, [way for o in dut.o for way in o.way], beats * len(depths), p_out)
    run(dut, ports(Source, dut.i.way, beats, p_in), sinks, seed=ways)
    for n in range(len(depths)):
        got = from_beats([sink.got for sink in sinks[n * ways:(n + 1) * ways]], x.shape)
        assert np.array_equal(got, x)


@given(channels=st.integers(1, 9), data=st.data(), p_in=shares, p_out=shares,
       depths=st.lists(st.integers(1, 5), min_size=1, max_size=3),
       activation=st.sampled_from(sorted(ACTIVATIONS)))
@check(15)
def test_fork(channels, data, depths, p_in, p_out, activation):
    check_fork(channels, data.draw(st.integers(1, channels)), depths, p_in, p_out, activation)


@pytest.mark.parametrize("p_in, p_out", STALLS)
def test_fork_under_stalls(p_in, p_out):
    check_fork(5, 2, [4, 8], [p_in], [p_out, 1.0, 0.2])


def test_a_consumer_runs_ahead_by_its_depth():
    dut = Fork(PixelSignature(8, channels=2), depths=[8, 4])
    beats = to_beats(np.arange(1, 41).reshape(20, 2), 1)[0]
    # The second output is never ready: its queue holds 4 beats, and its output register another.
    ahead = Sink(dut.o[0].way[0], 5)
    run(dut, [Source(dut.i.way[0], beats)], [ahead])
    assert [got.value for got in ahead.got] == [1, 2, 3, 4, 5]


def test_fork_offers_without_ready():
    dut = Fork(PixelSignature(8, channels=4, ways=2), depths=[2, 2])
    beats = to_beats(np.full((1, 4), 3), 2)
    for o in dut.o:
        for way in o.way:
            assert offers_without_ready(dut, ports(Source, dut.i.way, beats, [1.0]), way)


@pytest.mark.parametrize("signature, depths, message", [
    (stream.Signature(8), [1], "Signature must be a PixelSignature, not .*"),
    (PixelSignature(8, channels=1), [2, 0], "Depth must be a positive integer, not 0"),
])
def test_fork_refuses(signature, depths, message):
    with pytest.raises(TypeError, match=f"^{message}$"):
        Fork(signature, depths=depths)


# ---- Connection of whole components -------------------------------------------------------------

class Chain(wiring.Component):
    """Two queues one behind the other, way by way: connect_pixels at both ends and between."""

    def __init__(self, signature):
        self.forks = [Fork(signature, depths=[2]) for _ in range(2)]
        super().__init__({"i": In(signature), "o": Out(signature)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.a, m.submodules.b = a, b = self.forks
        connect_pixels(m, wiring.flipped(self.i), a.i)
        connect_pixels(m, a.o[0], b.i)
        connect_pixels(m, b.o[0], wiring.flipped(self.o))
        return m


@pytest.mark.parametrize("channels, ways", [(1, 1), (5, 3), (4, 4)])
@pytest.mark.parametrize("p_in, p_out", STALLS)
def test_connected_components(channels, ways, p_in, p_out):
    x = random_map(np.random.default_rng(1), (2, 4, channels), -4, 3, 0.5)
    dut, beats = Chain(PixelSignature(signed(3), channels=channels, ways=ways)), to_beats(x, ways)
    sinks = ports(Sink, dut.o.way, beats, [p_out])
    run(dut, ports(Source, dut.i.way, beats, [p_in]), sinks)
    assert np.array_equal(from_beats([sink.got for sink in sinks], x.shape), x)
