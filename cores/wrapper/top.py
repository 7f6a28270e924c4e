"""The module skipstone_axi: a design between guarded streams, behind registers."""
from amaranth import ClockDomain, ClockSignal, Instance, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cores.emit import component_ports
from cores.events import stage_events, watch_port
from cores.top import output_ports
from cores.wrapper.register_map import OWN_EVENTS, port_events
from hdl.axi import AxiStreamSignature
from hdl.axi_lite import AxiLiteSignature
from hdl.counters import CounterBank
from hdl.frame_guard import InputGuard, OutputGuard
from hdl.registers import RegisterBank

__all__ = ["AxiTop", "PlainTop", "CORE", "with_axi_reset"]

CORE = "skipstone_core"     # the module of the design itself
RESET_CYCLES = 8


class _Around(wiring.Component):
    """Something around the Verilog module of a design."""

    def instance(self, top, *, reset, connections):
        """The module, its ports connected by name; those not named are left open."""
        ports = {f"{'i' if flow is In else 'o'}_{name}": connections[name]
                 for name, (_, flow) in top.ports().items() if name in connections}
        return Instance(CORE, i_clk=ClockSignal(), i_rst=reset, **ports)


class PlainTop(_Around):
    """The design with its streams only.

    Parameters
    ----------
    top : Top

    Members
    -------
    Those of :class:`~cores.top.Top` without ``events``, and without TKEEP: every byte counts.
    """

    def __init__(self, top):
        self.top = top
        members = {name: member for name, member in top.signature.members.items() if name != "events"}
        super().__init__(members | {"s_axis": In(AxiStreamSignature(data_bits=top.beat_bits))})

    def ports(self):
        """Ports by their Verilog names."""
        return component_ports(self)

    def elaborate(self, platform):
        m = Module()
        connections = {name: value for name, (value, _) in self.ports().items()}
        m.submodules.core = self.instance(self.top, reset=ResetSignal(), connections={
            **connections, "s_axis_tkeep": (1 << self.top.beat_bits // 8) - 1})
        return m


class AxiTop(_Around):
    """The design behind registers.

    Parameters
    ----------
    top : Top
    registers : RegisterMap

    Members
    -------
    s_axi : In(AxiLiteSignature(...))
    s_axis, m_axis, ... : those of the design.
    """

    def __init__(self, top, registers):
        self.top, self.map = top, registers
        self.outputs = output_ports(top.network)
        super().__init__({
            "s_axi": In(AxiLiteSignature(address_bits=registers.address_bits)),
            "s_axis": In(AxiStreamSignature(data_bits=top.beat_bits, keep=True)),
            **{port: Out(AxiStreamSignature(data_bits=top.beat_bits, user_bits=1)) for port in self.outputs}})

    def elaborate(self, platform):
        m = Module()
        counters = self.map.counters
        memory = (self.map.counters_address, 2 * len(counters)) if counters else None
        m.submodules.registers = bank = RegisterBank(
            self.map.registers, address_bits=self.map.address_bits, memory=memory)
        wiring.connect(m, wiring.flipped(self.s_axi), bank.bus)

        left, restart, forget = Signal(range(RESET_CYCLES), init=RESET_CYCLES - 1), Signal(init=1), Signal()
        m.d.sync += [restart.eq(left != 0), forget.eq(bank.command_forget)]
        with m.If(bank.command_reset):
            m.d.sync += [left.eq(RESET_CYCLES - 1), restart.eq(1)]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)

        m.submodules.input = source = InputGuard(self.top.beat_bits)
        targets = [OutputGuard(self.top.beat_bits) for _ in self.outputs]
        short, long = Signal(), Signal()
        events = Signal(self.top.events.shape())
        connections = {"short_frame": short, "long_frame": long, "clear": 1, "events": events.as_value()}
        connections |= _stream("s_axis", source.m_axis)
        wiring.connect(m, wiring.flipped(self.s_axis), source.s_axis)
        for n, (port, target) in enumerate(zip(self.outputs, targets)):
            m.submodules[f"output_{n}"] = target
            wiring.connect(m, target.m_axis, wiring.flipped(getattr(self, port)))
            connections |= _stream(port, target.s_axis)
            m.d.comb += target.restart.eq(restart)
        m.submodules.core = self.instance(self.top, reset=restart, connections=connections)

        first = getattr(self, self.outputs[0])
        frame, bad = Signal(), Signal()
        m.d.sync += [frame.eq(first.tvalid & first.tready & first.tlast),
                     bad.eq(first.tvalid & first.tready & first.tlast & first.tuser),
                     bank.frames_count.eq(bank.frames_count + frame)]
        m.d.comb += [
            source.enable.eq(bank.control_enable), source.restart.eq(restart), source.forget.eq(forget),
            bank.status_short_set.eq(short), bank.status_long_set.eq(long),
            bank.status_cut_input_set.eq(source.cut),
            bank.status_cut_output_set.eq(sum(target.cut for target in targets) != 0),
            bank.status_resetting.eq(restart | bank.command_reset),
            bank.status_discarding.eq(source.discarding),
        ]
        if counters:
            self._count(m, bank, events, frame, bad)
        return m

    def _count(self, m, bank, events, frame, bad):
        """A bank of counters, its events in registers."""
        m.submodules.counters = unit = CounterBank([counter.most for counter in self.map.counters])
        happened = {event: events[f"event_{n}"] for n, event in enumerate(stage_events(self.top.stages))}
        happened |= dict(zip(OWN_EVENTS, (1, frame, bad), strict=True))
        for port in ("s_axis", *self.outputs):
            stream = getattr(self, port)
            what = watch_port(stream.tvalid, stream.tready)
            for event in port_events(port):
                happened[event] = register = Signal(name=f"{port}_{event.kind}")
                m.d.sync += register.eq(what[event.kind])
        for n, counter in enumerate(self.map.counters):
            m.d.comb += unit.events[f"event_{n}"].eq(happened[counter])
        m.d.comb += [unit.snapshot.eq(bank.command_snapshot),
                     bank.status_counting.eq(unit.busy | bank.command_snapshot),
                     unit.address.eq(bank.memory_address), bank.memory_data.eq(unit.data)]


def with_axi_reset(component):
    """An elaboratable and its ports by Verilog name: clock ``aclk``, synchronous reset ``aresetn``, low when active."""
    m, aresetn = Module(), Signal()
    m.domains.sync = domain = ClockDomain()
    domain.clk = Signal(name="aclk")
    m.submodules.design = component
    m.d.comb += domain.rst.eq(~aresetn)
    return m, {"aclk": (domain.clk, In), "aresetn": (aresetn, In), **component_ports(component)}


def _stream(port, stream):
    """Connections of a design's stream to that of a guard."""
    return {f"{port}_{name}": getattr(stream, name) for name in stream.signature.members}
