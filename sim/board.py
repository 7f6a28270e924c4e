"""Drive a built design behind its registers by its own driver, in Verilator: pictures, resets, bad frames."""
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from cores import cli
from cores.design import open_design
from cores.errors import UserError
from cores.graph import Conv
from cores.pixels import stored
from cores.report import share
from sim import reference
from sim.board_simulation import simulate
from sim.run import open_images
from sim.verilator import SimulationError

SHOWN = 3               # pictures whose answer is printed
KINDS = "busy", "starved", "blocked"
EXAMPLE = "python -m sim.board build/zcu102 --frames 32 --resets 100"


def parser():
    result = cli.Parser("sim.board", __doc__ + " Anything wrong exits with code 1.", EXAMPLE)
    add = result.add_argument
    add("folder", type=Path, metavar="DIR", help="what cores.build wrote")
    add("--frames", type=cli.frames, default=32, metavar="N",
        help="pictures through the driver, the golden ones repeated as needed (default 32)")
    add("--resets", type=int, default=0, metavar="N", help="soft resets at random moments (default 0)")
    add("--seed", type=cli.seed, default=0, metavar="N", help="of these moments (default 0)")
    add("--json", type=Path, metavar="FILE", help="write the figures there")
    return result


def main(argv=None):
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)
    return cli.guarded(lambda: run(args), SimulationError)


def run(args):
    """Simulate; returns 1 if anything is wrong."""
    console = cli.console()
    if args.json:
        cli.check_writable(args.json)
    design = open_design(args.folder)
    if not (design.folder / "driver" / "registers.py").exists():
        raise UserError(f"{str(design.folder)!r} has no driver; make it anew with python -m cores.build")
    args.images = None
    images, _ = open_images(args, design)
    order = np.arange(args.frames) % len(images)
    with console.status("computing the reference") as status, tempfile.TemporaryDirectory() as scratch:
        expected = products(design.network, images, order)
        result = simulate(design, Path(scratch), status.update, frames=args.frames, resets=args.resets, seed=args.seed)
    wrong = faults(result, expected)
    show(console, design, args, result, wrong)
    if args.json:
        args.json.write_text(json.dumps(result | {"faults": wrong}, indent=2) + "\n")
    return int(bool(wrong))


def products(network, images, order):
    """Non-zero products of each stage that multiplies, over all frames, by the reference."""
    total = {node.name: 0 for node in network.nodes if isinstance(node, Conv)}
    for n, times in enumerate(np.bincount(order)):
        counts, _ = reference.nonzero_macs(network, reference.run(network, stored(network, images[n:n + 1])))
        for name in total:
            total[name] += counts[name] * int(times)
    return total


def faults(result, expected):
    """What is wrong, in words."""
    found = []
    if result.get("mismatches"):
        found.append(f"{result['mismatches']} values differ from the golden ones")
    counters = result.get("counters", {})
    for unit, kinds in counters.items():
        if "busy" in kinds and sum(kinds[kind] for kind in KINDS) != counters["design"]["cycles"]:
            found.append(f"{unit}: busy, starved and blocked do not add up to the cycles")
    for unit, count in expected.items() if counters else ():
        if counters[unit].get("products") != count:
            found.append(f"{unit}: {counters[unit].get('products')} non-zero products, not {count}")
    for name in ("resets", "bad_frames"):
        if result.get(name, {}).get("wrong"):
            found.append(f"{name.replace('_', ' ')}: {result[name]['wrong']} went wrong")
    return found + result.get("details", [])


def show(console, design, args, result, wrong):
    counters = result.get("counters", {})
    for line in result["answers"][:SHOWN]:
        console.print(line, highlight=False)
    console.print(f"{design.folder}: {args.frames} pictures through the driver: {result['mismatches']} values differ",
                  highlight=False)
    if counters:
        cycles = counters["design"]["cycles"]
        console.print(f"{cycles:,} cycles counted, {counters['design']['frames']} frames; by unit:", highlight=False)
        for unit, kinds in counters.items():
            if "busy" in kinds:
                console.print(f"  {cli.short(unit):32} " + "  ".join(
                    f"{kind} {share(kinds[kind], 1, cycles):6.1%}" for kind in KINDS)
                    + (f"  {kinds['products']:,} non-zero products" if "products" in kinds else ""), highlight=False)
        if not wrong:
            console.print("they add up to the cycles in each, and the products are the reference's", highlight=False)
    if "resets" in result:
        console.print("{resets} soft resets, {in_input} of them in a frame at the input, {in_output} in one at the "
                      "output: {wrong} went wrong".format(**result["resets"]), highlight=False)
    console.print("{cases} frames too short or too long: {wrong} went wrong".format(**result["bad_frames"]),
                  highlight=False)
    for fault in wrong:
        print(fault, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
