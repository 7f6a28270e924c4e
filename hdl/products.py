"""Products of one activation with several weights, not accumulated."""
from amaranth import Cat, Module, Shape, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .check import between, positive
from .dsp48e2 import Dsp48e2Macs, packs

__all__ = ["Products", "products_dsps"]


def products_dsps(shape, *, weight_width, count, family, paired):
    """DSP blocks of a :class:`Products` of these parameters."""
    return -(-count // 2) if _pairs(shape, weight_width, family, paired) else count


def _pairs(shape, weight_width, family, paired):
    return (paired and family == "dsp48e2"
            and packs(shape, weight_width, Shape.cast(shape).width + weight_width))


class Products(wiring.Component):
    """Multiply an activation by ``count`` weights; ``latency`` enabled cycles.

    Parameters
    ----------
    shape : shape-like
        Activation, 2 to 17 bits.
    weight_width : int
        Bits of a signed weight, 2 to 16.
    count : int
        Weights.
    family : str
        "behavioural" or "dsp48e2", see :class:`~hdl.mac.MacArray`.
    paired : bool
        Let two weights share a DSP48E2 where they fit, see :func:`~hdl.dsp48e2.packs`.

    Members
    -------
    en : In(1)
    value : In(shape)
    weights : In(count * weight_width)
    products : Out(signed(width of both)).array(count)

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of its range.
    """

    latency = 4

    def __init__(self, shape, *, weight_width, count, family="behavioural", paired=False):
        self.shape, self.weight_width = Shape.cast(shape), between("Weight width", weight_width, 2, 16)
        between("Activation width", self.shape.width, 2, 17)
        self.count, self.family = positive("Count", count), family
        self.width = self.shape.width + weight_width
        self.paired = _pairs(shape, weight_width, family, paired)
        super().__init__({
            "en": In(1), "value": In(self.shape), "weights": In(count * weight_width),
            "products": Out(signed(self.width)).array(count)})

    def elaborate(self, platform):
        m = Module()
        if self.family == "dsp48e2":
            self._blocks(m)
            return m
        value = self._delayed(m, "value", self.value, 2)
        for n, out in enumerate(self.products):
            weight = self.weights.word_select(n, self.weight_width).as_signed()
            product = value * self._delayed(m, f"weight_{n}", weight, 2)
            m.d.comb += out.eq(self._delayed(m, f"product_{n}", product, 2))
        return m

    def _delayed(self, m, name, source, cycles):
        for n in range(cycles):
            after = Signal(source.shape(), name=f"{name}_{n}", reset_less=True)
            with m.If(self.en):
                m.d.sync += after.eq(source)
            source = after
        return source

    def _blocks(self, m):
        """Accumulators in which every sum begins anew."""
        each = self.count if self.paired else 1
        for n in range(0, self.count, each):
            m.submodules[f"macs_{n}"] = macs = Dsp48e2Macs(
                pes=each, ways=1, shape=self.shape, weight_width=self.weight_width, sum_width=self.width)
            weights = [self.weights.word_select(k, self.weight_width) for k in range(n, n + each)]
            m.d.comb += [macs.en.eq(self.en), macs.value.eq(self.value), macs.first.eq(1),
                         macs.weights.eq(Cat(weights))]
            m.d.comb += [self.products[n + k].eq(total) for k, total in enumerate(macs.totals)
                         if k not in dict(map(reversed, macs.pairs))]
            # A low product fits its lane: of the high one, a negative one has taken 1.
            m.d.comb += [self.products[n + high].eq(macs.totals[high] + (macs.totals[low] < 0))
                         for low, high in macs.pairs]
