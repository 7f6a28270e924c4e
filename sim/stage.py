# amaranth: UnusedElaboratable=no
"""Single convolution stages in RTL: cycles, utilisation, and the NumPy reference bit for bit.

Without a shape the yardstick stages of docs/figures.md are run; with one, that stage.
"""
import json
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.table import Table

from cores import cli, graph
from cores.emit import FilePlatform
from cores.synthesis import FAMILIES, synthesise
from cores.timing import longest_paths
from hdl.clusters import cluster_count
from hdl.conv import Conv
from hdl.digits import digit_count
from hdl.walk import Walk
from sim import reference, stage_bench
from sim.verilator import SimulationError

WEIGHT_WIDTH = 8
EXAMPLE = "python -m sim.stage --kernel 3 --channels 64 --filters 64 --size 28 --lanes 4 --pes 16"


@dataclass(frozen=True)
class Stage:
    """A square convolution with padding ``kernel // 2``, its folding and its input."""
    kernel: int = 3
    channels: int = 64
    filters: int = 64
    size: int = 28
    lanes: int = 4
    pes: int = 16
    row_lanes: int = 1
    ways: int = 1
    out_ways: int = 1
    zeros: float = 0.5
    engine: str = "sparse"
    family: str = "behavioural"
    serial: bool = False

    @property
    def walk(self):
        return Walk(self.size, self.size, (self.kernel, self.kernel), padding=(self.kernel // 2,) * 4)

    @property
    def label(self):
        return (f"{self.kernel}x{self.kernel} {self.channels} to {self.filters}, {self.size}x{self.size}"
                + (", serial" if self.serial else ""))


YARDSTICKS = (
    Stage(), Stage(lanes=8, pes=8), Stage(kernel=1, channels=256, size=14),
    Stage(zeros=1.0), Stage(lanes=8, pes=8, zeros=1.0),
    Stage(kernel=1, channels=256, size=14, zeros=1.0),
    Stage(engine="dense"), Stage(lanes=8, pes=8, engine="dense"),
    Stage(kernel=1, channels=256, size=14, engine="dense"),
)


def build(stage, *, seed=0):
    """The stage with random weights as a component, and as a node of the integer graph."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(-128, 128, (stage.filters, stage.kernel, stage.kernel, stage.channels))
    bias = rng.integers(-5000, 5000, stage.filters)
    spread = 74 * 128 * (stage.kernel**2 * stage.channels * (1 - 0.5 * stage.zeros)) ** 0.5
    exponent = int(np.log2(spread * (1 << 17) / 128))
    requantization = graph.Requantization(
        rng.integers(1 << 16, 1 << 17, stage.filters),
        rng.integers(exponent, exponent + 2, stage.filters), 0, 255)
    node = graph.Conv("stage", "in", "out", weights, bias, requantization, padding=stage.walk.padding)
    return node, Conv(
        8, low=0, high=255, walk=stage.walk, weights=weights, bias=bias, weight_width=WEIGHT_WIDTH,
        multiplier=requantization.multiplier, shift=requantization.shift, out_low=0, out_high=255,
        out_shape=8, pes=stage.pes, lanes=stage.lanes, row_lanes=stage.row_lanes, ways=stage.ways,
        out_ways=stage.out_ways, keep_zeros=stage.engine == "dense", family=stage.family, serial=stage.serial)


def synthesised(stage, family):
    """Figures of a stage after Yosys, everything included."""
    _, component = build(replace(stage, family=FAMILIES[family]))
    platform = FilePlatform()
    with tempfile.TemporaryDirectory() as folder:
        netlist = Path(folder, "netlist.json")
        cells = synthesise(stage_bench.emit(component, platform), top="stage", family=family, files=platform.files,
                           netlist=netlist)
        multipliers = component.multipliers / component.product_cycles
        longest, = longest_paths(json.loads(netlist.read_text())["modules"]["stage"], 1)
    return {
        "stage": stage.label, "family": family, "lanes": stage.lanes * stage.row_lanes, "pes": stage.pes,
        "multipliers": multipliers, "lut": cells.lut, "ff": cells.ff, "dsp": cells.dsp,
        "dsp_predicted": component.dsp_count, "bram36": cells.bram36,
        "lut_per_multiplier": cells.lut / multipliers, "logic_levels": longest.levels,
        "longest_path": f"{longest.source} -> {longest.target}",
    }


def measure(stage, *, frames=4, seed=0, stalls=0.0, runtime=None):
    """Simulate ``frames`` frames back to back; returns the figures of a stage as a dict.

    ``runtime`` is as :func:`sim.verilator.compile_design` has it.

    Raises
    ------
    AssertionError
        If an output differs from the reference.
    """
    node, component = build(stage, seed=seed)
    rng = np.random.default_rng(seed + 1)
    shape = frames, stage.size, stage.size, stage.channels
    x = np.where(rng.random(shape) < stage.zeros, 0, rng.integers(1, 256, shape)).astype(np.int32)
    dense = stage.engine == "dense"
    with tempfile.TemporaryDirectory() as folder:
        platform = FilePlatform()
        simulation = stage_bench.compile_stage(
            component, stage_bench.emit(component, platform), folder=Path(folder), family=stage.family,
            runtime=runtime)
        for name, content in platform.files.items():
            Path(folder, name).write_text(content)
        expected = reference.run_node(node, x)
        result = stage_bench.stream(simulation, component, [x], expected.shape, keep_zeros=dense,
                                    cwd=folder, seed=seed, stalls=stalls)
    got, cycles = result.maps, result.cycles
    assert np.array_equal(got, expected), f"{stage}: {np.argwhere(got != expected)[0]} differs first"
    assert not result.idle, f"{stage}: {result.idle} beats carry nothing"

    multipliers = component.multipliers / component.product_cycles
    nonzero = nonzero_macs(stage, x[1:] if frames > 1 else x) / max(1, frames - 1)
    inside = stage.walk.taps_inside * stage.channels * stage.filters
    return {
        "stage": stage.label, "engine": stage.engine, "zeros": stage.zeros,
        "lanes": stage.lanes * stage.row_lanes, "pes": stage.pes,
        "multipliers": multipliers, "cycles_per_frame": cycles,
        "utilisation": nonzero / multipliers / cycles, "over_dense_bound": cycles * multipliers / inside,
        "over_floor": cycles / floor(stage), "simulator_hz": result.hertz,
    }


def floor(stage):
    """Cycles per frame that a stage takes whatever its input: in each pass over an output pixel, a lane looks up its taps
    inside the map, or multiplies one zero, and drains its sums, those of the last pass for the filters that are left. Both go
    on at once, and one may be passes ahead, so that the larger one of a whole frame counts.
    """
    passes, clusters = -(-stage.filters // stage.pes), cluster_count(stage.pes, stage.out_ways)
    left = stage.filters - (passes - 1) * stage.pes
    drained = (passes - 1) * (stage.pes // stage.out_ways) + max(clusters, -(-left // stage.out_ways))
    axes = [stage.walk.axes(row, stage.row_lanes) for row in range(stage.row_lanes)]
    each = digit_count(WEIGHT_WIDTH) if stage.serial else 1
    looked_up = max(sum(max(each, rows * columns) for _, rows in y.inside for _, columns in x.inside) for y, x in axes)
    return max(passes * looked_up, stage.walk.out_height * stage.walk.out_width * drained)


def nonzero_macs(stage, x):
    """Products with a non-zero activation, over all frames of ``x``."""
    ones = np.ones((1, stage.kernel, stage.kernel, stage.channels), np.int64)
    node = graph.Conv("count", "in", "out", ones, np.zeros(1, np.int64), None, padding=stage.walk.padding)
    return int(reference.conv_sums((x != 0).astype(np.int32), node).sum()) * stage.filters


def parser():
    result = cli.Parser("sim.stage", __doc__, EXAMPLE)
    for name, default, text in (
            ("kernel", 3, "taps each way"), ("channels", 64, "input channels"),
            ("filters", 64, "output channels"), ("size", 28, "height and width of the map"),
            ("lanes", 4, "channel lanes"), ("row-lanes", 1, "kernel row lanes"),
            ("pes", 16, "processing elements per lane"), ("ways", 1, "ways of the input"),
            ("out-ways", 1, "ways of the output")):
        result.add_argument(f"--{name}", type=cli.positive_int, metavar="N", help=f"{text} (default {default})")
    add = result.add_argument
    add("--zeros", type=cli.share, metavar="P", help="share of zero activations (default 0.5)")
    add("--engine", choices=("sparse", "dense"),
        help="dense: zeros are multiplied too (default sparse)")
    add("--serial", action="store_const", const=True, help="multipliers without DSP blocks, which count as the part of one that they are")
    add("--family", choices=tuple(FAMILIES.values()), default="behavioural",
        help="multiply-accumulate primitive (default behavioural)")
    add("--frames", type=cli.frames, default=4, metavar="N", help="frames back to back (default 4)")
    add("--stalls", type=cli.probability, default=0.0, metavar="P",
        help="probability of a stall in each cycle (default 0)")
    add("--seed", type=cli.seed, default=0, metavar="N", help="of weights, images and stalls (default 0)")
    add("--synthesise", action="store_true",
        help="instead of simulating, show what Yosys makes of it for 7-series and UltraScale+")
    add("--json", type=Path, metavar="FILE", help="write the figures there")
    return result


def main(argv=None):
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)
    return cli.guarded(lambda: run(args), ValueError, SimulationError)


def run(args):
    """Show a row per stage; returns 1 if one differs from the reference."""
    if args.json:
        cli.check_writable(args.json)
    given = {name: getattr(args, name) for name in Stage.__dataclass_fields__
             if name != "family" and getattr(args, name) is not None}
    stages = [Stage(**given)] if given else list(
        dict.fromkeys(replace(s, zeros=0.5, engine="sparse") for s in YARDSTICKS if s.kernel == 3)
        if args.synthesise else YARDSTICKS)
    jobs = [(stage, family) for stage in stages for family in FAMILIES] if args.synthesise else [
        (replace(stage, family=args.family), None) for stage in stages]
    for stage, _ in jobs:
        build(stage)            # a parameter out of range is refused before anything is shown
    columns = SYNTHESISED if args.synthesise else SIMULATED
    table = Table(title="Yosys, everything included" if args.synthesise else
                  f"{args.frames} frames back to back, from RTL")
    for column in columns:
        table.add_column(column, justify="left" if column in ("stage", "engine", "family") else "right")
    console, rows = cli.console(), []
    with console.status("") as status, tempfile.TemporaryDirectory() as runtime:
        for stage, family in jobs:
            status.update(f"{stage.label}, {stage.lanes} x {stage.pes}, {family or stage.engine}")
            try:
                row = synthesised(stage, family) if family else measure(
                    stage, frames=args.frames, seed=args.seed, stalls=args.stalls, runtime=runtime)
            except AssertionError as error:
                print(f"error: {error}", file=sys.stderr)
                return 1
            rows.append(row)
            table.add_row(*(form(row) for form in columns.values()))
    console.print(table)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


LAID_OUT = {"lanes x PEs": lambda row: f"{row['lanes']} x {row['pes']}"}
SIMULATED = {
    "stage": lambda row: row["stage"], "engine": lambda row: row["engine"],
    "zeros": lambda row: f"{row['zeros']:.2f}", **LAID_OUT,
    "cycles per frame": lambda row: f"{row['cycles_per_frame']:,.0f}",
    "utilisation": lambda row: f"{row['utilisation']:.3f}",
    "over dense bound": lambda row: f"{row['over_dense_bound']:.3f}",
    "over floor": lambda row: f"{row['over_floor']:.3f}",
}
SYNTHESISED = {
    "stage": lambda row: row["stage"], "family": lambda row: row["family"], **LAID_OUT,
    "LUT": lambda row: f"{row['lut']:,}", "LUT per multiplier": lambda row: f"{row['lut_per_multiplier']:.1f}",
    "FF": lambda row: f"{row['ff']:,}", "DSP": lambda row: str(row["dsp"]),
    "DSP predicted": lambda row: str(row["dsp_predicted"]), "BRAM36": lambda row: f"{row['bram36']:g}",
    "levels": lambda row: str(row["logic_levels"]),
}


if __name__ == "__main__":
    sys.exit(main())
