"""Models of a stage on its own and of a whole design: cycles per frame, and where stages wait."""
from dataclasses import dataclass

import numpy as np

from cores.between import BEAT_BITS, FORK_DEPTH, sample_shape
from cores.branches import join_depths, readers
from cores.errors import UserError
from hdl.axi import lane_bits
from hdl.axi_in import WAY_DEPTH
from hdl.stream import channels_of_way
from hdl.table import QUEUE_DEPTH as TABLE_DEPTH

from . import fields as f
from .memory import Memory
from .plan import Maps, Stages
from .run import run

__all__ = ["Modelled", "StageWaits", "model_stage", "model_network"]


@dataclass(frozen=True)
class StageWaits:
    """Shares of a stage's time, over its lanes or ways, in the frames after the first.

    ``busy``: multiplying or moving beats. ``lookup``: looking up lists, most of them empty. ``starved``: waiting for
    pixels. ``blocked``: sums wait for the output. ``imbalance``: sums wait for other lanes. ``drain``: a pass ended
    before the sums of the one before were sent.
    """
    busy: float
    starved: float
    blocked: float
    imbalance: float
    drain: float
    lookup: float


@dataclass(frozen=True, eq=False)
class Modelled:
    """What the model says: when each frame's last beat leaves (of the last output), and the waits of each stage.

    ``cycles_per_frame`` is the steady state, between the ends of the first and the last frame; of a single one, all.
    """
    ends: np.ndarray
    waits: dict

    @property
    def first_frame(self):
        return int(self.ends[0]) + 1

    @property
    def cycles_per_frame(self):
        return _steady(self.ends)


def _steady(ends):
    return float((ends[-1] - ends[0]) / (len(ends) - 1)) if len(ends) > 1 else float(ends[0] + 1)


def model_stage(network, node, folding, masks, order=None, *, keep_zeros=False):
    """A stage on its own, beats always offered and always taken.

    Parameters
    ----------
    network : Graph
        Has the node's tensors.
    node : node of the graph
    folding : Folding
    masks : dict of str to array of bool (N, height, width, channels)
        Where the node's inputs and its output are not zero.
    order : array of int or None
        The frames that follow each other, out of the N; each once if None.
    keep_zeros : bool
        The dense engine; ``masks`` are true everywhere then.

    Returns
    -------
    Modelled

    Raises
    ------
    UserError
        If the engine is not ours.
    """
    _check([folding])
    memory = Memory()
    maps = Maps(memory, masks, np.arange(len(masks[node.output])) if order is None else order)
    stages = Stages(network, {node.name: folding}, memory, maps, keep_zeros)
    stages.working = {node.name: []}
    inputs = []
    for name in node.inputs:
        links = [memory.link(30, 0) for _ in range(folding.ways)]
        for way, link in enumerate(links):
            total = maps.beats(name, way, folding.ways).sum(1)[maps.order].sum()
            memory.process(f.FEED, {f.F_LINK: link, f.F_TOTAL: total}, [link])
        inputs.append(links)
    outputs = stages.outputs(node)
    ends = []
    stages.make(node, inputs, outputs)
    for way, link in enumerate(outputs):
        limits = np.cumsum(maps.beats(node.output, way, len(outputs)).sum(1)[maps.order])
        ends.append(memory.place(np.full(maps.frames, f.UNKNOWN)))
        memory.process(f.SINK, {f.K_LINK: link, f.K_ENDS_AT: ends[-1], f.K_FRAMES: maps.frames,
                              f.K_LIMITS_AT: memory.place(limits)}, [link])
    return _run(memory, stages, ends, maps.frames)


