# amaranth: UnusedElaboratable=no
"""The register bank against a model, each channel of the bus at a time of its own."""
import random

import pytest
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st

from hdl.axi_lite import AxiLiteSignature
from hdl.registers import Field, Register, RegisterBank
from strategies import check

REGISTERS = (
    Register("ID", 0x00, "", (Field("magic", 0, 32, "constant", "", 0x1234ABCD),)),
    Register("CONTROL", 0x04, "", (
        Field("mode", 0, 12, "control", "", 0x5A5), Field("go", 12, 2, "pulse", ""),
        Field("top", 24, 8, "control", ""))),
    Register("STATUS", 0x0C, "", (Field("level", 4, 20, "status", ""), Field("error", 30, 2, "sticky", ""))),
)
MEMORY = 0x40, 5


class Master:
    """Drives one AXI4-Lite port, with random delays on each channel."""

    def __init__(self, bus, rng, stall=0.5):
        self.bus, self.rng, self.stall = bus, rng, stall

    async def _pause(self, ctx):
        while self.rng.random() < self.stall:
            await ctx.tick()

    def send(self, channel, **payload):
        """A testbench that offers one payload."""
        valid, ready = getattr(self.bus, f"{channel}valid"), getattr(self.bus, f"{channel}ready")

        async def offer(ctx):
            for name, value in payload.items():
                ctx.set(getattr(self.bus, name), value)
            ctx.set(valid, 1)
            _, _, taken = await ctx.tick().sample(ready)
            while not taken:
                _, _, taken = await ctx.tick().sample(ready)
            ctx.set(valid, 0)
        return offer

    async def receive(self, ctx, channel, *names):
        valid, ready = getattr(self.bus, f"{channel}valid"), getattr(self.bus, f"{channel}ready")
        await self._pause(ctx)
        ctx.set(ready, 1)
        _, _, came, *values = await ctx.tick().sample(valid, *(getattr(self.bus, name) for name in names))
        while not came:
            _, _, came, *values = await ctx.tick().sample(valid, *(getattr(self.bus, name) for name in names))
        ctx.set(ready, 0)
        return values

    async def write(self, ctx, address, data, strobe=0xF):
        parts = [self.send("aw", awaddr=address), self.send("w", wdata=data, wstrb=strobe)]
        self.rng.shuffle(parts)
        for part in parts:
            await self._pause(ctx)
            await part(ctx)
        return (await self.receive(ctx, "b", "bresp"))[0]

    async def read(self, ctx, address):
        await self._pause(ctx)
        await self.send("ar", araddr=address)(ctx)
        return await self.receive(ctx, "r", "rdata", "rresp")


def simulate(bank, testbench, *background):
    simulator = Simulator(bank)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    for process in background:
        simulator.add_testbench(process, background=True)
    simulator.run()


def memory_of(bank):
    """A memory behind the bank: word n reads as n * 0x01010101."""
    async def answer(ctx):
        async for _, _, address in ctx.tick().sample(bank.memory_address):
            ctx.set(bank.memory_data, address * 0x01010101)
    return answer


