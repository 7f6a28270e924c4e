"""Add up the lanes' partial sums, which arrive windows apart, and the bias."""
import numpy as np
from amaranth import Cat, Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from .check import integers, positive
from .count import count_both_ways, counter
from .dot import sums_layout
from .memory import ram, rom, times
from .rom import Rom, pack
from .stream import channels_of_way

__all__ = ["Accumulator", "accumulator_memories", "totals_layout"]


def totals_layout(width, ways):
    """One total of each way; ``last`` ends an output pixel."""
    return data.StructLayout({"sums": sums_layout(width, ways), "last": 1})


def accumulator_memories(*, lanes, sum_width, width, filters, ways, windows):
    """Memories of an :class:`Accumulator` of ``filters`` biases: its lanes' queues, and the biases."""
    words = channels_of_way(filters, ways)
    return times(lanes, ram(sum_width * ways, 1 << _address_bits(windows, words))) + rom(
        width * ways, words)


def _address_bits(windows, words):
    return max(1, bits_for(windows * words - 1))


class Accumulator(wiring.Component):
    """Add up the sums of several lanes, and a bias for each filter.

    Each lane has a queue of partial sums ``windows`` output pixels deep, so that lanes that finish
    a pass early go on with the next ones. One transfer per cycle; ``latency`` cycles from the sum
    that completes a total to that total. ``i.ready`` depends on registers only.

    Parameters
    ----------
    lanes : int
        Lanes.
    sum_width : int
        Bits of a lane's sum.
    bias : array of int (filters)
        Added to the filters' totals.
    width : int
        Bits that hold every total.
    ways : int
        Sums per transfer.
    windows : int
        Output pixels that lanes may be apart.

    Members
    -------
    i : In(stream.Signature(sums_layout(sum_width, ways))).array(lanes)
        Sums of each lane, filters in rising order.
    o : Out(stream.Signature(totals_layout(width, ways)))
        Totals, filters in rising order; garbage in the ways beyond the last filter.

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of its range, or a bias has more bits than ``width``.
    """

    def __init__(self, *, lanes, sum_width, bias, width, ways=1, windows=4):
        self.lanes, self.sum_width = positive("Lanes", lanes), positive("Sum width", sum_width)
        self.width, self.ways = positive("Width", width), positive("Ways", ways)
        self.windows = positive("Windows", windows)
        self.bias = integers("Biases", bias)
        if self.bias.ndim != 1 or not self.bias.size:
            raise ValueError(f"Biases must be one for each filter, not of shape {self.bias.shape}")
        if self.bias.min() < -(1 << (width - 1)) or self.bias.max() >= 1 << (width - 1):
            raise ValueError(f"Biases must have {width} bits, not range from "
                             f"{self.bias.min()} to {self.bias.max()}")
        self.words = channels_of_way(len(self.bias), ways)      # transfers per output pixel
        super().__init__({
            "i": In(stream.Signature(sums_layout(sum_width, ways))).array(lanes),
            "o": Out(stream.Signature(totals_layout(width, ways)))})

    @property
    def memories(self):
        return accumulator_memories(lanes=self.lanes, sum_width=self.sum_width, width=self.width,
                                    filters=len(self.bias), ways=self.ways, windows=self.windows)

    @property
    def latency(self):
        return 2 + self.lanes.bit_length()

    def elaborate(self, platform):
        m = Module()
        bits = _address_bits(self.windows, self.words)
        head = Signal(bits)
        en, pop = Signal(), Signal()
        rows, waiting = [], []
        for n, lane in enumerate(self.i):
            m.submodules[f"queue_{n}"] = memory = Memory(
                shape=self.sum_width * self.ways, depth=1 << bits, init=[])
            write, read = memory.write_port(), memory.read_port()
            tail, level = Signal(bits, name=f"tail_{n}"), Signal(bits + 1, name=f"level_{n}")
            any_held = Signal(name=f"any_{n}")      # known a cycle ahead: all lanes wait for all
            m.d.comb += [lane.ready.eq(~level[-1]), write.en.eq(lane.valid & lane.ready),
                         write.addr.eq(tail), write.data.eq(Cat(*lane.payload)),
                         read.addr.eq(head), read.en.eq(en)]
            with m.If(write.en):
                m.d.sync += tail.eq(tail + 1)
            count_both_ways(m, level, write.en, pop, early=write.en)
            m.d.sync += any_held.eq(write.en | any_held & ~(pop & (level == 1)))
            waiting.append(any_held)
            rows.append([read.data.word_select(w, self.sum_width).as_signed() for w in range(self.ways)])
        m.d.comb += [en.eq(~self.o.valid | self.o.ready), pop.eq(en & Cat(waiting).all())]
        with m.If(pop):
            m.d.sync += head.eq(head + 1)

        bias = np.zeros(self.words * self.ways, np.int64)
        bias[:len(self.bias)] = self.bias
        m.submodules.bias = biases = Rom(
            self.width * self.ways, pack(bias.reshape(self.words, self.ways), self.width))
        number, end = counter(m, self.words, pop, name="number")
        valid, last = Signal(), Signal(reset_less=True)
        m.d.comb += [biases.address.eq(number), biases.en.eq(en)]
        with m.If(en):
            m.d.sync += [valid.eq(pop), last.eq(end)]

        rows.append([biases.data.word_select(w, self.width).as_signed() for w in range(self.ways)])
        while len(rows) > 1:                    # a tree with a register after every level
            level = []
            for a, b in zip(rows[::2], rows[1::2] + [None]):
                level.append([])
                for w in range(self.ways):
                    total = Signal(signed(self.width), reset_less=True)
                    with m.If(en):
                        m.d.sync += total.eq(a[w] if b is None else a[w] + b[w])
                    level[-1].append(total)
            rows = level
            after_valid, after_last = Signal(), Signal(reset_less=True)
            with m.If(en):
                m.d.sync += [after_valid.eq(valid), after_last.eq(last)]
            valid, last = after_valid, after_last
        m.d.comb += [self.o.valid.eq(valid), self.o.payload.last.eq(last),
                     Cat(*self.o.payload.sums).eq(Cat(*rows[0]))]
        return m
