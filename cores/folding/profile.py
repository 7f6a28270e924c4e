"""What the pictures look like inside the network: non-zeros under each window of each lane."""
import copy

import numpy as np

from cores.folding.lane_loads import histogram, lane_loads
from cores.folding.lane_slack import slowdown
from cores.folding.under_windows import under_windows
from cores.folding.window_cycles import WindowLoads
from cores.graph import Add, Concat, Table
from cores.stages import has_engine, is_windowed, product_cycles, walk_of
from sim import reference

__all__ = ["WINDOWS", "Profile"]

WINDOWS = (4, 16)       # by which lanes may run apart: the stages' usual, and the most


class Profile:
    """Counts of non-zeros in every tensor, over some frames.

    Parameters
    ----------
    network : Graph
    frames : array of int (N, height, width, channels)
        Stored values of the input.
    keep_zeros : bool
        Count every value: what the dense engine meets.
    skip_empty : bool
        Whether the window engine leaves all-zero windows out.
    """

    def __init__(self, network, frames, *, keep_zeros=False, skip_empty=False):
        self.network, self.frames, self.skip_empty = network, len(frames), skip_empty
        values = reference.run(network, frames)
        self._masks = {name: np.full(v.shape, True) if keep_zeros else v != 0
                       for name, v in values.items()}
        self._zeros = {name: 1 - np.count_nonzero(v) / v.size for name, v in values.items()}
        counted, total = reference.nonzero_macs(network, values)
        self.nonzero_macs = {name: n / total for name, n in counted.items()}
        self._loads, self._curves, self._channels, self._windows = {}, {}, {}, {}

    def reordered(self, network, orders):
        """The same of ``network``, which is this one's with its channels in other ``orders``."""
        result = copy.copy(self)
        result.network = network
        # Not by an index, which would leave channels far apart in memory.
        result._masks = {name: mask.take(orders[name], axis=3) if name in orders else mask
                         for name, mask in self._masks.items()}
        result._loads, result._curves, result._channels, result._windows = {}, {}, {}, {}
        return result

    def nonzeros(self, tensor):
        """How often each value of a tensor is not zero, over all frames: (height, width, channels)."""
        return self._masks[tensor].sum(0, dtype=np.int64)

    def mask(self, tensor):
        """Which values of a tensor are not zero: array of bool (frames, height, width, channels)."""
        return self._masks[tensor]

    def work(self, node):
        """Non-zeros that each output pixel of a node reads: under its window, or in either operand of an addition.

        Returns
        -------
        array of int (frames, height, width)
            Of the input's pixels where a node has no window.
        """
        if is_windowed(node):
            counts = self._masks[node.input].sum(-1, dtype=np.int32)[..., None]
            return under_windows(counts, walk_of(node, self.network.tensors[node.input]), 0, 1)[..., 0]
        masks = [self._masks[name] for name in node.inputs]
        if isinstance(node, Add):
            masks = [np.logical_or(*masks)]
        return sum(mask.sum(-1, dtype=np.int32) for mask in masks)

    def zero_fraction(self, tensor):
        """Share of zeros in a tensor."""
        return self._zeros[tensor]

    def beats(self, tensor, ways):
        """Beats per frame of a tensor's busiest way; its closing beats are always sent."""
        return self._busiest_way((tensor,), ways)

    def _busiest_way(self, tensors, ways):
        """Beats per frame of the busiest way, if what is not zero in any of the tensors is sent, and closes pixels."""
        if tensors not in self._channels:
            mask = np.logical_or.reduce([self._masks[name] for name in tensors])
            self._channels[tensors] = np.count_nonzero(mask, axis=(0, 1, 2))
        counts, pixels = self._channels[tensors], self._masks[tensors[0]][..., 0].size
        return max(int(counts[w::ways].sum()) + pixels - int(counts[w::ways][-1]) for w in range(ways)) / self.frames

    def _counted(self, node, lanes, row_lanes, each):
        """How many windows have how much to do in a pass: products of ``each`` cycles, or more lookups.

        Returns
        -------
        (passes, cycles, factors)
            Passes of each group over a window, of all frames, by the cycles they take: array of int
            (lanes * row_lanes, cycles); the cycles of all these passes: (lanes * row_lanes); and how much longer lanes
            take that run so many windows apart: {windows: factor}.
        """
        key = node.name, lanes, row_lanes, each
        if key not in self._loads:
            walk = walk_of(node, self.network.tensors[node.input])
            groups = node.groups if has_engine(node) else 1
            loads = lane_loads(self._masks[node.input], walk, groups, lanes, row_lanes, each)
            passes = histogram(loads)
            # Of a stage without an engine, the ways of a stream are not coupled, but each one's row lanes.
            together = [loads] if has_engine(node) else [loads[:, lane::lanes] for lane in range(lanes)]
            factors = {windows: max(slowdown(part.T, windows) for part in together)
                       for windows in WINDOWS} if lanes * row_lanes > 1 else dict.fromkeys(WINDOWS, 1.0)
            self._loads[key] = passes, passes @ np.arange(passes.shape[1]), factors
        return self._loads[key]

    def busiest(self, node, lanes, row_lanes, floors, windows=WINDOWS[0], each=1):
        """Cycles per frame of the lane with the most work, if a pass over a window takes at least ``floors``.

        More where they wait for each other, as they may be ``windows`` output pixels apart only.

        Parameters
        ----------
        floors : array of int
            Any number of them.
        each : int
            Cycles of a product.

        Returns
        -------
        array of float
        """
        key = node.name, lanes, row_lanes, each
        if key not in self._curves:
            loads, products, factors = self._counted(node, lanes, row_lanes, each)
            # What is added to passes below a floor f: f - n for each of n products, in all the
            # double sum of their numbers below f.
            below = np.cumsum(loads, axis=1)
            added = np.cumsum(below, axis=1) - below
            curve = products[:, None] + added
            self._curves[key] = curve, below[:, -1], {
                apart: factor * curve[:, 1].max() for apart, factor in factors.items()}
        curve, passes, uneven = self._curves[key]
        within = np.minimum(floors, curve.shape[1] - 1)
        beyond = np.subtract(floors, within)
        return np.maximum((curve[:, within] + np.multiply.outer(passes, beyond)).max(0), uneven[windows]) / self.frames

    def cycles(self, node, folding):
        """Cycles per frame that a stage is busy with its own work (modelled).

        A convolution's pass over a window costs a lane the largest of its products' cycles, its lookups and
        the drain; lanes run apart, so that the busiest one counts over the frame. The window of a pool or
        of a depthwise convolution costs its non-zeros, or a drain of its channels; a pixel of an
        addition the channels found in either operand; what only moves values, its beats.
        """
        if folding.fine is not None and has_engine(node):
            return self.window_cycles(node, folding)
        each = product_cycles(node, folding)
        if has_engine(node):
            passes = -(-(len(node.weights) // node.groups) // folding.pes)
            floor = -(-folding.pes // folding.out_ways) * folding.requantize_cycles
            return passes * float(self.busiest(node, folding.lanes, folding.row_lanes, floor, folding.windows, each))
        if isinstance(node, Add):
            return self._busiest_way(tuple(node.inputs), folding.ways)
        target = self.network.tensors[node.output]
        per_way = -(-target.channels // folding.ways)
        if is_windowed(node):
            return float(self.busiest(node, folding.ways, folding.row_lanes,
                                      per_way * folding.requantize_cycles, folding.windows, each))
        if isinstance(node, Table) and node.values[:, -node.low].any():
            return target.height * target.width * per_way
        taken = [self.beats(name, folding.ways) for name in node.inputs]
        made = self.beats(node.output, folding.ways)
        return max(made, sum(taken) if isinstance(node, Concat) else taken[0])

    def window_cycles(self, node, folding):
        """Cycles per frame of a convolution with the window engine: of its streams, or of its output."""
        if node.name not in self._windows:
            self._windows[node.name] = WindowLoads(
                self._masks[node.input], walk_of(node, self.network.tensors[node.input]), node.groups,
                self.skip_empty), {}
        loads, known = self._windows[node.name]
        steps = len(node.weights) // node.groups // folding.pes
        key = folding.lanes, folding.fine, steps, folding.windows
        if key not in known:
            known[key] = loads.cycles(*key)
        target = self.network.tensors[node.output]
        sums = target.height * target.width * len(node.weights) // folding.out_ways
        return float(max(known[key], sums * folding.requantize_cycles))
