"""The multipliers of the window engine: chunks of non-zeros by the weights of all filters."""
from amaranth import Cat, Module, Mux, Shape, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .arbiter import chunk_layout, taps_of_slot
from .check import between, integers, positive
from .dot import sums_layout
from .memory import distributed, rom, total
from .pick import pick
from .pitch import Pitch
from .products import Products, products_dsps
from .rom import Rom, pack
from .stream import Queue, queue_memories

__all__ = ["WindowDot", "window_dot_dsps", "window_dot_memories"]


def window_dot_dsps(shape, *, weight_width, fine, coarse_out, family, paired):
    """DSP blocks of a :class:`WindowDot` of these parameters."""
    return fine * products_dsps(shape, weight_width=weight_width, count=coarse_out, family=family,
                                paired=paired)


def window_dot_memories(*, taps, fine, words, steps, coarse_out, weight_width, sum_width):
    """Memories of a :class:`WindowDot`: weights of each slot, sums that grow, and complete ones.

    ``words`` channels in all groups, ``steps`` passes over the filters of one.
    """
    weights = [rom(weight_width * coarse_out, len(taps_of_slot(taps, fine, n)) * words * steps)
               for n in range(fine)]
    growing = [distributed(sum_width * coarse_out, steps)] if steps > 1 else []
    return total([*weights, *growing, queue_memories(sum_width * coarse_out, 2 * steps)])


