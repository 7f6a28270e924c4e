"""The driver on the emitted design behind its registers; resets at any time; frames of the wrong length."""
import dataclasses
import json
import os
import sys

import numpy as np
import pytest

import built
import networks
from cores.folding.allocate import Design
from cores.stages import Engine, Folding
from driver.board import BoardError
from driver.pynq_board import PynqBoard
from sim import board

pytest.importorskip("cocotb_tools.runner", reason="cocotb is not installed")
pytest.importorskip("cocotbext.axi", reason="cocotbext-axi is not installed")

RESETS = os.environ.get("SKIPSTONE_RESETS", "12")

SAME = {"op": "conv", "filters": 6, "padding": (1, 1, 1, 1)}
LAYERS = [SAME, {"op": "max", "kernel": (2, 2), "stride": (2, 2)}, {**SAME, "op": "depthwise"}, SAME,
          {"op": "add", "other": "t1"}, {"op": "avg", "kernel": (2, 2)}, {"op": "fc", "filters": 12}]
FOLDINGS = {
    "conv0": Folding(lanes=3, pes=4, ways=3, out_ways=2), "max1": Folding(2, ways=2, out_ways=2),
    "depthwise2": Folding(2, row_lanes=2, ways=2, out_ways=2), "conv3": Folding(2, pes=4, ways=2, out_ways=2),
    "add4": Folding(2, ways=2, out_ways=2), "avg5": Folding(2, ways=2, out_ways=2), "fc6": Folding(2, pes=6, ways=2)}


def network():
    """Every kind of stage, 6 filters on 4 PEs, and two outputs: a map, and a vector."""
    graph, frames = networks.chain(*LAYERS, shape=(8, 6, 3), frames=6)
    return dataclasses.replace(graph, outputs=("t4", "t6")), frames.astype(np.uint8)


@pytest.fixture(scope="module")
def design(tmp_path_factory):
    return built.write(tmp_path_factory.mktemp("board") / "a design", *network(),
                       Design(3, FOLDINGS, 700.0), Engine())


@pytest.mark.filterwarnings("default")
def test_driver_resets_and_bad_frames(design, tmp_path, capsys):
    """12 resets; as many as SKIPSTONE_RESETS says, if it is set."""
    figures = tmp_path / "figures.json"
    assert board.main([str(design), "--frames", "8", "--resets", RESETS, "--json", str(figures)]) == 0, capsys.readouterr().err
    result = json.loads(figures.read_text())
    assert result["mismatches"] == 0 and not result["faults"]
    assert result["resets"]["resets"] == int(RESETS) and result["resets"]["in_input"] > 0
    assert result["bad_frames"] == {"cases": 5, "wrong": 0}
    counters = result["counters"]
    assert counters["design"]["frames"] == 8 and not counters["design"]["bad_frames"]
    printed = capsys.readouterr().out
    assert "picture 2: class " in printed and "picture 3" not in printed
    assert "add up to the cycles in each, and the products are the reference's" in printed
    assert set(counters) == {"design", "s_axis", "m_axis_0", "m_axis_1", *FOLDINGS}
    assert counters["s_axis"]["busy"] == 8 * 8 * 6 * 3 // 8
    assert {unit for unit, kinds in counters.items() if "products" in kinds} == {
        "conv0", "depthwise2", "conv3", "fc6"}


def test_faults_are_told():
    unit = {"busy": 5, "starved": 3, "blocked": 2, "products": 7}
    right = {"mismatches": 0, "counters": {"design": {"cycles": 10}, "conv": unit}, "resets": {"wrong": 0},
             "bad_frames": {"wrong": 0}}
    assert board.faults(right, {"conv": 7}) == []
    assert board.faults(right, {"conv": 8}) == ["conv: 7 non-zero products, not 8"]
    wrong = {"mismatches": 2, "resets": {"wrong": 1}, "details": ["reset 3: frame"],
             "counters": {"design": {"cycles": 11}, "conv": {**unit, "products": None}}}
    assert board.faults(wrong, {"conv": 7}) == [
        "2 values differ from the golden ones", "conv: busy, starved and blocked do not add up to the cycles",
        "conv: None non-zero products, not 7", "resets: 1 went wrong", "reset 3: frame"]


def test_without_a_board(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynq", None)
    with pytest.raises(BoardError, match=r"^pynq cannot be imported .*: run this on a board with PYNQ, .* python -m sim.board "):
        PynqBoard("skipstone.bit", 8, [8])