def model_network(network, foldings, input_ways, masks, order=None, *, keep_zeros=False, queues=None):
    """A whole design between its AXI4-Streams, without stalls on either side.

    Parameters
    ----------
    network : Graph
    foldings : dict of str to Folding
    input_ways : int
        Ways of the network's input.
    masks, order, keep_zeros
        As for :func:`model_stage`, of all tensors.
    queues : dict of str to int or None
        What if: beats of each way's queue before a stage that reads one tensor, by the stage's name.

    Returns
    -------
    Modelled

    Raises
    ------
    UserError
        If the engine is not ours.
    """
    _check(foldings.values())
    memory = Memory()
    maps = Maps(memory, masks, np.arange(len(masks[network.input])) if order is None else order)
    stages = Stages(network, foldings, memory, maps, keep_zeros)
    depths = {name: [(queues or {}).get(node.name) for node in nodes] + [None] * (name in network.outputs)
              for name, nodes in readers(network).items()}
    streams = {network.input: _forked(memory, _source(network, memory, maps, input_ways), depths[network.input])}
    for node in network.nodes:
        inputs = [streams[name].pop(0) for name in node.inputs]
        if len(inputs) > 1:
            inputs = [[_queued(memory, link, pixels * channels_of_way(network.tensors[name].channels, len(links)))
                       for link in links]
                      for name, links, pixels in zip(node.inputs, inputs, join_depths(network, node))]
        outputs = stages.outputs(node)
        stages.make(node, inputs, outputs)
        streams[node.output] = _forked(memory, outputs, depths[node.output])
    ends = [_target(network, memory, maps, name, streams[name].pop(0)) for name in network.outputs]
    return _run(memory, stages, ends, maps.frames)


def _check(foldings):
    if any(folding.fine is not None for folding in foldings):
        raise UserError("The cycle model does not know the published window engine; simulate such a design: "
                        "python -m sim.run")


def _source(network, memory, maps, ways):
    """The input adapter and its table; returns the links behind them."""
    name, tensor = network.input, network.tensors[network.input]
    raw = network.input_table is not None
    bits = 8 if raw else lane_bits(sample_shape(tensor))
    links = [memory.queue(WAY_DEPTH) for _ in range(ways)]
    sent = maps.bits(name)
    if raw:
        sent = memory.add("bits", np.ones(maps.masks[name].shape, np.uint8))
    memory.process(f.AXI_IN, maps.walked(name, ways, 0) | {
        f.TIME: 0, f.I_OUTS: ways, f.I_OUTS_AT: memory.place(links), f.I_SENT: sent, f.I_SAMPLES: BEAT_BITS // bits}, links)
    if not raw:
        return links
    outputs = [memory.queue(TABLE_DEPTH) for _ in links]
    for way, (link, out) in enumerate(zip(links, outputs)):
        memory.process(f.TABLE, maps.walked(name, ways, way) | {
            f.IN: link, f.OUT: out, f.T_READ: sent, f.T_SENT: maps.bits(name)}, [link, out])
    return outputs


def _forked(memory, links, depths):
    """The links of each reader of a stream, behind queues of ``depths``: None for the usual."""
    if depths == [None]:
        return [links]
    made = [[memory.queue(depth or FORK_DEPTH) for _ in links] for depth in depths]
    for way, link in enumerate(links):
        outs = [reader[way] for reader in made]
        memory.process(f.COPY, {f.C_IN: link, f.C_OUTS: len(outs), f.C_OUTS_AT: memory.place(outs)}, [link, *outs])
    return made


def _queued(memory, link, depth):
    """The link behind a queue of ``depth`` beats."""
    out = memory.queue(depth)
    memory.process(f.COPY, {f.C_IN: link, f.C_OUTS: 1, f.C_OUTS_AT: memory.place([out])}, [link, out])
    return out


def _target(network, memory, maps, name, links):
    """An output adapter; returns the place of its frames' ends."""
    ways, channels = len(links), network.tensors[name].channels
    if ways > 1:
        links = [_queued(memory, link, channels_of_way(channels, ways)) for link in links]
    ends = memory.place(np.full(maps.frames, f.UNKNOWN))
    memory.process(f.AXI_OUT, maps.walked(name, ways, 0) | {
        f.X_READ: maps.bits(name), f.X_INS_AT: memory.place(links), f.X_ENDS_AT: ends}, links)
    return ends


def _run(memory, stages, ends, frames):
    mem, bits, data, processes = memory.finished()
    run(mem, bits, data, processes)
    ends = np.max([mem[at:at + frames] if (mem[at:at + frames] != f.UNKNOWN).all() else _stuck() for at in ends], axis=0)
    return Modelled(ends, {name: _waits(mem, members) for name, members in stages.working.items()})


def _stuck():
    raise RuntimeError("The model of the pipeline stopped before its last frame: a deadlock")


def _waits(mem, members):
    totals = {name: float(sum(mem[p + field] for p in members)) for name, field in f.WAITS.items()}
    whole = sum(totals.values()) or 1.0
    return StageWaits(**{name: total / whole for name, total in totals.items()})
