# amaranth: UnusedElaboratable=no
"""Predicted resources: the rule for memories and whole stages against Yosys, and designs that do not fit."""
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import networks
from cores import build, fit, synth, yosys
from cores.emit import ROM_MODULE, FilePlatform, verilog
from cores.errors import UserError
from cores.folding.allocate import Design
from cores.folding.weight_memory import weights_in_blocks
from cores.graph import Conv
from cores.resources import amounts
from cores.resources.memory_blocks import blocks
from cores.resources.predict import Resources, design_resources, part_resources, stage_resources
from cores.resources.random_stages import KINDS, random_stage
from cores.resources.stage_amounts import lane_sum_bits, stage_terms
from cores.stages import Engine, Folding, component, dsps
from cores.synthesis import FAMILIES, Cells, synthesise
from hdl import clusters
from hdl.memory import MemorySize
from platforms import board

RAM = """module {name} (input clk, write, read, input [{a}:0] wa, ra, input [{w}:0] d, output reg [{w}:0] q);
    reg [{w}:0] words [0:{n}];
    always @(posedge clk) begin if (write) words[wa] <= d; if (read) q <= words[ra]; end
endmodule
"""
ROM = """module {name} (input clk, read, input [{a}:0] ra, output reg [{w}:0] q);
    reg [{w}:0] words [0:{n}];
    initial $readmemh("{name}.hex", words);
    always @(posedge clk) if (read) q <= words[ra];
endmodule
"""
SINGLE = """module {name} (input clk, write, input [{a}:0] wa, input [{w}:0] d, output [{w}:0] q);
    (* ram_style = "distributed" *) reg [{w}:0] words [0:{n}];
    always @(posedge clk) if (write) words[wa] <= d;
    assign q = words[wa];
endmodule
"""
TEXTS = {"ram": RAM, "rom": ROM, "block rom": ROM.replace("reg [{w}:0] words", '(* rom_style = "block" *) reg [{w}:0] words'),
         "distributed": SINGLE}


def sizes():
    """Sizes of memories around all the places where another block is cheaper."""
    rng = np.random.default_rng(0)
    for kind, least, most in (("ram", 1, 14), ("rom", 1, 12), ("distributed", 1, 8), ("block rom", 4, 12)):
        for _ in range(15):
            depth = int(2 ** rng.uniform(least, most)) + int(rng.integers(2))
            width = int(2 ** rng.uniform(1, min(7, 16 - np.log2(depth))))
            yield MemorySize(depth, width, kind)


@pytest.mark.parametrize("family", FAMILIES)
def test_memories_are_built_as_yosys_builds_them(family, tmp_path):
    cases = {f"m{n}": size for n, size in enumerate(sizes())}
    rng = np.random.default_rng(1)
    text = ""
    for name, size in cases.items():
        text += TEXTS[size.kind].format(name=name, a=max(1, (size.depth - 1).bit_length()) - 1,
                                        w=size.width - 1, n=size.depth - 1)
        (tmp_path / f"{name}.hex").write_text("\n".join(
            f"{int.from_bytes(rng.bytes(-(-size.width // 8))) >> -size.width % 8:x}" for _ in range(size.depth)))
    (tmp_path / "memories.v").write_text(text)
    yosys.run("read_verilog memories.v", "proc", "opt", "memory_dff", "memory -nomap", "opt_clean",
              "synth_ecp5 -run map_ram:map_ffram" if family == "ecp5" else
              f"synth_xilinx -family {family} -noiopad -noclkbuf -run map_memory:map_ffram",
              "tee -q -o stat.json stat -json", cwd=tmp_path)
    text = (tmp_path / "stat.json").read_text()
    modules = json.loads(text[text.index("{"):])["modules"]
    built = set()
    for name, size in cases.items():
        by_type = {cell: n["count"] if isinstance(n, dict) else n
                   for cell, n in modules[f"\\{name}"]["num_cells_by_type"].items()}
        in_logic = any(cell.startswith("$mem") for cell in by_type)
        cells = Cells({cell: n for cell, n in by_type.items() if cell.startswith(("RAM", "DP16KD", "TRELLIS_DPR"))})
        expected = blocks(size, family)
        assert cells.bram36 == expected.bram36, size
        if in_logic:
            assert expected.rom_lut or expected.deep_rom or size.kind == "ram" or size.depth <= 4, size
        else:
            assert cells.lut == expected.lut and not expected.rom_lut + expected.deep_rom, size
        built.add((size.kind, in_logic, bool(cells.bram36), cells.bram36 % 1 == 0.5))
    assert len(built) >= (4 if family == "ecp5" else 5)


