"""Boards by name: the Amaranth platform to build for, and the resources a design may use."""
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from amaranth_boards.arty_a7 import ArtyA7_100Platform
from amaranth_boards.arty_z7 import ArtyZ720Platform

from .zcu102 import ZCU102Platform

__all__ = ["Board", "UnknownBoard", "ZCU102Platform", "board", "boards"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Board:
    """A board, as the commands name it.

    Parameters
    ----------
    name : str
    platform : subclass of :class:`amaranth.build.Platform`
        Its instances build.
    family : str
        Yosys' name of the device family, for ``synth_xilinx -family``.
    mac : str
        Multiply-accumulate to use: ``"dsp48e2"``, or ``"behavioural"``, inferred by the tools.
    clock_mhz : int
        Clock of a design that asks for none, in MHz.
    resources : mapping of str to int
        What the device has: ``dsp``, ``lut``, ``ff``, ``bram36`` (blocks of 36 kbit) and ``uram``.
    """
    name: str
    platform: type
    family: str
    mac: str
    clock_mhz: int
    resources: Mapping

    def __post_init__(self):
        object.__setattr__(self, "resources", MappingProxyType(dict(self.resources)))


class UnknownBoard(ValueError):     # noqa: N818
    """No board has that name."""


class ArtyA7Platform(ArtyA7_100Platform):
    """The Arty A7-100T as sold: amaranth-boards gives it the 35T's low-voltage industrial part."""
    device = "xc7a100t"
    speed  = "1"


_BOARDS = {entry.name: entry for entry in [
    Board(name="arty-a7-100", platform=ArtyA7Platform, family="xc7", mac="behavioural",
          clock_mhz=100,
          resources={"dsp": 240, "lut": 63400, "ff": 126800, "bram36": 135, "uram": 0}),
    Board(name="arty-z7-20", platform=ArtyZ720Platform, family="xc7", mac="behavioural",
          clock_mhz=100,
          resources={"dsp": 220, "lut": 53200, "ff": 106400, "bram36": 140, "uram": 0}),
    Board(name="zcu102", platform=ZCU102Platform, family="xcup", mac="dsp48e2",
          clock_mhz=200,
          resources={"dsp": 2520, "lut": 274080, "ff": 548160, "bram36": 912, "uram": 0}),
]}


def boards():
    """Return the names of all boards, sorted."""
    return sorted(_BOARDS)


def board(name):
    """Return the :class:`Board` of that name.

    Raises
    ------
    UnknownBoard
        If there is none.
    """
    try:
        return _BOARDS[name]
    except (KeyError, TypeError):
        raise UnknownBoard(f"Board must be one of {', '.join(boards())}, not {name!r}") from None
