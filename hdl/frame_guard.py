"""Whole frames on AXI4-Streams, although what is behind them is reset in the middle of one."""
from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .axi import AxiStreamSignature

__all__ = ["InputGuard", "OutputGuard"]


class InputGuard(wiring.Component):
    """Let frames in from their first beat on only.

    While ``restart`` is asserted nothing is passed on. The rest of a frame that was under way then is taken and
    thrown away, TLAST included, so that the next one is passed on whole. Should that rest never come,
    since its sender was reset too, ``forget`` says so. Frames start while ``enable`` is asserted;
    one that has started is passed on to its end.

    No latency. ``s_axis.tready`` depends combinationally on ``m_axis.tready``.

    Parameters
    ----------
    data_bits : int
        Width of TDATA.

    Members
    -------
    s_axis : In(AxiStreamSignature(data_bits=data_bits, keep=True))
    m_axis : Out(AxiStreamSignature(data_bits=data_bits, keep=True))
        ``tvalid`` is withdrawn by ``restart``, which resets whoever looks at it.
    enable : In(1)
    restart : In(1)
    forget : In(1)
    discarding : Out(1)
        The rest of a frame is thrown away.
    cut : Out(1)
        For one cycle: a frame was lost like that.
    """

    def __init__(self, data_bits):
        signature = AxiStreamSignature(data_bits=data_bits, keep=True)
        super().__init__({"s_axis": In(signature), "m_axis": Out(signature), "enable": In(1),
                          "restart": In(1), "forget": In(1), "discarding": Out(1), "cut": Out(1)})

    def elaborate(self, platform):
        m = Module()
        source, target = self.s_axis, self.m_axis
        enabled, within, passing = Signal(), Signal(), Signal()
        with m.If(~target.tvalid | target.tready):      # what was offered stays offered
            m.d.sync += enabled.eq(self.enable)
        m.d.comb += [
            passing.eq(~self.restart & ~self.discarding & (within | enabled)),
            target.tdata.eq(source.tdata), target.tkeep.eq(source.tkeep), target.tlast.eq(source.tlast),
            target.tvalid.eq(source.tvalid & passing),
            source.tready.eq(self.discarding | (passing & target.tready)),
            self.cut.eq(self.restart & within & ~self.discarding),
        ]
        with m.If(self.cut):
            m.d.sync += self.discarding.eq(1)
        with m.If(source.tvalid & source.tready):
            m.d.sync += within.eq(~source.tlast)
            with m.If(source.tlast):
                m.d.sync += self.discarding.eq(0)
        with m.If(self.forget):
            m.d.sync += [within.eq(0), self.discarding.eq(0)]
        return m


class OutputGuard(wiring.Component):
    """Let frames out with a TLAST in any case.

    While ``restart`` is asserted nothing is taken in. A frame whose first beats were taken then is
    ended by a beat of zeros with TLAST and TUSER set. A beat that was offered stays offered.

    One cycle of latency. ``s_axis.tready`` depends combinationally on ``m_axis.tready``.

    Parameters
    ----------
    data_bits : int
        Width of TDATA.

    Members
    -------
    s_axis : In(AxiStreamSignature(data_bits=data_bits, user_bits=1))
    m_axis : Out(AxiStreamSignature(data_bits=data_bits, user_bits=1))
    restart : In(1)
    cut : Out(1)
        For one cycle: a frame was ended like that.
    """

    def __init__(self, data_bits):
        signature = AxiStreamSignature(data_bits=data_bits, user_bits=1)
        super().__init__({"s_axis": In(signature), "m_axis": Out(signature), "restart": In(1), "cut": Out(1)})

    def elaborate(self, platform):
        m = Module()
        source, target = self.s_axis, self.m_axis
        room, within, ending = Signal(), Signal(), Signal()
        m.d.comb += [
            room.eq(~target.tvalid | target.tready),
            source.tready.eq(room & ~self.restart & ~ending),
            self.cut.eq(self.restart & within & ~ending),
        ]
        with m.If(self.cut):
            m.d.sync += ending.eq(1)
        with m.If(room):
            m.d.sync += [
                target.tvalid.eq((source.tvalid & source.tready) | ending),
                target.tdata.eq(source.tdata), target.tlast.eq(source.tlast), target.tuser.eq(source.tuser)]
            with m.If(ending):
                m.d.sync += [target.tdata.eq(0), target.tlast.eq(1), target.tuser.eq(1),
                             ending.eq(0), within.eq(0)]
        with m.If(source.tvalid & source.tready):
            m.d.sync += within.eq(~source.tlast)
        return m
