# amaranth: UnusedElaboratable=no
"""The serial line: bytes there and back, and a design's frames over it."""
import random

import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from cores.ecp5.host_link import HostLink
from cores.ecp5.pll import pll_dividers
from cores.errors import UserError
from hdl.stream import connect_streams
from hdl.uart import UartReceiver, UartTransmitter
from sim.harness import Sink, Source, run


class Loop(wiring.Component):
    """A transmitter and a receiver on one line."""

    def __init__(self, divisor, other):
        self.send, self.take = UartTransmitter(divisor=divisor), UartReceiver(divisor=other)
        super().__init__({"i": In(self.send.i.signature.flip()), "o": Out(self.take.o.signature)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.send, m.submodules.take = self.send, self.take
        m.d.comb += self.take.rx.eq(self.send.tx)
        connect_streams(m, wiring.flipped(self.i), self.send.i)
        connect_streams(m, self.take.o, wiring.flipped(self.o))
        return m


@settings(derandomize=True, deadline=None, max_examples=10)
@given(st.binary(min_size=1, max_size=12), st.integers(4, 40), st.sampled_from([1.0, 0.02]))
def test_bytes_over_a_line(data, divisor, p):
    """All values arrive, with and without pauses; back to back, a byte takes ten bits."""
    loop = Loop(divisor, divisor)
    sink = Sink(loop.o, len(data))
    run(loop, [Source(loop.i, list(data), p)], [sink])
    assert bytes(sink.got) == data
    if p == 1:
        assert {b - a for a, b in zip(sink.cycles, sink.cycles[1:])} <= {10 * divisor}


@pytest.mark.parametrize("other", [32, 34])
def test_clocks_that_differ(other):
    """Up to 3 %: the last bit is sampled a third of a bit off."""
    loop, data = Loop(33, other), list(range(0, 256, 9))
    sink = Sink(loop.o, len(data))
    run(loop, [Source(loop.i, data)], [sink])
    assert sink.got == data


@pytest.mark.parametrize("make", [UartReceiver, UartTransmitter])
def test_divisor(make):
    with pytest.raises(ValueError, match="Divisor must be from 4 to 16777216, not 3"):
        make(divisor=3)


class Wires(wiring.Component):
    """A host's end of the line in front of a link."""

    def __init__(self, link):
        self.link, self.host_tx = link, UartTransmitter(divisor=link.divisor)
        self.host_rx = UartReceiver(divisor=link.divisor)
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.submodules.link, m.submodules.host_tx, m.submodules.host_rx = self.link, self.host_tx, self.host_rx
        m.d.comb += [self.link.rx.eq(self.host_tx.tx), self.host_rx.rx.eq(self.link.tx), self.host_rx.o.ready.eq(1)]
        return m


class Bench:
    """A host that sends ``script``, bytes and pauses in cycles, and a design that answers each frame."""

    def __init__(self, link, script, answers, *, p=0.5, seed=1):
        self.link, self.script, self.answers = link, script, answers
        self.beats, self.bytes, self.restarts = [], b"", 0
        self.p, self.rng = p, random.Random(seed)
        self.wires = Wires(link)
        simulator = Simulator(self.wires)
        simulator.add_clock(1e-8)
        for process in (self.host, self.design, self.answer, self.listen):
            simulator.add_testbench(process, background=process != self.host)
        simulator.run()

    async def host(self, ctx):
        stream = self.wires.host_tx.i
        for item in self.script:
            if isinstance(item, int):
                await ctx.tick().repeat(item)
                continue
            for byte in item:
                ctx.set(stream.payload, byte)
                ctx.set(stream.valid, 1)
                while True:
                    _, _, ready = await ctx.tick().sample(stream.ready)
                    if ready:
                        break
            ctx.set(stream.valid, 0)
        await ctx.tick().repeat(3000)

    async def design(self, ctx):
        """Takes beats."""
        beat = self.link.to_design
        while True:
            ctx.set(beat.tready, self.rng.random() < self.p)
            _, _, ready, valid, data, last, restart = await ctx.tick().sample(
                beat.tready, beat.tvalid, beat.tdata, beat.tlast, self.link.restart)
            self.restarts += restart
            if ready and valid:
                self.beats.append((data, last))

    async def answer(self, ctx):
        beat = self.link.from_design
        for data in self.answers:
            while self.rng.random() > self.p:
                await ctx.tick()
            ctx.set(beat.tdata, data)
            ctx.set(beat.tvalid, 1)
            while True:
                _, _, ready = await ctx.tick().sample(beat.tready)
                if ready:
                    break
            ctx.set(beat.tvalid, 0)

    async def listen(self, ctx):
        stream = self.wires.host_rx.o
        while True:
            _, _, valid, byte = await ctx.tick().sample(stream.valid, stream.payload)
            if valid:
                self.bytes += bytes([byte])


def words(data, size):
    """Beats of a frame."""
    parts = [data[n:n + size] for n in range(0, len(data), size)]
    return [(int.from_bytes(part, "little"), part is parts[-1]) for part in parts]


@pytest.mark.parametrize("size, bytes_in, bytes_out", [(8, 20, 10), (1, 3, 2), (4, 8, 4), (2, 1, 1)])
def test_frames_over_a_line(size, bytes_in, bytes_out):
    """Frames back to back; what fills up their last beats stays off the line."""
    rng = random.Random(size)
    frames, results = [rng.randbytes(bytes_in) for _ in range(3)], [rng.randbytes(bytes_out) for _ in range(3)]
    answers = [int.from_bytes(result[n:n + size].ljust(size, b"\xee"), "little")
               for result in results for n in range(0, bytes_out, size)]
    link = HostLink(divisor=4, bytes_in=bytes_in, bytes_out=bytes_out, beat_bytes=size, pause=200)
    bench = Bench(link, frames, answers)
    mask = {len(part): (1 << 8 * len(part)) - 1 for part in [b"x" * n for n in range(1, size + 1)]}
    rest = mask[bytes_in % size or size]
    got = [(data & (rest if last else mask[size]), last) for data, last in bench.beats]
    assert got == [beat for frame in frames for beat in words(frame, size)]
    assert bench.bytes == b"".join(results) and bench.restarts == 0


def test_pause_within_a_frame():
    """Silence between frames is nothing; within one it makes the design begin anew, and the next is whole."""
    link = HostLink(divisor=4, bytes_in=6, bytes_out=2, beat_bytes=2, pause=300)
    bench = Bench(link, [b"abcdef", 900, b"xyz", 200, b"uvw", 1, b"123", 900, b"ABCDEF"], [])
    assert bench.restarts == 1
    assert bench.beats == [*words(b"abcdef", 2), *words(b"xyzuvw", 2), *words(b"12", 2)[:0],
                           (int.from_bytes(b"12", "little"), 0), *words(b"ABCDEF", 2)]


def test_design_that_takes_no_bytes():
    """A byte that finds no place makes both begin anew, rather than shift all frames behind it."""
    link = HostLink(divisor=4, bytes_in=6, bytes_out=2, beat_bytes=2, pause=300)
    bench = Bench(link, [b"abcdef"], [], p=0)
    assert bench.restarts >= 1 and bench.beats == []


@pytest.mark.parametrize("source, wanted", [(25, 75), (25, 100), (100, 120), (100, 62.5), (12, 48)])
def test_pll(source, wanted):
    refer, feedback, out = pll_dividers(source, wanted)
    assert source / refer * feedback == pytest.approx(wanted, rel=1e-3)
    assert 400 <= wanted * out <= 800 and source / refer >= 3.125


def test_no_pll():
    with pytest.raises(UserError, match=r"No PLL setting makes 77.123 MHz of the board's 25 MHz; give another --clock"):
        pll_dividers(25, 77.123)
