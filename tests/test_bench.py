"""The table that compares engines: what it computes, adds to and refuses."""
import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cores import plots
from sim import bench
from sim.bench_table import Measured, markdown

ROW = Measured("net", "sparse", 10, 8, 16, macs=8000, nonzero=4000.0, clock_mhz=200.0, modelled=500.0,
               predicted_lut=1600, bram36=2.5)


def test_figures_say_where_they_come_from():
    assert ROW.cells() == ("net", "sparse", "8", "16", "500 m", "2.00 m", "0.50 m", "1,600 p", "100 p", "10.0 mp", "2.5 p", "0.80 m",
                           "400,000 m")


def test_what_is_measured_replaces_what_is_modelled():
    row = Measured(**vars(ROW) | {"simulated": 1000.0, "lut": 3200})
    assert row.cells()[4:] == ("1,000 s", "1.00 s", "0.25 s", "3,200 y", "200 y", "2.5 sy", "2.5 y", "0.40 s", "200,000 s")


def test_markdown():
    text = markdown([ROW, Measured(**vars(ROW) | {"engine": "dense"})])
    lines = text.splitlines()
    assert len({line.count("|") for line in lines[:4]}) == 1 and lines[2].startswith("| net | sparse | 8 | 16 |")
    assert "At 200 MHz." in text


def test_picture():
    assert plots.png(plots.engines([ROW])) == plots.png(plots.engines([ROW]))


def test_runs_add_up(tmp_path, capsys):
    """The bundled network with two engines, one run each."""
    for engine in ("dense", "window"):
        assert bench.main(["--engine", engine, "--dsp", "16", "--out", str(tmp_path)]) == 0
    rows = json.loads((tmp_path / "bench.json").read_text())["rows"]
    assert [row["engine"] for row in rows] == ["dense", "window"]
    assert all(0 < row["dsp"] <= 16 and row["simulated"] is None and row["lut"] is None for row in rows)
    assert (tmp_path / "comparison.md").read_text().count("| digits |") == 2
    assert (tmp_path / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert "digits" in capsys.readouterr().out


def test_simulates_and_synthesises_whole_designs(tmp_path):
    weights = numpy_helper.from_array(np.random.default_rng(0).normal(size=(2, 2, 1, 1)).astype(np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 3, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 3, 3])], [weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "net.onnx")
    np.savez(tmp_path / "pictures.npz", images=np.random.default_rng(0).integers(0, 256, (4, 3, 3, 2), np.uint8))
    assert bench.main([str(tmp_path / "net.onnx"), "--calib", str(tmp_path / "pictures.npz"), "--engine", "sparse", "--dsp", "2",
                       "--simulate", "2", "--synthesise", "--out", str(tmp_path / "bench")]) == 0
    row, = json.loads((tmp_path / "bench" / "bench.json").read_text())["rows"]
    report = json.loads((tmp_path / "bench" / "net-sparse" / "report.json").read_text())
    assert report["origin"]["lut"] == "synthesised" and row["lut"] == report["lut"] > 0
    assert row["simulated"] > 0 and row["nonzero"] > 0


def test_rows_are_of_one_board_and_clock(tmp_path, capsys):
    assert bench.main(["--engine", "sparse", "--dsp", "16", "--out", str(tmp_path)]) == 0
    before = (tmp_path / "bench.json").read_text()
    for other in (["--clock", "50"], ["--board", "arty-a7-100"]):
        assert bench.main(["--engine", "sparse", "--dsp", "16", "--out", str(tmp_path), *other]) == 2
        assert "bench.json' is of zcu102 at 200 MHz, not of" in capsys.readouterr().err
    assert (tmp_path / "bench.json").read_text() == before


@pytest.mark.parametrize("make, message", [
    (lambda out: out.write_text(""), "cannot be made"),
    (lambda out: (out / "comparison.md").mkdir(parents=True), "cannot be written"),
    (lambda out: (out / "bench.json").mkdir(parents=True), "is not of this version"),
])
def test_refuses_an_output_that_is_in_the_way(make, message, tmp_path, capsys):
    make(tmp_path / "out")
    assert bench.main(["--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments, message", [
    (["--dsp", "99999"], "Budget of 99999 DSP blocks exceeds the 2520 of zcu102"),
    (["a.onnx", "b.onnx", "--name", "c"], "--name is for a single model"),
    (["nowhere.onnx"], "'nowhere.onnx' is neither a file nor the bundled network"),
])
def test_refuses(arguments, message, tmp_path, capsys):
    assert bench.main([*arguments, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_refuses_results_of_another_version(tmp_path, capsys):
    (tmp_path / "bench.json").write_text('{"rows": [{"engine": "sparse"}]}')
    assert bench.main(["--out", str(tmp_path)]) == 2
    assert "is not of this version" in capsys.readouterr().err
