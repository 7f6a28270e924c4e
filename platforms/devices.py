"""What devices have, as their vendor's tables say.

``dsp`` blocks, 6-input ``lut``, ``ff``, ``bram36`` (blocks of 36 kbit) and ``uram`` (288 kbit). The tables:
DS180 (Artix-7, Kintex-7, Spartan-7; slices of 4 LUTs and 8 flip-flops), DS190 (Zynq-7000), DS890 (UltraScale), DS891 (Zynq
UltraScale+), DS889 (its RFSoCs), DS987 (the Kria K26, where the device of the SOM is described), DS962 (Alveo U250);
Lattice's FPGA-DS-02012 (ECP5), whose LUTs have 4 inputs.
"""

__all__ = ["DEVICES"]

_FIELDS = "dsp", "lut", "ff", "bram36", "uram"

DEVICES = {device: dict(zip(_FIELDS, amounts, strict=True)) for device, amounts in {
    "xc7s50": (120, 32600, 65200, 75, 0),               # DS180
    "xc7a50t": (120, 32600, 65200, 75, 0),
    "xc7a100t": (240, 63400, 126800, 135, 0),
    "xc7a200t": (740, 134600, 269200, 365, 0),
    "xc7k325t": (840, 203800, 407600, 445, 0),
    "xc7z020": (220, 53200, 106400, 140, 0),            # DS190
    "xcku040": (1920, 242400, 484800, 600, 0),          # DS890
    "xczu7ev": (1728, 230400, 460800, 312, 96),         # DS891
    "xczu9eg": (2520, 274080, 548160, 912, 0),
    "xczu48dr": (4272, 425280, 850560, 1080, 80),       # DS889
    "xck26": (1248, 117120, 234240, 144, 64),           # DS987
    "xcu250": (12288, 1728000, 3456000, 2688, 1280),    # DS962
    "lfe5u-85f": (156, 83640, 83640, 104, 0),           # FPGA-DS-02012; 208 blocks of 18 kbit
    "lfe5um5g-85f": (156, 83640, 83640, 104, 0),
}.items()}
