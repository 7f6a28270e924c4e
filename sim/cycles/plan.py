"""Puts the tables of the compiled model together."""
import numpy as np

from sim.cycles.engine import NAMES
from sim.cycles.tables import KINDS, LINK, PIPE, SHARES, STALLS, UNIT, Tables

__all__ = ["Plan", "queue_depth"]

POOLS = {"ints": np.int32, "flags": np.uint8, "steps": np.int16}
NEVER = -100
# Where something happened last, before anything has.
INITIAL = {"got": -1, "taken": -1, "turned": -1, "draining": -1, "m1": NEVER, "m2": NEVER, "m3": NEVER,
           "m4": NEVER, "done": NEVER, "sent": NEVER}


def queue_depth(depth):
    """Payloads in the memory of a queue: a power of two, at least 2."""
    return 1 << max(1, (depth - 1).bit_length())


class Plan:
    """Units, the links between them, and the arrays they read."""

    def __init__(self):
        self._pools = {name: [] for name in POOLS}
        self._sizes = dict.fromkeys([*POOLS, "time"], 0)
        self.links, self._ends = [], []         # rows; units at both ends
        self._rows = {name: [] for name in NAMES}
        self._units = []                        # (kind, row, units beside it)
        self._pipes = 0

    def ints(self, values):
        """Offset of some integers."""
        return self._keep("ints", values)

    def flags(self, values):
        return self._keep("flags", values)

    def steps(self, values):
        return self._keep("steps", values)

    def _keep(self, pool, values):
        values = np.asarray(values, POOLS[pool]).ravel()
        self._pools[pool].append(values)
        self._sizes[pool] += len(values)
        return self._sizes[pool] - len(values)

    def times(self, count):
        """Offset of as many cycles, 0 to start with."""
        self._sizes["time"] += int(count)
        return self._sizes["time"] - int(count)

    def link(self, beats, depth):
        """A queue through which ``beats`` beats go; returns its number."""
        self.links.append((self.times(beats), self.times(beats), depth, 0, 0))
        self._ends.append([])
        return len(self.links) - 1

    def add(self, kind, *, beside=(), links=(), **fields):
        """A unit beside others and at an end of ``links``; returns its number."""
        names = KINDS[NAMES.index(kind)].names
        row = {name: INITIAL.get(name, 0) for name in names}
        for name in ("pipe", "scaler"):
            if name in row:
                row[name], self._pipes = self._pipes, self._pipes + 1
        self._units.append((kind, len(self._rows[kind]), set()))
        self._rows[kind].append(row)
        unit = len(self._units) - 1
        self.set(unit, **fields)
        for other in beside:
            self.join(unit, other)
        for link in links:
            self._ends[link].append(unit)
        return unit

    def set(self, unit, **fields):
        kind, row, _ = self._units[unit]
        assert fields.keys() <= self._rows[kind][row].keys(), (kind, fields)
        self._rows[kind][row].update(fields)

    def row(self, unit):
        """A unit's row in the table of its kind."""
        return self._units[unit][1]

    def rows(self, units):
        """Offset of the rows of some units."""
        return self.ints([self.row(unit) for unit in units])

    def join(self, unit, other):
        """Let each of two units have a turn when the other has moved."""
        self._units[unit][2].add(other)
        self._units[other][2].add(unit)

    def tables(self):
        """The tables, ready to run."""
        for ends in self._ends:
            for unit in ends:
                self._units[unit][2].update(set(ends) - {unit})
        units = []
        for kind, row, near in self._units:
            units.append((NAMES.index(kind), row, self.ints(sorted(near)), len(near), 1))
        kinds = {}
        for name, layout in zip(NAMES, KINDS):
            kinds[name] = np.array([tuple(row.values()) for row in self._rows[name]], layout)
        pools = {name: np.concatenate([*parts, np.zeros(0, POOLS[name])]).astype(POOLS[name], copy=False)
                 for name, parts in self._pools.items()}
        return Tables(
            link=np.array(self.links, LINK), pipe=np.zeros(self._pipes, PIPE), unit=np.array(units, UNIT), **kinds, **pools,
            time=np.zeros(self._sizes["time"], np.int32),
            stall=np.zeros((self._pipes, STALLS, 4), np.int64),
            share=np.zeros((len(units), len(SHARES)), np.int64))
