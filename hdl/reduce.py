"""Reduce a window's products per channel: the engine of max, average and global pooling."""
from collections import Counter

from amaranth import Module, Mux, Shape, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from .check import boolean, positive
from .count import counter
from .lane import product_layout
from .memory import distributed, times
from .pitch import lookup
from .repeated import repeated
from .walk import Walk

__all__ = ["Reduce", "most_taps", "reduced_layout"]


def most_taps(walk):
    """Most taps inside the map that a window of ``walk`` has."""
    y, x = walk.axes()
    return max(n for _, n in y.inside) * max(n for _, n in x.inside)


def reduced_layout(shape, channels):
    """Result of one channel; ``last`` ends a window, with the last channel."""
    return data.StructLayout({
        "value": Shape.cast(shape), "channel": range(max(2, channels)), "last": 1})


@repeated
class Reduce(wiring.Component):
    """Reduce the products of each window per channel, and stream the results of all channels.

    Results are kept in two banks of distributed memory: while one gathers a window, the other, with
    the window before, is sent and cleared. Hence one product per cycle, and per window as many
    cycles as it has products or channels, whichever are more. The first result is offered three
    cycles after the product that ends its window was taken. For ``channels`` cycles after a reset
    the banks are cleared; until then nothing but one product is taken.
    ``o`` depends on registers only, ``i.ready`` combinationally on ``o.ready``.

    A channel's product that is absent counts as 0, padding as nothing. Where values can be
    negative, a maximum therefore counts the products of each channel: if there are fewer than taps
    inside the map, then one of the channel's values was 0.

    Parameters
    ----------
    shape : shape-like
        Stored activation.
    walk : Walk
        Tells how many taps of each window are inside the map.
    channels : int
        Channels of a window.
    op : str
        ``"max"`` or ``"sum"``.
    keep_zeros : bool
        Zeros are products too, so that no channel's is ever absent: the dense engine.
    depth : int or None
        Range of the products' addresses; ``channels`` if None.
    out_shape : shape-like or None
        Narrower result of a sum, where the products' bounds are known better than from ``shape``.

    Members
    -------
    i : In(stream.Signature(product_layout(shape, depth)))
        Products, addressed by channel; ``last`` ends a window. Products with value 0 are
        harmless: only in a window without any other product may their channel be arbitrary.
    o : Out(stream.Signature(reduced_layout(out_shape, channels)))
        Results, channels in rising order, zeros included. By default ``out_shape`` is ``shape`` for
        a maximum, and the narrowest that holds every sum otherwise.

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of its range, or a maximum has a window with no tap inside the map.
    """

    def __init__(self, shape, *, walk, channels, op, keep_zeros=False, depth=None, out_shape=None):
        if not isinstance(walk, Walk):
            raise TypeError(f"Walk must be a Walk, not {walk!r}")
        boolean("Keep zeros", keep_zeros)
        if op not in ("max", "sum"):
            raise ValueError(f"Operation must be 'max' or 'sum', not {op!r}")
        self.channels = positive("Channels", channels)
        self.depth = channels if depth is None else positive("Depth", depth)
        if self.depth < channels:
            raise ValueError(f"Depth must be at least the {channels} channels, not {depth!r}")
        self.shape, self.walk, self.op = Shape.cast(shape), walk, op
        if op == "max":
            if out_shape is not None:
                raise ValueError(f"Output shape must be given for a sum only, not {out_shape!r}")
            if any(n == 0 for axis in walk.axes() for _, n in axis.inside):
                raise ValueError(
                    f"Every window of a maximum must have a tap inside the map, not lie in padding "
                    f"{walk.padding} only")
            self.out_shape = self.shape
        else:
            least = -(1 << (self.shape.width - 1)) if self.shape.signed else 0
            most = least + (1 << self.shape.width) - 1
            taps = most_taps(walk)
            self.out_shape = Shape.cast(range(taps * least, taps * most + 1)
                                        if out_shape is None else out_shape)
        self._counts = op == "max" and self.shape.signed and not keep_zeros
        super().__init__({
            "i": In(stream.Signature(product_layout(self.shape, self.depth))),
            "o": Out(stream.Signature(reduced_layout(self.out_shape, channels)))})

    @property
    def memories(self):
        size = self.out_shape if self.op == "sum" else self.shape.width
        counts = banks_memories(bits_for(most_taps(self.walk)), self.channels) if self._counts else {}
        return banks_memories(size, self.channels) + Counter(counts)

    def elaborate(self, platform):
        m = Module()
        # Taken first into a register: the path from a bank's address through its data and back
        # into it is a cycle of its own, so that consecutive products may meet in a channel.
        have, product = Signal(), Signal(self.i.payload.shape(), reset_less=True)
        apply, go, end = Signal(), Signal(), Signal()
        # After a reset one drain clears both banks.
        clearing, draining = Signal(init=1), Signal(init=1)
        number, at_end = counter(m, self.channels, go & draining, name="number")
        drained = Signal()
        m.d.comb += [
            go.eq(~self.o.valid | self.o.ready),
            drained.eq(go & at_end),
            apply.eq(have & ~clearing & (~product.last | ~draining | drained)),
            end.eq(apply & product.last),
            self.i.ready.eq(~have | apply),
        ]
        with m.If(self.i.ready):
            m.d.sync += [have.eq(self.i.valid), product.eq(self.i.payload)]

        bank = Signal()                             # the one that gathers
        with m.If(draining & drained):
            m.d.sync += [draining.eq(0), clearing.eq(0)]
        with m.If(end):
            m.d.sync += [bank.eq(~bank), draining.eq(1)]

        if self.op == "sum":
            m.submodules.state = state = Banks(self.out_shape, channels=self.channels)
            m.d.comb += [state.write.eq(apply),
                         *(data.eq(old + product.value) for data, old in zip(state.data, state.old))]
            result = state.drained
        else:
            # Signed values with the sign bit flipped: as unsigned ones, with 0 for "none yet".
            flip = 1 << (self.shape.width - 1) if self.shape.signed else 0
            m.submodules.state = state = Banks(self.shape.width, channels=self.channels)
            value = product.value.as_unsigned() ^ flip
            # Written always: an enable would wait for the comparison, and be the longest path of all.
            m.d.comb += [state.write.eq(apply),
                         *(data.eq(Mux(value > old, value, old)) for data, old in zip(state.data, state.old))]
            result = state.drained ^ flip
        banks = [state]
        if self._counts:
            inside = self._inside(m, end)
            m.submodules.counts = counts = Banks(
                bits_for(most_taps(self.walk)), channels=self.channels)
            m.d.comb += [counts.write.eq(apply), *(data.eq(old + 1) for data, old in zip(counts.data, counts.old))]
            banks.append(counts)
            result = Mux(state.drained[-1] | (counts.drained == inside), result, 0)
        for unit in banks:
            m.d.comb += [unit.bank.eq(bank), unit.clearing.eq(clearing), unit.number.eq(number),
                         unit.go.eq(go), unit.address.eq(product.address)]
        with m.If(go):
            m.d.sync += [
                self.o.valid.eq(draining & ~clearing), self.o.payload.value.eq(result),
                self.o.payload.channel.eq(number),
                self.o.payload.last.eq(at_end)]
        return m

    def _inside(self, m, end):
        """Taps inside the map of the window that is drained."""
        rows, columns = ([n for _, n in axis.inside] for axis in self.walk.axes())
        if len(set(rows)) == len(set(columns)) == 1:
            return rows[0] * columns[0]
        oy, ox = Signal(range(len(rows))), Signal(range(len(columns)))
        height = lookup(m, oy, rows, name="rows_inside")
        width = lookup(m, ox, columns, name="columns_inside")
        inside = Signal(range(most_taps(self.walk) + 1), reset_less=True)
        with m.If(end):
            # A product as shifts and adds: small, and no DSP block.
            m.d.sync += [inside.eq(sum(Mux(bit, width << n, 0) for n, bit in enumerate(height))),
                         ox.eq(ox + 1)]
            with m.If(ox == len(columns) - 1):
                m.d.sync += [ox.eq(0), oy.eq(Mux(oy == len(rows) - 1, 0, oy + 1))]
        return inside


