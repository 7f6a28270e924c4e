"""The units of the model that each node of a network becomes."""
import inspect

import numpy as np

from cores.graph import Conv, Pool, Upsample
from cores.stages import is_depthwise, is_windowed, walk_of
from hdl import add, concat, pad, pool, table, upsample
from hdl import slice as slice_
from hdl.conv import Conv as ConvStage
from hdl.dot import SparseDot
from hdl.multiply import multiply_latency
from hdl.requantize import Requantize
from hdl.stream import channels_of_way
from hdl.weigh import Weigh
from hdl.window import default_slots
from sim.cycles.plan import queue_depth
from sim.cycles.scripts import script_of

__all__ = ["stage_units", "script_units", "beats_of"]


def _default(component, name):
    return inspect.signature(component).parameters[name].default


WINDOWS = _default(ConvStage, "windows")
SUMS_DEPTH = _default(Requantize, "depth")
# Stages from a lane to the end of a pass: in a pipeline of its own, and where the sums wait.
DOT, WEIGH, REDUCE = ({"middle": middle, "tail": tail} for middle, tail in (
    (0, SparseDot.latency - 2), (Weigh.latency, 1), (0, 1)))
MOVES = {               # (stages of the pipeline, depth of the queue behind it)
    "Add": (5, add.QUEUE_DEPTH), "Concat": (1, concat.QUEUE_DEPTH), "Table": (1, table.QUEUE_DEPTH),
    "Slice": (0, slice_.QUEUE_DEPTH), "Pad": (0, pad.QUEUE_DEPTH)}


def beats_of(trace, tensor, ways):
    """Beats of each way: list of arrays (pixels)."""
    beats = trace.beats(tensor, ways)
    return [np.count_nonzero(beats[:, way::ways], axis=1) for way in range(ways)]


def stage_units(plan, network, node, folding, trace, inputs):
    """Add the units of a node.

    Parameters
    ----------
    inputs : list of list of int
        The links of each operand's ways.

    Returns
    -------
    (links of the output's ways, units whose shares are the stage's)
    """
    if isinstance(node, Conv) and not is_depthwise(node):
        return _engine(plan, network, node, folding, trace, inputs[0])
    if isinstance(node, Pool) and not _is_windowed(network, node):
        return _global(plan, network, node, folding, trace, inputs[0])
    if is_windowed(node):
        return _reduction(plan, network, node, folding, trace, inputs[0])
    if isinstance(node, Upsample):
        return _upsample(plan, network, node, folding, trace, inputs[0])
    latency, depth = MOVES[type(node).__name__]
    scripts = [script_of(network, node, trace, folding.ways, way) for way in range(folding.ways)]
    outputs = _outputs(plan, trace, node.output, folding.ways, depth)
    return outputs, script_units(plan, scripts, zip(*inputs), outputs, trace.frames, latency)


def script_units(plan, scripts, inputs, outputs, frames, latency):
    """A unit for each way."""
    units = []
    for steps, links, out in zip(scripts, inputs, outputs):
        there = steps.reshape(frames, -1) != 0
        units.append(plan.add(
            "script", links=[*links, out], links_at=plan.ints(links), link=out,
            steps_at=plan.steps(steps[steps != 0]), steps=np.count_nonzero(there),
            counted=np.count_nonzero(there[0]) if frames > 1 else 0, latency=latency))
    return units


def _outputs(plan, trace, tensor, ways, depth):
    """The queues at the end of a stage."""
    return [plan.link(beats.sum(), depth and queue_depth(depth)) for beats in beats_of(trace, tensor, ways)]


def _is_windowed(network, node):
    walk = walk_of(node, network.tensors[node.input])
    return not (walk.out_height * walk.out_width == 1
                and walk.taps_inside == walk.height * walk.width)


