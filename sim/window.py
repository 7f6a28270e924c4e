"""NumPy reference of the window: the products that each of its lanes streams."""
import numpy as np

__all__ = ["products"]


def products(frame, walk, *, lanes=1, row_lanes=1, passes=1, keep_zeros=False, by_channel=False):
    """Products of ``frame`` (height, width, channels), per lane in the order of ``Window.o``.

    Each is a tuple (value, address, last, final).
    """
    streams = []
    for r in range(row_lanes):
        rows = range(r, walk.kernel[0], row_lanes)
        for lane in range(lanes):
            mine = frame[:, :, lane::lanes]
            stream = []
            for oy in range(walk.out_height):
                for ox in range(walk.out_width):
                    found = []
                    for j, ky in enumerate(rows):
                        for kx in range(walk.kernel[1]):
                            y = oy * walk.stride[0] + ky * walk.dilation[0] - walk.padding[0]
                            x = ox * walk.stride[1] + kx * walk.dilation[1] - walk.padding[1]
                            if not (0 <= y < walk.height and 0 <= x < walk.width):
                                continue
                            for c in range(mine.shape[2]) if keep_zeros else np.flatnonzero(mine[y, x]):
                                found.append((int(mine[y, x, c]), j * walk.kernel[1] + kx, int(c)))
                    for g in range(passes):
                        taps = len(rows) * walk.kernel[1]
                        line = [(value, c if by_channel else (g * taps + tap) * mine.shape[2] + c)
                                for value, tap, c in found] or [(0, None)]
                        for n, (value, address) in enumerate(line):
                            last = n == len(line) - 1
                            stream.append((value, address, last, last and g == passes - 1))
            streams.append(stream)
    return streams
