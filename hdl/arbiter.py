"""The zero check and the arbiter of the window engine: non-zeros of a window to few multipliers."""
from amaranth import Cat, Module, Mux, Shape, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .check import between, positive
from .line_buffer import window_layout
from .pitch import divided

__all__ = ["Arbiter", "chunk_layout", "taps_of_slot"]


def taps_of_slot(taps, fine, slot):
    """Taps that may come to multiplier ``slot`` of ``fine``.

    The non-zero with ``n`` others before it goes to slot ``n % fine``, so that tap ``t`` comes to none
    beyond slot ``t``. With a multiplier for each tap nothing is moved.
    """
    return range(slot, taps) if fine < taps else range(slot, slot + 1)


def chunk_layout(shape, taps, fine, words):
    """Up to ``fine`` non-zeros of the window of channel ``number``, 0 in the other slots.

    ``places`` are their taps, as positions in :func:`taps_of_slot`. ``first`` and ``last`` are those
    of the channels that are summed.
    """
    places = {f"{n}": range(max(2, len(taps_of_slot(taps, fine, n)))) for n in range(fine)}
    return data.StructLayout({
        "values": data.ArrayLayout(shape, fine), "places": data.StructLayout(places),
        "number": range(max(2, words)), "first": 1, "last": 1})


class Arbiter(wiring.Component):
    """Deal the non-zeros of each window to ``fine`` slots, that many at a time.

    A window becomes ``ceil(non-zeros / fine)`` chunks, one per cycle. An all-zero window becomes one
    chunk, or none with ``skip_empty`` unless all windows of the sum are empty. ``o`` depends on
    registers only, ``i.ready`` combinationally on ``o.ready``.

    Parameters
    ----------
    shape : shape-like
        Stored activation.
    taps, words : int
        Taps of a window, and channels.
    fine : int
        Slots; at most ``taps``.
    skip_empty : bool
        Leave all-zero windows out.

    Members
    -------
    i : In(stream.Signature(window_layout(shape, taps, words)))
    o : Out(stream.Signature(chunk_layout(shape, taps, fine, words)))

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of its range.
    """

    def __init__(self, shape, *, taps, words, fine, skip_empty=False):
        self.shape, self.taps, self.words = Shape.cast(shape), positive("Taps", taps), positive("Words", words)
        self.fine, self.skip_empty = between("Fine", fine, 1, taps), skip_empty
        self.layout = chunk_layout(self.shape, taps, fine, words)
        super().__init__({
            "i": In(stream.Signature(window_layout(self.shape, taps, words))),
            "o": Out(stream.Signature(self.layout))})

    def elaborate(self, platform):
        m = Module()
        most = -(-self.taps // self.fine)           # chunks of a window
        window = Signal(self.i.payload.shape(), reset_less=True)
        have, empty, go = Signal(), Signal(reset_less=True), Signal()
        chunk, final = Signal(range(most)), Signal(range(most), reset_less=True)
        done = Signal()
        m.d.comb += [done.eq(chunk == final), self.i.ready.eq(~have | (go & done))]
        nonzero = Cat(value != 0 for value in self.i.payload.values)
        with m.If(self.i.ready):
            m.d.sync += [have.eq(self.i.valid), window.eq(self.i.payload), chunk.eq(0),
                         empty.eq(~nonzero.any())]
        with m.Elif(go):
            m.d.sync += chunk.eq(chunk + 1)

        slots, chunks = self._deal(m, nonzero, final)
        chosen = Signal(self.layout)
        m.d.comb += [chosen.number.eq(window.number), chosen.last.eq(window.last & done)]
        for n in range(self.fine):
            self._select(m, n, window.values, [
                here if most == 1 else here & (chunks[tap] == chunk) for tap, here in slots[n].items()],
                chosen)
        self._send(m, chosen, have, empty, go)
        return m

    def _deal(self, m, nonzero, final):
        """Of the window that comes in: which taps go to each slot, in which chunk, and the last chunk."""
        ready, most = self.i.ready, -(-self.taps // self.fine)
        if most == 1:
            return [{n: 1} for n in range(self.fine)], None
        slots, chunks = [{} for _ in range(self.fine)], []
        before, ranks = 0, range(self.taps + 1)
        for tap, here in enumerate(nonzero):
            rank = Signal(range(tap + 1), name=f"rank_{tap}")
            m.d.comb += rank.eq(before)
            quotient, turn = divided(m, rank, self.fine, tap + 1, f"quotient_{tap}", f"turn_{tap}")
            chunks.append(Signal(range(tap // self.fine + 1), name=f"chunk_{tap}", reset_less=True))
            with m.If(ready):
                m.d.sync += chunks[tap].eq(quotient)
            for n in range(min(tap + 1, self.fine)):
                slots[n][tap] = Signal(name=f"slot_{n}_{tap}", reset_less=True)
                with m.If(ready):
                    m.d.sync += slots[n][tap].eq(here & (turn == n))
            before = rank + here
        count = Signal(ranks)
        m.d.comb += count.eq(before)
        last, _ = divided(m, (count - (count != 0))[:len(count)], self.fine, self.taps, "last_chunk", "unused")
        with m.If(ready):
            m.d.sync += final.eq(last)
        return slots, chunks

    def _select(self, m, n, values, here, chosen):
        """The crossbar: what comes to slot ``n``."""
        taps = taps_of_slot(self.taps, self.fine, n)
        value, place = 0, 0
        for number, (tap, mine) in enumerate(zip(taps, here, strict=True)):
            value = value | Mux(mine, values[tap], 0)
            place = place | Mux(mine, number, 0)
        m.d.comb += [chosen.values[n].eq(value), chosen.places[f"{n}"].eq(place)]

    def _send(self, m, chosen, have, empty, go):
        """Mark the first and the last chunk of a sum, which an empty window may end."""
        first = Signal(init=1)              # no chunk of this sum has come yet
        if not self.skip_empty:
            m.d.comb += go.eq(have & (~self.o.valid | self.o.ready))
            with m.If(~self.o.valid | self.o.ready):
                m.d.sync += [self.o.valid.eq(have), self.o.payload.eq(chosen),
                             self.o.payload.first.eq(first)]
            with m.If(go):
                m.d.sync += first.eq(chosen.last)
            return
        # The newest chunk waits until it is known whether another follows.
        newest, held, drop, send = Signal(self.layout, reset_less=True), Signal(), Signal(), Signal()
        load = Signal()
        m.d.comb += [
            # Nothing in it and not needed: at most it ends the sum of the chunk that waits.
            drop.eq(have & empty & (~chosen.last | ~first)),
            send.eq(held & (newest.last | (have & ~drop)) & (~self.o.valid | self.o.ready)),
            load.eq(have & ~drop & (~held | send)),
            go.eq(load | (drop & (~chosen.last | (held & ~newest.last)))),
        ]
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [self.o.valid.eq(send), self.o.payload.eq(newest)]
        m.d.sync += held.eq(load | (held & ~send))
        with m.If(load):
            m.d.sync += [newest.eq(chosen), newest.first.eq(first)]
        with m.Elif(drop & chosen.last & held):
            m.d.sync += newest.last.eq(1)
        with m.If(go):
            m.d.sync += first.eq(chosen.last | (first & drop))
