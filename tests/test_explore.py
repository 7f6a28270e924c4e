"""The command line of the exploration: what it proves, writes and repeats, and the sweep of frame rates."""
import json
from math import inf
from types import SimpleNamespace

import numpy as np
import pytest

import networks
from cores import build, bundled, explore
from cores.folding.allocate import fastest
from cores.folding.profile import Profile
from cores.folding.solver import Undecided
from cores.folding.space import Design, Space
from cores.folding.sweep import sweep
from cores.stages import Engine
from test_quantize import pixels, residual, saved

FILES = ["explore.json", "explore.png"]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A small float network with a shortcut, and pictures."""
    folder = tmp_path_factory.mktemp("source")
    np.savez(folder / "pictures.npz", images=pixels())
    return [str(saved(residual(), folder)), "--images", str(folder / "pictures.npz"), "--scale", "1/255"]


@pytest.fixture(scope="module")
def explored(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("explored")
    assert explore.main([*source, "--dsp", "30", "--out", str(folder)]) == 0
    return folder, json.loads((folder / "explore.json").read_text())


def test_what_it_writes(explored):
    folder, found = explored
    assert sorted(path.name for path in folder.iterdir()) == found["files"] == FILES
    assert found["proof"]["rate_gap"] == found["proof"]["price_gap"] == 0
    assert 0 <= found["proof"]["slower_than_fastest"] <= 0.1
    assert found["design"]["dsp"] <= 30 == found["budget"]["dsp"]
    for name, stage in found["stages"].items():
        assert len(stage["foldings"]) == len(stage["cycles_per_frame"]) == len(stage["lut"]) <= stage["considered"]
        folding = found["foldings"][name]
        assert [folding[key] for key in ("lanes", "row_lanes", "pes", "ways", "out_ways", "requantize_cycles", "windows", "serial")
                ] in stage["foldings"]


@pytest.mark.parametrize("row", [0, 5, -1])
def test_a_row_of_the_sweep_is_the_design_for_that_rate(source, explored, row, tmp_path):
    row = explored[1]["sweep"][row]
    rate = 200e6 / (row["cycles_per_frame"] + 0.5)
    assert explore.main([*source, "--fps", str(rate), "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "explore.json").read_text())
    assert found["proof"] == {"slower_than_fastest": None, "rate_gap": None, "price_gap": 0}
    design = found["design"]
    assert row == row | {"multipliers": design["multipliers"]} | {name: design["predicted"][name] for name in explore.DRAWN}


def test_it_is_what_the_build_makes(source, explored, tmp_path):
    model, _, images, *rest = source
    assert build.main(["--model", model, "--calib", images, *rest, "--dsp", "30", "--out", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "build.json").read_text())["folding"] == explored[1]["foldings"]


def test_same_input_same_bytes(source, explored, tmp_path):
    assert explore.main([*source, "--dsp", "30", "--out", str(tmp_path)]) == 0
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (explored[0] / name).read_bytes()


SLACK = ", for more frames per area; --slack 0 takes the fastest"


@pytest.mark.parametrize("budget, proven, lines", [
    ({"dsp": 9}, {}, ["frame rate: this is the fastest design within the budget (proven: gap 0)",
                      "price: no design as fast is cheaper (proven: gap 0)"]),
    ({"dsp": 9}, {"slower": 0.0431}, [
        "frame rate: 4.31% more cycles than the fastest design within the budget (proven: gap 0)" + SLACK,
        "price: no design as fast is cheaper (proven: gap 0)"]),
    ({"dsp": 9, "utilisation": 0.8}, {"slower": 0.05, "rate_gap": 0.002, "gap": 0.0005}, [
        "frame rate: 5.00% more cycles than the fastest design found within the budget (another may take up to 0.20% "
        "fewer cycles)" + SLACK, "price: another design as fast within --utilisation may be up to 0.05% cheaper"]),
    ({"cycles": 1000.0}, {}, ["frame rate: as --fps asks for; no faster design was looked for",
                              "price: no design as fast is cheaper (proven: gap 0)"]),
])
def test_summary_claims_what_was_proven(budget, proven, lines):
    graph, frames = networks.chain({"op": "fc", "filters": 4}, shape=(2, 2, 4))
    space = Space(graph, Profile(graph, frames), Engine(family="dsp48e2"))
    found = SimpleNamespace(design=Design(1, {}, 1000.0, **proven), space=space)
    first, *rest = explore.summary(found, budget)
    assert first.startswith("chosen among ") and rest == lines


def test_sweep_is_the_cheapest_at_every_rate():
    graph, frames = networks.chain(
        {"op": "conv", "filters": 8, "padding": (1, 1, 1, 1)}, {"op": "fc", "filters": 4}, shape=(6, 6, 4))
    space = Space(graph, Profile(graph, frames), Engine(family="dsp48e2"))
    found = sweep(space, 0, points=12)
    cycles = [design.cycles_per_frame for design in found]
    assert cycles == sorted(set(cycles), reverse=True) and len(found) > 3
    assert found[0].price == space.best(inf, "price", {}).price
    for design in found:
        assert space.best(design.cycles_per_frame, "price", {}).price == pytest.approx(design.price)
    assert space.best(space.levels[0], "price", {}) is None or cycles[-1] == space.levels[0]


def test_a_search_without_an_end_proves_nothing(monkeypatch):
    """Where the solver stops undecided, the gap says how much faster a design might be."""
    graph, frames = networks.chain(
        {"op": "conv", "filters": 8, "padding": (1, 1, 1, 1)}, {"op": "fc", "filters": 4}, shape=(6, 6, 4))
    space = Space(graph, Profile(graph, frames), Engine(family="dsp48e2"))
    best = fastest(space, "dsp", {"dsp": 8, "lut": 1e6})
    assert best.rate_gap == 0
    solve = Space.best

    def limited(self, cycles, *arguments, **options):
        if best.cycles_per_frame / 2 < cycles < best.cycles_per_frame:
            raise Undecided
        return solve(self, cycles, *arguments, **options)
    monkeypatch.setattr(Space, "best", limited)
    again = fastest(space, "dsp", {"dsp": 8, "lut": 1e6})
    assert again.cycles_per_frame == best.cycles_per_frame and 0.4 < again.rate_gap <= 0.5


@pytest.mark.parametrize("arguments, message", [
    (["nothing.onnx"], "'nothing.onnx' is neither a file nor the bundled network"),
    ([str(bundled.MODEL)], "Pictures are needed, to see where the zeros are; give them with --images"),
    (["digits", "--board", "none"], "Board must be one of"),
    (["digits", "--dsp", "9999"], "Budget of 9999 DSP blocks exceeds the 2520 of zcu102"),
    (["digits", "--dsp", "0", "--no-serial"], "Budget of 0 DSP blocks is too small"),
    (["digits", "--dsp", "9", "--fps", "9"], "not allowed with argument"),
])
def test_refusals(arguments, message, tmp_path, capsys):
    try:
        code = explore.main([*arguments, "--out", str(tmp_path / "out")])
    except SystemExit as error:
        code = error.code
    text = capsys.readouterr().err
    assert code == 2 and message in text and len(text.splitlines()) == 1 and not (tmp_path / "out").exists()
