"""Drive a built design behind its registers by its own driver, in Verilator: pictures, resets, bad frames."""
import hashlib
import json
import logging
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from cores import cli
from cores.design import open_design
from cores.errors import UserError
from cores.pixels import stored
from cores.report import share
from sim import reference
from sim.run import open_images
from sim.verilator import SimulationError, environment, primitives

TOP = "skipstone_axi"
QUICK = 200_000         # cycles that are simulated sooner than a compiler optimises
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
    expected = products(design.network, images, order)
    with tempfile.TemporaryDirectory() as scratch:
        result = simulate(design, Path(scratch), frames=args.frames, resets=args.resets, seed=args.seed)
    wrong = faults(result, expected)
    show(console, design, args, result, wrong)
    if args.json:
        args.json.write_text(json.dumps(result | {"faults": wrong}, indent=2) + "\n")
    return int(bool(wrong))


def products(network, images, order):
    """Non-zero products of each stage over all frames, by the reference."""
    values = reference.run(network, stored(network, images[:order.max() + 1]))
    times = np.bincount(order)
    total = {}
    for n, weight in enumerate(times):
        one = {name: array[n:n + 1] for name, array in values.items()}
        for name, count in reference.nonzero_macs(network, one)[0].items():
            total[name] = total.get(name, 0) + count * int(weight)
    return {name: count for name, count in total.items() if count or name in {
        node.name for node in network.nodes if hasattr(node, "weights")}}


def simulate(design, scratch, *, frames=0, resets=0, seed=0, bad_frames=True):
    """Run sim.board_bench on the design; returns what it reports.

    Raises
    ------
    SimulationError
        If cocotb is missing, or a test stopped early.
    """
    try:
        from cocotb_tools.runner import get_results, get_runner
    except ImportError as error:
        raise SimulationError("cocotb and cocotbext-axi are needed: pip install .[test]") from error
    folder = design.folder.resolve()
    task = scratch / "task.json"
    cycles = round(design.cycles_per_frame)
    task.write_text(json.dumps({
        "folder": str(folder), "result": str(scratch / "result.json"), "frames": frames, "resets": resets,
        "seed": seed, "bad_frames": bad_frames, "horizon": 3 * cycles + 200,
        "patience": 100_000 + 2 * (len(design.network.nodes) + 2) * cycles}))
    before, repository = dict(os.environ), Path(__file__).resolve().parents[1]
    logging.getLogger("cocotb").setLevel(logging.WARNING)
    try:
        work = cycles * (frames + 3 * resets)
        os.environ.update(environment("-O1" if work > QUICK else "-O0")[1])
        runner = get_runner("verilator")
        _compile(runner, design, scratch)
        results = runner.test(
            hdl_toplevel=TOP, hdl_toplevel_lang="verilog", test_module="sim.board_bench", build_dir=folder / "verilator-axi",
            test_dir=folder / "rtl", results_xml=scratch / "results.xml", log_file=scratch / "test.log",
            extra_env={"SKIPSTONE_BOARD": str(task), "COCOTB_LOG_LEVEL": "WARNING",
                       "PYTHONPATH": os.pathsep.join([str(folder), str(repository), *sys.path])})
        failed = get_results(results)[1]
    except (RuntimeError, SystemExit) as error:
        raise SimulationError(f"cocotb: {error} {_last(scratch)}") from error
    finally:
        os.environ.clear()
        os.environ.update(before)
    if failed:
        raise SimulationError(f"{failed} tests of sim.board_bench stopped early: {_last(scratch)}")
    return json.loads((scratch / "result.json").read_text())


def _compile(runner, design, scratch):
    """Build the simulator, unless the folder holds one of the same sources."""
    folder = design.folder.resolve()
    build, rtl = folder / "verilator-axi", folder / "rtl"
    sources = [rtl / name for name in (rtl / "files_axi.f").read_text().split()]
    sources += primitives(design.family)
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    stamp = build / "stamp"
    if stamp.exists() and stamp.read_text() == digest and (build / TOP).exists():
        return
    stamp.unlink(missing_ok=True)
    build.mkdir(exist_ok=True)
    ports = build / "ports.vlt"         # all that Python looks at: the rest may be optimised
    ports.write_text(f'`verilator_config\npublic_flat_rw -module "{TOP}" -var "*"\n')
    runner.build(sources=sources, hdl_toplevel=TOP, build_dir=build, timescale=("1ns", "1ps"),
                 log_file=scratch / "build.log", build_args=[
                     "-Wno-fatal", "-Wno-lint", "-Wno-style", "-O3", "--no-assert", "--no-public-flat-rw",
                     "--output-split", "20000", str(ports)])
    stamp.write_text(digest)


def _last(scratch):
    """What the simulator said last."""
    for name in ("test.log", "build.log"):
        if (scratch / name).exists():
            lines = [line for line in (scratch / name).read_text().splitlines() if "rror" in line]
            if lines:
                return lines[-1].strip()
    return ""


def faults(result, expected):
    """What is wrong, in words."""
    found = []
    if result.get("mismatches"):
        found.append(f"{result['mismatches']} values differ from the golden ones")
    counters = result.get("counters", {})
    for unit, kinds in counters.items():
        if "busy" in kinds and sum(kinds[kind] for kind in ("busy", "starved", "blocked")) != counters["design"]["cycles"]:
            found.append(f"{unit}: busy, starved and blocked do not add up to the cycles")
        if "products" in kinds and kinds["products"] != expected[unit]:
            found.append(f"{unit}: {kinds['products']} non-zero products, not {expected[unit]}")
    for name in ("resets", "bad_frames"):
        if result.get(name, {}).get("wrong"):
            found.append(f"{name.replace('_', ' ')}: {result[name]['wrong']} went wrong")
    return found


def show(console, design, args, result, wrong):
    counters = result.get("counters", {})
    console.print(f"{design.folder}: {args.frames} pictures through the driver: {result['mismatches']} values differ",
                  highlight=False)
    if counters:
        cycles = counters["design"]["cycles"]
        console.print(f"{cycles:,} cycles counted, {counters['design']['frames']} frames; by unit:", highlight=False)
        for unit, kinds in counters.items():
            if "busy" in kinds:
                console.print(f"  {cli.short(unit):32} " + "  ".join(
                    f"{kind} {share(kinds[kind], 1, cycles):6.1%}" for kind in ("busy", "starved", "blocked"))
                    + (f"  {kinds['products']:,} non-zero products" if "products" in kinds else ""), highlight=False)
    if "resets" in result:
        console.print("{resets} soft resets, {in_input} of them in a frame at the input, {in_output} in one at the "
                      "output: {wrong} went wrong".format(**result["resets"]), highlight=False)
    console.print("{cases} frames too short or too long: {wrong} went wrong".format(**result["bad_frames"]),
                  highlight=False)
    for fault in wrong:
        print(fault, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
