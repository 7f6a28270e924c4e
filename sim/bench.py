# amaranth: UnusedElaboratable=no
# Designs that are only modelled are only asked for their size.
"""Networks with each engine at an equal budget of DSP blocks: a table and a picture.

Engines: sparse (ours), dense (the same hardware with zero skipping off), window (the published window
engine as published) and window-best (the same, all-zero windows free and two products in a DSP block).
Cycles are modelled, or simulated with --simulate; LUTs are predicted, or synthesised with --synthesise.
Runs add to what the output folder holds already of the same board and clock, so that networks may come one by one.
"""
import json
import re
import sys
from dataclasses import asdict
from pathlib import Path

from cores import build, bundled, cli, plots, synth
from cores.budget import DEFAULT_DSP, SLACK, check_dsp
from cores.constant_channels import without_constant_channels
from cores.errors import UserError
from cores.folding.explore import explore
from cores.opening import (
    add_options,
    model_path,
    open_images,
    opened,
    preprocessing_of,
    quantization_of,
)
from cores.output import own_version
from cores.report import report
from cores.stages import ENGINES, Engine
from platforms import UnknownBoard, board, boards
from sim import pictures
from sim import run as simulation
from sim.bench_table import Measured, markdown, shown
from sim.verilator import SimulationError

EXAMPLE = "python -m sim.bench digits --simulate 8"
FRAMES = 8              # that a simulation takes


def parser():
    result = cli.Parser("sim.bench", __doc__, EXAMPLE)
    add = result.add_argument
    add("models", nargs="*", default=[bundled.NAME], metavar="MODEL",
        help=f"ONNX files, or {bundled.NAME!r} (default)")
    add("--name", metavar="NAME", help="what the table calls the model (default: the file's name)")
    add("--calib", type=Path, metavar="PICTURES", help="folder of pictures, or .npz, to quantize float networks by")
    add("--images", type=Path, metavar="PICTURES", help="others to choose the folding by (default: those of --calib)")
    add_options(add)
    add("--engine", action="append", choices=tuple(ENGINES), help="only this one; may be repeated")
    add("--board", default="zcu102", metavar="NAME", help=f"one of {', '.join(boards())} (default zcu102)")
    add("--dsp", type=cli.positive_int, default=DEFAULT_DSP, metavar="N",
        help=f"DSP blocks of each design (default {DEFAULT_DSP})")
    add("--slack", type=cli.share, default=SLACK, metavar="SHARE", help=f"as of cores.build (default {SLACK})")
    add("--clock", type=cli.positive_float, metavar="MHZ", help="clock that rates are stated at (default: the board's)")
    add("--simulate", type=cli.frames, nargs="?", const=FRAMES, metavar="FRAMES",
        help=f"simulate whole designs in Verilator, and compare every output (default {FRAMES} frames)")
    add("--synthesise", action="store_true", help="synthesise whole designs, which takes minutes each")
    add("--out", type=Path, default=Path("build/bench"), metavar="DIR", help="output folder (default build/bench)")
    return result


def main(argv=None):
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)
    return cli.guarded(lambda: bench(args), UnknownBoard, pictures.PicturesError, SimulationError, RuntimeError)


def bench(args):
    """Build, measure, write and print; returns 1 if an output differs from the reference."""
    if args.name and len(args.models) > 1:
        raise UserError("--name is for a single model; give the others in runs of their own")
    target = board(args.board)
    where = {"board": target.name, "clock_mhz": args.clock or target.clock_mhz}
    check_dsp(args.dsp, target)
    for model in args.models:
        model_path(model)
    path, console, engines = args.out / "bench.json", cli.console(), args.engine or list(ENGINES)
    rows = {row.key: row for row in _read(path, where)}
    _make(args.out)
    for model in args.models:
        name = args.name or Path(model).stem
        with console.status("") as status:
            if args.simulate or args.synthesise:
                found = (_built(args, model, name, engine, status) for engine in engines)
            else:
                found = _modelled(args, model, name, engines, status)
            for row in found:
                rows[row.key] = row
                path.write_text(json.dumps({"skipstone": own_version(), **where, "rows": [
                    asdict(row) for row in rows.values()]}, indent=1) + "\n")
                (args.out / "comparison.md").write_text(markdown(list(rows.values())))
                (args.out / "comparison.png").write_bytes(plots.png(plots.engines(list(rows.values()))))
    console.print(shown(list(rows.values())))
    console.print(f"wrote bench.json, comparison.md and comparison.png to {args.out}", highlight=False)


