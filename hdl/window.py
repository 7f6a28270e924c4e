"""The zero-skipping sliding window."""
import functools

from amaranth import Cat, Module, Mux, Shape, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from .check import boolean, positive
from .count import count_both_ways
from .lane import WindowLane, lane_memories, product_layout
from .memory import times, total
from .pitch import divided
from .stepper import IN_FLIGHT, Stepper, freed_shape, pass_layout
from .stream import PixelSignature, channels_of_way, queue_memories
from .walk import Walk

__all__ = ["Window", "default_slots", "lane_memories_of", "stepper_memories", "window_memories"]


@functools.cache
def default_slots(walk, *, channels=1, row_lanes=1):
    """Pixel slots that keep a window at full speed.

    A window's pixels arrive while the one before is read, and a few more to cover the latency. Where
    windows share rows, there is at least a row more than they span, to even out a source's pauses.
    Rounded up to a power of two where the lists of ``channels`` channels take no more 1024-word
    memory blocks that way.
    """
    slots = walk.min_slots(row_lanes, ahead=1) + 8
    reach = walk.dilation[0] * (walk.kernel[0] - 1) + 1
    if reach > walk.stride[0]:
        slots = max(slots, (reach + 1) * walk.width)
    power = 1 << bits_for(slots - 1)
    return power if -(-power * channels // 1024) == -(-slots * channels // 1024) else slots


def window_memories(shape, *, walk, channels, ways=1, lanes=1, row_lanes=1, passes=1, windows=4,
                    slots=None, groups=1, by_channel=False):
    """Memories of a :class:`Window` of these parameters: those of its lanes, and of each stepper."""
    shares = [channels_of_way(channels, lanes, lane) for lane in range(lanes)]
    slots = slots or default_slots(walk, channels=shares[0], row_lanes=row_lanes)
    return total([times(ways, stepper_memories(walk, row_lanes=row_lanes)),
                  *(times(shares.count(share), lane_memories_of(
                      shape, walk=walk, channels=share, row_lanes=row_lanes, passes=passes, windows=windows,
                      slots=slots, groups=groups, by_channel=by_channel)) for share in set(shares))])


@functools.cache
def stepper_memories(walk, *, row_lanes):
    """Memories of the steppers of one way, one for each row lane."""
    return total(queue_memories(freed_shape(walk, row, row_lanes), IN_FLIGHT) for row in range(row_lanes))


def lane_memories_of(shape, *, walk, channels, row_lanes, passes, windows, slots, groups, by_channel):
    """Memories of one channel lane with this many ``channels``: those of all its row lanes."""
    axes = [walk.axes(row, row_lanes) for row in range(row_lanes)]
    return total(_lane_memories(shape, channels // groups, groups, slots, (y.taps, x.taps), groups * passes,
                                windows, by_channel) for y, x in axes)


@functools.lru_cache(1 << 14)       # windows of many foldings have the same lanes
def _lane_memories(shape, channels, groups, slots, kernel, passes, windows, by_channel):
    layout = pass_layout(slots=slots, taps=kernel[0] * kernel[1], passes=passes, kernel=kernel, groups=groups)
    return lane_memories(
        shape, channels=channels, groups=groups, layout=layout, slots=slots, kernel=kernel, passes=passes,
        ahead=windows * passes, by_channel=by_channel)


class Window(wiring.Component):
    """Slide a window over a sparse feature map, and stream the non-zeros under it to each lane.

    Arriving pixels are stored as lists of their non-zeros. For each output pixel, in raster order,
    and each pass over it, every lane streams the non-zeros of its channels and kernel rows, with the
    address of the weights that they meet. Zeros and padding never appear; a pass without any
    non-zero is a single product with value 0.

    One non-zero and one tap per cycle and lane. A window's first product follows the beat that
    completes the window by 9 cycles. Lanes run apart by up to ``windows`` windows.
    ``i.ready`` and ``o`` depend on registers only.

    Channel ``c`` of a group belongs to channel lane ``c % lanes`` as number ``c // lanes``; kernel
    row ``k`` to row lane ``k % row_lanes``. Stream ``o[r * lanes + l]`` is that of channel lane ``l``
    and row lane ``r``. Its weight address is ``(pass * taps + tap) * channels_of_group + number``,
    dense, with the lane's own taps in raster order and its channels of one group.

    With ``groups``, each has passes of its own, which see its channels only: first those of group 0.

    Parameters
    ----------
    shape : shape-like
        Stored activation.
    walk : Walk
        Map, kernel, stride, dilation and padding.
    channels : int
        Channels of the map.
    ways : int
        Ways of the input; divides ``lanes``.
    lanes : int
        Channel lanes; at most ``channels``.
    row_lanes : int
        Row lanes; at most the kernel's rows. Each holds a ring of its own.
    passes : int
        Passes over each window, for each group.
    windows : int
        Windows that lanes may run apart.
    slots : int or None
        Pixel slots of the ring; :func:`default_slots` if None.
    keep_zeros : bool
        Multiply zeros too: the dense engine, fed with a stream that carries them.
    by_channel : bool
        Make the address the number of the channel, for reductions over each channel.
    with_channel : bool
        Let products tell the number of their channel too; arbitrary in a pass without any non-zero.

    groups : int
        Groups of channels; divides ``channels``. With more than one, ``lanes`` divides the channels of
        a group, and neither ``by_channel`` nor ``with_channel`` is possible.

    Members
    -------
    i : In(PixelSignature(shape, channels=channels, ways=ways))
        Feature maps, back to back.
    o : Out(stream.Signature(product_layout(shape, depth, channels))).array(lanes * row_lanes)
        Products of each lane; ``channels`` are those of a lane, or None without ``with_channel``.
    active : Out(1)
        A lane steps over the taps of a window: for those who count what the window waits for.

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of its range.
    """

    def __init__(self, shape, *, walk, channels, ways=1, lanes=1, row_lanes=1, passes=1, windows=4,
                 slots=None, keep_zeros=False, by_channel=False, with_channel=False, groups=1):
        if not isinstance(walk, Walk):
            raise TypeError(f"Walk must be a Walk, not {walk!r}")
        for name, value in (("Channels", channels), ("Ways", ways), ("Lanes", lanes),
                            ("Row lanes", row_lanes), ("Passes", passes), ("Windows", windows),
                            ("Groups", groups)):
            positive(name, value)
        if lanes > channels:
            raise ValueError(f"Lanes must be at most the {channels} channels, not {lanes}")
        if lanes % ways:
            raise ValueError(f"Lanes must be a multiple of the {ways} ways, not {lanes}")
        if channels % groups:
            raise ValueError(f"Channels must be a multiple of the {groups} groups, not {channels}")
        if groups > 1 and channels // groups % lanes:
            raise ValueError(f"Lanes must be a divisor of the {channels // groups} channels of a "
                             f"group, not {lanes}")
        if groups > 1 and (by_channel or with_channel):
            raise ValueError(f"Groups must be 1 where products tell their channel, not {groups}")
        if row_lanes > walk.kernel[0]:
            raise ValueError(
                f"Row lanes must be at most the kernel's {walk.kernel[0]} rows, not {row_lanes}")
        self.shape, self.walk, self.channels, self.ways = Shape.cast(shape), walk, channels, ways
        self.lanes, self.row_lanes, self.passes, self.windows = lanes, row_lanes, passes, windows
        self.keep_zeros, self.by_channel, self.groups = boolean("Keep zeros", keep_zeros), by_channel, groups
        self.slots = default_slots(walk, channels=self.channels_of_lane(0), row_lanes=row_lanes) \
            if slots is None else positive("Slots", slots)
        if self.slots < walk.min_slots(row_lanes):
            raise ValueError(f"Slots must be at least {walk.min_slots(row_lanes)}, not {slots!r}")
        self.depth = max(self.depth_of_lane(n) for n in range(lanes * row_lanes))
        self.layout = product_layout(shape, self.depth,
                                     self.channels_of_lane(0) if with_channel else None)
        super().__init__({
            "i": In(PixelSignature(shape, channels=channels, ways=ways)),
            "o": Out(stream.Signature(self.layout)).array(lanes * row_lanes), "active": Out(1)})

    @property
    def memories(self):
        return window_memories(
            self.shape, walk=self.walk, channels=self.channels, ways=self.ways, lanes=self.lanes,
            row_lanes=self.row_lanes, passes=self.passes, windows=self.windows, slots=self.slots,
            groups=self.groups, by_channel=self.by_channel)

    def channels_of_lane(self, lane):
        """Channels of channel lane ``lane``."""
        return channels_of_way(self.channels, self.lanes, lane)

    def depth_of_lane(self, n):
        """Addresses that stream ``o[n]`` ranges over."""
        row, lane = divmod(n, self.lanes)
        if self.by_channel:
            return self.channels_of_lane(lane)
        return self.passes * len(self.rows_of_lane(row)) * self.walk.kernel[1] * self.channels_of_lane(lane)

    def rows_of_lane(self, row):
        """Kernel rows of row lane ``row``."""
        return range(row, self.walk.kernel[0], self.row_lanes)

    def elaborate(self, platform):
        m, active = Module(), []
        for w, way in enumerate(self.i.way):
            rooms, accepted = [], Signal(name=f"accepted_{w}")
            for r in range(self.row_lanes):
                rooms.append(self._group(m, way, accepted, w, r, active))
            m.d.comb += [way.ready.eq(Cat(rooms).all()), accepted.eq(way.valid & way.ready)]
        m.d.comb += self.active.eq(Cat(active).any())
        return m

    def _group(self, m, way, accepted, w, r, active):
        """The lanes of one way and one row lane, with their stepper; returns whether there is room."""
        share = self.lanes // self.ways         # lanes among which the way's channels are dealt
        m.submodules[f"stepper_{w}_{r}"] = stepper = Stepper(
            self.walk, row=r, rows=self.row_lanes, slots=self.slots, passes=self.passes,
            groups=self.groups)
        number, turn, group = self._deal(m, way.payload.channel, share, f"{w}_{r}")
        store = Signal(name=f"store_{w}_{r}")
        slot = Signal(range(self.slots), name=f"slot_{w}_{r}")
        m.d.comb += [store.eq(accepted if self.keep_zeros else accepted & (way.payload.value != 0)),
                     stepper.arrived.eq(accepted & way.payload.last)]
        with m.If(stepper.arrived):
            m.d.sync += slot.eq(Mux(slot == self.slots - 1, 0, slot + 1))

        taken, waiting = [], []
        for k in range(share):
            lane = k * self.ways + w
            m.submodules[f"lane_{lane}_{r}"] = unit = WindowLane(
                self.shape, channels=self.channels_of_lane(lane) // self.groups, groups=self.groups,
                layout=stepper.layout, slots=self.slots,
                kernel=(len(self.rows_of_lane(r)), self.walk.kernel[1]),
                steps=(self.walk.dilation[0] * self.row_lanes * self.walk.width, self.walk.dilation[1]),
                passes=self.groups * self.passes, ahead=self.windows * self.groups * self.passes,
                by_channel=self.by_channel, out_layout=self.layout)
            m.d.comb += [
                unit.slot.eq(slot), unit.value.eq(way.payload.value), unit.channel.eq(number),
                unit.group.eq(group),
                unit.write.eq(store & (turn == k)), unit.close.eq(stepper.arrived),
                unit.i.payload.eq(stepper.o.payload),
            ]
            product = self.o[r * self.lanes + lane]
            m.d.comb += [product.valid.eq(unit.o.valid), product.payload.eq(unit.o.payload),
                         unit.o.ready.eq(product.ready)]
            taken.append(unit)
            active.append(unit.active)
            if share == 1:
                m.d.sync += stepper.released.eq(unit.done)
                continue
            # Windows that this lane has read and others may not have.
            ahead = Signal(range(IN_FLIGHT + 4), name=f"ahead_{lane}_{r}")
            count_both_ways(m, ahead, unit.done, stepper.released, early=stepper.released)
            waiting.append(ahead != 0)
        ready = Cat(unit.i.ready for unit in taken).all()
        m.d.comb += stepper.o.ready.eq(ready)
        if share > 1:
            m.d.comb += stepper.released.eq(Cat(waiting).all())
        m.d.comb += [unit.i.valid.eq(stepper.o.valid & ready) for unit in taken]
        return stepper.room

    def _deal(self, m, channel, share, name):
        """A way's channel: its number in lane and group, which of the way's lanes, which group."""
        channels = channels_of_way(self.channels, self.ways)
        number, turn = divided(m, channel, share, channels, f"number_{name}", f"turn_{name}")
        if self.groups == 1:
            return number, turn, 0
        size = self.channels_of_lane(0)
        group, number = divided(
            m, number, size // self.groups, size, f"group_{name}", f"within_{name}")
        return number, turn, group
