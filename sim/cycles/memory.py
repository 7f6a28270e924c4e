"""The arrays that a model runs on, while they grow: links, processes, and whom each may wake."""
import numpy as np
from amaranth.utils import bits_for

from . import fields as f

__all__ = ["Memory", "power"]


def power(number):
    """The least power of two that is at least ``number``."""
    return 1 << max(0, number - 1).bit_length()


class Memory:
    """Integers (``mem``), zeros of maps (``bits``) and counts (``data``), filled block by block."""

    def __init__(self):
        self._mem, self._size = np.zeros(1 << 16, np.int64), 0
        self._parts = {"bits": [], "data": []}
        self._sizes = dict.fromkeys(self._parts, 0)
        self.processes, self._near, self._ends = [], [], {}

    def place(self, values):
        """A new block of these numbers; returns where it is."""
        values = np.asarray(values, np.int64)
        at, self._size = self._size, self._size + values.size
        if self._size > self._mem.size:
            self._mem = np.concatenate([self._mem, np.zeros(self._size, np.int64)])
        self._mem[at:self._size] = values
        return at

    def ring(self, size):
        """(mask, place) of a ring of at least ``size`` cycles."""
        size = power(size)
        return size - 1, self.place(np.zeros(size))

    def add(self, part, array):
        """Append to ``bits`` or ``data``; returns where it is."""
        array = np.ascontiguousarray(array, {"bits": np.uint8, "data": np.int32}[part]).ravel()
        self._parts[part].append(array)
        at = self._sizes[part]
        self._sizes[part] += array.size
        return at

    def link(self, depth, latency=2):
        """A queue of ``depth`` beats, and one in its output register."""
        mask, at = self.ring(depth + 3)
        return self.place([0, 0, depth, latency, mask, at, self.ring(depth + 3)[1]])

    def queue(self, depth):
        """The link that :class:`hdl.stream.Queue` is."""
        return self.link(1 << max(1, bits_for(depth - 1)))

    def process(self, kind, fields, near=()):
        """A process of these ``fields`` {place: number}; ``near`` are the links and processes that it depends on."""
        at = self.place(np.zeros(f.PROCESS_SIZE))
        self.processes.append(at)
        self._near.append(set())
        self.set(at, fields | {f.KIND: kind})
        for other in near:
            self.join(at, other)
        return at

    def join(self, process, other):
        """Let a process and another one, or the process at a link's other end, wake each other."""
        number = self.processes.index(process) if process != self.processes[-1] else len(self.processes) - 1
        if other in self.processes:
            others = [self.processes.index(other)]
        else:
            ends = self._ends.setdefault(other, [])
            others = list(ends)
            ends.append(number)
        for one in others:
            self._near[number].add(one)
            self._near[one].add(number)

    def set(self, at, fields):
        for field, value in fields.items():
            self._mem[at + field] = value

    def finished(self):
        """(mem, bits, data, processes)"""
        for at, near in zip(self.processes, self._near):
            self.set(at, {f.WAKES: len(near), f.WAKES_AT: self.place(sorted(near))})
        bits, data = (np.concatenate([*self._parts[name], np.zeros(1, kind)])
                      for name, kind in (("bits", np.uint8), ("data", np.int32)))
        return self._mem[:self._size].copy(), bits, data, np.array(self.processes)
