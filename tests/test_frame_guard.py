# amaranth: UnusedElaboratable=no
"""Frames at the ports of something that is reset in the middle of them."""
import random

import pytest
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st

from hdl.frame_guard import InputGuard, OutputGuard
from strategies import check

BITS = 16


def frames_of(rng, count):
    """Random frames, as lists of (data, last)."""
    frames = []
    for n in range(count):
        length = rng.choice([1, 1, 2, 3, 7])
        frames.append([(n << 8 | k, int(k == length - 1)) for k in range(length)])
    return frames


async def drive(ctx, port, rng, beats, share):
    """Offer beats; yields after each cycle."""
    for data, last in beats:
        while rng.random() > share:
            await ctx.tick()
        ctx.set(port.tdata, data)
        ctx.set(port.tlast, last)
        ctx.set(port.tvalid, 1)
        while not (await ctx.tick().sample(port.tready))[2]:
            pass
        ctx.set(port.tvalid, 0)


def run(dut, frames, seed, *, share, resets):
    """Stream frames through a guard whose restart is asserted now and then; the frames that come out.

    Each is a list of (data, last, user). Also returned: the restarts, and how many cut a frame.
    """
    rng, got, restarts, cuts = random.Random(seed), [[]], [0], [0]
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)

    async def source(ctx):
        if hasattr(dut, "enable"):
            ctx.set(dut.enable, 1)
        await ctx.tick().repeat(2)
        for frame in frames:
            await drive(ctx, dut.s_axis, random.Random(f"{seed} {frame[0][0]}"), frame, share)
        ctx.set(dut.restart, 0)
        await ctx.tick().repeat(60)

    async def sink(ctx):
        user, waiting = getattr(dut.m_axis, "tuser", dut.m_axis.tlast), None
        while True:
            ready = rng.random() < share
            ctx.set(dut.m_axis.tready, ready)
            _, _, valid, data, last, bad, restart, cut = await ctx.tick().sample(
                dut.m_axis.tvalid, dut.m_axis.tdata, dut.m_axis.tlast, user, dut.restart, dut.cut)
            cuts[0] += cut
            beat = (data, last, bad)
            if waiting and (user is not dut.m_axis.tlast or not restart):
                assert valid and beat == waiting, "a beat that waits must stay"
            waiting = beat if valid and not ready else None
            if valid and ready:
                got[-1].append(beat)
                if last:
                    got.append([])
            if restart and isinstance(dut, InputGuard):
                assert not valid
                if got[-1]:             # whoever reads forgets what it has
                    got[-1] = []

    async def control(ctx):
        while resets:
            for _ in range(rng.randrange(5, 40)):
                await ctx.tick()
            restarts[0] += 1
            ctx.set(dut.restart, 1)
            for _ in range(rng.randrange(1, 9)):
                await ctx.tick()
            ctx.set(dut.restart, 0)

    simulator.add_testbench(source)
    simulator.add_testbench(sink, background=True)
    simulator.add_testbench(control, background=True)
    simulator.run()
    assert got.pop() == [], "the last frame must be complete"
    return got, restarts[0], cuts[0]


@check(12)
@given(seed=st.integers(0, 1 << 20), share=st.sampled_from([0.3, 0.7, 1.0]), resets=st.booleans())
def test_input(seed, share, resets):
    """Whole frames only come out, in their order; as many are missing as were cut."""
    frames = frames_of(random.Random(seed), 25)
    got, restarts, cuts = run(InputGuard(BITS), frames, seed, share=share, resets=resets)
    got = [[(data, last) for data, last, _ in frame] for frame in got]
    assert all(frame in frames for frame in got)
    assert got == sorted(got) and len(got) == len(frames) - cuts and cuts <= restarts


@check(12)
@given(seed=st.integers(0, 1 << 20), share=st.sampled_from([0.3, 0.7, 1.0]), resets=st.booleans())
def test_output(seed, share, resets):
    """Each frame comes out whole, or its first beats and a marked end. (Here the source goes on in the
    middle of it: what comes then is a frame too.)"""
    frames = frames_of(random.Random(seed), 25)
    got, restarts, cuts = run(OutputGuard(BITS), frames, seed, share=share, resets=resets)
    ends = [frame[-1] for frame in got]
    assert ends.count((0, 1, 1)) == cuts <= restarts
    beats = [beat[:2] for frame in got for beat in frame if beat != (0, 1, 1)]
    assert beats == [beat for frame in frames for beat in frame], "nothing is lost or doubled"


def test_forget_and_enable():
    """A sender that was reset too starts afresh; a frame that has begun is not stopped."""
    dut = InputGuard(BITS)
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator_got = []

    async def offer(ctx, data, last=0):
        ctx.set(dut.s_axis.tdata, data)
        ctx.set(dut.s_axis.tlast, last)
        ctx.set(dut.s_axis.tvalid, 1)
        ready, valid = (await ctx.tick().sample(dut.s_axis.tready, dut.m_axis.tvalid))[2:]
        ctx.set(dut.s_axis.tvalid, 0)
        simulator_got.append(valid)
        return ready

    async def testbench(ctx):
        ctx.set(dut.m_axis.tready, 1)
        await ctx.tick()
        assert not await offer(ctx, 1), "not enabled"
        ctx.set(dut.enable, 1)
        await ctx.tick()
        assert await offer(ctx, 1)
        ctx.set(dut.enable, 0)
        await ctx.tick()
        assert await offer(ctx, 2, 1), "it has begun"
        assert not await offer(ctx, 3), "the next has not"
        ctx.set(dut.enable, 1)
        await ctx.tick()
        assert await offer(ctx, 4)
        ctx.set(dut.restart, 1)
        await ctx.tick()
        ctx.set(dut.restart, 0)
        assert ctx.get(dut.discarding)
        assert await offer(ctx, 5)
        ctx.set(dut.forget, 1)
        await ctx.tick()
        ctx.set(dut.forget, 0)
        assert not ctx.get(dut.discarding)
        assert await offer(ctx, 6, 1)
    simulator.add_testbench(testbench)
    simulator.run()
    assert simulator_got == [0, 1, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("guard", [InputGuard, OutputGuard])
def test_messages(guard):
    with pytest.raises(ValueError, match=r"^Data bits must be a multiple of 8, not 12$"):
        guard(12)
