"""The emitted top, driven by a bus model that nobody here wrote, with pauses on both sides."""
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import networks
from cores.emit import FilePlatform
from cores.folding.allocate import Design, fold
from cores.stages import Engine, Folding
from cores.top import Top
from cores.wrapper.emit import design_verilog
from sim import reference
from sim.verilator import environment

runner = pytest.importorskip("cocotb_tools.runner", reason="cocotb is not installed")
pytest.importorskip("cocotbext.axi", reason="cocotbext-axi is not installed")


def emitted(folder):
    """A small network's top and memory files, and golden vectors for it."""
    graph, frames = networks.chain(
        {"op": "conv", "filters": 6, "padding": (1, 1, 1, 1)}, {"op": "max", "kernel": (2, 2), "stride": (2, 2)},
        {"op": "conv", "filters": 8, "padding": (0, 1, 1, 0)}, {"op": "fc", "filters": 11},
        shape=(7, 6, 3), frames=5)
    foldings = {
        "conv0": Folding(lanes=3, pes=4, ways=3, out_ways=2), "max1": Folding(lanes=2, ways=2, out_ways=2),
        "conv2": Folding(lanes=2, row_lanes=3, pes=4, ways=2), "fc3": Folding(lanes=2, pes=11)}
    design, engine = Design(3, foldings, 0.0), Engine(family="dsp48e2")
    top = Top(graph, design=design, stages=fold(graph, design, engine))
    platform = FilePlatform()
    (folder / "skipstone.v").write_text(design_verilog(top, platform))
    for name, text in platform.files.items():
        (folder / name).write_text(text)
    cut = frames[:1].copy()
    cut.reshape(-1)[(cut.size - 1) // 8 * 8:] = 0       # what a frame without its last beat means
    output = graph.outputs[0]
    np.savez(folder / "golden.npz", inputs=frames.astype(np.uint8),
             outputs=reference.run_outputs(graph, frames)[output].astype(np.uint8),
             cut_output=reference.run_outputs(graph, cut)[output].astype(np.uint8))


@pytest.mark.filterwarnings("default")      # other people's code runs in the simulator
def test_top_with_cocotbext_axi(tmp_path, monkeypatch):
    emitted(tmp_path)
    for name, value in environment("-O0")[1].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SKIPSTONE_GOLDEN", str(tmp_path / "golden.npz"))
    simulator = runner.get_runner("verilator")
    simulator.build(
        sources=[tmp_path / "skipstone.v", Path(__file__).parents[1] / "sim" / "dsp48e2.v"],
        hdl_toplevel="skipstone", build_dir=tmp_path / "build", timescale=("1ns", "1ps"),
        build_args=["-Wno-fatal", "-Wno-lint", "-Wno-style"])
    results = simulator.test(
        hdl_toplevel="skipstone", test_module="cocotb_top", build_dir=tmp_path / "build",
        test_dir=tmp_path, extra_env={"PYTHONPATH": os.pathsep.join(
            [str(Path(__file__).parent), *sys.path])})
    tests, failures = runner.get_results(results)
    assert tests == 3 and failures == 0
