# amaranth: UnusedElaboratable=no
"""The hardware stage of each node of the integer graph."""
import functools
from dataclasses import dataclass

from amaranth import signed, unsigned

from cores import graph
from hdl.add import Add
from hdl.bounds import signed_bits, sum_bounds
from hdl.conv import Conv, conv_dsps
from hdl.depthwise import Depthwise, depthwise_dsps
from hdl.pool import Pool
from hdl.walk import Walk

__all__ = ["Folding", "Engine", "shape_of", "walk_of", "weight_width", "sum_bits", "is_dense_conv",
           "multipliers", "dsps", "component"]


@dataclass(frozen=True)
class Folding:
    """How a stage is laid out; see :class:`~hdl.conv.Conv`. A pool has as many lanes as ways."""
    lanes: int = 1
    row_lanes: int = 1
    pes: int = 1
    ways: int = 1
    out_ways: int = 1

    @property
    def multipliers(self):
        return self.lanes * self.row_lanes * self.pes


@dataclass(frozen=True)
class Engine:
    """What all stages have in common: whether zeros are multiplied, and the MAC primitive."""
    keep_zeros: bool = False
    family: str = "behavioural"


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


def is_dense_conv(node):
    """Whether every filter sees every channel."""
    return isinstance(node, graph.Conv) and node.groups == 1


def multipliers(node, folding):
    """Multipliers of a stage that meet weights."""
    if is_dense_conv(node):
        return folding.multipliers
    return folding.lanes * folding.row_lanes if isinstance(node, graph.Conv) else 0


def dsps(network, node, folding, engine):
    """DSP blocks of the stage that :func:`component` makes."""
    if is_dense_conv(node):
        source = network.tensors[node.input]
        return conv_dsps(
            shape_of(source), weight_width=weight_width(node), width=sum_bits(node, source),
            lanes=folding.lanes * folding.row_lanes, pes=folding.pes, out_ways=folding.out_ways,
            family=engine.family)
    if isinstance(node, graph.Conv):
        return depthwise_dsps(width=sum_bits(node, network.tensors[node.input]), ways=folding.ways,
                              row_lanes=folding.row_lanes, family=engine.family)
    return component(network, node, folding, engine).dsp_count


def component(network, node, folding, engine):
    """The elaboratable of ``node``."""
    target = network.tensors[node.output]
    scale = getattr(node, "requantization", None)
    sources = [network.tensors[name] for name in node.inputs]
    if isinstance(node, graph.Add):
        return Add(*map(shape_of, sources), channels=target.channels, ways=folding.ways,
                   multipliers=node.multipliers, shift=node.shift, zero_point=node.zero_point,
                   low=node.low, high=node.high, out_shape=shape_of(target),
                   keep_zeros=engine.keep_zeros)
    source, = sources
    scaling = {} if scale is None else {"multiplier": scale.multiplier, "shift": scale.shift}
    common = {"walk": walk_of(node, source), "ways": folding.ways, "keep_zeros": engine.keep_zeros,
              "out_shape": shape_of(target), **scaling}
    if isinstance(node, graph.Pool):
        bounds = {} if scale is None else {"low": scale.low, "high": scale.high}
        return Pool(shape_of(source), channels=source.channels, op=node.op, family=engine.family,
                    **bounds, **common)
    common.update(low=source.low, high=source.high, bias=node.bias, weight_width=weight_width(node),
                  out_low=scale.low, out_high=scale.high)
    if node.groups > 1:
        return Depthwise(shape_of(source), weights=node.weights[..., 0], row_lanes=folding.row_lanes,
                         family=engine.family, **common)
    return Conv(shape_of(source), weights=node.weights, pes=folding.pes, lanes=folding.lanes,
                row_lanes=folding.row_lanes, out_ways=folding.out_ways, family=engine.family, **common)
