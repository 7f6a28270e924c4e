"""The streaming top: one stage per layer between two AXI4-Streams."""
from amaranth import Module, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cores.stages import shape_of
from hdl.axi import AxiStreamSignature, lane_bits
from hdl.axi_in import AxiInput
from hdl.axi_out import AxiOutput
from hdl.stream import connect_pixels, connect_streams

__all__ = ["Top", "sample_shape", "BEAT_BITS"]

BEAT_BITS = 64


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
        A chain: every tensor is read by one node, or is the one output.
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
        self.source = AxiInput(
            shape_of(source), height=source.height, width=source.width, channels=source.channels,
            ways=design.ways, sample=sample_shape(source), zero_point=source.zero_point,
            beat_samples=BEAT_BITS // lane_bits(sample_shape(source)), keep_zeros=keep_zeros)
        self.target = AxiOutput(
            shape_of(target), height=target.height, width=target.width, channels=target.channels,
            ways=design.foldings[network.nodes[-1].name].out_ways, sample=sample_shape(target),
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
        for number, node in enumerate(self.network.nodes):
            stage = self.stages[node.name]
            m.submodules[f"stage_{number}"] = stage
            connect_pixels(m, stream, stage.i)
            stream = stage.o
        connect_pixels(m, stream, self.target.i)
        return m
