# amaranth: UnusedElaboratable=no
"""The hardware stage of each node of the integer graph."""
import functools
from dataclasses import dataclass, replace

from amaranth import signed, unsigned

from cores import graph
from hdl.add import Add
from hdl.bounds import signed_bits, sum_bounds
from hdl.concat import Concat
from hdl.conv import Conv, conv_dsps
from hdl.depthwise import Depthwise, depthwise_dsps
from hdl.digits import digit_count
from hdl.pad import Pad
from hdl.pool import Pool
from hdl.slice import Slice
from hdl.table import Table
from hdl.upsample import Upsample
from hdl.walk import Walk
from hdl.window_engine import WindowConv, window_conv_dsps

__all__ = ["ENGINES", "Folding", "Engine", "shape_of", "walk_of", "weight_width", "sum_bits", "is_depthwise",
           "is_windowed", "has_engine", "multipliers", "out_ways", "product_cycles", "dsps", "component", "example", "operands"]


@dataclass(frozen=True)
class Folding:
    """How a stage is laid out; see :class:`~hdl.conv.Conv`. A pool has as many lanes as ways.

    Lanes may run ``windows`` output pixels apart. ``requantize_cycles`` from 2 make a requantizer without DSP blocks. ``add_dsps`` are the DSP blocks
    of each way of an addition: 0 for none, or None for its usual. A convolution with the window
    engine has ``lanes`` streams (coarse_in) with ``fine`` slots for ``pes`` filters (coarse_out) at a
    time; ``fine`` is None for the others. ``weights_in_blocks`` asks for block memory for the weights of the
    sparse and the dense engine, where tools would take LUTs. ``serial`` multipliers take no DSP blocks and several cycles for a
    product, see :func:`product_cycles`.
    """
    lanes: int = 1
    row_lanes: int = 1
    pes: int = 1
    ways: int = 1
    out_ways: int = 1
    requantize_cycles: int = 1
    add_dsps: int | None = None
    windows: int = 4
    fine: int | None = None
    weights_in_blocks: bool = False
    serial: bool = False

    @property
    def multipliers(self):
        """Multipliers of a stage with an engine."""
        return self.lanes * self.row_lanes * self.pes * (self.fine or 1)


@dataclass(frozen=True)
class Engine:
    """What all stages have in common: whether zeros are multiplied, and the MAC primitive.

    With ``window``, convolutions but for depthwise ones have the published window engine instead of ours;
    ``skip_empty`` and ``paired`` are :class:`~hdl.window_engine.WindowConv`'s. ``serial`` allows multipliers without DSP blocks.
    """
    keep_zeros: bool = False
    family: str = "behavioural"
    window: bool = False
    skip_empty: bool = False
    paired: bool = False
    serial: bool = True

    @classmethod
    def named(cls, name, family="behavioural", serial=True):
        """One of :data:`ENGINES`."""
        return cls(family=family, serial=serial, **ENGINES[name])


# "window" is as published; "window-best" grants it what the publication leaves open.
ENGINES = {"sparse": {}, "dense": {"keep_zeros": True}, "window": {"window": True},
           "window-best": {"window": True, "skip_empty": True, "paired": True}}


def shape_of(tensor):
    """Shape of a tensor's stored values."""
    return signed(tensor.bits) if tensor.signed else unsigned(tensor.bits)


def walk_of(node, source):
    """The window of ``node`` over its input tensor ``source``."""
    return Walk(source.height, source.width, tuple(node.kernel), tuple(node.stride),
                tuple(node.dilation), tuple(node.padding))


@functools.cache
def weight_width(node):
    """Bits of the narrowest signed number that holds a convolution's weights, from 2."""
    least, most = int(node.weights.min()), int(node.weights.max())
    return max(2, (max(most, -least - 1)).bit_length() + 1)


@functools.cache
def sum_bits(node, source):
    """Bits of the sums that ``node`` requantizes, from the exact bounds of its values."""
    if isinstance(node, graph.Conv):
        low, high = sum_bounds(node.weights, node.bias, source.low, source.high)
        return signed_bits(min(low.min(), node.bias.min()), max(high.max(), node.bias.max()))
    taps = walk_of(node, source).taps
    return signed_bits(taps * source.low, taps * source.high)


def is_depthwise(node):
    """Whether each filter sees a channel of its own."""
    return (isinstance(node, graph.Conv) and node.groups == len(node.weights)
            and node.weights.shape[3] == 1 and node.groups > 1)


def is_windowed(node):
    """Whether the stage slides a window over its input."""
    return isinstance(node, (graph.Conv, graph.Pool))


def has_engine(node):
    """Whether the stage has PEs that share activations: a convolution, but for depthwise ones."""
    return isinstance(node, graph.Conv) and not is_depthwise(node)


def product_cycles(node, folding):
    """Cycles that a multiplier of a convolution takes for a product."""
    return digit_count(weight_width(node)) if folding.serial else 1


def multipliers(node, folding):
    """Multipliers of a stage that meet weights, by the products that they make in a cycle: a serial one is a part of one."""
    if not isinstance(node, graph.Conv):
        return 0
    count = folding.multipliers if has_engine(node) else folding.lanes * folding.row_lanes
    return count / product_cycles(node, folding) if folding.serial else count


def out_ways(node, folding):
    """Ways of the stream that a stage makes."""
    return folding.out_ways if has_engine(node) else folding.ways


