"""What memories a component holds: told without elaborating it."""
from collections import Counter
from dataclasses import dataclass

from amaranth import Shape

__all__ = ["MemorySize", "ram", "rom", "distributed", "total", "times"]


@dataclass(frozen=True, order=True)
class MemorySize:
    """Words of a memory, the bits of each, and how it is used.

    ``kind`` is "ram" (one port writes, one reads a cycle later), "rom" (one port reads a cycle
    later), "block rom" (one that asks for block memory) or "distributed" (one address to write at and to read at once, asked for in LUTs).
    """
    depth: int
    width: int
    kind: str


def ram(shape, depth):
    """Counter of one memory with a port for writing and one for reading."""
    return _one(depth, shape, "ram")


def rom(width, depth, block=False):
    """Counter of one read-only memory, which may ask for ``block`` memory."""
    return _one(depth, width, "block rom" if block else "rom")


def distributed(shape, depth):
    """Counter of one memory in LUTs, with one address."""
    return _one(depth, shape, "distributed")


def total(counters):
    """Sum of Counters of memories."""
    result = Counter()
    for counter in counters:
        result.update(counter)
    return result


def times(count, counter):
    """``count`` times each memory."""
    return Counter({size: count * number for size, number in counter.items()})


def _one(depth, shape, kind):
    return Counter([MemorySize(depth, Shape.cast(shape).width, kind)])
