"""The files of a design's hardware and of its driver, for the output folder."""
from pathlib import Path

from cores.emit import FilePlatform
from cores.wrapper import emit
from cores.wrapper.register_files import c_header, markdown, python_module
from cores.wrapper.register_map import register_map

__all__ = ["add_rtl"]

DRIVER = Path(__file__).parents[2] / "driver"


def add_rtl(folder, network, top, *, counters=True):
    """Add Verilog, memory files, register map and driver.

    Parameters
    ----------
    folder : OutputFolder
    network : Graph
    top : Top
    counters : bool
        Whether skipstone_axi has them.

    Returns
    -------
    RegisterMap
    """
    platform = FilePlatform()
    text = emit.design_verilog(top, platform)
    registers = register_map(network, top.stages, beat_bits=top.beat_bits, counters=counters,
                             build=emit.build_hash(text, platform))
    folder.add("rtl/skipstone.v", text)
    folder.add("rtl/skipstone_axi.v", emit.axi_verilog(top, registers, platform))
    for name, words in platform.files.items():
        folder.add(f"rtl/{name}", words)
    folder.add("rtl/files.f", "skipstone.v\n")
    folder.add("rtl/files_axi.f", "skipstone.v\nskipstone_axi.v\n")
    folder.add("registers.md", markdown(registers, network.name))
    folder.add("driver/skipstone.h", c_header(registers))
    folder.add("driver/registers.py", python_module(registers, network.name))
    for source in sorted(DRIVER.glob("*.py")):
        folder.add(f"driver/{source.name}", source.read_bytes())
    return registers
