"""Cycles of the published window engine: non-zeros in the window of each channel, and waiting streams."""
import numba
import numpy as np

from cores.folding.under_windows import under_windows
from hdl.line_buffer import padded_size
from hdl.window_engine import WINDOW_QUEUE

__all__ = ["WindowLoads", "chunks"]


def chunks(taps, fine, skip_empty):
    """Chunks of windows by their number of non-zeros, from 0 to ``taps``.

    With a multiplier for each tap nothing is gained but that empty windows are seen.
    """
    counts = -(-np.arange(taps + 1) // fine)
    counts[0] = 0 if skip_empty else 1
    return counts


class WindowLoads:
    """How many non-zeros each channel has under each window, and what that costs.

    Parameters
    ----------
    mask : array of bool (N, height, width, channels)
        Which values are not zero.
    walk : Walk
    groups : int
        Groups of channels.
    skip_empty : bool
        Whether all-zero windows are left out.
    """

    def __init__(self, mask, walk, groups=1, skip_empty=False):
        self.walk, self.groups, self.skip_empty = walk, groups, skip_empty
        self.frames, self.channels = len(mask), mask.shape[3]
        counts = under_windows(mask, walk, dtype=np.uint8 if walk.taps < 256 else np.uint16)
        self.first = np.ascontiguousarray(counts[0].reshape(-1, self.channels))
        flat = counts.reshape(-1, self.channels)
        # Windows of each channel by their number of non-zeros.
        self.histogram = np.stack([(flat == n).sum(0) for n in range(walk.taps + 1)], axis=1)
        height, width = padded_size(walk)
        ends = [np.isin(np.arange(size), dilation * (kernel - 1) + stride * np.arange(outputs))
                for size, dilation, kernel, stride, outputs in zip(
                    (height, width), walk.dilation, walk.kernel, walk.stride, (walk.out_height, walk.out_width))]
        self.complete = np.outer(*ends).ravel()

    def cycles(self, coarse_in, fine, steps, windows):
        """Cycles of a frame, where each chunk takes ``steps`` and streams may be ``windows`` pixels apart.

        The first frame, over and over, with all that lines that pass without a complete window and
        streams that wait for each other cost; more or less by as much as the busiest stream has to do in
        all frames.
        """
        cost = chunks(self.walk.taps, fine, self.skip_empty)
        busiest = max((self.histogram @ cost)[n::coarse_in].sum() for n in range(coarse_in))
        alone = max(cost[self.first[:, n::coarse_in]].sum() for n in range(coarse_in))
        taken = _finish(self.first, self.complete, cost * steps, coarse_in, windows, WINDOW_QUEUE + 2,
                        steps * self.groups)
        lines = self.complete.size * self.channels / coarse_in
        return max(lines, taken * busiest / self.frames / alone if alone else taken)


@numba.njit(cache=True)
def _finish(counts, complete, cost, streams, apart, queue, least):
    """From the end of a frame to that of the next one, the same again.

    Each stream's lines pass a value per cycle and wait for room in the queue of windows behind them; a
    pixel takes at least ``least`` cycles, and begins when all streams are done with the one ``apart``
    before.
    """
    each, channels = counts.shape
    pixels = 2 * each
    words = channels // streams
    done = np.zeros(pixels, np.int64)
    line, free = np.zeros(streams, np.int64), np.zeros(streams, np.int64)
    taken = np.zeros((streams, queue), np.int64)
    pixel = 0
    for place in range(2 * len(complete)):
        if not complete[place % len(complete)]:
            line += words
            continue
        room = done[pixel - apart] if pixel >= apart else 0
        for s in range(streams):
            begin = max(free[s], room)
            now, worked, slot = begin, 0, (pixel * words) % queue
            for n in range(words):
                line[s] = max(line[s] + 1, taken[s, slot])
                now = max(now, line[s])
                taken[s, slot] = now
                slot = slot + 1 if slot + 1 < queue else 0
                worked += cost[counts[pixel % each, n * streams + s]]
                now += cost[counts[pixel % each, n * streams + s]]
            free[s] = now if worked >= least else now + least - worked
            done[pixel] = max(done[pixel], free[s])
        pixel += 1
    return done[-1] - done[each - 1]
