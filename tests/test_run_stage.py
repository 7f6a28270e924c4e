"""Stages on their own and designs with several outputs in Verilator: what is right passes, what is wrong is found."""
import dataclasses
import json

import numpy as np
import pytest

import built
import networks
from cores.emit import FilePlatform
from cores.folding.allocate import Design
from cores.stages import Engine, Folding, component
from sim import run, stage_bench
from sim.run_stages import chosen

SAME = {"op": "conv", "filters": 4, "padding": (1, 1, 1, 1)}
LAYERS = [{**SAME, "filters": 6}, {"op": "max", "kernel": (2, 2), "stride": (2, 2)}, {**SAME, "filters": 6},
          {"op": "add", "other": "t1"}]
FOLDINGS = {"conv0": Folding(pes=4, out_ways=2), "max1": Folding(2, ways=2, out_ways=2),
            "conv2": Folding(2, pes=2, ways=2, out_ways=2), "add3": Folding(2, ways=2, out_ways=2)}


def network():
    """A skip connection, and two outputs: one of the middle, one of the end."""
    graph, frames = networks.chain(*LAYERS, shape=(8, 6, 3), frames=3)
    return dataclasses.replace(graph, outputs=("t2", "t3")), frames.astype(np.uint8)


def write(folder):
    """What cores.build writes for the network, as far as sim.run reads it."""
    return built.write(folder, *network(), Design(1, FOLDINGS, 5000.0), Engine())


@pytest.fixture(scope="module")
def design(tmp_path_factory):
    return write(tmp_path_factory.mktemp("stages") / "design")


def roms(stage):
    """Names of a stage's memory files."""
    graph, _ = network()
    node = next(node for node in graph.nodes if node.name == stage)
    platform = FilePlatform()
    stage_bench.emit(component(graph, node, FOLDINGS[stage], Engine()), platform)
    return list(platform.files)


@pytest.fixture
def damaged(design):
    """The design with one bit inverted in the middle of the weights of conv2."""
    path = max((design / "rtl" / name for name in roms("conv2")), key=lambda path: path.stat().st_size)
    right = path.read_text()
    words = right.splitlines()
    words[len(words) // 2] = f"{int(words[len(words) // 2], 16) ^ 0x40:0{len(words[0])}x}"
    path.write_text("\n".join(words) + "\n")
    yield design
    path.write_text(right)


def figures(design, *options, code=0):
    path = design / "figures.json"
    assert run.main([str(design), "--json", str(path), *options]) == code
    return json.loads(path.read_text())


def test_every_stage(design, capsys):
    rows = figures(design, "--stage", "all", "--stalls", "0.2")
    assert [(row["stage"], row["operator"]) for row in rows] == [
        ("conv0", "conv"), ("max1", "max"), ("conv2", "conv"), ("add3", "add")]
    assert all(row["mismatches"] == 0 and row["frames"] == 2 and not row["fault"] for row in rows)
    output = capsys.readouterr().out
    assert all(name in output for name in FOLDINGS)


def test_cycles(design):
    row, = figures(design, "--stage", "conv2", "--frames", "4")
    assert row["frames"] == 4 and row["mismatches"] == 0
    assert row["cycles"] == pytest.approx(row["modelled"], rel=0.1) and row["modelled"] > 500


def test_a_wrong_byte_is_found(damaged, capsys):
    rows = figures(damaged, "--stage", "conv2", "--stage", "add3", code=1)
    assert [row["mismatches"] > 0 for row in rows] == [True, False]
    assert "conv2: first difference: frame 0, pixel (" in capsys.readouterr().out


def test_outputs(design):
    result = figures(design, "--frames", "5", "--stalls", "0.3")
    assert result["outputs"] == {"t2": 0, "t3": 0} and result["mismatches"] == 0
    assert 0 <= result["accuracy"] <= 1


def test_each_output_is_compared(damaged, capsys):
    result = figures(damaged, code=1)
    assert result["outputs"]["t2"] > 0 and result["outputs"]["t3"] > 0
    assert result["mismatches"] == sum(result["outputs"].values())
    error = capsys.readouterr().err
    assert "t2: first difference" in error and "t3: first difference" in error


@pytest.mark.parametrize("options, message", [
    (["--stage", "conv9"], "error: Stage must be all, or one of the 4 of 'chain' (conv0, max1, conv2, …: report.json "
                           "has their names), not 'conv9'"),
    (["--stage", "all", "--wave", "WAVE"], "error: A waveform is of one stage; name one with --stage"),
])
def test_refusals(design, tmp_path, options, message, capsys):
    assert run.main([str(design), *(str(tmp_path / "x.vcd") if o == "WAVE" else o for o in options)]) == 2
    assert message in capsys.readouterr().err


def test_a_lost_memory_is_refused(design, capsys):
    path = design / "rtl" / roms("conv0")[0]
    path.rename(path.with_suffix(".lost"))
    try:
        assert run.main([str(design), "--stage", "conv0"]) == 2
    finally:
        path.with_suffix(".lost").rename(path)
    assert f"lacks {path.name}, a memory of stage 'conv0'" in capsys.readouterr().err


def test_order_of_stages():
    graph, _ = network()
    assert [node.name for node in chosen(graph, ["add3", "conv0", "add3"])] == ["conv0", "add3"]


def test_ports():
    graph, _ = network()
    conv, add = (component(graph, graph.nodes[n], FOLDINGS[graph.nodes[n].name], Engine()) for n in (0, 3))
    assert [list(ports) for ports in stage_bench.ports_of(conv)] == [["i"], ["o"]]
    assert [list(ports) for ports in stage_bench.ports_of(add)] == [["a", "b"], ["o"]]


def test_beats_that_carry_nothing_are_counted(design, tmp_path):
    """The dense engine's zeros are no part of the sparse stream."""
    graph, images = network()
    node = graph.nodes[0]
    stage = component(graph, node, FOLDINGS["conv0"], Engine(keep_zeros=True))
    platform = FilePlatform()
    simulation = stage_bench.compile_stage(
        stage, stage_bench.emit(stage, platform), folder=tmp_path, family="behavioural", runtime=design)
    for name, text in platform.files.items():
        (tmp_path / name).write_text(text)
    expected = run.reference.run_node(node, images.astype(np.int32))
    zeros = int((expected == 0).sum())
    for keep_zeros, low, high in ((True, 0, 0), (False, zeros // 2, zeros)):
        result = stage_bench.stream(simulation, stage, [images], expected.shape, keep_zeros=keep_zeros, cwd=tmp_path)
        assert np.array_equal(result.maps, expected) and low <= result.idle <= high and result.cycles > 0
