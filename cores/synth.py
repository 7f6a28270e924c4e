"""Synthesise a built design with Yosys: its figures beside those predicted, and in its report.json.

Its longest paths between registers are shown as well, in levels of LUTs and carry chains.
"""
import json
import re
import sys
import tempfile
from pathlib import Path

from rich.table import Table

from cores import cli
from cores.design import open_design, read_report
from cores.emit import ROM_MODULE
from cores.page.write import write
from cores.synthesis import FAMILIES, command, synthesise
from cores.timing import longest_paths
from cores.wrapper.top import CORE

EXAMPLE = "python -m cores.synth build/zcu102"
PATHS = 8               # that are shown


def parser():
    result = cli.Parser("cores.synth", __doc__, EXAMPLE)
    result.add_argument("folder", type=Path, metavar="DIR", help="output folder of cores.build")
    result.add_argument("--paths", type=cli.positive_int, default=PATHS, metavar="N",
                        help=f"longest paths that are shown (default {PATHS})")
    result.add_argument("--registers", action="store_true",
                        help="only what skipstone_axi adds around the design: registers, guards, counters")
    return result


def main(argv=None):
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)
    if args.registers:
        return cli.guarded(lambda: run_registers(args.folder), RuntimeError)
    return cli.guarded(lambda: run(args.folder, args.paths), RuntimeError)


def run(folder, count=PATHS):
    """Synthesise a built design, show its figures and ``count`` longest paths, and complete its report."""
    design = open_design(folder)
    report = read_report(folder)
    files = {file.name: file.read_text() for file in (folder / "rtl").glob("*.hex")}
    family = next(family for family, mac in FAMILIES.items() if mac == design.family)
    console = cli.console()
    with console.status("synthesising, which takes minutes"), tempfile.TemporaryDirectory() as scratch:
        netlist = Path(scratch, "netlist.json")
        cells = synthesise((folder / "rtl" / "skipstone.v").read_text(), top="skipstone", family=family,
                           files=files, netlist=netlist)
        paths = longest_paths(json.loads(netlist.read_text())["modules"]["skipstone"], count)
    table = Table(title=f"{design.network.name}, Yosys' {command(family)}")
    for column in ("", "predicted", "synthesised", "difference"):
        table.add_column(column, justify="right" if column else "left")
    for name in ("dsp", "lut", "ff", "bram36"):
        predicted, found = report["predicted"][name], getattr(cells, name)
        table.add_row(name.upper(), f"{predicted:,}", f"{found:,}",
                      f"{predicted / found - 1:+.1%}" if found else f"{predicted - found:+}")
        report[name], report["origin"][name] = found, "synthesised"
    console.print(table)
    report["logic_levels"], report["origin"]["logic_levels"] = paths[0].levels, "synthesised"
    table = Table(title="longest paths between registers: a LUT counts as a level, a carry chain as one more")
    for column in ("levels", "from", "to", "through"):
        table.add_column(column, justify="right" if column == "levels" else "left")
    for path in paths:
        table.add_row(str(path.levels), path.source, path.target, " ".join(path.through))
    console.print(table)
    write(folder, report)


def run_registers(folder):
    """Synthesise skipstone_axi around a design that is left out."""
    opened = open_design(folder)
    text = (folder / "rtl" / "skipstone.v").read_text()
    design = re.search(rf"^module {CORE}\(.*?^endmodule$", text, re.MULTILINE | re.DOTALL)[0]
    ports = "\n".join([design[:design.index(";") + 1], *re.findall(r"^  (?:input|output) .*", design, re.MULTILINE)])
    text = f"{ROM_MODULE}(* blackbox *)\n{ports}\nendmodule\n" + (folder / "rtl" / "skipstone_axi.v").read_text()
    family = next(family for family, mac in FAMILIES.items() if mac == opened.family)
    cells = synthesise(text, top="skipstone_axi", family=family)
    cli.console().print(f"{opened.network.name}: skipstone_axi without the design, {command(family)}: "
                        f"{cells.lut} LUT, {cells.ff} FF, {cells.bram36:g} BRAM36", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
