"""What the channels of a float network's activations reach, on pictures."""
from dataclasses import dataclass

import numpy as np

from cores.importer.layout import to_file
from cores.importer.reader import graph_input
from cores.quantization.second_opinion import Session

__all__ = ["Channels", "file_input", "measure_channels"]


@dataclass
class Channels:
    """Largest absolute value and mean of each channel: float64 arrays (channels)."""
    largest: np.ndarray
    mean: np.ndarray


def file_input(model, image, preprocessing):
    """What a float network reads of a picture (height, width, channels): float32, in its shape."""
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    real = preprocessing.apply(image[None])[0].transpose(1, 2, 0)
    return to_file(real, graph_input(model)[1].layout).reshape(shape)


def measure_channels(model, names, images, preprocessing):
    """Run a float network.

    Parameters
    ----------
    model : onnx.ModelProto
    names : iterable of str
        Activations with the channels second, the input among them or not.
    images : uint8 array (N, height, width, channels)
    preprocessing : Preprocessing

    Returns
    -------
    dict
        Channels by the names of activations.
    """
    source = model.graph.input[0].name
    session = Session(model, [name for name in dict.fromkeys(names) if name != source], model)
    largest, total = {}, {}
    for image in images:
        real = file_input(model, image, preprocessing)
        for name, values in {source: real, **session.run(real)}.items():
            values = values.reshape(values.shape[1], -1)
            reached = np.maximum(values.max(1), -values.min(1)).astype(np.float64)
            largest[name] = np.maximum(largest.get(name, reached), reached)
            total[name] = total.get(name, 0) + values.mean(1).astype(np.float64)
    return {name: Channels(largest[name], total[name] / len(images)) for name in largest}
