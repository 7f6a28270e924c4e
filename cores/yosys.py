"""Run Yosys passes, in a process of their own: pyosys prints all it does."""
import subprocess
import sys

__all__ = ["run"]

_SCRIPT = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for command in sys.argv[1:]:
    libyosys.run_pass(command, design)
"""


def run(*commands, cwd):
    """Run ``commands`` one after the other on one design, in the folder ``cwd``.

    Raises
    ------
    RuntimeError
        If one fails; the message ends with what Yosys said last.
    """
    done = subprocess.run([sys.executable, "-c", _SCRIPT, *commands], cwd=cwd, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise RuntimeError("Yosys failed:\n" + "\n".join(done.stdout.splitlines()[-12:]))
