"""Raw 8-bit pixels, the network's quantized values, and stored values."""
import numpy as np

from cores.between import sample_shape
from hdl.axi import lane_bits

__all__ = ["stored", "samples", "sample_bits", "on_bus"]


def stored(network, images):
    """Stored values of the network's input for ``images`` (N, height, width, channels) uint8.

    The network's input table says what each pixel is. Without one, the pixels 0 to 255 are spread
    over the range of the input's quantized values: for 8 unsigned bits they are these values.
    """
    tensor = network.tensors[network.input]
    images = np.asarray(images, np.int64)
    if network.input_table is not None:
        return network.input_table[np.arange(tensor.channels), images].astype(np.int32)
    span = tensor.high - tensor.low
    return (tensor.low + (images * span + 127) // 255).astype(np.int32)


def on_bus(network, images):
    """What travels over AXI4-Stream for ``images``, and the bits that each value takes.

    Raw pixels where the network has an input table, else quantized values.
    """
    if network.input_table is not None:
        return np.asarray(images), 8
    tensor = network.tensors[network.input]
    return samples(tensor, stored(network, images)), sample_bits(tensor)


def sample_bits(tensor):
    """Bits of TDATA that a quantized value takes: one byte, or two."""
    return lane_bits(sample_shape(tensor))


def samples(tensor, values):
    """Quantized values q = stored + zero point, as they travel over AXI4-Stream."""
    return (values + tensor.zero_point).astype(np.int32)
