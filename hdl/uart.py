"""Bytes over an asynchronous serial line: 8 bits, no parity, one stop bit."""
from amaranth import C, Cat, Module, Mux, Signal
from amaranth.lib import cdc, stream, wiring
from amaranth.lib.wiring import In, Out

from .check import between

__all__ = ["UartReceiver", "UartTransmitter"]

BITS = 10               # of a byte on the line: start, data, stop


class UartReceiver(wiring.Component):
    """Bytes from a line, the lowest bit first.

    Parameters
    ----------
    divisor : int
        Cycles of a bit, from 4.

    Members
    -------
    rx : In(1)
        The line, high when idle; asynchronous.
    o : Out(stream.Signature(8))
        A byte is offered in the middle of its stop bit, until it is taken.
    lost : Out(1)
        For a cycle: a byte came before the last one was taken, and took its place.
    """

    def __init__(self, *, divisor):
        self.divisor = between("Divisor", divisor, 4, 1 << 24)
        super().__init__({"rx": In(1, init=1), "o": Out(stream.Signature(8)), "lost": Out(1)})

    def elaborate(self, platform):
        m = Module()
        line = Signal(init=1)
        m.submodules.line = cdc.FFSynchronizer(self.rx, line, init=1)
        timer, left = Signal(range(self.divisor)), Signal(range(BITS + 1))
        bits = Signal(BITS - 1, reset_less=True)

        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(left == 0):
            with m.If(~line):           # samples the middle of the start bit first
                m.d.sync += [left.eq(BITS), timer.eq(self.divisor // 2 - 1)]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [timer.eq(self.divisor - 1), left.eq(left - 1), bits.eq(Cat(bits[1:], line))]
            with m.If((left == BITS) & line):           # a glitch
                m.d.sync += left.eq(0)
            with m.If((left == 1) & line):              # without a stop bit it is no byte
                m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(bits[1:])]
                m.d.comb += self.lost.eq(self.o.valid & ~self.o.ready)
        return m


class UartTransmitter(wiring.Component):
    """Bytes to a line, the lowest bit first, without a gap between them.

    Parameters
    ----------
    divisor : int
        Cycles of a bit, from 4.

    Members
    -------
    i : In(stream.Signature(8))
    tx : Out(1)
        The line, high when idle.
    """

    def __init__(self, *, divisor):
        self.divisor = between("Divisor", divisor, 4, 1 << 24)
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        timer, left = Signal(range(self.divisor)), Signal(range(BITS + 1))
        bits = Signal(BITS, init=(1 << BITS) - 1)
        m.d.comb += [self.tx.eq(bits[0]), self.i.ready.eq((left == 0) | ((left == 1) & (timer == 0)))]
        m.d.sync += timer.eq(Mux(timer == 0, self.divisor - 1, timer - 1))
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [bits.eq(Cat(C(0, 1), self.i.payload, C(1, 1))), left.eq(BITS), timer.eq(self.divisor - 1)]
        with m.Elif((timer == 0) & (left != 0)):
            m.d.sync += [bits.eq(Cat(bits[1:], C(1, 1))), left.eq(left - 1)]
        return m
