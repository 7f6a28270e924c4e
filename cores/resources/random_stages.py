# amaranth: UnusedElaboratable=no
"""Random stages of every kind: what the resource model is fitted to and tested on."""
from dataclasses import replace

import numpy as np
from amaranth import signed, unsigned

from cores.graph import (
    Add,
    Concat,
    Conv,
    Graph,
    Pad,
    Pool,
    Requantization,
    Slice,
    Table,
    Tensor,
    Upsample,
    output_size,
)
from cores.stages import Folding
from hdl.axi_in import AxiInput
from hdl.axi_out import AxiOutput
from hdl.stream import Queue

__all__ = ["KINDS", "PARTS", "random_part", "random_stage"]

CYCLES = 1, 1, 1, 2, 4, 8       # of a requantizer
RANGES = [(0, 255), (0, 255), (0, 255), (-128, 127), (-100, 155), (0, 15)]      # of stored values


def random_stage(kind, seed):
    """A network of one node of ``kind`` (see :data:`KINDS`), and a folding of it.

    Returns
    -------
    (Graph, Folding)
    """
    rng = np.random.default_rng([sorted(KINDS).index(kind), seed])
    return KINDS[kind](rng)


def _one(rng, values):
    return values[int(rng.integers(len(values)))]


def _between(rng, low, high):
    return int(rng.integers(low, high + 1))


def _log_between(rng, low, high):
    """Small numbers as often as large ones."""
    return round(float(2 ** rng.uniform(np.log2(low), np.log2(high))))


def _divisors(number, most):
    return [n for n in range(1, most + 1) if number % n == 0]


def _source(rng, channels, name="in", limits=None):
    return Tensor(name, _between(rng, 5, 32), _between(rng, 5, 32), channels, *(limits or _one(rng, RANGES)))


def _graph(node, *tensors, folding):
    return Graph("random", tensors[0].name, (node.output,), {t.name: t for t in tensors}, (node,)), folding


def _requantization(rng, count, low, high, largest, spread=3):
    """One that spreads sums up to ``largest`` over the range."""
    shift = max(1, round(float(np.log2(max(largest, 1) * (1 << 17) / max(high, -low)))))
    shifts = shift + rng.integers(0, _between(rng, 1, 1 << spread), count)
    return Requantization(rng.integers(1 << 16, 1 << 17, count), shifts, low, high)


def _typical(weights, source):
    """What the sums of random products seldom exceed."""
    return float(weights.std() * (source.high - source.low) * np.sqrt(weights[0].size))


def _window(rng, source, kernels):
    kernel = _one(rng, kernels)
    if kernel == "map":
        return {}, source.shape[:2]
    padding = kernel[0] // 2, kernel[1] // 2
    return {"stride": _one(rng, [(1, 1), (1, 1), (2, 2)]),
            "padding": _one(rng, [(0,) * 4, padding * 2, padding * 2])}, kernel


def _folded(rng, channels, ways=4):
    ways = _one(rng, [n for n in (1, 1, 1, 2, 4) if n <= min(channels, ways)])
    return Folding(lanes=ways, ways=ways, out_ways=ways)


def _weights(rng, *shape):
    limit = 1 << _one(rng, [8, 8, 8, 4]) - 1
    return np.clip(np.rint(rng.normal(0, limit / 3, shape)), -limit, limit - 1).astype(np.int64)


