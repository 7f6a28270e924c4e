"""Products of sums and multipliers: in one cycle with DSP blocks, or in several without any."""
from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .check import between, positive
from .pick import pick
from .repeated import repeated

__all__ = ["MULTIPLIER_BITS", "MAX_CYCLES", "Multiply", "SerialMultiply", "multiply",
           "multiply_latency"]

MULTIPLIER_BITS = 17
DIGITS = 8              # of a multiplier in base 4, besides the lowest
MAX_CYCLES = DIGITS


def multiply(*, cycles, **parameters):
    """The unit that makes a product in as many cycles."""
    if cycles == 1:
        return Multiply(**parameters)
    return SerialMultiply(cycles=cycles, **parameters)


def multiply_latency(cycles):
    """Cycles from sums to their products."""
    return 2 if cycles == 1 else -(-DIGITS // cycles) * cycles + 1


def _ports(width, ways, tag):
    return {"en": In(1), "start": In(1), "done": Out(1), "tag": In(tag), "tag_out": Out(tag),
            "sums": In(data.ArrayLayout(signed(width), ways)),
            "factors": In(data.ArrayLayout(MULTIPLIER_BITS, ways)),
            "products": Out(data.ArrayLayout(signed(width + MULTIPLIER_BITS), ways))}


@repeated
class Multiply(wiring.Component):
    """One product per cycle and way, in a DSP block where the sum fits its wide port.

    Parameters
    ----------
    width : int
        Bits of a signed sum.
    ways : int
        Products at a time.
    tag : shape-like
        What travels beside the products.

    Members
    -------
    en : In(1)
        Clock enable of everything.
    start : In(1)
        Sums, factors and tag are there.
    sums : In(data.ArrayLayout(signed(width), ways))
    factors : In(data.ArrayLayout(17, ways))
        Unsigned multipliers.
    tag : In(tag)
    done : Out(1)
        Products and their tag are there, until the next enabled edge:
        ``multiply_latency(cycles)`` enabled cycles after ``start``.
    products : Out(data.ArrayLayout(signed(width + 17), ways))
    tag_out : Out(tag)
    """

    def __init__(self, *, width, ways, tag):
        self.width, self.ways = positive("Width", width), positive("Ways", ways)
        super().__init__(_ports(width, ways, tag))

    def elaborate(self, platform):
        m = Module()
        started = Signal()
        tags = [Signal.like(self.tag, name=f"tag_{n}", reset_less=True) for n in range(2)]
        m.d.comb += self.tag_out.eq(tags[1])
        with m.If(self.en):
            m.d.sync += [started.eq(self.start), self.done.eq(started),
                         tags[0].eq(self.tag), tags[1].eq(tags[0])]
            for w in range(self.ways):
                operand = Signal(signed(self.width), name=f"operand_{w}", reset_less=True)
                factor = Signal(MULTIPLIER_BITS, name=f"factor_{w}", reset_less=True)
                product = Signal(signed(self.width + MULTIPLIER_BITS), name=f"product_{w}",
                                 reset_less=True)
                m.d.sync += [operand.eq(self.sums[w]), factor.eq(self.factors[w]),
                             product.eq(operand * factor)]
                m.d.comb += self.products[w].eq(product)
        return m


@repeated
class SerialMultiply(wiring.Component):
    """One product per ``cycles`` cycles and way, in LUTs.

    The multiplier is written in base 4 with the digits -2 to 2 (Booth), so that a digit's product
    is a shifted or inverted copy of the sum, which fits into the LUTs of the adder that accumulates
    it. ``ceil(8 / cycles)`` such adders form a pipeline. Each takes ``cycles`` digits of a product,
    one a cycle and the lowest first, and hands its accumulator to the next; the lowest digit of all
    is the first one's initial value. A digit leaves two bits of the product behind.

    Parameters and members as of :class:`Multiply`; ``cycles`` is from 2 to 8.

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of its range.
    """

    def __init__(self, *, width, ways, tag, cycles):
        self.width, self.ways = positive("Width", width), positive("Ways", ways)
        self.cycles = between("Cycles", cycles, 2, MAX_CYCLES)
        self.units = -(-DIGITS // cycles)
        super().__init__(_ports(width, ways, tag))

    def elaborate(self, platform):
        m = Module()
        # loads[n] is in the last cycle of unit n - 1, firsts[n] in the first one of unit n.
        busy = Signal(self.units * self.cycles)
        loads, firsts = [self.start, *busy[self.cycles - 1::self.cycles]], busy[::self.cycles]
        tag = self.tag
        for n, load in enumerate(loads):
            held = Signal.like(self.tag, name=f"tag_{n}", reset_less=True)
            with m.If(self.en & load):
                m.d.sync += held.eq(tag)
            tag = held
        m.d.comb += self.tag_out.eq(tag)
        with m.If(self.en):
            m.d.sync += [busy.eq(Cat(self.start, busy)), self.done.eq(loads[-1])]

        steps = [Signal(range(self.cycles), name=f"step_{n}") for n in range(self.units)]
        with m.If(self.en):
            for step, load in zip(steps, loads):
                m.d.sync += step.eq(Mux(load, 0, step + 1))
        for w in range(self.ways):
            m.d.comb += self.products[w].eq(
                self._product(m, self.sums[w], self.factors[w], loads, firsts, steps, w))
        return m

    def _product(self, m, operand, factor, loads, firsts, steps, w):
        """A way's units, one after the other."""
        total, owed, low = None, None, []
        for n, (load, first, step) in enumerate(zip(loads, firsts, steps)):
            # What is loaded stays for all digits of the unit.
            held = Signal(signed(self.width), name=f"operand_{w}_{n}", reset_less=True)
            places = Signal(len(factor), name=f"factor_{w}_{n}", reset_less=True)
            with m.If(self.en & load):
                m.d.sync += [held.eq(operand), places.eq(factor)]
            digit = self._next_digit(m, factor, places, load, step, f"{w}_{n}")
            total, owed, bits = self._add_digits(m, held, places, total, owed, first, digit, f"{w}_{n}")
            operand, factor = held, places[2 * self.cycles:]

            # When the last unit has ended, the oldest bits of each unit are those of this product.
            left = Signal(2 * self.cycles * (self.units - n), name=f"left_{w}_{n}", reset_less=True)
            with m.If(self.en):
                m.d.sync += left.eq(Cat(left[2:], bits))
            low.append(left[:2 * self.cycles])
        return Cat(*low, total)         # the highest digit is not negative: nothing is owed

    def _next_digit(self, m, loaded, factor, load, step, name):
        """The three bits of a digit, which are chosen a cycle ahead: those at its place and the one below."""
        bits = Signal(3, name=f"bits_{name}", reset_less=True)
        padded = Cat(factor, Const(0, 2 * self.cycles + 4))
        following = (pick(m, list(padded[k:2 * self.cycles + k:2]), step) for k in (3, 4, 5))
        with m.If(self.en):
            m.d.sync += bits.eq(Mux(load, loaded[1:4], Cat(*following)))
        return bits

    def _add_digits(self, m, operand, factor, previous, missing, first, bits, name):
        """A unit: its accumulator, what is owed to its lowest bits, and the two bits that leave."""
        width = self.width + 2          # an accumulator stays below 8/3 of the sum's magnitude
        if previous is None:            # the lowest digit's product; the +1 of a negation is owed
            missing = factor[1]
            previous = (Mux(factor[0], operand, Mux(missing, operand << 1, 0))
                        ^ missing.replicate(width))
        total = Signal(signed(width), name=f"total_{name}", reset_less=True)
        source = Signal(signed(width), name=f"source_{name}")
        owed, debt = Signal(name=f"owed_{name}", reset_less=True), Signal(name=f"debt_{name}")
        m.d.comb += [source.eq(Mux(first, previous, total)),
                     debt.eq(Mux(first, missing, owed))]

        below, one, two = bits
        digit = Signal(width, name=f"digit_{name}")
        m.d.comb += digit.eq(Mux(below ^ one, operand, Mux(two ^ one, operand << 1, 0))
                             ^ two.replicate(width))

        # The debt is paid to the bits that leave. They may carry, and so may the negation of a
        # digit; the adder takes one of the two, so that the other one is owed to the next bits.
        carry = source[:2].all() & debt
        added = Signal(width + 1, name=f"added_{name}")
        m.d.comb += added.eq(Cat(1, source >> 2) + Cat(two | carry, digit))
        with m.If(self.en):
            m.d.sync += [total.eq(added[1:]), owed.eq(two & carry)]
        return total, owed, Cat(source[0] ^ debt, source[1] ^ (source[0] & debt))
