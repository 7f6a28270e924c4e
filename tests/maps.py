"""What the tests of components that read maps and make one share: stream beats through, compare every one."""
import numpy as np

from sim.harness import Sink, Source, run
from sim.pixels import from_beats, to_beats
from strategies import ACTIVATIONS, ports, random_map

__all__ = ["compare", "frames", "sent", "stream_through"]


def frames(shape, activation="u8", density=0.5, seed=0):
    """Random maps (N, height, width, channels)."""
    return random_map(np.random.default_rng(seed), shape, *ACTIVATIONS[activation][1:], density)


def sent(sinks):
    """Beats that the sinks have got, as :func:`~sim.pixels.to_beats` has them."""
    return [[{"value": int(b.value), "channel": int(b.channel), "last": int(b.last)}
             for b in sink.got] for sink in sinks]


def compare(dut, sinks, y):
    """The sinks' beats are exactly those of ``y``; the channel of a closing zero counts too."""
    got = sent(sinks)
    np.testing.assert_array_equal(from_beats(got, y.shape), y)
    assert got == to_beats(y, dut.ways, dut.keep_zeros)


def stream_through(dut, beats, y, *, p_in=(1.0,), p_out=(1.0,), seed=0):
    """Stream beats through a design with one input and compare what comes out; returns its sinks."""
    sinks = ports(Sink, dut.o.way, to_beats(y, dut.ways, dut.keep_zeros), p_out)
    run(dut, ports(Source, dut.i.way, beats, p_in), sinks, seed=seed,
        max_cycles=500 + 40 * (y.size + sum(map(len, beats))))
    compare(dut, sinks, y)
    return sinks
