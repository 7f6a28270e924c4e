"""The clock rate of one lane alone, a SparseDot of 288 weights for each of 32 filters, placed and routed on ECP5."""
import sys
import tempfile
from pathlib import Path

import numpy as np

from cores import cli, yosys
from cores.ecp5.implement import TOP, check_tools, critical_path, place_and_route
from cores.emit import ROM_MODULE, FilePlatform, verilog
from hdl.dot import SparseDot
from platforms import board

EXAMPLE = "python -m cores.ecp5.lane --board ecpix5-85f --pes 16"


def main(argv=None):
    """Run the command line; returns the exit code."""
    parser = cli.Parser("cores.ecp5.lane", __doc__, EXAMPLE)
    parser.add_argument("--board", choices=("ecpix5-85f", "ulx3s-85f"), default="ecpix5-85f",
                        help="for its device and speed grade (default ecpix5-85f)")
    parser.add_argument("--pes", type=cli.positive_int, default=16, metavar="N", help="processing elements (default 16)")
    parser.add_argument("--clock", type=cli.positive_float, default=200.0, metavar="MHZ",
                        help="what nextpnr aims for (default 200)")
    args = parser.parse_args(argv)
    return cli.guarded(lambda: run(args), RuntimeError)


def run(args):
    """Place and route, and show the clock rate with the path that limits it."""
    check_tools()
    weights = np.random.default_rng(1).integers(-128, 128, (32, 288))
    lane = SparseDot(8, weights=weights, weight_width=8, pes=args.pes, sum_width=24, family="mult18x18d")
    platform, console = FilePlatform(), cli.console()
    text = ROM_MODULE + verilog(lane, name=TOP, platform=platform)
    with console.status("synthesising, placing and routing"), tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for name, content in {"lane.v": text, **platform.files}.items():
            (folder / name).write_text(content)
        yosys.run("read_verilog lane.v", f"synth_ecp5 -top {TOP} -json {TOP}.json", cwd=folder)
        made = place_and_route(folder, board(args.board).platform(), clock_mhz=args.clock, constrained=False)
    console.print(f"a lane of {args.pes} PEs on {args.board}: {made.fmax_mhz:.1f} MHz; {made.utilisation}",
                  highlight=False, soft_wrap=True)
    for kind, delay, total, what in critical_path(made.log):
        console.print(f"  {kind:9} {delay:>6} {total:>6} {what}", highlight=False, markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
