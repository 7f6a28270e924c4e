"""Run a built design in Verilator on pictures, and compare every output with the NumPy reference."""
import json
import sys
from pathlib import Path

import numpy as np

from cores import cli
from cores.design import open_design, read_arrays
from cores.errors import UserError
from cores.pixels import on_bus, sample_bits, samples, stored
from cores.report import share
from sim import axi, pictures, reference
from sim.verilator import Port, SimulationError, compile_design

BATCH = 16              # frames whose maps are held in memory at a time
EXAMPLE = "python -m sim.run build/zcu102 --frames 64 --stalls 0.3"
INPUT = Port("s_axis_tdata", "s_axis_tvalid", "s_axis_tready", "s_axis_tlast")
OUTPUT = Port("m_axis_tdata", "m_axis_tvalid", "m_axis_tready", "m_axis_tlast", "m_axis_tuser")


def parser():
    result = cli.Parser("sim.run", __doc__ + " A difference exits with code 1.", EXAMPLE)
    add = result.add_argument
    add("folder", type=Path, metavar="DIR", help="what cores.build wrote")
    add("--frames", type=cli.frames, metavar="N",
        help="frames back to back, pictures repeated as needed (default: every picture once)")
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
    count = args.frames or len(images)
    order = np.arange(count) % len(images)
    with console.status("computing the reference") as status:
        frames = stored(design.network, images)
        used = frames[:min(count, len(frames))]
        target = design.network.tensors[design.network.outputs[0]]
        expected = samples(target, reference.run_outputs(design.network, used)[target.name])[order]

        status.update("compiling the design with Verilator")
        simulation = simulator(design, trace=args.wave is not None)
        status.update(f"streaming {count} frames")
        raw, bits = on_bus(design.network, images)
        data, last = axi.pack(raw[order], bits)
        beats = axi.beats_per_frame(target)
        outputs, _, hertz = simulation.run(
            [(data, last)], [count * beats], cwd=design.folder / "rtl", seed=args.seed,
            stalls=args.stalls, wave=args.wave, patience=patience(design, args.stalls))
    data, last, user, when = outputs[0]
    ends = when.reshape(count, beats)[:, -1]
    got = axi.unpack(data, (count, *target.shape), sample_bits(target), target)
    framing = axi.framing_faults(last, user, beats)

    steady = float((ends[-1] - ends[0]) / (count - 1)) if count > 1 else float(ends[0] + 1)
    result = figures(design, used, order, expected, got, labels, steady)
    result.update(frames=count, cycles_first_frame=int(ends[0]) + 1, simulator_hz=round(hertz),
                  mismatches=result["mismatches"] + framing)
    show(console, design, result, args)
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")
    if result["mismatches"]:
        report_difference(expected, got, framing)
        return 1
    return 0


def figures(design, used, order, expected, got, labels, steady):
    """The figures that --json writes, but for those of the run itself."""
    network = design.network
    macs = sum(reference.macs(network).values())
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
    accuracy = None
    if labels is not None:
        answers = got.reshape(len(got), -1).argmax(1)
        accuracy = float((answers == labels[order]).mean())
    return {
        "mismatches": int((expected != got).sum()), "accuracy": accuracy,
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
    if design.family == "dsp48e2":
        sources.append(Path(__file__).with_name("dsp48e2.v"))
    return compile_design(sources, top="skipstone", inputs=[INPUT], outputs=[OUTPUT], trace=trace,
                          folder=design.folder / ("verilator-trace" if trace else "verilator"))


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
    if result["utilisation"] is None:
        return
    console.print(
        f"{result['mac_per_dsp_cycle']:.2f} MAC per DSP and cycle ({result['dsp']} DSPs), "
        f"{result['utilisation']:.1%} of the slots of {result['multipliers']} multipliers on "
        "non-zero products; by stage:", highlight=False)
    for name, stage in result["stages"].items():
        console.print(f"  {cli.short(name):32} {stage['multipliers']:5} multipliers {stage['utilisation']:7.1%}",
                      highlight=False)


def report_difference(expected, got, framing):
    """Print where the first difference is."""
    where = np.argwhere(expected != got)
    if len(where):
        frame, y, x, channel = (int(n) for n in where[0])
        print(f"first difference: frame {frame}, pixel ({y}, {x}), channel {channel}: "
              f"expected {expected[frame, y, x, channel]}, got {got[frame, y, x, channel]}",
              file=sys.stderr)
    if framing:
        print(f"{framing} beats have TLAST or TUSER wrong", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
