# amaranth: UnusedElaboratable=no
"""The checkers themselves: every broken design is caught by what the good designs pass."""
import pytest
from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

import hdl.conv
import hdl.requantize
import hdl.walk
import hdl.window
from hdl.lane import WindowLane
from hdl.requantize import Requantize
from hdl.stream import Queue, connect_streams
from hdl.walk import Axis, Walk
from sim.harness import Sink, Source, offers_without_ready, run
from strategies import STALLS
from test_conv import CORNERS, check_stage
from test_window import check_window

# ---- Streams ------------------------------------------------------------------------------------

SENT = list(range(1, 41))


def check_copy(dut, p_in=1.0, p_out=0.5):
    """What a design that copies its input must pass."""
    sink = Sink(dut.o, len(SENT), p_out)
    result = run(dut, [Source(dut.i, SENT, p_in)], [sink], seed=1, max_cycles=2000)
    assert sink.got == SENT
    return result, sink


class Copy(wiring.Component):
    """A register, as it should be; and the base of those that are broken."""

    def __init__(self):
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.i.ready.eq(self.o.ready | ~self.o.valid)
        with m.If(self.i.ready):
            m.d.sync += [self.o.valid.eq(self.i.valid), self.o.payload.eq(self.i.payload)]
        return m


class DropsValid(Copy):
    """Offers for one cycle, taken or not."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        with m.If(self.o.valid & ~self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m


class ChangesPayload(Copy):
    """Passes the newest input on, even while an older one waits."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        with m.If(self.i.valid):
            m.d.sync += self.o.payload.eq(self.i.payload)
        return m


class WaitsForReady(Copy):
    """Raises valid only when ready is there: no random test can see it."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = Queue(8, depth=4)
        connect_streams(m, wiring.flipped(self.i), queue.i)
        m.d.comb += [self.o.payload.eq(queue.o.payload),
                     self.o.valid.eq(queue.o.valid & self.o.ready), queue.o.ready.eq(self.o.ready)]
        return m


class Counted(Copy):
    """A register that knows how many payloads it has passed."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        self.count = Signal(8)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += self.count.eq(self.count + 1)
        self.break_(m)
        return m


class ExtraAtTheEnd(Counted):
    """Sends a zero after the last payload."""

    def break_(self, m):
        with m.If(self.i.ready & ~self.i.valid & (self.count == len(SENT))):
            m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(0), self.count.eq(0)]


class LosesOne(Counted):
    """Swallows the 20th payload."""

    def break_(self, m):
        with m.If(self.i.ready & self.i.valid & (self.count == 19)):
            m.d.sync += self.o.valid.eq(0)


class ReplacesOne(Counted):
    """Sends the 20th payload wrong."""

    def break_(self, m):
        with m.If(self.i.ready & self.i.valid & (self.count == 19)):
            m.d.sync += self.o.payload.eq(self.i.payload ^ 1)