@check(15)
@given(st.data())
def test_model(drawn):
    """Reads and writes anywhere, with any strobes, beside events."""
    bank = RegisterBank(REGISTERS, address_bits=8, memory=MEMORY)
    steps = drawn.draw(st.lists(st.tuples(
        st.sampled_from([0x00, 0x04, 0x04, 0x08, 0x0C, 0x0C, 0x3C, 0x40, 0x50, 0x54, 0x5C, 0x60, 0xFC]),
        st.sampled_from(["read", "write", "set"]), st.integers(0, (1 << 32) - 1),
        st.integers(0, 15)), min_size=5, max_size=20))
    rng = random.Random(drawn.draw(st.integers(0, 1 << 30)))
    pulses = []

    async def testbench(ctx):
        master, control, error, level = Master(bank.bus, rng), 0x5A5, 0, 0
        for address, action, data, strobe in steps:
            mask = sum(0xFF << 8 * n for n in range(4) if strobe >> n & 1)
            if action == "set":
                level, events = data & 0xFFFFF, data >> 30
                ctx.set(bank.status_level, level)
                ctx.set(bank.status_error_set, events)
                await ctx.tick()
                ctx.set(bank.status_error_set, 0)
                error |= events
            elif action == "write":
                before = len(pulses)
                assert await master.write(ctx, address, data, strobe) == 0
                if address == 0x04:
                    control = (data & mask | control & ~mask) & 0xFF000FFF
                elif address == 0x0C:
                    error &= ~((data & mask) >> 30)
                await ctx.tick()
                go = (data & mask) >> 12 & 3 if address == 0x04 else 0
                assert pulses[before:] == [go] * (go > 0)
            else:
                words = {0x00: 0x1234ABCD, 0x04: control, 0x0C: level << 4 | error << 30}
                words |= {0x40 + 4 * n: n * 0x01010101 for n in range(5)}
                assert await master.read(ctx, address) == [words.get(address, 0), 0]
            assert ctx.get(bank.control_mode) == control & 0xFFF
            assert ctx.get(bank.control_top) == control >> 24
            assert ctx.get(bank.status_error) == error

    async def watch(ctx):
        async for _, _, go in ctx.tick().sample(bank.control_go):
            if go:
                pulses.append(go)
    simulate(bank, testbench, watch, memory_of(bank))


def test_event_wins_over_clearing():
    bank = RegisterBank(REGISTERS, address_bits=8)

    async def testbench(ctx):
        ctx.set(bank.status_error_set, 1)
        await Master(bank.bus, random.Random(0)).write(ctx, 0x0C, 3 << 30)
        assert ctx.get(bank.status_error) == 1
    simulate(bank, testbench)


def test_rates():
    """A write in two cycles and a read in four, back to back."""
    bank, taken = RegisterBank(REGISTERS, address_bits=8), []

    async def testbench(ctx):
        for signal in (bank.bus.awvalid, bank.bus.wvalid, bank.bus.bready, bank.bus.arvalid, bank.bus.rready):
            ctx.set(signal, 1)
        for _ in range(40):
            taken.append((await ctx.tick().sample(bank.bus.bvalid, bank.bus.rvalid))[2:])
    simulate(bank, testbench)
    writes, reads = map(sum, zip(*taken))
    assert (writes, reads) == (19, 10)


@pytest.mark.parametrize("make, message", [
    (lambda: Field("a", 30, 3, "control", ""), "^Bits of field 'a' must be from 1 to 2, not 3$"),
    (lambda: Field("a", 0, 2, "constant", "", 4), "^Value of field 'a' must be from 0 to 3, not 4$"),
    (lambda: Field("a", 0, 2, "rw", ""), "^Access of field 'a' must be one of constant, .*, not 'rw'$"),
    (lambda: Register("R", 6, "", ()), "^Address of register 'R' must be a multiple of 4, not 0x6$"),
    (lambda: Register("R", 4, "", (Field("a", 0, 2, "status", ""), Field("b", 1, 2, "status", ""))),
     "^Field 'b' of register 'R' must have bits of its own$"),
    (lambda: RegisterBank(REGISTERS * 2, address_bits=8),
     "^Register 'ID' must have a name and an address of its own$"),
    (lambda: RegisterBank(REGISTERS, address_bits=3),
     "^Address of register 'STATUS' must be from 0 to 4, not 12$"),
    (lambda: RegisterBank(REGISTERS, address_bits=8, memory=(0x10, 5)),
     "^Memory's address must be a multiple of 0x20 within 8 address bits, not 0x10$"),
    (lambda: RegisterBank(REGISTERS, address_bits=8, memory=(0, 2)), "^Register 'ID' must not be in the memory$"),
    (lambda: AxiLiteSignature(address_bits=1), "^Address bits must be from 2 to 64, not 1$"),
])
def test_messages(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_signature():
    assert AxiLiteSignature(address_bits=8) == AxiLiteSignature(address_bits=8) != AxiLiteSignature(address_bits=9)
    assert repr(AxiLiteSignature(address_bits=8)) == "AxiLiteSignature(address_bits=8)"
