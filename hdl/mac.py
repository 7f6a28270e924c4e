"""The multiply-accumulate array: one activation meets P weights; P sums are held and drained."""
from amaranth import Module, Mux, Shape, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .check import between, boolean, positive
from .digit_macs import DigitMacs
from .digits import digit_count
from .dsp48e2 import LANE, Dsp48e2Macs, packs
from .macs import Macs, delayed
from .mult18x18d import Mult18x18dMacs
from .pick import pick
from .repeated import repeated

__all__ = ["FAMILIES", "MacArray", "dsp_count"]

FAMILIES = ("behavioural", "dsp48e2", "mult18x18d")


def dsp_count(*, pes, ways, shape, weight_width, sum_width, family, serial=False):
    """DSP blocks that a :class:`MacArray` of these parameters takes."""
    if serial:
        return 0
    if family == "dsp48e2" and packs(shape, weight_width, sum_width):
        return -(-pes // 2)
    return pes


class BehaviouralMacs(Macs):
    """P multipliers with their accumulators in plain Amaranth, for any family.

    The form matters to Yosys: ``acc <= Mux(first, 0, acc) + m`` and registers that share one clock
    enable go into one DSP48E1 per multiplier whole, whereas loading in one branch of an ``If`` and
    adding in the other leaves the adder and the accumulator in LUTs and flip-flops. The operand
    registers of the activation are shared, and still packed into every block.

    Parameters and members as of :class:`~hdl.macs.Macs`.
    """

    def elaborate(self, platform):
        m, totals = Module(), []
        with m.If(self.en):
            first = delayed(m, "first", self.first, 3)
            value = delayed(m, "value", self.value, 2)
            for n in range(len(self.totals)):
                weight = delayed(m, f"weight_{n}", self.weight(n), 2)
                product = delayed(m, f"product_{n}", value * weight, 1)
                total = Signal(signed(self.sum_width), name=f"total_{n}", reset_less=True)
                m.d.sync += total.eq(Mux(first, 0, total) + product)
                totals.append(total)
        m.d.comb += [port.eq(total) for port, total in zip(self.totals, totals, strict=True)]
        return m


def _carried(total):
    """What a low total has carried out of its lane."""
    return total.shift_right(min(LANE, len(total) - 1))


@repeated
class MacArray(wiring.Component):
    """P processing elements (PE): a multiplier, an accumulator and a hold register each.

    A pass is a run of products that are summed. The product of ``value`` and the weights stands in
    the accumulators ``latency`` enabled cycles after it was presented; ``first`` travels with it
    and makes it replace the sum instead of adding to it, so passes follow without a gap. A product
    with ``value`` 0 and without ``first`` changes nothing, and may fill an idle cycle. The sums of
    a pass stand in the accumulators from ``latency`` enabled cycles after its last product until
    the next enabled edge: there ``hold`` must be asserted. Delay an end flag by as many enabled
    cycles and combine it with ``en``.

    Held sums are drained ``ways`` at a time, from the cycle after ``hold`` on: ``sums`` shows what
    was selected ``drain_latency`` cycles with ``drain_en`` ago. ``select`` rises in steps of one
    from 0 (it may stay); an odd one relies on the even one before it. One product per PE and
    cycle. ``sums`` depends combinationally on registers only.

    Parameters
    ----------
    pes : int
        Processing elements P; a multiple of ``ways``.
    ways : int
        Sums drained per cycle: way w drains PEs w, w + ways, w + 2 * ways, ….
    shape : shape-like
        Activation, 2 to 17 bits.
    weight_width : int
        Bits of a signed weight, 2 to 16.
    sum_width : int
        Bits that hold every sum of a pass as a signed number, 2 to 48. Partial sums may overflow.
    family : str
        ``"behavioural"`` (any FPGA), ``"dsp48e2"`` (UltraScale and UltraScale+, two products per
        block where they fit, see :func:`~hdl.dsp48e2.packs`) or ``"mult18x18d"`` (ECP5). Timing is
        the same.
    serial : bool
        Without DSP blocks, whatever the family: only one digit of the weights is multiplied at a time, and a
        product takes :func:`~hdl.digits.digit_count` enabled cycles, each with its value and weights. ``first`` goes
        with the first of them, the end of a pass with the last.

    Members
    -------
    en : In(1)
        Clock enable of the pipeline, the accumulators included.
    value : In(shape)
        Activation, common to all PEs.
    weights : In(pes * weight_width)
        Weight of PE p in bits ``p * weight_width`` and up.
    first : In(1)
        This product starts a new pass.
    digit : In(range(digit_count(weight_width)))
        Which digit of the weights; only if ``serial``.
    hold : In(1)
        Copy the accumulators into the hold registers; independent of ``en``.
    select : In(range(pes // ways))
        Which held sum each way drains.
    drain_en : In(1)
        Clock enable of the output register.
    sums : Out(data.ArrayLayout(signed(sum_width), ways))
        Way w holds the sum of PE ``select * ways + w``.

    Attributes
    ----------
    latency, drain_latency : int
        See above.

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of its range.
    """

    latency = 4
    drain_latency = 1

    def __init__(self, *, pes, ways, shape, weight_width, sum_width, family, serial=False):
        self._pes, self._ways = positive("PEs", pes), positive("Ways", ways)
        if pes % ways:
            raise ValueError(f"PEs must be a multiple of the {ways} ways, not {pes!r}")
        self._shape = Shape.cast(shape)
        between("Activation width", self._shape.width, 2, 17)
        self._weight_width = between("Weight width", weight_width, 2, 16)
        self._sum_width = between("Sum width", sum_width, 2, 48)
        if family not in FAMILIES:
            raise ValueError(f"Family must be one of {', '.join(FAMILIES)}, not {family!r}")
        self._family, self._serial = family, boolean("Serial", serial)
        super().__init__({
            "en": In(1), "value": In(self._shape), "weights": In(pes * weight_width),
            "first": In(1), "hold": In(1), "select": In(range(pes // ways)), "drain_en": In(1),
            "sums": Out(data.ArrayLayout(signed(sum_width), ways)),
            **({"digit": In(range(digit_count(weight_width)))} if serial else {})})

    @property
    def dsp_count(self):
        """DSP blocks of the array."""
        return dsp_count(pes=self._pes, ways=self._ways, shape=self._shape, family=self._family,
                         weight_width=self._weight_width, sum_width=self._sum_width, serial=self._serial)

    def elaborate(self, platform):
        m = Module()
        parameters = {"pes": self._pes, "shape": self._shape, "sum_width": self._sum_width,
                      "weight_width": self._weight_width}
        if self._serial:
            macs = DigitMacs(**parameters)
            m.d.comb += macs.digit.eq(self.digit)
        elif self._family == "dsp48e2":
            macs = Dsp48e2Macs(ways=self._ways, **parameters)
        else:
            macs = (Mult18x18dMacs if self._family == "mult18x18d" else BehaviouralMacs)(**parameters)
        m.submodules.macs = macs
        m.d.comb += [macs.en.eq(self.en), macs.value.eq(self.value), macs.first.eq(self.first),
                     macs.weights.eq(self.weights)]

        held = [Signal.like(total, name=f"held_{n}", reset_less=True)
                for n, total in enumerate(macs.totals)]
        with m.If(self.hold):
            m.d.sync += [h.eq(total) for h, total in zip(held, macs.totals, strict=True)]

        drained = [Signal(signed(self._sum_width), name=f"drained_{way}", reset_less=True) for way in range(self._ways)]
        within = {high % self._ways for low, high in macs.pairs if low % self._ways == high % self._ways}
        across = {high % self._ways for low, high in macs.pairs if low // self._ways == high // self._ways}
        last = self._pes // self._ways - 1
        for way, total in enumerate(drained):
            chosen = pick(m, held[way::self._ways], self.select)
            with m.If(self.drain_en):
                m.d.sync += total.eq(chosen)
            # A high total also counts what its low partner carried out of its lane. Taken off here, one subtractor
            # serves the whole way.
            excess = 0
            if way in within:           # the partner was drained before it
                carried = _carried(chosen)
                before, high = Signal(carried.shape(), name=f"excess_{way}", reset_less=True), Signal(name=f"high_{way}", reset_less=True)
                with m.If(self.drain_en):
                    m.d.sync += high.eq(self.select[0])
                    with m.If(~self.select[0]):
                        m.d.sync += before.eq(carried)
                excess = Mux(high, before, 0)
            if way in across:           # the partner is drained by the way beside it
                carried = _carried(drained[way - 1])
                if last:
                    at_last = Signal(name=f"at_last_{way}", reset_less=True)
                    with m.If(self.drain_en):
                        m.d.sync += at_last.eq(self.select == last)
                    excess = Mux(at_last, carried, excess)
                else:
                    excess = carried
            m.d.comb += self.sums[way].eq(total - excess)
        return m
