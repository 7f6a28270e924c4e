"""What a board is to the commands."""
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from amaranth.vendor import XilinxPlatform

__all__ = ["Board"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Board:
    """A board, as the commands name it.

    Parameters
    ----------
    name : str
    platform : subclass of :class:`amaranth.build.Platform`
        Its instances build.
    family : str
        Yosys' name of the device family, for ``synth_xilinx -family``, or ``"ecp5"``.
    mac : str
        Multiply-accumulate to use: ``"dsp48e2"``, ``"mult18x18d"``, or ``"behavioural"``, inferred by the tools.
    clock_mhz : int
        Clock of a design that asks for none, in MHz.
    resources : mapping of str to int
        What the device has: ``dsp``, ``lut``, ``ff``, ``bram36`` (blocks of 36 kbit) and ``uram``.
    processor : str or None
        Vivado's IP of the processors on the device, ``"zynq_ultra_ps_e"`` or ``"processing_system7"``.
    board_part : str or None
        Pattern of Vivado's names for the board; its files know how the processors' memory is connected.
    """
    name: str
    platform: type
    family: str
    mac: str
    clock_mhz: int
    resources: Mapping
    processor: str | None = None
    board_part: str | None = None

    def __post_init__(self):
        object.__setattr__(self, "resources", MappingProxyType(dict(self.resources)))

    @property
    def vivado(self):
        """Whether Vivado builds for it."""
        return issubclass(self.platform, XilinxPlatform)

    @property
    def part(self):
        """Vivado's name of the device; Amaranth's build plans have the same."""
        device, package, speed = self.platform.device, self.platform.package, self.platform.speed
        joint = "" if self.family == "xc7" else "-"
        return f"{device}{joint}{package}-{speed}"
