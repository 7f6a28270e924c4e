"""Registers behind AXI4-Lite, from a description in plain data."""
from dataclasses import dataclass

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from .axi_lite import DATA_BITS, OKAY, AxiLiteSignature
from .check import between

__all__ = ["ACCESSES", "Field", "Register", "RegisterBank"]

# How software sees a field, by what the hardware does with it.
ACCESSES = {
    "constant": "read only, always the same",
    "status": "read only",
    "control": "read and write",
    "pulse": "write 1 to act, reads as 0",
    "sticky": "stays 1 once set; write 1 to clear",
}


@dataclass(frozen=True)
class Field:
    """Bits of a register.

    ``value`` is what a constant reads as, and what a control is after reset.
    """
    name: str
    low: int
    bits: int
    access: str
    doc: str
    value: int = 0

    def __post_init__(self):
        between(f"Lowest bit of field {self.name!r}", self.low, 0, DATA_BITS - 1)
        between(f"Bits of field {self.name!r}", self.bits, 1, DATA_BITS - self.low)
        between(f"Value of field {self.name!r}", self.value, 0, (1 << self.bits) - 1)
        if self.access not in ACCESSES:
            raise ValueError(f"Access of field {self.name!r} must be one of {', '.join(ACCESSES)}, "
                             f"not {self.access!r}")

    @property
    def mask(self):
        return (1 << self.bits) - 1 << self.low


@dataclass(frozen=True)
class Register:
    """A 32-bit word at a byte address, and its fields; bits of no field read as 0."""
    name: str
    address: int
    doc: str
    fields: tuple

    def __post_init__(self):
        between(f"Address of register {self.name!r}", self.address, 0, (1 << 32) - 4)
        if self.address % 4:
            raise ValueError(f"Address of register {self.name!r} must be a multiple of 4, "
                             f"not {self.address:#x}")
        taken = 0
        for field in self.fields:
            if taken & field.mask:
                raise ValueError(f"Field {field.name!r} of register {self.name!r} must have bits of its own")
            taken |= field.mask


