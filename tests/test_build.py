"""The command line of the build: what it writes, that it repeats, and what it refuses."""
import json
import shutil

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cores import build, bundled
from cores.design import open_design
from cores.errors import UserError
from cores.folding.explore import explore
from platforms import boards
from sim import reference

KEYS = ["board", "clock_mhz", "fmax_mhz", "multipliers", "dsp", "lut", "ff", "bram36", "cycles_per_frame", "cycles_first_frame", "fps",
        "macs_per_frame", "nonzero_macs_per_frame", "utilisation", "mac_per_dsp_cycle", "predicted", "fits",
        "stages", "origin"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("build") / "zcu102"
    assert build.main(["--out", str(folder), "--dsp", "40"]) == 0
    return folder


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_report(built):
    report = json.loads((built / "report.json").read_text())
    assert list(report) == KEYS
    assert set(report["origin"]) == set(KEYS) - {"origin"}
    assert set(report["origin"].values()) <= {"modelled", "simulated", "synthesised"}
    assert report["board"] == "zcu102" and report["clock_mhz"] == 200 and report["lut"] is None
    assert report["dsp"] == sum(stage["dsp"] for stage in report["stages"]) <= 40
    assert report["multipliers"] == sum(stage["multipliers"] for stage in report["stages"])
    assert report["macs_per_frame"] == json.loads(
        bundled.MODEL.with_suffix(".json").read_text())["macs"]
    slowest = max(stage["cycles_per_frame"] for stage in report["stages"])
    assert 0.97 * slowest < report["cycles_per_frame"] < 1.2 * slowest
    assert all(0 <= share <= 1 for stage in report["stages"] for share in stage["waits"].values())
    for stage in report["stages"]:
        assert {"name", "op", "lanes", "pes", "multipliers", "dsp", "cycles_per_frame", "zero_fraction"} <= set(stage)


@pytest.mark.parametrize("cycles, frames", [(21_549, 64), (400_000, 5), (5_487_360, 4)])
def test_the_simulation_it_tells_of_ends_soon(cycles, frames):
    assert build.enough_frames({"cycles_per_frame": cycles}) == frames


def test_files(built):
    manifest = json.loads((built / "build.json").read_text())
    assert sorted(contents(built)) == manifest["files"]
    verilog = (built / "rtl" / "skipstone.v").read_text()
    assert "module skipstone(" in verilog and "s_axis_tdata" in verilog and "DSP48E2" in verilog
    assert "dsp48e2.v" not in (built / "rtl" / "files.f").read_text()
    for name in manifest["files"]:
        if name.endswith(".hex"):
            assert name.removeprefix("rtl/") in verilog


def test_golden_vectors_are_the_reference(built):
    design, golden = open_design(built), np.load(built / "golden.npz")
    outputs = reference.run_outputs(design.network, golden["images"])[design.network.outputs[0]]
    zero_point = design.network.tensors[design.network.outputs[0]].zero_point
    assert np.array_equal(outputs + zero_point, golden["outputs"])
    assert (golden["outputs"].reshape(100, -1).argmax(1) == golden["labels"]).mean() > 0.95


def test_vivado(built, tmp_path):
    """The scripts of a whole build, DSP48E2 instances included, to a bitstream; the others' are in test_vivado.py."""
    pytest.importorskip("tkinter", reason="this Python has no Tcl")
    from vivado import Vivado
    shutil.copytree(built, tmp_path / "build")
    Vivado().run(tmp_path / "build/vivado/build.tcl")
    assert (tmp_path / "build/skipstone.bit").exists() and (tmp_path / "build/skipstone.core").exists()


def test_same_input_same_bytes(built, tmp_path):
    assert build.main(["--out", str(tmp_path / "again"), "--dsp", "40"]) == 0
    assert contents(tmp_path / "again") == contents(built)


def test_rebuilding_removes_only_its_own_files(tmp_path):
    folder = tmp_path / "out"
    assert build.main(["--out", str(folder), "--board", "arty-a7-100", "--dsp", "40"]) == 0
    (folder / "mine.txt").write_text("kept")
    before = set(contents(folder))
    assert build.main(["--out", str(folder), "--board", "arty-a7-100", "--dsp", "20", "--engine", "dense"]) == 0
    after = set(contents(folder))
    assert "mine.txt" in after and after - {"mine.txt"} == set(
        json.loads((folder / "build.json").read_text())["files"])
    assert before >= {"mine.txt"}
    assert "DSP48E2" not in (folder / "rtl" / "skipstone.v").read_text()


# ---- Refusals -------------------------------------------------------------------------------

def unsupported(path):
    node = helper.make_node("LSTM", ["x"], ["y"], name="memory", hidden_size=3)
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)


