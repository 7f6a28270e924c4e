"""README.md does what it says: its Python runs, its links lead somewhere, its package installs whole."""
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cores.importer import load

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUANTIZE, CORE = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def execute(source):
    exec(compile(source, "README.md", "exec"), {"__name__": "readme"})


def test_core_in_a_design(capsys):
    execute(CORE)
    printed = capsys.readouterr().out
    assert "192 sums" in printed and ", 0 of them wrong" in printed
    assert f"```text\n{printed}```" in README


def test_own_network(tmp_path, monkeypatch):
    """The recipe quantizes a float network into one that the importer takes."""
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(4, 3, 3, 3)), "v": rng.normal(size=(4, 5))}
    model = helper.make_model(helper.make_graph([
        helper.make_node("Conv", ["image", "w"], ["a"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("GlobalAveragePool", ["b"], ["c"], "pool"),
        helper.make_node("Flatten", ["c"], ["d"], "flatten"),
        helper.make_node("Gemm", ["d", "v"], ["e"], "head"),
    ], "net", [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("e", TensorProto.FLOAT, [1, 5])],
        [numpy_helper.from_array(w.astype(np.float32), name) for name, w in weights.items()]),
        opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    monkeypatch.chdir(tmp_path)
    onnx.save(model, "net.onnx")
    np.save("pictures.npy", rng.random((8, 3, 8, 8), np.float32))
    execute(QUANTIZE)
    graph, notes = load("net-int8.onnx")
    assert [node.name for node in graph.nodes] == ["conv", "pool", "head"] and notes == []


@pytest.mark.parametrize("page", sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")]),
                         ids=lambda page: page.name)
def test_links(page):
    for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert "://" in link or (page.parent / link).exists(), f"{page.name} links to {link}"


def test_every_package_has_its_init():
    """Packages are found by their ``__init__.py``; one without it would not be installed."""
    for top in ("hdl", "cores", "platforms", "sim"):
        for module in (ROOT / top).rglob("*.py"):
            assert (module.parent / "__init__.py").exists(), f"{module.parent} has no __init__.py"
