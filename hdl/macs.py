"""What the multiply-accumulate primitives of all families have in common."""
from amaranth import Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Macs", "delayed"]


class Macs(wiring.Component):
    """P multipliers with their accumulators; one primitive for each family elaborates it.

    The sum of products up to and including the one presented stands in ``totals`` four enabled
    cycles later. No resets: ``first`` begins a sum.

    Parameters
    ----------
    pes : int
        Processing elements.
    shape : shape-like
        Activation, at most 17 bits.
    weight_width : int
        Bits of a signed weight, at most 16.
    sum_width : int
        Bits of a complete sum, at most 48.
    more
        Further members of a primitive.

    Members
    -------
    en : In(1)
        Clock enable of everything.
    value : In(shape)
    weights : In(pes * weight_width)
    first : In(1)
        This product starts a new sum.
    totals : Out(signed(sum_width)).array(pes)
        Accumulators.

    Attributes
    ----------
    pairs : sequence of (int, int)
        PEs that share a block, low and high: the total of the high one counts what the low one's
        carried out of its lane. None unless the primitive packs them.
    """

    pairs = ()

    def __init__(self, *, pes, shape, weight_width, sum_width, **more):
        self.weight_width, self.sum_width = weight_width, sum_width
        super().__init__({
            "en": In(1), "value": In(shape), "weights": In(pes * weight_width), "first": In(1),
            "totals": Out(signed(sum_width)).array(pes), **more})

    def weight(self, pe):
        """The weight that a PE meets."""
        return self.weights.word_select(pe, self.weight_width).as_signed()


def delayed(m, name, value, cycles):
    """``value`` behind ``cycles`` registers, in the enabling block that is open in ``m``."""
    for n in range(cycles):
        register = Signal(value.shape(), name=f"{name}_{n + 1}", reset_less=True)
        m.d.sync += register.eq(value)
        value = register
    return value
