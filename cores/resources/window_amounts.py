"""Memories and amounts of logic of the published window engine, for the resource model."""
from amaranth import Shape

from cores.resources.amounts import bits, pitch_adders, queue, sum_of
from hdl.arbiter import taps_of_slot
from hdl.line_buffer import line_buffer_memories, padded_size, window_layout
from hdl.memory import times, total
from hdl.stream import beat_layout, queue_memories
from hdl.window_dot import window_dot_memories
from hdl.window_engine import QUEUE, WINDOW_QUEUE, values_ahead

__all__ = ["window_engine", "window_engine_memories"]


def window_engine_memories(shape, *, walk, channels, ways, coarse_in, coarse_out, fine, steps, windows,
                           weight_width, sum_width):
    """Memories of a :class:`~hdl.window_engine.WindowConv` but for its accumulator and requantizer.

    ``steps`` are the sets of filters that a chunk of non-zeros meets.
    """
    words = channels // coarse_in
    return total([
        times(ways, queue_memories(beat_layout(shape, channels // ways), QUEUE)),
        times(coarse_in, total([
            queue_memories(shape, values_ahead(walk, words=words, windows=windows)),
            line_buffer_memories(shape, walk=walk, words=words),
            queue_memories(window_layout(shape, walk.taps, words), WINDOW_QUEUE),
            window_dot_memories(taps=walk.taps, fine=fine, words=words, steps=steps, coarse_out=coarse_out,
                                weight_width=weight_width, sum_width=sum_width)]))])


def window_engine(shape, *, walk, channels, ways, coarse_in, coarse_out, fine, steps, windows, out_ways,
                  weight_width, sum_width, skip_empty, paired, family):
    """Its amounts of logic, but for accumulator and requantizer."""
    words, taps, width = channels // coarse_in, walk.taps, Shape.cast(shape).width
    reach = [len(taps_of_slot(taps, fine, n)) for n in range(fine)]
    address = bits(words * steps)
    product = width + weight_width
    rows, columns = padded_size(walk)
    blocks = family == "dsp48e2"
    amounts = {
        "densify": ways, "densify value": coarse_in * width, "densify channel": ways * bits(channels // ways),
        "lines": coarse_in, "lines place": coarse_in * (bits(words) + bits(rows) + bits(columns)),
        "lines delay": coarse_in * sum(bits(steps) for kernel, steps in zip(
            walk.kernel, (walk.dilation[0] * columns * words, walk.dilation[1] * words)) if kernel > 1),
        "lines value": coarse_in * width,
        "arbiter": coarse_in, "arbiter window": coarse_in * taps * width,
        "arbiter skip": coarse_in * skip_empty * fine * width,
        "slots word": coarse_in * fine * address, "slots value": coarse_in * fine * width,
        "slots weights": coarse_in * fine * coarse_out * weight_width,
        "slots tree": coarse_in * (fine - 1) * coarse_out * min(product + 1, sum_width),
        "slots sum": coarse_in * coarse_out * sum_width,
        "slots step": coarse_in * (bits(steps) + pitch_adders(steps)),
        "slots drain": coarse_in * out_ways * sum_width * -(-(coarse_out // out_ways - 1) // 3),
        "slots pair": coarse_in * fine * (coarse_out // 2) * paired * product * blocks,
        "slots product": coarse_in * fine * coarse_out * product * (not blocks),
    }
    if fine < taps:
        amounts |= {
            "arbiter cross": coarse_in * sum((each * width + 1) // 2 for each in reach),
            "arbiter place": coarse_in * sum(each * bits(each) for each in reach),
            "arbiter deal": coarse_in * sum(reach), "arbiter rank": coarse_in * taps * bits(taps)}
    return sum_of(amounts, queue(QUEUE, ways), queue(values_ahead(walk, words=words, windows=windows), coarse_in),
                  queue(WINDOW_QUEUE, coarse_in), queue(2 * steps, coarse_in))
