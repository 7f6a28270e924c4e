"""From a network and its folding to the links and processes of its model."""
import numpy as np

from cores.graph import Add, Concat, Pad, Pool, Slice, Table, Upsample
from cores.stages import has_engine, is_depthwise, is_windowed, product_cycles, walk_of
from hdl import add, concat, pad, pool, slice, table
from hdl.clusters import Clusters, cluster_count
from hdl.dot import SparseDot
from hdl.multiply import multiply_latency
from hdl.requantize import QUEUE_DEPTH
from hdl.stepper import IN_FLIGHT
from hdl.stream import channels_of_way
from hdl.upsample import AHEAD
from hdl.window import default_slots

from . import fields as f
from .memory import power

__all__ = ["Maps", "Stages", "TAKEN"]

TAKEN = 2               # cycles from a lane's reading to the engine's taking
DOT, WEIGHED, REDUCED = 6, 4, 1     # cycles from there until a pass's last product counts: convolution, depthwise, pool
QUEUES = {Pool: pool.QUEUE_DEPTH, Add: add.QUEUE_DEPTH, Concat: concat.QUEUE_DEPTH, Slice: slice.QUEUE_DEPTH,
          Pad: pad.QUEUE_DEPTH, Table: table.QUEUE_DEPTH}


class Maps:
    """Where the frames' values are not zero, in the arrays of a model.

    Parameters
    ----------
    memory : Memory
    masks : dict of str to array of bool (N, height, width, channels)
    order : array of int
        Which of the N frames follow each other.
    """

    def __init__(self, memory, masks, order):
        self.memory, self.masks, self.order = memory, masks, np.asarray(order)
        self.order_at = memory.place(self.order)
        self._bits, self._beats = {}, {}

    @property
    def frames(self):
        return len(self.order)

    def bits(self, tensor):
        """Place of a tensor's mask."""
        if tensor not in self._bits:
            self._bits[tensor] = self.memory.add("bits", self.masks[tensor])
        return self._bits[tensor]

    def pixels(self, tensor):
        return int(np.prod(self.masks[tensor].shape[1:3]))

    def beats(self, tensor, way, ways):
        """Beats of each pixel on a way: (N, pixels)."""
        mask = self.masks[tensor][..., way::ways]
        return (mask.sum(-1, dtype=np.int32) + ~mask[..., -1]).reshape(len(mask), -1)

    def beats_at(self, tensor, way, ways):
        """Place of :meth:`beats`."""
        key = tensor, way, ways
        if key not in self._beats:
            self._beats[key] = self.memory.add("data", self.beats(*key))
        return self._beats[key]

    def dealt(self, tensor, groups, lanes):
        """Place of the non-zeros of each lane, group, frame and pixel."""
        mask = self.masks[tensor]
        mask = mask.reshape(len(mask), -1, groups, mask.shape[-1] // groups)
        parts = [mask[..., lane::lanes].sum(-1, dtype=np.int32).transpose(2, 0, 1) for lane in range(lanes)]
        return self.memory.add("data", np.stack(parts))

    def walked(self, tensor, ways, way):
        """Fields of a process that goes over a tensor's pixels."""
        pixels = self.pixels(tensor)
        return {f.PIXELS: pixels, f.ALL_PIXELS: pixels * self.frames, f.ORDER_AT: self.order_at, f.TIME: -1,
                f.CHANNELS: self.masks[tensor].shape[-1], f.WAYS: ways, f.WAY: way,
                f.SINCE: pixels * (self.frames > 1)}


class Stages:
    """Makes the processes of stages; ``working`` are those of each node that know how long they waited."""

    def __init__(self, network, foldings, memory, maps, keep_zeros=False):
        self.network, self.foldings, self.memory, self.maps = network, foldings, memory, maps
        self.keep_zeros = keep_zeros
        self.working = {node.name: [] for node in network.nodes}

    def outputs(self, node):
        """The links of a stage's output."""
        depth = QUEUE_DEPTH if _requantizes(node) else QUEUES.get(type(node))
        return [self.memory.link(0, 0) if depth is None else self.memory.queue(depth)
                for _ in range(self.foldings[node.name].out_ways)]

    def make(self, node, inputs, outputs):
        """The processes of a stage.

        Parameters
        ----------
        inputs : list of list of int
            The links of each operand's ways.
        outputs : list of int
        """
        made = _STAGES.get(type(node), Stages._windowed)
        self.working[node.name] += made(self, node, inputs, outputs)

    # Stages that take beat by beat.

    def _by_way(self, kind, node, inputs, outputs, fields, walked=None):
        ways = len(outputs)
        return [self.memory.process(
            kind, self.maps.walked(walked or node.inputs[0], ways, way) | {
                f.IN: inputs[0][way], f.OUT: outputs[way]} | fields(way),
            [*(links[way] for links in inputs), outputs[way]]) for way in range(ways)]

    def _table(self, node, inputs, outputs):
        zeros = node.values[:, -node.low]
        ways = len(outputs)
        return self._by_way(f.TABLE, node, inputs, outputs, lambda way: {
            f.T_READ: self.maps.bits(node.input), f.T_SENT: self.maps.bits(node.output),
            f.T_INSERTS: bool((zeros if len(zeros) == 1 else zeros[way::ways]).any())})

    def _add(self, node, inputs, outputs):
        return self._by_way(f.ADD, node, inputs, outputs, lambda way: {
            f.A_OTHER: inputs[1][way], f.A_FIRST: self.maps.bits(node.first), f.A_SECOND: self.maps.bits(node.second),
            f.A_SENT: self.maps.bits(node.output), f.A_RING_AT: self.memory.place(np.full(5, -1))})

    def _concat(self, node, inputs, outputs):
        def fields(way):
            rows = [[links[way], self.maps.bits(name), self.network.tensors[name].channels]
                    for links, name in zip(inputs, node.inputs)]
            return {f.O_OPERANDS: len(rows), f.O_LIST_AT: self.memory.place(np.ravel(rows))}
        return self._by_way(f.CONCAT, node, inputs, outputs, fields)

    def _slice(self, node, inputs, outputs):
        ways, source = len(outputs), self.network.tensors[node.input]

        def fields(way):
            box = [n for axis in (0, 1) for n in (node.start[axis], node.size[axis], node.step[axis])]
            box += [node.start[2] // ways, channels_of_way(node.size[2], ways, way), 1]
            return {f.S_READ: self.maps.bits(node.input), f.S_WIDTH: source.width, f.S_BOX_AT: self.memory.place(box)}
        return self._by_way(f.SLICE, node, inputs, outputs, fields)

    def _pad(self, node, inputs, outputs):
        ways, source, target = len(outputs), self.network.tensors[node.input], self.network.tensors[node.output]

        def fields(way):
            box = [node.before[0], source.height, node.before[1], source.width, node.before[2] // ways,
                   channels_of_way(source.channels, ways, way), channels_of_way(target.channels, ways, way)]
            return {f.P_READ: self.maps.bits(node.input), f.P_WIDTH: target.width, f.CHANNELS: source.channels,
                    f.P_EACH: self.keep_zeros or node.value != 0, f.P_BOX_AT: self.memory.place(box)}
        return self._by_way(f.PAD, node, inputs, outputs, fields, walked=node.output)

    def _upsample(self, node, inputs, outputs):
        source, frames = self.network.tensors[node.input], self.maps.frames
        pixels, held = source.height * source.width, source.width if node.factor[0] > 1 else 1
        for way, (link, out) in enumerate(zip(inputs[0], outputs)):
            release = self._release(held + max(held, AHEAD), np.arange(pixels), pixels)
            stored = self._store(node.input, link, way, len(outputs), [release], held + max(held, AHEAD))
            self.memory.process(f.UPSAMPLE, {
                f.U_OUT: out, f.U_BEATS_AT: self.maps.beats_at(node.input, way, len(outputs)), f.U_WIDTH: source.width,
                f.U_HEIGHT: source.height, f.U_DOWN: node.factor[0], f.U_ACROSS: node.factor[1], f.U_STORE: stored,
                f.U_RELEASE: release, f.U_ALL: frames * pixels * node.factor[0] * node.factor[1]}, [stored, out])
        return []

    # Stages with a window.

    def _windowed(self, node, inputs, outputs):
        folding, source = self.foldings[node.name], self.network.tensors[node.input]
        target, walk = self.network.tensors[node.output], walk_of(node, source)
        if isinstance(node, Pool) and _is_global(walk):
            return self._whole(node, inputs, outputs)
        engine, ways = has_engine(node), folding.ways
        lanes, groups = (folding.lanes, node.groups) if engine else (ways, 1)
        passes = -(-(len(node.weights) // groups) // folding.pes) if engine else 1
        rows = folding.row_lanes if not isinstance(node, Pool) else 1
        slots = default_slots(walk, channels=channels_of_way(source.channels, lanes), row_lanes=rows)
        counts = self.maps.dealt(node.input, groups, lanes)
        made = {}
        for way in range(ways):
            releases = [self._release(slots, np.ravel(walk.keeps(row, rows)), walk.height * walk.width)
                        for row in range(rows)]
            stored = self._store(node.input, inputs[0][way], way, ways, releases, slots)
            for row, release in enumerate(releases):
                members = range(way, lanes, ways)
                steps = self._stepper(walk, row, rows, stored, release, groups * passes, folding.windows, len(members))
                for lane in members:
                    made[row, lane] = self._lane(
                        node, walk, row, rows, steps, counts, lane, groups, passes, folding.windows)
                self.memory.set(steps, {f.G_LANES_AT: self.memory.place([made[row, lane] for lane in members])})
        if engine:
            self._totals(node, list(made.values()), outputs, 0, 1)
            out_ways = folding.out_ways
            words, rest = folding.pes // out_ways, len(node.weights) // groups - (passes - 1) * folding.pes
            for lane in made.values():
                self.memory.set(lane, {f.D_WORDS: words, f.D_LAST_WORDS: -(-rest // out_ways)})
        else:
            for way in range(ways):
                mine = [made[row, way] for row in range(rows)]
                self._totals(node, mine, outputs[way:way + 1], way, ways)
                share = channels_of_way(target.channels, ways, way)
                for lane in mine:
                    self.memory.set(lane, {f.D_WORDS: share, f.D_LAST_WORDS: share, f.D_STEP: share})
        return list(made.values())

    def _whole(self, node, inputs, outputs):
        ways, source, made = len(outputs), self.network.tensors[node.input], []
        for way in range(ways):
            beats = self.maps.beats(node.input, way, ways).sum(1)
            share = channels_of_way(source.channels, ways, way)
            made.append(self.memory.process(f.WHOLE, {
                f.M_IN: inputs[0][way], f.M_BEATS_AT: self.memory.add("data", beats), f.M_ORDER_AT: self.maps.order_at,
                f.M_FRAMES: self.maps.frames, f.D_WORDS: share, f.D_STEP: share, f.SINCE: self.maps.frames > 1},
                [inputs[0][way]]))
            self._totals(node, made[-1:], outputs[way:way + 1], way, ways)
        return made

    def _release(self, slots, keeps, frame):
        mask, at = self.memory.ring(len(keeps) + slots + 2 * IN_FLIGHT)
        return self.memory.place([slots, len(keeps), self.memory.add("data", keeps), frame, 0, mask, at, 0])

    def _store(self, tensor, link, way, ways, releases, slots):
        pixels = self.maps.pixels(tensor)
        mask, at = self.memory.ring(2 * pixels + slots)
        return self.memory.process(f.STORE, {
            f.W_IN: link, f.W_PIXELS: pixels, f.W_ALL: pixels * self.maps.frames, f.W_ORDER_AT: self.maps.order_at,
            f.W_BEATS_AT: self.maps.beats_at(tensor, way, ways), f.W_MASK: mask, f.W_ARRIVED_AT: at,
            f.W_RELEASES: len(releases), f.W_RELEASES_AT: self.memory.place(releases)}, [link])

    def _stepper(self, walk, row, rows, stored, release, passes, windows, lanes):
        needs = np.ravel(walk.needs(row, rows))
        depth = power(max(2, windows * passes))
        mask, at = self.memory.ring(depth + 4)
        return self.memory.process(f.STEPPER, {
            f.G_STORE: stored, f.G_RELEASE: release, f.G_WINDOWS: len(needs), f.G_ALL: len(needs) * self.maps.frames,
            f.G_NEEDS_AT: self.memory.add("data", needs), f.G_FRAME: walk.height * walk.width, f.G_PASSES: passes,
            f.G_LANES: lanes, f.G_MASK: mask, f.G_AT: at, f.G_LATE_AT: self.memory.ring(depth + 4)[1],
            f.G_DEPTH: depth}, [stored])

    def _lane(self, node, walk, row, rows, steps, counts, lane, groups, passes, windows):
        y, x = walk.axes(row, rows)
        pixels, unique = walk.height * walk.width, len(self.maps.masks[node.input])
        windows_of_frame = walk.out_height * walk.out_width
        ring = power(max(2, windows * groups * passes)) + 4
        pop_mask, pops = self.memory.ring(ring)
        done_mask, dones = self.memory.ring(ring)
        folding = self.foldings[node.name]
        latency = DOT if has_engine(node) else WEIGHED if is_depthwise(node) else REDUCED
        if has_engine(node) and cluster_count(folding.pes, folding.out_ways) > 1:
            latency += Clusters.latency - SparseDot.latency
        each = product_cycles(node, folding)

        def axis(axis):
            return self.memory.place([n for o, (first, count) in enumerate(axis.inside)
                                      for n in (axis.coordinate(o, first), count)])
        return self.memory.process(f.LANE, {
            f.L_STEPPER: steps, f.L_COUNTS_AT: counts + lane * groups * unique * pixels, f.L_GROUP_SIZE: unique * pixels,
            f.L_FRAME_SIZE: pixels, f.L_ORDER_AT: self.maps.order_at, f.L_WIDTH: walk.width, f.L_ROWS_AT: axis(y),
            f.L_COLUMNS_AT: axis(x), f.L_OUT_WIDTH: walk.out_width, f.L_OUT_HEIGHT: walk.out_height, f.L_DOWN: y.pitch,
            f.L_ACROSS: x.pitch, f.L_PASSES: groups * passes, f.L_GROUP_PASSES: passes,
            f.L_ALL: windows_of_frame * self.maps.frames * groups * passes, f.L_POPS_AT: pops, f.L_POP_MASK: pop_mask,
            f.L_LISTS_AT: self.memory.place(np.zeros(16)), f.L_FREEZES_AT: self.memory.place(np.zeros(32)),
            f.L_LATENCY: TAKEN + latency + each - 1, f.L_EACH: each, f.L_DONES_AT: dones, f.L_DONE_MASK: done_mask, f.L_TICK: -each,
            f.SINCE: windows_of_frame * (self.maps.frames > 1)}, [steps])

    def _totals(self, node, lanes, outputs, first, total):
        """What adds up ``lanes``, requantizes and fills ``outputs``, the ways from ``first`` on of ``total`` if apart."""
        folding, target = self.foldings[node.name], self.network.tensors[node.output]
        ways = len(outputs) if total == 1 else total
        words = channels_of_way(target.channels, ways, first)
        direct = isinstance(node, Pool)
        windows = 1 if is_depthwise(node) and len(lanes) == 1 else folding.windows
        depth = 1 if direct else power(max(2, windows * words))
        cycles = folding.requantize_cycles if _requantizes(node) else 1
        latency = 4 + multiply_latency(cycles) if _requantizes(node) else 0
        latency += 0 if direct else 1 + len(lanes).bit_length()
        capacity = max(1, -(-latency // cycles))
        pop_mask, pops = self.memory.ring(depth + 4)
        left_mask, left = self.memory.ring(capacity + 4)
        pixels = target.height * target.width
        made = self.memory.process(f.TOTALS, {
            f.Q_LANES: len(lanes), f.Q_LANES_AT: self.memory.place(lanes), f.Q_POP_MASK: pop_mask, f.Q_POPS_AT: pops,
            f.Q_CAUSE_AT: self.memory.ring(depth + 4)[1], f.Q_CYCLES: cycles, f.Q_LATENCY: latency, f.Q_READ: not direct,
            f.Q_WORDS: words, f.Q_OUTS: len(outputs), f.Q_OUTS_AT: self.memory.place(outputs),
            f.Q_SENT: self.maps.bits(node.output), f.Q_CHANNELS: target.channels, f.Q_WAYS: ways, f.Q_FIRST: first,
            f.Q_PIXELS: pixels, f.Q_ALL: pixels * self.maps.frames, f.Q_ORDER_AT: self.maps.order_at,
            f.Q_CAPACITY: capacity, f.Q_LEFT_MASK: left_mask, f.Q_LEFT_AT: left}, [*lanes, *outputs])
        for lane in lanes:
            mask, at = self.memory.ring(depth + 4)
            self.memory.set(lane, {f.D_TOTALS: made, f.D_DEPTH: depth, f.D_MASK: mask, f.D_AT: at, f.D_DIRECT: direct})


def _requantizes(node):
    return is_windowed(node) and node.requantization is not None


def _is_global(walk):
    return walk.out_height * walk.out_width == 1 and walk.taps_inside == walk.height * walk.width


_STAGES = {Table: Stages._table, Add: Stages._add, Concat: Stages._concat, Slice: Stages._slice, Pad: Stages._pad,
           Upsample: Stages._upsample}
