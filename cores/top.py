# amaranth: UnusedElaboratable=no
# A design that is too large is only asked for its size.
"""The streaming top: one stage per layer between two AXI4-Streams."""
from amaranth import Module, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cores.branches import join_depths, readers
from cores.emit import component_ports
from cores.events import stage_events, watch_stage
from cores.stages import operands, shape_of
from hdl.axi import AxiStreamSignature, lane_bits
from hdl.axi_in import AxiInput
from hdl.axi_out import AxiOutput
from hdl.counters import events_layout
from hdl.memory import times, total
from hdl.stream import (
    Fork,
    PixelSignature,
    Queue,
    broadcast,
    channels_of_way,
    connect_pixels,
    connect_streams,
    queue_memories,
)
from hdl.table import Table

__all__ = ["Top", "output_arrays", "output_ports", "sample_shape", "BEAT_BITS"]

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


def output_ports(network):
    """Name of the AXI4-Stream of each of the network's outputs, in their order."""
    return _numbered("m_axis", network)


def output_arrays(network):
    """Name of the golden vectors of each of the network's outputs, in their order."""
    return _numbered("outputs", network)


def _numbered(name, network):
    count = len(network.outputs)
    return [name] if count == 1 else [f"{name}_{n}" for n in range(count)]


class Top(wiring.Component):
    """A network as a pipeline of its stages.

    Dense samples in NHWC order come in and go out, several per beat, TLAST on a frame's last beat.
    Frames may follow each other without a gap. Several outputs are to be read at the same time: one
    that is not holds up all.

    Parameters
    ----------
    network : Graph
    design : Design
        Folding, see :func:`cores.folding.allocate.allocate`.
    stages : dict
        Component of each node by name, see :func:`cores.folding.allocate.fold`.
    keep_zeros : bool
        The dense engine.
    beat_bits : int
        Width of TDATA on all ports: a power of two, from that of a sample to 1024.

    Members
    -------
    s_axis : In(AxiStreamSignature(data_bits=beat_bits, keep=True))
    m_axis, or m_axis_0, m_axis_1, ... : Out(AxiStreamSignature(data_bits=beat_bits, user_bits=1))
        One for each output, see :func:`output_ports`. TUSER marks the result of a frame that was too short or too long.
    short_frame, long_frame : Out(1)
        Sticky: such a frame was seen since the last ``clear``.
    clear : In(1)
    events : Out(events_layout(...))
        What happened in each stage a few cycles ago, see :func:`~cores.events.stage_events`. What makes it
        is beside the design, and gone where nothing reads it.
    """

    def __init__(self, network, *, design, stages, keep_zeros=False, beat_bits=BEAT_BITS):
        self.network, self.stages, self.beat_bits = network, stages, beat_bits
        source = network.tensors[network.input]
        self.table = None
        sample, raw = sample_shape(source), {"zero_point": source.zero_point, "keep_zeros": keep_zeros}
        shape = shape_of(source)
        if network.input_table is not None:         # raw pixels on the bus
            sample, raw = unsigned(8), {"keep_zeros": True}
            self.table = Table(sample, tables=network.input_table, out_shape=shape, ways=design.ways,
                               dense_input=True, keep_zeros=keep_zeros)
            shape = sample
        self.source = AxiInput(
            shape, height=source.height, width=source.width, channels=source.channels,
            ways=design.ways, sample=sample, beat_samples=beat_bits // lane_bits(sample), keep=True, **raw)
        self.targets = [self._target(name) for name in network.outputs]
        super().__init__({
            "s_axis": In(AxiStreamSignature(data_bits=beat_bits, keep=True)),
            **{port: Out(AxiStreamSignature(data_bits=beat_bits, user_bits=1))
               for port in output_ports(network)},
            "short_frame": Out(1), "long_frame": Out(1), "clear": In(1),
            "events": Out(events_layout([event.most for event in stage_events(stages)]))})

    def _target(self, name):
        """The adapter of an output."""
        tensor, stage = self.network.tensors[name], next(
            self.stages[node.name] for node in self.network.nodes if node.output == name)
        sample = sample_shape(tensor)
        return AxiOutput(
            shape_of(tensor), height=tensor.height, width=tensor.width, channels=tensor.channels,
            ways=stage.o.signature.ways, sample=sample, zero_point=tensor.zero_point,
            beat_samples=self.beat_bits // lane_bits(sample))

    @property
    def links(self):
        """What stands between the stages, where branches part and before they meet again.

        Returns
        -------
        list of Fork or Queue
        """
        made = {self.network.input: (self.table or self.source).o,
                **{node.output: self.stages[node.name].o for node in self.network.nodes}}
        forks = [self._forked(name, stream) for name, stream in made.items() if self._copies(name) > 1]
        skips = [queue for node in self.network.nodes if len(node.inputs) > 1 for queue in self._skips(
            node, [made[name] for name in node.inputs]).values()]
        return forks + skips

    @property
    def memories(self):
        """Counter of :class:`~hdl.memory.MemorySize` of the whole design."""
        units = [self.source, *self.targets, *self.stages.values(), *self.links]
        units += [] if self.table is None else [self.table]
        return total(unit.memories for unit in units) + times(
            len(self.targets), queue_memories(1, STATUS_DEPTH))

    def ports(self):
        """Ports by their Verilog names, for the conversion."""
        return component_ports(self)

    def elaborate(self, platform):
        m = Module()
        m.submodules.axi_in = self.source
        wiring.connect(m, wiring.flipped(self.s_axis), self.source.s_axis)
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
        self._outputs(m, streams)
        watched = {node.name: watch_stage(m, self.stages[node.name], str(number))
                   for number, node in enumerate(self.network.nodes)}
        for n, event in enumerate(stage_events(self.stages)):
            m.d.sync += self.events[f"event_{n}"].eq(watched[event.unit][event.kind])
        return m

    def _outputs(self, m, streams):
        """The adapters, each told of every frame whether it is whole."""
        queues = []
        for n, (name, port, target) in enumerate(zip(
                self.network.outputs, output_ports(self.network), self.targets)):
            m.submodules[f"axi_out_{n}"] = target
            m.submodules[f"status_{n}"] = queue = Queue(1, depth=STATUS_DEPTH)
            connect_pixels(m, streams[name].pop(0), target.i)
            connect_streams(m, queue.o, target.status)
            wiring.connect(m, target.m_axis, wiring.flipped(getattr(self, port)))
            queues.append(queue.i)
        broadcast(m, self.source.status, queues)

    def _fork(self, m, name, stream):
        """A tensor's stream for each of its readers."""
        if self._copies(name) == 1:
            return {name: [stream]}
        fork = self._forked(name, stream)
        m.submodules[f"fork_{list(self.network.tensors).index(name)}"] = fork
        connect_pixels(m, stream, fork.i)
        return {name: list(fork.o)}

    def _copies(self, name):
        """Readers of a tensor, its output adapter included."""
        return len(readers(self.network)[name]) + (name in self.network.outputs)

    def _forked(self, name, stream):
        signature = PixelSignature(stream.signature.shape, channels=stream.signature.channels,
                                   ways=stream.signature.ways)
        return Fork(signature, depths=[FORK_DEPTH] * self._copies(name))

    def _join(self, m, number, node, streams):
        """A stage behind the queues that keep its branches from blocking each other."""
        ports = operands(self.stages[node.name])
        sources = [streams[operand].pop(0) for operand in node.inputs]
        for (n, w), queue in self._skips(node, sources).items():
            m.submodules[f"skip_{number}_{n}_{w}"] = queue
            connect_streams(m, sources[n].way[w], queue.i)
            connect_streams(m, queue.o, ports[n].way[w])

    def _skips(self, node, sources):
        """The queues before a stage that joins branches, by (operand, way)."""
        queues = {}
        for n, (source, pixels) in enumerate(zip(sources, join_depths(self.network, node))):
            per_way = channels_of_way(source.signature.channels, source.signature.ways)
            for w, way in enumerate(source.way):
                queues[n, w] = Queue(way.payload.shape(), depth=pixels * per_way)
        return queues