@pytest.mark.parametrize("kind, seed", [("conv", 3), ("pool", 4)])
def test_stages(kind, seed):
    """Block memories and DSPs are exact; the estimates are near."""
    family, mac = list(FAMILIES.items())[seed % 2]
    engine = Engine(family=mac)
    network, folding = random_stage(kind, seed)
    node, = network.nodes
    platform = FilePlatform()
    text = ROM_MODULE + verilog(component(network, node, folding, engine), name="stage", platform=platform)
    cells = synthesise(text, top="stage", family=family, files=platform.files)
    found = stage_resources(network, node, folding, engine)
    assert (found.dsp, found.bram36) == (cells.dsp, cells.bram36)
    assert 0.8 < found.lut / cells.lut < 1.25
    assert 0.8 < found.ff / cells.ff < 1.25


@pytest.mark.parametrize("kind", ["conv", "wide conv", "window conv"])
def test_convolutions_are_described_without_their_component(kind):
    for seed in range(20 if kind == "conv" else 4):
        network, folding = random_stage(kind, seed)
        node, = network.nodes
        for family in FAMILIES.values():
            engine = Engine(family=family, window=kind == "window conv", paired=seed % 2 == 1)
            stage = component(network, node, folding, engine)
            assert stage_terms(network, node, folding, engine)[0] == stage.memories
            assert stage_resources(network, node, folding, engine).dsp == stage.dsp_count
        assert stage.accumulator.sum_width == lane_sum_bits(
            node, network.tensors["in"], folding.lanes, folding.row_lanes)


def test_clusters_are_described_without_their_component(monkeypatch):
    monkeypatch.setattr(clusters, "CLUSTER", 4)
    seen = set()
    for seed in range(60):
        network, folding = random_stage("wide conv", seed)
        node, = network.nodes
        count = clusters.cluster_count(folding.pes, folding.out_ways)
        if folding.pes % (count * folding.out_ways) or folding.out_ways > 4:
            continue
        stage, engine = component(network, node, folding, Engine(family="dsp48e2")), Engine(family="dsp48e2")
        memories, terms = stage_terms(network, node, folding, engine)
        assert memories == stage.memories
        assert dsps(network, node, folding, engine) == stage.dsp_count
        assert terms["dot"] == count * folding.lanes * folding.row_lanes
        seen.add(count)
    assert len(seen) > 3


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds(kind):
    for seed in range(3):
        network, folding = random_stage(kind, seed)
        resources = stage_resources(network, *network.nodes, folding, Engine(window=kind == "window conv"))
        assert 20 < resources.lut < 20_000 and 10 < resources.ff < 20_000


def test_adds():
    assert Resources(1, 2, 3, 0.5) + Resources(4, 5, 6, 1) == Resources(5, 7, 9, 1.5)


# ---- Designs -----------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def small():
    layer = {"op": "conv", "filters": 8, "padding": (1, 1, 1, 1)}
    graph, _ = networks.chain(layer, layer, {"op": "add", "other": "t0"}, {"op": "fc", "filters": 5}, shape=(6, 6, 3))
    design = Design(1, {node.name: Folding(pes=4 if node.op == "conv" else 1) for node in graph.nodes}, 1000.0)
    return graph, design


def test_design(small):
    graph, design = small
    whole, stages = design_resources(graph, design, Engine())
    assert set(stages) == {node.name for node in graph.nodes}
    assert whole.dsp == sum(stage.dsp for stage in stages.values())
    assert whole.lut > sum(stage.lut for stage in stages.values()) + 100        # adapters, forks, queues
    assert whole.bram36 >= sum(stage.bram36 for stage in stages.values())


def test_what_fits(small):
    graph, design = small
    arty = board("arty-a7-100")
    fit.check_fit(graph, design, Engine(), Resources(240, 63400, 126800, 135), arty)
    for resources, text in (
            (Resources(dsp=241), "DSP 241 needed, 240 available"),
            (Resources(lut=63401), "LUT 63,401 needed, 63,400 available"),
            (Resources(ff=126801), "FF 126,801 needed, 126,800 available"),
            (Resources(bram36=135.5), "BRAM36 135.5 needed, 135 available")):
        with pytest.raises(UserError) as error:
            fit.check_fit(graph, design, Engine(), resources, arty)
        assert text in str(error.value) and "arty-a7-100" in str(error.value)
        assert "the smallest registered board that holds it is arty-s7-50" in str(error.value)
        assert "--no-fit" in str(error.value) and "\n" not in str(error.value)


def network_of(count):
    """A network of ``count`` weights of 8 bits."""
    weights = np.broadcast_to(-128, (count >> 10, 1, 1, 1 << 10))
    graph, _ = networks.chain({"op": "fc", "filters": 1}, shape=(1, 1, 1))
    node = Conv("fc", "in", "out", weights, np.zeros(len(weights), np.int64), None)
    return type(graph)("large", "in", ("out",), graph.tensors, (node,))


