"""Run a built design, or its stages, in Verilator and compare every output with the NumPy reference."""
import json
import sys
import time
from pathlib import Path

import numpy as np

from cores import cli
from cores.between import BEAT_BITS
from cores.design import open_design, read_arrays, read_report
from cores.errors import UserError
from cores.fit import counted, number
from cores.page.write import write
from cores.pixels import on_bus, samples, stored
from cores.report import share
from cores.top import output_ports
from sim import axi, pictures, reference
from sim.cycles.design import Pictured
from sim.received import Received
from sim.run_stages import FRAMES, run_stages
from sim.verilator import Port, SimulationError, compile_design, primitives

BATCH = 16              # frames whose maps are held in memory at a time
MODELLED = 32           # frames that the cycle model is given, whose maps are held in memory all at once
EXAMPLE = "python -m sim.run build/zcu102 --frames 64 --stalls 0.3"
SIGNALS = "tdata", "tvalid", "tready", "tlast"


def parser():
    result = cli.Parser("sim.run", __doc__ + " A difference exits with code 1.", EXAMPLE)
    add = result.add_argument
    add("folder", type=Path, metavar="DIR", help="what cores.build wrote")
    add("--stage", action="append", metavar="NAME|all",
        help="instead of the whole design, this stage on its own, on what it reads in the network; "
             "may be repeated")
    add("--frames", type=cli.frames, metavar="N",
        help="frames back to back, pictures repeated as needed (default: every picture once; "
             f"{FRAMES} for stages)")
    add("--images", type=Path, metavar="PICTURES",
        help="folder of pictures, or .npz with images and labels (default: the design's golden ones)")
    add("--stalls", type=cli.probability, default=0.0, metavar="P",
        help="probability of a stall in each cycle, on both ports (default 0)")
    add("--seed", type=cli.seed, default=0, metavar="N", help="of the stalls (default 0)")
    add("--wave", type=Path, metavar="FILE", help="write a waveform (VCD) there; slow")
    add("--json", type=Path, metavar="FILE", help="write the figures there")
    return result


def main(argv=None):
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)
    return cli.guarded(lambda: run(args), pictures.PicturesError, SimulationError)


def run(args):
    """Simulate; returns 1 if anything differs."""
    console = cli.console()
    for path in filter(None, (args.wave, args.json)):
        cli.check_writable(path)
    design = open_design(args.folder)
    images, labels = open_images(args, design)
    if design.axis_bits != BEAT_BITS and not args.stage:
        raise UserError(f"{str(design.folder)!r} has streams of {design.axis_bits} bits, not {BEAT_BITS}: simulate it with "
                        f"python -m sim.board {design.folder}")
    if args.stage:
        return run_stages(args, design, images, console)
    report = read_report(design.folder)
    count = args.frames or len(images)
    order = np.arange(count) % len(images)
    with console.status("computing the reference") as status:
        frames = stored(design.network, images)
        used = frames[:min(count, len(frames))]
        targets = [design.network.tensors[name] for name in design.network.outputs]
        started = time.perf_counter()
        values = reference.run_outputs(design.network, used)
        reference_fps = len(used) / (time.perf_counter() - started)
        expected = [samples(target, values[target.name])[order] for target in targets]

        status.update("compiling the design with Verilator")
        simulation = simulator(design, trace=args.wave is not None)
        status.update(f"streaming {count} frames")
        raw, bits = on_bus(design.network, images)
        data, last = axi.pack(raw[order], bits)
        outputs, _, hertz = simulation.run(
            [(data, last)], [count * axi.beats_per_frame(target) for target in targets],
            cwd=design.folder / "rtl", seed=args.seed, stalls=args.stalls, wave=args.wave,
            patience=patience(design, args.stalls))
    received = [Received(*both) for both in zip(targets, expected, outputs)]
    ends = np.max([output.ends for output in received], axis=0)
    steady = steady_cycles(ends)
    result = {"mismatches": sum(output.mismatches for output in received),
              "accuracy": accuracy(received[0], labels, order)}
    result.update(
        figures(design, used, order, steady), frames=count, cycles_first_frame=int(ends[0]) + 1,
        simulator_hz=round(hertz), reference_fps=round(reference_fps, 1),
        outputs={output.name: output.mismatches for output in received})
    result["modelled"] = beside(design, images, order[:MODELLED], ends)
    show(console, design, result, args)
    record(design, report, result, args)
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")
    if result["mismatches"]:
        for output in received:
            for fault in output.faults():
                print(f"{output.name}: {fault}" if len(received) > 1 else fault, file=sys.stderr)
        return 1
    return 0


def beside(design, images, order, ends):
    """What the cycle model says of the first frames, which it takes without stalls, and the simulation of the same.

    None for an engine that it does not know.
    """
    pictured = Pictured(design, images, order)
    if any(folding.fine is not None for folding in pictured.foldings.values()):
        return None
    modelled = pictured.model()
    return {"frames": len(order), "cycles_first_frame": modelled.first_frame,
            "cycles_per_frame": modelled.cycles_per_frame,
            "simulated_cycles_per_frame": steady_cycles(ends[:len(order)])}


def steady_cycles(ends):
    """Cycles per frame between the ends of the first and the last one; of a single frame, all."""
    return float((ends[-1] - ends[0]) / (len(ends) - 1)) if len(ends) > 1 else float(ends[0] + 1)


