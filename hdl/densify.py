"""From the sparse pixel stream back to one that carries every value."""
from amaranth import Module, Mux, Shape, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .check import positive
from .pitch import divided
from .stream import beat_layout

__all__ = ["Densify"]


class Densify(wiring.Component):
    """Fill in the zeros of one way of a pixel stream, ``share`` channels at a time.

    A word of ``o`` holds the channels ``number * share`` to ``number * share + share - 1`` of a pixel;
    the words of a pixel follow in rising ``number``. Each cycle a beat is taken, or a word leaves, or
    both: one word per cycle where ``share`` is 1. ``i.ready`` and ``o.valid`` depend combinationally
    on ``i``, ``i.ready`` also on ``o.ready``.

    Parameters
    ----------
    shape : shape-like
        Stored activation.
    channels : int
        Channels of the way; a multiple of ``share``.
    share : int
        Channels of a word.

    Members
    -------
    i : In(stream.Signature(beat_layout(shape, channels)))
    o : Out(stream.Signature(data.ArrayLayout(shape, share)))

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of its range.
    """

    def __init__(self, shape, *, channels, share):
        self.channels, self.share = positive("Channels", channels), positive("Share", share)
        if channels % share:
            raise ValueError(f"Channels must be a multiple of the share of {share}, not {channels}")
        self.shape = Shape.cast(shape)
        super().__init__({
            "i": In(stream.Signature(beat_layout(shape, channels))),
            "o": Out(stream.Signature(data.ArrayLayout(self.shape, share)))})

    def elaborate(self, platform):
        m = Module()
        beat, words = self.i.payload, self.channels // self.share
        number, turn = divided(m, beat.channel, self.share, self.channels, "number", "turn")
        index = Signal(range(words))        # of the word that is gathered
        closed = Signal()                   # its pixel's last beat has come
        held = [Signal(self.shape, name=f"held_{n}") for n in range(self.share)]

        wraps, following = Signal(), Signal(range(words))
        here, after, emit, take = Signal(), Signal(), Signal(), Signal()
        nothing = beat.value == 0           # a closing beat then says no more than that
        m.d.comb += [
            wraps.eq(index == words - 1), following.eq(Mux(wraps, 0, index + 1)),
            here.eq(~closed & ~nothing & (number == index)),
            after.eq(emit & Mux(closed == wraps, nothing | (number == following), nothing & ~closed)),
            self.o.valid.eq(closed | (self.i.valid & ~here)),
            emit.eq(self.o.valid & self.o.ready),
            self.i.ready.eq(here | after), take.eq(self.i.valid & self.i.ready),
        ]
        m.d.comb += [word.eq(value) for word, value in zip(self.o.payload, held)]
        with m.If(emit):
            m.d.sync += [index.eq(following), *(value.eq(0) for value in held)]
            with m.If(wraps):
                m.d.sync += closed.eq(0)
        with m.If(take):
            m.d.sync += closed.eq(beat.last & ~(nothing & ~closed & wraps))
            for n, value in enumerate(held):
                with m.If((turn == n) & ~nothing):
                    m.d.sync += value.eq(beat.value)
        return m
