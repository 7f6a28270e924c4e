"""Sums under a sliding window, for every output pixel at once."""
import numpy as np

__all__ = ["under_windows"]


def under_windows(counts, walk, row=0, rows=1, *, dtype=np.int32):
    """Sum ``counts`` (N, H, W, lanes) under the kernel rows ``row, row + rows, ...`` of each window.

    Returns
    -------
    array of ``dtype`` (N, output height, output width, lanes)
        It must hold the sums.
    """
    y, x = walk.axes(row, rows)
    total = np.zeros((len(counts), walk.out_height, walk.out_width, counts.shape[-1]), dtype)
    for j in range(y.taps):
        oy = [o for o in range(y.outputs) if 0 <= y.coordinate(o, j) < y.size]
        for k in range(x.taps):
            ox = [o for o in range(x.outputs) if 0 <= x.coordinate(o, k) < x.size]
            if oy and ox:
                iy, ix = [y.coordinate(o, j) for o in oy], [x.coordinate(o, k) for o in ox]
                total[:, oy[0]:oy[-1] + 1, ox[0]:ox[-1] + 1] += counts[
                    :, iy[0]:iy[-1] + 1:walk.stride[0], ix[0]:ix[-1] + 1:walk.stride[1]]
    return total
