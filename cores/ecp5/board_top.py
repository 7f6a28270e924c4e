# amaranth: UnusedElaboratable=no
# Its link is looked at without being built.
"""The top of a bitstream: clock, reset, the design, and its link to a host."""
from amaranth import (
    Cat,
    ClockDomain,
    ClockSignal,
    Const,
    Elaboratable,
    Instance,
    Module,
    ResetSignal,
    Signal,
)
from amaranth.lib import io
from amaranth.lib.cdc import ResetSynchronizer

from cores.between import sample_shape
from cores.ecp5.host_link import HostLink
from cores.ecp5.pll import pll_dividers
from cores.errors import UserError
from cores.top import output_ports
from hdl.axi import lane_bits

__all__ = ["BoardTop", "BAUD", "check_link"]

BAUD = 3_000_000            # as fast as the boards' USB bridges (FT2232H, FT231X) go
PAUSE = 0.25                # seconds of silence within a frame that mean that the host has given up
RESET_CYCLES = 16


def check_link(network):
    """Refuse a network whose results do not go over one line.

    Raises
    ------
    UserError
    """
    if len(network.outputs) != 1:
        raise UserError(f"{network.name!r} has {len(network.outputs)} outputs, and the line to the host carries one; "
                        "take one of them, or build without --bitstream")


def frame_bytes(tensor, raw=False):
    """Bytes of a tensor on the line, of raw pixels if ``raw``."""
    return tensor.height * tensor.width * tensor.channels * (1 if raw else lane_bits(sample_shape(tensor)) // 8)


class BoardTop(Elaboratable):
    """The module ``skipstone`` on a board with a UART.

    Parameters
    ----------
    network : Graph
    beat_bits : int
        Of its streams.
    clock_mhz : float
        A PLL makes it of the board's oscillator, unless they are equal.
    """

    def __init__(self, network, *, beat_bits, clock_mhz):
        check_link(network)
        self.network, self.beat_bits, self.clock_mhz = network, beat_bits, clock_mhz
        target = network.tensors[network.outputs[0]]
        clock = clock_mhz * 1e6
        self.link = HostLink(
            divisor=round(clock / BAUD), beat_bytes=beat_bits // 8, pause=round(PAUSE * clock),
            bytes_in=frame_bytes(network.tensors[network.input], network.input_table is not None),
            bytes_out=frame_bytes(target))

    def elaborate(self, platform):
        m = Module()
        self._clock(m, platform)
        uart = platform.request("uart", 0, dir="-")
        m.submodules.rx = rx = io.Buffer("i", uart.rx)
        m.submodules.tx = tx = io.Buffer("o", uart.tx)
        m.submodules.link = link = self.link
        m.d.comb += [link.rx.eq(rx.i), tx.o.eq(link.tx)]
        # A register on the reset's way: it goes everywhere.
        restart = Signal()
        m.d.sync += restart.eq(link.restart)
        port = output_ports(self.network)[0]
        to, back = link.to_design, link.from_design
        m.submodules.design = Instance(
            "skipstone", i_clk=ClockSignal(), i_rst=ResetSignal() | restart, i_clear=Const(0, 1),
            i_s_axis_tdata=to.tdata, i_s_axis_tlast=to.tlast, i_s_axis_tvalid=to.tvalid, o_s_axis_tready=to.tready,
            **{f"o_{port}_tdata": back.tdata, f"o_{port}_tvalid": back.tvalid, f"i_{port}_tready": back.tready})
        return m

    def _clock(self, m, platform):
        m.domains.sync = ClockDomain()
        clock = platform.request(platform.default_clk, 0, dir="-")
        m.submodules.clock = buffer = io.Buffer("i", clock)
        hertz = platform.default_clk_frequency
        locked = Signal(init=1)
        if round(hertz) == round(self.clock_mhz * 1e6):
            m.d.comb += ClockSignal().eq(buffer.i)
        else:
            refer, feedback, out = pll_dividers(hertz / 1e6, self.clock_mhz)
            made = Signal()
            m.submodules.pll = Instance(
                "EHXPLLL", a_ICP_CURRENT="12", a_LPF_RESISTOR="8", p_CLKI_DIV=refer, p_CLKFB_DIV=feedback,
                p_CLKOP_DIV=out, p_CLKOP_CPHASE=out - 1, p_CLKOP_ENABLE="ENABLED", p_FEEDBK_PATH="CLKOP",
                i_CLKI=buffer.i, i_CLKFB=made, o_CLKOP=made, o_LOCK=locked,
                **{f"i_{pin}": Const(0, 1) for pin in ("RST", "STDBY", "PHASESEL0", "PHASESEL1", "PHASEDIR",
                                                       "PHASESTEP", "PHASELOADREG", "PLLWAKESYNC", "ENCLKOP")})
            m.d.comb += ClockSignal().eq(made)
        pressed = Const(0, 1)
        if platform.default_rst is not None:
            m.submodules.button = button = io.Buffer("i", platform.request(platform.default_rst, 0, dir="-"))
            pressed = button.i
        m.domains.start = start = ClockDomain(local=True)
        m.d.comb += start.clk.eq(ClockSignal())
        m.submodules.start = ResetSynchronizer(pressed | ~locked, domain="start")
        waited = Signal(RESET_CYCLES)
        m.d.start += waited.eq(Cat(Const(1, 1), waited))
        m.d.comb += ResetSignal().eq(~waited[-1])
