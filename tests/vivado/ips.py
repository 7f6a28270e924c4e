"""What we know of the IPs that the block design names: their parameters, pins and interfaces.

Names as in AMD's product guides: PG201 (Zynq UltraScale+ MPSoC processing system), PG082 (processing system 7), PG021 (AXI DMA),
PG247 (SmartConnect), PG164 (processor system reset); parameters and clock pins compared with public block designs too. Only what we
use or must connect is here; all else is an error.
"""
from dataclasses import dataclass, field

__all__ = ["IPS", "Ip", "Interface", "Pin"]

FLAG = ("0", "1")
WIDTHS = ("32", "64", "128", "256", "512", "1024")


@dataclass(frozen=True)
class Pin:
    """A pin: clocks and resets that go in must be connected."""
    flow: str                   # "in" or "out"
    kind: str                   # "clock", "reset" or "plain"
    required: bool = True


@dataclass(frozen=True)
class Interface:
    mode: str                   # "master" or "slave"
    kind: str                   # "axi", "stream" or "external"
    clock: str | None = None    # pin
    bits: int | None = None     # of a stream; None: as its other end
    bytes: int | None = None    # range of a slave that has registers; 0: memory
    pointer_bits: int = 0       # of a master: addresses that it can name


@dataclass(frozen=True)
class Ip:
    """``parameters``: allowed values of each, and the value of who says nothing."""
    parameters: dict = field(default_factory=dict)
    build: object = None        # from parameters to pins, interfaces


def dma(p):
    pins = {"s_axi_lite_aclk": Pin("in", "clock"), "axi_resetn": Pin("in", "reset")}
    faces = {"S_AXI_LITE": Interface("slave", "axi", "s_axi_lite_aclk", bytes=1 << 16)}
    pointer_bits = int(p["c_addr_width"])
    if p["c_include_sg"] == "1":
        pins["m_axi_sg_aclk"] = Pin("in", "clock")
        faces["M_AXI_SG"] = Interface("master", "axi", "m_axi_sg_aclk", pointer_bits=pointer_bits)
    if p["c_include_mm2s"] == "1":
        assert int(p["c_m_axi_mm2s_data_width"]) >= int(p["c_m_axis_mm2s_tdata_width"])
        pins |= {"m_axi_mm2s_aclk": Pin("in", "clock"), "mm2s_introut": Pin("out", "plain")}
        faces["M_AXI_MM2S"] = Interface("master", "axi", "m_axi_mm2s_aclk", pointer_bits=pointer_bits)
        faces["M_AXIS_MM2S"] = Interface(
            "master", "stream", "m_axi_mm2s_aclk", bits=int(p["c_m_axis_mm2s_tdata_width"]))
    if p["c_include_s2mm"] == "1":
        pins |= {"m_axi_s2mm_aclk": Pin("in", "clock"), "s2mm_introut": Pin("out", "plain")}
        faces["M_AXI_S2MM"] = Interface("master", "axi", "m_axi_s2mm_aclk", pointer_bits=pointer_bits)
        faces["S_AXIS_S2MM"] = Interface("slave", "stream", "m_axi_s2mm_aclk")
    return pins, faces


def smartconnect(p):
    slaves, masters = int(p["NUM_SI"]), int(p["NUM_MI"])
    faces = {f"S{n:02}_AXI": Interface("slave", "axi", "aclk") for n in range(slaves)}
    faces |= {f"M{n:02}_AXI": Interface("master", "axi", "aclk") for n in range(masters)}
    return {"aclk": Pin("in", "clock"), "aresetn": Pin("in", "reset")}, faces


def sys_reset(p):
    return {"slowest_sync_clk": Pin("in", "clock"), "ext_reset_in": Pin("in", "reset"),
            "aux_reset_in": Pin("in", "reset", False), "dcm_locked": Pin("in", "plain", False),
            "peripheral_aresetn": Pin("out", "reset"), "interconnect_aresetn": Pin("out", "reset"),
            "peripheral_reset": Pin("out", "plain"), "bus_struct_reset": Pin("out", "plain")}, {}


