"""Drive stream components in Amaranth's simulator: random stalls, protocol checks, a watchdog."""
import random
from dataclasses import dataclass, field

from amaranth.sim import Simulator

__all__ = ["Source", "Sink", "Result", "run", "offers_without_ready"]

EXTRA_CYCLES = 100      # waited at the end, in which nothing more may come out


@dataclass
class Source:
    """Offers ``payloads`` to the input ``stream``, in a share ``p`` of the cycles."""
    stream: object
    payloads: list
    p: float = 1.0


@dataclass
class Sink:
    """Takes ``count`` payloads from the output ``stream``, ready in a share ``p`` of the cycles.

    Then it stays ready: anything more that comes is an error.
    """
    stream: object
    count: int
    p: float = 1.0
    got: list = field(default_factory=list)
    cycles: list = field(default_factory=list)  # in which each payload was taken


@dataclass
class Result:
    cycles: int         # until the last sink was satisfied


def _drive(source, rng):
    async def testbench(ctx):
        stream, sent = source.stream, 0
        offering = False
        while sent < len(source.payloads):
            if not offering and rng.random() < source.p:
                ctx.set(stream.payload, source.payloads[sent])
                ctx.set(stream.valid, 1)
                offering = True
            _, _, ready = await ctx.tick().sample(stream.ready)
            if offering and ready:
                sent += 1
                offering = False
                ctx.set(stream.valid, 0)
    return testbench


def _collect(sink, rng, clock):
    async def testbench(ctx):
        stream = sink.stream
        while True:
            ready = len(sink.got) >= sink.count or rng.random() < sink.p
            ctx.set(stream.ready, ready)
            _, _, valid, payload = await ctx.tick().sample(stream.valid, stream.payload)
            if ready and valid:
                assert len(sink.got) < sink.count, (
                    f"more than {sink.count} payloads came out; the next is {payload!r}")
                sink.got.append(payload)
                sink.cycles.append(clock[0])
    return testbench


def _contract(stream, name):
    """Once offered, a payload stays offered and unchanged until it is taken."""
    async def testbench(ctx):
        waiting = None
        async for _, rst, valid, ready, payload in ctx.tick().sample(
                stream.valid, stream.ready, stream.payload):
            if waiting is not None and not rst:
                assert valid, f"{name}: valid dropped before a transfer"
                assert payload == waiting[0], f"{name}: payload changed before a transfer"
            waiting = (payload,) if valid and not ready and not rst else None
    return testbench


def run(dut, sources, sinks, *, seed=0, max_cycles=100_000, vcd=None):
    """Send every source's payloads and collect every sink's, all at once.

    Returns a :class:`Result`; each sink's payloads are in its ``got``, constants of the payload's
    shape. Raises TimeoutError when ``max_cycles`` pass first, AssertionError when a stream
    breaks its contract or more comes out than a sink's ``count``.
    """
    clock = [0]
    done = [0]
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)

    async def watchdog(ctx):
        while any(len(sink.got) < sink.count for sink in sinks):
            await ctx.tick()
            clock[0] += 1
            if clock[0] > max_cycles:
                progress = ", ".join(f"{len(s.got)}/{s.count}" for s in sinks)
                raise TimeoutError(f"{progress} payloads after {max_cycles} cycles")
        done[0] = clock[0]
        for _ in range(EXTRA_CYCLES):
            await ctx.tick()

    simulator.add_testbench(watchdog)
    for n, source in enumerate(sources):
        rng = random.Random(f"{seed} source {n}")
        simulator.add_testbench(_drive(source, rng), background=True)
    for n, sink in enumerate(sinks):
        rng = random.Random(f"{seed} sink {n}")
        simulator.add_testbench(_collect(sink, rng, clock), background=True)
        simulator.add_testbench(_contract(sink.stream, f"output {n}"), background=True)
    if vcd is None:
        simulator.run()
    else:
        with simulator.write_vcd(vcd):
            simulator.run()
    return Result(done[0])


def offers_without_ready(dut, sources, stream, cycles=200):
    """Whether ``stream`` offers a payload although nobody is ever ready: valid may not wait for ready."""
    seen = []

    async def testbench(ctx):
        for _ in range(cycles):
            _, _, valid = await ctx.tick().sample(stream.valid)
            seen.append(valid)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    for n, source in enumerate(sources):
        simulator.add_testbench(_drive(source, random.Random(n)), background=True)
    simulator.run()
    return any(seen)
