"""Boards with Lattice's ECP5: a line for each."""
from amaranth_boards.ecpix5 import ECPIX585Platform
from amaranth_boards.ulx3s import ULX3S_85F_Platform

from .board import Board
from .devices import DEVICES

__all__ = ["LATTICE"]


def _board(name, platform, clock_mhz):
    return Board(name=name, platform=platform, family="ecp5", mac="mult18x18d", clock_mhz=clock_mhz,
                 resources=DEVICES[platform.device.lower()])


LATTICE = [
    _board("ecpix5-85f", ECPIX585Platform, 100),
    _board("ulx3s-85f", ULX3S_85F_Platform, 75),
]
