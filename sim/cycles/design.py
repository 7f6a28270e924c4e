"""The model of a design that cores.build wrote."""
import json

import numpy as np

from cores.pixels import stored
from cores.stages import Folding
from sim import reference

from .model import model_network

__all__ = ["Pictured", "masks_of"]

BATCH = 16              # frames whose values are held in memory at a time


def masks_of(network, frames):
    """Where each tensor is not zero: {name: bool (N, height, width, channels)} for stored input values ``frames``."""
    parts = [{name: values != 0 for name, values in reference.run(network, frames[start:start + BATCH]).items()}
             for start in range(0, len(frames), BATCH)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


class Pictured:
    """A built design with pictures that follow each other, ready for the model.

    Parameters
    ----------
    design : cores.design.Design
    images : array (N, height, width, channels)
        Pictures.
    order : array of int
        Those that follow each other.
    """

    def __init__(self, design, images, order):
        manifest = json.loads((design.folder / "build.json").read_text())
        self.dense = manifest["engine"] == "dense"
        used, self.order = np.unique(order, return_inverse=True)
        self.network, self.ways = design.network, manifest["input_ways"]
        self.masks = masks_of(design.network, stored(design.network, images[used]))
        if self.dense:
            self.masks = {name: np.ones_like(mask) for name, mask in self.masks.items()}
        self.foldings = {name: Folding(**folding) for name, folding in manifest["folding"].items()}

    def model(self, queues=None):
        """The :class:`~sim.cycles.model.Modelled` of these pictures; ``queues`` as :func:`model_network` has them."""
        return model_network(self.network, self.foldings, self.ways, self.masks, self.order,
                             keep_zeros=self.dense, queues=queues)

    def deeper(self, depth):
        """Cycles per frame with a queue of ``depth`` beats for each way before one stage, and before all at once.

        Returns
        -------
        (dict of str to float, float)
            By the name of the stage, of those that read one tensor; and of all.
        """
        queues = {node.name: depth for node in self.network.nodes if len(node.inputs) == 1}
        return ({name: self.model({name: depth}).cycles_per_frame for name in queues},
                self.model(queues).cycles_per_frame)
