"""The sparse pixel stream: payload layout, signature, checked connection, queue and fork."""
from amaranth import Cat, Module, Shape, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from .check import positive
from .memory import ram, times, total
from .repeated import repeated

__all__ = ["beat_layout", "channels_of_way", "PixelSignature", "connect_streams", "connect_pixels",
           "broadcast", "Queue", "queue_memories", "Fork"]


def channels_of_way(channels, ways, way=0):
    """Channels that ride on one way: channel ``c`` rides on way ``c % ways`` as number ``c // ways``."""
    return -(-(channels - way) // ways)


def beat_layout(shape, channels):
    """Payload of one way of a pixel stream.

    ``value`` is the activation minus its zero point, ``channel`` its number within the way, and
    ``last`` closes the pixel. A beat with value 0 carries nothing but its ``last``.
    """
    return data.StructLayout({
        "value": Shape.cast(shape), "channel": max(1, bits_for(channels - 1)), "last": 1})


class PixelSignature(wiring.Signature):
    """Feature maps as a stream of pixels that carry their non-zeros only.

    A pixel is a packet of beats in rising channel order; its closing beat is sent even when its
    value is 0. Pixels follow in raster order, frames without a gap. Every way carries every pixel
    with the channels of that way, under a handshake of its own.

    Parameters
    ----------
    shape : shape-like
        Shape of a stored activation (quantized value minus zero point).
    channels : int
        Channels of the feature map, over all ways.
    ways : int
        Parallel ways; at most ``channels``.

    Members
    -------
    way_0, way_1, ... : Out(stream.Signature(beat_layout(shape, channels_of_way(channels, ways))))
        One handshake per way; the interface's ``way`` lists them.

    Raises
    ------
    TypeError
        If ``channels`` or ``ways`` is not a positive integer.
    ValueError
        If there are more ways than channels.
    """

    def __init__(self, shape, *, channels, ways=1):
        self._shape = Shape.cast(shape)
        self._channels = positive("Channels", channels)
        self._ways = positive("Ways", ways)
        if ways > channels:
            raise ValueError(f"Ways must be at most the {channels} channels, not {ways}")
        self._beat = beat_layout(self._shape, channels_of_way(channels, ways))
        super().__init__({f"way_{w}": Out(stream.Signature(self._beat)) for w in range(ways)})

    def create(self, *, path=None, src_loc_at=0):
        return PixelInterface(self, path=path, src_loc_at=1 + src_loc_at)

    @property
    def shape(self):
        return self._shape

    @property
    def channels(self):
        return self._channels

    @property
    def ways(self):
        return self._ways

    @property
    def beat(self):
        return self._beat

    def __eq__(self, other):
        return (isinstance(other, PixelSignature) and self._shape == other._shape
                and self._channels == other._channels and self._ways == other._ways)

    def __repr__(self):
        return f"PixelSignature({self._shape!r}, channels={self._channels}, ways={self._ways})"


class PixelInterface(wiring.PureInterface):
    """Interface of a :class:`PixelSignature`."""

    @property
    def way(self):
        """The ways' streams, in order."""
        return [getattr(self, f"way_{w}") for w in range(self.signature.ways)]


def connect_streams(m, source, sink):
    """Connect two streams whose payload shapes must be equal.

    ``wiring.connect`` of Amaranth 0.5 compares widths only, so that a signed payload would connect
    to an unsigned one. ``source`` is seen as the end that drives valid, ``sink`` as the other.

    Raises
    ------
    TypeError
        If the payload shapes differ.
    """
    a, b = source.payload.shape(), sink.payload.shape()
    if a != b:
        raise TypeError(f"Stream payloads must have equal shapes, not {a!r} and {b!r}")
    m.d.comb += [sink.valid.eq(source.valid), sink.payload.eq(source.payload),
                 source.ready.eq(sink.ready)]


def connect_pixels(m, source, sink):
    """Connect two pixel streams way by way, see :func:`connect_streams`."""
    if len(source.way) != len(sink.way):
        raise TypeError(f"Pixel streams must have equally many ways, "
                        f"not {len(source.way)} and {len(sink.way)}")
    for a, b in zip(source.way, sink.way):
        connect_streams(m, a, b)


def broadcast(m, source, sinks):
    """Copy each payload of ``source`` to all ``sinks`` at once, whose ready must not wait for valid."""
    ready = Cat(sink.ready for sink in sinks).all()
    m.d.comb += source.ready.eq(ready)
    for sink in sinks:
        m.d.comb += [sink.payload.eq(source.payload), sink.valid.eq(source.valid & ready)]


def queue_memories(shape, depth):
    """Memory of a :class:`Queue` of these parameters."""
    return ram(shape, 1 << max(1, bits_for(depth - 1)))


@repeated
class Queue(wiring.Component):
    """First-in first-out buffer with a registered output.

    Two cycles from input to output, one transfer per cycle. ``i.ready``, ``o.valid`` and ``o.payload``
    are registers.
    It holds ``depth`` payloads besides the one in the output register.

    Parameters
    ----------
    shape : shape-like
        Payload.
    depth : int
        Payloads held in memory: rounded up to a power of two, at least 2.

    Members
    -------
    i : In(stream.Signature(shape))
    o : Out(stream.Signature(shape))

    Raises
    ------
    TypeError
        If ``depth`` is not a positive integer.
    """

    def __init__(self, shape, *, depth):
        self._shape = shape
        self._bits = max(1, bits_for(positive("Depth", depth) - 1))
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    @property
    def depth(self):
        return 1 << self._bits

    @property
    def memories(self):
        """Counter of :class:`~hdl.memory.MemorySize`, as every component that holds memories has it."""
        return queue_memories(self._shape, self.depth)

    def elaborate(self, platform):
        m = Module()
        width = Shape.cast(self._shape).width
        m.submodules.memory = memory = Memory(shape=width, depth=self.depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        # One bit more than the address tells full from empty.
        head, tail, after = Signal(self._bits + 1), Signal(self._bits + 1), Signal(self._bits + 1, init=1)
        empty = head == tail
        # Long chains of logic begin with a queue's ready: it is known a cycle ahead.
        full, fills, moves = Signal(), Signal(), Signal()
        m.d.comb += [
            fills.eq(after == head ^ self.depth), moves.eq(read.en & ~empty),
            self.i.ready.eq(~full), write.addr.eq(tail), write.en.eq(self.i.valid & ~full),
            write.data.eq(self.i.payload.as_value() if hasattr(self.i.payload, "as_value")
                          else self.i.payload),
            read.addr.eq(head), read.en.eq(~self.o.valid | self.o.ready),
            Cat(self.o.payload).eq(read.data),
        ]
        m.d.sync += full.eq((full | write.en & fills) & ~moves)
        with m.If(write.en):
            m.d.sync += [tail.eq(after), after.eq(after + 1)]
        with m.If(read.en):
            m.d.sync += self.o.valid.eq(~empty)
        with m.If(moves):
            m.d.sync += head.eq(head + 1)
        return m


class Fork(wiring.Component):
    """Copy a pixel stream to several consumers, each with a queue, so that one may run ahead.

    Parameters
    ----------
    signature : PixelSignature
        The stream.
    depths : sequence of int
        Beats that each consumer's queue holds per way.

    Members
    -------
    i : In(signature)
    o : Out(signature).array(len(depths))
    """

    def __init__(self, signature, *, depths):
        if not isinstance(signature, PixelSignature):
            raise TypeError(f"Signature must be a PixelSignature, not {signature!r}")
        self._signature = signature
        self._depths = [positive("Depth", depth) for depth in depths]
        super().__init__({"i": In(signature), "o": Out(signature).array(len(self._depths))})

    @property
    def memories(self):
        each = total(queue_memories(self._signature.beat, depth) for depth in self._depths)
        return times(self._signature.ways, each)

    def elaborate(self, platform):
        m = Module()
        for w, source in enumerate(self.i.way):
            queues = []
            for n, depth in enumerate(self._depths):
                m.submodules[f"queue_{n}_{w}"] = queue = Queue(self._signature.beat, depth=depth)
                connect_streams(m, queue.o, wiring.flipped(self.o[n].way[w]))
                queues.append(queue)
            broadcast(m, source, [queue.i for queue in queues])
        return m
