"""The one description of the registers of skipstone_axi."""
from dataclasses import dataclass

from amaranth.utils import bits_for

from cores.between import sample_shape
from cores.events import ACTIVITIES, Counted, products_per_lookup, stage_events
from cores.top import output_ports
from hdl.registers import Field, Register

__all__ = ["RegisterMap", "Stream", "register_map", "OWN_EVENTS", "port_events"]

MAGIC = 0x534B4950          # "SKIP"
VERSION = 1                 # of this map: raised when software of the one before would fail
MIN_ADDRESS_BITS = 12       # the smallest range that tools give to a slave
STREAMS = 0x40              # address of the description of the input, and behind it of the outputs
OWN_EVENTS = (Counted("design", "cycles"), Counted("design", "frames"), Counted("design", "bad_frames"))


@dataclass(frozen=True)
class Stream:
    """An AXI4-Stream of frames: its port, the map that a frame is, and the samples, from ``low`` to ``high``."""
    port: str
    height: int
    width: int
    channels: int
    bits: int               # of a sample: it travels in whole bytes
    signed: bool
    zero_point: int
    low: int
    high: int


@dataclass(frozen=True)
class RegisterMap:
    """Registers, and the counters behind them.

    Attributes
    ----------
    registers : tuple of Register
    counters : tuple of Counted
        In the order in which the hardware has them; the words of number n are at
        ``counters_address + 8 * n``, the low one first.
    counters_address : int
    address_bits : int
    products : dict of str to Fraction
        Products of a look-up, by stage.
    source, targets : Stream, tuple of Stream
    beat_bytes : int
    build : int
    """
    registers: tuple
    counters: tuple
    counters_address: int
    address_bits: int
    products: dict
    source: Stream
    targets: tuple
    beat_bytes: int
    build: int

    def address_of(self, counter):
        return self.counters_address + 8 * self.counters.index(counter)


def port_events(port):
    """Of a stream: beats taken, and cycles in which one of its ends waits for the other."""
    return tuple(Counted(port, kind) for kind in ACTIVITIES)


def register_map(network, stages, *, beat_bits, build, counters=True):
    """The registers of a design.

    Parameters
    ----------
    network : Graph
    stages : dict
        Component of each node by name.
    beat_bits : int
        Width of the streams.
    build : int
        32 bits that tell this design from others.
    counters : bool
        With a bank of counters.

    Returns
    -------
    RegisterMap
    """
    source = stream_of("s_axis", network.tensors[network.input], raw=network.input_table is not None)
    targets = tuple(stream_of(port, network.tensors[name])
                    for port, name in zip(output_ports(network), network.outputs))
    counted = ()
    if counters:
        lookups = [event for event in stage_events(stages) if event.kind == "lookups"]
        ports = port_events(source.port), *map(port_events, output_ports(network))
        counted = (*lookups, *OWN_EVENTS, *(
            event for event in stage_events(stages) if event.kind != "lookups"), *sum(ports, ()))
    registers = [*_identity(network, targets, counted, beat_bits, build), *_control()]
    for n, stream in enumerate((source, *targets)):
        registers += _stream(stream, STREAMS + 16 * n)
    span = 8 << bits_for(max(len(counted), 1) - 1)
    address = -(-(registers[-1].address + 4) // span) * span
    products = {name: products_per_lookup(stage) for name, stage in stages.items()}
    return RegisterMap(
        tuple(registers), counted, address, max(MIN_ADDRESS_BITS, bits_for(address + span - 1)),
        {name: value for name, value in products.items() if value is not None},
        source, targets, beat_bits // 8, build)


def stream_of(port, tensor, raw=False):
    """``raw``: pixels of 8 bits, which become the tensor by a table."""
    if raw:
        return Stream(port, *tensor.shape, 8, False, 0, 0, 255)
    sample = sample_shape(tensor)
    zero = tensor.zero_point
    return Stream(port, *tensor.shape, sample.width, sample.signed, zero, tensor.low + zero, tensor.high + zero)


def _identity(network, targets, counted, beat_bits, build):
    return (
        Register("ID", 0x00, "What this is", (
            Field("magic", 0, 32, "constant", "0x534B4950, \"SKIP\"", MAGIC),)),
        Register("VERSION", 0x04, "How to read the rest", (
            Field("map", 0, 16, "constant", "version of this map", VERSION),)),
        Register("BUILD", 0x08, "Which design this is", (
            Field("hash", 0, 32, "constant", "the first 32 bits of a SHA-256 of the design; also in build.json",
                  build),)),
        Register("LAYOUT", 0x0C, "How large the map is", (
            Field("outputs", 0, 8, "constant", "output streams", len(targets)),
            Field("beat_bytes", 8, 8, "constant", "bytes of TDATA", beat_bits // 8),
            Field("counters", 16, 16, "constant", "counters; 0 if the design was built without", len(counted)))),
    )


def _control():
    return (
        Register("CONTROL", 0x10, "What it shall do", (
            Field("enable", 0, 1, "control", "take in frames; a frame that has begun is taken in to its end", 1),)),
        Register("COMMAND", 0x14, "What it shall do once", (
            Field("reset", 0, 1, "pulse", "drop all frames under way and start afresh"),
            Field("forget", 1, 1, "pulse", "with reset: the rest of the frame that is being taken in will not come"),
            Field("snapshot", 2, 1, "pulse", "keep all counters as of one cycle, to be read"))),
        Register("STATUS", 0x18, "What it does, and what went wrong", (
            Field("short", 0, 1, "sticky", "a frame ended too early; its result is marked"),
            Field("long", 1, 1, "sticky", "a frame had no TLAST on its last beat; its result is marked"),
            Field("cut_input", 2, 1, "sticky", "a reset fell into a frame that was being taken in"),
            Field("cut_output", 3, 1, "sticky", "a reset fell into a frame that was being sent: it was ended early, and marked"),
            Field("resetting", 16, 1, "status", "the reset is not over"),
            Field("discarding", 17, 1, "status", "the rest of a cut frame is awaited, to be thrown away"),
            Field("counting", 18, 1, "status", "the snapshot is not complete"))),
        Register("FRAMES", 0x1C, "Frames sent by the first output since power-up, bad ones included; wraps", (
            Field("count", 0, 32, "status", "frames"),)),
    )


def _stream(stream, address):
    name = stream.port.upper()
    sample = (
        Field("bits", 0, 8, "constant", "bits of a sample; it takes whole bytes", stream.bits),
        Field("signed", 8, 1, "constant", "two's complement", int(stream.signed)),
        Field("zero_point", 16, 16, "constant", "the sample that means 0, in 16 bits of two's complement",
              stream.zero_point & 0xFFFF))
    return [Register(f"{name}_{noun}", address + 4 * n, f"{noun.capitalize()} of {stream.port}", (
        Field("count", 0, 32, "constant", what, value),)) for n, (noun, what, value) in enumerate((
            ("HEIGHT", "rows", stream.height), ("WIDTH", "columns", stream.width),
            ("CHANNELS", "channels, which change fastest", stream.channels)))] + [
        Register(f"{name}_SAMPLE", address + 12, f"Samples of {stream.port}", sample)]
