"""Model a built design beat by beat: cycles per frame, and where its stages wait. Or prove the model on random stages."""
import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from rich.progress import track
from rich.table import Table

from cores import cli
from cores.design import open_design
from cores.errors import UserError
from sim import pictures
from sim.run import open_images
from sim.verilator import SimulationError

from . import fields as f
from .design import Pictured

EXAMPLE = "python -m sim.cycles build/zcu102 --frames 16\n  python -m sim.cycles --validate 200"
FRAMES = 16


def parser():
    result = cli.Parser("sim.cycles", __doc__, EXAMPLE)
    add = result.add_argument
    add("folder", type=Path, nargs="?", metavar="DIR", help="what cores.build wrote")
    add("--frames", type=cli.frames, default=FRAMES, metavar="N",
        help=f"frames back to back, pictures repeated as needed (default {FRAMES})")
    add("--images", type=Path, metavar="PICTURES",
        help="folder of pictures, or .npz (default: the design's golden ones)")
    add("--queue", type=cli.positive_int, metavar="N",
        help="show, too, what a queue of N beats for each way before each single stage would save")
    add("--validate", type=cli.positive_int, metavar="N",
        help="instead, simulate N random stages in Verilator and compare; exit code 1 if one differs by more than "
             "1 %% and 20 cycles")
    add("--json", type=Path, metavar="FILE", help="write the figures there")
    return result


def main(argv=None):
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)
    return cli.guarded(lambda: run(args), pictures.PicturesError, SimulationError)


def run(args):
    if (args.folder is None) == (args.validate is None):
        raise UserError("Give either the folder of a design or --validate N")
    if args.json:
        cli.check_writable(args.json)
    return validate(args) if args.validate else show(args)


def show(args):
    """Model a design."""
    console, design = cli.console(), open_design(args.folder)
    images, _ = open_images(args, design)
    with console.status("modelling"):
        pictured = Pictured(design, images, np.arange(args.frames) % len(images))
        modelled = pictured.model()
        single, together = pictured.deeper(args.queue) if args.queue else ({}, None)
    saved = {name: modelled.cycles_per_frame - cycles for name, cycles in single.items()}
    table = Table(
        title=f"{design.folder}, {args.frames} frames (modelled)",
        caption=f"cycles per frame: {modelled.first_frame:,} for the first, {modelled.cycles_per_frame:,.0f} steady"
                + (f", {together:,.0f} with all of these queues" if args.queue else ""))
    table.add_column("stage")
    columns = [*f.WAITS, f"saved by {args.queue} beats"] if args.queue else [*f.WAITS]
    for name in columns:
        table.add_column(name, justify="right")
    for name, waits in modelled.waits.items():
        cells = [f"{getattr(waits, wait):.1%}" for wait in f.WAITS]
        table.add_row(cli.short(name), *cells, *([f"{saved[name]:,.0f}" if name in saved else "-"] if args.queue else []))
    console.print(table)
    if args.json:
        args.json.write_text(json.dumps({
            "cycles_first_frame": modelled.first_frame, "cycles_per_frame": modelled.cycles_per_frame,
            "frames": args.frames, "saved": saved, "with_all_queues": together,
            "stages": {name: vars(waits) for name, waits in modelled.waits.items()}}, indent=2) + "\n")
    return 0


def validate(args):
    """Compare with RTL; returns 1 if a stage differs."""
    from .validate import BATCH, compare, draws
    console = cli.console()
    with console.status("drawing stages"):
        drawn = draws(args.validate)
    found = []
    with tempfile.TemporaryDirectory() as runtime:
        for start in track(range(0, len(drawn), BATCH), description="simulating", console=console, transient=True):
            found += compare(drawn[start:start + BATCH], runtime)
    kinds = defaultdict(list)
    for one in found:
        kinds[one.kind].append(one)
    table = Table(title=f"{len(found)} random stages: the model beside RTL, steady cycles per frame")
    for column in ("kind", "stages", "equal", "worst", "cycles", "beyond 1 % and 20 cycles"):
        table.add_column(column, justify="left" if column == "kind" else "right")
    for kind, members in sorted(kinds.items()):
        worst = max(members, key=lambda one: abs(one.off))
        table.add_row(kind, str(len(members)), str(sum(one.modelled == one.simulated for one in members)),
                      f"{worst.off:+.2%}", f"{worst.modelled - worst.simulated:+,.1f}",
                      str(sum(not one.agrees for one in members)))
    console.print(table)
    wrong = [one for one in found if not one.agrees]
    for one in wrong:
        print(f"{one.kind} {one.seed}: modelled {one.modelled:,.1f}, simulated {one.simulated:,.1f}", file=sys.stderr)
    if args.json:
        args.json.write_text(json.dumps([vars(one) for one in found], indent=2) + "\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
