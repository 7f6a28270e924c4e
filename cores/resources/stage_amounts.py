# amaranth: UnusedElaboratable=no
"""Memories and amounts of logic of each kind of stage, for the resource model."""
import functools
from collections import Counter
from dataclasses import replace

import numpy as np

from cores import graph
from cores.resources import amounts
from cores.resources.amounts import bits, pitch_adders, queue, sum_of
from cores.resources.window_amounts import window_engine, window_engine_memories
from cores.stages import (
    component,
    has_engine,
    is_depthwise,
    shape_of,
    sum_bits,
    walk_of,
    weight_width,
)
from hdl.accumulator import accumulator_memories
from hdl.bounds import signed_bits
from hdl.dot import dot_memories
from hdl.memory import times, total
from hdl.requantize import requantize_memories, turn_bits
from hdl.stream import channels_of_way
from hdl.window import window_memories

__all__ = ["conv_parts", "lane_sum_bits", "stage_terms"]

# Of windows of the same lanes there are many foldings.
_window_memories = functools.lru_cache(1 << 16)(window_memories)
_window_amounts = functools.lru_cache(1 << 16)(amounts.window)


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
    stage, memories = _stage(network, node, replace(folding, requantize_cycles=1), engine)
    kind = _depthwise if is_depthwise(node) else _KINDS[type(node)]
    return memories, kind(stage, node, sources, target, folding, engine)


@functools.lru_cache(4096)
def _stage(network, node, folding, engine):
    """A stage and its memories: slow, and the same however long a requantization takes."""
    stage = component(network, node, folding, engine)
    return stage, stage.memories


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
    values = vars(folding) | {"passes": -(-(len(node.weights) // node.groups) // folding.pes)}
    parts = [part(**{name: values[name] for name in fields})
             for fields, part in conv_parts(node, source, target, engine)]
    return total([memories for memories, _ in parts]), sum_of(*[terms for _, terms in parts])


def conv_parts(node, source, target, engine):
    """A convolution's parts, without its component: exploration asks for thousands of foldings.

    Returns
    -------
    list of (tuple of str, function)
        Fields of a :class:`~cores.stages.Folding`, or "passes", that decide a part; and what makes of them
        its memories and amounts of logic.
    """
    shape, walk = shape_of(source), walk_of(node, source)
    filters, channels, groups, size = len(node.weights), source.channels, node.groups, weight_width(node)
    shift = node.requantization.shift

    def widths(lanes, row_lanes):
        sum_width = lane_sum_bits(node, source, lanes, row_lanes)
        return sum_width, max(sum_bits(node, source), sum_width)

    def window(lanes, row_lanes, passes, ways, windows):
        given = {"walk": walk, "channels": channels, "ways": ways, "lanes": lanes, "row_lanes": row_lanes,
                 "passes": passes, "groups": groups, "windows": windows}
        return _window_memories(shape, **given), _window_amounts(shape, **given) | {"conv": 1}

    def weights(lanes, row_lanes, pes, weights_in_blocks):
        shares = [channels_of_way(channels // groups, lanes, lane) for lane in range(lanes)]
        addresses = Counter(len(range(row, walk.kernel[0], row_lanes)) * walk.kernel[1] * share
                            for row in range(row_lanes) for share in shares)
        return total([times(count, dot_memories(filters=filters, pes=pes, weight_width=size, addresses=number,
                                                weights_in_blocks=weights_in_blocks))
                      for number, count in addresses.items()]), {}

    def dots(lanes, row_lanes, pes, out_ways):
        return Counter(), amounts.dots(
            shape, lanes=lanes * row_lanes, pes=pes, ways=out_ways, weight_width=size,
            sum_width=widths(lanes, row_lanes)[0], family=engine.family)

    def accumulator(lanes, row_lanes, out_ways, windows):
        sum_width, width = widths(lanes, row_lanes)
        sums = {"lanes": lanes * row_lanes, "sum_width": sum_width, "width": width, "filters": filters,
                "ways": out_ways, "windows": windows}
        return accumulator_memories(**sums), amounts.accumulator(**sums)

    def requantize(lanes, row_lanes, out_ways, requantize_cycles):
        return requantize_memories(shift, shape_of(target), ways=out_ways), amounts.requantize(
            width=widths(lanes, row_lanes)[1], shift_bits=turn_bits(shift), shape=shape_of(target),
            channels=target.channels, ways=out_ways, family=engine.family, cycles=requantize_cycles)

    return [(part.__code__.co_varnames[:part.__code__.co_argcount], part)
            for part in (window, weights, dots, accumulator, requantize)]


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


def _depthwise(stage, node, sources, target, folding, engine):
    source, = sources
    shape, walk, ways, rows = shape_of(source), walk_of(node, source), folding.ways, folding.row_lanes
    share = channels_of_way(source.channels, ways)
    sums = stage.accumulators[0]
    return sum_of(
        amounts.window(shape, walk=walk, channels=source.channels, ways=ways, lanes=ways, row_lanes=rows,
                       windows=folding.windows),
        amounts.weigh(shape, weight_width=weight_width(node), channels=share, count=ways * rows,
                      family=engine.family),
        amounts.reduce(shape, walk=walk, channels=share, count=ways * rows, op="sum",
                       out_width=sums.sum_width),
        *[amounts.accumulator(lanes=rows, sum_width=sums.sum_width, width=stage.width, filters=share,
                              ways=1, windows=sums.windows)] * ways,
        *[_requantize(node.requantization.shift, target, stage.width, 1, folding, engine)] * ways,
        {"depthwise": ways})


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
