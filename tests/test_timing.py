"""Longest paths of netlists whose depth is known."""
import json

from cores.synthesis import synthesise
from cores.timing import Path, longest_paths

VERILOG = """
module top (input clk, enable, input [23:0] b, c, output reg gated, output reg [24:0] sum);
    reg [23:0] x, y;
    always @(posedge clk) begin
        x <= b; y <= c;
        sum <= x + y;
        if (&y[5:0]) gated <= enable;
    end
endmodule
"""


def cell(kind, outputs, **inputs):
    """A cell of a netlist: connections of one bit each."""
    return {"type": kind, "connections": {port: [bit] for port, bit in {**inputs, **outputs}.items()},
            "port_directions": {**dict.fromkeys(inputs, "input"), **dict.fromkeys(outputs, "output")}}


def module(cells, **nets):
    return {"cells": dict(enumerate(cells)), "ports": {},
            "netnames": {name: {"bits": [bit]} for name, bit in nets.items()}}


def test_luts_and_the_multiplexers_behind_them():
    """A MUXF7 belongs to its LUTs. Of two ways to an end, the longer one is told."""
    assert longest_paths(module([
        cell("FDRE", {"Q": 1}, D=9, C=0),
        cell("LUT1", {"O": 2}, I0=1), cell("LUT6", {"O": 3}, I0=2, I1=1), cell("LUT2", {"O": 4}, I0=1),
        cell("MUXF7", {"O": 5}, I0=4, I1=3, S=1), cell("FDRE", {"Q": 6}, D=5, CE=2, C=0),
    ], begin=1, end=6), 9) == [
        Path(2, "begin", "end", ("LUT1", "LUT6", "MUXF7")), Path(1, "begin", "end (enable)", ("LUT1",))]


def test_a_chain_of_carries_is_one_level():
    chain = [cell("CARRY4", {"O": 11, "CO": 12}, S=10, CI="0"), cell("CARRY4", {"O": 13, "CO": 14}, S="0", CI=12),
             cell("CARRY4", {"O": 15, "CO": 16}, S="0", CI=14)]
    path, = longest_paths(module([
        cell("FDRE", {"Q": 1}, D="0", C=0), cell("LUT2", {"O": 10}, I0=1), *chain,
        cell("LUT2", {"O": 17}, I0=15), cell("FDRE", {"Q": 18}, D=17, C=0)], begin=1, end=18), 9)
    assert (path.levels, path.through) == (3, ("LUT2", "CARRY4", "LUT2"))


def test_memories_in_luts():
    """Reading one is a level; writing to it, its address included, ends a path."""
    paths = longest_paths(module([
        cell("FDRE", {"Q": 1}, D="0", C=0), cell("LUT2", {"O": 2}, I0=1),
        cell("RAM32M16", {"DOA": 3}, ADDRA=2, ADDRH=2, DIA=2, WE=1, WCLK=0),
        cell("FDRE", {"Q": 4}, D=3, C=0)], begin=1, end=4), 9)
    assert {path.target: path.levels for path in paths} == {"end": 2, "2.ADDRH": 1, "2.DIA": 1}


def test_a_design(tmp_path):
    netlist = tmp_path / "netlist.json"
    synthesise(VERILOG, top="top", family="xcup", netlist=netlist)
    netlist = json.loads(netlist.read_text())["modules"]["top"]
    paths = longest_paths(netlist, 9)
    found = {path.target: path for path in paths}
    assert set(found) == {"sum", "gated (enable)"}      # registers that follow each other are no paths
    assert (found["sum"].levels, found["sum"].through) == (2, ("LUT2", "CARRY4"))
    assert (found["gated (enable)"].levels, found["gated (enable)"].source) == (1, "y")
    assert longest_paths(netlist, 1) == [found["sum"]]
