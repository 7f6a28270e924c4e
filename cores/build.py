# amaranth: UnusedElaboratable=no
# A design that is too large is only asked for its size.
"""From a trained network to a streaming accelerator: Verilog, memory files, golden vectors, report."""
import io
import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from cores import bundled, cli
from cores.between import BEAT_BITS
from cores.budget import add_budget, budget_of
from cores.constant_channels import without_constant_channels
from cores.ecp5.board_top import check_link
from cores.ecp5.implement import check_tools, implement
from cores.errors import UserError
from cores.fit import check_fit, check_weights, fits
from cores.folding.allocate import fold
from cores.folding.explore import explore
from cores.opening import (
    add_options,
    model_path,
    open_images,
    opened,
    preprocessing_of,
    quantization_of,
)
from cores.output import OutputFolder, own_version
from cores.page.write import FILE as PAGE
from cores.page.write import render
from cores.pixels import samples, stored
from cores.plots import png, trade_off
from cores.quantization.agreement import measure
from cores.quantization.quality import advice, enough, quality, summary
from cores.report import report, table
from cores.stages import ENGINES, Engine
from cores.thresholds.report import figures as figures_of
from cores.thresholds.report import summary as summary_of
from cores.thresholds.report import table as curve
from cores.thresholds.search import halves, search
from cores.top import Top, output_arrays
from cores.vivado.fusesoc import core_file
from cores.vivado.write import add_vivado
from cores.wrapper.write import add_rtl
from platforms import UnknownBoard, board
from sim import pictures, reference
from sim.cycles.model import model_network

MODELLED = 8            # pictures that the cycle model is given
GOLDEN = 100            # pictures kept as golden vectors
SIMULATED_CYCLES = 2_000_000    # that the simulation told of at the end takes, about
COMPARED = 0.01         # share of constant channels from which a design that keeps them is explored as well
EXAMPLE = "python -m cores.build --board zcu102 --dsp 128"


def parser():
    result = cli.Parser("cores.build", __doc__, EXAMPLE)
    add = result.add_argument
    add("--model", default=bundled.NAME, metavar="FILE.onnx|NAME",
        help=f"ONNX file, float or quantized, or the bundled network {bundled.NAME!r} (default)")
    add("--calib", type=Path, metavar="PICTURES",
        help="folder of pictures, or .npz, to quantize a float network by")
    add_options(add)
    add("--out", type=Path, metavar="DIR", help="output folder (default build/BOARD)")
    add("--engine", choices=tuple(ENGINES), default="sparse",
        help="to measure against: dense, the same design with zero skipping off; window, convolutions with the "
             "published window engine; window-best, that engine at its best (default sparse)")
    add("--images", type=Path, metavar="PICTURES",
        help="folder of pictures, or .npz, to choose the folding by and to make golden vectors of "
             "(default: those of --calib, or the bundled network's; noise for others)")
    add_budget(result)
    add("--threshold-loss", type=cli.percentage, metavar="LOSS",
        help="make small activations zero: as many as cost at most this much accuracy on half of the pictures (top-1 agreement "
             "without labels; noise of outputs that are no classes); the other half tests it. Like 0.5%% (default: none)")
    add("--axis-bits", type=int, choices=(32, 64, 128, 256, 512), default=BEAT_BITS,
        help=f"width of the AXI4-Streams' TDATA (default {BEAT_BITS})")
    add("--no-counters", action="store_false", dest="counters",
        help="skipstone_axi without counters of what each stage does")
    add("--bitstream", action="store_true",
        help="for a board with an ECP5: synthesise, place and route with open tools, which takes minutes, and leave skipstone.bit")
    add("--no-fit", action="store_true", help="build also what the board does not hold")
    return result


def main(argv=None):
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)
    return cli.guarded(lambda: build(args), UnknownBoard, pictures.PicturesError, RuntimeError)


def check_options(args):
    """Refuse, before any work is done, a model that is not there and options that do not go together."""
    model_path(args.model)
    if args.threshold_loss is not None and args.engine == "dense":
        raise UserError("--threshold-loss saves nothing with --engine dense, which multiplies zeros too; leave one of them out")
    if args.threshold_loss is not None and not (args.images or args.calib or args.model == bundled.NAME):
        raise UserError("--threshold-loss needs pictures to measure the loss on; give them by --images")


