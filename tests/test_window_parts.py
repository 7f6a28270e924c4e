# amaranth: UnusedElaboratable=no
"""The parts of the window engine, each against NumPy under stalls."""
import numpy as np
import pytest
from amaranth import signed
from hypothesis import given
from hypothesis import strategies as st

from hdl.arbiter import Arbiter, taps_of_slot
from hdl.densify import Densify
from hdl.line_buffer import LineBuffer, padded_size
from hdl.walk import Walk
from sim.harness import Sink, Source, run
from sim.pixels import to_beats
from strategies import check, densities, random_map, seeds, walks

stalls = st.sampled_from([1.0, 1.0, 0.6, 0.3])


# ---- Densify ------------------------------------------------------------------------------------

def densified(x, share, p_in=1.0, p_out=1.0):
    """Values that come out, and in which cycles words do."""
    dut = Densify(8, channels=x.shape[-1], share=share)
    sink = Sink(dut.o, x.size // share, p_out)
    run(dut, [Source(dut.i, to_beats(x, 1)[0], p_in)], [sink])
    return np.array([[int(v) for v in word] for word in sink.got]).reshape(x.shape), sink.cycles


@given(share=st.integers(1, 3), words=st.integers(1, 4), density=densities, seed=seeds, p_in=stalls, p_out=stalls)
@check(15)
def test_densify(share, words, density, seed, p_in, p_out):
    x = random_map(np.random.default_rng(seed), (12, share * words), 0, 255, density)
    assert np.array_equal(densified(x, share, p_in, p_out)[0], x)


@pytest.mark.parametrize("density", [0, 0.5, 1])
def test_densify_makes_a_value_per_cycle(density):
    x = random_map(np.random.default_rng(0), (9, 5), 0, 255, density)
    cycles = densified(x, 1)[1]
    assert np.diff(cycles).max() == 1


def test_densify_takes_a_beat_per_cycle():
    x = random_map(np.random.default_rng(0), (9, 6), 0, 255, 1)
    cycles = densified(x, 3)[1]
    assert np.diff(cycles).max() == 3


def test_densify_refuses():
    with pytest.raises(ValueError, match=r"^Channels must be a multiple of the share of 2, not 3$"):
        Densify(8, channels=3, share=2)
    with pytest.raises(TypeError, match=r"^Share must be a positive integer, not 0$"):
        Densify(8, channels=3, share=0)


# ---- LineBuffer ---------------------------------------------------------------------------------

def windows_of(x, walk):
    """Every tap of every window: (frames, out height, out width, channels, taps)."""
    top, left, bottom, right = walk.padding
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    spans = [dilation * (kernel - 1) + 1 for dilation, kernel in zip(walk.dilation, walk.kernel)]
    windows = np.lib.stride_tricks.sliding_window_view(padded, spans, (1, 2))
    windows = windows[:, ::walk.stride[0], ::walk.stride[1], :, ::walk.dilation[0], ::walk.dilation[1]]
    return windows.reshape(*windows.shape[:4], -1)


@given(walk=walks(taps=3, size=5, extra=2), words=st.integers(1, 3), groups=st.sampled_from([1, 1, 2]),
       seed=seeds, p_in=stalls, p_out=stalls)
@check(15)
def test_line_buffer(walk, words, groups, seed, p_in, p_out):
    words *= groups
    x = np.random.default_rng(seed).integers(-128, 128, (2, walk.height, walk.width, words))
    dut, due = LineBuffer(signed(8), walk=walk, words=words, groups=groups), windows_of(x, walk)
    sink = Sink(dut.o, due[..., 0].size, p_out)
    run(dut, [Source(dut.i, x.ravel().tolist(), p_in)], [sink])
    got = np.array([[int(v) for v in window["values"]] for window in sink.got])
    assert np.array_equal(got.reshape(due.shape), due)
    numbers = np.arange(len(got)) % words
    assert [window.number for window in sink.got] == numbers.tolist()
    assert [window["last"] for window in sink.got] == ((numbers + 1) % (words // groups) == 0).tolist()


def test_line_buffer_passes_a_position_per_cycle():
    walk = Walk(4, 5, (3, 3), padding=(1, 1, 1, 1))
    dut = LineBuffer(8, walk=walk, words=2)
    sink = Sink(dut.o, 3 * 4 * 5 * 2)
    run(dut, [Source(dut.i, [1] * 3 * 4 * 5 * 2)], [sink])
    assert padded_size(walk) == (6, 7)
    assert sink.cycles[-1] - sink.cycles[2 * 40 - 1] == 6 * 7 * 2


def test_padding_that_no_window_sees_does_not_pass():
    assert padded_size(Walk(4, 4, (2, 2), stride=(2, 2), padding=(1, 1, 2, 2))) == (6, 6)
    assert padded_size(Walk(5, 5, (2, 2), stride=(3, 3))) == (5, 5)


def test_line_buffer_refuses():
    with pytest.raises(TypeError, match=r"^Walk must be a Walk, not None$"):
        LineBuffer(8, walk=None, words=1)
    with pytest.raises(ValueError, match=r"^Words must be a multiple of the 2 groups, not 3$"):
        LineBuffer(8, walk=Walk(1, 1), words=3, groups=2)


# ---- Arbiter ------------------------------------------------------------------------------------

def chunks_of(sums, taps, fine, skip_empty):
    """Due for windows (sums, words, taps): (number, {slot: (tap, value)}, first, last)."""
    result = []
    for windows in sums:
        mine = []
        for number, window in enumerate(windows.tolist()):
            present = [(tap, value) for tap, value in enumerate(window) if value or (fine == taps and any(window))]
            parts = [present[n:n + fine] for n in range(0, len(present), fine)]
            mine += [(number, part) for part in parts or [[]] * (not skip_empty)]
        mine = mine or [(len(windows) - 1, [])]
        result += [(number, {slot: (tap, value) for slot, (tap, value) in enumerate(part) if value},
                    int(n == 0), int(n == len(mine) - 1)) for n, (number, part) in enumerate(mine)]
    return result


@given(taps=st.integers(1, 10), data=st.data(), words=st.integers(1, 3), density=densities, seed=seeds,
       skip_empty=st.booleans(), p_in=stalls, p_out=stalls)
@check(20)
def test_arbiter(taps, data, words, density, seed, skip_empty, p_in, p_out):
    fine = data.draw(st.integers(1, taps))
    x = random_map(np.random.default_rng(seed), (12, words, taps), -8, 7, density)
    dut = Arbiter(signed(4), taps=taps, words=words, fine=fine, skip_empty=skip_empty)
    due = chunks_of(x, taps, fine, skip_empty)
    sink = Sink(dut.o, len(due), p_out)
    windows = [{"values": window, "number": n % words, "last": int(n % words == words - 1)}
               for n, window in enumerate(x.reshape(-1, taps).tolist())]
    run(dut, [Source(dut.i, windows, p_in)], [sink])
    for n, (chunk, (number, slots, first, last)) in enumerate(zip(sink.got, due, strict=True)):
        got = {slot: (taps_of_slot(taps, fine, slot)[chunk.places[f"{slot}"]], value)
               for slot, value in enumerate(chunk["values"]) if value}
        assert (got, chunk.first, chunk["last"]) == (slots, first, last), n
        assert chunk.number == number or not slots, n


def test_arbiter_makes_a_chunk_per_cycle():
    dut = Arbiter(8, taps=9, words=1, fine=2)
    sink = Sink(dut.o, 4 * 5)
    run(dut, [Source(dut.i, [{"values": [1] * 9, "number": 0, "last": 1}] * 4)], [sink])
    assert np.diff(sink.cycles).max() == 1


@pytest.mark.parametrize("fine", [0, 5])
def test_arbiter_refuses(fine):
    with pytest.raises(ValueError, match=rf"^Fine must be from 1 to 4, not {fine}$"):
        Arbiter(8, taps=4, words=1, fine=fine)
