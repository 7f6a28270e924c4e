"""Draw the report of a built design again, as report.html in its folder; cores.build, cores.synth and sim.run do so, too."""
import sys
from pathlib import Path

from cores import cli
from cores.design import open_design, read_report
from cores.page.write import write

EXAMPLE = "python -m cores.page build/zcu102"


def main(argv=None):
    """Run the command line; returns the exit code."""
    parser = cli.Parser("cores.page", __doc__, EXAMPLE)
    parser.add_argument("folder", type=Path, metavar="DIR", help="output folder of cores.build")
    args = parser.parse_args(argv)
    return cli.guarded(lambda: draw(args.folder))


def draw(folder):
    open_design(folder)
    print(f"wrote {write(folder, read_report(folder))}")


if __name__ == "__main__":
    sys.exit(main())