def _make(folder):
    """The output folder; what is in the way, or not allowed, is told before any work is done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"Output folder {str(folder)!r} cannot be made ({error.strerror}); name another with --out") from error
    for name in ("bench.json", "comparison.md", "comparison.png"):
        cli.check_writable(folder / name)


def _read(path, where):
    """Rows of earlier runs, all of the same board and clock."""
    if not path.exists():
        return []
    try:
        earlier = json.loads(path.read_text())
        if any(earlier[key] != value for key, value in where.items()):
            raise UserError(f"{str(path)!r} is of {earlier['board']} at {earlier['clock_mhz']:g} MHz, not of {where['board']} at "
                            f"{where['clock_mhz']:g} MHz; give another --out")
        return [Measured(**row) for row in earlier["rows"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{str(path)!r} is not of this version ({error}); delete it or give another --out") from error


def _modelled(args, model, name, engines, status):
    """A row for each engine, without a line of Verilog."""
    status.update(f"{name}: importing")
    args.model = model
    whole, *_ = opened(model, args.calib or args.images, preprocessing_of(args), **quantization_of(args))
    images, _ = open_images(args, whole)
    target, (network, _) = board(args.board), without_constant_channels(whole)
    clock = args.clock or target.clock_mhz
    for engine in engines:
        status.update(f"{name}: choosing the folding of the {engine} engine")
        kind = Engine.named(engine, target.mac)
        found = explore(network, images, kind, {"dsp": args.dsp, "slack": args.slack}, target)
        yield _row(name, engine, args.dsp, report(
            found.network, found.design, kind, found.profile, board=args.board, clock_mhz=clock,
            whole=whole, predicted=found.predicted, fits=True))


def _row(name, engine, budget, figures):
    """A row of what report.json holds."""
    return Measured(
        name, engine, budget, figures["dsp"], figures["multipliers"], figures["macs_per_frame"],
        figures["nonzero_macs_per_frame"], figures["clock_mhz"], figures["cycles_per_frame"],
        figures["predicted"]["lut"], figures["predicted"]["bram36"], lut=figures["lut"])


def _built(args, model, name, engine, status):
    """A row of a whole design, simulated and synthesised as the options say."""
    folder = args.out / re.sub(r"[^\w.-]+", "-", f"{name}-{engine}")
    status.update(f"{name}: building with the {engine} engine")
    options = ["--model", model, "--engine", engine, "--board", args.board, "--dsp", str(args.dsp),
               "--slack", str(args.slack), "--no-fit", "--out", str(folder)]
    for option in ("calib", "images", "clock", "order", "bits", "calib_method"):
        if getattr(args, option) is not None:
            options += ["--" + option.replace("_", "-"), str(getattr(args, option))]
    for option in ("mean", "scale", "bits16"):
        value = getattr(args, option)
        if value is not None:
            options += [f"--{option}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    if args.equalise:
        options.append("--equalise")
    if build.main(options):
        raise UserError(f"{name} with the {engine} engine is not built, see above")
    row = _row(name, engine, args.dsp, json.loads((folder / "report.json").read_text()))
    if args.simulate:
        status.update(f"{name}: simulating the {engine} engine")
        if simulation.main([str(folder), "--frames", str(args.simulate), "--json", str(folder / "simulated.json")]):
            raise UserError(f"{name} with the {engine} engine is wrong or not simulated, see above")
        result = json.loads((folder / "simulated.json").read_text())
        row.simulated, row.nonzero = result["cycles_per_frame"], result["nonzero_macs_per_frame"]
    if args.synthesise:
        status.update(f"{name}: synthesising the {engine} engine")
        synth.run(folder)
        figures = json.loads((folder / "report.json").read_text())
        row.lut, row.bram36 = figures["lut"], figures["bram36"]
    return row


if __name__ == "__main__":
    sys.exit(main())
