"""The sparse dot-product engine: every activation meets the weights of P filters at once."""
import numpy as np
from amaranth import Cat, Module, Mux, Shape, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .check import between, boolean, integers, positive
from .digits import by_digits, digit_count
from .lane import product_layout
from .mac import FAMILIES, MacArray
from .memory import rom
from .rom import Rom, pack

__all__ = ["SparseDot", "dot_memories", "drain", "sums_layout"]


def sums_layout(width, ways):
    """One sum of each way."""
    return data.ArrayLayout(signed(width), ways)


def dot_memories(*, filters, addresses, pes, weight_width, weights_in_blocks=False):
    """Weight memory of a :class:`SparseDot` whose weights are (filters, addresses)."""
    return rom(pes * weight_width, -(-filters // pes) * addresses, weights_in_blocks)


class SparseDot(wiring.Component):
    """Multiply each non-zero by the weights of P filters, and accumulate over a pass.

    One product per ``product_cycles`` (1, or more without DSP blocks) for each processing element
    (PE), without a gap between passes, as long as a pass takes at least ``pes / ways`` cycles: that is
    how long its sums take to drain. The engine freezes as a whole when a pass ends before the sums of
    the one before are drained. ``latency`` cycles from the last product of a pass to its first sums.
    ``i.ready`` depends combinationally on ``o.ready``.

    Filter f is computed in pass ``f // pes`` by PE ``f % pes``. Each transfer of ``o`` carries the
    sums of filters ``t * ways`` to ``t * ways + ways - 1``, window after window in rising ``t``.

    Parameters
    ----------
    shape : shape-like
        Activation, 2 to 17 bits.
    weights : array of int (filters, addresses)
        Weights that the product at each address of a pass takes, as the window numbers them.
    weight_width : int
        Bits of a signed weight, 2 to 16.
    pes : int
        Processing elements; a multiple of ``ways``.
    sum_width : int
        Bits that hold every sum of a pass.
    ways : int
        Sums drained per cycle.
    depth : int or None
        Addresses that ``i`` ranges over, if more than ``passes * addresses``.
    family : str
        Multiply-accumulate primitive, see :class:`~hdl.mac.MacArray`.
    weights_in_blocks : bool
        Ask for block memory for the weights, however few they are.
    serial : bool
        Multiply without DSP blocks, one digit of the weights per cycle, see :class:`~hdl.mac.MacArray`.

    Members
    -------
    i : In(stream.Signature(product_layout(shape, depth)))
    o : Out(stream.Signature(sums_layout(sum_width, ways)))

    Attributes
    ----------
    product_cycles : int
        Cycles that a PE spends on a product.

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of its range, or a weight has more bits.
    """

    latency = MacArray.latency + 4

    def __init__(self, shape, *, weights, weight_width, pes, sum_width, ways=1, depth=None,
                 family="behavioural", weights_in_blocks=False, serial=False):
        self.shape, self.weights = Shape.cast(shape), integers("Weights", weights)
        between("Activation width", self.shape.width, 2, 17)
        self.weight_width = between("Weight width", weight_width, 2, 16)
        self.pes, self.ways = positive("PEs", pes), positive("Ways", ways)
        self.sum_width, self.family = between("Sum width", sum_width, 2, 48), family
        self.weights_in_blocks, self.serial = boolean("Weights in blocks", weights_in_blocks), boolean("Serial", serial)
        self.product_cycles = digit_count(weight_width) if serial else 1
        if family not in FAMILIES:
            raise ValueError(f"Family must be one of {', '.join(FAMILIES)}, not {family!r}")
        if pes % ways:
            raise ValueError(f"PEs must be a multiple of the {ways} ways, not {pes}")
        weights = self.weights
        if weights.ndim != 2 or not weights.size:
            raise ValueError(f"Weights must be of shape (filters, addresses), not {weights.shape}")
        limit = 1 << (weight_width - 1)
        if weights.min() < -limit or weights.max() >= limit:
            raise ValueError(f"Weights must have {weight_width} bits, not range from "
                             f"{weights.min()} to {weights.max()}")
        self.filters, self.addresses = weights.shape
        self.passes = -(-self.filters // pes)
        least = self.passes * self.addresses
        depth = least if depth is None else positive("Depth", depth)
        if depth < least:
            raise ValueError(f"Depth must be at least {least}, not {depth!r}")
        super().__init__({
            "i": In(stream.Signature(product_layout(shape, depth))),
            "o": Out(stream.Signature(sums_layout(sum_width, ways)))})

    @property
    def memories(self):
        return dot_memories(filters=self.filters, addresses=self.addresses, pes=self.pes,
                            weight_width=self.weight_width, weights_in_blocks=self.weights_in_blocks)

    @property
    def words(self):
        """Weight memory: the weights of all PEs, at address ``pass * addresses + address``."""
        padded = np.zeros((self.passes * self.pes, self.addresses), np.int64)
        padded[:self.filters] = self.weights
        return pack(padded.reshape(self.passes, self.pes, self.addresses).transpose(0, 2, 1)
                    .reshape(-1, self.pes), self.weight_width)

    def elaborate(self, platform):
        m = Module()
        m.submodules.rom = rom = Rom(
            self.pes * self.weight_width, self.words, block=self.weights_in_blocks)
        m.submodules.mac = mac = MacArray(
            pes=self.pes, ways=self.ways, shape=self.shape, weight_width=self.weight_width,
            sum_width=self.sum_width, family=self.family, serial=self.serial)

        # Everything moves in step; a bubble is a product with value 0 that begins nothing.
        en = Signal()
        value, weights = [Signal(self.shape, name=f"value_{n}") for n in range(2)], Signal(rom.width)
        begins = Signal(init=1)                     # the next product is the first of its pass
        first = [Signal(name=f"first_{n}") for n in range(2)]
        ends = [Signal(2, name=f"end_{n}") for n in range(2 + mac.latency)]     # last, final
        taken = self.i.valid
        number, end = by_digits(m, self.i, en, self.product_cycles)
        if self.serial:
            digit = [Signal.like(mac.digit, name=f"digit_{n}") for n in range(2)]
            m.d.comb += mac.digit.eq(digit[1])
            with m.If(en):
                m.d.sync += [digit[0].eq(number), digit[1].eq(digit[0])]
        m.d.comb += [
            rom.address.eq(self.i.payload.address), rom.en.eq(en),
            mac.en.eq(en), mac.value.eq(value[1]), mac.weights.eq(weights), mac.first.eq(first[1]),
        ]
        with m.If(en):
            m.d.sync += [
                value[0].eq(Mux(taken, self.i.payload.value, 0)), value[1].eq(value[0]),
                weights.eq(rom.data),
                first[0].eq(taken & begins), first[1].eq(first[0]),
                ends[0].eq(Mux(taken & end, Cat(self.i.payload.last, self.i.payload.final), 0)),
                *(after.eq(before) for before, after in zip(ends, ends[1:])),
            ]
            with m.If(taken):
                m.d.sync += begins.eq(self.i.payload.last & end)
        drain(m, mac, self.o, en, *ends[-1], pes=self.pes, filters=self.filters)
        return m


def drain(m, mac, o, en, end, final, *, pes, filters):
    """Hold the sums of a pass in ``mac`` and send them while the next pass accumulates.

    ``end`` and ``final`` travel beside the products. ``en`` is driven: it is low while a pass ends
    before the sums of the one before are drained.
    """
    ways = len(o.payload)
    words = pes // ways
    rest = -(-(filters - (-(-filters // pes) - 1) * pes) // ways)       # of the last pass
    full, short = Signal(), Signal()
    step, done = Signal(), Signal()
    number, at_end = Signal(range(words)), Signal()         # number is the last one: everything waits for that
    m.d.comb += [
        step.eq(full & (~o.valid | o.ready)),
        done.eq(step & at_end),
        en.eq(~end | ~full | done),
        mac.hold.eq(end & en), mac.select.eq(number), mac.drain_en.eq(step),
        Cat(*o.payload).eq(Cat(*mac.sums)),
    ]
    with m.If(~o.valid | o.ready):
        m.d.sync += o.valid.eq(full)
    with m.If(step):
        m.d.sync += [number.eq(Mux(done, 0, number + 1)),
                     at_end.eq(number == (words - 2 if rest == 1 else Mux(short, rest - 2, words - 2)))]
    with m.If(mac.hold):
        m.d.sync += [full.eq(1), short.eq(final)]
        if rest == 1 or words == 1:         # else the first sums are never the last
            m.d.sync += at_end.eq(1 if words == 1 else final)
    with m.Elif(done):
        m.d.sync += full.eq(0)
