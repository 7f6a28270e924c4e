"""Cycles of a whole pipeline, or of a stage on its own, for some frames."""
from dataclasses import dataclass
from math import gcd

import numpy as np

from cores.branches import join_depths, readers
from cores.top import BEAT_BITS, FORK_DEPTH, sample_shape
from hdl.axi import lane_bits
from hdl.axi_in import WAY_DEPTH
from hdl.stream import channels_of_way
from hdl.table import QUEUE_DEPTH
from sim.cycles.engine import run
from sim.cycles.plan import Plan, queue_depth
from sim.cycles.scripts import table_steps
from sim.cycles.stages import beats_of, script_units, stage_units
from sim.cycles.trace import Trace

__all__ = ["CycleReport", "StageCycles", "simulate", "simulate_stage", "plan_network"]


@dataclass(frozen=True)
class StageCycles:
    """What the lanes of a stage, or its ways, do with their cycles: shares that sum to 1.

    ``busy`` reading non-zeros, or moving beats; ``starved`` waiting for a pixel; ``fill`` from the pixel
    that completes a window to its first product; ``taps`` looking up lists, and passes without any
    non-zero; ``imbalance`` waiting for slower lanes; ``drain`` waiting until the sums of the pass before
    are sent, at the rate of the accumulator; ``blocked`` waiting for room in the output.
    """
    busy: float
    starved: float
    fill: float
    taps: float
    imbalance: float
    drain: float
    blocked: float


@dataclass(frozen=True, eq=False)
class CycleReport:
    """When each frame had left, and what the stages did meanwhile.

    ``ends`` are the cycles, counted from reset, in which the last beat of each frame leaves;
    ``stages`` are of all frames but the first, by node name; ``queues`` are the most beats that each of
    a join's queues held, by node name and operand.
    """
    ends: np.ndarray
    stages: dict
    queues: dict

    @property
    def first_frame(self):
        """Cycles of the first frame, from reset."""
        return int(self.ends[0]) + 1

    @property
    def cycles_per_frame(self):
        """Cycles of a frame in steady state; of the first one if there is but one."""
        if len(self.ends) == 1:
            return float(self.first_frame)
        return float(self.ends[-1] - self.ends[0]) / (len(self.ends) - 1)


def simulate(network, design, engine, frames, *, depths=None):
    """Model a design on some frames, back to back, without stalls on its ports.

    Parameters
    ----------
    network : Graph
    design : cores.folding.Design
    engine : cores.stages.Engine
    frames : Trace, or array of int (N, height, width, channels)
        Stored values of the input, or the trace of them.
    depths : {node name: tuple of int}, optional
        Pixels that the queues of a join hold, instead of :func:`cores.branches.join_depths`.

    Raises
    ------
    RuntimeError
        If the pipeline deadlocks.
    """
    trace = frames if isinstance(frames, Trace) else Trace(network, frames, keep_zeros=engine.keep_zeros)
    planned = plan_network(network, design, trace, depths=depths)
    tables = planned.plan.tables()
    run(tables)
    ends = []
    for unit in planned.outputs:
        row = tables.output[planned.plan.row(unit)]
        done = row["sample"] // (row["pixels"] * row["channels"])
        if done < trace.frames:
            raise RuntimeError(f"The pipeline deadlocks in frame {done}: "
                               f"{', '.join(_stuck(tables)) or 'nothing'} cannot go on")
        ends.append(tables.time[row["ends_at"]:row["ends_at"] + trace.frames])
    return CycleReport(np.max(ends, axis=0), _shares(tables, planned.stages),
                       {key: max(_peak(tables, link) for link in links)
                        for key, links in planned.joins.items()})


def simulate_stage(network, node, folding, trace):
    """Model a stage on its own: its input is always there, its output always taken."""
    plan = Plan()
    inputs = []
    for name in node.inputs:
        inputs.append([plan.link(beats.sum(), -1) for beats in beats_of(trace, name, folding.ways)])
    outputs, units = stage_units(plan, network, node, folding, trace, inputs)
    for link in outputs:
        plan.add("sink", links=[link], link=link)
    tables = plan.tables()
    run(tables)
    ends = []
    for link, beats in zip(outputs, beats_of(trace, node.output, len(outputs))):
        row = tables.link[link]
        if row["takes"] < beats.sum():
            raise RuntimeError(f"Stage {node.name!r} deadlocks")
        last = np.cumsum(beats.reshape(trace.frames, -1).sum(1)) - 1
        ends.append(tables.time[row["take_at"] + last])
    return CycleReport(np.max(ends, axis=0), _shares(tables, {node.name: units}), {})


