# amaranth: UnusedElaboratable=no
"""The counter bank against plain sums."""
import random

import pytest
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st

from hdl.counters import CounterBank
from hdl.memory import MemorySize
from strategies import check


def simulate(bank, testbench):
    simulator = Simulator(bank)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()


async def snapshot(ctx, bank, advance):
    """Totals as the bank shows them; ``advance`` lets a cycle pass."""
    ctx.set(bank.snapshot, 1)
    await advance(ctx)
    ctx.set(bank.snapshot, 0)
    cycles = 0
    while ctx.get(bank.busy):
        await advance(ctx)
        cycles += 1
    assert cycles <= 2 * bank.sweep
    words = []
    for address in range(2 * len(bank.most)):
        ctx.set(bank.address, address)
        await advance(ctx)
        words.append(ctx.get(bank.data))
    return [low | high << 32 for low, high in zip(words[::2], words[1::2])]


@check(12)
@given(most=st.lists(st.integers(1, 20), min_size=1, max_size=12), seed=st.integers(0, 1 << 20),
       share=st.sampled_from([0.2, 1.0]))
def test_totals_are_all_of_one_cycle(most, seed, share):
    """Each snapshot equals the sums up to one cycle, within a sweep of the request."""
    bank, rng = CounterBank(most), random.Random(seed)
    history = [[0] * len(most)]

    async def advance(ctx):
        counts = [amount if rng.random() < share else rng.randrange(amount + 1) for amount in most]
        for n, count in enumerate(counts):
            ctx.set(bank.events[f"event_{n}"], count)
        history.append([a + b for a, b in zip(history[-1], counts)])
        await ctx.tick()

    async def testbench(ctx):
        for _ in range(4):
            for _ in range(rng.randrange(3 * bank.sweep)):
                await advance(ctx)
            asked = len(history)
            totals = await snapshot(ctx, bank, advance)
            window = history[asked - 1:asked + bank.sweep + 1]
            assert totals in window, f"{totals} is none of {window}"
    simulate(bank, testbench)


def test_carries_into_the_high_word():
    """Totals of more than 32 bits: the low word does not stop."""
    bank = CounterBank([(1 << 29) - 1, 1])

    async def advance(ctx):
        ctx.set(bank.events["event_0"], (1 << 29) - 1)
        ctx.set(bank.events["event_1"], 1)
        await ctx.tick()

    async def testbench(ctx):
        for _ in range(40):
            await advance(ctx)
        large, small = await snapshot(ctx, bank, advance)
        assert large == small * ((1 << 29) - 1) and large >> 32
    simulate(bank, testbench)


def test_reset_clears():
    """What a reset in the middle of a sweep left in the chain does not count."""
    from amaranth import Module, Signal
    from amaranth.hdl import ResetInserter
    m, reset, bank = Module(), Signal(), CounterBank([3, 3, 1])
    m.submodules.bank = ResetInserter(reset)(bank)

    async def testbench(ctx):
        async def advance(ctx):
            await ctx.tick()
        for n in range(3):
            ctx.set(bank.events[f"event_{n}"], 1)
        await ctx.tick().repeat(40)
        assert min(await snapshot(ctx, bank, advance)) > 20
        for at in range(bank.sweep):
            await ctx.tick().repeat(at + 1)
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)
            totals = await snapshot(ctx, bank, advance)
            assert len(set(totals)) == 1 and totals[0] <= 3 * bank.sweep
    simulate(m, testbench)


def test_parameters():
    assert CounterBank([1] * 7).sweep == 9
    assert CounterBank([1] * 7).memories == {MemorySize(7, 64, "ram"): 2}
    with pytest.raises(TypeError, match=r"^Events per cycle must be a positive integer, not 0$"):
        CounterBank([1, 0])
    with pytest.raises(TypeError, match=r"^Counters must be a positive integer, not 0$"):
        CounterBank([])
