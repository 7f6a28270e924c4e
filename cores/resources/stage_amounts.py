# amaranth: UnusedElaboratable=no
"""Memories and amounts of logic of each kind of stage, for the resource model."""
import functools
from collections import Counter
from dataclasses import replace

import numpy as np

from cores import graph
from cores.resources import amounts
from cores.resources.amounts import bits, pitch_adders, queue, sum_of
from cores.resources.distinct import distinct
from cores.resources.window_amounts import window_engine, window_engine_memories
from cores.stages import (
    example,
    has_engine,
    is_depthwise,
    shape_of,
    sum_bits,
    walk_of,
    weight_width,
)
from hdl.accumulator import accumulator_memories
from hdl.bounds import signed_bits
from hdl.clusters import cluster_count, clusters_memories
from hdl.depthwise import depthwise_memories, depthwise_widths, windows_apart
from hdl.memory import times, total
from hdl.requantize import requantize_memories, turn_bits
from hdl.stream import channels_of_way
from hdl.window import default_slots, lane_memories_of, stepper_memories

__all__ = ["conv_columns", "conv_parts", "lane_sum_bits", "stage_terms"]



def stage_terms(network, node, folding, engine):
    """What a stage holds.

    Returns
    -------
    (Counter of MemorySize, dict of str to number)
        Its memories, and its amounts of logic by the names of their coefficients.
    """
    sources = [network.tensors[name] for name in node.inputs]
    target = network.tensors[node.output]
    if has_engine(node):
        conv = _window_conv if engine.window else _conv
        return conv(node, *sources, target, folding, engine)
    if is_depthwise(node):
        return _depthwise(node, *sources, target, folding, engine)
    # However long a requantization takes, its memories are the same.
    stage = example(network, node, replace(folding, requantize_cycles=1), engine)
    return stage.memories, _KINDS[type(node)](stage, node, sources, target, folding, engine)


@functools.cache
def _partial_bounds(node, source):
    """Smallest and largest sum of each filter over a kernel row of a channel: (filters, rows, channels)."""
    negative = np.minimum(node.weights, 0).sum(2)
    positive = np.maximum(node.weights, 0).sum(2)
    return (positive * source.low + negative * source.high, positive * source.high + negative * source.low)


@functools.cache
def lane_sum_bits(node, source, lanes, row_lanes):
    """Bits of the widest lane's sums, as :class:`~hdl.conv.Conv` has them."""
    least, most = _partial_bounds(node, source)
    return max(signed_bits(least[:, r::row_lanes, n::lanes].sum((1, 2)).min(),
                           most[:, r::row_lanes, n::lanes].sum((1, 2)).max())
               for r in range(row_lanes) for n in range(lanes))