def _window(plan, trace, node, walk, links, *, lanes, row_lanes, turns, groups, fields):
    """Stores, steppers and lanes; ``fields`` are each lane's others. Returns lanes[row][lane]."""
    ways, frames = len(links), trace.frames
    channels = trace.present(node.input).shape[1]
    slots = default_slots(walk, channels=channels_of_way(channels, lanes), row_lanes=row_lanes)
    windows = frames * walk.out_height * walk.out_width
    passes = turns * groups
    counts = [plan.ints(trace.counts(node.input, groups=groups, lanes=lanes, lane=lane))
              for lane in range(lanes)]
    units = [[None] * lanes for _ in range(row_lanes)]
    for way, (link, beats) in enumerate(zip(links, beats_of(trace, node.input, ways))):
        store = plan.add("store", links=[link], link=link, pixels=len(beats), beats_at=plan.ints(beats),
                         slots=slots, arrived_at=plan.times(len(beats)))
        steppers = []
        for row in range(row_lanes):
            y, x = walk.axes(row, row_lanes)
            stepper = plan.add(
                "stepper", beside=[store], store=plan.row(store), height=y.outputs, width=x.outputs,
                frame=walk.height * walk.width, windows=windows, passes=passes,
                depth=queue_depth(WINDOWS * passes), need_at=plan.ints(walk.needs(row, row_lanes)),
                keep_at=plan.ints(walk.keeps(row, row_lanes)),
                top_at=plan.ints([top * walk.width for top, _ in y.spans]),
                rows_at=plan.ints([n for _, n in y.inside]),
                left_at=plan.ints([left for left, _ in x.spans]),
                columns_at=plan.ints([n for _, n in x.inside]), down=y.pitch * walk.width,
                across=x.pitch, put_at=plan.times(windows * passes),
                taken_at=plan.times(windows * passes), arrival_at=plan.times(windows),
                released_at=plan.times(windows))
            mine = range(way, lanes, ways)
            for lane in mine:
                units[row][lane] = plan.add(
                    "lane", beside=[store, stepper], stepper=plan.row(stepper), counts_at=counts[lane],
                    groups=groups, turns=turns, **fields)
            plan.set(stepper, lanes=len(mine), lanes_at=plan.rows(units[row][lane] for lane in mine))
            steppers.append(stepper)
        plan.set(store, steppers_at=plan.rows(steppers), rows=row_lanes)
    return units


def _total(plan, trace, tensor, ways, lanes, outputs, *, kind="lane", first=0, stride, capacity=0,
           adding=0, pace=0):
    """The unit that adds what ``lanes`` make, of the channels from ``first`` on.

    ``adding`` are the cycles from the accumulator's queue to a total, 0 without an accumulator, and
    ``pace`` those that the requantizer spends on a sum, 0 without one.
    """
    beats = trace.beats(tensor, ways)
    words = channels_of_way(beats.shape[1], stride, first)
    number = len(beats) * words
    total = plan.add(
        "total", beside=lanes, links=outputs, lanes=len(lanes), lanes_at=plan.rows(lanes),
        fed=kind == "feed", words=words, adding=adding, pace=pace,
        scaling=scaling_latency(pace), links_at=plan.ints(outputs),
        ways=len(outputs), stride=stride, first_channel=first, channels=beats.shape[1],
        present_at=plan.flags(beats), sums_at=plan.times(number), popped_at=plan.times(number))
    for lane in lanes:
        plan.set(lane, total=plan.row(total), capacity=capacity)


def pace_of(folding):
    """Cycles that a stage's requantizer spends on a sum."""
    return getattr(folding, "requantize_cycles", 1)


def scaling_latency(pace):
    """Cycles from a sum that the requantizer takes to its queue; 0 without one."""
    return 4 + multiply_latency(pace) if pace else 0


def _sums_capacity(windows, words):
    """Words of a lane's queue in the accumulator."""
    return 1 << max(1, (windows * words - 1).bit_length())


