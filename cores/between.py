# amaranth: UnusedElaboratable=no
# A design that is too large, or one of several, is only asked for its size.
"""What stands around a network's stages and between them: adapters, forks, and queues before branches meet again."""
from amaranth import signed, unsigned

from cores.branches import join_depths, readers
from cores.stages import out_ways, shape_of
from hdl.axi import lane_bits
from hdl.axi_in import AxiInput
from hdl.axi_out import AxiOutput
from hdl.memory import times, total
from hdl.stream import Fork, PixelSignature, Queue, channels_of_way, queue_memories
from hdl.table import Table

__all__ = ["BEAT_BITS", "FORK_DEPTH", "STATUS_DEPTH", "Between", "sample_shape"]

BEAT_BITS = 64
FORK_DEPTH = 4          # beats; what a branch must hold stands before the join
STATUS_DEPTH = 16       # frames by which one output may be ahead of another


def sample_shape(tensor):
    """Shape of a file's quantized value, q = stored + zero point: 4, 8 or 16 bits."""
    low, high = tensor.low + tensor.zero_point, tensor.high + tensor.zero_point
    for bits in (4, 8, 16):
        if low >= 0 and high < 1 << bits:
            return unsigned(bits)
        if low < 0 and -(1 << (bits - 1)) <= low and high < 1 << (bits - 1):
            return signed(bits)
    raise ValueError(f"Tensor {tensor.name!r} must have quantized values of at most 16 bits, "
                     f"not {low} to {high}")


class Between:
    """All of a design but its stages.

    Parameters
    ----------
    network : Graph
    design : Design
        Of whose folding the ways count.
    keep_zeros : bool
        The dense engine.
    beat_bits : int
        Width of TDATA on all ports.

    Attributes
    ----------
    source : AxiInput
    table : Table or None
        Behind it, where raw pixels are on the bus.
    targets : list of AxiOutput
        Of each output.
    forks : dict of str to Fork
        Of each tensor that is read more than once, by its name.
    skips : dict of str to dict of (int, int) to Queue
        Of each node that joins branches, by its name: before each way of each operand, so that the branches do not block
        each other.
    """

    def __init__(self, network, design, *, keep_zeros=False, beat_bits=BEAT_BITS):
        source = network.tensors[network.input]
        ways = {network.input: design.ways, **{
            node.output: out_ways(node, design.foldings[node.name]) for node in network.nodes}}
        self.table = None
        sample, raw = sample_shape(source), {"zero_point": source.zero_point, "keep_zeros": keep_zeros}
        shape = shape_of(source)
        if network.input_table is not None:
            sample, raw = unsigned(8), {"keep_zeros": True}
            self.table = Table(sample, tables=network.input_table, out_shape=shape, ways=design.ways,
                               dense_input=True, keep_zeros=keep_zeros)
            shape = sample
        self.source = AxiInput(
            shape, height=source.height, width=source.width, channels=source.channels,
            ways=design.ways, sample=sample, beat_samples=beat_bits // lane_bits(sample), keep=True, **raw)
        self.targets = [_target(network.tensors[name], ways[name], beat_bits) for name in network.outputs]
        streams = {name: PixelSignature(shape_of(tensor), channels=tensor.channels, ways=ways[name])
                   for name, tensor in network.tensors.items()}
        copies = {name: len(nodes) + (name in network.outputs) for name, nodes in readers(network).items()}
        self.forks = {name: Fork(streams[name], depths=[FORK_DEPTH] * count)
                      for name, count in copies.items() if count > 1}
        self.skips = {node.name: _skips([streams[name] for name in node.inputs], join_depths(network, node))
                      for node in network.nodes if len(node.inputs) > 1}

    @property
    def queues(self):
        """The queues of all ``skips``."""
        return [queue for queues in self.skips.values() for queue in queues.values()]

    @property
    def memories(self):
        """Counter of :class:`~hdl.memory.MemorySize`."""
        units = [self.source, *self.targets, *self.forks.values(), *self.queues]
        units += [] if self.table is None else [self.table]
        return total(unit.memories for unit in units) + times(
            len(self.targets), queue_memories(1, STATUS_DEPTH))


def _target(tensor, ways, beat_bits):
    sample = sample_shape(tensor)
    return AxiOutput(
        shape_of(tensor), height=tensor.height, width=tensor.width, channels=tensor.channels,
        ways=ways, sample=sample, zero_point=tensor.zero_point, beat_samples=beat_bits // lane_bits(sample))


def _skips(streams, depths):
    """By (operand, way)."""
    return {(n, w): Queue(stream.beat, depth=pixels * channels_of_way(stream.channels, stream.ways))
            for n, (stream, pixels) in enumerate(zip(streams, depths)) for w in range(stream.ways)}