class RegisterBank(wiring.Component):
    """Registers that AXI4-Lite reads and writes, and a memory that it reads.

    Addresses and data of a write may come in either order; byte strobes are kept. One write in two
    cycles, one read in four. Every transaction answers OKAY: what is written to a word that is
    none, or that is read only, is lost, and a word that is none reads as 0. (An error would be truer, but
    on the processors of a Zynq it is an abort that takes the operating system down.)
    All outputs depend on registers only.

    Parameters
    ----------
    registers : sequence of Register
    address_bits : int
        Width of byte addresses on the bus.
    memory : (int, int) or None
        Byte address and number of 32-bit words of a memory behind the registers; the address is a
        multiple of the words' bytes rounded up to a power of two.

    Members
    -------
    bus : In(AxiLiteSignature(address_bits=address_bits))
    <register>_<field> : In(bits) for "status", Out(bits) for "control", "pulse" and "sticky"
        Named in lower case; a constant has none. A pulse is asserted for one cycle.
    <register>_<field>_set : In(bits)
        Sets the bits of a "sticky" field; wins over clearing.
    memory_address, memory_data : Out(range(words)), In(32)
        Present with ``memory``: the word read in the cycle after its address.

    Raises
    ------
    ValueError
        If two registers share an address or a name, or one is out of the bus's reach, or in the memory.
    """

    def __init__(self, registers, *, address_bits, memory=None):
        self.registers, self.memory = tuple(registers), memory
        signature = AxiLiteSignature(address_bits=address_bits)
        seen = set()
        for register in self.registers:
            for key in (register.name, register.address):
                if key in seen:
                    raise ValueError(f"Register {register.name!r} must have a name and an address of its own")
                seen.add(key)
            between(f"Address of register {register.name!r}", register.address, 0, (1 << address_bits) - 4)
        members = {"bus": In(signature)}
        if memory is not None:
            self._memory_bits = bits_for(between("Memory words", memory[1], 1, 1 << 30) - 1)
            span = 4 << self._memory_bits
            if memory[0] % span or memory[0] + span > 1 << address_bits:
                raise ValueError(f"Memory's address must be a multiple of {span:#x} within "
                                 f"{address_bits} address bits, not {memory[0]:#x}")
            for register in self.registers:
                if memory[0] <= register.address < memory[0] + span:
                    raise ValueError(f"Register {register.name!r} must not be in the memory")
            members |= {"memory_address": Out(range(max(2, memory[1]))), "memory_data": In(DATA_BITS)}
        for register in self.registers:
            for field in register.fields:
                name = port_name(register, field)
                if field.access == "status":
                    members[name] = In(field.bits)
                elif field.access != "constant":
                    members[name] = Out(field.bits, init=field.value if field.access == "control" else 0)
                if field.access == "sticky":
                    members[f"{name}_set"] = In(field.bits)
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        self._write(m)
        self._read(m)
        return m

    def _write(self, m):
        bus = self.bus
        have_address, have_data, do = Signal(), Signal(), Signal()
        word = Signal(len(bus.awaddr) - 2)
        data, strobe = Signal(DATA_BITS), Signal(DATA_BITS // 8)
        m.d.comb += [
            bus.awready.eq(~have_address), bus.wready.eq(~have_data), bus.bresp.eq(OKAY),
            do.eq(have_address & have_data & ~bus.bvalid),
        ]
        with m.If(bus.awready):
            m.d.sync += [have_address.eq(bus.awvalid), word.eq(bus.awaddr[2:])]
        with m.If(bus.wready):
            m.d.sync += [have_data.eq(bus.wvalid), data.eq(bus.wdata), strobe.eq(bus.wstrb)]
        with m.If(do):
            m.d.sync += [have_address.eq(0), have_data.eq(0), bus.bvalid.eq(1)]
        with m.Elif(bus.bready):
            m.d.sync += bus.bvalid.eq(0)

        mask = Cat(bit.replicate(8) for bit in strobe)
        for register in self.registers:
            here = Signal(name=f"write_{register.name.lower()}")
            m.d.comb += here.eq(do & (word == register.address // 4))
            for field in register.fields:
                if field.access in ("constant", "status"):
                    continue
                port = getattr(self, port_name(register, field))
                bits = slice(field.low, field.low + field.bits)
                ones = data[bits] & mask[bits]
                if field.access == "control":
                    with m.If(here):
                        m.d.sync += port.eq(ones | (port & ~mask[bits]))
                elif field.access == "pulse":
                    m.d.sync += port.eq(Mux(here, ones, 0))
                else:
                    wanted = getattr(self, f"{port_name(register, field)}_set")
                    m.d.sync += port.eq(Mux(here, port & ~ones, port) | wanted)

    def _read(self, m):
        bus = self.bus
        reading = Signal()
        step = Signal(2)        # which the address, and its word, stand in
        word, value = Signal(len(bus.araddr) - 2), Signal(DATA_BITS, reset_less=True)
        m.d.comb += [bus.arready.eq(~reading), bus.rresp.eq(OKAY)]
        m.d.sync += step.eq(Cat(bus.arvalid & bus.arready, step[0]))
        with m.If(bus.arready):
            m.d.sync += [reading.eq(bus.arvalid), word.eq(bus.araddr[2:])]
        with m.Switch(word):
            for register in self.registers:
                with m.Case(register.address // 4):
                    m.d.sync += value.eq(self._word(register))
            with m.Default():
                m.d.sync += value.eq(0)
        if self.memory is not None:
            start, words = self.memory
            inside = Signal()
            low = word[:self._memory_bits]
            m.d.comb += self.memory_address.eq(low)
            m.d.sync += inside.eq((word[self._memory_bits:] == start // 4 >> self._memory_bits)
                                  & (low < words))
            value = Mux(inside, self.memory_data, value)
        with m.If(step[1]):
            m.d.sync += [bus.rvalid.eq(1), bus.rdata.eq(value)]
        with m.Elif(bus.rvalid & bus.rready):
            m.d.sync += [bus.rvalid.eq(0), reading.eq(0)]

    def _word(self, register):
        """What a register reads as."""
        value = 0
        for field in register.fields:
            if field.access == "constant":
                value |= field.value << field.low
            elif field.access != "pulse":
                value |= getattr(self, port_name(register, field)) << field.low
        return value


def port_name(register, field):
    return f"{register.name}_{field.name}".lower()
