"""AMD ZCU102: the evaluation board of the Zynq UltraScale+ XCZU9EG."""
import os
import subprocess

from amaranth.build import Attrs, Clock, Connector, DiffPairs, Pins, Resource
from amaranth.vendor import XilinxPlatform
from amaranth_boards.resources import (
    ButtonResources,
    I2CResource,
    LEDResources,
    SwitchResources,
    UARTResource,
)

__all__ = ["ZCU102Platform"]

LVCMOS33 = Attrs(IOSTANDARD="LVCMOS33")
CLOCK_CAPABLE = {0, 1, 17, 18}      # these LA pairs carry "cc" in their names


def _fmc(la, **clocks):
    """Return an FMC connector's pins by name; ``la`` lists P and N of each pair from LA00 on."""
    la = la.split()
    pins = {}
    for number, (p, n) in enumerate(zip(la[::2], la[1::2], strict=True)):
        name = f"la{number:02}" + ("_cc" if number in CLOCK_CAPABLE else "")
        pins |= {f"{name}_p": p, f"{name}_n": n}
    for name, pair in clocks.items():
        p, n = pair.split()
        pins |= {f"{name}_p": p, f"{name}_n": n}
    return pins


class ZCU102Platform(XilinxPlatform):
    """The programmable logic of the ZCU102; its processing system is not described here.

    Every pin is the same in two public sources at least, compared one by one: the board definition
    "zcu102" 3.4 by AMD; XilinxZcu102.xdc of SLAC's axi-soc-ultra-plus-core, which keeps the net
    names and banks of AMD's constraints; the ZCU102 constraints of FPGA Ninja's taxi; and, for the
    Si570 and the UART's handshake lines, those of LiteX-Boards and PULPissimo. The nets are
    described in UG1182, the board's user guide.

    The sources disagree twice. FMC HPC1 LA18 is at AB9/AC9 in AMD's board definition and at Y8/Y7,
    which are clock-capable as the name demands, in the others and in Analog Devices' FMC pin table;
    Y8/Y7 it is. LiteX-Boards alone swaps receive and transmit of the UART and makes it 1.8 V; the
    bank has 3.3 V.

    Left out: transceivers (SFP, FMC DP, SMA), the DDR4 on the programmable logic, HDMI, and the
    prototype header, whose pin numbers only one source gives.
    """
    device      = "xczu9eg"
    package     = "ffvb1156"
    speed       = "2-e"
    default_clk = "clk125"
    default_rst = "rst"
    resources   = [
        # Fixed outputs of the Si5341B. LVDS_25 is an input standard at these banks' 3.3 V.
        Resource("clk125", 0, DiffPairs("G21", "F21", dir="i"),
                 Clock(125e6), Attrs(IOSTANDARD="LVDS_25")),
        Resource("clk74", 0, DiffPairs("AK15", "AK14", dir="i"),
                 Clock(74.25e6), Attrs(IOSTANDARD="LVDS_25")),
        # The programmable Si570 starts at 300 MHz.
        Resource("clk300", 0, DiffPairs("AL8", "AL7", dir="i"),
                 Clock(300e6), Attrs(IOSTANDARD="DIFF_SSTL12")),

        Resource("rst", 0, Pins("AM13", dir="i"), LVCMOS33),            # CPU_RESET, high if pressed

        *LEDResources(pins="AG14 AF13 AE13 AJ14 AJ15 AH13 AH14 AL12", attrs=LVCMOS33),
        *ButtonResources(pins="AG13 AF15 AE15 AE14 AG15", attrs=LVCMOS33),      # C W S E N
        *SwitchResources(pins="AN14 AP14 AM14 AN13 AN12 AP12 AL13 AK13", attrs=LVCMOS33),

        # Channel 2 of the USB bridge, which is the terminal's side: its RTS comes in here.
        UARTResource(0, rx="E13", tx="F13", rts="D12", cts="E12", role="dce", attrs=LVCMOS33),

        I2CResource(0, scl="J10", sda="J11", attrs=LVCMOS33),
        I2CResource(1, scl="K20", sda="L20", attrs=LVCMOS33),
    ]
    connectors  = [
        Connector("pmod", 0, "A20 B20 A22 A21 - - B21 C21 C22 D21 - -"),        # J55
        Connector("pmod", 1, "D20 E20 D22 E22 - - F20 G20 J20 J19 - -"),        # J87
        Connector("hpc", 0, _fmc(                                               # J5
            "Y4 Y3  AB4 AC4  V2 V1  Y2 Y1  AA2 AA1  AB3 AC3 "
            "AC2 AC1  U5 U4  V4 V3  W2 W1  W5 W4  AB6 AB5 "
            "W7 W6  AB8 AC8  AC7 AC6  Y10 Y9  Y12 AA12  P11 N11 "
            "N9 N8  L13 K13  N13 M13  P12 N12  M15 M14  L16 K16 "
            "L12 K12  M11 L11  L15 K15  M10 L10  T7 T6  U9 U8 "
            "V6 U6  V8 V7  U11 T11  V12 V11",
            clk0_m2c="AA7 AA6", clk1_m2c="T8 R8")),
        Connector("hpc", 1, _fmc(                                               # J4, LA30 on open
            "AE5 AF5  AJ6 AJ5  AD2 AD1  AH1 AJ1  AF2 AF1  AG3 AH3 "
            "AH2 AJ2  AD4 AE4  AE3 AF3  AE2 AE1  AH4 AJ4  AE8 AF8 "
            "AD7 AD6  AG8 AH8  AH7 AH6  AD10 AE9  AG10 AG9  Y5 AA5 "
            "Y8 Y7  AA11 AA10  AB11 AB10  AC12 AC11  AF11 AG11  AE12 AF12 "
            "AH12 AH11  AE10 AF10  T12 R12  U10 T10  T13 R13  W12 W11",
            clk0_m2c="AE7 AF7", clk1_m2c="P10 P9")),
    ]

    def toolchain_program(self, products, name):
        xsdb = os.environ.get("XSDB", "xsdb")
        with products.extract(f"{name}.bit") as bitstream:
            subprocess.run([xsdb, "-eval", f"connect; fpga -file {{{bitstream}}}"], check=True)