def refused(capsys, *arguments):
    """Run the build, which must refuse; returns its one line of error."""
    try:
        code = build.main(list(arguments))
    except SystemExit as stop:
        code = stop.code
    output = capsys.readouterr()
    assert code == 2
    lines = [line for line in output.err.splitlines() if line.strip()]
    assert len(lines) == 1 and "Traceback" not in output.err, output.err
    return lines[0]


@pytest.mark.parametrize("arguments, message", [
    (["--board", "zcu999"], r"error: Board must be one of .*zcu102.*, not 'zcu999'"),
    (["--model", "nowhere.onnx"], r"error: Model 'nowhere.onnx' is neither a file nor the bundled network 'digits'"),
    (["--model", "nowhere.onnx", "--threshold-loss", "1%"], r"error: Model 'nowhere.onnx' is neither a file nor"),
    (["--engine", "window", "--dsp", "3"], r"error: Budget of 3 DSP blocks is too small.*at least \d+; raise --dsp"),
    (["--multipliers", "1"], r"error: Budget of 1 multipliers is too small.*at least 1\.5; raise --multipliers"),
    (["--dsp", "100000"], r"error: Budget of 100000 .*2520"),
    (["--fps", "-5"], r"error: argument --fps: must be a positive number, not '-5'"),
    (["--fps", "nan"], r"error: argument --fps: must be a positive number, not 'nan'"),
    (["--fps", "1e9"], r"error: No folding of 'digits' takes at most"),
    (["--clock", "0"], r"error: argument --clock: must be a positive number"),
    (["--dsp", "-1"], r"error: argument --dsp: must be an integer from 0"),
    (["--dsp", "0", "--no-serial"], r"error: Budget of 0 DSP blocks is too small"),
    (["--dsp", "9", "--fps", "9"], r"error: argument --fps: not allowed with argument --dsp"),
    (["--engine", "fast"], r"error: argument --engine: invalid choice"),
    (["--images", "nowhere"], r"error: .*nowhere"),
    (["--wrong"], r"error: unrecognized arguments: --wrong"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_refuses_arguments(arguments, message, capsys, tmp_path):
    import re
    line = refused(capsys, "--out", str(tmp_path / "out"), *arguments)
    assert re.search(message, line), line
    assert not (tmp_path / "out").exists()


def test_refuses_a_file_that_is_no_network(capsys, tmp_path):
    (tmp_path / "text.onnx").write_text("no network")
    assert "text.onnx" in refused(capsys, "--model", str(tmp_path / "text.onnx"), "--out", str(tmp_path / "out"))
    whole = bundled.MODEL.read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[:len(whole) // 2])
    assert "cut.onnx" in refused(capsys, "--model", str(tmp_path / "cut.onnx"), "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_refuses_an_unsupported_operator(capsys, tmp_path):
    unsupported(tmp_path / "net.onnx")
    line = refused(capsys, "--model", str(tmp_path / "net.onnx"), "--out", str(tmp_path / "out"))
    assert "LSTM" in line and "memory" in line
    assert not (tmp_path / "out").exists()


def test_refuses_a_folder_of_something_else(capsys, tmp_path):
    """A manifest that is not of a build, or lists what is not ours, removes nothing."""
    (tmp_path / "main.c").write_text("kept")
    for content in ('{"files": ["main.c"], "name": "other"}', '{"skipstone": "1", "files": ["../main.c"]}',
                    '{"skipstone": "1", "files": [5, null]}', "[]", "no JSON"):
        (tmp_path / "build.json").write_text(content)
        assert "is not of a build" in refused(capsys, "--out", str(tmp_path))
        assert (tmp_path / "build.json").read_text() == content
    assert (tmp_path / "main.c").read_text() == "kept"


def test_a_file_that_is_not_ours_is_left(capsys, tmp_path):
    """Also without a manifest, a file of the same name is somebody's."""
    (tmp_path / "report.json").write_text("mine")
    assert "report.json' is there and not of an earlier run" in refused(capsys, "--out", str(tmp_path), "--dsp", "40")
    assert [path.name for path in tmp_path.rglob("*")] == ["report.json"]
    assert (tmp_path / "report.json").read_text() == "mine"


def test_a_folder_in_the_way_leaves_everything(built, capsys, tmp_path):
    (tmp_path / "report.json").mkdir()
    assert "is a folder where a file must be written" in refused(capsys, "--out", str(tmp_path), "--dsp", "40")
    assert [path.name for path in tmp_path.rglob("*")] == ["report.json"]


def test_a_refused_build_makes_no_folder(capsys, tmp_path):
    refused(capsys, "--model", "nowhere.onnx", "--out", str(tmp_path / "deep" / "er"))
    assert list(tmp_path.iterdir()) == []


def pool_only(path):
    scale = helper.make_tensor("s", TensorProto.FLOAT, [], [0.5])
    zero = helper.make_tensor("z", TensorProto.UINT8, [], [0])
    nodes = [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
             helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
             helper.make_node("MaxPool", ["d"], ["p"], name="pool", kernel_shape=[2, 2]),
             helper.make_node("QuantizeLinear", ["p", "s", "z"], ["r"]),
             helper.make_node("DequantizeLinear", ["r", "s", "z"], ["y"])]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 5, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 4, 3])], [scale, zero])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def test_network_without_multipliers(tmp_path):
    pool_only(tmp_path / "pool.onnx")
    assert build.main(["--model", str(tmp_path / "pool.onnx"), "--out", str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["multipliers"] == 0 and report["utilisation"] is None and report["mac_per_dsp_cycle"] is None


def half_dead(path):
    """Two float convolutions with a ReLU between them that silences every other filter."""
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(8, 2, 3, 3)).astype(np.float32), rng.normal(size=(2, 8, 1, 1)).astype(np.float32)
    first[::2], bias = 0, np.where(np.arange(8) % 2, 0, -1).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x", "first", "bias"], ["c"]), helper.make_node("Relu", ["c"], ["r"]),
             helper.make_node("Conv", ["r", "second"], ["y"])]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 4, 4])],
        [numpy_helper.from_array(value, name) for name, value in (("first", first), ("second", second), ("bias", bias))])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def test_constant_channels_are_told_with_what_they_would_take(tmp_path, capsys):
    half_dead(tmp_path / "net.onnx")
    np.savez(tmp_path / "pictures.npz", images=np.random.default_rng(0).integers(0, 256, (8, 6, 6, 2), np.uint8))
    assert build.main(["--model", str(tmp_path / "net.onnx"), "--calib", str(tmp_path / "pictures.npz"), "--dsp", "8",
                       "--out", str(tmp_path / "out")]) == 0
    told = json.loads((tmp_path / "out" / "report.json").read_text())["constant_channels"]
    assert (told["removed"], told["of"]) == (4, 12)
    assert told["if_kept"]["cycles_per_frame"] > 0 and told["if_kept"]["dsp"] <= 8
    assert "removed 4 of 12 channels, constant or unread; had they stayed, a frame would take" in " ".join(capsys.readouterr().out.split())


