"""The project for Vivado: its scripts run against stand-ins that know the emitted Verilog and the IPs."""
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from amaranth import Elaboratable, Module
from amaranth.lib import io

import networks
from cores.folding.allocate import Design, fold
from cores.stages import Engine, Folding
from cores.top import Top
from cores.vivado.fusesoc import core_file
from cores.vivado.write import add_vivado
from cores.wrapper.write import add_rtl
from driver.board import BoardError
from driver.pynq_board import PynqBoard
from platforms import board
from platforms.xilinx import XILINX

pytest.importorskip("tkinter", reason="this Python has no Tcl")
import tkinter

from vivado import Vivado
from vivado.verilog import ports_of

SAME = {"op": "conv", "filters": 6, "padding": (1, 1, 1, 1)}
FOLDINGS = {"conv0": Folding(lanes=3, pes=4, ways=3, out_ways=2), "fc1": Folding(2, pes=6, ways=2)}


@pytest.fixture(scope="module")
def emitted():
    """Files of a design with two outputs, its registers, and a function that writes the project of a board."""
    graph, _ = networks.chain(SAME, {"op": "fc", "filters": 12}, shape=(8, 6, 3))
    graph = type(graph)(graph.name, graph.input, ("t0", "t1"), graph.tensors, graph.nodes)
    design, files = Design(3, FOLDINGS, 700.0), {}
    top = Top(graph, design=design, stages=fold(graph, design, Engine()), beat_bits=128)
    registers = add_rtl(SimpleNamespace(add=files.__setitem__), graph, top)

    def write(folder, name="zcu102", clock_mhz=200):
        content = dict(files)
        memories = [file.removeprefix("rtl/") for file in files if file.endswith(".hex")]
        add_vivado(SimpleNamespace(add=content.__setitem__), board(name), registers, memories, clock_mhz=clock_mhz)
        content["skipstone.core"] = core_file(board(name), registers, memories, graph.name)
        for file, data in content.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(data.encode() if isinstance(data, str) else data)
        return folder
    return write


@pytest.mark.parametrize("name", [entry.name for entry in XILINX])
def test_boards(emitted, tmp_path, name):
    """Every board: an IP, and a bitstream where there are processors."""
    folder, vivado, entry = emitted(tmp_path / "a folder", name), Vivado(), board(name)
    vivado.run(folder / "vivado/build.tcl", "3")
    assert (folder / "vivado/ip/component.xml").read_text() == "skipstone:user:skipstone_axi:1.0"
    results = [folder / f"skipstone.{end}" for end in ("bit", "hwh", "xsa")]
    assert [file.exists() for file in results] == [entry.processor is not None] * 3
    assert {call[call.index("-part") + 1] for call in vivado.calls if call[0] == "create_project"} == {entry.part}
    if entry.processor:
        assert ("launch_runs", "impl_1", "-to_step", "write_bitstream", "-jobs", "3") in vivado.calls
        cells = json.loads(results[1].read_text())
        assert cells["ps"][0].startswith(f"xilinx.com:ip:{entry.processor}:")
        assert "200" in cells["ps"][1].values()


def test_no_memory_map(emitted, tmp_path):
    """A packager that makes none for s_axi."""
    folder = emitted(tmp_path)
    vivado = Vivado(infers_map=False)
    vivado.run(folder / "vivado/build.tcl")
    assert vivado.core["range"] == 1 << 12


class DmaEngine:
    """AXI DMA under pynq, one transfer of each channel that never ends; registers and resets as in PG021.

    After a reset, ``lag`` reads find it still under way.
    """

    def __init__(self, values, lag):
        assert values["c_include_sg"] == "0" and values["c_sg_length_width"] == "26"
        self.lag, self.left, self.log = lag, 0, []
        self.recvchannel = SimpleNamespace(stop=self.hang, start=lambda: self.start("receive"))
        if values["c_include_mm2s"] == "1":
            self.sendchannel = SimpleNamespace(stop=self.hang, start=lambda: self.start("send"))

    def hang(self):
        raise AssertionError("waits for the transfer forever")

    def start(self, what):
        assert not self.left
        self.log.append(what)

    def write(self, address, value):
        assert (address, value) == (0x30, 4)        # S2MM_DMACR.Reset, for both channels
        self.left = self.lag

    def read(self, address):
        assert address == 0x30
        self.left = max(0, self.left - 1)
        return 0x10002 | 4 * (self.left > 0)


@pytest.fixture
def overlay(emitted, tmp_path, monkeypatch):
    """The driver's board, over an overlay with the cells of the hand-off file: a function of an engine's lag."""
    folder = emitted(tmp_path)
    Vivado().run(folder / "vivado/build.tcl")
    cells = json.loads((folder / "skipstone.hwh").read_text())
    assert cells["skipstone_axi_0"][0] == "skipstone:user:skipstone_axi:1.0"

    def make(lag):
        found = SimpleNamespace(skipstone_axi_0=SimpleNamespace(read=lambda address: address), **{
            name: DmaEngine(values, lag) for name, (vlnv, values) in cells.items() if vlnv.startswith("xilinx.com:ip:axi_dma:")})
        pynq = ModuleType("pynq")
        pynq.Overlay, pynq.allocate = lambda bitstream: found, lambda shape, dtype: None
        monkeypatch.setitem(sys.modules, "pynq", pynq)
        return PynqBoard("skipstone.bit", 144, [288, 16]), found
    return make


