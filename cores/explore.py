"""Choose the folding of every stage: the Pareto set of each, the best choice of all, and what it costs to be faster.

Prints the design that cores.build makes with the same options, and what was proven: that no choice among the foldings
is faster than the fastest that was found within the budget, which the design may be a little slower than (--slack),
and that none as fast as the design has a lower price in DSP blocks, LUTs and block memories; or by how much one might.
Writes explore.json (the Pareto set of each stage, the design, and a sweep of frame rates) and explore.png (frame rate
against resources).
"""
import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from cores import cli, plots
from cores.budget import add_budget, budget_of
from cores.constant_channels import without_constant_channels
from cores.fit import fits, number
from cores.folding.explore import completed, explore
from cores.folding.sweep import sweep
from cores.opening import add_source, open_source
from cores.output import OutputFolder, own_version
from cores.report import report
from cores.report import table as design_table
from cores.stages import Engine
from platforms import UnknownBoard, board
from sim import pictures

EXAMPLE = "python -m cores.explore net.onnx --images PICTURES --board zcu102 --dsp 1024"
DRAWN = ("dsp", "lut", "bram36")
TOP_SPEED = 1.5         # times the frames per second of the design, where the sweep ends


def parser():
    result = cli.Parser("cores.explore", __doc__, EXAMPLE)
    add = result.add_argument
    add_source(add)
    add_budget(result)
    add("--out", type=Path, default=Path("build/explore"), metavar="DIR", help="output folder (default build/explore)")
    return result


def main(argv=None):
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)
    return cli.guarded(lambda: run(args), UnknownBoard, pictures.PicturesError)


def run(args):
    """Choose, write and print."""
    console, target = cli.console(), board(args.board)
    clock = args.clock or target.clock_mhz
    budget = budget_of(args, target, clock)
    folder = OutputFolder(args.out, manifest="explore.json")
    with console.status("importing") as status:
        whole, images = open_source(args)
        network, _ = without_constant_channels(whole)
        engine = Engine(family=target.mac, serial=args.serial)
        status.update("choosing the folding")
        found = explore(network, images, engine, budget, target)
        figures = report(found.network, found.design, engine, found.profile, board=args.board, clock_mhz=clock,
                         whole=whole, predicted=found.predicted, fits=fits(found.predicted[0], target))
        status.update("looking at other frame rates")
        points = [point(design, completed(found.network, design, engine, target)[1][0], clock)
                  for design in sweep(found.space, found.design.cycles_per_frame / TOP_SPEED)]
        chosen = {"fps": figures["fps"], **{name: figures["predicted"][name] for name in DRAWN}}
        available = {name: target.resources[name] for name in DRAWN}
        folder.add("explore.png", plots.png(plots.frame_rates(
            f"{network.name} on {args.board} at {clock:g} MHz", points, chosen, available)))
        folder.add("explore.json", json.dumps({
            "skipstone": own_version(), "budget": budget, "proof": proof(found.design, budget), "design": figures,
            "foldings": {name: asdict(folding) for name, folding in found.design.foldings.items()},
            "sweep": points, "stages": {name: pareto(options) for name, options in found.space.options.items()},
            "files": ["explore.json", "explore.png"]}) + "\n")
        folder.save()
    console.print(design_table(figures, found.network, target.resources))
    console.print(sweep_table(points))
    for line in summary(found, budget):
        console.print(line, highlight=False, soft_wrap=True)
    console.print(f"wrote {', '.join(sorted(folder.written))} to {folder.path}", highlight=False)


def point(design, predicted, clock):
    """A design of the sweep in numbers; resources of all of it."""
    return {"fps": round(clock * 1e6 / design.cycles_per_frame, 1), "cycles_per_frame": round(design.cycles_per_frame),
            "multipliers": float(design.amounts["multipliers"]), **{name: getattr(predicted, name) for name in DRAWN},
            "gap": design.gap}


def proof(design, budget):
    """What was proven of a design; nothing of its frame rate if that was asked for."""
    asked = "cycles" in budget
    return {"slower_than_fastest": None if asked else design.slower, "rate_gap": None if asked else design.rate_gap,
            "price_gap": design.gap}


def pareto(options):
    """A stage's Pareto set, as columns."""
    return {"considered": options.considered, "foldings": options.fields.tolist(),
        "cycles_per_frame": options.cycles.round().tolist(),
        **{name: options.amounts[name].tolist() for name in DRAWN}}


def sweep_table(points):
    """The cheapest design of each frame rate."""
    result = Table(title="the cheapest design at other frame rates (modelled; resources predicted)")
    for column in ("frames/s", "cycles per frame", "multipliers", "DSPs", "LUTs", "BRAM36"):
        result.add_column(column, justify="right")
    for each in points:
        result.add_row(f"{each['fps']:,.0f}", f"{each['cycles_per_frame']:,}",
                       *(number(each[name]) for name in ("multipliers", "dsp", "lut", "bram36")))
    return result


def summary(found, budget):
    """Lines on how far the choice is proven."""
    design, options = found.design, found.space.options.values()
    yield (f"chosen among {sum(each.considered for each in options):,} foldings of {len(options)} stages, "
           f"{sum(len(each.fields) for each in options):,} of them in Pareto sets")
    if "cycles" in budget:
        yield "frame rate: as --fps asks for; no faster design was looked for"
    else:
        fastest = "the fastest design within the budget (proven: gap 0)" if design.rate_gap == 0 else (
            f"the fastest design found within the budget (another may take up to {design.rate_gap:.2%} fewer cycles)")
        yield "frame rate: " + (f"this is {fastest}" if design.slower == 0 else (
            f"{design.slower:.2%} more cycles than {fastest}, for more frames per area; --slack 0 takes the fastest"))
    alike = "as fast within --utilisation" if "utilisation" in budget else "as fast"
    yield "price: " + (f"no design {alike} is cheaper (proven: gap 0)" if design.gap == 0 else
                       f"another design {alike} may be up to {design.gap:.2%} cheaper")


if __name__ == "__main__":
    sys.exit(main())
