"""Which values of every tensor are not zero: what the cycles of a frame depend on."""
import numpy as np

from sim import reference

__all__ = ["Trace"]


class Trace:
    """The pixels of some frames, one after the other.

    Parameters
    ----------
    network : Graph
    frames : array of int (N, height, width, channels)
        Stored values of the input.
    keep_zeros : bool
        Zeros travel and are multiplied too: what the dense engine meets.
    """

    def __init__(self, network, frames, *, keep_zeros=False):
        self.frames, self.keep_zeros = len(frames), keep_zeros
        self._masks = {
            name: np.ones((values.size // values.shape[-1], values.shape[-1]), bool) if keep_zeros
            else (values != 0).reshape(-1, values.shape[-1])
            for name, values in reference.run(network, frames).items()}
        self._kept = {}

    def present(self, tensor):
        """Which channels of each pixel are not zero: bool (N * height * width, channels)."""
        return self._masks[tensor]

    def beats(self, tensor, ways):
        """Which channels of each pixel have a beat: those, and the last one of each way."""
        mask = self._masks[tensor]
        return self._once(("beats", tensor, ways), lambda: np.concatenate(
            [mask[:, :-ways], np.ones((len(mask), ways), bool)], axis=1))

    def counts(self, tensor, *, groups, lanes, lane):
        """Non-zeros of each group in each pixel on one of the channel lanes: (pixels, groups)."""
        mask = self._masks[tensor]
        return self._once(("counts", tensor, groups, lanes, lane), lambda: np.count_nonzero(
            mask.reshape(len(mask), groups, -1)[:, :, lane::lanes], axis=2).astype(np.int32))

    def _once(self, key, make):
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]
