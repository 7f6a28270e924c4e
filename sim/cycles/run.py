"""Run the processes of a model until none gets any further."""
import hashlib
from pathlib import Path

import numpy as np
from numba import njit

from . import fields as f
from .jit import kernel
from .streams import add, axi_in, axi_out, concat, copy, feed, pad, sink, slice_box, table, upsample
from .windows import lane, stepper, store, totals, whole

__all__ = ["run"]


@kernel
def _advance(mem, bits, data, p):
    kind = mem[p + f.KIND]
    if kind == f.LANE:
        return lane(mem, bits, data, p)
    if kind == f.STEPPER:
        return stepper(mem, bits, data, p)
    if kind == f.STORE:
        return store(mem, bits, data, p)
    if kind == f.TOTALS:
        return totals(mem, bits, data, p)
    if kind == f.COPY:
        return copy(mem, bits, data, p)
    if kind == f.ADD:
        return add(mem, bits, data, p)
    if kind == f.CONCAT:
        return concat(mem, bits, data, p)
    if kind == f.TABLE:
        return table(mem, bits, data, p)
    if kind == f.SLICE:
        return slice_box(mem, bits, data, p)
    if kind == f.PAD:
        return pad(mem, bits, data, p)
    if kind == f.UPSAMPLE:
        return upsample(mem, bits, data, p)
    if kind == f.WHOLE:
        return whole(mem, bits, data, p)
    if kind == f.FEED:
        return feed(mem, bits, data, p)
    if kind == f.SINK:
        return sink(mem, bits, data, p)
    if kind == f.AXI_IN:
        return axi_in(mem, bits, data, p)
    return axi_out(mem, bits, data, p)


def _compiled(stamp):
    """The scheduler. Its machine code is kept on disk for sources of this ``stamp``: Numba looks at this file only."""
    @njit(cache=True)
    def run(mem, bits, data, processes):
        assert stamp >= 0
        count = len(processes)
        waiting, queued = np.arange(count), np.full(count, True)
        first, number = 0, count
        while number:
            k = waiting[first]
            first, number = (first + 1) % count, number - 1
            queued[k] = False
            p = processes[k]
            if _advance(mem, bits, data, p):
                for n in range(mem[p + f.WAKES]):
                    other = mem[mem[p + f.WAKES_AT] + n]
                    if not queued[other]:
                        queued[other] = True
                        waiting[(first + number) % count] = other
                        number += 1
    return run


def _stamp():
    digest = hashlib.sha256()
    for name in ("fields", "jit", "links", "run", "streams", "windows"):
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return int.from_bytes(digest.digest()[:7], "big")


run = _compiled(_stamp())
