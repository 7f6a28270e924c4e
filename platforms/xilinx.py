"""Boards with AMD's devices: a line for each."""
from amaranth.vendor import XilinxPlatform
from amaranth_boards.alchitry_ptv2 import AlchitryPtV2Platform
from amaranth_boards.alinx_ax7325b import AX7325BPlatform
from amaranth_boards.arty_a7 import ArtyA7_100Platform
from amaranth_boards.arty_s7 import ArtyS7_50Platform
from amaranth_boards.arty_z7 import ArtyZ720Platform
from amaranth_boards.genesys2 import Genesys2Platform
from amaranth_boards.kc705 import KC705Platform
from amaranth_boards.kcu105 import KCU105Platform
from amaranth_boards.microzed_z020 import MicroZedZ020Platform
from amaranth_boards.nexys4ddr import Nexys4DDRPlatform
from amaranth_boards.nitefury import LitefuryPlatform, NitefuryIIPlatform
from amaranth_boards.rfsoc4x2 import RFSoC4x2Platform
from amaranth_boards.te0714_03_50_2I import TE0714_03_50_2IPlatform

from .board import Board
from .devices import DEVICES
from .zcu102 import ZCU102Platform

__all__ = ["XILINX"]


class ArtyA7Platform(ArtyA7_100Platform):
    """The Arty A7-100T as sold: amaranth-boards gives it the 35T's low-voltage industrial part."""
    device = "xc7a100t"
    speed  = "1"


class _DeviceOnly(XilinxPlatform):
    """A device without pins: processors or a shell feed the design there."""
    resources  = []
    connectors = []


class KV260Platform(_DeviceOnly):
    device  = "xck26"
    package = "sfvc784"
    speed   = "2LV-c"


class ZCU104Platform(_DeviceOnly):
    device  = "xczu7ev"
    package = "ffvc1156"
    speed   = "2-e"


class U250Platform(_DeviceOnly):
    device  = "xcu250"
    package = "figd2104"
    speed   = "2L-e"


class PynqZ2Platform(_DeviceOnly):
    device  = "xc7z020"
    package = "clg400"
    speed   = "1"


def _board(name, platform, family, clock_mhz, processor=None, board_part=None):
    return Board(
        name=name, platform=platform, family=family, mac="behavioural" if family == "xc7" else "dsp48e2",
        clock_mhz=clock_mhz, resources=DEVICES[platform.device], processor=processor,
        board_part=board_part and f"*:{board_part}:part0:*")


_PS7, _PSU = "processing_system7", "zynq_ultra_ps_e"

XILINX = [
    _board("alchitry-pt-v2", AlchitryPtV2Platform, "xc7", 100),
    _board("arty-a7-100", ArtyA7Platform, "xc7", 100),
    _board("arty-s7-50", ArtyS7_50Platform, "xc7", 100),
    _board("arty-z7-20", ArtyZ720Platform, "xc7", 100, _PS7, "arty-z7-20"),
    _board("ax7325b", AX7325BPlatform, "xc7", 150),
    _board("genesys2", Genesys2Platform, "xc7", 150),
    _board("kc705", KC705Platform, "xc7", 150),
    _board("kcu105", KCU105Platform, "xcu", 200),
    _board("kv260", KV260Platform, "xcup", 200, _PSU, "kv260_som"),
    _board("litefury", LitefuryPlatform, "xc7", 100),
    _board("microzed-z020", MicroZedZ020Platform, "xc7", 100, _PS7, "microzed_7020"),
    _board("nexys4-ddr", Nexys4DDRPlatform, "xc7", 100),
    _board("nitefury-ii", NitefuryIIPlatform, "xc7", 100),
    _board("pynq-z2", PynqZ2Platform, "xc7", 100, _PS7, "pynq-z2"),
    _board("rfsoc4x2", RFSoC4x2Platform, "xcup", 200, _PSU, "rfsoc4x2"),
    _board("te0714", TE0714_03_50_2IPlatform, "xc7", 100),
    _board("u250", U250Platform, "xcup", 200),
    _board("zcu102", ZCU102Platform, "xcup", 200, _PSU, "zcu102"),
    _board("zcu104", ZCU104Platform, "xcup", 200, _PSU, "zcu104"),
]
