"""What a design sent, beside what it should have sent."""
import numpy as np

from cores.pixels import sample_bits
from sim import axi

__all__ = ["Received", "difference"]


def difference(expected, got):
    """Where two arrays (frames, height, width, channels) differ first, in words; None if nowhere."""
    where = np.argwhere(expected != got)
    if not len(where):
        return None
    frame, y, x, channel = at = tuple(where[0].tolist())
    return (f"first difference: frame {frame}, pixel ({y}, {x}), channel {channel}: "
            f"expected {expected[at]}, got {got[at]}")


class Received:
    """The frames that came out of an AXI4-Stream.

    Parameters
    ----------
    tensor : Tensor
        The output.
    expected : array of int (frames, height, width, channels)
        Quantized values.
    transfers : (data, last, user, cycle)
        Of its port, see :meth:`sim.verilator.Simulation.run`.

    Attributes
    ----------
    mismatches : int
        Values that differ, and beats whose TLAST or TUSER is wrong.
    ends : array of int (frames)
        The cycle in which each frame's last beat was taken.
    """

    def __init__(self, tensor, expected, transfers):
        data, last, user, cycle = transfers
        beats = axi.beats_per_frame(tensor)
        self.name, self.expected = tensor.name, expected
        self.got = axi.unpack(data, expected.shape, sample_bits(tensor), tensor)
        self.framing = axi.framing_faults(last, user, beats)
        self.mismatches = int((expected != self.got).sum()) + self.framing
        self.ends = cycle.reshape(len(expected), beats)[:, -1]

    def faults(self):
        """A line for the first difference, and one for the framing, if there are any."""
        lines = difference(self.expected, self.got), (
            f"{self.framing} beats have TLAST or TUSER wrong" if self.framing else None)
        return [line for line in lines if line]
