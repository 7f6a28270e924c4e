"""How much a network loses against itself without thresholds, on some pictures."""
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

__all__ = ["Loss", "measure_of"]

LARGEST = 200.0         # decibels of what has no noise at all: JSON knows no infinity


def measure_of(network, labels):
    """Name of what :attr:`Loss.loss` is, by the kind of outputs: accuracy, top-1 agreement or noise."""
    if not any(_classifies(network, name) for name in network.outputs):
        return "noise"
    return "accuracy" if labels is not None and _classifies(network, network.outputs[0]) else "top-1 agreement"


def _classifies(network, name):
    tensor = network.tensors[name]
    return tensor.height * tensor.width == 1 < tensor.channels


@dataclass(frozen=True)
class Loss:
    """Outputs held against those without thresholds.

    ``loss`` is the share of pictures that are right no more, less those that are right only now; without labels that of
    pictures whose largest output is another; or, where no output is scores of classes, the noise: the power of the
    difference over that of the outputs, of the output with the most. ``expected`` is the same, not counted but from how close the
    pictures are to another answer: few pictures often lose nothing by chance. ``top1_agreement``, ``accuracy`` and
    ``accuracy_without`` are None if unknown.
    """
    loss: float
    expected: float
    noise: float
    output_snr_db: float
    top1_agreement: float | None
    accuracy: float | None
    accuracy_without: float | None

    @classmethod
    def of(cls, network, without, outputs, labels=None):
        """Compare.

        Parameters
        ----------
        network : Graph
        without, outputs : {output's name: integer array (N, height, width, channels)}
            Stored values without and with thresholds.
        labels : array of int (N) or None
        """
        noise = max(_noise(without[name], outputs[name]) for name in network.outputs)
        classes = [name for name in network.outputs if _classifies(network, name)]
        agreement = min((float((_answers(without[name]) == _answers(outputs[name])).mean()) for name in classes),
                        default=None)
        kind, before, after, loss, expected = measure_of(network, labels), None, None, noise, noise
        if kind == "top-1 agreement":
            loss = 1 - agreement
            expected = max(_expected(without[name], outputs[name]) for name in classes)
        elif kind == "accuracy":
            name = network.outputs[0]
            before, after = (float((_answers(side[name]) == labels).mean()) for side in (without, outputs))
            loss, expected = before - after, _expected(without[name], outputs[name], labels)
        decibels = min(LARGEST, -10 * np.log10(noise)) if noise else LARGEST
        return cls(float(loss), expected, noise, round(float(decibels), 1), agreement, after, before)

    @property
    def larger(self):
        """The larger of what was counted and what is expected."""
        return max(self.loss, self.expected)


def _answers(values):
    return values.reshape(len(values), -1).argmax(1)


def _expected(wanted, got, labels=None):
    """Share of answers that change, or of right ones lost less those won, if changes of scores were normally distributed.

    Their deviation is that of all classes and pictures, but for what all classes of a picture have in common.
    """
    wanted, change = (array.reshape(len(wanted), -1).astype(float) for array in (wanted, got - wanted))
    change -= change.mean(1, keepdims=True)
    deviation = np.sqrt(2 * (change**2).sum() / change.size * change.shape[1] / (change.shape[1] - 1))      # of two classes' gap
    if not deviation:
        return 0.0
    second, best = np.sort(wanted, axis=1)[:, -2:].T
    other = ndtr((second - best) / deviation)
    if labels is None:
        return float(other.mean())
    won = ndtr((wanted[np.arange(len(wanted)), labels] - best) / deviation)
    return float(np.where(_answers(wanted) == labels, other, -won).mean())


def _noise(wanted, got):
    """Power of the difference over that of ``wanted``; of an output that is all 0, the difference's alone."""
    power = float((wanted.astype(float) ** 2).sum())
    return float(((got - wanted).astype(float) ** 2).sum()) / (power or 1.0)
