"""What flows along the edges of an ONNX graph while it is imported.

A constant is a plain NumPy array. Everything else is one of these.
"""
from dataclasses import dataclass, field, replace

import numpy as np

from cores.graph import Tensor

__all__ = ["Input", "Weights", "Quantized", "Real", "Sums", "Host", "stored_bound"]


@dataclass(frozen=True)
class Input:
    """The graph's input before it is known how it is quantized; ``dtype`` is its ONNX type."""
    name: str
    shape: tuple[int, int, int]     # height, width, channels
    flat: bool
    dtype: np.dtype


@dataclass(frozen=True, eq=False)
class Weights:
    """Dequantized constant integers: real = values * scale, along ``axis`` if there are many."""
    values: np.ndarray              # zero point subtracted
    scale: np.ndarray               # () or (size of axis)
    axis: int


@dataclass(frozen=True)
class Quantized:
    """Integers of an activation, as the file stores them; ``flat`` after Flatten (in CHW order)."""
    tensor: Tensor
    flat: bool


@dataclass(frozen=True)
class Real(Quantized):
    """Reals that are exactly those of a stored tensor."""


@dataclass(frozen=True, eq=False)
class Sums:
    """Reals that a node computed and a QuantizeLinear has yet to round.

    ``make(tensor, low, high)`` is the node of the integer graph that rounds them to ``tensor``;
    ``node`` is the ONNX node, ``minimum`` and ``maximum`` are clamp bounds, in reals.
    """
    node: object
    make: object
    shape: tuple[int, int, int]
    flat: bool
    minimum: float = -np.inf
    maximum: float = np.inf
    made: dict = field(default_factory=dict)    # the one tensor made of them, by its type

    def clamped(self, low, high):
        """These sums, after ``clip(x, low, high)``."""
        return replace(self, minimum=min(max(self.minimum, low), high),
                       maximum=min(max(self.maximum, low), high), made={})


@dataclass(frozen=True)
class Host:
    """What the host computes from a tensor after the last layer."""
    tensor: Tensor


def stored_bound(bound, tensor):
    """The stored value that a real ``bound`` quantizes to, within the tensor's range.

    Quantization is monotonic: a clamp of reals is a clamp of stored values at these. The quotient
    is float32, as QuantizeLinear defines it.
    """
    with np.errstate(over="ignore"):
        quotient = np.float32(bound) / np.float32(tensor.scale)
    return int(np.clip(np.rint(quotient), tensor.low, tensor.high))
