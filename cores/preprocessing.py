"""From raw 8-bit pixels to the values that a network was trained on."""
from dataclasses import dataclass, replace

import numpy as np

from cores.errors import UserError
from cores.graph import Conv

__all__ = ["Preprocessing", "attach"]


@dataclass(frozen=True)
class Preprocessing:
    """``value = (pixel - mean) * scale`` in float32, with pixels from 0 to 255.

    Parameters
    ----------
    mean, scale : tuple of float
        One number for all channels of the picture, or one for each: red, green, blue, whatever
        ``order`` is.
    order : "rgb" or "bgr"
        Order of the channels that the network wants. Pictures have red first.
    """
    mean: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)
    order: str = "rgb"

    def __post_init__(self):
        for name in "mean", "scale":
            numbers = tuple(float(number) for number in getattr(self, name))
            object.__setattr__(self, name, numbers)
            if not numbers or not np.isfinite(np.array(numbers, np.float32)).all():
                raise UserError(f"{name.capitalize()} must be finite numbers, not {numbers!r}")
        if 0 in self.scale:
            raise UserError(f"Scale must not be 0: {self.scale!r}")
        if self.order not in ("rgb", "bgr"):
            raise UserError(f"Order must be 'rgb' or 'bgr', not {self.order!r}")

    def levels(self, channels):
        """Value of every pixel from 0 to 255: float32 (channels of the picture, 256)."""
        for name in "mean", "scale":
            count = len(getattr(self, name))
            if count not in (1, channels):
                raise UserError(f"{name.capitalize()} must be one number, or one for each of the "
                                f"network's {channels} channels, not {count}")
        if self.order == "bgr" and channels != 3:
            raise UserError(f"Order 'bgr' needs a network of 3 channels, not {channels}")
        mean, scale = (np.array(v, np.float32)[:, None] for v in (self.mean, self.scale))
        levels = (np.arange(256, dtype=np.float32) - mean) * scale
        return np.broadcast_to(levels, (channels, 256))

    def apply(self, images):
        """What the float network reads: float32 (N, channels, height, width), in its order.

        Parameters
        ----------
        images : uint8 array (N, height, width, channels)
        """
        levels = self.levels(images.shape[3])
        planes = [levels[c][images[..., c]] for c in range(images.shape[3])]
        return np.stack(planes[::-1] if self.order == "bgr" else planes, axis=1)

    def input_table(self, tensor):
        """Stored value of each pixel value, one row for each channel of the picture.

        It is what QuantizeLinear defines: a float32 quotient, rounded half to even, saturated.

        Returns
        -------
        int64 array (channels, 256)
        """
        with np.errstate(over="ignore"):
            quotient = self.levels(tensor.channels) / np.float32(tensor.scale)
        return np.clip(np.rint(quotient), tensor.low, tensor.high).astype(np.int64)


def attach(network, preprocessing):
    """The network as one that takes raw pixels, red first, through its ``input_table``.

    Channels in the order bgr cost nothing: the weights that read them change places instead.

    Parameters
    ----------
    network : Graph
    preprocessing : Preprocessing

    Raises
    ------
    UserError
        If the preprocessing does not fit the network's input.
    """
    tensor = network.tensors[network.input]
    table = preprocessing.input_table(tensor)
    nodes = network.nodes
    if preprocessing.order == "bgr":
        nodes = tuple(_reversed(node) if network.input in node.inputs else node for node in nodes)
    return replace(network, nodes=nodes, input_table=table)


def _reversed(node):
    """A convolution that finds its input's channels in the opposite order."""
    if not isinstance(node, Conv) or node.groups > 1:
        raise UserError(f"Node {node.name!r} reads the input, and has no weights that could take "
                        "its channels in the order bgr; use --order rgb, with pictures in bgr")
    return replace(node, weights=np.ascontiguousarray(node.weights[..., ::-1]))
