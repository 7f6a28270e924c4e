"""A FuseSoC core file (CAPI2) of a design.

By default both modules and the files of their memories, for cores that depend on it; for AMD's devices a target ``core`` too, which
synthesises the plain module in Vivado.
"""
import json
import re

__all__ = ["core_file"]

COMMON = """\
CAPI=2:
# Made by cores.build with the design it belongs to: do not edit.
name: skipstone:designs:{name}:1.0
description: {description}

filesets:
  core:
    files:
      - rtl/skipstone.v: {{file_type: verilogSource}}
{memories}  axi:
    files:
      - rtl/skipstone_axi.v: {{file_type: verilogSource}}
{constraints}
targets:
  default:
    filesets: [core, axi]
    toplevel: skipstone_axi
"""
MEMORY = "      - rtl/{file}: {{file_type: mem, copyto: {file}}}\n"
CONSTRAINTS = """\
  constraints:
    files:
      - vivado/core.xdc: {file_type: xdc}
"""
ALONE = """
  core:
    filesets: [core, constraints]
    toplevel: skipstone
    flow: vivado
    flow_options: {{part: {part}, pnr: none}}
"""


def core_file(board, registers, memories, name):
    """Text of skipstone.core.

    Parameters
    ----------
    board : Board
    registers : RegisterMap
    memories : list of str
        Names of the files in ``rtl/`` that memories read.
    name : str
        Of the network.
    """
    text = COMMON.format(
        name=re.sub(r"\W", "_", name, flags=re.ASCII),
        description=json.dumps(f"{name} as a streaming accelerator, build {registers.build:08x}"),
        memories="".join(MEMORY.format(file=file) for file in memories),
        constraints=CONSTRAINTS if board.vivado else "")
    return text + (ALONE.format(part=board.part) if board.vivado else "")
