"""What flows along the edges of an ONNX graph while it is imported.

A constant is a plain NumPy array. Everything else is one of these.
"""
from dataclasses import dataclass, field, replace

import numpy as np

from cores.graph import Tensor
from cores.importer.layout import canonical

__all__ = ["Input", "Weights", "Quantized", "Real", "Pointwise", "Sums", "Host", "stored_bound"]


def _tidy(value):
    """Leave axes of size 1 out of the layout, so that layouts can be compared."""
    object.__setattr__(value, "layout", canonical(value.layout, value.shape))


@dataclass(frozen=True)
class Input:
    """The graph's input before it is known how it is quantized; ``dtype`` is its ONNX type."""
    name: str
    shape: tuple[int, int, int]     # height, width, channels
    layout: tuple[str, ...]
    dtype: np.dtype

    __post_init__ = _tidy


@dataclass(frozen=True, eq=False)
class Weights:
    """Dequantized constant integers: real = values * scale, along ``axis`` if there are many."""
    values: np.ndarray              # zero point subtracted
    scale: np.ndarray               # () or (size of axis)
    axis: int


@dataclass(frozen=True)
class Quantized:
    """Integers of an activation, as the file stores them; see :mod:`cores.importer.layout`."""
    tensor: Tensor
    layout: tuple[str, ...]

    __post_init__ = _tidy

    @property
    def shape(self):
        """Height, width, channels."""
        return self.tensor.shape


@dataclass(frozen=True)
class Real(Quantized):
    """Reals that are exactly those of a stored tensor."""


@dataclass(frozen=True, eq=False)
class Pointwise:
    """Reals that are a function of one stored tensor, not rounded yet.

    ``values``, float32 (1 or channels, entries), holds the result for each stored value of
    ``tensor`` from its lowest on: one row for all channels, or each channel's own. ``node`` is the
    ONNX node that computed them.
    """
    node: object
    tensor: Tensor
    layout: tuple[str, ...]
    values: np.ndarray

    __post_init__ = _tidy

    @property
    def shape(self):
        """Height, width, channels."""
        return self.tensor.shape


@dataclass(frozen=True, eq=False)
class Sums:
    """Reals that a node computed and a QuantizeLinear has yet to round.

    ``make(tensor, low, high)`` is the node of the integer graph that rounds them to ``tensor``;
    ``node`` is the ONNX node, ``minimum`` and ``maximum`` are clamp bounds, in reals. Where
    ``affine``, a factor and an offset for each channel, is not None, ``make`` takes both as well:
    the reals are ``clip(sum * factor + offset, minimum, maximum)``.
    """
    node: object
    make: object
    shape: tuple[int, int, int]
    layout: tuple[str, ...]
    minimum: float = -np.inf
    maximum: float = np.inf
    affine: tuple | None = None
    made: dict = field(default_factory=dict)    # the one tensor made of them, by its type

    __post_init__ = _tidy

    def clamped(self, low, high):
        """These sums, after ``clip(x, low, high)``."""
        return replace(self, minimum=min(max(self.minimum, low), high),
                       maximum=min(max(self.maximum, low), high), made={})


@dataclass(frozen=True)
class Host:
    """What the host computes from tensors after the last layer.

    ``reason`` is why a node of the file is left to it, if nothing but the host could have it.
    """
    tensors: tuple[Tensor, ...]
    reason: str = ""


def stored_bound(bound, tensor):
    """The stored value that a real ``bound`` quantizes to, within the tensor's range.

    Quantization is monotonic: a clamp of reals is a clamp of stored values at these. The quotient
    is float32, as QuantizeLinear defines it.
    """
    with np.errstate(over="ignore"):
        quotient = np.float32(bound) / np.float32(tensor.scale)
    return int(np.clip(np.rint(quotient), tensor.low, tensor.high))
