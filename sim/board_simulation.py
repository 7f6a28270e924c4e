"""Compile a built design behind its registers, and run sim.board_bench on it, by cocotb in Verilator."""
import hashlib
import json
import logging
import os
import sys
import threading
from pathlib import Path

from sim.verilator import SimulationError, drop_precompiled, environment, makeable, primitives

__all__ = ["simulate"]

TOP = "skipstone_axi"
QUICK = 200_000         # cycles that are simulated sooner than a compiler optimises


def simulate(design, scratch, say, *, frames=0, resets=0, seed=0, bad_frames=True):
    """Run sim.board_bench on the design; returns what it reports.

    ``say`` is told what is under way.

    Raises
    ------
    SimulationError
        If cocotb is missing, or a test stopped early.
    """
    try:
        from cocotb_tools.runner import get_results, get_runner
    except ImportError as error:
        raise SimulationError("cocotb and cocotbext-axi are needed: pip install -e '.[test]'") from error
    folder = design.folder.resolve()
    task, progress = scratch / "task.json", scratch / "progress"
    cycles = round(design.cycles_per_frame)
    task.write_text(json.dumps({
        "folder": str(folder), "result": str(scratch / "result.json"), "progress": str(progress),
        "frames": frames, "resets": resets,
        "seed": seed, "bad_frames": bad_frames, "horizon": 3 * cycles + 200,
        "patience": 100_000 + 2 * (len(design.network.nodes) + 2) * cycles}))
    ended = threading.Event()
    follower = threading.Thread(target=_follow, args=(progress, ended, say), daemon=True)
    before, repository = dict(os.environ), Path(__file__).resolve().parents[1]
    logging.getLogger("cocotb").setLevel(logging.WARNING)
    try:
        work = cycles * (frames + 3 * resets)
        os.environ.update(environment("-O1" if work > QUICK else "-O0")[1])
        runner = get_runner("verilator")
        say("compiling the simulator")
        build = (folder if makeable(folder) else scratch) / "verilator-axi"
        _compile(runner, design, build, scratch)
        follower.start()
        results = runner.test(
            hdl_toplevel=TOP, hdl_toplevel_lang="verilog", test_module="sim.board_bench", build_dir=build,
            test_dir=folder / "rtl", results_xml=scratch / "results.xml", log_file=scratch / "test.log",
            extra_env={"SKIPSTONE_BOARD": str(task), "COCOTB_LOG_LEVEL": "WARNING",
                       "PYTHONPATH": os.pathsep.join([str(folder), str(repository), *sys.path])})
        failed = get_results(results)[1]
    except (RuntimeError, SystemExit) as error:
        raise SimulationError(f"cocotb: {error} {_last(scratch)}") from error
    finally:
        ended.set()
        os.environ.clear()
        os.environ.update(before)
    if failed:
        raise SimulationError(f"{failed} tests of sim.board_bench stopped early: {_last(scratch)}")
    return json.loads((scratch / "result.json").read_text())


def _compile(runner, design, build, scratch):
    """Make the simulator in the folder ``build``, unless that holds one of the same sources."""
    rtl = design.folder.resolve() / "rtl"
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
    drop_precompiled(build)
    stamp.write_text(digest)


def _follow(progress, ended, say):
    """Pass on what the simulator, another process, is about."""
    while not ended.wait(0.5):
        if progress.exists():
            say(progress.read_text())


def _last(scratch):
    """What the simulator said last."""
    for name in ("test.log", "build.log"):
        if (scratch / name).exists():
            lines = [line for line in (scratch / name).read_text().splitlines() if "rror" in line]
            if lines:
                return lines[-1].strip()
    return ""