def test_driver_finds_its_cells(overlay):
    pynq_board, found = overlay(5)
    assert pynq_board.read(8) == 8
    pynq_board.abort()          # transfers that hang
    assert found.axi_dma_0.log == ["send", "receive"] and found.axi_dma_1.log == ["receive"]


def test_driver_gives_up(overlay):
    pynq_board, found = overlay(10_000)
    with pytest.raises(BoardError, match="A DMA engine does not come out of its reset"):
        pynq_board.abort()
    assert not found.axi_dma_0.log


@pytest.mark.parametrize("clock_mhz, period", [(200, "5.000"), (187.5, "5.333")])
def test_core_alone(emitted, tmp_path, clock_mhz, period):
    folder, vivado = emitted(tmp_path, clock_mhz=clock_mhz), Vivado()
    vivado.run(folder / "vivado/core.tcl")
    assert vivado.period == float(period)
    assert (folder / "vivado/core.dcp").exists() and not (folder / "vivado/work").exists()


def test_failures(emitted, tmp_path):
    folder = emitted(tmp_path)
    with pytest.raises(tkinter.TclError, match=r"^timing missed by 0.25 ns \(setup\) at 200 MHz: .* a lower --clock$"):
        Vivado(slack=-0.25).run(folder / "vivado/build.tcl")
    with pytest.raises(tkinter.TclError, match=r"^Vivado has no board \*:zcu102:part0:\*: install"):
        Vivado(boards=()).run(folder / "vivado/build.tcl")
    assert not (folder / "skipstone.bit").exists()