def build(args):
    check_options(args)
    console = cli.console()
    target = board(args.board)
    if args.bitstream:
        if target.family != "ecp5":
            raise UserError(f"--bitstream is for boards with an ECP5; for {target.name}, run what the build leaves in vivado/")
        check_tools()
    folder = OutputFolder(args.out or Path("build", args.board))
    clock = args.clock or target.clock_mhz
    with console.status("importing") as status:
        options = quantization_of(args)
        network, notes, preprocessing, *models = opened(
            args.model, args.calib, preprocessing_of(args), **options)
        images, labels = open_images(args, network)
        if models[1] is not None:
            status.update("measuring the quantization")
            quantization = quality(network, measure(
                network, *models, images[:enough(network)], preprocessing), options)
        else:
            quantization = None
        engine = Engine.named(args.engine, target.mac, args.serial)

        status.update("choosing the folding")
        whole, budget = network, budget_of(args, target, clock)
        network, removed = without_constant_channels(whole)
        if args.bitstream:
            check_link(network)
        if not args.no_fit:
            check_weights(network, target)
        thresholds = None
        if args.threshold_loss is None:
            found = explore(network, images, engine, budget, target)
        else:
            result = thresholded(args, whole, images, labels, engine, budget, target, status)
            whole, found, thresholds = result.chosen.network, result.chosen.exploration, figures_of(result, labels)
            removed = without_constant_channels(whole)[1]
            test = halves(len(images))[1]
            images, labels = images[test], None if labels is None else labels[test]
        network, profile, design, predicted = found.network, found.profile, found.design, found.predicted
        if not args.no_fit:
            check_fit(network, design, engine, predicted[0], target)
        status.update("modelling the pipeline")
        modelled = None if engine.window else model(found, engine)

        status.update("computing golden vectors")
        kept = len(images) if thresholds else GOLDEN       # the whole half that tests the thresholds
        images = images[:kept]
        outputs = reference.run_outputs(network, stored(network, images))
        golden = {"images": images}
        for name, array in zip(network.outputs, output_arrays(network)):
            golden[array] = samples(network.tensors[name], outputs[name])
        if labels is not None:
            golden["labels"] = labels[:kept]
        folder.add("golden.npz", npz(golden))

        status.update("writing Verilog")
        top = Top(network, design=design, stages=fold(network, design, engine),
                  keep_zeros=engine.keep_zeros, beat_bits=args.axis_bits)
        registers = add_rtl(folder, network, top, counters=args.counters)
        memories = [Path(name).name for name in folder.written if name.endswith(".hex")]
        implemented = None
        if args.bitstream:
            status.update("synthesising, placing and routing, which takes minutes")
            implemented = implement(target, network, folder.text("rtl/skipstone.v"),
                                    {name: folder.text(f"rtl/{name}") for name in memories},
                                    beat_bits=args.axis_bits, clock_mhz=clock)
            folder.add("skipstone.bit", implemented.bitstream)
            folder.add("nextpnr.log", implemented.log)
        if target.vivado:
            add_vivado(folder, target, registers, memories, clock_mhz=clock)
        folder.add("skipstone.core", core_file(target, registers, memories, network.name))

        constant = None
        if removed:
            constant = {"removed": sum(removed.values()), "of": sum(t.channels for t in whole.tensors.values()),
                        "macs_per_frame_built": sum(reference.macs(network).values())}
            if constant["removed"] >= COMPARED * constant["of"]:
                status.update("choosing a folding with the constant channels kept, to compare")
                constant["if_kept"] = if_kept(whole, images, engine, budget, target)

    figures = report(network, design, engine, profile, modelled=modelled, board=args.board, clock_mhz=clock, whole=whole,
                     predicted=predicted, fits=fits(predicted[0], target))
    if constant:
        figures["constant_channels"] = constant
    if implemented:
        figures.update(implemented.figures)
        figures["origin"].update(dict.fromkeys(implemented.figures, "routed"))
    if quantization:
        figures["quantization"] = quantization
    if thresholds:
        figures["thresholds"] = thresholds
        folder.add("thresholds.png", png(trade_off(network.name, thresholds)))
    folder.add("report.json", json.dumps(figures, indent=2) + "\n")
    folder.add(PAGE, render(network, figures, golden))
    plain, arrays = network.to_arrays()
    folder.add("network.npz", npz(arrays))
    manifest = {
        "skipstone": own_version(), "board": args.board, "clock_mhz": clock, "engine": args.engine,
        "family": engine.family, "model": Path(args.model).name,
        "preprocessing": preprocessing and asdict(preprocessing), "quantization": quantization,
        "budget": {name: getattr(args, name) for name in ("dsp", "multipliers", "fps")},
        "multipliers": figures["multipliers"], "dsp": figures["dsp"],
        "macs_per_frame": figures["macs_per_frame"],
        "cycles_per_frame": figures["cycles_per_frame"],
        "input_ways": design.ways,
        "folding": {name: asdict(folding) for name, folding in design.foldings.items()},
        "axis_bits": args.axis_bits, "build_hash": f"{registers.build:08x}",
        "host": notes, "network": plain, "files": sorted([*folder.written, "build.json"]),
    }
    folder.add("build.json", json.dumps(manifest, indent=1) + "\n")
    folder.save()

    console.print(table(figures, network, target.resources))
    if constant:
        console.print("removed {removed} of {of} channels, constant or unread".format(**constant)
                      + ("; had they stayed, a frame would take {cycles_per_frame:,} cycles, {dsp:,} DSPs and {bram36:g} block memories"
                         .format(**constant["if_kept"]) if constant.get("if_kept") else ""), highlight=False, soft_wrap=True)
    if quantization:
        for line in filter(None, (summary(quantization), advice(quantization))):
            console.print(line, highlight=False, soft_wrap=True)
    if thresholds:
        console.print(curve(thresholds))
        console.print(summary_of(thresholds), highlight=False, soft_wrap=True)
    if implemented:
        console.print(implemented.summary(target, clock), highlight=False, soft_wrap=True)
    for note in notes:
        console.print(note, highlight=False)
    console.print(f"wrote {folder.path}; next, prove it bit-exact in simulation:\n"
                  + (f"  python -m sim.run {shlex.quote(str(folder.path))} --frames {enough_frames(figures)} --stalls 0.3"
                     if args.axis_bits == BEAT_BITS else f"  python -m sim.board {shlex.quote(str(folder.path))}"),
                  highlight=False, soft_wrap=True)


