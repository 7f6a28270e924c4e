"""A built design, read back from its folder."""
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cores.between import BEAT_BITS
from cores.errors import UserError
from cores.graph import Graph
from cores.stages import Folding, multipliers

__all__ = ["Design", "open_design", "read_arrays", "read_report"]


@dataclass(frozen=True, eq=False)
class Design:
    """What cores.build wrote: the folder, the network, and its folding in numbers."""
    folder: Path
    network: Graph
    family: str
    clock_mhz: float
    multipliers: int
    dsp: int
    macs_per_frame: int             # of the network before channels were removed
    cycles_per_frame: float
    stage_multipliers: dict
    axis_bits: int = BEAT_BITS      # of TDATA


def read_arrays(path):
    """The arrays of an .npz file.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            return dict(arrays)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path.name}: {error}") from error


def read_report(folder):
    """The content of a design's report.json, which must be possible to write anew.

    Raises
    ------
    UserError
        If it is damaged or write-protected.
    """
    path = folder / "report.json"
    try:
        with path.open("r+") as file:
            report = json.load(file)
        if report["board"] and report["stages"]:
            return report
        raise ValueError("it names no board")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{str(path)!r} cannot be read and completed ({error}); "
                        "make it anew with python -m cores.build") from error


def open_design(folder):
    """Read build.json and network.npz of ``folder``.

    Raises
    ------
    UserError
        If it is not a complete output of cores.build.
    """
    folder = Path(folder)
    try:
        manifest = json.loads((folder / "build.json").read_text())
        for name in manifest["files"]:
            (folder / name).stat()
        network = Graph.from_arrays(manifest["network"], read_arrays(folder / "network.npz"))
        counts = {node.name: multipliers(node, Folding(**manifest["folding"][node.name]))
                  for node in network.nodes}
        return Design(folder, network, manifest["family"], manifest["clock_mhz"],
                      manifest["multipliers"], manifest["dsp"], manifest["macs_per_frame"],
                      manifest["cycles_per_frame"], counts, manifest.get("axis_bits", BEAT_BITS))
    except FileNotFoundError as error:
        raise UserError(f"{str(folder)!r} is no built design: {Path(error.filename).name} is missing; "
                        "make one with python -m cores.build") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{str(folder)!r} is no readable design ({error}); "
                        "make it anew with python -m cores.build") from error
