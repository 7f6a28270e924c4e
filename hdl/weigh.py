"""Multiply each non-zero by one weight, that of its tap and channel."""
from amaranth import Const, Module, Shape, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .check import between, boolean, integers
from .digits import by_digits, digit_count, digit_of, multiple, placed, plus
from .lane import product_layout
from .memory import rom as rom_size
from .rom import Rom, pack

__all__ = ["Weigh"]


class Weigh(wiring.Component):
    """Multiply each non-zero by the weight of its tap and channel.

    One product per cycle, ``latency`` cycles; or, without a DSP block, the parts of a product that the digits of the weight
    make, one per cycle. ``i.ready`` depends combinationally on ``o.ready``,
    ``o`` on registers only.

    Parameters
    ----------
    shape : shape-like
        Activation, 2 to 17 bits.
    weights : array of int (channels, kernel height, kernel width)
        Of the channels and kernel rows that this lane sees.
    weight_width : int
        Bits of a signed weight, 2 to 16.
    depth, channels : int
        Addresses and channels that ``i`` ranges over, which may be more than this lane's.
    serial : bool
        Without a DSP block.

    Members
    -------
    i : In(stream.Signature(product_layout(shape, depth, channels)))
        Non-zeros, addressed by ``tap * len(weights) + channel``.
    o : Out(stream.Signature(product_layout(out_shape, channels)))
        Products, or their parts, addressed by channel. ``out_shape`` holds every product.

    Attributes
    ----------
    product_cycles : int
        Cycles that a product takes.

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of its range, or a weight has more bits.
    """

    latency = 3

    def __init__(self, shape, *, weights, weight_width, depth, channels, serial=False):
        between("Activation width", Shape.cast(shape).width, 2, 17)
        between("Weight width", weight_width, 2, 16)
        weights = integers("Weights", weights)
        limit = 1 << (weight_width - 1)
        if weights.min() < -limit or weights.max() >= limit:
            raise ValueError(f"Weights must have {weight_width} bits, not range from "
                             f"{weights.min()} to {weights.max()}")
        self.shape, self.weights, self.weight_width = Shape.cast(shape), weights, weight_width
        self.serial, self.product_cycles = boolean("Serial", serial), digit_count(weight_width) if serial else 1
        self.out_shape = signed(self.shape.width + weight_width)
        super().__init__({
            "i": In(stream.Signature(product_layout(shape, depth, channels))),
            "o": Out(stream.Signature(product_layout(self.out_shape, channels)))})

    @property
    def memories(self):
        return rom_size(self.weight_width, self.weights.size)

    @property
    def words(self):
        """Weight memory, by address."""
        return pack(self.weights.transpose(1, 2, 0).reshape(-1, 1), self.weight_width)

    def elaborate(self, platform):
        m = Module()
        m.submodules.rom = rom = Rom(self.weight_width, self.words)
        en = Signal()
        number, end = by_digits(m, self.i, en, self.product_cycles)
        m.d.comb += [en.eq(~self.o.valid | self.o.ready), rom.address.eq(self.i.payload.address),
                     rom.en.eq(en)]

        def delayed(name, source, cycles, **kwargs):
            for n in range(cycles):
                after = Signal.like(source, name=f"{name}_{n}", **kwargs)
                with m.If(en):
                    m.d.sync += after.eq(source)
                source = after
            return source

        # The registers of operands and product have no reset, so that they fit into a DSP block;
        # so does the one in which the reduction takes the product.
        beat, out = self.i.payload, self.o.payload
        value, weight = delayed("value", beat.value, 1, reset_less=True), rom.data.as_signed()
        if self.serial:
            number = delayed("number", number, 1, reset_less=True)
            value = delayed("placed", placed(m, value, number, self.product_cycles), 1, reset_less=True)
            digit = delayed("digit", digit_of(m, weight, number), 1, reset_less=True)
            made = plus(Const(0, self.out_shape), *multiple(value, digit)).as_signed()
        else:
            made = delayed("operand", value, 1, reset_less=True) * delayed("weight", weight, 1, reset_less=True)
        product = Signal(self.out_shape, reset_less=True)
        with m.If(en):
            m.d.sync += product.eq(made)
        m.d.comb += [self.o.valid.eq(delayed("valid", self.i.valid, self.latency)),
                     out.value.eq(product)]
        for name, source in (("address", beat.channel), ("last", beat.last & end), ("final", beat.final & end)):
            m.d.comb += out[name].eq(delayed(name, source, self.latency, reset_less=True))
        return m
