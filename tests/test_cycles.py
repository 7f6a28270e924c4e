# amaranth: UnusedElaboratable=no
"""The cycle model against Amaranth's simulator: stages on their own and small designs, to the cycle."""
import dataclasses

import numpy as np
import pytest

import networks
from cores.errors import UserError
from cores.folding.allocate import Design, fold
from cores.graph import Concat, Graph, Pad, Slice, Table, Tensor, Upsample
from cores.stages import Engine, Folding, component, operands
from cores.top import Top, output_ports
from hdl.stream import Queue
from sim import axi, harness, reference
from sim.cycles.__main__ import main
from sim.cycles.links import head, put, room, take
from sim.cycles.memory import Memory
from sim.cycles.model import model_network, model_stage
from sim.pixels import to_beats
from test_axi import bus

CONV = {"op": "conv", "filters": 6, "padding": (1, 1, 1, 1)}
DEPTHWISE = {"op": "depthwise", "padding": (1, 1, 1, 1)}


def masks_of(values):
    return {name: array != 0 for name, array in values.items()}


def stage_ends(network, node, folding, values):
    """The cycle in which a stage's last beat of each frame is taken, in Amaranth's simulator (which counts from 1)."""
    stage = component(network, node, folding, Engine())
    sources = [harness.Source(way, beats) for name, port in zip(node.inputs, operands(stage))
               for way, beats in zip(port.way, to_beats(values[name], folding.ways))]
    wanted = to_beats(values[node.output], folding.out_ways)
    sinks = [harness.Sink(way, len(beats)) for way, beats in zip(stage.o.way, wanted)]
    harness.run(stage, sources, sinks)
    ends = []
    for sink in sinks:
        closing = [cycle for cycle, beat in zip(sink.cycles, sink.got) if beat.last]
        ends.append(np.reshape(closing, (len(values[node.output]), -1))[:, -1])
    return np.max(ends, axis=0) - 1


def assert_exact(network, node, folding, values):
    """Every frame ends in the cycle that the model says."""
    modelled = model_stage(network, node, folding, masks_of(values))
    assert modelled.ends.tolist() == stage_ends(network, node, folding, values).tolist()
    waits = modelled.waits[node.name]
    assert sum(vars(waits).values()) == pytest.approx(1) or isinstance(node, Upsample)


@pytest.mark.parametrize("layer, folding", [
    (CONV, Folding(pes=3)),
    (CONV, Folding(lanes=2, pes=4, ways=2, out_ways=2, requantize_cycles=4)),
    (CONV, Folding(lanes=3, row_lanes=3, pes=3, requantize_cycles=8)),
    (CONV, Folding(lanes=3, pes=6, out_ways=3, ways=3, windows=1)),
    ({**CONV, "kernel": (1, 1), "padding": (0,) * 4}, Folding(lanes=3, pes=6)),
    ({**CONV, "stride": (2, 2), "filters": 5}, Folding(lanes=2, pes=2)),
    (CONV, Folding(serial=True)),
    (CONV, Folding(lanes=2, pes=6, out_ways=3, serial=True)),
    ({**CONV, "kernel": (1, 1), "padding": (0,) * 4}, Folding(serial=True, requantize_cycles=4)),
    (DEPTHWISE, Folding()),
    (DEPTHWISE, Folding(serial=True)),
    (DEPTHWISE, Folding(row_lanes=3, serial=True, windows=1)),
    (DEPTHWISE, Folding(lanes=2, row_lanes=3, ways=2, out_ways=2, requantize_cycles=2)),
    ({"op": "max", "kernel": (3, 3), "stride": (2, 2)}, Folding()),
    ({"op": "avg", "kernel": (2, 2)}, Folding(lanes=2, ways=2, out_ways=2, requantize_cycles=3)),
    ({"op": "avg", "kernel": (3, 4)}, Folding(requantize_cycles=8)),
    ({"op": "fc", "filters": 5}, Folding(lanes=2, pes=5)),
], ids=str)
def test_stages_with_a_window(layer, folding):
    network, x = networks.chain(layer, shape=(3, 4, 6), frames=3)
    x[1] = 0                    # nothing to multiply, and everything
    x[2] = np.maximum(x[2], 1)
    assert_exact(network, network.nodes[0], folding, reference.run(network, x))


@pytest.mark.parametrize("folding", [Folding(), Folding(serial=True), Folding(pes=6)], ids=str)
def test_a_stage_that_the_next_one_holds_up_is_blocked(folding):
    """It is not said to drain, not even one with a single sum in each pass."""
    network, x = networks.chain(CONV, CONV, shape=(6, 6, 3), frames=4)
    modelled = model_network(network, {"conv0": folding, "conv1": Folding(serial=True)}, 1, masks_of(reference.run(network, x)))
    waits = modelled.waits["conv0"]
    assert waits.blocked > 0.4 and waits.drain < 0.05 and waits.busy + waits.blocked > 0.9


SHAPE = 3, 4, 6
MOVES = [
    Slice("stage", "in", "out", (1, 0, 2), (2, 2, 3), (1, 2)),
    Pad("stage", "in", "out", (1, 2, 0), (0, 1, 2)),
    Pad("stage", "in", "out", (1, 2, 2), (0, 1, 1), 3),
    Upsample("stage", "in", "out", (2, 3)),
    Table("stage", "in", "out", 0, np.maximum(np.arange(256)[None] - 90, 0)),
    Table("stage", "in", "out", 0, np.arange(255, -1, -1)[None]),
]