def test_fusesoc(emitted, tmp_path):
    """FuseSoC reads the core file, finds its files, and makes a project for Vivado of them."""
    pytest.importorskip("fusesoc", reason="fusesoc is not installed")
    folder = emitted(tmp_path / "out")

    def run():
        command = [sys.executable, "-m", "fusesoc.main", "--cores-root", folder, "run", "--setup", "--target=core",
                   "--build-root", tmp_path / "build", "skipstone:designs:chain"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    result = run()
    assert result.returncode == 0, result.stderr
    project, = tmp_path.glob("build/**/skipstone_designs_chain_1.0.tcl")
    text, memories = project.read_text(), [file.name for file in folder.glob("rtl/*.hex")]
    assert memories and all(f"read_mem {{{name}}}" in text and (project.parent / name).exists() for name in memories)
    assert "xczu9eg-ffvb1156-2-e" in text and "set_property top skipstone " in text
    (folder / "rtl" / memories[0]).unlink()
    assert run().returncode


class Alone(Elaboratable):
    """The design between a switch and a light, by the function of docs/vivado.md."""

    def __init__(self, folder):
        self.folder = folder

    def elaborate(self, platform):
        names = {}
        page = Path(__file__).parents[1].joinpath("docs", "vivado.md").read_text()
        exec(page.split("```python\n")[1].split("```")[0], names)
        m = Module()
        switch, light = (io.Buffer(flow, platform.request(name, 0, dir="-")) for flow, name in (("i", "switch"), ("o", "led")))
        m.submodules += switch, light
        inputs = {f"i_{name}": switch.i for name, (flow, _) in ports_of(
            (self.folder / "rtl/skipstone.v").read_text(), "skipstone").items() if flow == "input" and name not in {"clk", "rst"}}
        names["add_skipstone"](m, platform, self.folder, o_m_axis_0_tvalid=light.o, **inputs)
        return m


def test_in_amaranth(emitted, tmp_path):
    """Amaranth's build plan reads the core's Verilog, and has the files of its memories where Vivado runs."""
    folder = emitted(tmp_path)
    files = board("zcu102").platform().build(Alone(folder), name="top", do_build=False).files
    assert re.search(r"^add_files .?skipstone.v", files["top.tcl"], re.M)
    assert re.search(r"^  (\(\* .*\*\)\s+)?skipstone \\?skipstone ", files["top.v"], re.M), files["top.v"][-3000:]
    memories = {file.name for file in folder.glob("rtl/*.hex")}
    assert memories and memories <= set(files)


WRONG = [
    # A port, a module, a memory's file, a constraint that are not those of the Verilog.
    ("rtl/skipstone_axi.v", "s_axis_tvalid", "s_axis_valid", "has no interface s_axis"),
    ("rtl/skipstone_axi.v", "m_axis_1_tdata", "m_axis_1_data", "has no interface m_axis_1"),
    ("rtl/skipstone_axi.v", "s_axi_bready", "s_axi_bredy", "has no interface s_axi"),
    ("rtl/skipstone_axi.v", "aresetn", "reset_n", "has no interface aresetn"),
    ("rtl/skipstone.v", "module skipstone_core(", "module core(", "modules without a source: skipstone_core"),
    ("vivado/design.tcl", "skipstone_axi.v", "skipstone_axis.v", "no file .*skipstone_axis.v"),
    ("vivado/design.tcl", ".hex", ".mem", r"no file .*\.mem"),
    ("vivado/design.tcl", "{m_axis_0 m_axis_1}", "{m_axis}", "has no interface m_axis$"),
    ("vivado/design.tcl", "beat_bits {128}", "beat_bits {64}", "TDATA of "),
    ("vivado/design.tcl", "address_bits {12}", "address_bits {11}", "range of s_axi is smaller"),
    ("vivado/package_ip.tcl", "{Memory File}", "{Memory}", "no property file_type Memory"),
    ("vivado/package_ip.tcl", "if {[llength $memories]}", "if 0", "memory files that were not added: rom_"),
    ("vivado/package_ip.tcl", "-reset aresetn", "-reset aclk", "a clock without a reset"),
    ("vivado/package_ip.tcl", "1 << $address_bits", "1 << 8", "range of s_axi is smaller"),
    ("vivado/package_ip.tcl", "$outputs] {\n    ipx", "m_axis_0] {\n    ipx", "an interface without a clock"),
    # Names of the IPs.
    ("vivado/block_design.tcl", "c_include_sg", "c_include_sgs", "axi_dma:7.1 has no parameter c_include_sgs"),
    ("vivado/block_design.tcl", "c_sg_length_width 26", "c_sg_length_width 27", "c_sg_length_width .* cannot be 27"),
    ("vivado/block_design.tcl", "PSU__USE__S_AXI_GP2 1", "PSU__USE__S_AXI_GP2 0", "no interface ps/S_AXI_HP0_FPD"),
    ("vivado/block_design.tcl", "PSU__USE__M_AXI_GP1 0", "PSU__USE__M_AXI_GP1 1", "hpm1_fpd_aclk is not connected"),
    ("vivado/block_design.tcl", "M_AXIS_MM2S", "M_AXIS_MM2", "no interface axi_dma_0/M_AXIS_MM2"),
    ("vivado/block_design.tcl", "pl_resetn0", "pl_resetn", "no pin ps/pl_resetn"),
    ("vivado/block_design.tcl", "xilinx.com:ip:smartconnect", "xilinx.com:ip:smart_connect", "no IP .*smart_connect"),
    ("vivado/block_design.tcl", "skipstone:user:skipstone_axi:1.0", "user:user:skipstone_axi:1.0", "no IP user"),
    # What the design rules find.
    ("vivado/block_design.tcl", "c_m_axis_mm2s_tdata_width $beat_bits", "c_m_axis_mm2s_tdata_width 32", "TDATA of "),
    ("vivado/block_design.tcl", "lappend held axi_dma_$n/axi_resetn", "", "axi_dma_0/axi_resetn is not connected"),
    ("vivado/block_design.tcl", "join_pins $reset reset/ext_reset_in", "", "reset/ext_reset_in is not connected"),
    ("vivado/block_design.tcl", "NUM_MI [expr {$engines + 1}]", "NUM_MI 4", "axi_control/M03_AXI is not connected"),
    ("vivado/block_design.tcl", "\nassign_bd_address", "", "slaves without an address"),
    ("vivado/block_design.tcl", "\nvalidate_bd_design", "", "save_bd_design: not validated"),
    ("vivado/block_design.tcl", "set_msg_config -id", "set_msg_config -ids", "unknown option -ids"),
    ("vivado/block_design.tcl", "update_ip_catalog", "update_catalog", "invalid command name \"update_catalog\""),
    ("vivado/implement.tcl", "-include_bit", "", "a platform without its bitstream"),
]


@pytest.mark.parametrize("file, right, wrong, message", WRONG)
def test_finds_what_is_wrong(emitted, tmp_path, file, right, wrong, message):
    """One word changed, and the stand-ins refuse it."""
    folder = emitted(tmp_path)
    text = (folder / file).read_text()
    assert right in text
    (folder / file).write_text(text.replace(right, wrong))
    with pytest.raises(tkinter.TclError, match=message) as error:
        Vivado().run(folder / "vivado/build.tcl")
    assert "broken stand-in" not in str(error.value)


@pytest.mark.parametrize("file, right, wrong, message", [
    ("vivado/core.tcl", "route_design\n", "", "write_checkpoint after phys_opt_design"),
    ("vivado/core.tcl", "-top skipstone ", "-top skip ", "modules without a source: skip"),
    ("vivado/core.xdc", "get_ports clk", "get_ports aclk", "no clock aclk"),
    ("rtl/skipstone.v", "  input clk;", "  output clk;", "no clock clk"),
])
def test_finds_what_is_wrong_with_the_core(emitted, tmp_path, file, right, wrong, message):
    folder = emitted(tmp_path)
    text = (folder / file).read_text()
    assert right in text
    (folder / file).write_text(text.replace(right, wrong))
    with pytest.raises(tkinter.TclError, match=message):
        Vivado().run(folder / "vivado/core.tcl")
