"""How well the integer reference agrees with onnxruntime, operator by operator and as a whole."""
from dataclasses import dataclass

import numpy as np

from cores.importer import layouts, load
from cores.pixels import stored
from cores.preprocessing import Preprocessing, attach
from cores.quantization.equalise import scales_of
from cores.quantization.second_opinion import FloatTensors, StoredTensors
from sim import reference

__all__ = ["SHARE", "Agreement", "Comparison", "compare", "measure"]

SHARE = 0.001       # of a tensor's values that may differ
FEW = 4             # values that may in any case: small tensors are no statistics


@dataclass
class Agreement:
    """How far a tensor is from onnxruntime's (of one operator), and from the float network's."""
    limited: bool               # whether the limits hold for it
    share: float = SHARE        # of values that may differ
    values: int = 0
    differing: int = 0
    largest: int = 0
    signal: float = 0.0         # energy of what it is held against, and of the distance to it
    noise: float = 0.0

    @property
    def exceeded(self):
        return self.limited and (
            self.largest > 1 or self.differing > max(FEW, self.share * self.values))

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
    """What was found: agreement by tensor, and the outputs of both, by name."""
    tensors: dict
    outputs: dict               # arrays (height, width, channels) of reals, one a picture
    expected: dict

    def answers(self, name):
        """Largest channel of each picture, the reference's and what it is held against."""
        return tuple(np.array([values.argmax() for values in side[name]])
                     for side in (self.outputs, self.expected))

    def weigh(self, network, frames, wanted):
        """Count a picture in: what :func:`sim.reference.run` made of it, and ``{name: reals}``."""
        reals = {name: frames[name][0] * network.tensors[name].scale for name in network.tensors}
        for name, value in wanted.items():
            self.tensors[name].weigh(reals[name], value)
        for side, values in (self.outputs, reals), (self.expected, wanted):
            for name in network.outputs:
                if name in values:
                    side.setdefault(name, []).append(values[name])


class _Floats(FloatTensors):
    """Reals of a float network, scaled as those of the quantized one if that was equalised."""

    def __init__(self, quantized, original, network, order):
        super().__init__(original, network, order)
        self._scales = scales_of(quantized)

    def run(self, real):
        return {name: values / self._scales[name] if name in self._scales else values
                for name, values in super().run(real).items()}


def measure(network, quantized, original, images, preprocessing, *, each=iter):
    """Hold the integer network, run alone, against the float network.

    Parameters
    ----------
    network : Graph
        What :func:`~cores.preprocessing.attach` made of the quantized file's.
    quantized, original : onnx.ModelProto
    images : uint8 array (N, height, width, channels)
    preprocessing : Preprocessing
    each : callable
        Wraps the sequence of pictures, to show progress.

    Returns
    -------
    Comparison
        Without a count of differences operator by operator.
    """
    floats = _Floats(quantized, original, network, layouts(quantized))
    found = Comparison({name: Agreement(False) for name in network.tensors}, {}, {})
    for image in each(images):
        found.weigh(network, reference.run(network, stored(network, image[None])),
                    floats.run(preprocessing.apply(image[None])[0]))
    return found


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
    order = layouts(quantized)
    theirs = StoredTensors(quantized, network, order)
    floats = _Floats(quantized, original, network, order) if original is not None else None
    tensors = {name: Agreement(_limited(network, name)) for name in network.tensors}
    for node in network.nodes:
        if node.op == "avg":        # its ties, which onnxruntime's floating point breaks either way
            tensors[node.output].share = 1.0
    found = Comparison(tensors, {}, {})
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
        reals = {name: values[name] * network.tensors[name].scale for name in network.outputs}
        found.weigh(network, reference.run(runs, pixels),
                    reals if floats is None else {**reals, **floats.run(real)})
    return network, found


def _limited(network, name):
    """Limits hold where onnxruntime computes in integers: all of a node's activations in 8 bits."""
    made = next((n for n in network.nodes if n.output == name), None)
    names = (name, *(made.inputs if made else ()))
    return all(network.tensors[n].high - network.tensors[n].low < 256 for n in names)
