# amaranth: UnusedElaboratable=no
# A design that is too large is only asked for its size.
"""The streaming top: one stage per layer between two AXI4-Streams."""
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cores.between import BEAT_BITS, STATUS_DEPTH, Between
from cores.emit import component_ports
from cores.events import stage_events, watch_stage
from cores.stages import operands
from hdl.axi import AxiStreamSignature
from hdl.counters import events_layout
from hdl.memory import total
from hdl.stream import Queue, broadcast, connect_pixels, connect_streams

__all__ = ["Top", "output_arrays", "output_ports"]


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
        self.between = Between(network, design, keep_zeros=keep_zeros, beat_bits=beat_bits)
        super().__init__({
            "s_axis": In(AxiStreamSignature(data_bits=beat_bits, keep=True)),
            **{port: Out(AxiStreamSignature(data_bits=beat_bits, user_bits=1))
               for port in output_ports(network)},
            "short_frame": Out(1), "long_frame": Out(1), "clear": In(1),
            "events": Out(events_layout([event.most for event in stage_events(stages)]))})

    @property
    def memories(self):
        """Counter of :class:`~hdl.memory.MemorySize` of the whole design."""
        return total(unit.memories for unit in (self.between, *self.stages.values()))

    def ports(self):
        """Ports by their Verilog names, for the conversion."""
        return component_ports(self)

    def elaborate(self, platform):
        m = Module()
        m.submodules.axi_in = source = self.between.source
        wiring.connect(m, wiring.flipped(self.s_axis), source.s_axis)
        m.d.comb += [self.short_frame.eq(source.was_short), source.clear.eq(self.clear),
                     self.long_frame.eq(source.was_long)]
        stream = source.o
        if self.between.table is not None:
            m.submodules.table = table = self.between.table
            connect_pixels(m, stream, table.i)
            stream = table.o
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
                self.network.outputs, output_ports(self.network), self.between.targets)):
            m.submodules[f"axi_out_{n}"] = target
            m.submodules[f"status_{n}"] = queue = Queue(1, depth=STATUS_DEPTH)
            connect_pixels(m, streams[name].pop(0), target.i)
            connect_streams(m, queue.o, target.status)
            wiring.connect(m, target.m_axis, wiring.flipped(getattr(self, port)))
            queues.append(queue.i)
        broadcast(m, self.between.source.status, queues)

    def _fork(self, m, name, stream):
        """A tensor's stream for each of its readers."""
        fork = self.between.forks.get(name)
        if fork is None:
            return {name: [stream]}
        m.submodules[f"fork_{list(self.network.tensors).index(name)}"] = fork
        connect_pixels(m, stream, fork.i)
        return {name: list(fork.o)}

    def _join(self, m, number, node, streams):
        """A stage behind the queues that keep its branches from blocking each other."""
        ports = operands(self.stages[node.name])
        sources = [streams[operand].pop(0) for operand in node.inputs]
        for (n, w), queue in self.between.skips[node.name].items():
            m.submodules[f"skip_{number}_{n}_{w}"] = queue
            connect_streams(m, sources[n].way[w], queue.i)
            connect_streams(m, queue.o, ports[n].way[w])
