# amaranth: UnusedElaboratable=no
import re
from pathlib import Path

import pytest
from amaranth import Elaboratable, Module, Signal
from amaranth.build import Attrs, Clock, DiffPairs, Pins, Resource, Subsignal
from amaranth.build.res import PortGroup
from amaranth.lib import io
from amaranth.vendor import LatticePlatform, XilinxPlatform
from amaranth_boards.resources import LEDResources

from platforms import UnknownBoard, ZCU102Platform, board, boards
from platforms.lattice import LATTICE
from platforms.xilinx import XILINX


class Blinky(Elaboratable):
    def elaborate(self, platform):
        m = Module()
        count = Signal(27)
        m.d.sync += count.eq(count + 1)
        for number in range(2):
            led = io.Buffer("o", platform.request("led", number, dir="-"))
            m.submodules += led
            m.d.comb += led.o.eq(count[-1 - number])
        return m


class Everything(Elaboratable):
    """A blinky with a buffer on every other pin as well."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.blinky = Blinky()
        taken = {(platform.default_clk, 0), (platform.default_rst, 0), ("led", 0), ("led", 1)}
        for name, number in sorted(platform.resources.keys() - taken):
            port = platform.request(name, number, dir="-")
            ports = vars(port).values() if isinstance(port, PortGroup) else [port]
            m.submodules += [io.Buffer(item.direction, item) for item in ports]
        return m


def plan(platform, top):
    return platform.build(top, name="top", do_build=False)


def constraints(platform, top):
    """Return {port: pin}, {port: standard} and the text of a build's .xdc."""
    xdc = plan(platform, top).files["top.xdc"]
    found = []
    for key in "LOC", "IOSTANDARD":
        pattern = rf'set_property {key} "?(\w+)"? \[get_ports "(\w+)"\]'
        found.append({port: value for value, port in re.findall(pattern, xdc)})
    return *found, xdc


def declared(ios):
    for item in ios:
        if isinstance(item, Subsignal):
            yield from declared(item.ios)
        elif isinstance(item, DiffPairs):
            yield from item.p.names + item.n.names
        elif isinstance(item, Pins):
            yield from item.names


def zcu102_pins():
    pins = [pin for resource in ZCU102Platform.resources for pin in declared(resource.ios)]
    for connector in ZCU102Platform.connectors:
        pins += connector.mapping.values()
    return pins


def test_boards():
    assert boards() == sorted(boards()) and len(set(boards())) == len(boards())
    assert {"arty-a7-100", "arty-z7-20", "kv260", "pynq-z2", "u250", "zcu102", "zcu104"} <= set(boards())
    for name in boards():
        entry = board(name)
        assert entry.name == name
        assert set(entry.resources) == {"dsp", "lut", "ff", "bram36", "uram"}


@pytest.mark.parametrize("name", [entry.name for entry in XILINX])
def test_xilinx_boards(name):
    entry = board(name)
    assert issubclass(entry.platform, XilinxPlatform)
    # DSP48E1 and no UltraRAM in the 7 series; UltraRAM from UltraScale+ on.
    assert entry.mac == {"xc7": "behavioural", "xcu": "dsp48e2", "xcup": "dsp48e2"}[entry.family]
    assert entry.family == "xcup" or not entry.resources["uram"]
    # 2 flip-flops for each LUT, in every family.
    assert entry.resources["ff"] == 2 * entry.resources["lut"] and entry.resources["dsp"] >= 100
    assert (entry.processor, entry.board_part is not None) in {
        (None, False), ("zynq_ultra_ps_e", True), ("processing_system7", True)}


@pytest.mark.parametrize("name", [entry.name for entry in XILINX])
def test_part(name):
    """Our name of a device and the one in Amaranth's build plan, which needs a clock and a pin."""
    entry = board(name)

    class Platform(entry.platform):
        default_clk, default_rst = "clk", None
        resources = [Resource("clk", 0, Pins("A1", dir="i"), Clock(1e8)),
                     *LEDResources(pins="B1 B2", attrs=Attrs(IOSTANDARD="LVCMOS18"))]
        connectors = []
    assert f"-part {entry.part}\n" in plan(Platform(), Blinky()).files["top.tcl"]


def test_lattice_boards():
    for entry in LATTICE:
        assert issubclass(entry.platform, LatticePlatform) and not entry.vivado
        assert (entry.family, entry.mac) == ("ecp5", "mult18x18d")
        assert entry.resources == {"dsp": 156, "lut": 83640, "ff": 83640, "bram36": 104, "uram": 0}


def test_zcu102_entry():
    entry = board("zcu102")
    assert entry.platform is ZCU102Platform
    assert (entry.family, entry.mac, entry.clock_mhz) == ("xcup", "dsp48e2", 200)
    assert entry.resources == {"dsp": 2520, "lut": 274080, "ff": 548160, "bram36": 912, "uram": 0}


