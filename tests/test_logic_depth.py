"""Logic depth of a small design with a stage of every kind, as Yosys builds it for UltraScale+."""
import json

import networks
from cores.emit import ROM_MODULE, FilePlatform, verilog
from cores.folding.allocate import Design, fold
from cores.stages import Engine, Folding
from cores.synthesis import synthesise
from cores.timing import longest_paths
from cores.top import Top

LEVELS = 6

SAME = {"op": "conv", "filters": 12, "padding": (1, 1, 1, 1)}
LAYERS = [{**SAME, "low": -100, "high": 100}, {**SAME, "op": "depthwise"}, {"op": "add", "other": "t0"},
          {"op": "max", "kernel": (2, 2), "stride": (2, 2)}, {"op": "avg", "kernel": (7, 7)}]
FOLDINGS = {
    "conv0": Folding(3, pes=4, requantize_cycles=2, windows=16), "depthwise1": Folding(), "add2": Folding(add_dsps=0),
    "max3": Folding(), "avg4": Folding(requantize_cycles=8)}


def test_no_path_of_a_design_is_longer(tmp_path):
    graph, _ = networks.chain(*LAYERS, shape=(14, 14, 3), frames=1)
    engine, design = Engine(family="dsp48e2"), Design(1, FOLDINGS, 5000.0)
    top, platform, netlist = Top(graph, design=design, stages=fold(graph, design, engine)), FilePlatform(), tmp_path / "n.json"
    synthesise(ROM_MODULE + verilog(top, name="top", platform=platform, ports=top.ports()), top="top", family="xcup",
               files=platform.files, netlist=netlist)
    paths = longest_paths(json.loads(netlist.read_text())["modules"]["top"], 20)
    assert 4 <= paths[0].levels <= LEVELS, paths
