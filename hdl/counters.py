"""Many wide counters of events, read as of one cycle."""
from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from .check import positive
from .memory import ram, times

__all__ = ["CounterBank", "events_layout"]

WIDTH = 64      # at 64 events per cycle and 300 MHz it wraps after 30 years
LATENCY = 2     # cycles from reading a total to writing it


def events_layout(most):
    """Of each counter, the number of its events in a cycle: at most ``most[n]``."""
    return data.StructLayout({f"event_{n}": range(amount + 1) for n, amount in enumerate(most)})


class CounterBank(wiring.Component):
    """Totals of 64 bits, one for each kind of event, in a memory.

    Only as many events as one sweep over the memory may see are counted in registers of their own.
    At the start of a sweep all of these are handed to a chain of registers in the same cycle; the sweep adds
    them to their totals, one per cycle, by a single adder. So the totals of a sweep are all as of one
    cycle, and those of a sweep that follows ``snapshot`` are kept in a second memory too, until the next
    one: that is what is read. The totals start at 0 after a reset.

    A sweep takes ``len(most) + 2`` cycles; a snapshot is of a cycle at most one sweep after the
    request, and can be read when ``busy`` is 0 again, two sweeps after it at the latest.

    Parameters
    ----------
    most : sequence of int
        Most events of each kind in one cycle. In falling order they cost the fewest registers.

    Members
    -------
    events : In(events_layout(most))
    snapshot : In(1)
    busy : Out(1)
    address : In(range(2 * len(most)))
        Low words at even addresses, high words at odd ones.
    data : Out(32)
        Word of the last snapshot, a cycle after its address; not while ``busy``.

    Raises
    ------
    TypeError
        If an entry of ``most`` is not a positive integer.
    """

    def __init__(self, most):
        self.most = [positive("Events per cycle", amount) for amount in most]
        positive("Counters", len(self.most))
        super().__init__({
            "events": In(events_layout(self.most)), "snapshot": In(1), "busy": Out(1),
            "address": In(range(2 * len(self.most))), "data": Out(32)})

    @property
    def sweep(self):
        """Cycles of a sweep."""
        return len(self.most) + LATENCY

    @property
    def memories(self):
        return times(2, ram(WIDTH, len(self.most)))

    def elaborate(self, platform):
        m = Module()
        count = len(self.most)
        at, hand_over = Signal(range(self.sweep)), Signal()
        m.d.comb += hand_over.eq(at == self.sweep - 1)
        m.d.sync += at.eq(Mux(hand_over, 0, at + 1))

        widths = [bits_for(amount * self.sweep) for amount in self.most]
        chain = [Signal(max(widths[n:]), name=f"chain_{n}", reset_less=True) for n in range(count)]
        for n, (width, register) in enumerate(zip(widths, chain)):
            fresh = Signal(width, name=f"fresh_{n}")
            event = self.events[f"event_{n}"]
            m.d.sync += [
                fresh.eq(Mux(hand_over, 0, fresh) + event),
                register.eq(Mux(hand_over, fresh, chain[n + 1] if n + 1 < count else 0))]

        m.submodules.totals = totals = Memory(shape=WIDTH, depth=max(2, count), init=[])
        m.submodules.shown = shown = Memory(shape=WIDTH, depth=max(2, count), init=[])
        read, write, show = totals.read_port(), totals.write_port(), shown.write_port()
        addend, total = Signal.like(chain[0], reset_less=True), Signal(WIDTH, reset_less=True)
        cleared = Signal()                  # the first sweep after a reset writes zeros
        valid, place = [at < count], [at]
        for n in range(LATENCY):
            valid.append(Signal(name=f"valid_{n}"))
            place.append(Signal.like(at, name=f"place_{n}", reset_less=True))
            m.d.sync += [valid[-1].eq(valid[-2]), place[-1].eq(place[-2])]
        m.d.comb += read.addr.eq(at)
        m.d.sync += [addend.eq(chain[0]), total.eq(Mux(cleared, read.data + addend, 0))]

        wanted, showing = Signal(), Signal()
        with m.If(hand_over):
            m.d.sync += [cleared.eq(1), showing.eq(wanted | self.snapshot), wanted.eq(0)]
        with m.Elif(self.snapshot):
            m.d.sync += wanted.eq(1)
        m.d.comb += [
            self.busy.eq(wanted | showing),
            write.addr.eq(place[-1]), write.data.eq(total), write.en.eq(valid[-1]),
            show.addr.eq(place[-1]), show.data.eq(total), show.en.eq(valid[-1] & showing)]

        words, high = shown.read_port(), Signal()
        m.d.comb += [words.addr.eq(self.address[1:]),
                     self.data.eq(words.data.word_select(high, 32))]
        m.d.sync += high.eq(self.address[0])
        return m