def banks_memories(shape, channels):
    return times(2, distributed(shape, max(2, channels)))


class Banks(wiring.Component):
    """Two banks of one word per channel: one is updated while the other is read and cleared.

    What becomes of a word is worked out beside each bank: to choose between the banks before is a longer path,
    from an address through a memory and back into it within a cycle, and no less logic.

    ``old`` and ``drained`` depend combinationally on ``bank``, ``clearing``, ``address`` and
    ``number``.

    Parameters
    ----------
    shape : shape-like
        Word.
    channels : int
        Words of a bank.

    Members
    -------
    bank : In(1)
        The bank that is updated: its word at ``address`` is its ``old``, and becomes its ``data`` if
        ``write``.
    go : In(1)
        Clear the word at ``number`` of the other bank, which is ``drained``.
    clearing : In(1)
        Clear the word at ``number`` of both.
    """

    def __init__(self, shape, *, channels):
        self.channels = channels
        index = range(max(2, channels))
        super().__init__({
            "bank": In(1), "clearing": In(1), "address": In(index), "number": In(index),
            "old": Out(shape).array(2), "write": In(1), "data": In(shape).array(2), "go": In(1),
            "drained": Out(shape)})

    def elaborate(self, platform):
        m = Module()
        for k in range(2):
            # One address for reading and writing: one LUT holds 64 bits.
            memory = Memory(shape=self.data[k].shape(), depth=max(2, self.channels), init=[],
                            attrs={"ram_style": "distributed"})
            m.submodules[f"memory_{k}"] = memory
            write, read = memory.write_port(), memory.read_port(domain="comb")
            mine = Signal(name=f"mine_{k}")
            m.d.comb += [
                mine.eq((self.bank == k) & ~self.clearing),
                write.addr.eq(Mux(mine, self.address, self.number)), read.addr.eq(write.addr),
                write.en.eq(Mux(mine, self.write, self.go)), write.data.eq(Mux(mine, self.data[k], 0)),
                self.old[k].eq(read.data),
            ]
        m.d.comb += self.drained.eq(Mux(self.bank, self.old[0], self.old[1]))
        return m
