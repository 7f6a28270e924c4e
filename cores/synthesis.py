"""What Yosys makes of a design: cells, and the LUTs, flip-flops, DSP and memory blocks they take."""
import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cores import yosys

__all__ = ["Cells", "synthesise", "without_zeros", "command", "FAMILIES"]

FAMILIES = {"xc7": "behavioural", "xcup": "dsp48e2", "ecp5": "mult18x18d"}      # and the MAC primitive of each

# LUTs that a distributed memory or a shift register occupies (UG474, UG574).
_LUTS = {
    "RAM32X1S": 1, "RAM32X1D": 2, "RAM64X1S": 1, "RAM64X1D": 2, "RAM128X1S": 2, "RAM128X1D": 4,
    "RAM256X1S": 4, "RAM256X1D": 8, "RAM512X1S": 8, "RAM32M": 4, "RAM64M": 4, "RAM32M16": 8,
    "RAM64M8": 8, "RAM32X16DR8": 8, "RAM64X8SW": 8, "SRL16E": 1, "SRLC16E": 1, "SRLC32E": 1,
    # ECP5: half a carry cell is a LUT (FPGA-DS-02012).
    "CCU2C": 2, "TRELLIS_DPR16X4": 4,
}

# Yosys takes most of its time to unroll this, and memories of all devices start with zeros.
_ZEROS = re.compile(r"^ *initial for .* words\[n\] = 0;$", re.MULTILINE)

# Yosys describes a memory in LUTs with one address of 2**16 words, which does not exist and ends in
# an error: for UltraScale+ ours are mapped before, to the sizes that there are.
_SIZES = " ".join(f'option "ABITS" {bits} {{ abits {bits}; widths {512 >> bits} global; }}'
                  for bits in (5, 6, 7, 8))
_SINGLE = ("ram distributed $__XILINX_LUTRAM_SP_ { cost 16; widthscale; init any; prune_rom; "
           f'{_SIZES} port arsw "RW" {{ clock posedge; }} }}\n')


@dataclass(frozen=True)
class Cells:
    """Number of cells of each type."""
    by_type: dict

    def _count(self, *prefixes):
        return sum(n for cell, n in self.by_type.items() if cell.startswith(prefixes))

    @property
    def lut(self):
        """LUTs, those of distributed memories and carry cells included; inverters go into what they drive."""
        logic = sum(self.by_type.get(f"LUT{n}", 0) for n in range(1, 7))
        return logic + sum(luts * self.by_type.get(cell, 0) for cell, luts in _LUTS.items())

    @property
    def ff(self):
        return self._count("FD", "TRELLIS_FF")

    @property
    def dsp(self):
        return self._count("DSP48", "MULT18X18")

    @property
    def bram36(self):
        """Block memories of 36 kbit; those of 18 kbit are halves."""
        return self._count("RAMB36") + self._count("RAMB18", "DP16KD", "PDPW16KD") / 2


def synthesise(verilog, *, top, family, files=None, netlist=None, blocks=True):
    """Synthesise for a family, flattened, without pads.

    Parameters
    ----------
    verilog : str
        Source text.
    top : str
        Top module.
    family : str
        Of ``synth_xilinx``, or "ecp5": a key of :data:`FAMILIES`.
    files : dict of str to str or None
        Memory files by name.
    netlist : Path or None
        Where to write the netlist: .json for :func:`cores.timing.longest_paths`, or .v.
    blocks : bool
        Whether memories may take block RAM.

    Returns
    -------
    Cells
    """
    synth = f"{command(family)} {'' if blocks else '-nobram'} -top {top}"
    steps = [synth] if family in ("xc7", "ecp5") else [
        f"{synth} -run begin:map_memory",
        "memory_libmap -lib single.txt t:$mem_v2 a:ram_style=distributed %i",
        f"{synth} -run map_memory:"]
    with tempfile.TemporaryDirectory() as folder:
        if not blocks:      # a memory that asks for a block would get one all the same
            verilog = verilog.replace('(* rom_style = "block" *)', "")
        for name, text in {"design.v": without_zeros(verilog), "single.txt": _SINGLE, **(files or {})}.items():
            Path(folder, name).write_text(text)
        if netlist is not None:
            write = "write_json" if netlist.suffix == ".json" else "write_verilog -noattr -nostr"
            steps.append(f'{write} "{netlist.resolve()}"')
        yosys.run("read_verilog design.v", *steps, "tee -q -o stat.json stat -json", cwd=folder)
        text = Path(folder, "stat.json").read_text()
    modules = json.loads(text[text.index("{"):])["modules"]
    cells = next(module for name, module in modules.items() if name.lstrip("\\") == top)
    return Cells({name: n["count"] if isinstance(n, dict) else n
                  for name, n in cells["num_cells_by_type"].items() if not name.startswith("$")})


def command(family):
    """Yosys' command for a family, flattened and without pads."""
    return "synth_ecp5" if family == "ecp5" else f"synth_xilinx -family {family} -flatten -noiopad -noclkbuf"


def without_zeros(verilog):
    """Our Verilog without the loops that fill memories with zeros: Yosys would unroll them."""
    return _ZEROS.sub("", verilog)