@dataclass(eq=False)
class Planned:
    """A plan, and which of its units and links are what."""
    plan: Plan
    outputs: list
    stages: dict
    joins: dict


def plan_network(network, design, trace, *, depths=None):
    """The plan of a whole pipeline, as :class:`cores.top.Top` joins its stages."""
    plan = Plan()
    planned = Planned(plan, [], {}, {})
    streams = {network.input: _fork(plan, network, network.input, _source(plan, network, design.ways, trace),
                                    trace)}
    for node in network.nodes:
        folding = design.foldings[node.name]
        inputs = [streams[name].pop(0) for name in node.inputs]
        if len(inputs) > 1:
            pixels = (depths or {}).get(node.name) or join_depths(network, node)
            for n, name in enumerate(node.inputs):
                per_way = channels_of_way(network.tensors[name].channels, len(inputs[n]))
                inputs[n] = _copies(plan, trace, name, inputs[n], [pixels[n] * per_way])[0]
                planned.joins[node.name, n] = inputs[n]
        outputs, planned.stages[node.name] = stage_units(plan, network, node, folding, trace, inputs)
        streams[node.output] = _fork(plan, network, node.output, outputs, trace)
    for name in network.outputs:
        planned.outputs.append(_output(plan, network, name, streams[name].pop(0), trace))
    return planned


def _copies(plan, trace, tensor, links, depths):
    """Copy the ways of a stream into queues: links[copy][way]."""
    copies = [[plan.link(beats.sum(), queue_depth(depth)) for beats in beats_of(trace, tensor, len(links))]
              for depth in depths]
    for source, *targets in zip(links, *copies):
        plan.add("fork", links=[source, *targets], link=source, links_at=plan.ints(targets),
                 copies=len(targets))
    return copies


def _fork(plan, network, name, links, trace):
    """A tensor's stream for each of its readers."""
    copies = len(readers(network)[name]) + (name in network.outputs)
    return [links] if copies == 1 else _copies(plan, trace, name, links, [FORK_DEPTH] * copies)


def _source(plan, network, ways, trace):
    """The adapter at the input, and the table behind it; returns the links of its ways."""
    tensor = network.tensors[network.input]
    beats = trace.beats(tensor.name, ways)
    tabled = network.input_table is not None
    raw = np.ones_like(beats) if tabled else beats
    samples = BEAT_BITS // (8 if tabled else lane_bits(sample_shape(tensor)))
    links = [plan.link(np.count_nonzero(raw[:, way::ways]), queue_depth(WAY_DEPTH)) for way in range(ways)]
    unit, pixels = gcd(ways, samples), tensor.height * tensor.width
    plan.add("source", links=links, links_at=plan.ints(links), ways=ways, channels=tensor.channels,
             pixels=pixels, present_at=plan.flags(raw), frames=trace.frames, unit_group=ways // unit,
             unit_beat=samples // unit, unit_beats=-(-pixels * tensor.channels // samples))
    if not tabled:
        return links
    outputs = [plan.link(each.sum(), queue_depth(QUEUE_DEPTH)) for each in beats_of(trace, tensor.name, ways)]
    script_units(plan, [table_steps(raw[:, way::ways], beats[:, way::ways]) for way in range(ways)],
                 [[link] for link in links], outputs, trace.frames, 1)
    return outputs


def _output(plan, network, name, links, trace):
    """The adapter at an output."""
    tensor, ways = network.tensors[name], len(links)
    if ways > 1:
        links = _copies(plan, trace, name, links, [channels_of_way(tensor.channels, ways)])[0]
    return plan.add(
        "output", links=links, links_at=plan.ints(links), ways=ways, channels=tensor.channels,
        pixels=tensor.height * tensor.width, present_at=plan.flags(trace.beats(name, ways)),
        frames=trace.frames, ends_at=plan.times(trace.frames))


def _shares(tables, stages):
    """StageCycles of each stage."""
    result = {}
    for name, units in stages.items():
        cycles = tables.share[units].sum(0)
        result[name] = StageCycles(*(float(n) for n in cycles / max(1, cycles.sum())))
    return result


def _peak(tables, link):
    """The most beats that a queue held."""
    row = tables.link[link]
    puts = tables.time[row["put_at"]:row["put_at"] + row["puts"]]
    takes = tables.time[row["take_at"]:row["take_at"] + row["takes"]]
    return int((np.arange(1, len(puts) + 1) - np.searchsorted(takes, puts)).max(initial=0))


def _stuck(tables):
    return [f"store {n}" for n, row in enumerate(tables.store) if row["pixel"] < row["pixels"]]