def ultrascale(p):
    pins, faces = {}, {}
    if p["PSU__FPGA_PL0_ENABLE"] == "1":
        pins |= {"pl_clk0": Pin("out", "clock"), "pl_resetn0": Pin("out", "reset")}
    for n, name in enumerate(("hpm0_fpd", "hpm1_fpd", "hpm0_lpd")):
        if p[f"PSU__USE__M_AXI_GP{n}"] == "1":
            pins[f"maxi{name}_aclk"] = Pin("in", "clock")
            faces[f"M_AXI_{name.upper()}"] = Interface("master", "axi", f"maxi{name}_aclk", pointer_bits=40)
    if p["PSU__USE__S_AXI_GP2"] == "1":
        pins["saxihp0_fpd_aclk"] = Pin("in", "clock")
        faces["S_AXI_HP0_FPD"] = Interface("slave", "axi", "saxihp0_fpd_aclk", bytes=0)
    return pins, faces


def series7(p):
    pins = {}
    faces = {"DDR": Interface("master", "external"), "FIXED_IO": Interface("master", "external")}
    if p["PCW_EN_CLK0_PORT"] == "1":
        pins["FCLK_CLK0"] = Pin("out", "clock")
    if p["PCW_EN_RST0_PORT"] == "1":
        pins["FCLK_RESET0_N"] = Pin("out", "reset")
    if p["PCW_USE_M_AXI_GP0"] == "1":
        pins["M_AXI_GP0_ACLK"] = Pin("in", "clock")
        faces["M_AXI_GP0"] = Interface("master", "axi", "M_AXI_GP0_ACLK", pointer_bits=32)
    if p["PCW_USE_S_AXI_HP0"] == "1":
        pins["S_AXI_HP0_ACLK"] = Pin("in", "clock")
        faces["S_AXI_HP0"] = Interface("slave", "axi", "S_AXI_HP0_ACLK", bytes=0)
    return pins, faces


# Allowed values, the first of them what a cell has that is not told (for processors: what a board's preset may leave on).
IPS = {
    "xilinx.com:ip:axi_dma:7.1": Ip({
        "c_include_sg": ("1", "0"), "c_sg_length_width": ("14", *map(str, range(8, 27))),
        "c_addr_width": tuple(map(str, range(32, 65))), "c_include_mm2s": ("1", "0"), "c_include_s2mm": ("1", "0"),
        "c_m_axi_mm2s_data_width": WIDTHS, "c_m_axi_s2mm_data_width": WIDTHS,
        "c_m_axis_mm2s_tdata_width": ("32", "8", "16", *WIDTHS)}, dma),
    "xilinx.com:ip:smartconnect:1.0": Ip({
        "NUM_SI": ("2", *map(str, range(1, 17))), "NUM_MI": tuple(map(str, range(1, 17)))}, smartconnect),
    "xilinx.com:ip:proc_sys_reset:5.0": Ip({}, sys_reset),
    "xilinx.com:ip:zynq_ultra_ps_e:3.5": Ip({
        "PSU__USE__M_AXI_GP0": FLAG, "PSU__USE__M_AXI_GP1": FLAG[::-1], "PSU__USE__M_AXI_GP2": FLAG[::-1],
        "PSU__USE__S_AXI_GP2": FLAG, "PSU__SAXIGP2__DATA_WIDTH": ("128", "64", "32"), "PSU__FPGA_PL0_ENABLE": FLAG,
        "PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ": None}, ultrascale),
    "xilinx.com:ip:processing_system7:5.5": Ip({
        "PCW_USE_M_AXI_GP0": FLAG, "PCW_USE_S_AXI_HP0": FLAG, "PCW_S_AXI_HP0_DATA_WIDTH": ("64", "32"),
        "PCW_EN_CLK0_PORT": FLAG, "PCW_EN_RST0_PORT": FLAG, "PCW_FPGA0_PERIPHERAL_FREQMHZ": None}, series7),
}
