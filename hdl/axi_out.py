"""From the sparse pixel stream to an AXI4-Stream of dense samples."""
from amaranth import Module, Mux, Shape, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .axi import AxiStreamSignature, check_format, lane_bits
from .check import positive
from .count import counter
from .memory import times
from .stream import PixelSignature, Queue, channels_of_way, connect_streams, queue_memories

__all__ = ["AxiOutput"]


class AxiOutput(wiring.Component):
    """Turn pixels that carry their non-zeros only into frames of dense samples.

    Samples leave in NHWC order, the first one in the low bits of TDATA; absent channels are sent
    as the zero point. A frame starts on a fresh beat; TLAST marks its last beat, which is padded
    with zero bytes. TUSER is 1 on the TLAST beat of a frame whose ``status`` says that it is bad,
    and 0 everywhere else.

    One sample per cycle; a beat is offered 1 cycle after its last sample was taken from the pixel
    stream (3 with several ways, which pass through queues). ``status`` is taken with the last
    sample of a frame, which waits for it. With one way, ``i`` and ``status`` have a ready that
    depends combinationally on ``m_axis.tready`` and on each other's valid.

    Parameters
    ----------
    shape : shape-like
        Shape of a stored activation; must hold every sample minus ``zero_point``.
    height, width, channels : int
        The feature map.
    ways : int
        Parallel ways of the pixel stream.
    sample : shape-like
        Shape of a sample on the bus: 4, 8 or 16 bits, signed or not. It is extended to one or two
        bytes. Stored values must be samples minus ``zero_point``: nothing is clamped here.
    zero_point : int
        Sample that means zero.
    beat_samples : int
        Samples per beat; a power of two.

    Members
    -------
    i : In(PixelSignature(shape, channels=channels, ways=ways))
    status : In(stream.Signature(1))
        Once per frame: whether it is bad.
    m_axis : Out(AxiStreamSignature(data_bits=beat_samples * lane_bits(sample), user_bits=1))

    Raises
    ------
    TypeError
        If a parameter is of the wrong type.
    ValueError
        If there are more ways than channels, or for the reasons of
        :func:`~hdl.axi.check_format`.
    """

    def __init__(self, shape, *, height, width, channels, ways=1, sample, zero_point=0,
                 beat_samples=1):
        self._pixels = positive("Height", height) * positive("Width", width)
        self._shape, self._sample = check_format(
            shape, sample=sample, zero_point=zero_point, beat_samples=beat_samples)
        self._channels, self._ways = channels, ways
        self._zero_point, self._beat_samples = zero_point, beat_samples
        self._pixel = PixelSignature(self._shape, channels=channels, ways=ways)
        super().__init__({
            "i": In(self._pixel), "status": In(stream.Signature(1)),
            "m_axis": Out(AxiStreamSignature(
                data_bits=beat_samples * lane_bits(self._sample), user_bits=1)),
        })

    @property
    def memories(self):
        return times(self._ways if self._ways > 1 else 0, queue_memories(self._pixel.beat, self._most))

    def elaborate(self, platform):
        m = Module()
        way, index = Signal(range(self._ways)), Signal(range(self._most))
        position = Signal(range(self._beat_samples))
        put, room = Signal(), Signal()
        stored = Signal(self._shape)
        available = Signal()                    # the sample of this channel is known
        _, closing = counter(m, self._channels, put, name="sample")
        for w, head in enumerate(self._heads(m)):
            here = head.payload.channel == index
            # The closing beat stays in sight until its way has no channel left.
            done = closing if self._ways == 1 else index == channels_of_way(self._channels, self._ways, w) - 1
            with m.If(way == w):
                m.d.comb += [
                    available.eq(head.valid), stored.eq(Mux(here, head.payload.value, 0)),
                    head.ready.eq(put & Mux(head.payload.last, done, here)),
                ]

        _, at_last = counter(m, self._pixels, put & closing, name="pixel")
        final = closing & at_last
        complete = final | (position == self._beat_samples - 1)
        m.d.comb += [
            room.eq(~self.m_axis.tvalid | self.m_axis.tready),
            put.eq(room & available & (~final | self.status.valid)),
            self.status.ready.eq(room & available & final),
        ]
        with m.If(room):
            m.d.sync += self.m_axis.tvalid.eq(put & complete)
        with m.If(put):
            m.d.sync += [
                self.m_axis.tlast.eq(final), self.m_axis.tuser.eq(final & self.status.payload),
                position.eq(Mux(complete, 0, position + 1)),
                way.eq(Mux(closing | (way == self._ways - 1), 0, way + 1)),
            ]
            with m.If(closing):
                m.d.sync += index.eq(0)
            with m.Elif(way == self._ways - 1):
                m.d.sync += index.eq(index + 1)

        sample = Signal(self._sample)
        m.d.comb += sample.eq(stored + self._zero_point)
        bits = lane_bits(self._sample)
        for n in range(self._beat_samples):
            lane = Signal(Shape(bits, self._sample.signed), name=f"lane_{n}", reset_less=True)
            with m.If(put & (position == n)):
                m.d.sync += lane.eq(sample)
            with m.Elif(put & (position == 0)):
                m.d.sync += lane.eq(0)          # padding, should the frame end before this lane
            m.d.comb += self.m_axis.tdata.word_select(n, bits).eq(lane)
        return m

    @property
    def _most(self):
        return channels_of_way(self._channels, self._ways)

    def _heads(self, m):
        """Return the stream to read each way from.

        Ways are read in turn. A producer that feeds them in step, and is stopped by one of them,
        must still be able to close the pixel on the others: queues that hold a whole pixel.
        """
        if self._ways == 1:
            return self.i.way
        heads = []
        for w, source in enumerate(self.i.way):
            m.submodules[f"way_{w}"] = queue = Queue(self._pixel.beat, depth=self._most)
            connect_streams(m, source, queue.i)
            heads.append(queue.o)
        return heads