class DoublingQueue(Copy):
    """A queue whose reader moves on a cycle late when it was stopped."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = Queue(8, depth=4)
        connect_streams(m, wiring.flipped(self.i), queue.i)
        again, stopped = Signal(), Signal()
        m.d.comb += [self.o.payload.eq(queue.o.payload), self.o.valid.eq(queue.o.valid),
                     again.eq(stopped & self.o.ready), queue.o.ready.eq(self.o.ready & ~again)]
        m.d.sync += stopped.eq(queue.o.valid & ~self.o.ready)
        return m


@pytest.mark.parametrize("p_in, p_out", STALLS)
def test_a_good_design_passes(p_in, p_out):
    result, sink = check_copy(Copy(), p_in, p_out)
    assert result.cycles >= len(SENT) + 1 and sink.cycles == sorted(set(sink.cycles))
    if p_in == p_out == 1:
        assert sink.cycles == list(range(2, len(SENT) + 2))


@pytest.mark.parametrize("broken, error, message", [
    (DropsValid, AssertionError, "output 0: valid dropped before a transfer"),
    (ChangesPayload, AssertionError, "output 0: payload changed before a transfer"),
    (ExtraAtTheEnd, AssertionError, "more than 40 payloads came out; the next is 0"),
    (LosesOne, TimeoutError, "39/40 payloads after 2000 cycles"),
    (ReplacesOne, AssertionError, "20"),
    (DoublingQueue, AssertionError, "more than 40 payloads came out"),
])
def test_a_broken_design_is_caught(broken, error, message):
    with pytest.raises(error, match=message):
        check_copy(broken())


def test_valid_that_waits_for_ready_is_caught():
    check_copy(WaitsForReady())                 # nothing else notices
    for dut, offers in ((Copy(), True), (WaitsForReady(), False)):
        assert offers_without_ready(dut, [Source(dut.i, SENT)], dut.o) == offers


def test_same_seed_same_run():
    assert check_copy(Copy())[1].cycles == check_copy(Copy())[1].cycles


def test_waveform_on_request(tmp_path):
    dut = Copy()
    run(dut, [Source(dut.i, SENT)], [Sink(dut.o, len(SENT))], vcd=str(tmp_path / "copy.vcd"))
    assert "$enddefinitions" in (tmp_path / "copy.vcd").read_text()


# ---- Convolution stages -------------------------------------------------------------------------

PADDED = CORNERS["all dense"] | {"density": 0.7}


def fails(**case):
    """What good stages pass, with less patience."""
    check_stage(max_cycles=3000, **case)


class SeesPadding(Axis):
    """Takes the first tap beyond the far edge for one inside."""

    @property
    def inside(self):
        return tuple((first, min(count + 1, self.taps - first)) for first, count in super().inside)

    @property
    def spans(self):
        return Axis(*(getattr(self, name) for name in Axis.__dataclass_fields__)).spans


def test_a_multiplied_padding_pixel_is_caught(monkeypatch):
    check_stage(**PADDED)
    monkeypatch.setattr(hdl.walk, "Axis", SeesPadding)
    monkeypatch.setattr(hdl.walk, "_axes", hdl.walk._axes.__wrapped__)      # which remembers right ones
    with pytest.raises(AssertionError, match="way 0, beat"):
        fails(**PADDED)


class FreesEarly(Walk):
    """Frees each pixel when one window still reads it."""

    def keeps(self, row=0, rows=1):
        return [[pixel + 1 for pixel in line] for line in super().keeps(row, rows)]


def test_a_slot_freed_a_window_early_is_caught():
    case = PADDED | {"frames": 4, "p_out": [0.3]}
    check_stage(slots=case["walk"].min_slots(), **case)
    walk = Walk(3, 3, (3, 3), padding=(1, 1, 1, 1))
    early = FreesEarly(walk.height, walk.width, walk.kernel, padding=walk.padding)
    with pytest.raises(AssertionError, match="way 0, beat"):
        fails(slots=early.min_slots(), **case | {"walk": early})


class FreesOnLookup(WindowLane):
    """Takes a list for read when it has been looked up, though it still waits in a queue."""

    def _read(self, m, lists):
        done, self.done = self.done, Signal()
        super()._read(m, lists)
        self.done, queued = done, m.submodules.lists.i
        m.d.comb += done.eq(queued.valid & queued.ready & queued.payload.final)
        return m


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_a_list_freed_on_lookup_is_caught(monkeypatch, slots):
    case = dict(walk=Walk(5, 5), channels=4, slots=slots, density=0.7, frames=3, p_out=[0.15])
    check_window(**case)
    monkeypatch.setattr(hdl.window, "WindowLane", FreesOnLookup)
    with pytest.raises(AssertionError, match="lane 0, product"):
        check_window(**case)


def test_a_dropped_closing_beat_is_caught(monkeypatch):
    """A requantizer that drops every zero, also the one that closes a pixel."""
    def skip_zeros(m, source, sink):
        zero = source.payload.value == 0
        m.d.comb += [sink.payload.eq(source.payload), sink.valid.eq(source.valid & ~zero),
                     source.ready.eq(sink.ready | zero)]

    monkeypatch.setattr(hdl.requantize, "connect_streams", skip_zeros)
    with pytest.raises(AssertionError, match="way 0, beat"):
        fails(**PADDED)


class Rounds(Requantize):
    """Shifts in one go, ``up`` added before; as many stages as the real one."""

    def _scale(self, m, en, product, turn, w):
        shift = Signal(6)
        m.d.comb += shift.eq(turn + int(self.shift.min()))
        stages = [self.rounded(product, shift)]
        with m.If(en):
            for n in range(2):
                stages.append(Signal(stages[0].shape(), name=f"stage_{n}_{w}"))
                m.d.sync += stages[-1].eq(stages[-2])
        clamped = Mux(stages[-1] < self.low, self.low, Mux(stages[-1] > self.high, self.high, stages[-1]))
        result = Signal(self.shape, name=f"result_{w}")
        with m.If(en):
            m.d.sync += result.eq(clamped)
        return result, clamped != 0


class HalfEven(Rounds):
    """The same function as the real one."""

    def rounded(self, product, shift):
        half = Mux(shift == 0, 0, (1 << shift) >> 1)
        odd = (product >> shift)[0] & (shift != 0)
        return (product + half - Mux(shift == 0, 0, 1) + odd) >> shift


class HalfUp(Rounds):
    def rounded(self, product, shift):
        return (product + ((1 << shift) >> 1)) >> shift


class Truncates(Rounds):
    def rounded(self, product, shift):
        return product >> shift


TIES = dict(walk=Walk(4, 4), channels=2, filters=4, pes=4, activation="s4", weight_width=2,
            bias_width=4, result="s8", spread=(15, 18), multiplier=1 << 16, density=1.0)


@pytest.mark.parametrize("requantize, right", [
    (Requantize, True), (HalfEven, True), (HalfUp, False), (Truncates, False)])
def test_wrong_rounding_is_caught(monkeypatch, requantize, right):
    monkeypatch.setattr(hdl.conv, "Requantize", requantize)
    if right:
        check_stage(**TIES)
    else:
        with pytest.raises(AssertionError, match="way 0, beat"):
            fails(**TIES)
