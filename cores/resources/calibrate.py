"""Fit the resource model: synthesise random stages with Yosys, and solve for its coefficients.

Measurements are kept in a file, to which later runs add; the coefficients are written to
cores/resources/coefficients.py. Give the file another name after the hardware has changed.
"""
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.table import Table
from scipy.optimize import nnls

from cores import cli
from cores.emit import ROM_MODULE, FilePlatform, verilog
from cores.errors import UserError
from cores.resources import amounts
from cores.resources.coefficients import COEFFICIENTS
from cores.resources.predict import logic_terms, memory_blocks
from cores.resources.random_stages import KINDS, PARTS, random_part, random_stage
from cores.resources.stage_amounts import stage_terms
from cores.stages import Engine, component
from cores.synthesis import FAMILIES, Cells, synthesise
from hdl.conv import Conv
from hdl.pool import Pool
from hdl.requantize import Requantize

EXAMPLE = "python -m cores.resources.calibrate --rounds 20 --measured build/measured.jsonl"
TABLE = Path(__file__).with_name("coefficients.py")
# Parts that say more when they are alone, and the stages they are taken from.
SPLIT = {"window": ("conv", "wide conv"), "dot": ("wide conv", "conv"), "accumulator": ("conv", "wide conv"),
         "requantize": ("conv", "conv"), "weigh": ("depthwise", "depthwise"), "reduce": ("pool", "depthwise"),
         "digits": ("without DSP", "without DSP")}
WINDOW = "window conv"      # the published engine
# Kinds that have terms of their own, and what the names of these begin with.
OWN_TERMS = {WINDOW: ("arbiter", "densify", "lines", "slots"), "digits": ("digit",)}
# Its many memories of weights take Yosys minutes as logic; they are left out.
NO_ROM = ROM_MODULE.replace("module skipstone_rom", "(* blackbox *) module skipstone_rom")
HELD_OUT = 5            # every so many samples of a kind are predicted, not fitted to
RIDGE = 1e-3            # what a coefficient costs: those that the samples do not tell apart share
FITTED = "xc7", "xcup"      # what the others have is scaled
# Known from the form of the hardware (docs/mac.md): LUTs and flip-flops. The samples are too small
# to tell a multiplexer of many sums from what else grows with the PEs.
KNOWN = {"dot mux": (1, 0), "dot held": (0, 1), "dot carries": (1, 1), "sums adder": (1, 1)}


def measure(kind, seed):
    """Synthesise one random stage or part; even seeds for 7-series, odd ones for UltraScale+."""
    family, _ = _engine(kind, seed)
    platform = FilePlatform()
    rom = NO_ROM if kind == WINDOW else ROM_MODULE
    text = rom + verilog(sample(kind, seed)[0], name="stage", platform=platform)
    cells = synthesise(text, top="stage", family=family, files=platform.files)
    return {"kind": kind, "seed": seed, "cells": cells.by_type}


