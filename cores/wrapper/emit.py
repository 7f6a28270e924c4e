"""The Verilog of a design: plain, and behind registers."""
import hashlib

from cores.emit import ROM_MODULE, verilog
from cores.wrapper.top import CORE, AxiTop, PlainTop, with_axi_reset

__all__ = ["build_hash", "design_verilog", "axi_verilog"]


def design_verilog(top, platform):
    """Text of rtl/skipstone.v: the module ``skipstone``, the design in it, and the memories.

    Parameters
    ----------
    top : Top
    platform : FilePlatform
        Keeps the files of the memories.
    """
    plain = PlainTop(top)
    return (ROM_MODULE + verilog(top, name=CORE, platform=platform, ports=top.ports())
            + verilog(plain, name="skipstone", platform=platform, ports=plain.ports()))


def axi_verilog(top, registers, platform):
    """Text of rtl/skipstone_axi.v, which needs that of :func:`design_verilog` beside it."""
    design, ports = with_axi_reset(AxiTop(top, registers))
    return verilog(design, name="skipstone_axi", platform=platform, ports=ports)


def build_hash(text, platform):
    """32 bits of the design whose Verilog is ``text``; the names of its files tell their contents."""
    return int(hashlib.sha256("".join([text, *sorted(platform.files)]).encode()).hexdigest()[:8], 16)