def enough_frames(figures):
    """Frames that a simulation of so many cycles takes, from 4 to 64: fewer hardly have a steady state."""
    return max(4, min(64, SIMULATED_CYCLES // figures["cycles_per_frame"]))


def thresholded(args, network, images, labels, engine, budget, target, status):
    """Search for thresholds; see :func:`cores.thresholds.search.search`."""
    ours, _ = halves(len(images))

    def explored(network):
        status.update("choosing the folding")
        return explore(without_constant_channels(network)[0], images[ours], engine, budget, target)

    def each(sequence, what):
        for number, item in enumerate(sequence, 1):
            status.update(f"{what}: {number} of {len(sequence)}")
            yield item

    return search(network, images, labels, args.threshold_loss, explore=explored, each=each, price=lambda design: (
        design.price if "cycles" in budget else design.price * design.cycles_per_frame))


def model(found, engine):
    """The cycle model of an exploration's design, on the first pictures that it was profiled by."""
    masks = {name: found.profile.mask(name)[:MODELLED] for name in found.network.tensors}
    return model_network(found.network, found.design.foldings, found.design.ways, masks, keep_zeros=engine.keep_zeros)


def if_kept(whole, images, engine, budget, target):
    """What the network would take as a whole, as the report has it; None if nothing that is asked for would be reached."""
    try:
        found = explore(whole, images, engine, budget, target)
    except UserError:
        return None
    predicted, design = found.predicted[0], found.design if engine.window else model(found, engine)
    return {"cycles_per_frame": round(design.cycles_per_frame), "dsp": predicted.dsp, "bram36": predicted.bram36}


def npz(arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


if __name__ == "__main__":
    sys.exit(main())