def sample(kind, seed):
    """A component, its memories, and its amounts of logic."""
    _, engine = _engine(kind, seed)
    if kind in KINDS:
        network, folding = random_stage(kind, seed)
        node, = network.nodes
        return component(network, node, folding, engine), *stage_terms(network, node, folding, engine)
    if kind in PARTS:
        unit, given = random_part(kind, seed)
        if kind == "queue":
            return unit, unit.memories, amounts.queue(unit.depth)
        make = amounts.axi_in if kind == "axi_in" else amounts.axi_out
        return unit, unit.memories, make(pixels=given["height"] * given["width"],
                                         channels=given["channels"], ways=given["ways"])
    network, folding = random_stage(SPLIT[kind][seed // 2 % 2], seed)
    unit, amount = _split(kind, component(network, network.nodes[0], folding, engine), seed, engine)
    return unit, unit.memories, amount


def _split(kind, stage, seed, engine):
    """A part of a stage, and its amounts of logic."""
    if kind == "window":
        unit = stage.window
        return unit, amounts.window(
            unit.shape, walk=unit.walk, channels=unit.channels, ways=unit.ways, lanes=unit.lanes,
            row_lanes=unit.row_lanes, passes=unit.passes, groups=unit.groups, windows=unit.windows)
    if kind == "dot" or (kind == "digits" and isinstance(stage, Conv)):
        unit = stage.dots[0]
        return unit, amounts.dots(
            unit.shape, lanes=1, pes=unit.pes, ways=unit.ways, weight_width=unit.weight_width,
            sum_width=unit.sum_width, family=unit.family, serial=unit.serial)
    if kind == "accumulator":
        unit = stage.accumulator
        return unit, amounts.accumulator(
            lanes=unit.lanes, sum_width=unit.sum_width, width=unit.width, filters=len(unit.bias),
            ways=unit.ways, windows=unit.windows)
    if kind == "requantize":
        whole = stage.requantize
        unit = Requantize(
            width=whole.width, multiplier=whole.multiplier, shift=whole.shift, low=whole.low,
            high=whole.high, shape=whole.shape, ways=whole.ways, cycles=(1, 1, 1, 2, 4, 8)[seed // 2 % 6])
        return unit, amounts.requantize(
            width=unit.width, shift_bits=unit.turn_bits, shape=unit.shape, channels=unit.channels,
            ways=unit.ways, family=engine.family, cycles=unit.cycles)
    if kind in ("weigh", "digits"):
        unit = stage.weighs[0][0]
        return unit, amounts.weigh(unit.shape, weight_width=unit.weight_width,
                                   channels=len(unit.weights), count=1, family=engine.family,
                                   serial=unit.serial)
    unit = stage.reduces[0] if isinstance(stage, Pool) else stage.reduces[0][0]
    return unit, amounts.reduce(unit.shape, walk=unit.walk, channels=unit.channels, count=1, op=unit.op,
                                out_width=unit.out_shape.width)


def _engine(kind, seed):
    family = FITTED[seed % len(FITTED)]
    engine = Engine(family=FAMILIES[family])
    if kind == WINDOW:
        engine = replace(engine, window=True, skip_empty=seed // 2 % 2 == 1, paired=seed // 4 % 2 == 1)
    return family, engine


class Samples:
    """Measured stages as equations: amounts times coefficients make what memories leave of LUTs and FFs."""

    def __init__(self, rows, given=KNOWN):
        self.rows, self.given = rows, given
        self.held, logic = [], []
        for row in rows:
            _, memories, amount = sample(row["kind"], row["seed"])
            if row["kind"] == WINDOW:
                memories = {size: count for size, count in memories.items() if size.kind != "rom"}
            held = memory_blocks(memories, _engine(row["kind"], row["seed"])[0])
            self.held.append((held.lut, held.ff, held.bram36))
            logic.append(logic_terms(held, amount))
        self.names = sorted({name for amount in logic for name in amount})
        self.amounts = np.array([[amount.get(name, 0) for name in self.names] for amount in logic], float)
        cells = [Cells(row["cells"]) for row in rows]
        self.measured = np.array([[c.lut, c.ff, c.bram36] for c in cells], float)
        self.held = np.array(self.held, float)

    def fit(self, chosen):
        """Coefficients (names, 2) of LUTs and flip-flops, from the samples ``chosen`` (a mask)."""
        known = np.array([self.given.get(name, (0, 0)) for name in self.names], float)
        free = np.array([name not in self.given for name in self.names])
        left = self.measured[:, :2] - self.held[:, :2] - self.amounts @ known
        for n in range(2):
            weight = 1 / np.maximum(self.measured[chosen, n], 50)       # relative errors count
            matrix = self.amounts[chosen][:, free] * weight[:, None]
            scale = np.maximum(np.sqrt((matrix**2).sum(0)), 1e-9)
            # A little of each coefficient costs: those that the samples do not tell apart share.
            known[free, n] = nnls(np.vstack([matrix / scale, RIDGE * np.eye(len(scale))]),
                                  np.append(left[chosen, n] * weight, np.zeros(len(scale))))[0] / scale
        return known

    def predicted(self, coefficients):
        return np.column_stack([self.held[:, :2] + self.amounts @ coefficients, self.held[:, 2]])


def errors(samples, coefficients, chosen):
    """Per kind: samples, mean and largest relative error of LUTs and FFs, wrong counts of BRAM."""
    predicted, kinds = samples.predicted(coefficients), np.array([row["kind"] for row in samples.rows])
    relative = np.abs(predicted[:, :2] / np.maximum(samples.measured[:, :2], 1) - 1)
    for kind in (*KINDS, *PARTS, *SPLIT):
        mask = chosen & (kinds == kind)
        if mask.any():
            yield (kind, int(mask.sum()), *relative[mask].mean(0), *relative[mask].max(0),
                   int((predicted[mask, 2] != samples.measured[mask, 2]).sum()))


def held_out(rows):
    """Which samples to predict rather than fit to: every fifth of each kind."""
    seen, mask = {}, []
    for row in rows:
        seen[row["kind"]] = seen.get(row["kind"], 0) + 1
        mask.append(seen[row["kind"]] % HELD_OUT == 0)
    return np.array(mask)


def table_text(coefficients):
    """Python source of the coefficients."""
    lines = [f'    "{name}": ({lut:g}, {ff:g}),\n' for name, (lut, ff) in sorted(coefficients.items())]
    return (f'"""LUTs and flip-flops per unit of each amount of logic; made by\n\n    {EXAMPLE}\n"""\n\n'
            '__all__ = ["COEFFICIENTS"]\n\nCOEFFICIENTS = {\n' + "".join(lines) + "}\n")


def parser():
    result = cli.Parser("cores.resources.calibrate", __doc__, EXAMPLE)
    add = result.add_argument
    add("--measured", type=Path, required=True, metavar="FILE", help="measurements, one JSON object a line")
    add("--only", choices=OWN_TERMS, help="measure and fit this kind only, with what the others have in common as it is")
    add("--rounds", type=cli.positive_int, default=None, metavar="N",
        help="measure until each kind has N samples; without it, only fit")
    return result


def main(argv=None):
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)
    return cli.guarded(lambda: run(args))


def run(args):
    rows = [json.loads(line) for line in args.measured.open()] if args.measured.exists() else []
    done = {(row["kind"], row["seed"]) for row in rows}
    console = cli.console()
    with console.status("") as status, args.measured.open("a") as file:
        for n in range(args.rounds or 0):
            for kind in [args.only] if args.only else [*KINDS, *PARTS, *SPLIT]:
                if (kind, n) not in done:
                    status.update(f"{kind} {n}")
                    rows.append(measure(kind, n))
                    file.write(json.dumps(rows[-1]) + "\n")
                    file.flush()
    if not rows:
        raise UserError(f"{str(args.measured)!r} has no measurements; give --rounds")
    rows = [row for row in rows if args.only in (None, row["kind"])]
    given = KNOWN | {name: both for name, both in COEFFICIENTS.items() if not name.startswith(OWN_TERMS.get(args.only, ()))}
    samples, mask = Samples(rows, given if args.only else KNOWN), held_out(rows)
    columns = ("kind", "samples", "LUT error", "FF error", "largest LUT", "largest FF", "BRAM wrong")
    for title, coefficients, chosen in (
            ("held out of the fit", samples.fit(~mask), mask), ("all", samples.fit(mask | True), mask | True)):
        table = Table(*columns, title=title)
        for kind, count, *shares, wrong in errors(samples, coefficients, chosen):
            table.add_row(kind, str(count), *(f"{share:.1%}" for share in shares), str(wrong))
        console.print(table)
    # Terms that no sample has stay as they are: those of ECP5, and of requantizers of two DSP blocks.
    TABLE.write_text(table_text(COEFFICIENTS | dict(zip(samples.names, coefficients.round(3).tolist()))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
