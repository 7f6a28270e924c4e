"""From an AXI4-Stream of dense samples to the sparse pixel stream."""
from math import gcd

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .axi import AxiStreamSignature, check_format, lane_bits
from .check import boolean, positive
from .count import counter
from .memory import times
from .stream import PixelSignature, Queue, channels_of_way, connect_streams, queue_memories

__all__ = ["AxiInput"]

WAY_DEPTH = 16          # beats by which one way may run ahead of another
STATUS_DEPTH = 16       # frames under way behind this adapter


class AxiInput(wiring.Component):
    """Turn frames of dense samples into pixels that carry their non-zeros only.

    Samples come in NHWC order, the first one in the low bits of TDATA. A frame starts on a fresh
    beat and TLAST marks its last one, of which surplus samples are ignored. A frame cut short is
    completed with real zeros; the surplus of one too long is discarded, TLAST included. Either is
    reported, and the next frame is right. Lengths are counted in beats; with ``keep`` also the bytes of
    the last one.

    ``ways`` samples of one pixel, one per way, are taken per cycle: in steady state a frame takes
    ``max(samples / ways, beats)`` cycles. The first sample of a frame is offered 3 cycles after
    its beat was taken. TREADY depends combinationally on registers only.

    Parameters
    ----------
    shape : shape-like
        Shape of a stored activation; must hold every sample minus ``zero_point``.
    height, width, channels : int
        The feature map.
    ways : int
        Parallel ways of the pixel stream; must divide ``channels``.
    sample : shape-like
        Shape of a sample on the bus: 4, 8 or 16 bits, signed or not. It takes one or two bytes;
        bits above it are ignored.
    zero_point : int
        Sample that means zero.
    beat_samples : int
        Samples per beat; a power of two.
    keep_zeros : bool
        Send every sample (for engines that skip nothing).
    keep : bool
        With TKEEP, looked at on a frame's last beat only, where it must be contiguous: a frame that lacks some
        of its bytes is short, and stands with what TDATA holds there; one with more is long, unless it fills
        the beat: that is padding.

    Members
    -------
    s_axis : In(AxiStreamSignature(data_bits=beat_samples * lane_bits(sample), keep=keep))
    o : Out(PixelSignature(shape, channels=channels, ways=ways))
    status : Out(stream.Signature(1))
        Once per frame, when its last sample leaves the bus register: whether it was short or long.
        Up to 16 are kept; then the input waits at the end of a frame.
    clear : In(1)
        Clears ``was_short`` and ``was_long`` unless a bad frame ends in the same cycle.
    was_short, was_long : Out(1)
        A frame was too short, or too long, since the last ``clear``.

    Raises
    ------
    TypeError
        If a parameter is of the wrong type.
    ValueError
        If ``ways`` does not divide ``channels``, or for the reasons of
        :func:`~hdl.axi.check_format`.
    """

    def __init__(self, shape, *, height, width, channels, ways=1, sample, zero_point=0,
                 beat_samples=1, keep_zeros=False, keep=False):
        self._pixels = positive("Height", height) * positive("Width", width)
        positive("Channels", channels)
        if channels % positive("Ways", ways):
            raise ValueError(f"Ways must be a divisor of the {channels} channels, not {ways!r}")
        self._shape, self._sample = check_format(
            shape, sample=sample, zero_point=zero_point, beat_samples=beat_samples)
        self._ways, self._zero_point, self._beat_samples = ways, zero_point, beat_samples
        self._keep_zeros = boolean("Keep zeros", keep_zeros)
        self._channels = channels_of_way(channels, ways)
        self._pixel = PixelSignature(self._shape, channels=channels, ways=ways)
        super().__init__({
            "s_axis": In(AxiStreamSignature(
                data_bits=beat_samples * lane_bits(self._sample), keep=keep)),
            "o": Out(self._pixel), "status": Out(stream.Signature(1)),
            "clear": In(1), "was_short": Out(1), "was_long": Out(1),
        })

    @property
    def memories(self):
        return queue_memories(1, STATUS_DEPTH) + times(
            self._ways, queue_memories(self._pixel.beat, WAY_DEPTH))

    def elaborate(self, platform):
        m = Module()
        m.submodules.status = status = Queue(1, depth=STATUS_DEPTH)
        connect_streams(m, status.o, self.status)
        queues = []
        for w, way in enumerate(self.o.way):
            m.submodules[f"way_{w}"] = queue = Queue(self._pixel.beat, depth=WAY_DEPTH)
            connect_streams(m, queue.o, way)
            queues.append(queue)

        # A group is the next sample of each way; groups straddle beats unless `ways` divides
        # them, so the register is counted in units that divide both.
        unit = gcd(self._ways, self._beat_samples)
        group, beat = self._ways // unit, self._beat_samples // unit
        level = Signal(range(group + beat))     # units held: one short of a group, and a beat
        ended = Signal()                        # TLAST was in the newest beat held
        surplus = Signal()                      # beyond the frame, up to TLAST

        emit, finish, load, drop = Signal(), Signal(), Signal(), Signal()
        index, closing = counter(m, self._channels, emit, name="index")
        _, at_last = counter(m, self._pixels, emit & closing, name="pixel")
        final = closing & at_last
        whole = level >= group
        at_hand = whole | ended                 # a frame cut short is made up with zeros
        fewer, more = Signal(), Signal()        # bytes in the newest beat than a frame's last one has
        too_short, too_long = Signal(), Signal()
        left = Signal.like(level)               # units behind the group at hand
        with m.If(~at_hand):
            m.d.comb += left.eq(level)
        with m.Elif(whole & ~final):            # what follows a frame in its last beat is padding
            m.d.comb += left.eq(level - group)
        m.d.comb += [
            emit.eq(at_hand & Cat(queue.i.ready for queue in queues).all()
                    & (~final | status.i.ready)),
            finish.eq(emit & final),
            # The next frame's first beat is taken with the last group, so frames need no gap.
            self.s_axis.tready.eq((emit | ~at_hand) & (left < group) & (final | ~ended)),
            drop.eq(surplus | finish & ~ended),
            load.eq(self.s_axis.tvalid & self.s_axis.tready & ~drop),
            too_short.eq(finish & (~whole | ended & fewer)),
            too_long.eq(finish & (~ended | whole & more)),
            status.i.valid.eq(finish), status.i.payload.eq(too_short | too_long),
        ]
        with m.If(emit | ~at_hand):
            m.d.sync += level.eq(left + Mux(load, beat, 0))
        with m.If(load):
            m.d.sync += [ended.eq(self.s_axis.tlast), *self._compare(fewer, more)]
        with m.Elif(finish):
            m.d.sync += ended.eq(0)
        with m.If(drop):
            m.d.sync += surplus.eq(~(self.s_axis.tvalid & self.s_axis.tlast))
        m.d.sync += [
            self.was_short.eq(too_short | self.was_short & ~self.clear),
            self.was_long.eq(too_long | self.was_long & ~self.clear),
        ]

        held = self._register(m, unit, group, at_hand, emit, left)
        for w, queue in enumerate(queues):
            bits = self._sample.width
            stored = Signal(self._shape, name=f"stored_{w}")
            raw = held[w * bits:(w + 1) * bits]
            raw = raw.as_signed() if self._sample.signed else raw
            nonzero = Signal(name=f"nonzero_{w}")
            with m.If(level > w // unit):       # else the frame was cut short
                m.d.comb += [stored.eq(raw - self._zero_point), nonzero.eq(raw != self._zero_point)]
            m.d.comb += [
                queue.i.payload.value.eq(stored), queue.i.payload.channel.eq(index),
                queue.i.payload.last.eq(closing),
                queue.i.valid.eq(emit & (closing | nonzero | self._keep_zeros)),
            ]
        return m

    def _compare(self, fewer, more):
        """Whether a beat, as a frame's last, has the wrong number of bytes."""
        if not self.s_axis.signature.keep:
            return []
        samples = self._pixels * self._channels * self._ways
        needed = ((samples - 1) % self._beat_samples + 1) * lane_bits(self._sample) // 8
        keep = self.s_axis.tkeep
        return [fewer.eq(~keep[needed - 1]), more.eq(keep[needed] & ~keep[-1] if needed < len(keep) else 0)]

    def _register(self, m, unit, group, at_hand, emit, left):
        """Return the samples held.

        Whatever is not `left` is overwritten, TVALID or not: no handshake selects data.
        """
        bits = unit * self._sample.width
        lane = lane_bits(self._sample)
        samples = Cat(self.s_axis.tdata[n * lane:n * lane + self._sample.width]
                      for n in range(self._beat_samples))
        beat = len(samples) // bits
        held = Signal((group - 1 + beat) * bits, reset_less=True)
        for n in range(len(held) // bits):
            here = held[n * bits:(n + 1) * bits]
            above = held[(n + group) * bits:(n + group + 1) * bits]
            moved = above if len(above) else samples[-bits:]
            for k in range(min(group, n + 1)):  # a beat behind k units
                moved = Mux(left == k, samples.word_select(min(n - k, beat - 1), bits), moved)
            kept = (left > n) & ~at_hand
            with m.If(~kept & (emit | ~at_hand)):
                m.d.sync += here.eq(moved)
        return held
