"""What a way of an addition, a concatenation and the like does, beat by beat."""
import numpy as np

from cores.graph import Add, Concat, Pad, Slice
from sim.cycles.moves import MAKE, NEED, NEED_SECOND, TAKE, TAKE_SECOND

__all__ = ["script_of", "table_steps"]


def script_of(network, node, trace, ways, way):
    """The steps of one way: int16 (pixels, places), 0 where there is none."""
    target = trace.beats(node.output, ways)[:, way::ways]
    sources = [trace.beats(name, ways)[:, way::ways] for name in node.inputs]
    if isinstance(node, Add):
        first, second = sources
        return ((NEED | NEED_SECOND) * (first | second) + TAKE * first + TAKE_SECOND * second
                + MAKE * target * (first | second)).astype(np.int16)
    if isinstance(node, Concat):
        operand = np.concatenate([np.full(source.shape[1], n) for n, source in enumerate(sources)])
        return ((NEED + TAKE + MAKE * target + operand) * np.concatenate(sources, axis=1)).astype(np.int16)
    if isinstance(node, Slice):
        return _slice_steps(network, node, sources[0], ways, way)
    if isinstance(node, Pad):
        present = trace.present(node.input)[:, way::ways]
        return _pad_steps(network, node, sources[0], present, trace, ways, way)
    absent = node.values[:, -node.low]
    absent = absent[way::ways] if len(node.values) > 1 else absent
    return table_steps(sources[0], target, visits_all=absent.any() and not trace.keep_zeros)


def table_steps(source, target, *, visits_all=False):
    """A beat at a time, or channel by channel."""
    there = np.ones_like(source) if visits_all else source
    return ((NEED + TAKE * source + MAKE * target) * there).astype(np.int16)


def _slice_steps(network, node, beats, ways, way):
    source = network.tensors[node.input]
    (top, left, first), (height, width, channels), (down, across) = node.start, node.size, node.step
    inside = np.zeros((source.height, source.width), bool)
    inside[top::down, left::across][:height, :width] = True
    kept = np.resize(inside.ravel(), len(beats))[:, None]
    # The first beat in the last channel of the box or beyond closes the pixel.
    first //= ways
    final = first + -(-(channels - way) // ways) - 1
    makes = np.zeros_like(beats)
    makes[:, first:final] = beats[:, first:final]
    behind = beats[:, final:]
    makes[:, final:] = behind & (np.cumsum(behind, axis=1) == 1)
    return ((NEED + TAKE) * beats + MAKE * (makes & kept)).astype(np.int16)


def _pad_steps(network, node, beats, present, trace, ways, way):
    source, target = network.tensors[node.input], network.tensors[node.output]
    each = trace.keep_zeros or node.value != 0      # padding is sent channel by channel
    total = -(-(target.channels - way) // ways)
    begin = node.before[2] // ways
    end = begin + beats.shape[1]
    steps = np.zeros((trace.frames, target.height, target.width, total), np.int16)
    steps[..., 0 if each else total - 1:] = MAKE
    here = np.zeros((len(beats), total), np.int16)
    here[:, :begin] = MAKE * each
    here[:, begin:end] = (NEED | TAKE | MAKE) * beats
    if end < total:
        if each:
            here[:, end:] = MAKE
        here[:, -1] = MAKE
        if not trace.keep_zeros:        # a zero that closes the map's pixel is the padding behind it
            here[~present[:, -1], end if each else total - 1] = 0
    top, left, _ = node.before
    steps[:, top:top + source.height, left:left + source.width] = here.reshape(
        trace.frames, source.height, source.width, total)
    steps = steps.reshape(trace.frames, -1)
    starts = (steps != 0).argmax(axis=1)            # a frame starts with its first beat
    steps[np.arange(trace.frames), starts] |= NEED
    return steps
