"""How well the integer reference agrees with onnxruntime, operator by operator and as a whole."""
from dataclasses import dataclass

import numpy as np

from cores.importer import load
from cores.pixels import stored
from cores.preprocessing import Preprocessing, attach
from cores.second_opinion import FloatTensors, StoredTensors
from sim import reference

__all__ = ["SHARE", "Agreement", "Comparison", "compare"]

SHARE = 0.001       # of a tensor's values that may differ


@dataclass
class Agreement:
    """How far a tensor is from onnxruntime's (of one operator), and from the float network's."""
    limited: bool               # whether the limits hold for it
    values: int = 0
    differing: int = 0
    largest: int = 0
    signal: float = 0.0         # energy of what it is held against, and of the distance to it
    noise: float = 0.0

    @property
    def exceeded(self):
        return self.limited and (
            self.largest > 1 or self.differing > max(1, SHARE * self.values))

    @property
    def decibels(self):
        """Signal-to-noise ratio; None where there is nothing to hold it against."""
        if not self.signal:
            return None
        return 10 * np.log10(self.signal / self.noise) if self.noise else np.inf

    def count(self, got, expected):
        difference = np.abs(got - expected)
        self.values += difference.size
        self.differing += np.count_nonzero(difference)
        self.largest = max(self.largest, int(difference.max()))

    def weigh(self, got, real):
        self.signal += float(np.square(real, dtype=np.float64).sum())
        self.noise += float(np.square(got - real, dtype=np.float64).sum())


@dataclass
class Comparison:
    """What :func:`compare` found: agreement by tensor, and the outputs of both, by name."""
    tensors: dict
    outputs: dict               # arrays (N, height, width, channels), of reals
    expected: dict

    def answers(self, name):
        """Largest channel of each picture, the reference's and what it is held against."""
        return tuple(side[name].reshape(len(side[name]), -1).argmax(1)
                     for side in (self.outputs, self.expected))


def compare(quantized, original, images, preprocessing, *, name=None, each=iter):
    """Compare the integer reference with onnxruntime.

    Parameters
    ----------
    quantized : onnx.ModelProto
    original : onnx.ModelProto or None
        The float network, which outputs are then held against; else onnxruntime's own outputs.
    images : uint8 array (N, height, width, channels)
    preprocessing : Preprocessing or None
    each : callable
        Wraps the sequence of pictures, to show progress.

    Returns
    -------
    (network, comparison) : Graph, Comparison
    """
    network, _ = load(quantized, name=name)
    if original is not None:
        preprocessing = preprocessing or Preprocessing()
    runs = attach(network, preprocessing) if preprocessing else network
    reverse = preprocessing is not None and preprocessing.order == "bgr"
    theirs = StoredTensors(quantized, network)
    floats = FloatTensors(original, network) if original is not None else None
    tensors = {name: Agreement(_limited(network, name)) for name in network.tensors}
    outputs, expected = ({name: [] for name in network.outputs} for _ in range(2))
    for image in each(images):
        pixels = stored(runs, image[None])
        in_order = pixels[0][..., ::-1] if reverse else pixels[0]
        real = (preprocessing.apply(image[None])[0] if preprocessing else
                (in_order * np.float32(network.tensors[network.input].scale)).transpose(2, 0, 1))
        values = theirs.run(in_order, real)
        tensors[network.input].count(in_order, values[network.input])
        for node in network.nodes:
            inputs = [values[name][None] for name in node.inputs]
            tensors[node.output].count(reference.run_node(node, *inputs)[0], values[node.output])
        free = reference.run(runs, pixels)
        reals = {name: free[name][0] * network.tensors[name].scale for name in network.tensors}
        wanted = floats.run(real) if floats is not None else {
            name: values[name] * network.tensors[name].scale for name in network.outputs}
        for name, value in wanted.items():
            tensors[name].weigh(reals[name], value)
        for name in network.outputs:
            outputs[name].append(reals[name])
            expected[name].append(wanted.get(
                name, values[name] * network.tensors[name].scale))
    return network, Comparison(tensors, *({name: np.stack(v) for name, v in side.items()}
                                          for side in (outputs, expected)))


def _limited(network, name):
    """Limits hold where onnxruntime computes in integers: all of a node's activations in 8 bits."""
    made = next((n for n in network.nodes if n.output == name), None)
    names = (name, *(made.inputs if made else ()))
    return all(network.tensors[n].high - network.tensors[n].low < 256 for n in names)
