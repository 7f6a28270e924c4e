"""Stand-ins for the commands of Vivado: a small model that refuses what it does not know.

Each command checks its options, its objects and its place in the flow. Handles are strings "kind:name".
"""
import tkinter

from .arguments import VivadoError
from .designs import Designs
from .implementation import Implementation
from .ips import IPS
from .packaging import Packaging
from .projects import Projects
from .verilog import SourceError

__all__ = ["Vivado", "VivadoError"]

BOARDS = ("xilinx.com:zcu102:part0:3.3", "xilinx.com:zcu102:part0:3.4", "xilinx.com:zcu104:part0:1.1",
          "xilinx.com:kv260_som:part0:1.4", "realdigital.org:rfsoc4x2:part0:1.0", "tul.com.tw:pynq-z2:part0:1.0",
          "digilentinc.com:arty-z7-20:part0:1.1", "avnet.com:microzed_7020:part0:1.4")
NEWER_TCL = "lmap", "try", "throw", "tailcall", "coroutine"     # not in the 8.5 of older versions of Vivado


class Vivado(Projects, Packaging, Designs, Implementation):
    """A Tcl interpreter in which scripts for Vivado run.

    Parameters
    ----------
    slack : float
        Of implemented designs, in ns.
    boards : tuple of str
        Boards whose files are installed.
    catalogue : dict of str to Ip
        IPs by VLNV.
    infers_map : bool
        Whether the packager makes a memory map for a slave on its own; versions differ in its names.
    """

    def __init__(self, slack=0.5, boards=BOARDS, catalogue=IPS, infers_map=True):
        self.slack, self.boards, self.catalogue, self.infers_map = slack, boards, dict(catalogue), infers_map
        self.calls, self.project, self.packaged = [], None, {}
        self.tcl = tkinter.Tcl()
        for name in NEWER_TCL:
            self.tcl.eval(f"rename {name} {{}}")
        self.tcl.eval("namespace eval ipx {}; rename puts {}; proc puts args {}")
        for method in dir(self):
            if method.startswith("do_"):
                self._define(method[3:].replace("ipx_", "ipx::"), getattr(self, method))

    def _define(self, name, method):
        def call(*args):
            self.calls.append((name, *args))
            try:
                value = method(*args)
                return 0, value if isinstance(value, tuple) else "" if value is None else str(value)
            except (VivadoError, SourceError) as error:
                return 1, f"{name}: {error}"
            except Exception as error:
                return 1, f"{name}: broken stand-in, {error!r}"
        self.tcl.createcommand(f"standin_{name.replace(':', '_')}", call)
        self.tcl.eval(f"proc {name} args {{lassign [standin_{name.replace(':', '_')} {{*}}$args] code value; "
                      "return -code $code $value}")

    def run(self, script, *args):
        """Run a script as ``vivado -mode batch -source`` does; raises tkinter.TclError."""
        self.tcl.eval(f"set argv [list {' '.join(args)}]; set argc {len(args)}")
        self.tcl.call("source", str(script))

    def split(self, text):
        return list(self.tcl.splitlist(text))

    def pairs(self, text):
        words = self.split(text)
        return list(zip(words[::2], words[1::2], strict=True))
