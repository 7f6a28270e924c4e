"""Multiply-accumulate with the MULT18X18D of Lattice ECP5, one product per block."""
from amaranth import ClockSignal, Const, Instance, Module, Mux, Signal, signed

from .macs import Macs, delayed

__all__ = ["Mult18x18dMacs"]

OPERAND, PRODUCT = 18, 36
_UNUSED = {"SOURCEA": 0, "SOURCEB": 0, "RST0": 0, **{f"C{n}": 0 for n in range(OPERAND)}}


def block(m, name, a, b, *, en):
    """A MULT18X18D: the signed product of ``a`` and ``b``, three enabled cycles later.

    Its operand, pipeline and output registers are used; all have the enable ``en``.
    """
    operands = {"A": Signal(signed(OPERAND), name=f"{name}_a"), "B": Signal(signed(OPERAND), name=f"{name}_b")}
    m.d.comb += [operands["A"].eq(a), operands["B"].eq(b)]
    product = Signal(signed(PRODUCT), name=f"{name}_p")
    registers = {f"p_REG_{register}_{pin}": value for register in ("INPUTA", "INPUTB", "PIPELINE", "OUTPUT")
                 for pin, value in (("CLK", "CLK0"), ("CE", "CE0"), ("RST", "RST0"))}
    m.submodules[name] = Instance(
        "MULT18X18D", i_CLK0=ClockSignal(), i_CE0=en, i_SIGNEDA=Const(1, 1), i_SIGNEDB=Const(1, 1),
        **registers, **{f"i_{pin}": Const(value, 1) for pin, value in _UNUSED.items()},
        **{f"i_{port}{n}": bits[n] for port, bits in operands.items() for n in range(OPERAND)},
        **{f"o_P{n}": product[n] for n in range(PRODUCT)})
    return product


class Mult18x18dMacs(Macs):
    """P multipliers in MULT18X18D blocks, with accumulators in carry chains.

    The three registers of a block are the first three of the pipeline. Accumulators are outside: the
    adder of the slice, ALU54B, has no timing in nextpnr, so that no clock rate could be claimed. One
    product per block: a block's two 9-bit multipliers (MULT9X9D) are not known to nextpnr either,
    and two 8-bit products need 34 bits side by side behind an 18-bit operand that leaves them 10 apart.

    Parameters and members as of :class:`~hdl.macs.Macs`. It elaborates to Verilog only, as it consists
    of instances.
    """

    def elaborate(self, platform):
        m = Module()
        with m.If(self.en):
            first = delayed(m, "first", self.first, 3)
        for n, port in enumerate(self.totals):
            product = block(m, f"mult_{n}", self.value, self.weight(n), en=self.en)
            total = Signal(signed(self.sum_width), name=f"total_{n}", reset_less=True)
            with m.If(self.en):
                m.d.sync += total.eq(Mux(first, 0, total) + product)
            m.d.comb += port.eq(total)
        return m
