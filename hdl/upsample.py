"""Upsampling: each pixel of a sparse stream several times across and down."""
from amaranth import Module, Mux, Shape, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .check import between, boolean, positive
from .count import counter
from .memory import ram, total
from .pitch import Pitch
from .stream import PixelSignature, channels_of_way

__all__ = ["Upsample"]

MOST = 1 << 16      # times in one direction
AHEAD = 3           # slots that hide how long it takes to read a list, and to free its slot


class Upsample(wiring.Component):
    """Send each pixel ``factor`` (down, across) times: nearest neighbour.

    Pixels are stored as they come, lists of beats in a ring of slots, and replayed: each several
    times in a row, then, as often as the map grows down, the whole row again. A slot is free after
    its last replay.

    Every way works on its own and sends one beat per cycle, of an all-zero pixel one in all. A
    pixel leaves from ``latency`` cycles after its closing beat was taken. Frames follow without a
    gap. ``i.ready`` and ``o`` depend on registers only.

    Parameters
    ----------
    shape : shape-like
        Stored value.
    height, width, channels : int
        The map.
    factor : (int, int)
        Copies of a pixel, vertically and horizontally, 1 to 2**16.
    ways : int
        Ways of input and output; at most ``channels``.
    slots : int or None
        Pixels that the ring of each way holds, at least a row if rows are repeated. By default as
        many as let the next row, or the next pixel, arrive meanwhile.
    keep_zeros : bool
        The dense engine: every channel is present in the input, and sent. The same hardware.

    Members
    -------
    i : In(PixelSignature(shape, channels=channels, ways=ways))
    o : Out(PixelSignature(shape, channels=channels, ways=ways))

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of its range.
    """

    latency = 4
    dsp_count = 0

    def __init__(self, shape, *, height, width, channels, factor, ways=1, slots=None,
                 keep_zeros=False):
        self.shape = Shape.cast(shape)
        self.height, self.width = positive("Height", height), positive("Width", width)
        self.channels, self.ways = positive("Channels", channels), positive("Ways", ways)
        if not isinstance(factor, (tuple, list)) or len(factor) != 2:
            raise ValueError(f"Factor must be 2 integers, not {factor!r}")
        self.factor = tuple(between("Factor", number, 1, MOST) for number in factor)
        self.keep_zeros = boolean("Keep zeros", keep_zeros)
        held = width if self.factor[0] > 1 else 1
        self.slots = held + max(held, AHEAD) if slots is None else positive("Slots", slots)
        if self.slots < held:
            raise ValueError(f"Slots must be at least the {held} pixels of a row, not {slots!r}")
        super().__init__({
            "i": In(PixelSignature(self.shape, channels=channels, ways=ways)),
            "o": Out(PixelSignature(self.shape, channels=channels, ways=ways))})

    @property
    def memories(self):
        shares = [channels_of_way(self.channels, self.ways, w) for w in range(self.ways)]
        return total(ram(_word(self.shape, share), Pitch(share, self.slots).depth)
                     + ram(range(max(2, share)), self.slots) for share in shares)

    def elaborate(self, platform):
        m = Module()
        for w, (i, o) in enumerate(zip(self.i.way, self.o.way)):
            m.submodules[f"way_{w}"] = self._way(i, o, channels_of_way(self.channels, self.ways, w))
        return m

    def _way(self, i, o, channels):
        m = Module()
        pitch = Pitch(channels, self.slots)
        m.submodules.ring = ring = Memory(
            shape=_word(self.shape, channels), depth=pitch.depth, init=[])
        m.submodules.ends = ends = Memory(shape=range(max(2, channels)), depth=self.slots, init=[])
        arrived, fresh, freed = Signal(), Signal(), Signal()
        self._store(m, i, pitch, ring.write_port(), ends.write_port(), arrived, freed)
        turn, slot, final = self._walk(m, arrived, fresh)

        # The list that is being read, and whether it is its last replay.
        end = ends.read_port()
        found, done = Signal(), Signal()
        base = Signal(pitch.base_shape, reset_less=True)
        frees = Signal(reset_less=True)
        m.d.comb += [turn.eq(fresh & (~found | done)), end.addr.eq(slot), end.en.eq(turn)]
        with m.If(~found | done):
            m.d.sync += [found.eq(fresh), base.eq(pitch.base(slot)), frees.eq(final)]

        # One beat per cycle.
        read = ring.read_port()
        en, valid, last = Signal(), Signal(), Signal(reset_less=True)
        number, closing = Signal(range(max(2, channels))), Signal()
        m.d.comb += [
            en.eq(~o.valid | o.ready), closing.eq(number == end.data),
            done.eq(found & en & closing), freed.eq(done & frees),
            read.addr.eq(pitch.word(base, number)), read.en.eq(en),
        ]
        with m.If(found & en):
            m.d.sync += number.eq(Mux(closing, 0, number + 1))
        with m.If(en):
            m.d.sync += [
                valid.eq(found), last.eq(closing), o.valid.eq(valid), o.payload.last.eq(last),
                o.payload.value.eq(read.data.value), o.payload.channel.eq(read.data.channel)]
        return m

    def _store(self, m, i, pitch, word, end, arrived, freed):
        """Write each arriving pixel to the next slot, and where its list ends."""
        slot, number = Signal(range(self.slots)), Signal(range(max(2, pitch.size)))
        space = Signal(range(self.slots + 1), init=self.slots)
        taken = Signal()
        m.d.comb += [
            i.ready.eq(space != 0), taken.eq(i.valid & i.ready),
            arrived.eq(taken & i.payload.last),
            word.addr.eq(pitch.word(pitch.base(slot), number)), word.en.eq(taken),
            word.data.value.eq(i.payload.value), word.data.channel.eq(i.payload.channel),
            end.addr.eq(slot), end.en.eq(arrived), end.data.eq(number),
        ]
        m.d.sync += space.eq(space - arrived + freed)
        with m.If(arrived):
            m.d.sync += [number.eq(0), slot.eq(self._after(slot))]
        with m.Elif(taken):
            m.d.sync += number.eq(number + 1)

    def _walk(self, m, arrived, fresh):
        """Step over the output's pixels; ``fresh`` tells that the next one's list has arrived.

        Returns the signal that takes a step, the slot, and whether it is the slot's last replay.
        """
        turn, final = Signal(), Signal()
        slot, row_slot = Signal(range(self.slots)), Signal(range(self.slots))
        waiting = Signal(range(self.slots + 1))     # pixels that were not sent yet
        lines, copies = self.factor
        copy, last_copy = counter(m, copies, turn, name="copy")
        _, last_column = counter(m, self.width, turn & last_copy, name="column")
        line, last_line = counter(m, lines, turn & last_copy & last_column, name="line")
        first = (line == 0) & (copy == 0)
        m.d.comb += [fresh.eq(~first | (waiting != 0)), final.eq(last_line & last_copy)]
        m.d.sync += waiting.eq(waiting + arrived - (turn & first))
        with m.If(turn & last_copy):
            m.d.sync += slot.eq(self._after(slot))
            with m.If(last_column):
                with m.If(last_line):
                    m.d.sync += row_slot.eq(self._after(slot))
                with m.Else():
                    m.d.sync += slot.eq(row_slot)
        return turn, slot, final

    def _after(self, slot):
        return Mux(slot == self.slots - 1, 0, slot + 1)


def _word(shape, channels):
    return data.StructLayout({"value": shape, "channel": range(max(2, channels))})