@pytest.mark.parametrize("name", ["zcu105", "ZCU102", "", None, ["zcu102"]])
def test_unknown(name):
    message = f"Board must be one of {', '.join(boards())}, not {name!r}"
    with pytest.raises(UnknownBoard, match=f"^{re.escape(message)}$"):
        board(name)
    assert issubclass(UnknownBoard, ValueError)


def test_frozen():
    with pytest.raises(AttributeError):
        board("zcu102").clock_mhz = 300
    with pytest.raises(TypeError):
        board("zcu102").resources["dsp"] = 0


@pytest.mark.parametrize("name,part,led", [
    ("arty-a7-100", "xc7a100tcsg324-1", "H5"),
    ("arty-z7-20", "xc7z020clg400-1", "R14"),
    ("zcu102", "xczu9eg-ffvb1156-2-e", "AG14"),
])
def test_blinky(name, part, led):
    platform = board(name).platform()
    pins, _, _ = constraints(platform, Blinky())
    assert pins["led_0__io"] == led
    assert f"-part {part}\n" in plan(board(name).platform(), Blinky()).files["top.tcl"]


def test_zcu102_blinky():
    pins, standards, xdc = constraints(ZCU102Platform(), Blinky())
    assert pins == {"clk125_0__p": "G21", "clk125_0__n": "F21", "rst_0__io": "AM13",
                    "led_0__io": "AG14", "led_1__io": "AF13"}
    assert standards == {port: "LVDS_25" if "clk" in port else "LVCMOS33" for port in pins}
    assert "create_clock -name clk125_0__p -period 8.0 " in xdc


def test_zcu102_everything():
    pins, standards, _ = constraints(ZCU102Platform(), Everything())
    resources = [pin for resource in ZCU102Platform.resources for pin in declared(resource.ios)]
    assert sorted(pins.values()) == sorted(resources)
    assert pins.keys() == standards.keys()
    assert pins["uart_0__rx__io"] == "E13" and pins["uart_0__tx__io"] == "F13"


def test_zcu102_uart_directions():
    subsignals = {item.name: item.ios[0].dir for resource in ZCU102Platform.resources
                  if resource.name == "uart" for item in resource.ios
                  if isinstance(item, Subsignal)}
    assert subsignals == {"rx": "i", "tx": "o", "rts": "i", "cts": "o"}


def test_zcu102_pins_unique():
    pins = zcu102_pins()
    assert len(pins) == 6 + 1 + 8 + 5 + 8 + 4 + 4 + 2 * 8 + (68 + 4) + (60 + 4)
    assert len(set(pins)) == len(pins)
    # A 34 x 34 array of balls: no row is called I, O, Q, S, X or Z.
    assert all(re.fullmatch(r"([A-HJ-NPRT-WY]|A[A-HJ-NP])([1-9]|[12]\d|3[0-4])", pin)
               for pin in pins)


def test_zcu102_connectors():
    mappings = {(item.name, item.number): item.mapping for item in ZCU102Platform.connectors}
    assert mappings["pmod", 0]["1"] == "A20" and mappings["pmod", 0]["7"] == "B21"
    assert mappings["hpc", 0]["la33_p"] == "V12" and mappings["hpc", 0]["la17_cc_n"] == "N11"
    assert mappings["hpc", 1]["la18_cc_p"] == "Y8" and mappings["hpc", 1]["clk1_m2c_n"] == "P9"
    assert "la30_p" not in mappings["hpc", 1]


def test_reproducible():
    digests = [plan(ZCU102Platform(), Blinky()).digest() for _ in range(2)]
    assert digests[0] == digests[1]
    assert plan(ZCU102Platform(), Everything()).digest() != digests[0]


def test_program(tmp_path, monkeypatch):
    script = tmp_path / "xsdb"
    script.write_text(f"#!/bin/sh\nprintf '%s|' \"$@\" > {tmp_path}/arguments\n")
    script.chmod(0o755)
    monkeypatch.setenv("XSDB", str(script))

    class Products:
        def extract(self, name):
            assert name == "top.bit"
            return self

        def __enter__(self):
            return "/a b/top.bit"

        def __exit__(self, *_):
            pass

    ZCU102Platform().toolchain_program(Products(), "top")
    assert (tmp_path / "arguments").read_text() == "-eval|connect; fpga -file {/a b/top.bit}|"


def test_page():
    """The table of docs/platforms.md is that of the boards."""
    page = Path(__file__).parents[1].joinpath("docs", "platforms.md").read_text()
    processors = {None: "", "processing_system7": "Zynq-7000", "zynq_ultra_ps_e": "Zynq UltraScale+"}
    for entry in XILINX + LATTICE:
        mac = "behavioural" if entry.mac == "behavioural" else f"`{entry.mac}`"
        amounts = " | ".join(str(entry.resources[name]) for name in ("dsp", "lut", "ff", "bram36"))
        row = (f"| `{entry.name}` | {entry.platform.device.upper()} | `{entry.family}` | {mac} | "
               f"{processors[entry.processor]} | {entry.clock_mhz} MHz | {amounts} |")
        assert row.replace("|  |", "| |") in page
