"""docs/tutorial.md does what it says: its blocks run, in order, in a folder of their own."""
import os
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
SCRIPTS = {re.match(r"# (\w+\.py)\n", text)[1]: text for kind, text in BLOCKS if kind == "python"}
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]


def execute(command, folder):
    """What a line of the page prints, run in the folder."""
    python, *arguments = shlex.split(command)
    assert python == "python"
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    print(f"$ {command}", flush=True)
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=variables, text=True, stdout=subprocess.PIPE)
    print(done.stdout, flush=True)
    assert done.returncode == 0, command
    return done.stdout


def test_blocks_are_scripts_and_what_runs_them():
    assert set(SCRIPTS) == {shlex.split(line)[1] for line in COMMANDS if ".py" in line}
    assert {kind for kind, _ in BLOCKS} == {"python", "sh", "text"}


def test_one_core(tmp_path):
    (tmp_path / "core.py").write_text(SCRIPTS["core.py"])
    printed = execute("python core.py", tmp_path)
    assert f"```text\n{printed}```" in PAGE
    assert (tmp_path / "conv.v").exists()


def test_whole_page(tmp_path):
    """Minutes: as written, from training to the driver on the RTL."""
    for package in ("torch", "onnxscript", "mlxtend", "cocotb", "cocotbext"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed; the extras tutorial and test have it")
    for name, text in SCRIPTS.items():
        (tmp_path / name).write_text(text)
    printed = {command.removeprefix("python ").removeprefix("-m ").split()[0]: execute(command, tmp_path) for command in COMMANDS}
    assert "epoch 6: 9" in printed["train.py"]
    assert "64 frames, stalls 0.3: 0 mismatches, accuracy 9" in printed["sim.run"]
    assert "32 pictures through the driver: 0 values differ" in printed["sim.board"]
    assert (tmp_path / "net" / "report.html").exists() and (tmp_path / "net" / "vivado" / "build.tcl").exists()
