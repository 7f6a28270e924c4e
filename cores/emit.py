"""From an elaboratable to Verilog, with its memories as instances: their contents are not in the text."""
import contextlib
import gc
import hashlib
import re
import tempfile
from pathlib import Path

from amaranth import ClockSignal, Instance, Module, ResetSignal, Shape, Value
from amaranth.back import rtlil
from amaranth.hdl._ir import PortDirection
from amaranth.lib.wiring import In

from . import yosys

__all__ = ["FilePlatform", "component_ports", "verilog", "ROM_MODULE"]

_ROM = """\
// Read-only memory with one cycle of latency, its contents from a file of hexadecimal words.
module NAME #(
    parameter WIDTH = 8,
    parameter DEPTH = 2,
    parameter FILE = "",
    parameter ADDRESS = DEPTH > 2 ? $clog2(DEPTH) : 1
) (
    input  wire               clk,
    input  wire               en,
    input  wire [ADDRESS-1:0] address,
    output reg  [WIDTH-1:0]   data
);
    STYLEreg [WIDTH-1:0] words [0:DEPTH-1];
    generate        // tools also read the module on its own, without a file
        if (FILE != "") initial $readmemh(FILE, words);
    endgenerate
    always @(posedge clk)
        if (en) data <= words[address];
endmodule

"""

_RAM = """\
// Memory of zeros at first, with a port for writing and one for reading: one cycle of latency, and
// the old word if it is written in the same cycle.
module skipstone_ram #(
    parameter WIDTH = 8,
    parameter DEPTH = 2,
    parameter ADDRESS = DEPTH > 2 ? $clog2(DEPTH) : 1
) (
    input  wire               clk,
    input  wire               write,
    input  wire [ADDRESS-1:0] write_address,
    input  wire [WIDTH-1:0]   write_data,
    input  wire               read,
    input  wire [ADDRESS-1:0] read_address,
    output reg  [WIDTH-1:0]   read_data
);
    reg [WIDTH-1:0] words [0:DEPTH-1];
    integer n;
    initial for (n = 0; n < DEPTH; n = n + 1) words[n] = 0;
    always @(posedge clk) begin
        if (write) words[write_address] <= write_data;
        if (read) read_data <= words[read_address];
    end
endmodule
"""

ROM_MODULE = (_ROM.replace("NAME", "skipstone_rom").replace("STYLE", "")
              + _ROM.replace("NAME", "skipstone_block_rom").replace("STYLE", '(* rom_style = "block" *) ') + _RAM)


class FilePlatform:
    """Makes instances of memories, so that a design's text never carries their contents.

    A conversion to Verilog takes time and text for every word: of a network's weights, and of the
    zeros in its queues and rings of lines.

    Attributes
    ----------
    files : dict of str to str
        Text of each file by its name, for ``$readmemh``. Names are made of the contents: a stage on
        its own reads the files of the whole design.
    pending : list of (str, component, dict)
        Modules that were used and not yet converted: name, a component of the kind, ports. See :mod:`hdl.repeated`.
    top : elaboratable or None
        What is being converted, and therefore elaborated though it may be of a repeated kind.
    """

    def __init__(self):
        self.files, self.pending, self.top = {}, [], None
        self._modules = {}

    def rom_file(self, words, width):
        """Keep ``words`` of ``width`` bits; return the name of their file."""
        text = f"%0{-(-width // 4)}x\n" * len(words) % tuple(words)
        name = f"rom_{hashlib.sha256(text.encode()).hexdigest()[:12]}.hex"
        self.files[name] = text
        return name

    def repeat(self, component, kind, elaborate):
        """An instance of the module of a kind, see :func:`~hdl.repeated.repeated`."""
        if component is self.top:
            return elaborate()
        # A port without bits is none in Verilog.
        ports = {name: port for name, port in component_ports(component).items() if len(port[0])}
        if kind not in self._modules:
            self._modules[kind] = name = f"skipstone_{_words(kind[0].__name__)}_{len(self._modules)}"
            self.pending.append((name, component, ports))
        directed = {f"{'i' if flow is In else 'o'}_{name}": value for name, (value, flow) in ports.items()}
        return Instance(self._modules[kind], i_clk=ClockSignal(), i_rst=ResetSignal(), **directed)

    def get_memory(self, memory):
        """Implement a memory of Amaranth's library, which calls this."""
        plain = (len(memory.read_ports) == len(memory.write_ports) == 1 and memory.depth > 1
                 and not memory.attrs and all(word in (0, None) for word in memory.init))
        if plain:
            (read,), (write,) = memory.read_ports, memory.write_ports
            plain = read.domain == write.domain and not read.transparent_for and len(write.en) == 1
        if not plain:
            return memory.elaborate(None)
        m = Module()
        m.submodules.ram = Instance(
            "skipstone_ram", p_WIDTH=Shape.cast(memory.shape).width, p_DEPTH=memory.depth,
            i_clk=ClockSignal(read.domain), i_write=write.en, i_write_address=write.addr,
            i_write_data=write.data, i_read=read.en, i_read_address=read.addr, o_read_data=read.data)
        return m


def _words(name):
    """``a_name`` of ``AName``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def component_ports(component):
    """Ports of a component by their Verilog names: (value, flow)."""
    return {"_".join(map(str, path)): (Value.cast(value), member.flow)
            for path, member, value in component.signature.flatten(component)}


def verilog(component, *, name, platform=None, ports=None):
    """Convert to Verilog; the same text for the same component in any process.

    Parameters
    ----------
    component : Component
        Elaborated once.
    name : str
        Of the top module.
    platform : object or None
        Given to every ``elaborate``, see :class:`FilePlatform`. The text has the modules that it left
        pending.
    ports : dict of str to (value, Flow), or None
        Verilog names of the ports; those of the component's signature if None.

    Returns
    -------
    str
    """
    texts = [_rtlil(component, name, platform, ports)]
    pending = getattr(platform, "pending", [])
    while pending:
        module, part, ports = pending.pop(0)
        texts.append(_rtlil(part, module, platform, ports))
    with tempfile.TemporaryDirectory() as folder:
        files = [f"part_{n}.il" for n in range(len(texts))]
        for file, text in zip(files, texts):
            Path(folder, file).write_text(text)
        attributes = " ".join(f"-remove {a}" for a in (
            "generator", "top", "src", "amaranth.hierarchy", "amaranth.decoding"))
        yosys.run(*(f"read_rtlil {file}" for file in files), "proc -nomux -norom", "memory_collect",
                  f"attrmap {attributes}", f"attrmap -modattr {attributes}",
                  "write_verilog -norename top.v", cwd=folder)
        return "".join(line for line in Path(folder, "top.v").read_text().splitlines(keepends=True)
                       if not line.startswith("/* Generated by"))


def _rtlil(component, name, platform, ports):
    if isinstance(platform, FilePlatform):
        platform.top = component
    if ports is not None:
        ports = {path: (Value.cast(value), PortDirection.Input if flow is In else PortDirection.Output)
                 for path, (value, flow) in ports.items()}
    with _without_collector():
        return rtlil.convert(component, name=name, platform=platform, ports=ports, emit_src=False)


@contextlib.contextmanager
def _without_collector():
    """A netlist is millions of live objects: searching them for garbage takes 40 % of a conversion."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