def test_weights():
    zcu102 = board("zcu102")
    fit.check_weights(network_of(6 << 20), zcu102)
    with pytest.raises(UserError, match=r"weights alone, .* BRAM36 .* 912 available; no registered board holds it"):
        fit.check_weights(network_of(26 << 20), zcu102)
    with pytest.raises(UserError, match="holds it is u250"):
        fit.check_weights(network_of(12 << 20), zcu102)
    with pytest.raises(UserError, match="holds it is kcu105"):
        fit.check_weights(network_of(4 << 20), board("arty-z7-20"))


def test_build_refuses(tmp_path, capsys):
    folder = tmp_path / "out"
    arguments = ["--board", "arty-z7-20", "--multipliers", "700", "--out", str(folder)]
    assert build.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: 'digits' does not fit arty-z7-20") and error.count("\n") == 1
    assert "DSP" in error and "holds it is nitefury-ii" in error and "--no-fit" in error
    assert not folder.exists()
    assert build.main([*arguments, "--no-fit"]) == 0
    report = json.loads((folder / "report.json").read_text())
    assert report["fits"] is False and report["predicted"]["dsp"] > 220 and report["lut"] is None
    assert report["origin"]["predicted"] == "modelled"
    assert all(set(stage["predicted"]) == {"dsp", "lut", "ff", "bram36"} for stage in report["stages"])
    assert "predicted: " in capsys.readouterr().out


def test_synth(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "out"
    assert build.main(["--board", "zcu102", "--dsp", "20", "--out", str(folder)]) == 0
    predicted = json.loads((folder / "report.json").read_text())["predicted"]
    cells = Cells({"LUT6": 5000, "FDRE": 7000, "RAMB18E2": 3, "DSP48E2": predicted["dsp"]})

    lut = {"type": "LUT1", "connections": {"I0": [1], "O": [2]}, "port_directions": {"I0": "input", "O": "output"}}
    ports = {"y": {"direction": "output", "bits": [2]}}
    module = {"cells": {"lut": lut}, "ports": ports, "netnames": {"x": {"bits": [1]}}}

    def fake(text, *, top, family, files, netlist):
        netlist.write_text(json.dumps({"modules": {top: module}}))
        assert f"module {top}(" in text and family == "xcup"
        assert set(files) == {path.name for path in Path(folder, "rtl").glob("*.hex")}
        return cells
    monkeypatch.setattr(synth, "synthesise", fake)
    capsys.readouterr()
    assert synth.main([str(folder)]) == 0
    report = json.loads((folder / "report.json").read_text())
    assert (report["lut"], report["ff"], report["bram36"]) == (5000, 7000, 1.5)
    assert report["predicted"] == predicted and report["origin"]["lut"] == report["origin"]["dsp"] == "synthesised"
    assert report["logic_levels"] == 1 and report["origin"]["logic_levels"] == "synthesised"
    assert "levels of logic" in (folder / "report.html").read_text()
    out = capsys.readouterr().out
    assert "longest paths" in out and "port y" in out and "5,000" in out and f"{predicted['lut']:,}" in out
    assert synth.main([str(tmp_path)]) == 2
    assert "is no built design" in capsys.readouterr().err


def test_counts_are_readable():
    assert [fit.number(n) for n in (1234.5, 1234.0, 7)] == ["1,234.5", "1,234", "7"]


def test_weights_move_to_block_memory_while_a_board_has_more_of_it():
    network, folding = random_stage("conv", 3)
    node, = network.nodes
    folding = replace(folding, lanes=1, row_lanes=1, ways=1, pes=min(8, len(node.weights)), out_ways=1)
    engine = Engine(family="dsp48e2")
    design = Design(1, {node.name: folding}, 1000.0)
    before = stage_resources(network, node, folding, engine)

    def foldings(lut, bram36):
        moved = weights_in_blocks(network, design, engine, before, {"lut": lut, "bram36": bram36})
        return moved.foldings[node.name]
    assert foldings(10 * before.lut, 1000) == replace(folding, weights_in_blocks=True)
    assert foldings(10 * before.lut, 1 + before.bram36) == folding
    moved = foldings(10 * before.lut, 1000)
    after = stage_resources(network, node, moved, engine)
    assert after.lut < before.lut and after.bram36 > before.bram36

    platform = FilePlatform()
    text = ROM_MODULE + verilog(component(network, node, moved, engine), name="stage", platform=platform)
    assert text.count("skipstone_block_rom #") == 2        # the module and its instance
    cells = synthesise(text, top="stage", family="xcup", files=platform.files)
    assert cells.bram36 == after.bram36


@pytest.mark.parametrize("family", ["behavioural", "dsp48e2"])
@pytest.mark.parametrize("width", [20, 26, 34, 44])
def test_requantizers_of_wide_sums_have_coefficients(family, width):
    """Sums of 16-bit activations take two DSP blocks for a product."""
    terms = amounts.requantize(width=width, shift_bits=1, shape=8, channels=8, ways=1, family=family)
    wide = width > (27 if family == "dsp48e2" else 25)
    assert ("scale second" in terms) == wide and part_resources(Counter(), terms, family="xc7").lut > 0
