"""Multiply-accumulate in LUTs."""
from amaranth import Module, Mux, Signal, signed
from amaranth.lib.wiring import In

from .digits import digit_count, digit_of, multiple, placed, plus
from .macs import Macs, delayed

__all__ = ["DigitMacs"]


class DigitMacs(Macs):
    """P multipliers with their accumulators in LUTs, one digit of the weights at a time.

    A product is presented once for each digit, ``first`` with the first of them.

    Parameters and members as of :class:`~hdl.macs.Macs`; and ``digit``, In(range(digit_count(weight_width))),
    which of them it is.
    """

    def __init__(self, *, weight_width, **parameters):
        self.digits = digit_count(weight_width)
        super().__init__(weight_width=weight_width, digit=In(range(self.digits)), **parameters)

    def elaborate(self, platform):
        m, totals = Module(), []
        with m.If(self.en):
            begins = delayed(m, "first", self.first, 2)
            number = delayed(m, "number", self.digit, 1)
            value = delayed(m, "placed", placed(m, delayed(m, "value", self.value, 1), number, self.digits), 1)
            for n in range(len(self.totals)):
                digit = delayed(m, f"digit_{n}", digit_of(m, delayed(m, f"weight_{n}", self.weight(n), 1), number), 1)
                product, carry = multiple(value, digit)
                # What is added to is the total, or 0 where a sum begins: a register of its own, which that resets. To
                # choose in front of the adder is a LUT for each bit, and the longest path of whole designs.
                total, before = (Signal(signed(self.sum_width), name=f"{name}_{n}", reset_less=True)
                                 for name in ("total", "before"))
                added = plus(before, delayed(m, f"product_{n}", product, 1), delayed(m, f"carry_{n}", carry, 1))
                m.d.sync += [total.eq(added), before.eq(Mux(begins, 0, added))]
                totals.append(total)
        m.d.comb += [port.eq(total) for port, total in zip(self.totals, totals, strict=True)]
        return m