def _conv(rng, most_lanes=4, most_pes=16, most=40):
    out_ways, ways = _one(rng, [1, 1, 1, 2]), _one(rng, [1, 1, 1, 2])
    groups = _one(rng, [1, 1, 1, 1, 2])
    lanes = ways * _between(rng, 1, most_lanes)
    passes = _log_between(rng, 1, 16)
    pes = out_ways * _log_between(rng, 1, most_pes // out_ways)
    channels = groups * lanes * _log_between(rng, 1, 32) if groups > 1 else lanes + _log_between(rng, 1, 64)
    filters = groups * pes * passes if groups > 1 else max(pes, pes * passes - _between(rng, 0, out_ways))
    source = _source(rng, channels)
    window, kernel = _window(rng, source, [(1, 1), (1, 1), (3, 3), (3, 3), (5, 5), (1, 3)])
    row_lanes = _one(rng, _divisors(kernel[0], kernel[0]))
    if lanes * row_lanes * pes > most:
        row_lanes = 1
    weights = _weights(rng, filters, *kernel, channels // groups)
    low, high = _one(rng, RANGES)
    node = Conv("stage", "in", "out", weights, rng.integers(-5000, 5000, filters),
                _requantization(rng, filters, low, high, _typical(weights, source)), groups=groups, **window)
    target = Tensor("out", *output_size(node, source.height, source.width), filters, low, high)
    folding = Folding(lanes, row_lanes, pes, ways, out_ways, windows=_one(rng, [4, 4, 16]),
                      requantize_cycles=_one(rng, CYCLES))
    return _graph(node, source, target, folding=folding)


def _wide_conv(rng):
    """With as many multipliers as in a real design."""
    while True:
        network, folding = _conv(rng, 6, 32, 128)
        if 40 <= folding.multipliers <= 128:
            return network, folding


def _window_conv(rng):
    """With the published window engine."""
    out_ways, ways = _one(rng, [1, 1, 2]), _one(rng, [1, 1, 1, 2])
    coarse_in = ways * _one(rng, [1, 2, 4])
    coarse_out = out_ways * _one(rng, [1, 2, 4, 8])
    channels, filters = coarse_in * _log_between(rng, 1, 16), coarse_out * _log_between(rng, 1, 8)
    source = _source(rng, channels)
    window, kernel = _window(rng, source, [(1, 1), (3, 3), (3, 3), (3, 3), (5, 5)])
    fine = min(kernel[0] * kernel[1], _one(rng, [1, 2, 3, 4, 5, 6, 9]))
    while coarse_in * coarse_out * fine > 32 and fine > 1:
        fine -= 1
    weights = _weights(rng, filters, *kernel, channels)
    low, high = _one(rng, RANGES)
    node = Conv("stage", "in", "out", weights, rng.integers(-5000, 5000, filters),
                _requantization(rng, filters, low, high, _typical(weights, source)), **window)
    target = Tensor("out", *output_size(node, source.height, source.width), filters, low, high)
    return _graph(node, source, target, folding=Folding(
        coarse_in, 1, coarse_out, ways, out_ways, requantize_cycles=_one(rng, CYCLES), fine=fine))


def _depthwise(rng):
    channels = _log_between(rng, 4, 128)
    source = _source(rng, channels)
    window, kernel = _window(rng, source, [(3, 3), (3, 3), (5, 5)])
    folding = _folded(rng, channels)
    folding = Folding(folding.ways, _one(rng, _divisors(kernel[0], kernel[0])), 1, folding.ways, folding.ways)
    low, high = _one(rng, RANGES)
    weights = _weights(rng, channels, *kernel, 1)
    node = Conv("stage", "in", "out", weights, rng.integers(-5000, 5000, channels),
                _requantization(rng, channels, low, high, _typical(weights, source)),
                groups=channels, op="depthwise", **window)
    target = Tensor("out", *output_size(node, source.height, source.width), channels, low, high)
    folding = replace(folding, windows=_one(rng, [4, 4, 16]), requantize_cycles=_one(rng, CYCLES))
    return _graph(node, source, target, folding=folding)


def _without_dsp(rng):
    """A single serial multiplier, and a requantizer without DSP blocks as often as not."""
    network, folding = _depthwise(rng) if rng.random() < 0.4 else _conv(rng)
    return network, replace(folding, lanes=1, row_lanes=1, pes=1, ways=1, out_ways=1, serial=True)


def _pool(rng):
    channels, op = _log_between(rng, 4, 256), _one(rng, ["max", "avg"])
    source = _source(rng, channels)
    window, kernel = _window(rng, source, [(2, 2), (3, 3), (3, 3), "map"])
    low, high = (source.low, source.high) if op == "max" else _one(rng, RANGES)
    counted = _one(rng, [None, (0,) * 4]) if op == "avg" and any(window.get("padding", ())) else None
    entries = channels if counted is None else kernel[0] * kernel[1]
    largest = kernel[0] * kernel[1] * max(source.high, -source.low)
    scale = _requantization(rng, entries, low, high, largest, 0) if op == "avg" else None
    node = Pool("stage", "in", "out", op, kernel, counted=counted, **window, requantization=scale)
    target = Tensor("out", *output_size(node, source.height, source.width), channels, low, high)
    folding = _folded(rng, channels)
    return _graph(node, source, target, folding=replace(
        folding, requantize_cycles=_one(rng, CYCLES) if op == "avg" else 1))




def _add(rng):
    channels = _log_between(rng, 4, 256)
    a = _source(rng, channels, "a")
    b = Tensor("b", *a.shape, *_one(rng, RANGES))
    low, high = _one(rng, RANGES)
    node = Add("stage", "a", "b", "out", tuple(rng.integers(1 << 14, 1 << 17, 2).tolist()),
               _between(rng, 15, 18), _between(rng, 0, 1), low, high)
    folding = _folded(rng, channels)
    return _graph(node, a, b, Tensor("out", *a.shape, low, high),
                  folding=replace(folding, add_dsps=_one(rng, [None, 0])))


def _concat(rng):
    folding = _folded(rng, 16)
    channels = [folding.ways * _log_between(rng, 1, 64) for _ in range(_between(rng, 2, 6))]
    first = _source(rng, channels[0], "i0")
    limits = first.low, first.high
    sources = [Tensor(f"i{n}", *first.shape[:2], count, *limits) for n, count in enumerate(channels)]
    node = Concat("stage", tuple(source.name for source in sources), "out")
    target = Tensor("out", *first.shape[:2], sum(channels), *limits)
    return _graph(node, *sources, target, folding=folding)


def _slice(rng):
    folding = _folded(rng, 8)
    source = _source(rng, _log_between(rng, 16, 256))
    start = _between(rng, 0, 2), _between(rng, 0, 2), folding.ways * _between(rng, 0, 1)
    size = _between(rng, 1, source.height - 2), _between(rng, 1, source.width - 2), source.channels // 2
    if rng.random() < 0.5:          # channels only
        start, size = (0, 0, start[2]), (*source.shape[:2], size[2])
    node = Slice("stage", "in", "out", start, size)
    return _graph(node, source, Tensor("out", *size, source.low, source.high), folding=folding)


def _pad(rng):
    folding = _folded(rng, 8)
    source = _source(rng, _log_between(rng, 8, 256))
    before = _between(rng, 0, 2), _between(rng, 0, 2), folding.ways * _between(rng, 0, 1)
    after = tuple(int(n) for n in rng.integers(0, 3, 3))
    node = Pad("stage", "in", "out", before, after, _one(rng, [0, 0, 1]))
    size = [sum(parts) for parts in zip(source.shape, before, after)]
    return _graph(node, source, Tensor("out", *size, source.low, source.high), folding=folding)


def _upsample(rng):
    source = _source(rng, _log_between(rng, 4, 128))
    factor = _one(rng, [(2, 2), (2, 2), (1, 2), (4, 4)])
    node = Upsample("stage", "in", "out", factor)
    target = Tensor("out", source.height * factor[0], source.width * factor[1], source.channels,
                    source.low, source.high)
    return _graph(node, source, target, folding=_folded(rng, source.channels))


def _table(rng):
    channels = _log_between(rng, 4, 256)
    source = _source(rng, channels)
    low, high = _one(rng, RANGES)
    rows = channels if channels <= 8 and rng.random() < 0.5 else 1
    values = rng.integers(low, high + 1, (rows, source.high - source.low + 1))
    if rng.random() < 0.6:
        values[:, -source.low] = 0
    node = Table("stage", "in", "out", source.low, values)
    return _graph(node, source, Tensor("out", *source.shape, low, high), folding=_folded(rng, channels))


KINDS = {"conv": _conv, "depthwise": _depthwise, "pool": _pool, "add": _add, "concat": _concat,
         "slice": _slice, "pad": _pad, "upsample": _upsample, "table": _table, "wide conv": _wide_conv,
         "window conv": _window_conv, "without DSP": _without_dsp}


def random_part(kind, seed):
    """A component of the top that is no stage ("queue", "axi_in", "axi_out"), and its parameters."""
    rng = np.random.default_rng([sorted(PARTS).index(kind), seed])
    return PARTS[kind](rng)


def _queue(rng):
    given = {"width": _between(rng, 9, 27), "depth": 1 << _between(rng, 1, 13)}
    return Queue(given["width"], depth=given["depth"]), given


def _map(rng, ways):
    height, width = _between(rng, 1, 224), _between(rng, 1, 224)
    return {"height": height, "width": width, "channels": ways * _log_between(rng, 1, 64), "ways": ways}


def _axi_in(rng):
    given = _map(rng, _one(rng, [1, 1, 2, 3, 4]))
    keep = bool(rng.integers(2))
    return AxiInput(8, sample=8, beat_samples=8, keep_zeros=keep, **given), given


def _axi_out(rng):
    given = _map(rng, _one(rng, [1, 1, 1, 2, 4]))
    shape, zero_point = _one(rng, [(unsigned(8), 0), (signed(9), 100), (signed(9), 128)])
    return AxiOutput(shape, sample=8, zero_point=zero_point, beat_samples=8, **given), given


PARTS = {"queue": _queue, "axi_in": _axi_in, "axi_out": _axi_out}
