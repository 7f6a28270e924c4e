"""Whole designs in Verilator: the command that compares them, and that it notices what is wrong."""
import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from cores import build
from cores.design import open_design
from cores.graph import Graph
from cores.pixels import sample_bits
from sim import axi, run, verilator
from sim.verilator import Port, SimulationError, compile_design

KEYS = {"frames", "mismatches", "accuracy", "cycles_first_frame", "cycles_per_frame", "macs_per_frame",
        "nonzero_macs_per_frame", "multipliers", "dsp", "utilisation", "mac_per_dsp_cycle", "simulator_hz", "outputs"}


@pytest.fixture(scope="module")
def design(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "design"
    assert build.main(["--board", "arty-a7-100", "--multipliers", "30", "--out", str(folder)]) == 0
    return folder


def test_run(design, tmp_path, capsys):
    figures = tmp_path / "figures.json"
    assert run.main([str(design), "--frames", "3", "--stalls", "0.3", "--json", str(figures)]) == 0
    assert "3 frames, stalls 0.3: 0 mismatches, accuracy 100.0%" in capsys.readouterr().out
    result = json.loads(figures.read_text())
    assert set(result) >= KEYS
    assert result["mismatches"] == 0 and result["frames"] == 3 and result["multipliers"] <= 30
    assert result["utilisation"] == pytest.approx(
        result["nonzero_macs_per_frame"] / result["multipliers"] / result["cycles_per_frame"])
    assert 0.5 < result["utilisation"] < 1
    modelled = result["modelled"]
    assert modelled["cycles_per_frame"] == pytest.approx(modelled["simulated_cycles_per_frame"], rel=0.01)
    # Another run of the same frames takes the same cycles: stalls are seeded.
    again = tmp_path / "again.json"
    assert run.main([str(design), "--frames", "3", "--stalls", "0.3", "--json", str(again)]) == 0
    assert json.loads(again.read_text())["cycles_first_frame"] == result["cycles_first_frame"]


def test_a_wrong_weight_is_found(design, capsys):
    """The memory files are read when the simulation starts: one bit of one word is inverted."""
    largest = max((design / "rtl").glob("*.hex"), key=lambda path: path.stat().st_size)
    right = largest.read_text()
    try:
        words = right.splitlines()
        words[len(words) // 2] = f"{int(words[len(words) // 2], 16) ^ 0x80:0{len(words[0])}x}"
        largest.write_text("\n".join(words) + "\n")
        assert run.main([str(design), "--frames", "2"]) == 1
    finally:
        largest.write_text(right)
    output = capsys.readouterr()
    assert " 0 mismatches" not in output.out
    assert re.search(r"first difference: frame \d, pixel \(0, 0\), channel \d: expected \d+, got \d+", output.err)


@pytest.mark.parametrize("arguments, message", [
    (["nowhere"], "error: 'nowhere' is no built design: build.json is missing"),
    (["DESIGN", "--images", "nowhere.npz"], "nowhere.npz"),
    (["DESIGN", "--stalls", "1"], "error: argument --stalls: must be from 0 to 0.99, not '1'"),
    (["DESIGN", "--frames", "0"], "error: argument --frames: must be from 1 to 1000000, not '0'"),
    (["DESIGN", "--json", "/proc/none/x.json", "--frames", "1"], "cannot be written"),
])
def test_refusals(design, arguments, message, capsys):
    try:
        code = run.main([str(design) if a == "DESIGN" else a for a in arguments])
    except SystemExit as stop:
        code = stop.code
    error = capsys.readouterr().err
    assert code == 2 and message in error and len(error.strip().splitlines()) == 1


def test_refuses_a_cut_manifest(design, tmp_path, capsys):
    (tmp_path / "build.json").write_text((design / "build.json").read_text()[:100])
    assert run.main([str(tmp_path)]) == 2
    assert "is no readable design" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["golden.npz", "network.npz", "rtl/files.f", "rtl/skipstone.v", "rtl/rom_*.hex"])
@pytest.mark.parametrize("how", ["missing", "cut"])
def test_refuses_a_damaged_folder(design, tmp_path, damage, how, capsys):
    if how == "cut" and damage.startswith("rtl"):
        pytest.skip("a cut source file is Verilator's to refuse")
    copy = tmp_path / "copy"
    shutil.copytree(design, copy, ignore=shutil.ignore_patterns("verilator*"))
    path = next(copy.glob(damage))
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:50])
    assert run.main([str(copy), "--frames", "1"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and len(error.strip().splitlines()) == 1


def test_patience_covers_slow_designs(design):
    """Between two frames of a small design nothing moves for as long as a frame takes."""
    opened = open_design(design)
    slow = dataclasses.replace(opened, cycles_per_frame=1_400_000)
    assert run.patience(slow, 0.0) > 2 * 1_400_000 and run.patience(slow, 0.5) > 2 * run.patience(slow, 0.0) - 200_000


def test_graph_survives_its_file(design):
    manifest = json.loads((design / "build.json").read_text())
    with np.load(design / "network.npz") as arrays:
        plain, again = Graph.from_arrays(manifest["network"], dict(arrays)).to_arrays()
        assert plain == manifest["network"]
        assert all(np.array_equal(again[name], arrays[name]) for name in arrays)


# ---- The harness in C++, on a module that breaks its contract when told to --------------------

MODULE = """
module subject(input clk, input rst, input [7:0] i, input i_valid, output i_ready,
               output reg [7:0] o, output reg o_valid, input o_ready);
    localparam CHANGES = 1, DROPS = 2, DOUBLES = 3, HANGS = 4;
    assign i_ready = (!o_valid || o_ready) && o != HANGS;
    always @(posedge clk)
        if (rst) begin o_valid <= 0; o <= 0; end
        else if (!o_valid || o_ready) begin
            o_valid <= i_valid && i_ready && i != HANGS || o_valid && o == DOUBLES;
            o <= o_valid && o == DOUBLES ? 9 : i_valid && i_ready ? i : o;
        end
        else if (o == CHANGES) o <= 8;
        else if (o == DROPS) o_valid <= 0;
endmodule
"""


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("subject"))


@pytest.fixture(scope="module")
def counting(tmp_path_factory):
    """The same, but only what has bit 7 set is counted."""
    return compiled(tmp_path_factory.mktemp("counting"), counted=0x80)


def test_compile_again_after_a_move(tmp_path):
    """What an earlier run left may name files of a tree that is gone."""
    compiled(tmp_path)
    (tmp_path / "sim" / "stamp").write_text("of another tree")
    for path in (tmp_path / "sim").glob("*.mk"):
        path.write_text(path.read_text().replace(str(Path(verilator.__file__).parent), "/nowhere"))
    (tmp_path / "sim" / "harness.d").write_text("harness.o: /nowhere/harness.cpp\n")
    compiled(tmp_path)


def test_compile_where_a_path_has_blanks(tmp_path_factory):
    folder, simulation = compiled(tmp_path_factory.mktemp("a b"))
    assert send((folder, simulation), *range(10, 30)) == list(range(10, 30))
    before = simulation.binary.stat().st_mtime_ns
    assert compiled(folder)[1].binary.stat().st_mtime_ns == before      # it is kept


def compiled(folder, **options):
    (folder / "subject.v").write_text(MODULE)
    return folder, compile_design(
        [folder / "subject.v"], top="subject", inputs=[Port("i", "i_valid", "i_ready")],
        outputs=[Port("o", "o_valid", "o_ready", **options)], folder=folder / "sim", runtime=folder.parent)


def send(subject, *values, count=None, stalls=0.5):
    folder, simulation = subject
    outputs, _, _ = simulation.run([(values, [0] * len(values))], [len(values) if count is None else count],
                                   cwd=folder, stalls=stalls)
    return outputs[0][0].tolist()


def test_harness_passes_a_right_module(subject):
    values = list(range(10, 200))
    assert send(subject, *values) == values
    assert send(subject, *values, stalls=0.0) == values


def test_harness_counts_what_the_port_says(counting):
    values = [10, 200, 11, 12, 201]
    assert send(counting, *values, count=2) == values
    with pytest.raises(SimulationError, match="sent more than 2 transfers"):
        send(counting, *values, 13, count=2)
    with pytest.raises(SimulationError, match="1 transfers are missing"):
        send(counting, *values, count=3)


@pytest.mark.parametrize("value, message", [
    (1, "changed before it was taken"), (2, "changed before it was taken"),
    (3, "sent more than"), (4, "nothing moved for .* cycles")])
def test_harness_catches_a_wrong_module(subject, value, message):
    with pytest.raises(SimulationError, match=message):
        send(subject, *[10, 11, 12, value] * (20 if value < 3 else 1))


def test_compile_errors_are_reported(tmp_path):
    (tmp_path / "bad.v").write_text("module subject(input clk; endmodule")
    with pytest.raises(SimulationError, match="Verilator failed"):
        compile_design([tmp_path / "bad.v"], top="subject", inputs=[], outputs=[], folder=tmp_path / "sim")


# ---- Packing --------------------------------------------------------------------------------

@pytest.mark.parametrize("low, high, zero", [(0, 255, 0), (-128, 127, 0), (-5, 250, 5), (0, 65535, 0), (-8, 7, 0)])
def test_beats_carry_frames(low, high, zero):
    from cores.graph import Tensor
    tensor = Tensor("t", 3, 2, 3, low, high, zero)
    frames = np.random.default_rng(0).integers(low + zero, high + zero + 1, (4, 3, 2, 3))
    data, last = axi.pack(frames, sample_bits(tensor))
    beats = axi.beats_per_frame(tensor)
    assert len(data) == 4 * beats and axi.framing_faults(last, np.zeros(len(last), bool), beats) == 0
    assert axi.framing_faults(np.roll(last, 1), last, beats) > 0
    assert np.array_equal(axi.unpack(data, frames.shape, sample_bits(tensor), tensor), frames)