def dsps(network, node, folding, engine):
    """DSP blocks of the stage that :func:`component` makes."""
    if has_engine(node):
        source = network.tensors[node.input]
        if engine.window:
            return window_conv_dsps(
                shape_of(source), weight_width=weight_width(node), width=sum_bits(node, source),
                coarse_in=folding.lanes, coarse_out=folding.pes, fine=folding.fine,
                out_ways=folding.out_ways, family=engine.family, paired=engine.paired,
                requantize_cycles=folding.requantize_cycles)
        return conv_dsps(
            shape_of(source), weight_width=weight_width(node), width=sum_bits(node, source),
            lanes=folding.lanes * folding.row_lanes, pes=folding.pes, out_ways=folding.out_ways,
            family=engine.family, requantize_cycles=folding.requantize_cycles, serial=folding.serial)
    if is_depthwise(node):
        return depthwise_dsps(
            width=sum_bits(node, network.tensors[node.input]), ways=folding.ways,
            row_lanes=folding.row_lanes, family=engine.family,
            requantize_cycles=folding.requantize_cycles, serial=folding.serial)
    # However long a requantization takes, it has DSP blocks in one cycle only.
    return example(network, node, replace(folding, requantize_cycles=min(2, folding.requantize_cycles)), engine).dsp_count


@functools.lru_cache(4096)
def example(network, node, folding, engine):
    """The same stage for every caller, to be looked at and never elaborated: making one is slow."""
    return component(network, node, folding, engine)


def operands(stage):
    """A stage's input streams, in the order of its node's inputs."""
    if isinstance(stage, Add):
        return [stage.a, stage.b]
    return stage.operands if isinstance(stage, Concat) else [stage.i]


def component(network, node, folding, engine):
    """The elaboratable of ``node``."""
    sources = [network.tensors[name] for name in node.inputs]
    target = network.tensors[node.output]
    common = {"ways": folding.ways, "keep_zeros": engine.keep_zeros}
    return _COMPONENTS[type(node)](node, sources, target, folding, engine, common)


def _conv(node, sources, target, folding, engine, common):
    source, = sources
    scale = node.requantization
    common.update(
        walk=walk_of(node, source), low=source.low, high=source.high, bias=node.bias,
        weight_width=weight_width(node), multiplier=scale.multiplier, shift=scale.shift,
        out_low=scale.low, out_high=scale.high, threshold=scale.threshold, out_shape=shape_of(target),
        family=engine.family, requantize_cycles=folding.requantize_cycles, windows=folding.windows)
    if is_depthwise(node):
        return Depthwise(shape_of(source), weights=node.weights[..., 0], row_lanes=folding.row_lanes,
                         serial=folding.serial, **common)
    common.update(weights=node.weights, groups=node.groups, out_ways=folding.out_ways)
    if engine.window:
        del common["keep_zeros"]
        return WindowConv(shape_of(source), coarse_in=folding.lanes, coarse_out=folding.pes,
                          fine=folding.fine, skip_empty=engine.skip_empty, paired=engine.paired, **common)
    return Conv(shape_of(source), pes=folding.pes, lanes=folding.lanes, row_lanes=folding.row_lanes,
                weights_in_blocks=folding.weights_in_blocks, serial=folding.serial, **common)


def _pool(node, sources, target, folding, engine, common):
    source, = sources
    scale = node.requantization
    if scale is not None:
        common.update(multiplier=scale.multiplier, shift=scale.shift, low=scale.low,
                      high=scale.high, threshold=scale.threshold, counted=node.counted,
                      requantize_cycles=folding.requantize_cycles)
    return Pool(shape_of(source), channels=source.channels, op=node.op, walk=walk_of(node, source),
                out_shape=shape_of(target), family=engine.family, **common)


def _add(node, sources, target, folding, engine, common):
    return Add(*map(shape_of, sources), channels=target.channels, multipliers=node.multipliers,
               shift=node.shift, zero_point=node.zero_point, low=node.low, high=node.high,
               threshold=node.threshold, out_shape=shape_of(target), dsps=folding.add_dsps, **common)


def _concat(node, sources, target, folding, engine, common):
    return Concat([shape_of(source) for source in sources],
                  channels=[source.channels for source in sources], out_shape=shape_of(target),
                  **common)


def _map(source):
    return {"height": source.height, "width": source.width, "channels": source.channels}


def _slice(node, sources, target, folding, engine, common):
    source, = sources
    return Slice(shape_of(source), start=node.start, size=node.size, step=node.step,
                 **_map(source), **common)


def _pad(node, sources, target, folding, engine, common):
    source, = sources
    return Pad(shape_of(source), before=node.before, after=node.after, value=node.value,
               out_shape=shape_of(target), **_map(source), **common)


def _upsample(node, sources, target, folding, engine, common):
    source, = sources
    return Upsample(shape_of(source), factor=node.factor, **_map(source), **common)


def _table(node, sources, target, folding, engine, common):
    source, = sources
    return Table(shape_of(source), channels=source.channels, low=node.low, tables=node.values,
                 out_shape=shape_of(target), **common)


_COMPONENTS = {
    graph.Conv: _conv, graph.Pool: _pool, graph.Add: _add, graph.Concat: _concat,
    graph.Slice: _slice, graph.Pad: _pad, graph.Upsample: _upsample, graph.Table: _table}
