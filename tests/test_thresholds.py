"""Thresholds: where they may be, what they do, and a search that only one half of the pictures decides."""
import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import networks
from cores import build, bundled
from cores.constant_channels import without_constant_channels
from cores.design import open_design
from cores.errors import UserError
from cores.fit import counted
from cores.folding.explore import explore
from cores.graph import Graph, Tensor
from cores.stages import Engine
from cores.thresholds.evaluate import Evaluator
from cores.thresholds.loss import Loss, measure_of
from cores.thresholds.path import candidates, path
from cores.thresholds.places import places, thresholds_of, with_thresholds
from cores.thresholds.search import _costs, halves, search
from cores.validate import validate
from platforms import board
from sim import reference

LAYERS = (
    {"op": "conv", "filters": 6, "padding": (1, 1, 1, 1)},
    {"op": "conv", "filters": 6, "padding": (1, 1, 1, 1), "low": -128, "high": 127},
    {"op": "add", "other": "t0"},
    {"op": "depthwise", "padding": (1, 1, 1, 1)},
    {"op": "max", "kernel": (2, 2), "stride": (2, 2)},
    {"op": "avg", "kernel": (3, 3)},
    {"op": "fc", "filters": 4, "low": -128, "high": 127},
)


@pytest.fixture(scope="module")
def network():
    return networks.chain(*LAYERS, shape=(6, 6, 3), frames=80)


def test_places(network):
    """Not a linear layer, not what only leaves the network, not what a pool makes."""
    graph, _ = network
    assert [node.name for node in places(graph)] == ["conv0", "add2", "depthwise3"]
    shorter = replace(graph, outputs=("t3",), nodes=graph.nodes[:4])
    assert [node.name for node in places(shorter)] == ["conv0", "add2"]


def test_with_thresholds(network):
    graph, frames = network
    given = {"conv0": 9, "add2": 12, "depthwise3": 1}
    changed = with_thresholds(graph, given)
    validate(changed)
    assert thresholds_of(changed) == {"conv0": 9, "add2": 12} and thresholds_of(graph) == {}
    plain, arrays = changed.to_arrays()
    assert thresholds_of(Graph.from_arrays(json.loads(json.dumps(plain)), arrays)) == {"conv0": 9, "add2": 12}
    before, after = reference.run(graph, frames)["t0"], reference.run(changed, frames)["t0"]
    assert np.array_equal(after, np.where(before < 9, 0, before))


@pytest.mark.parametrize("thresholds", [{}, {"conv0": 9}, {"depthwise3": 30}, {"conv0": 20, "add2": 12, "depthwise3": 5}])
def test_evaluator_is_the_reference(network, thresholds):
    graph, frames = network
    found = Evaluator(graph, frames).run(thresholds)
    validate(found.network)
    assert thresholds_of(found.network) == thresholds
    values = reference.run(found.network, frames)
    assert all(np.array_equal(found.outputs[name], values[name]) for name in graph.outputs)
    counts, frames = reference.nonzero_macs(found.network, values)
    assert found.products == {name: count / frames for name, count in counts.items()}


def test_means_of_sums_are_kept(network):
    graph, frames = network
    found = Evaluator(graph, frames).run({"conv0": 25, "add2": 12})
    before, after = reference.run(graph, frames), reference.run(found.network, frames)
    for old, new in zip(graph.nodes, found.network.nodes):
        if old.name in ("conv1", "depthwise3", "fc6"):
            means = [reference.conv_sums(values[old.input], node).mean((0, 1, 2))
                     for values, node in ((before, old), (after, new))]
            assert abs(means[0] - means[1]).max() <= 0.5 + 1e-6 and (old.bias != new.bias).any()
        elif old.name == "conv0":
            assert (old.bias == new.bias).all()


# ---- Losses ---------------------------------------------------------------------------------

def outputs(*shapes):
    """A graph that is only asked for its outputs."""
    tensors = {name: Tensor(name, *shape, -128, 127) for name, shape in zip("abc", shapes)}
    return Graph("g", "i", tuple(tensors), tensors)


