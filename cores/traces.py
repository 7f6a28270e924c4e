"""Where the zeros of each stage's input are: by output pixel, row, channel and picture."""
import io
from dataclasses import dataclass

import numpy as np

from cores.graph import Pool
from cores.stages import is_windowed

__all__ = ["QUANTILES", "Trace", "saved", "traces"]

QUANTILES = (0, 5, 50, 95, 100)


@dataclass(frozen=True, eq=False)
class Trace:
    """What one stage reads.

    Parameters
    ----------
    name, op : str
    inputs : tuple of str
        Tensors that it reads.
    work : array of int (frames, height, width)
        Non-zeros that each output pixel reads, see :meth:`~cores.folding.profile.Profile.work`.
    dense : int
        The most that an output pixel could read.
    channels : array of float (channels)
        Share of each input channel's values that are not zero; of two operands, of the first.
    zeros : float
        Share of zeros in the input.
    """
    name: str
    op: str
    inputs: tuple
    work: np.ndarray
    dense: int
    channels: np.ndarray
    zeros: float

    @property
    def quantiles(self):
        """Non-zeros of an output pixel: the least, the 5th, 50th and 95th percentile, the most."""
        return np.quantile(self.work, np.array(QUANTILES) / 100, method="inverted_cdf")

    @property
    def rows(self):
        """Non-zeros of each row of output pixels, over the mean row's: (height)."""
        return _relative(self.work.mean((0, 2)))

    @property
    def frames(self):
        """Non-zeros of each picture, over the mean picture's: (frames)."""
        return _relative(self.work.mean((1, 2)))

    def figures(self):
        """Numbers for JSON."""
        return {
            "name": self.name, "op": self.op, "zero_fraction": round(float(self.zeros), 4),
            "nonzeros_per_output_pixel": {
                "mean": round(float(self.work.mean()), 2), "dense": self.dense,
                "quantiles": dict(zip(map(str, QUANTILES), self.quantiles.tolist()))},
            "rows_over_mean": np.round(self.rows, 3).tolist(),
            "pictures_over_mean": np.round(self.frames, 3).tolist(),
            "channel_density": np.round(self.channels, 4).tolist(),
            "channels_always_zero": int(np.count_nonzero(self.channels == 0)),
        }


def _relative(values):
    mean = values.mean()
    return values / mean if mean else np.ones_like(values)


def traces(network, profile):
    """The Trace of each node of a network.

    Parameters
    ----------
    network : Graph
    profile : Profile

    Returns
    -------
    list of Trace
    """
    result = []
    for node in network.nodes:
        source = network.tensors[node.inputs[0]]
        taps = node.kernel[0] * node.kernel[1] if is_windowed(node) else 1
        result.append(Trace(
            node.name, f"{node.op} pool" if isinstance(node, Pool) else node.op, tuple(node.inputs),
            profile.work(node), taps * source.channels, profile.mask(source.name).mean((0, 1, 2)),
            profile.zero_fraction(source.name)))
    return result


def saved(network, profile, found):
    """Traces as the bytes of an .npz file.

    ``stages`` and ``tensors`` are names; ``work_N`` is the Trace.work of stage N, and ``nonzero_N`` says which
    values of tensor N are not zero: ``np.unpackbits(nonzero_N, axis=-1, count=channels_N)`` is (frames, height,
    width, channels).
    """
    arrays = {"stages": np.array([trace.name for trace in found]), "tensors": np.array(list(network.tensors))}
    for n, trace in enumerate(found):
        arrays[f"work_{n}"] = trace.work.astype(np.min_scalar_type(trace.dense))
    for n, tensor in enumerate(network.tensors.values()):
        arrays[f"nonzero_{n}"] = np.packbits(profile.mask(tensor.name), axis=-1)
        arrays[f"channels_{n}"] = np.array(tensor.channels)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()