class WindowDot(wiring.Component):
    """Multiply chunks of non-zeros by the weights of all filters, and sum over the channels.

    ``fine * coarse_out`` multipliers: each of the ``fine`` slots has a weight memory of its own, as
    its tap is its own. A chunk meets the filters ``coarse_out`` at a time, which takes
    ``filters / coarse_out`` cycles; sums of all filters are kept beside until the last channel.

    Parameters
    ----------
    shape : shape-like
        Stored activation, 2 to 17 bits.
    weights : array of int (filters, taps, channels of a group)
        Those of this stream's channels.
    weight_width : int
        Bits of a signed weight, 2 to 16.
    fine, coarse_out : int
        Slots, and filters at a time, which divide those of a group.
    sum_width : int
        Bits that hold every sum.
    ways : int
        Sums of a transfer; divides ``coarse_out``.
    groups : int
        Groups of channels and filters, which divide the filters.
    family, paired
        See :class:`~hdl.products.Products`.

    Members
    -------
    i : In(stream.Signature(chunk_layout(shape, taps, fine, words)))
        Chunks; ``words`` are the channels of all groups.
    o : Out(stream.Signature(sums_layout(sum_width, ways)))
        Sums, filters in rising order.

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of its range, or a weight has more bits.
    """

    def __init__(self, shape, *, weights, weight_width, fine, coarse_out, sum_width, ways=1, groups=1,
                 family="behavioural", paired=False):
        self.shape, self.weights = Shape.cast(shape), integers("Weights", weights)
        between("Activation width", self.shape.width, 2, 17)
        self.weight_width = between("Weight width", weight_width, 2, 16)
        limit = 1 << (weight_width - 1)
        if self.weights.min() < -limit or self.weights.max() >= limit:
            raise ValueError(f"Weights must have {weight_width} bits, not range from "
                             f"{self.weights.min()} to {self.weights.max()}")
        filters, self.taps, channels = self.weights.shape
        self.groups, self.words = positive("Groups", groups), channels * groups
        self.coarse_out = positive("Coarse out", coarse_out)
        if filters // groups % coarse_out:
            raise ValueError(f"Coarse out must be a divisor of the {filters // groups} filters of a "
                             f"group, not {coarse_out}")
        self.steps = filters // groups // coarse_out
        self.ways = positive("Ways", ways)
        if coarse_out % ways:
            raise ValueError(f"Coarse out must be a multiple of the {ways} ways, not {coarse_out}")
        self.fine = between("Fine", fine, 1, self.taps)
        self.sum_width = between("Sum width", sum_width, 2, 48)
        self.family, self.paired = family, paired
        super().__init__({
            "i": In(stream.Signature(chunk_layout(self.shape, self.taps, fine, self.words))),
            "o": Out(stream.Signature(sums_layout(sum_width, ways)))})

    @property
    def memories(self):
        return window_dot_memories(
            taps=self.taps, fine=self.fine, words=self.words, steps=self.steps, coarse_out=self.coarse_out,
            weight_width=self.weight_width, sum_width=self.sum_width)

    def slot_words(self, slot):
        """Weight memory of a slot, at address ``(place * words + number) * steps + step``."""
        weights = self.weights[:, list(taps_of_slot(self.taps, self.fine, slot))]
        # group, step, unit, tap, channel of the group
        split = weights.reshape(self.groups, self.steps, self.coarse_out, *weights.shape[1:])
        return pack(split.transpose(3, 0, 4, 1, 2).reshape(-1, self.coarse_out), self.weight_width)

    def elaborate(self, platform):
        m = Module()
        en = Signal()
        chunk, step, have = Signal(self.i.payload.shape(), reset_less=True), Signal(range(self.steps)), Signal()
        number = Pitch(self.steps, self.words)
        base = Signal(number.base_shape, reset_less=True)
        end = Signal()
        m.d.comb += [end.eq(step == self.steps - 1), self.i.ready.eq(en & (end | ~have))]
        with m.If(self.i.ready):
            m.d.sync += [have.eq(self.i.valid), chunk.eq(self.i.payload), step.eq(0),
                         base.eq(number.base(self.i.payload.number))]
        with m.Elif(en):
            m.d.sync += step.eq(step + 1)

        products = [self._multiply(m, n, en, have, chunk.values[n], self._place(m, n),
                                   number.word(base, step)) for n in range(self.fine)]
        sums, levels = self._add(m, en, products)

        def delayed(name, source, cycles, **kwargs):
            for n in range(cycles):
                after = Signal.like(source, name=f"{name}_{n}", **kwargs)
                with m.If(en):
                    m.d.sync += after.eq(source)
                source = after
            return source

        latency = 2 + Products.latency + levels
        step = delayed("step", step, latency, reset_less=True)
        valid, first, last = delayed("valid", have, latency), *(
            delayed(name, chunk[name], latency, reset_less=True) for name in ("first", "last"))
        grown = self._grow(m, valid & en, step, first, sums)
        self._drain(m, valid & last, en, grown)
        return m

    def _place(self, m, n):
        """Base of the weights of slot ``n``: a register beside the chunk's."""
        taps = taps_of_slot(self.taps, self.fine, n)
        pitch = Pitch(self.words * self.steps, len(taps))
        base = Signal(pitch.base_shape, name=f"base_{n}", reset_less=True)
        place = self.i.payload.places[f"{n}"] if len(taps) > 1 else 0
        with m.If(self.i.ready):
            m.d.sync += base.eq(pitch.base(place))
        return lambda offset: pitch.word(base, offset) if len(taps) > 1 else offset

    def _multiply(self, m, n, en, have, value, place, offset):
        """Products of slot ``n`` with the weights of all units."""
        m.submodules[f"rom_{n}"] = weights = Rom(self.coarse_out * self.weight_width, self.slot_words(n))
        m.submodules[f"products_{n}"] = products = Products(
            self.shape, weight_width=self.weight_width, count=self.coarse_out, family=self.family,
            paired=self.paired)
        values = [Signal(self.shape, name=f"value_{n}_{k}", reset_less=True) for k in range(2)]
        word = Signal(weights.width, name=f"word_{n}", reset_less=True)
        m.d.comb += [weights.address.eq(place(offset)), weights.en.eq(en), products.en.eq(en),
                     products.value.eq(values[1]), products.weights.eq(word)]
        with m.If(en):
            m.d.sync += [values[0].eq(value), values[1].eq(values[0]), word.eq(weights.data)]
        return list(products.products)

    def _add(self, m, en, rows):
        """Sum of all slots for each unit, by a tree with a register after every level."""
        levels = 0
        while len(rows) > 1:
            level = []
            for k, (a, b) in enumerate(zip(rows[::2], rows[1::2] + [None])):
                level.append([])
                for unit in range(self.coarse_out):
                    total = a[unit] if b is None else a[unit] + b[unit]
                    shape = signed(min(len(total), self.sum_width))
                    level[-1].append(Signal(shape, name=f"sum_{levels}_{k}_{unit}", reset_less=True))
                    with m.If(en):
                        m.d.sync += level[-1][-1].eq(total)
            rows, levels = level, levels + 1
        return rows[0], levels

    def _grow(self, m, write, step, first, sums):
        """Sums of the channels so far, this chunk's included."""
        if self.steps > 1:
            # One address for reading and writing: one LUT holds 64 bits.
            m.submodules.growing = memory = Memory(
                shape=self.sum_width * self.coarse_out, depth=self.steps, init=[],
                attrs={"ram_style": "distributed"})
            port, read = memory.write_port(), memory.read_port(domain="comb")
            before, after = read.data, port.data
            m.d.comb += [port.addr.eq(step), port.en.eq(write), read.addr.eq(step)]
        else:
            before, after = (Signal(self.sum_width * self.coarse_out, name=name) for name in ("before", "after"))
            with m.If(write):
                m.d.sync += before.eq(after)
        grown = []
        for unit, value in enumerate(sums):
            old = before.word_select(unit, self.sum_width).as_signed()
            grown.append(Signal(signed(self.sum_width), name=f"grown_{unit}"))
            m.d.comb += grown[-1].eq(Mux(first, 0, old) + value)
        m.d.comb += after.eq(Cat(grown))
        return grown

    def _drain(self, m, complete, en, grown):
        """Queue complete sums, a pixel of them at least, and send them ``ways`` at a time."""
        m.submodules.complete = queue = Queue(self.sum_width * self.coarse_out, depth=2 * self.steps)
        turns = self.coarse_out // self.ways
        m.d.comb += [en.eq(~complete | queue.i.ready), queue.i.valid.eq(complete),
                     queue.i.payload.eq(Cat(grown))]
        if turns == 1:
            m.d.comb += [self.o.valid.eq(queue.o.valid), queue.o.ready.eq(self.o.ready),
                         Cat(*self.o.payload).eq(queue.o.payload)]
            return
        turn, held = Signal(range(turns)), queue.o.payload
        for way in range(self.ways):
            sums = [held.word_select(unit, self.sum_width).as_signed()
                    for unit in range(way, self.coarse_out, self.ways)]
            m.d.comb += self.o.payload[way].eq(pick(m, sums, turn))
        m.d.comb += [self.o.valid.eq(queue.o.valid), queue.o.ready.eq(self.o.ready & (turn == turns - 1))]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += turn.eq(Mux(turn == turns - 1, 0, turn + 1))