def _engine(plan, network, node, folding, trace, links):
    filters, ways = len(node.weights), folding.out_ways
    turns = -(-filters // node.groups // folding.pes)
    passes = node.groups * turns
    lanes = sum(_window(
        plan, trace, node, walk_of(node, network.tensors[node.input]), links, lanes=folding.lanes,
        row_lanes=folding.row_lanes, turns=turns, groups=node.groups,
        fields={**DOT, "words": folding.pes // ways,
                "rest": -(-(filters - (passes - 1) * folding.pes) // ways)}), [])
    outputs = _outputs(plan, trace, node.output, ways, SUMS_DEPTH)
    _total(plan, trace, node.output, ways, lanes, outputs, stride=ways,
           capacity=_sums_capacity(WINDOWS, channels_of_way(filters, ways)),
           adding=_accumulate(len(lanes)), pace=pace_of(folding))
    return outputs, lanes


def _accumulate(lanes):
    """Cycles from the sums that an accumulator takes from its queues to their total."""
    return 1 + lanes.bit_length()


def _reduction(plan, network, node, folding, trace, links):
    """A depthwise convolution, or a pool with a window: every way on its own."""
    ways, row_lanes = folding.ways, folding.row_lanes
    depthwise = isinstance(node, Conv)
    lanes = _window(
        plan, trace, node, walk_of(node, network.tensors[node.input]), links, lanes=ways,
        row_lanes=row_lanes, turns=1, groups=1, fields=WEIGH if depthwise else REDUCE)
    outputs = _outputs(plan, trace, node.output, ways,
                       pool.QUEUE_DEPTH if not depthwise and node.op == "max" else SUMS_DEPTH)
    for way in range(ways):
        mine = [row[way] for row in lanes]
        words = channels_of_way(network.tensors[node.input].channels, ways, way)
        for lane in mine:
            plan.set(lane, words=words, rest=words, done=words)     # banks are cleared first
        if depthwise:
            fields = {"capacity": _sums_capacity(WINDOWS if row_lanes > 1 else 1, words),
                      "adding": _accumulate(row_lanes), "pace": pace_of(folding)}
        else:
            fields = {"pace": 0 if node.op == "max" else pace_of(folding)}
        _total(plan, trace, node.output, ways, mine, outputs[way:way + 1], first=way, stride=ways, **fields)
    return outputs, sum(lanes, [])


def _global(plan, network, node, folding, trace, links):
    ways, frames = folding.ways, trace.frames
    outputs = _outputs(plan, trace, node.output, ways, pool.QUEUE_DEPTH if node.op == "max" else SUMS_DEPTH)
    units = []
    for way, (link, beats) in enumerate(zip(links, beats_of(trace, node.input, ways))):
        words = channels_of_way(network.tensors[node.input].channels, ways, way)
        unit = plan.add("feed", links=[link], link=link, frames=frames, words=words, rest=words,
                        beats_at=plan.ints(beats.reshape(frames, -1).sum(1)), done=words)
        _total(plan, trace, node.output, ways, [unit], outputs[way:way + 1], kind="feed", first=way,
               stride=ways, pace=0 if node.op == "max" else pace_of(folding))
        units.append(unit)
    return outputs, units


def _upsample(plan, network, node, folding, trace, links):
    source = network.tensors[node.input]
    down, across = node.factor
    held = source.width if down > 1 else 1
    outputs = _outputs(plan, trace, node.output, folding.ways, 0)
    units = []
    for link, out, beats in zip(links, outputs, beats_of(trace, node.input, folding.ways)):
        units.append(plan.add(
            "upsample", links=[link, out], link=link, out=out, pixels=len(beats), beats_at=plan.ints(beats),
            slots=held + max(held, upsample.AHEAD), width=source.width, down=down, across=across,
            total=len(beats) * down * across, arrived_at=plan.times(len(beats)),
            freed_at=plan.times(len(beats))))
    return outputs, units
