"""The profile: counts of non-zeros against the reference, and its command line."""
import json

import numpy as np
import pytest

import networks
from cores import bundled, profile
from cores.folding.profile import Profile
from cores.traces import QUANTILES, saved, traces
from sim import reference

FILES = ["profile.json", "profile.png", "traces.npz"]


@pytest.fixture(scope="module")
def counted():
    graph, frames = networks.chain(
        {"op": "conv", "filters": 6, "stride": (2, 2), "padding": (1, 1, 1, 1)},
        {"op": "depthwise", "padding": (1, 1, 1, 1)}, {"op": "add", "other": "t0"},
        {"op": "max", "kernel": (2, 2), "stride": (2, 2)}, {"op": "fc", "filters": 3}, shape=(9, 8, 4), frames=3)
    return graph, frames, Profile(graph, frames)


def windows(values, node):
    """Non-zeros under each window, counted one by one."""
    top, left, bottom, right = node.padding
    padded = np.pad(values != 0, ((0, 0), (top, bottom), (left, right), (0, 0)))
    (kh, kw), (sh, sw) = node.kernel, node.stride
    return np.array([[[picture[y:y + kh, x:x + kw].sum() for x in range(0, picture.shape[1] - kw + 1, sw)]
                      for y in range(0, picture.shape[0] - kh + 1, sh)] for picture in padded])


def test_work_is_what_windows_hold(counted):
    graph, frames, counts = counted
    values = reference.run(graph, frames)
    for node in graph.nodes:
        if node.op == "add":
            wanted = np.logical_or(*(values[name] != 0 for name in node.inputs)).sum(-1)
        else:
            wanted = windows(values[node.input], node)
        assert np.array_equal(counts.work(node), wanted), node.name


def test_figures_of_a_stage(counted):
    graph, frames, counts = counted
    trace = traces(graph, counts)[0]
    figures = trace.figures()
    assert figures["zero_fraction"] == round(np.mean(frames == 0), 4)
    assert figures["nonzeros_per_output_pixel"]["dense"] == 9 * 4
    assert list(figures["nonzeros_per_output_pixel"]["quantiles"].values()) == [
        sorted(trace.work.ravel())[max(0, int(np.ceil(trace.work.size * q / 100)) - 1)] for q in QUANTILES]
    assert figures["channel_density"] == np.round((frames != 0).mean((0, 1, 2)), 4).tolist()
    assert len(trace.rows) == trace.work.shape[1] and np.isclose(trace.rows.mean(), 1)
    assert len(trace.frames) == len(frames) and np.isclose(trace.frames.mean(), 1)


def test_all_zero_input():
    graph, frames = networks.chain({"op": "conv", "filters": 2}, shape=(4, 4, 2))
    trace = traces(graph, Profile(graph, np.zeros_like(frames)))[0]
    assert not trace.work.any() and trace.zeros == 1 and trace.figures()["channels_always_zero"] == 2
    assert set(trace.rows) == set(trace.frames) == {1}


def test_saved_traces_say_which_values_are_not_zero(counted, tmp_path):
    graph, frames, counts = counted
    found = traces(graph, counts)
    (tmp_path / "traces.npz").write_bytes(saved(graph, counts, found))
    arrays = np.load(tmp_path / "traces.npz")
    for n, values in enumerate(reference.run(graph, frames).values()):
        bits = np.unpackbits(arrays[f"nonzero_{n}"], axis=-1, count=arrays[f"channels_{n}"])
        assert np.array_equal(bits, values != 0)
    for n, trace in enumerate(found):
        assert arrays["stages"][n] == trace.name and np.array_equal(arrays[f"work_{n}"], trace.work)


def test_command_repeats_itself(tmp_path, capsys):
    for name in "a", "b":
        assert profile.main(["digits", "--frames", "3", "--out", str(tmp_path / name)]) == 0
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == FILES
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    report = json.loads((tmp_path / "a" / "profile.json").read_text())
    assert report["files"] == FILES and report["pictures"] == 3 and len(report["stages"]) > 5
    assert "always zero" in capsys.readouterr().out


@pytest.mark.parametrize("arguments, message", [
    (["nothing.onnx"], "'nothing.onnx' is neither a file nor the bundled network"),
    ([str(bundled.MODEL)], "Pictures are needed, to see where the zeros are; give them with --images"),
    (["digits", "--images", "nowhere"], "'nowhere'"),
    (["digits", "--frames", "0"], "must be a positive integer"),
])
def test_refusals(arguments, message, tmp_path, capsys):
    try:
        code = profile.main([*arguments, "--out", str(tmp_path / "out")])
    except SystemExit as error:
        code = error.code
    text = capsys.readouterr().err
    assert code == 2 and message in text and len(text.splitlines()) == 1 and not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_refused(tmp_path, capsys):
    (tmp_path / "profile.json").write_text("{}")
    assert profile.main(["digits", "--out", str(tmp_path)]) == 2
    assert "holds a profile.json that is not of a profile" in capsys.readouterr().err