def _conv(node, source, target, folding, engine):
    """Of all parts."""
    passes = -(-(len(node.weights) // node.groups) // folding.pes)
    columns = conv_columns(node, source, {name: np.array([value]) for name, value in vars(folding).items()
                                          if value is not None} | {"passes": np.array([passes])})
    values = {name: int(column[0]) for name, column in columns.items()}
    parts = [(values[count], *part(**{name: values[name] for name in fields}))
             for count, fields, part in conv_parts(node, source, target, engine)]
    return (total(times(count, memories) for count, memories, _ in parts),
            sum_of(*(amounts.times(count, terms) for count, _, terms in parts)))


def conv_columns(node, source, columns):
    """What the parts of many foldings depend on.

    Parameters
    ----------
    columns : dict of str to array of int
        Fields of the foldings, and "passes".

    Returns
    -------
    dict of str to array of int
        These, and more: the most channels of a lane, how many lanes have as many, and how many have one less; all
        lanes, the bits of their sums and of the totals, and the clusters of their PEs.
    """
    lanes, row_lanes = columns["lanes"], columns["row_lanes"]
    short = -source.channels % lanes
    pairs, which = distinct([lanes, row_lanes])
    sum_width = np.array([lane_sum_bits(node, source, *pair) for pair in pairs])[which]
    return columns | {
        "one": np.ones_like(lanes), "share": -(-source.channels // lanes), "full_lanes": lanes - short,
        "short_lanes": short, "all_lanes": lanes * row_lanes, "sum_width": sum_width,
        "clusters": cluster_count(columns["pes"], columns["out_ways"]), "width": np.maximum(sum_width, sum_bits(node, source))}


def conv_parts(node, source, target, engine):
    """A convolution's parts, without its component: exploration asks for thousands of foldings.

    Returns
    -------
    list of (str, tuple of str, function)
        How many of a part there are, and what decides it, as names of :func:`conv_columns`; and what makes of these
        the part's memories and amounts of logic.
    """
    shape, walk = shape_of(source), walk_of(node, source)
    filters, channels, groups, size = len(node.weights), source.channels, node.groups, weight_width(node)
    shift = node.requantization.shift

    def stepper(share, row_lanes, passes):
        return stepper_memories(walk, row_lanes=row_lanes), amounts.stepper(
            walk=walk, share=share, row_lanes=row_lanes, passes=passes, groups=groups)

    def deal(lanes, row_lanes, ways):
        return Counter(), amounts.deal(channels, ways=ways, lanes=lanes, row_lanes=row_lanes)

    def full_lane(share, row_lanes, passes, windows):
        return _lane(shape, walk, groups, share, share, row_lanes, passes, windows)

    def short_lane(share, row_lanes, passes, windows):
        return _lane(shape, walk, groups, share, share - 1, row_lanes, passes, windows)

    def lane_weights(channels, share, row_lanes, pes, passes, clusters, weights_in_blocks):
        taps = [len(range(row, walk.kernel[0], row_lanes)) * walk.kernel[1] for row in range(row_lanes)]
        return total(clusters_memories(
            shape, depth=groups * passes * taps[0] * (share // groups), filters=filters, pes=pes, count=clusters,
            weight_width=size, weights_in_blocks=weights_in_blocks, addresses=each * (channels // groups))
            for each in taps), {}

    def full_weights(share, **given):
        return lane_weights(share, share, **given)

    def short_weights(share, **given):
        return lane_weights(share - 1, share, **given)

    def dots(sum_width, pes, out_ways, serial):
        return Counter(), amounts.clusters(shape, pes=pes, ways=out_ways, weight_width=size, sum_width=sum_width,
                                           family=engine.family, serial=serial)

    def accumulator(all_lanes, sum_width, width, out_ways, windows):
        sums = {"lanes": all_lanes, "sum_width": sum_width, "width": width, "filters": filters,
                "ways": out_ways, "windows": windows}
        return accumulator_memories(**sums), amounts.accumulator(**sums)

    def requantize(width, out_ways, requantize_cycles):
        return requantize_memories(shift, shape_of(target), ways=out_ways), sum_of(amounts.requantize(
            width=width, shift_bits=turn_bits(shift), shape=shape_of(target), channels=target.channels,
            ways=out_ways, family=engine.family, cycles=requantize_cycles), {"conv": 1})

    lane = ("share", "row_lanes", "passes", "windows")
    weights = ("share", "row_lanes", "pes", "passes", "clusters", "weights_in_blocks")
    return [("ways", ("share", "row_lanes", "passes"), stepper), ("one", ("lanes", "row_lanes", "ways"), deal),
            ("full_lanes", lane, full_lane), ("short_lanes", lane, short_lane),
            ("full_lanes", weights, full_weights), ("short_lanes", weights, short_weights),
            ("all_lanes", ("sum_width", "pes", "out_ways", "serial"), dots),
            ("one", ("all_lanes", "sum_width", "width", "out_ways", "windows"), accumulator),
            ("one", ("width", "out_ways", "requantize_cycles"), requantize)]


@functools.lru_cache(1 << 16)       # many layers of a network have maps of the same size
def _lane(shape, walk, groups, share, channels, row_lanes, passes, windows):
    """One channel lane with this many ``channels``, beside others that have a ``share`` of them at most."""
    given = {"walk": walk, "row_lanes": row_lanes, "passes": passes, "windows": windows, "groups": groups,
             "by_channel": False}
    slots = default_slots(walk, channels=share, row_lanes=row_lanes)
    return (lane_memories_of(shape, **given, channels=channels, slots=slots), amounts.lane(shape, **given, share=share))


def _window_conv(node, source, target, folding, engine):
    """Memories and amounts of logic of a convolution with the published window engine."""
    shape, ways, lanes = shape_of(source), folding.out_ways, folding.lanes
    sum_width = lane_sum_bits(node, source, lanes, 1)
    width = max(sum_bits(node, source), sum_width)
    given = {"walk": walk_of(node, source), "channels": source.channels, "ways": folding.ways,
             "coarse_in": lanes, "coarse_out": folding.pes, "fine": folding.fine, "windows": folding.windows,
             "steps": len(node.weights) // node.groups // folding.pes, "weight_width": weight_width(node),
             "sum_width": sum_width}
    sums = {"lanes": lanes, "sum_width": sum_width, "width": width, "filters": len(node.weights), "ways": ways,
            "windows": folding.windows}
    shift = node.requantization.shift
    memories = total([window_engine_memories(shape, **given), accumulator_memories(**sums),
                      requantize_memories(shift, shape_of(target), ways=ways)])
    return memories, sum_of(
        window_engine(shape, **given, out_ways=ways, skip_empty=engine.skip_empty, paired=engine.paired,
                      family=engine.family),
        amounts.accumulator(**sums), _requantize(shift, target, width, ways, folding, engine), {"conv": 1})


def _requantize(shift, target, width, ways, folding, engine):
    return amounts.requantize(width=width, shift_bits=turn_bits(shift), shape=shape_of(target),
                              channels=target.channels, ways=ways, family=engine.family,
                              cycles=folding.requantize_cycles)


def _depthwise(node, source, target, folding, engine):
    """Memories and amounts of logic of a depthwise convolution, without its component."""
    shape, walk, ways, rows = shape_of(source), walk_of(node, source), folding.ways, folding.row_lanes
    share, shift = channels_of_way(source.channels, ways), node.requantization.shift
    memories, sum_width, width = _depthwise_memories(node, source, target, ways, rows, folding.windows)
    return memories, sum_of(
        amounts.window(shape, walk=walk, channels=source.channels, ways=ways, lanes=ways, row_lanes=rows,
                       windows=folding.windows),
        amounts.weigh(shape, weight_width=weight_width(node), channels=share, count=ways * rows,
                      family=engine.family, serial=folding.serial),
        amounts.reduce(shape, walk=walk, channels=share, count=ways * rows, op="sum", out_width=sum_width),
        amounts.times(ways, amounts.accumulator(lanes=rows, sum_width=sum_width, width=width, filters=share, ways=1,
                                                windows=windows_apart(folding.windows, rows))),
        amounts.times(ways, _requantize(shift, target, width, 1, folding, engine)), {"depthwise": ways})


@functools.cache        # there are several requantizers for each
def _depthwise_memories(node, source, target, ways, rows, windows):
    """Its memories, and the bits of a lane's sums and of the totals."""
    sum_width, width = depthwise_widths(node.weights[..., 0], node.bias, source.low, source.high, rows)
    return depthwise_memories(
        shape_of(source), walk=walk_of(node, source), channels=source.channels, weight_width=weight_width(node),
        sum_width=sum_width, width=width, shift=node.requantization.shift, out_shape=shape_of(target), ways=ways,
        row_lanes=rows, windows=windows), sum_width, width


def _pool(stage, node, sources, target, folding, engine):
    source, = sources
    shape, walk, ways = shape_of(source), walk_of(node, source), folding.ways
    share = channels_of_way(source.channels, ways)
    parts = [amounts.reduce(shape, walk=walk, channels=share, count=ways, keep_zeros=stage.keep_zeros,
                            op="max" if node.op == "max" else "sum",
                            out_width=stage.reduces[0].out_shape.width)]
    if stage.window is None:
        parts.append({"feed": ways, "feed place": ways * bits(source.height * source.width)})
    else:
        parts.append(amounts.window(shape, walk=walk, channels=source.channels, ways=ways, lanes=ways,
                                    row_lanes=1, by_channel=True))
    if node.op == "max":
        parts.append(queue(4, ways))
    else:
        parts += [_requantize(stage.requantizes[0].shift, target, stage.sum_width, 1, folding, engine)] * ways
        if stage.counts is not None:
            parts.append({"counted": ways, "counted place": ways * sum(
                bits(len(counts)) for counts in stage.counts)})
    return sum_of(*parts)


def _add(stage, node, sources, target, folding, engine):
    ways, xcup = folding.ways, engine.family == "dsp48e2"
    chunks = sum(-(-sources[n].bits // 5) for n in stage.in_tables)
    product = sum(sources[n].bits + 17 for n in stage.in_dsp)
    return sum_of({
        "add": ways, "add tables": ways * chunks * (17 + 5),
        "add sum": ways * max(17 + source.bits for source in sources),
        "add value": ways * target.bits, "add channel": ways * bits(channels_of_way(target.channels, ways)),
        "add product": ways * product * (not xcup), "add product_xcup": ways * product * xcup,
    }, queue(4, ways))


def _concat(stage, node, sources, target, folding, engine):
    ways, beat = folding.ways, target.bits + bits(channels_of_way(target.channels, folding.ways))
    return sum_of({"concat": ways, "concat operand": ways * len(sources), "concat beat": ways * beat,
                   "concat mux": ways * beat * -(-(len(sources) - 1) // 3)}, queue(4, ways))


def _slice(stage, node, sources, target, folding, engine):
    source, = sources
    ways = folding.ways
    cut = [bits(places) for places, kept in zip(source.shape[:2], node.size) if kept < places]
    return sum_of({
        "slice": ways, "slice value": ways * source.bits, "slice cut": ways * sum(cut),
        "slice place": ways * bits(source.height * source.width) * bool(cut),
        "slice channel": ways * bits(channels_of_way(source.channels, ways))}, queue(4, ways))


def _pad(stage, node, sources, target, folding, engine):
    ways = folding.ways
    return sum_of({
        "pad": ways, "pad value": ways * target.bits, "pad place": ways * bits(target.height * target.width),
        "pad channel": ways * bits(channels_of_way(target.channels, ways))}, queue(4, ways))


def _upsample(stage, node, sources, target, folding, engine):
    source, = sources
    ways = folding.ways
    share = channels_of_way(source.channels, ways)
    return {
        "upsample": ways, "upsample value": ways * source.bits, "upsample slot": ways * bits(stage.slots),
        "upsample place": ways * (bits(source.width) + sum(map(bits, node.factor))),
        "upsample channel": ways * bits(share),
        "upsample base": ways * bits(share * stage.slots) * (1 + pitch_adders(share))}


def _table(stage, node, sources, target, folding, engine):
    return table_amounts(stage, node.values, -node.low)


def table_amounts(stage, tables, zero):
    """Of a pointwise function by table; entry ``zero`` is that of 0."""
    ways, channel = stage.ways, bits(channels_of_way(stage.i.signature.channels, stage.ways))
    inserts = not stage.dense_input and bool(tables[:, zero].any())
    return sum_of({
        "table": ways, "table channel": ways * channel, "table value": ways * stage.out_shape.width,
        "table insert": ways * inserts * (channel + stage.out_shape.width),
        "table zeros": ways * inserts * (len(tables) > 1) * len(tables)}, queue(4, ways))


_KINDS = {graph.Pool: _pool, graph.Add: _add, graph.Concat: _concat, graph.Slice: _slice,
          graph.Pad: _pad, graph.Upsample: _upsample, graph.Table: _table}