def test_loss_of_classes():
    graph = outputs((1, 1, 3))
    without = {"a": np.array([[9, 0, 0], [9, 0, 0], [0, 9, 0], [0, 0, 9]]).reshape(4, 1, 1, 3)}
    got = {"a": np.array([[0, 9, 0], [0, 9, 0], [0, 9, 1], [0, 0, 9]]).reshape(4, 1, 1, 3)}
    labels = np.array([0, 1, 1, 0])
    found = Loss.of(graph, without, got)
    assert measure_of(graph, None) == "top-1 agreement"
    assert (found.loss, found.top1_agreement, found.accuracy) == (0.5, 0.5, None)
    assert found.noise == pytest.approx((4 * 81 + 1) / (4 * 81)) and found.output_snr_db == pytest.approx(0, abs=0.05)
    found = Loss.of(graph, without, got, labels)
    assert measure_of(graph, labels) == "accuracy"
    assert (found.loss, found.accuracy_without, found.accuracy) == (0, 0.5, 0.5)       # one lost, one won
    same = Loss.of(graph, without, without, labels)
    assert (same.loss, same.expected, same.noise, same.output_snr_db, same.top1_agreement) == (0, 0, 0, 200, 1)


def test_loss_of_maps_is_noise():
    graph = outputs((2, 2, 3), (1, 1, 1))
    without = {"a": np.full((1, 2, 2, 3), 10), "b": np.full((1, 1, 1, 1), 10)}
    got = {"a": without["a"], "b": np.full((1, 1, 1, 1), 9)}
    found = Loss.of(graph, without, got, np.array([0]))
    assert measure_of(graph, np.array([0])) == "noise"
    assert found.loss == found.expected == found.larger == 0.01 and found.output_snr_db == 20


@pytest.mark.parametrize("labelled", [False, True])
def test_expected_loss_is_what_many_pictures_lose(labelled):
    rng = np.random.default_rng(0)
    graph, count = outputs((1, 1, 4)), 100_000
    scores = rng.normal(0, 40, (count, 1, 1, 4))
    labels = np.where(rng.random(count) < 0.7, scores.reshape(count, 4).argmax(1), rng.integers(0, 4, count))
    changed = scores + rng.normal(0, 4, scores.shape)
    found = Loss.of(graph, {"a": scores}, {"a": changed}, labels if labelled else None)
    assert 0.02 < found.loss < 0.1 and found.expected == pytest.approx(found.loss, rel=0.1)


# ---- The path and the search -------------------------------------------------------------------

def test_path_rises(network):
    graph, frames = network
    evaluator = Evaluator(graph, frames[:16])
    steps = path(evaluator, lambda products: sum(products.values()), points=9)
    assert 3 < len(steps) <= 9
    tried = candidates(evaluator)
    for before, after in zip([{}, *steps], steps):
        assert all(after[name] >= threshold for name, threshold in before.items()) and before != after
        assert all(threshold in tried[name] for name, threshold in after.items())
    work = [sum(evaluator.run(step).products.values()) for step in steps]
    assert work == sorted(work, reverse=True) and work[-1] < 0.8 * work[0]


def found(network, images, labels, limit, known=None):
    """A search; ``known`` are its explorations by thresholds."""
    known = {} if known is None else known

    def choose(graph):
        key = tuple(thresholds_of(graph).items())
        if key not in known:
            known[key] = explore(without_constant_channels(graph)[0], images[halves(len(images))[0]], Engine(),
                                 {"multipliers": 24}, board("zcu102"))
        return known[key]
    return search(network, images, labels, limit, explore=choose, each=lambda sequence, what: sequence,
                  price=lambda design: design.cycles_per_frame * design.price)


def test_search(network):
    graph, _ = network
    images = np.random.default_rng(1).integers(0, 256, (60, 6, 6, 3), np.uint8)
    labels = reference.run_outputs(graph, images.astype(np.int32))["t6"].reshape(60, -1).argmax(1)
    known = {}
    result = found(graph, images, labels, 0.05, known)
    first, chosen = result.points[0], result.chosen
    assert result.pictures == {"search": 30, "test": 30}
    assert first.thresholds == {} and first.work == 1 and first.search.loss == first.test.loss == 0
    assert chosen.search.larger <= 0.05 and chosen.thresholds and chosen.work < 1
    assert chosen.exploration.design.cycles_per_frame < first.exploration.design.cycles_per_frame
    # Whatever the other half is, the choice stays.
    ours, theirs = halves(60)
    other, wrong = images.copy(), labels.copy()
    other[theirs], wrong[theirs] = 0, 0
    assert found(graph, other, wrong, 0.05, known).chosen.thresholds == chosen.thresholds
    assert sorted([*ours, *theirs]) == list(range(60))


