"""What the tests of the components share: parameter spaces, random maps, a bench with a reset."""
import math
import os
import random

import numpy as np
from amaranth import ResetInserter, Signal, signed, unsigned
from amaranth.sim import Simulator
from hypothesis import settings
from hypothesis import strategies as st

from hdl.walk import Walk
from sim import harness

# Stored activations: shape, lowest and highest. An odd width is unsigned data with a zero point.
ACTIVATIONS = {
    "u4": (unsigned(4), 0, 15), "u8": (unsigned(8), 0, 255), "u16": (unsigned(16), 0, 65535),
    "s4": (signed(4), -8, 7), "s8": (signed(8), -128, 127), "s16": (signed(16), -32768, 32767),
    "s9": (signed(9), -170, 85), "s17": (signed(17), -40000, 25535),
    "s9 full": (signed(9), -256, 255), "s17 full": (signed(17), -65536, 65535),
}

# Shares of the cycles in which (sources offer, sinks are ready).
STALLS = [(1.0, 1.0), (0.5, 1.0), (1.0, 0.5), (0.3, 0.3)]

activations = st.sampled_from(sorted(ACTIVATIONS))
densities = st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])
seeds = st.integers(0, (1 << 32) - 1)
# One share for each port, in turn.
shares = st.lists(st.sampled_from([1.0, 1.0, 0.6, 0.25]), min_size=1, max_size=3)


# Of the examples that a property test asks for: `make soak` draws many, and others in every run.
EXAMPLES = float(os.environ.get("SKIPSTONE_EXAMPLES", 0.6))


def check(examples):
    """Settings of a property test."""
    return settings(deadline=None, derandomize=EXAMPLES <= 1, max_examples=math.ceil(examples * EXAMPLES))


@st.composite
def _axes(draw, taps, size, extra):
    """Size, kernel, stride, dilation and (before, after) padding of one axis."""
    kernel, stride, dilation = (draw(st.integers(1, n)) for n in (taps, 4, 3))
    pixels = draw(st.integers(1, size))
    # As much padding as the kernel needs to fit, or more: also windows that see no pixel.
    total = max(0, dilation * (kernel - 1) + 1 - pixels)
    total += draw(st.sampled_from([0, 0, 1, 2, extra]))
    before = draw(st.integers(0, total))
    return pixels, kernel, stride, dilation, before, total - before


@st.composite
def walks(draw, taps=11, size=7, extra=5):
    """Walks of every kind over small maps."""
    y, x = draw(_axes(taps, size, extra)), draw(_axes(taps, size, extra))
    return Walk(y[0], x[0], kernel=(y[1], x[1]), stride=(y[2], x[2]), dilation=(y[3], x[3]),
                padding=(y[4], x[4], y[5], x[5]))


@st.composite
def lanes(draw, walk, channels):
    """Channels, ways and lanes: lanes need not divide channels, ways divide lanes."""
    channels = draw(st.integers(1, channels))
    count = draw(st.integers(1, min(channels, 4)))
    return {"channels": channels, "lanes": count,
            "ways": draw(st.sampled_from([n for n in range(1, count + 1) if count % n == 0])),
            "row_lanes": draw(st.integers(1, min(walk.kernel[0], 3)))}


def random_map(rng, shape, low, high, density):
    """A map whose non-zeros are anything else from ``low`` to ``high``, a third of them extreme."""
    values = rng.integers(low, high, shape)
    values += values >= 0                                       # never 0
    extreme = rng.choice([value for value in (low, high) if value], shape)
    values = np.where(rng.random(shape) < 1 / 3, extreme, values)
    return np.where(rng.random(shape) < density, values, 0)


def ports(kind, streams, payloads, rates):
    """A Source for each stream, or a Sink that takes as many payloads."""
    return [kind(stream, data if kind is harness.Source else len(data), p=rates[n % len(rates)])
            for n, (stream, data) in enumerate(zip(streams, payloads, strict=True))]


def run_after_reset(dut, junk, sources, sinks, *, cycles, seed=0, max_cycles=20_000):
    """Feed the sources of ``junk`` for some cycles, reset the design, then do as harness.run."""
    reset, rng = Signal(), random.Random(seed)
    simulator = Simulator(ResetInserter(reset)(dut))
    simulator.add_clock(1e-8)

    async def before(ctx):
        sent = [0 for _ in junk]
        for _ in range(cycles):
            for source, n in zip(junk, sent, strict=True):
                ctx.set(source.stream.payload, source.payloads[n % len(source.payloads)])
                ctx.set(source.stream.valid, 1)
            for sink in sinks:
                ctx.set(sink.stream.ready, rng.random() < 0.5)
            _, _, *ready = await ctx.tick().sample(*(source.stream.ready for source in junk))
            sent = [n + bool(r) for n, r in zip(sent, ready, strict=True)]
        for source in junk:
            ctx.set(source.stream.valid, 0)
        for sink in sinks:
            ctx.set(sink.stream.ready, 0)
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)

    async def watchdog(ctx):
        await before(ctx)
        for _ in range(max_cycles):
            if all(len(sink.got) == sink.count for sink in sinks):
                for _ in range(harness.EXTRA_CYCLES):
                    await ctx.tick()
                return
            await ctx.tick()
        raise TimeoutError(f"{[len(sink.got) for sink in sinks]} payloads after a reset")

    def after_reset(bench):
        async def testbench(ctx):
            for _ in range(cycles + 1):
                await ctx.tick()
            await bench(ctx)
        return testbench

    simulator.add_testbench(watchdog)
    benches = [harness._drive(source, rng) for source in sources]
    for n, sink in enumerate(sinks):
        benches += [harness._collect(sink, rng, [0]), harness._contract(sink.stream, f"output {n}")]
    for bench in benches:
        simulator.add_testbench(after_reset(bench), background=True)
    simulator.run()


def latencies(sink):
    """Cycles from the first edge, at which a source that never stalls sends, to each payload."""
    return [cycle - 1 for cycle in sink.cycles]
