"""The streaming top: one stage per layer between two AXI4-Streams."""
from amaranth import Module, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cores.branches import join_depths, readers
from cores.stages import shape_of
from hdl.axi import AxiStreamSignature, lane_bits
from hdl.axi_in import AxiInput
from hdl.axi_out import AxiOutput
from hdl.stream import Fork, PixelSignature, Queue, channels_of_way, connect_pixels, connect_streams
from hdl.table import Table

__all__ = ["Top", "sample_shape", "BEAT_BITS"]

BEAT_BITS = 64
FORK_DEPTH = 4          # beats; what a branch must hold stands before the join


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


class Top(wiring.Component):
    """A network as a pipeline of its stages.

    Dense samples in NHWC order come in and go out, several per beat, TLAST on a frame's last beat.
    Frames may follow each other without a gap.

    Parameters
    ----------
    network : Graph
        With one output.
    design : Design
        Folding, see :func:`cores.folding.allocate`.
    stages : dict
        Component of each node by name, see :func:`cores.folding.fold`.
    keep_zeros : bool
        The dense engine.

    Members
    -------
    s_axis : In(AxiStreamSignature(data_bits=64))
    m_axis : Out(AxiStreamSignature(data_bits=64, user_bits=1))
        TUSER marks the result of a frame that was too short or too long.
    short_frame, long_frame : Out(1)
        Sticky: such a frame was seen since the last ``clear``.
    clear : In(1)
    """

    def __init__(self, network, *, design, stages, keep_zeros=False):
        self.network, self.stages = network, stages
        source, target = network.tensors[network.input], network.tensors[network.outputs[0]]
        self.table = None
        sample, raw = sample_shape(source), {"zero_point": source.zero_point, "keep_zeros": keep_zeros}
        shape = shape_of(source)
        if network.input_table is not None:         # raw pixels on the bus
            sample, raw = unsigned(8), {"keep_zeros": True}
            self.table = Table(sample, tables=network.input_table, out_shape=shape, ways=design.ways,
                               keep_zeros=keep_zeros)
            shape = sample
        self.source = AxiInput(
            shape, height=source.height, width=source.width, channels=source.channels,
            ways=design.ways, sample=sample, beat_samples=BEAT_BITS // lane_bits(sample), **raw)
        last = next(node for node in network.nodes if node.output == target.name)
        self.target = AxiOutput(
            shape_of(target), height=target.height, width=target.width, channels=target.channels,
            ways=design.foldings[last.name].out_ways, sample=sample_shape(target),
            zero_point=target.zero_point, beat_samples=BEAT_BITS // lane_bits(sample_shape(target)))
        super().__init__({
            "s_axis": In(AxiStreamSignature(data_bits=BEAT_BITS)),
            "m_axis": Out(AxiStreamSignature(data_bits=BEAT_BITS, user_bits=1)),
            "short_frame": Out(1), "long_frame": Out(1), "clear": In(1)})

    def ports(self):
        """Ports by their Verilog names, for the conversion."""
        return {"_".join(map(str, path)): (value, member.flow)
                for path, member, value in self.signature.flatten(self)}

    def elaborate(self, platform):
        m = Module()
        m.submodules.axi_in, m.submodules.axi_out = self.source, self.target
        wiring.connect(m, wiring.flipped(self.s_axis), self.source.s_axis)
        wiring.connect(m, self.target.m_axis, wiring.flipped(self.m_axis))
        connect_streams(m, self.source.status, self.target.status)
        m.d.comb += [self.short_frame.eq(self.source.was_short), self.source.clear.eq(self.clear),
                     self.long_frame.eq(self.source.was_long)]
        stream = self.source.o
        if self.table is not None:
            m.submodules.table = self.table
            connect_pixels(m, stream, self.table.i)
            stream = self.table.o
        streams = self._fork(m, self.network.input, stream)
        for number, node in enumerate(self.network.nodes):
            stage = self.stages[node.name]
            m.submodules[f"stage_{number}"] = stage
            if len(node.inputs) == 1:
                connect_pixels(m, streams[node.inputs[0]].pop(0), stage.i)
            else:
                self._join(m, number, node, streams)
            streams.update(self._fork(m, node.output, stage.o))
        connect_pixels(m, streams[self.network.outputs[0]].pop(0), self.target.i)
        return m

    def _fork(self, m, name, stream):
        """A tensor's stream for each of its readers."""
        copies = len(readers(self.network)[name]) + (name in self.network.outputs)
        if copies == 1:
            return {name: [stream]}
        signature = PixelSignature(stream.signature.shape, channels=stream.signature.channels,
                                   ways=stream.signature.ways)
        fork = Fork(signature, depths=[FORK_DEPTH] * copies)
        m.submodules[f"fork_{list(self.network.tensors).index(name)}"] = fork
        connect_pixels(m, stream, fork.i)
        return {name: list(fork.o)}

    def _join(self, m, number, node, streams):
        """An addition behind the queues that keep its branches from blocking each other."""
        stage = self.stages[node.name]
        depths = join_depths(self.network, node)
        for n, (operand, port, pixels) in enumerate(zip(node.inputs, (stage.a, stage.b), depths)):
            source = streams[operand].pop(0)
            per_way = channels_of_way(source.signature.channels, source.signature.ways)
            for w, (way, target) in enumerate(zip(source.way, port.way)):
                queue = Queue(way.payload.shape(), depth=pixels * per_way)
                m.submodules[f"skip_{number}_{n}_{w}"] = queue
                connect_streams(m, way, queue.i)
                connect_streams(m, queue.o, target)
