"""A design's streams over a serial line: a frame's bytes in, its result's bytes out."""
from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.axi import AxiStreamSignature
from hdl.check import positive
from hdl.uart import UartReceiver, UartTransmitter

__all__ = ["HostLink"]


class HostLink(wiring.Component):
    """Beats of AXI4-Stream from and to a UART.

    A frame is so many bytes, and the next byte begins the next frame: there is nothing else on the line. If the
    line is silent for ``pause`` cycles within a frame, or a byte could not be taken, ``restart`` tells the
    design to begin anew, and the next byte begins a frame: a host that lost its place waits that long. Beats
    are in the design's order, the first byte lowest; what fills a frame's last beat up is not on the line.

    Parameters
    ----------
    divisor : int
        Cycles of a bit on the line, from 4.
    bytes_in, bytes_out : int
        Of a frame, and of its result.
    beat_bytes : int
        Bytes of TDATA.
    pause : int
        Cycles.

    Members
    -------
    rx : In(1)
    tx : Out(1)
    to_design : Out(AxiStreamSignature(data_bits=8 * beat_bytes))
    from_design : In(AxiStreamSignature(data_bits=8 * beat_bytes))
    restart : Out(1)
        A cycle long.
    """

    def __init__(self, *, divisor, bytes_in, bytes_out, beat_bytes, pause):
        self.divisor, self.pause = divisor, positive("Pause", pause)
        self.bytes_in, self.bytes_out = positive("Bytes in", bytes_in), positive("Bytes out", bytes_out)
        self.beat_bytes = positive("Bytes of a beat", beat_bytes)
        beats = AxiStreamSignature(data_bits=8 * beat_bytes)
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "to_design": Out(beats),
                          "from_design": In(beats), "restart": Out(1)})

    def elaborate(self, platform):
        m = Module()
        self._receive(m)
        self._transmit(m)
        return m

    def _receive(self, m):
        m.submodules.receiver = receiver = UartReceiver(divisor=self.divisor)
        byte, beat = receiver.o, self.to_design
        number, place = Signal(range(self.bytes_in)), Signal(range(self.beat_bytes))
        silent, begun = Signal(range(self.pause + 1)), Signal()
        final, whole = Signal(), Signal()
        data = Signal(8 * self.beat_bytes, reset_less=True)
        m.d.comb += [
            receiver.rx.eq(self.rx), byte.ready.eq(~beat.tvalid | beat.tready), beat.tdata.eq(data),
            final.eq(number == self.bytes_in - 1), whole.eq(final | (place == self.beat_bytes - 1))]
        with m.If(beat.tready):
            m.d.sync += beat.tvalid.eq(0)
        m.d.sync += silent.eq(silent + 1)
        with m.If(byte.valid & byte.ready):
            m.d.sync += [
                data.word_select(place, 8).eq(byte.payload), beat.tvalid.eq(whole), beat.tlast.eq(final),
                number.eq(number + 1), place.eq(place + 1), silent.eq(0), begun.eq(~final)]
            with m.If(whole):
                m.d.sync += place.eq(0)
            with m.If(final):
                m.d.sync += number.eq(0)
        m.d.sync += self.restart.eq(receiver.lost | (begun & (silent == self.pause)))
        with m.If(~begun):
            m.d.sync += silent.eq(0)
        with m.If(self.restart):
            m.d.sync += [number.eq(0), place.eq(0), begun.eq(0), beat.tvalid.eq(0)]

    def _transmit(self, m):
        m.submodules.transmitter = transmitter = UartTransmitter(divisor=self.divisor)
        byte, beat = transmitter.i, self.from_design
        number, left = Signal(range(self.bytes_out)), Signal(range(self.beat_bytes + 1))
        data = Signal(8 * self.beat_bytes, reset_less=True)
        m.d.comb += [self.tx.eq(transmitter.tx), byte.valid.eq(left != 0), byte.payload.eq(data[:8]),
                     beat.tready.eq(left == 0)]
        with m.If(beat.tvalid & beat.tready):
            m.d.sync += [data.eq(beat.tdata), left.eq(self.beat_bytes)]
        with m.Elif(byte.valid & byte.ready):
            m.d.sync += [data.eq(Cat(data[8:], data[:8])), left.eq(left - 1), number.eq(number + 1)]
            with m.If(number == self.bytes_out - 1):
                m.d.sync += [number.eq(0), left.eq(0)]
        with m.If(self.restart):
            m.d.sync += [number.eq(0), left.eq(0)]
