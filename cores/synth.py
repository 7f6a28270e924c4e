"""Synthesise a built design with Yosys: its figures beside those predicted, and in its report.json."""
import sys
from pathlib import Path

from rich.table import Table

from cores import cli
from cores.design import open_design, read_report
from cores.page.write import write
from cores.synthesis import FAMILIES, synthesise

EXAMPLE = "python -m cores.synth build/zcu102"


def parser():
    result = cli.Parser("cores.synth", __doc__, EXAMPLE)
    result.add_argument("folder", type=Path, metavar="DIR", help="output folder of cores.build")
    return result


def main(argv=None):
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)
    return cli.guarded(lambda: run(args.folder), RuntimeError)


def run(folder):
    """Synthesise a built design, show its figures and complete its report."""
    design = open_design(folder)
    report = read_report(folder)
    files = {file.name: file.read_text() for file in (folder / "rtl").glob("*.hex")}
    family = next(family for family, mac in FAMILIES.items() if mac == design.family)
    console = cli.console()
    with console.status("synthesising, which takes minutes"):
        cells = synthesise((folder / "rtl" / "skipstone.v").read_text(), top="skipstone", family=family,
                           files=files)
    table = Table(title=f"{design.network.name}, Yosys' synth_xilinx -family {family}")
    for column in ("", "predicted", "synthesised", "difference"):
        table.add_column(column, justify="right" if column else "left")
    for name in ("dsp", "lut", "ff", "bram36"):
        predicted, found = report["predicted"][name], getattr(cells, name)
        table.add_row(name.upper(), f"{predicted:,}", f"{found:,}",
                      f"{predicted / found - 1:+.1%}" if found else f"{predicted - found:+}")
        if name != "dsp":
            report[name] = found
    console.print(table)
    write(folder, report)


if __name__ == "__main__":
    sys.exit(main())
