"""The folder vivado/ of a design for one of AMD's devices: Tcl that is the same for all, and the facts of this one."""
from pathlib import Path

__all__ = ["add_vivado"]

SCRIPTS = "build.tcl", "package_ip.tcl", "block_design.tcl", "implement.tcl", "core.tcl"
MADE = "# Made by cores.build with the design it belongs to: do not edit.\n"


def add_vivado(folder, board, registers, memories, *, clock_mhz):
    """Add the scripts that make an IP, and on a board with processors a bitstream, of ``rtl/``.

    Parameters
    ----------
    folder : OutputFolder
    board : Board
    registers : RegisterMap
    memories : list of str
        Names of the files in ``rtl/`` that memories read.
    clock_mhz : float
        Clock of the design, in MHz.
    """
    facts = {
        "board": board.name, "part": board.part, "board_part": board.board_part or "", "processor": board.processor or "",
        "clock_mhz": f"{clock_mhz:g}", "build": f"{registers.build:08x}", "beat_bits": 8 * registers.beat_bytes,
        "address_bits": registers.address_bits, "outputs": " ".join(target.port for target in registers.targets)}
    folder.add("vivado/design.tcl", "".join((
        MADE, *(f"set {name} {{{value}}}\n" for name, value in facts.items()), "set rtl [file normalize $here/../rtl]\n",
        _files("sources", ("skipstone.v", "skipstone_axi.v")), _files("memories", memories))))
    folder.add("vivado/core.xdc", f"{MADE}create_clock -name clk -period {1000 / clock_mhz:.3f} [get_ports clk]\n")
    for name in SCRIPTS:
        folder.add(f"vivado/{name}", Path(__file__).with_name(name).read_bytes())


def _files(name, files):
    lines = "".join(f" \\\n    $rtl/{file}" for file in files)
    return f"set {name} [list{lines}]\n"