@pytest.mark.parametrize("ways", [1, 2])
@pytest.mark.parametrize("node", MOVES, ids=lambda node: node.op)
def test_stages_that_move_values(node, ways):
    rng = np.random.default_rng(0)
    x = np.where(rng.random((3, *SHAPE)) < 0.6, rng.integers(0, 256, (3, *SHAPE)), 0).astype(np.int32)
    out = reference.run_node(node, x)
    network = Graph("one", "in", ("out",), {
        "in": Tensor("in", *SHAPE, 0, 255), "out": Tensor("out", *out.shape[1:], 0, 255)}, (node,))
    assert_exact(network, node, Folding(lanes=ways, ways=ways, out_ways=ways), {"in": x, "out": out})


@pytest.mark.parametrize("ways", [1, 3])
def test_joins(ways):
    network, x = networks.chain({**CONV, "filters": 6}, {"op": "add", "other": "in"}, shape=SHAPE, frames=3)
    folding = Folding(lanes=ways, ways=ways, out_ways=ways)
    values = reference.run(network, x)
    assert_exact(network, network.nodes[1], folding, values)
    node = Concat("stage", ("t0", "in"), "out")
    values["out"] = reference.run_node(node, values["t0"], values["in"])
    network = dataclasses.replace(network, tensors=network.tensors | {"out": Tensor("out", 3, 4, 12, 0, 255)})
    assert_exact(network, node, folding, values)


def test_a_whole_design():
    """Adapters, forks, queues before joins, and stages that hold each other up."""
    layers = [CONV, CONV, CONV, {"op": "add", "other": "t0"}, {"op": "max", "kernel": (2, 2), "stride": (2, 2)},
              {"op": "avg", "kernel": (2, 3)}]
    foldings = {"conv0": Folding(pes=4), "conv1": Folding(lanes=2, pes=4), "conv2": Folding(lanes=4, pes=2)}
    network, x = networks.chain(*layers, shape=(4, 6, 3), frames=3)
    design = Design(1, {node.name: foldings.get(node.name, Folding()) for node in network.nodes}, 0.0)
    top = Top(network, design=design, stages=fold(network, design, Engine()))
    data, last = axi.pack(x, 8)
    beats = axi.beats_per_frame(network.tensors[network.outputs[0]])
    sink = harness.Sink(bus(getattr(top, output_ports(network)[0])), len(x) * beats)
    harness.run(top, [harness.Source(bus(top.s_axis), [int(d) | int(n) << 64 for d, n in zip(data, last)])], [sink])
    modelled = model_network(network, design.foldings, 1, masks_of(reference.run(network, x)))
    assert modelled.ends.tolist() == [cycle - 1 for cycle in sink.cycles[beats - 1::beats]]


@pytest.mark.parametrize("depth", [1, 2, 4, 16])
def test_queues(depth):
    """When beats enter and leave a queue whose reader pauses now and then."""
    rng = np.random.default_rng(depth)
    memory = Memory()
    link = memory.queue(depth)
    mem, *_ = memory.finished()
    queue = Queue(8, depth=depth)
    sink = harness.Sink(queue.o, 60)
    sink.p = 0.5
    harness.run(queue, [harness.Source(queue.i, [int(n) for n in rng.integers(0, 99, 60)])], [sink], seed=depth)
    # The model's reader takes each beat in the cycle in which the simulator's did, and must be able to.
    written = 0
    for n, cycle in enumerate(sink.cycles):
        while written < 60 and (free := room.py_func(mem, link)) >= 0:
            put.py_func(mem, link, max(free, written))
            written += 1
        assert 0 <= head.py_func(mem, link) <= cycle, n
        take.py_func(mem, link, cycle)


@pytest.mark.parametrize("field, numbers", [("windows", (1, 2, 4, 16)), ("requantize_cycles", (8, 4, 2, 1))])
def test_more_is_never_slower(field, numbers):
    network, x = networks.chain(CONV, CONV, shape=(8, 8, 8), frames=2)
    masks, cycles = masks_of(reference.run(network, x)), []
    for number in numbers:
        foldings = {node.name: Folding(lanes=4, pes=3, **{field: number}) for node in network.nodes}
        cycles.append(model_network(network, foldings, 1, masks).ends[-1])
    assert cycles == sorted(cycles, reverse=True) and cycles[-1] < cycles[0]


def test_order_repeats_frames():
    network, x = networks.chain(CONV, shape=(5, 5, 8), frames=2)
    masks, foldings = masks_of(reference.run(network, x)), {"conv0": Folding(pes=6)}
    order = [1, 0, 0, 1]
    again = {name: mask[order] for name, mask in masks.items()}
    assert (model_network(network, foldings, 1, masks, order).ends == model_network(network, foldings, 1, again).ends).all()


def test_the_other_engine_is_refused():
    network, x = networks.chain(CONV, shape=(5, 5, 8), frames=2)
    with pytest.raises(UserError, match="does not know the published window engine"):
        model_network(network, {"conv0": Folding(fine=2)}, 1, masks_of(reference.run(network, x)))


def test_command_needs_a_design_or_a_number(capsys):
    assert main([]) == 2
    assert capsys.readouterr().err == "error: Give either the folder of a design or --validate N\n"
