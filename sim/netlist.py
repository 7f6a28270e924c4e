"""Simulate the netlist that Yosys makes of a stage, cell by cell, on what the stage reads in the network.

The models of the cells are Yosys' own, but for DSP48E2 and MULT18X18D, which are ours. Block memories have no model
there: memories are built of LUTs, so that a stage with many weights takes long.
"""
import json
import re
import sys
import tempfile
from pathlib import Path

import pyosys

from cores import cli
from cores.design import open_design, read_arrays
from cores.emit import FilePlatform
from cores.pixels import stored
from cores.stages import Engine, Folding, component
from cores.synthesis import FAMILIES, synthesise
from sim import reference, stage_bench
from sim.run_stages import chosen
from sim.verilator import SimulationError

__all__ = ["library", "netlist_of", "simulate_netlist"]

EXAMPLE = "python -m sim.netlist build/zcu102 --stage head --frames 2"

# Files of Yosys with models of the cells of a family.
_FILES = {"xc7": ("xilinx/cells_sim.v",), "xcup": ("xilinx/cells_sim.v",),
          "ecp5": ("lattice/cells_sim_ecp5.v", "lattice/common_sim.vh", "lattice/ccu2c_sim.vh")}
_OURS = "DSP48E2", "MULT18X18D"


def library(cells, family):
    """Yosys' models of the ``cells`` (names of types), and of what they consist of, as Verilog text."""
    share = Path(pyosys.__file__).parent / "share"
    text = "".join((share / name).read_text() for name in _FILES[family])
    text = re.sub(r"^\s*specify\b.*?^\s*endspecify\b", "", text, flags=re.MULTILINE | re.DOTALL)
    models = {name: body for body, name in re.findall(r"^(module (\w+).*?^endmodule)", text, re.MULTILINE | re.DOTALL)}
    wanted, found = sorted(set(cells) - set(_OURS)), {}
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        if name not in models:
            raise SimulationError(f"There is no model of the cell {name}")
        found[name] = models[name]
        wanted += [other for other in models if other != name and re.search(rf"\b{other}\b\s*(?:#|\w+\s*\()", models[name])]
    return "\n".join(found[name] for name in sorted(found)) + "\n"


def netlist_of(text, family, files):
    """The netlist of the module ``stage`` with the models of its cells, and its Cells.

    Parameters
    ----------
    text : str
        From :func:`sim.stage_bench.emit`.
    family : str
        A key of :data:`cores.synthesis.FAMILIES`.
    files : dict of str to str
        Memory files by name.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "netlist.v")
        cells = synthesise(text, top="stage", family=family, files=files, netlist=path, blocks=False)
        return path.read_text() + library(cells.by_type, family), cells


def simulate_netlist(stage, values, shape, *, family, folder, runtime=None, keep_zeros=False, stalls=0.3, seed=1):
    """What a stage's netlist makes of ``values``, as :class:`~sim.stage_bench.Streamed`, and the netlist's Cells.

    Parameters
    ----------
    stage : Component
        From :func:`cores.stages.component`; elaborated here.
    values : list of array of int (N, height, width, channels)
        Stored values of each input.
    shape : tuple of int
        Of the output: (N, height, width, channels).
    family : str
        A key of :data:`cores.synthesis.FAMILIES`.
    folder, runtime : Path
        For the simulator, see :func:`sim.stage_bench.compile_stage`.
    """
    platform = FilePlatform()
    text, cells = netlist_of(stage_bench.emit(stage, platform), family, platform.files)
    simulation = stage_bench.compile_stage(stage, text, folder=folder, family=FAMILIES[family], runtime=runtime,
                                           optimize="-O0")
    got = stage_bench.stream(simulation, stage, values, shape, keep_zeros=keep_zeros, cwd=folder,
                             seed=seed, stalls=stalls)
    return got, cells


def main(argv=None):
    """Run the command line; returns the exit code."""
    result = cli.Parser("sim.netlist", __doc__, EXAMPLE)
    add = result.add_argument
    add("folder", type=Path, metavar="DIR", help="output folder of cores.build")
    add("--stage", required=True, metavar="NAME", help="node whose stage is synthesised")
    add("--frames", type=cli.positive_int, default=2, metavar="N", help="golden frames (default 2)")
    add("--stalls", type=cli.share, default=0.3, metavar="SHARE",
        help="share of cycles in which each port pauses at random (default 0.3)")
    args = result.parse_args(argv)
    return cli.guarded(lambda: run(args), RuntimeError)


def run(args):
    """Simulate a netlist and say what differs."""
    design = open_design(args.folder)
    node, = chosen(design.network, [args.stage])
    images = read_arrays(args.folder / "golden.npz")["images"][:args.frames]
    values = reference.run(design.network, stored(design.network, images))
    manifest = json.loads((args.folder / "build.json").read_text())
    engine, folding = Engine.named(manifest["engine"], design.family), Folding(**manifest["folding"][node.name])
    family = next(family for family, mac in FAMILIES.items() if mac == design.family)
    console = cli.console()
    with console.status("synthesising and compiling, which takes minutes for a large stage"), \
            tempfile.TemporaryDirectory() as folder:
        got, cells = simulate_netlist(
            component(design.network, node, folding, engine), [values[name] for name in node.inputs],
            values[node.output].shape, family=family, folder=Path(folder), stalls=args.stalls, keep_zeros=engine.keep_zeros)
    wrong = int((got.maps != values[node.output]).sum()) + got.idle
    blocks = {name: count for name, count in cells.by_type.items() if name.startswith(("DSP48", "MULT18"))}
    console.print(f"{args.stage}: netlist of {sum(cells.by_type.values()):,} cells ({cells.lut:,} LUT, {cells.ff:,} FF, "
                  f"{', '.join(f'{count} {name}' for name, count in blocks.items()) or 'no DSP block'}), "
                  f"{len(images)} frames, stalls {args.stalls:g}: {wrong} mismatches", highlight=False, soft_wrap=True)
    if wrong:
        raise SimulationError(f"The netlist of {args.stage!r} differs in {wrong} values")


if __name__ == "__main__":
    sys.exit(main())
