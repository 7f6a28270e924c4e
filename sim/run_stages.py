"""The stages of a design one by one in Verilator, on the maps that they read in the whole network."""
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from rich.progress import track
from rich.table import Table

from cores import cli
from cores.emit import FilePlatform
from cores.errors import UserError
from cores.folding.allocate import Design as Layout
from cores.folding.allocate import fold
from cores.folding.profile import Profile
from cores.pixels import stored
from cores.stages import Engine, Folding
from sim import reference, stage_bench
from sim.received import difference
from sim.verilator import SimulationError

__all__ = ["FRAMES", "run_stages"]

FRAMES = 2              # the second one is in steady state
JOBS = 2                # compilers and simulators at a time


@dataclass(frozen=True)
class Row:
    """What a stage did: how many values are wrong, or in one line why it has no output."""
    stage: str
    operator: str
    frames: int
    mismatches: int
    cycles: float | None
    modelled: float
    fault: str = ""


def run_stages(args, design, images, console):
    """Simulate the stages ``args.stage``; returns 1 if one differs from the reference."""
    nodes = chosen(design.network, args.stage)
    if args.wave and len(nodes) > 1:
        raise UserError("A waveform is of one stage; name one with --stage")
    manifest = json.loads((design.folder / "build.json").read_text())
    engine = Engine.named(manifest["engine"], design.family)
    foldings = {name: Folding(**folding) for name, folding in manifest["folding"].items()}
    layout = Layout(manifest["input_ways"], foldings, design.cycles_per_frame)
    stages = fold(design.network, layout, engine)

    count = args.frames or FRAMES
    order = np.arange(count) % len(images)
    with console.status("computing the reference"):
        frames = stored(design.network, images[:count])
        values = reference.run(design.network, frames)
        # The first frame fills the stage: what it costs is not counted.
        profile = Profile(design.network, frames[order[min(1, count - 1):]], keep_zeros=engine.keep_zeros,
                          skip_empty=engine.skip_empty)
    jobs = [Job(design, node, stages[node.name], engine, order, args,
                modelled(profile, node, foldings[node.name])) for node in nodes]
    with ThreadPoolExecutor(JOBS) as pool:
        rows = list(track(pool.map(lambda job: job.run(values), jobs), total=len(jobs),
                          description="simulating", console=console, transient=True))
    show(console, design, rows, args)
    if args.json:
        args.json.write_text(json.dumps([vars(row) for row in rows], indent=2) + "\n")
    return int(any(row.mismatches or row.fault for row in rows))


def chosen(network, names):
    """Nodes of those names, all for "all"."""
    known = {node.name: node for node in network.nodes}
    for name in names:
        if name != "all" and name not in known:
            first = ", ".join(list(known)[:3])
            raise UserError(f"Stage must be all, or one of the {len(known)} of {network.name!r} ({first}, …: report.json "
                            f"has their names), not {name!r}")
    return [node for node in network.nodes if node.name in names or "all" in names]


def modelled(profile, node, folding):
    """Cycles per frame of a stage: of its work, or of the beats that it reads or makes."""
    return max(profile.cycles(node, folding), profile.beats(node.output, folding.out_ways),
               *(profile.beats(name, folding.ways) for name in node.inputs))


@dataclass(frozen=True, eq=False)
class Job:
    """A stage to be simulated."""
    design: object
    node: object
    component: object
    engine: Engine
    order: np.ndarray
    args: object
    modelled: float

    elaboration = threading.Lock()      # Amaranth does one at a time

    def run(self, values):
        """Emit, compile and simulate; returns the Row."""
        number = self.design.network.nodes.index(self.node)
        platform = FilePlatform()
        with self.elaboration:
            text = stage_bench.emit(self.component, platform)
        missing = [name for name in platform.files if not (self.design.folder / "rtl" / name).exists()]
        if missing:
            raise UserError(f"{str(self.design.folder)!r} lacks {missing[0]}, a memory of stage {self.node.name!r}: "
                            "it is damaged, or of another version; make it anew with python -m cores.build")
        folder = self.design.folder
        simulation = stage_bench.compile_stage(
            self.component, text, folder=folder / "stages" / f"stage_{number}",
            family=self.engine.family, runtime=folder, trace=self.args.wave is not None)
        expected = values[self.node.output][self.order]
        row = self.node.name, self.node.op, len(expected)
        try:
            got = stage_bench.stream(
                simulation, self.component, [values[name][self.order] for name in self.node.inputs],
                expected.shape, keep_zeros=self.engine.keep_zeros, cwd=self.design.folder / "rtl",
                seed=self.args.seed, stalls=self.args.stalls, wave=self.args.wave,
                patience=round(100_000 + 2 * self.modelled / (1 - self.args.stalls)))
        except (SimulationError, ValueError) as error:
            return Row(*row, expected.size, None, self.modelled, " ".join(str(error).split()))
        wrong = int((got.maps != expected).sum())
        fault = difference(expected, got.maps) or (f"{got.idle} beats carry nothing" if got.idle else "")
        return Row(*row, wrong + got.idle, got.cycles, self.modelled, fault)


def show(console, design, rows, args):
    """Print a line for each stage, and what is wrong with it."""
    table = Table(title=f"{design.network.name}, stages on their own, stalls {args.stalls:g}")
    for column in ("stage", "operator", "frames", "mismatches", "cycles per frame", "modelled"):
        table.add_column(column, justify="left" if column in ("stage", "operator") else "right")
    for row in rows:
        table.add_row(cli.short(row.stage), row.operator, str(row.frames), f"{row.mismatches:,}",
                      "-" if row.cycles is None else f"{row.cycles:,.0f}", f"{row.modelled:,.0f}")
    console.print(table)
    for row in rows:
        if row.fault:
            console.print(f"{row.stage}: {row.fault}", highlight=False, soft_wrap=True)