def record(design, report, result, args):
    """Put the figures of the run into report.json and its page."""
    report["simulated"] = {
        "images": "golden.npz" if args.images is None else args.images.name, "stalls": args.stalls,
        **{key: result[key] for key in ("frames", "mismatches", "accuracy", "cycles_per_frame", "cycles_first_frame",
                                        "utilisation", "mac_per_dsp_cycle")}}
    report["origin"]["simulated"] = "simulated"
    write(design.folder, report)


def accuracy(output, labels, order):
    """Share of the frames whose largest value is that of their label, None without labels."""
    if labels is None:
        return None
    answers = output.got.reshape(len(output.got), -1).argmax(1)
    return float((answers == labels[order]).mean())


def figures(design, used, order, steady):
    """The figures that --json writes, but for those of the run itself."""
    network = design.network
    macs = design.macs_per_frame
    per_stage = {node.name: 0 for node in network.nodes}
    # In steady state the first frame's work is not counted: it filled the pipeline.
    counted = order[1:] if len(order) > 1 else order
    times = np.bincount(counted, minlength=len(used))
    for weight in set(times) - {0}:
        alike = used[times == weight]
        for start in range(0, len(alike), BATCH):
            values = reference.run(network, alike[start:start + BATCH])
            for name, products in reference.nonzero_macs(network, values)[0].items():
                per_stage[name] += products * int(weight)
    per_stage = {name: products / len(counted) for name, products in per_stage.items()}
    nonzero = sum(per_stage.values())
    return {
        "cycles_per_frame": steady, "macs_per_frame": macs, "nonzero_macs_per_frame": nonzero,
        "multipliers": design.multipliers, "dsp": design.dsp,
        "utilisation": share(nonzero, design.multipliers, steady),
        "mac_per_dsp_cycle": share(macs, design.dsp, steady),
        "stages": {name: {"multipliers": design.stage_multipliers[name],
                          "utilisation": products / design.stage_multipliers[name] / steady}
                   for name, products in per_stage.items() if design.stage_multipliers[name]},
    }


def patience(design, stalls):
    """Cycles without any transfer that mean a deadlock: between two frames nothing may move."""
    frames = len(design.network.nodes) + 2          # that the pipeline may hold
    return round(100_000 + 2 * frames * design.cycles_per_frame / (1 - stalls))


def simulator(design, *, trace):
    """The compiled design."""
    sources = [design.folder / "rtl" / name
               for name in (design.folder / "rtl" / "files.f").read_text().split()]
    sources += primitives(design.family)
    outputs = [port(name, "tuser") for name in output_ports(design.network)]
    return compile_design(sources, top="skipstone", inputs=[port("s_axis")], outputs=outputs, trace=trace,
                          folder=design.folder / ("verilator-trace" if trace else "verilator"),
                          runtime=design.folder)


def port(name, *more):
    """Verilog names of an AXI4-Stream."""
    return Port(*(f"{name}_{signal}" for signal in (*SIGNALS, *more)))


def open_images(args, design):
    """Pictures of the design's input size, and their labels or None."""
    if args.images is not None:
        source = design.network.tensors[design.network.input]
        images, labels, _ = pictures.load(args.images, source.height, source.width, source.channels)
        return images, labels
    try:
        golden = read_arrays(design.folder / "golden.npz")
        return golden["images"], golden.get("labels")
    except (ValueError, KeyError) as error:
        raise UserError(f"{str(design.folder)!r} has no readable golden vectors ({error}); "
                        "make it anew with python -m cores.build") from error


def show(console, design, result, args):
    """Print the figures."""
    console.print(
        f"{design.folder}: {result['frames']} frames, stalls {args.stalls:g}: "
        f"{result['mismatches']} mismatches"
        + ("" if result["accuracy"] is None else f", accuracy {result['accuracy']:.1%}"), highlight=False)
    console.print(
        f"cycles per frame: {result['cycles_first_frame']:,} for the first, "
        f"{result['cycles_per_frame']:,.0f} steady"
        f" ({design.clock_mhz * 1e6 / result['cycles_per_frame']:,.0f} frames/s at "
        f"{design.clock_mhz:g} MHz); simulated at {result['simulator_hz']:,} cycles/s", highlight=False)
    if result["modelled"] is not None:
        show_modelled(console, result["modelled"])
    if result["utilisation"] is None:
        return
    console.print(
        ("" if result["mac_per_dsp_cycle"] is None else
         f"{result['mac_per_dsp_cycle']:.2f} MAC per DSP and cycle ({counted(result['dsp'], 'DSP')}), ") +
        f"{result['utilisation']:.1%} of the slots of {number(result['multipliers'])} multipliers on "
        "non-zero products; by stage:", highlight=False)
    for name, stage in result["stages"].items():
        console.print(f"  {cli.short(name):32} {number(stage['multipliers']):>6} multipliers {stage['utilisation']:7.1%}",
                      highlight=False)


def show_modelled(console, modelled):
    """Print what the cycle model says."""
    off = modelled["cycles_per_frame"] / modelled["simulated_cycles_per_frame"] - 1
    console.print(
        f"modelled without stalls: {modelled['cycles_first_frame']:,} for the first, {modelled['cycles_per_frame']:,.0f} "
        f"steady, {round(off, 4) + 0.0:+.2%} of the simulation of these {modelled['frames']} frames", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
