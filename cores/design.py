"""A built design, read back from its folder."""
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cores.errors import UserError
from cores.graph import Graph
from cores.stages import Folding, multipliers

__all__ = ["Design", "open_design"]


@dataclass(frozen=True, eq=False)
class Design:
    """What cores.build wrote: the folder, the network, and its folding in numbers."""
    folder: Path
    network: Graph
    family: str
    clock_mhz: float
    multipliers: int
    dsp: int
    stage_multipliers: dict


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
        with np.load(folder / "network.npz") as arrays:
            network = Graph.from_arrays(manifest["network"], dict(arrays))
        counts = {node.name: multipliers(node, Folding(**manifest["folding"][node.name]))
                  for node in network.nodes}
        return Design(folder, network, manifest["family"], manifest["clock_mhz"],
                      manifest["multipliers"], manifest["dsp"], counts)
    except FileNotFoundError as error:
        raise UserError(f"{str(folder)!r} is no built design: {Path(error.filename).name} is missing; "
                        "make one with python -m cores.build") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{str(folder)!r} is no readable design ({error}); "
                        "make it anew with python -m cores.build") from error