def test_what_constant_channels_would_take_may_be_out_of_reach(tmp_path, capsys, monkeypatch):
    """No design with them is as good as asked for; there is one without."""
    def explored(network, *args):
        if sum(tensor.channels for tensor in network.tensors.values()) == 12:
            raise UserError("out of reach")
        return explore(network, *args)
    monkeypatch.setattr(build, "explore", explored)
    half_dead(tmp_path / "net.onnx")
    np.savez(tmp_path / "pictures.npz", images=np.random.default_rng(0).integers(0, 256, (8, 6, 6, 2), np.uint8))
    assert build.main(["--model", str(tmp_path / "net.onnx"), "--calib", str(tmp_path / "pictures.npz"), "--dsp", "8",
                       "--out", str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["constant_channels"]["if_kept"] is None
    assert "removed 4 of 12 channels, constant or unread\n" in capsys.readouterr().out


def test_refuses_an_output_that_cannot_be_written(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert "is a file" in refused(capsys, "--out", str(tmp_path / "file"))
    assert "cannot be written" in refused(capsys, "--out", str(tmp_path / "file" / "below"))
    assert "cannot be written" in refused(capsys, "--out", "/proc/skipstone")


def test_arty_is_registered():
    assert {"zcu102", "arty-a7-100"} <= set(boards())
