"""The geometry of a sliding window: which taps of which output fall inside the map, and when."""
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from .check import between, positive

__all__ = ["Axis", "Walk"]


@dataclass(frozen=True)
class Axis:
    """One axis of a window: tap ``k`` of output ``o`` reads coordinate ``o*stride + k*pitch - offset``.

    ``size`` is the map's, ``taps`` the kernel's, ``outputs`` the number of outputs. The offset is
    the padding, and may be negative.
    """
    size: int
    taps: int
    outputs: int
    stride: int
    pitch: int
    offset: int

    @cached_property
    def inside(self):
        """Per output: (first tap inside the map, number of taps inside)."""
        rows = []
        for o in range(self.outputs):
            taps = [k for k in range(self.taps) if 0 <= self.coordinate(o, k) < self.size]
            rows.append((taps[0], len(taps)) if taps else (0, 0))
        return tuple(rows)

    def coordinate(self, output, tap):
        return output * self.stride + tap * self.pitch - self.offset

    @cached_property
    def spans(self):
        """Per output: coordinates of its first and last tap inside.

        An output without any gets the coordinate of a neighbour's first tap: it waits for a pixel
        that it does not need, but that comes.
        """
        spans = [(self.coordinate(o, first), self.coordinate(o, first + count - 1))
                 if count else None for o, (first, count) in enumerate(self.inside)]
        known = next((span for span in spans if span), (0, 0))
        for o, span in enumerate(spans):
            known = span or (known[0], known[0])
            spans[o] = known
        return tuple(spans)


@dataclass(frozen=True)
class Walk:
    """A window that slides over a map in raster order.

    Parameters
    ----------
    height, width : int
        The map, in pixels.
    kernel, stride, dilation : (int, int)
        Vertical and horizontal; a kernel has at least one tap each way.
    padding : (int, int, int, int)
        Top, left, bottom, right, in pixels; never sent and never multiplied.

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of range, or if the window does not fit into the padded map.
    """
    height: int
    width: int
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)

    def __post_init__(self):
        positive("Height", self.height)
        positive("Width", self.width)
        for name, count in (("kernel", 2), ("stride", 2), ("dilation", 2), ("padding", 4)):
            value = getattr(self, name)
            if not isinstance(value, tuple) or len(value) != count:
                raise TypeError(f"{name.capitalize()} must be a tuple of {count} integers, not {value!r}")
            for number in value:
                between(name.capitalize(), number, 0 if name == "padding" else 1, 1 << 16)
        for name, outputs in (("height", self.out_height), ("width", self.out_width)):
            if outputs < 1:
                raise ValueError(
                    f"A {self.kernel} kernel with dilation {self.dilation} must fit into the map's "
                    f"padded {name}, not exceed {self.height}x{self.width} with padding {self.padding}")

    def _outputs(self, size, axis):
        reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1
        return (size + self.padding[axis] + self.padding[axis + 2] - reach) // self.stride[axis] + 1

    @property
    def out_height(self):
        return self._outputs(self.height, 0)

    @property
    def out_width(self):
        return self._outputs(self.width, 1)

    @property
    def taps(self):
        return self.kernel[0] * self.kernel[1]

    @cached_property
    def taps_inside(self):
        """Taps inside the map, summed over all outputs."""
        y, x = self.axes()
        return sum(n for _, n in y.inside) * sum(n for _, n in x.inside)

    def axes(self, row=0, rows=1):
        """Vertical and horizontal axis of the kernel rows ``row, row + rows, ...``."""
        return _axes(self, row, rows)

    def needs(self, row=0, rows=1):
        """Per output row: number in its frame of the last pixel that each window waits for."""
        y, x = self.axes(row, rows)
        return [[bottom * self.width + right for _, right in x.spans] for _, bottom in y.spans]

    def keeps(self, row=0, rows=1):
        """Per output row: number of the oldest pixel that each window or a later one still reads."""
        y, x = self.axes(row, rows)
        oldest, table = self.height * self.width, []
        for top, _ in reversed(y.spans):
            line = []
            for left, _ in reversed(x.spans):
                oldest = min(oldest, top * self.width + left)
                line.append(oldest)
            table.append(line[::-1])
        return table[::-1]

    def min_slots(self, rows=1, ahead=0):
        """Pixel slots without which a ring deadlocks, for kernel rows dealt to ``rows`` row lanes.

        With ``ahead``, those with which the pixels of that many windows more can arrive meanwhile.

        A row lane may have to wait for another's pixels, so the span counts from the oldest pixel
        that any of them keeps to the newest that any of them needs.
        """
        return _min_slots(self, rows, ahead)


@cache
def _axes(walk, row, rows):
    return (
        Axis(walk.height, len(range(row, walk.kernel[0], rows)), walk.out_height,
             walk.stride[0], walk.dilation[0] * rows, walk.padding[0] - row * walk.dilation[0]),
        Axis(walk.width, walk.kernel[1], walk.out_width,
             walk.stride[1], walk.dilation[1], walk.padding[1]))


@cache
def _min_slots(walk, rows, ahead):
    frame, groups = walk.height * walk.width, range(rows)
    keeps = np.array([walk.keeps(r, rows) for r in groups]).min(0).ravel()
    needs = np.array([walk.needs(r, rows) for r in groups]).max(0).ravel()
    later = np.concatenate([needs + frame * n for n in range(ahead // needs.size + 2)])
    return int(1 + max((later[n:n + needs.size] - keeps).max() for n in range(ahead + 1)))
