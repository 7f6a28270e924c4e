"""Boards by name: the Amaranth platform to build for, and the resources a design may use."""
from .board import Board
from .lattice import LATTICE
from .xilinx import XILINX
from .zcu102 import ZCU102Platform

__all__ = ["Board", "UnknownBoard", "ZCU102Platform", "board", "boards"]

_BOARDS = {entry.name: entry for entry in XILINX + LATTICE}


class UnknownBoard(ValueError):     # noqa: N818
    """No board has that name."""


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
