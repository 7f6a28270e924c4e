"""A design of Skipstone: its registers, its counters, and pictures through it."""
from dataclasses import dataclass

import numpy as np

from .board import BoardError

__all__ = ["Accelerator", "Run", "frame_sizes", "frames_of"]

PATIENCE = 1_000_000    # waits without any progress that mean that nothing will come


@dataclass
class Run:
    """What became of a batch of pictures.

    Attributes
    ----------
    outputs : list of array (pictures, height, width, channels)
        Quantized values of each output.
    counters : dict of str to dict of str to int
        What each unit did meanwhile, by kind; empty for a design without counters. Stages that multiply
        have their non-zero ``products`` too.
    """
    outputs: list
    counters: dict


class Accelerator:
    """A design on a board.

    Parameters
    ----------
    board : Board
    registers : module
        The registers.py that was made with the design.

    Raises
    ------
    BoardError
        If the board holds another design.
    """

    def __init__(self, board, registers):
        self.board, self.registers = board, registers
        for (register, field), value in registers.CONSTANTS.items():
            found = self.read(register, field)
            if found != value:
                raise BoardError(f"{register}.{field} is {found:#x} on the board, but {value:#x} in this folder's "
                                 "driver: load the bitstream that was made from this folder")

    def read(self, register, field):
        """A field of a register."""
        low, bits = self.registers.FIELDS[register][field]
        return self.board.read(self.registers.REGISTERS[register]) >> low & (1 << bits) - 1

    def write(self, register, **fields):
        """Write a register; bits of fields that are not named become 0."""
        word = 0
        for field, value in fields.items():
            low, bits = self.registers.FIELDS[register][field]
            word |= (value & (1 << bits) - 1) << low
        self.board.write(self.registers.REGISTERS[register], word)

    def reset(self):
        """Start afresh from any state, also from transfers that hang; errors that were reported are cleared."""
        self.board.abort()
        self.write("COMMAND", reset=1, forget=1)
        self._until(lambda: not self.read("STATUS", "resetting"), "the reset to end")
        self.write("STATUS", short=1, long=1, cut_input=1, cut_output=1)
        self.write("CONTROL", enable=1)

    def counters(self):
        """All counters as of one moment, by unit and kind."""
        if not self.registers.COUNTERS:
            return {}
        self.write("COMMAND", snapshot=1)
        self._until(lambda: not self.read("STATUS", "counting"), "a snapshot of the counters")
        totals = {}
        for (unit, kind), address in self.registers.COUNTERS.items():
            low, high = self.board.read(address), self.board.read(address + 4)
            totals.setdefault(unit, {})[kind] = low | high << 32
        return totals

    def run(self, pictures):
        """Stream pictures through the design.

        Parameters
        ----------
        pictures : array of uint8 (pictures, height, width, channels)

        Returns
        -------
        Run

        Raises
        ------
        ValueError
            If the pictures are of another size.
        BoardError
            If a frame was damaged on its way, or nothing moves.
        """
        frames = frames_of(pictures, self.registers)
        before = self.counters()
        parts = self._stream(frames)
        after = self.counters()
        wrong = [field for field in ("short", "long") if self.read("STATUS", field)]
        if wrong:
            raise BoardError(f"A frame was too {' or too '.join(wrong)}: results are not valid; reset and run again")
        outputs = [_maps(parts[n], output) for n, output in enumerate(self.registers.OUTPUTS)]
        return Run(outputs, self._difference(before, after))

    def _stream(self, frames):
        """Send all frames, take those of all outputs meanwhile."""
        (_, sizes), sent, idle = frame_sizes(self.registers), 0, 0
        parts = [[] for _ in sizes]
        for n, size in enumerate(sizes):
            self.board.start_receive(n, size)
        while any(len(part) < len(frames) for part in parts):
            moved = False
            if sent < len(frames) and not self.board.sending():
                self.board.start_send(frames[sent])
                sent, moved = sent + 1, True
            for n, part in enumerate(parts):
                if len(part) < len(frames) and not self.board.receiving(n):
                    part.append(self.board.received(n))
                    moved = True
                    if len(part) < len(frames):
                        self.board.start_receive(n, sizes[n])
            idle = 0 if moved else idle + 1
            if idle > PATIENCE:
                raise BoardError(f"Nothing moves: {sent} frames sent, {min(map(len, parts))} received")
            if not moved:
                self.board.wait()
        for n, size in enumerate(sizes):
            if any(len(frame) != size for frame in parts[n]):
                raise BoardError(f"Output {n} ended a frame before its {size} bytes: it was cut off by a reset")
        return parts

    def _until(self, condition, what):
        for _ in range(PATIENCE):
            if condition():
                return
            self.board.wait()
        raise BoardError(f"Waited for {what} in vain")

    def _difference(self, before, after):
        counters = {unit: {kind: total - before[unit][kind] for kind, total in kinds.items()}
                    for unit, kinds in after.items()}
        for stage, (numerator, denominator) in self.registers.PRODUCTS.items():
            if counters:
                counters[stage]["products"] = counters[stage]["lookups"] * numerator // denominator
        return counters


def frames_of(pictures, registers):
    """The bytes that are sent for each picture, (pictures, bytes)."""
    source, pictures = registers.INPUT, np.asarray(pictures)
    shape = source["height"], source["width"], source["channels"]
    if pictures.ndim != 4 or pictures.shape[1:] != shape or pictures.dtype != np.uint8:
        raise ValueError(f"Pictures must be uint8 of shape (pictures, {', '.join(map(str, shape))}), "
                         f"not {pictures.dtype} of {pictures.shape}")
    low, span = source["low"], source["high"] - source["low"]
    samples = low + (pictures.astype(np.int64) * span + 127) // 255
    return samples.astype(_dtype(source)).reshape(len(pictures), -1).view(np.uint8)


def frame_sizes(registers):
    """Bytes of a frame at the input, and at each output in whole beats."""
    beat = registers.BEAT_BYTES
    return _size(registers.INPUT), [-(-_size(output) // beat) * beat for output in registers.OUTPUTS]


def _dtype(stream):
    return f"<{'i' if stream['signed'] else 'u'}{1 if stream['bits'] <= 8 else 2}"


def _size(stream):
    return stream["height"] * stream["width"] * stream["channels"] * np.dtype(_dtype(stream)).itemsize


def _maps(frames, stream):
    data = np.array(frames)[:, :_size(stream)].copy().view(_dtype(stream))
    return data.reshape(len(frames), stream["height"], stream["width"], stream["channels"])
