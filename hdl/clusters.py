# amaranth: UnusedElaboratable=no
# Its parts are made at the start, also when it is only asked for its size.
"""Sparse dot products of many PEs: clusters behind queues, so that no signal fans out to all of them."""
import numpy as np
from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .check import between, integers, positive
from .count import counter
from .dot import SparseDot, dot_memories, sums_layout
from .lane import product_layout
from .mac import dsp_count
from .memory import times, total
from .pick import pick
from .stream import Queue, queue_memories

__all__ = ["CLUSTER", "Clusters", "cluster_count", "clusters_dsps", "clusters_memories"]

CLUSTER = 64        # most PEs that one activation, one enable and one drain are led to
QUEUED = 2          # products that a cluster may lag behind the fastest


def cluster_count(pes, ways):
    """Clusters of ``pes`` PEs that are drained ``ways`` at a time, at most 64; also of arrays."""
    return -(-pes // (CLUSTER // ways * ways))


def clusters_dsps(shape, *, weight_width, sum_width, pes, ways, family, serial=False):
    """DSP blocks of ``pes`` PEs, in however many clusters."""
    count = cluster_count(pes, ways)
    return count * dsp_count(pes=pes // count, ways=ways, shape=shape, weight_width=weight_width,
                             sum_width=sum_width, family=family, serial=serial)


def clusters_memories(shape, *, depth, filters, addresses, pes, count, weight_width, weights_in_blocks=False):
    """Memories of ``pes`` PEs in ``count`` clusters: weights, and queues if there are several."""
    weights = dot_memories(filters=-(-filters // pes) * pes // count, addresses=addresses, pes=pes // count,
                           weight_width=weight_width, weights_in_blocks=weights_in_blocks)
    queues = [queue_memories(product_layout(shape, depth), QUEUED)] if count > 1 else []
    return times(count, total([weights, *queues]))


class Clusters(wiring.Component):
    """A :class:`~hdl.dot.SparseDot` of more than 64 PEs: the same sums, in the same order.

    Each of the C clusters is a sparse dot product of ``pes / C`` PEs behind a short queue, which is what takes the place
    of wires from one register to every PE: a product reaches all queues at once, and the clusters stall on their own.
    They are drained in turn, so that transfer t of a pass comes from cluster t % C, into a common register.

    ``latency`` is longer than that of one cluster; the rate is the same: a pass may take as few as ``pes / ways`` cycles,
    the last one of a window as few as its filters left / ``ways``, but not fewer than there are clusters.
    ``i.ready`` and ``o`` depend on registers only.

    Parameters
    ----------
    shape, weights, weight_width, sum_width, ways, depth, family, weights_in_blocks, serial
        See :class:`~hdl.dot.SparseDot`.
    pes : int
        Processing elements, a multiple of ``ways * cluster_count(pes, ways)``.

    Members
    -------
    i : In(stream.Signature(product_layout(shape, depth)))
    o : Out(stream.Signature(sums_layout(sum_width, ways)))

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of its range, or a weight has more bits.
    """

    latency = SparseDot.latency + 3

    def __init__(self, shape, *, weights, weight_width, pes, sum_width, ways=1, depth=None,
                 family="behavioural", weights_in_blocks=False, serial=False):
        weights = integers("Weights", weights)
        if weights.ndim != 2 or not weights.size:
            raise ValueError(f"Weights must be of shape (filters, addresses), not {weights.shape}")
        count = cluster_count(positive("PEs", pes), between("Ways", ways, 1, CLUSTER))
        if pes % (count * ways):
            below, above = (next((n for n in numbers if n % (cluster_count(n, ways) * ways) == 0), None)
                            for numbers in (range(pes, 0, -1), range(pes, 2 * pes + ways * CLUSTER)))
            raise ValueError(f"PEs must fill clusters of at most {CLUSTER} that have {ways} ways, as "
                             f"{f'{below} or ' if below else ''}{above} do, not {pes}")
        filters, addresses = weights.shape
        self.pes, self.ways, self.passes = pes, ways, -(-filters // pes)
        depth = self.passes * addresses if depth is None else depth

        # Transfers of the last pass; every cluster sends one at least, the surplus ones are dropped.
        self._needed = -(-(filters - (self.passes - 1) * pes) // ways)
        self._sent = max(self._needed, count)
        # By pass, transfer, cluster, way.
        split = np.zeros((self.passes * pes, addresses), weights.dtype)
        split[:filters] = weights
        split = split.reshape(self.passes, -1, count, ways, addresses)
        self.dots = []
        for c in range(count):
            kept = (self.passes - 1) * pes // count + -(-(self._sent - c) // count) * ways
            self.dots.append(SparseDot(
                shape, weights=split[:, :, c].reshape(-1, addresses)[:kept], weight_width=weight_width,
                pes=pes // count, sum_width=sum_width, ways=ways, depth=depth, family=family,
                weights_in_blocks=weights_in_blocks, serial=serial))
        super().__init__({
            "i": In(stream.Signature(product_layout(shape, depth))),
            "o": Out(stream.Signature(sums_layout(sum_width, ways)))})

    @property
    def product_cycles(self):
        """Cycles that a PE spends on a product."""
        return self.dots[0].product_cycles

    @property
    def memories(self):
        queues = times(len(self.dots), queue_memories(self.i.payload.shape(), QUEUED))
        return total([*(dot.memories for dot in self.dots), queues])

    def elaborate(self, platform):
        m = Module()
        taken, count = Signal(), len(self.dots)
        queues = []
        for n, dot in enumerate(self.dots):
            m.submodules[f"dot_{n}"] = dot
            m.submodules[f"queue_{n}"] = queue = Queue(self.i.payload.shape(), depth=QUEUED)
            queues.append(queue)
            m.d.comb += [
                queue.i.payload.eq(self.i.payload), queue.i.valid.eq(self.i.valid & self.i.ready),
                dot.i.payload.eq(queue.o.payload), dot.i.valid.eq(queue.o.valid), queue.o.ready.eq(dot.i.ready)]
        m.d.comb += self.i.ready.eq(Cat(queue.i.ready for queue in queues).all())

        words = (self.passes - 1) * self.pes // self.ways + self._sent      # of a window
        number, end = counter(m, words, taken, name="number")
        turn = Signal(range(count))
        with m.If(taken):
            m.d.sync += turn.eq(Mux(end | (turn == count - 1), 0, turn + 1))
        room, offered = Signal(), Signal()
        m.d.comb += [room.eq(~self.o.valid | self.o.ready), taken.eq(room & offered)]
        for n, dot in enumerate(self.dots):
            m.d.comb += dot.o.ready.eq(room & (turn == n))
            with m.If(turn == n):
                m.d.comb += offered.eq(dot.o.valid)
        sums = pick(m, [Cat(*dot.o.payload) for dot in self.dots], turn)
        with m.If(room):
            m.d.sync += [Cat(*self.o.payload).eq(sums),
                         self.o.valid.eq(offered & (number < words - (self._sent - self._needed)))]
        return m
