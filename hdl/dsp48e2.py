"""Multiply-accumulate in the DSP48E2 of UltraScale and UltraScale+, two products per block."""
from amaranth import Cat, ClockSignal, Const, Instance, Module, Shape, Signal, signed

from .macs import Macs

__all__ = ["LANE", "Dsp48e2Macs", "packs"]

LANE = 18               # bits of the low lane of a packed accumulator
ACCUMULATOR = 48

# Inputs that the array does not use; they may not float.
_IDLE = {"C": (0, 48), "ALUMODE": (0, 4), "CARRYIN": (0, 1), "CARRYINSEL": (0, 3), "ACIN": (0, 30),
         "BCIN": (0, 18), "PCIN": (0, 48), "CARRYCASCIN": (0, 1), "MULTSIGNIN": (0, 1)}
_ENABLES = ("CEA1", "CEA2", "CEAD", "CEALUMODE", "CEB1", "CEB2", "CEC", "CECARRYIN", "CECTRL",
            "CED", "CEINMODE", "CEM", "CEP")
_RESETS = ("RSTA", "RSTALLCARRYIN", "RSTALUMODE", "RSTB", "RSTC", "RSTCTRL", "RSTD", "RSTINMODE",
           "RSTM", "RSTP")


def packs(shape, weight_width, sum_width):
    """Whether two products share a DSP48E2.

    Two weights must fit the 27-bit port a lane apart, the high sum what the low lane leaves of the
    accumulator, and a product a quarter of the low lane: see :class:`Dsp48e2Macs`.
    """
    shape = Shape.cast(shape)
    largest = 1 << (shape.width - 1) if shape.signed else (1 << shape.width) - 1
    return (weight_width <= 27 - LANE - 1 and sum_width <= ACCUMULATOR - LANE
            and largest << (weight_width - 1) <= 1 << (LANE - 2))


class Dsp48e2Macs(Macs):
    """P multipliers with their accumulators in DSP48E2 blocks.

    Where :func:`packs` allows, consecutive PEs of a way form a pair (low, high) in one block, and so do the odd
    last PEs of two ways that are neighbours. Its pre-adder makes ``high * 2**18 + low`` of two weights, so that one product with the activation
    adds to two sums in one accumulator. Bits 17 to 0 hold the low sum modulo 2**18; the bits above
    hold the high sum plus what the low sum carried out of its lane, which is the low sum divided by
    2**18, rounded down. A counter beside the block follows that number. As no product exceeds a
    quarter of the lane, the lane has overflowed exactly when its two top bits went from 3 to 0, and
    underflowed exactly when they went from 0 to 3. An odd last PE that is left, and every PE whose products
    are too large, has a block of its own.

    ``totals`` of low PEs depends combinationally on registers; it is exact, and as wide as the sum.
    ``totals`` of high PEs exceeds the sum by ``low >> 18``. It elaborates to Verilog only, as it
    consists of instances.

    Parameters
    ----------
    ways : int
        Drain ways to pair the PEs by. The others, members and attributes are those of
        :class:`~hdl.macs.Macs`.
    """

    def __init__(self, *, pes, ways, shape, weight_width, sum_width):
        self.pairs = []
        if packs(shape, weight_width, sum_width):
            self.pairs = [(low, low + ways) for low in range(pes - ways) if low // ways % 2 == 0]
            if pes // ways % 2:
                self.pairs += [(low, low + 1) for low in range(pes - ways, pes - 1, 2)]
        paired = {pe for pair in self.pairs for pe in pair}
        self.singles = [pe for pe in range(pes) if pe not in paired]
        super().__init__(pes=pes, shape=shape, weight_width=weight_width, sum_width=sum_width)

    def elaborate(self, platform):
        m = Module()
        # The block registers OPMODE beside the product: its input runs two cycles behind ``first``,
        # the counters three.
        first, adds, clear = (Signal(name=name, reset_less=True) for name in
                              ("first_1", "adds", "clear"))
        with m.If(self.en):
            m.d.sync += [first.eq(self.first), adds.eq(~first), clear.eq(~adds)]
        activation = Signal(signed(18))
        m.d.comb += activation.eq(self.value)

        def block(name, p, **connections):
            m.submodules[name] = Instance(
                "DSP48E2",
                # W = 0, X and Y = M, Z = P or 0
                i_OPMODE=Cat(Const(0b0101, 4), Const(0, 1), adds, Const(0, 3)),
                i_B=activation, o_P=p, i_CLK=ClockSignal(), p_BREG=2, p_BCASCREG=2,
                p_ALUMODEREG=0, p_INMODEREG=0, p_CARRYINREG=0, p_CARRYINSELREG=0, p_CREG=1,
                **{f"i_{port}": Const(*value) for port, value in _IDLE.items()},
                **{f"i_{port}": self.en for port in _ENABLES},
                **{f"i_{port}": Const(0, 1) for port in _RESETS}, **connections)

        for pe in self.singles:
            a, p = Signal(signed(30), name=f"a_{pe}"), Signal(ACCUMULATOR, name=f"p_{pe}")
            m.d.comb += [a.eq(self.weight(pe)), self.totals[pe].eq(p)]
            block(f"dsp_{pe}", p, i_A=a, i_D=Const(0, 27), i_INMODE=Const(0, 5),
                  p_AREG=2, p_ACASCREG=2)

        for low, high in self.pairs:
            a, d = Signal(signed(30), name=f"a_{low}"), Signal(signed(27), name=f"d_{low}")
            p = Signal(ACCUMULATOR, name=f"p_{low}")
            m.d.comb += [a.eq(self.weight(high) << LANE), d.eq(self.weight(low)),
                         self.totals[high].eq(p[LANE:])]
            # INMODE: pre-adder D + A
            block(f"dsp_{low}", p, i_A=a, i_D=d, i_INMODE=Const(0b00100, 5), p_AMULTSEL="AD",
                  p_AREG=1, p_DREG=1, p_ADREG=1)
            if self.sum_width > LANE:
                carried = self._count_carries(m, p[LANE - 2:LANE], clear, low)
                m.d.comb += self.totals[low].eq(Cat(p[:LANE], carried))
            else:
                m.d.comb += self.totals[low].eq(p)
        return m

    def _count_carries(self, m, top, clear, pe):
        """What the low sum has carried out of its lane, up to the sum that stands in the block."""
        width = self.sum_width - LANE
        counted, before = (Signal(width, name=f"counted_{pe}", reset_less=True),
                           Signal(2, name=f"before_{pe}", reset_less=True))
        carried = Signal(width, name=f"carried_{pe}")
        over, under = (before == 3) & (top == 0), (before == 0) & (top == 3)
        # +1 or -1 as one addend: the conditions fit the LUTs of the adder.
        m.d.comb += carried.eq(counted + Cat(over | under, under.replicate(width - 1)))
        with m.If(self.en):
            m.d.sync += [counted.eq(carried), before.eq(top)]
            with m.If(clear):
                m.d.sync += [counted.eq(0), before.eq(0)]
        return carried