def test_products_of_serial_multipliers_cost_something():
    graph, frames = networks.chain({"op": "conv", "filters": 4}, {"op": "fc", "filters": 3}, shape=(6, 6, 2), frames=4)
    serial, packed = (explore(graph, frames, Engine(family="dsp48e2"), {"dsp": count}, board("zcu102")) for count in (0, 40))
    for found in (serial, packed):
        costs = _costs(found)
        assert len(costs) == 2 and min(costs.values()) > 0


def test_nothing_pays_where_nothing_may_be_lost(network):
    graph, _ = network
    images = np.random.default_rng(1).integers(0, 256, (8, 6, 6, 3), np.uint8)
    result = found(graph, images, None, 0.0)
    assert result.chosen is result.points[0] and len(result.points) > 1


def test_halves_refuse():
    with pytest.raises(UserError, match=r"^--threshold-loss needs at least 2 pictures, to search on one half and test on "
                                        r"the other, not 1$"):
        halves(1)


# ---- The command line --------------------------------------------------------------------------

def two_layers(path):
    """A float network: 3x3 convolutions with ReLU from 3 to 12 and to 12 channels, of 8 x 8 pixels."""
    rng, nodes, constants, source = np.random.default_rng(0), [], [], "x"
    for number, channels in enumerate((3, 12)):
        weights = rng.normal(0, (9 * channels) ** -0.5, (12, channels, 3, 3)).astype(np.float32)
        constants.append(numpy_helper.from_array(weights, f"w{number}"))
        nodes += [helper.make_node("Conv", [source, f"w{number}"], [f"c{number}"], name=f"conv{number}", pads=[1] * 4),
                  helper.make_node("Relu", [f"c{number}"], [f"r{number}"])]
        source = f"r{number}"
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, 8, 8])
            for name, channels in (("x", 3), ("r1", 12))]
    graph = helper.make_graph(nodes, "two", ends[:1], ends[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def test_build(tmp_path, capsys):
    """The report, what is printed, the golden vectors and what is built; the output is no classes."""
    two_layers(tmp_path / "net.onnx")
    images = np.random.default_rng(2).integers(0, 256, (20, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "pictures.npz", images=images)
    arguments = ["--model", str(tmp_path / "net.onnx"), "--calib", str(tmp_path / "pictures.npz"), "--scale", "1/64",
                 "--multipliers", "20", "--threshold-loss", "10%", "--out", str(tmp_path / "out")]
    assert build.main(arguments) == 0
    printed = capsys.readouterr().out
    thresholds = json.loads((tmp_path / "out" / "report.json").read_text())["thresholds"]
    assert thresholds["loss_is"] == "noise" and thresholds["limit"] == 0.1
    assert thresholds["pictures"] == {"search": 10, "test": 10}
    assert thresholds["search"]["loss"] <= 0.1 and thresholds["cycles_per_frame"] <= thresholds["cycles_per_frame_without"]
    assert sum(point["chosen"] for point in thresholds["curve"]) == 1 and thresholds["curve"][0]["work"] == 1
    assert "noise, at most 10.00%" in printed and f"thresholds in {counted(len(thresholds['layers']), 'layer')}: " in printed
    design, golden = open_design(tmp_path / "out"), np.load(tmp_path / "out" / "golden.npz")
    assert thresholds_of(design.network) == thresholds["layers"] != {}
    assert np.array_equal(golden["images"], images[halves(20)[1]])
    assert (tmp_path / "out" / "thresholds.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("arguments, message", [
    (["--threshold-loss", "much"], "argument --threshold-loss: must be from 0% to 100%, or from 0 to 1, not 'much'"),
    (["--threshold-loss", "101%"], "argument --threshold-loss: must be from 0% to 100%, or from 0 to 1, not '101%'"),
    (["--threshold-loss", "1%", "--engine", "dense"], "--threshold-loss saves nothing with --engine dense"),
    (["--threshold-loss", "1%", "--model", str(bundled.MODEL)], "--threshold-loss needs pictures to measure the loss on"),
])
def test_build_refuses(capsys, arguments, message):
    try:
        code = build.main(arguments)
    except SystemExit as stop:
        code = stop.code
    error = capsys.readouterr().err
    assert code == 2 and error.startswith(f"error: {message}") and error.count("\n") == 1
