"""The geometry of the window, against loops that follow its definition."""
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdl.walk import Axis, Walk
from strategies import check, walks


def windows(walk, row=0, rows=1):
    """Per output row and column the (tap, pixel) pairs inside the map, a tap as (row, column)."""
    top, left, bottom, right = walk.padding
    reach = [d * (k - 1) + 1 for k, d in zip(walk.kernel, walk.dilation, strict=True)]
    for y in range(-top, walk.height + bottom - reach[0] + 1, walk.stride[0]):
        line = []
        for x in range(-left, walk.width + right - reach[1] + 1, walk.stride[1]):
            taps = []
            for n, i in enumerate(range(row, walk.kernel[0], rows)):
                for j in range(walk.kernel[1]):
                    v, u = y + i * walk.dilation[0], x + j * walk.dilation[1]
                    if 0 <= v < walk.height and 0 <= u < walk.width:
                        taps.append(((n, j), v * walk.width + u))
            line.append(taps)
        yield line


def flat(table):
    return list(itertools.chain.from_iterable(table))


@given(walk=walks(), data=st.data())
@check(300)
def test_geometry(walk, data):
    table = list(windows(walk))
    assert walk.out_height == len(table) and walk.out_width == len(table[0])
    assert walk.taps == walk.kernel[0] * walk.kernel[1]
    assert walk.taps_inside == sum(len(taps) for line in table for taps in line)

    rows = data.draw(st.integers(1, walk.kernel[0]))
    for row in range(rows):
        y, x = walk.axes(row, rows)
        for (oy, line) in enumerate(windows(walk, row, rows)):
            for ox, taps in enumerate(line):
                (first_y, height), (first_x, width) = y.inside[oy], x.inside[ox]
                inside = itertools.product(range(first_y, first_y + height),
                                           range(first_x, first_x + width))
                assert [tap for tap, _ in taps] == list(inside)
                for tap, pixel in taps:
                    assert pixel == (y.coordinate(oy, tap[0]) * walk.width
                                     + x.coordinate(ox, tap[1]))


@given(walk=walks(), data=st.data())
@check(300)
def test_needs_and_keeps(walk, data):
    """A window needs all its pixels; none that it or a later one reads is freed."""
    rows = data.draw(st.integers(1, walk.kernel[0]))
    row = data.draw(st.integers(0, rows - 1))
    needs, keeps = map(flat, (walk.needs(row, rows), walk.keeps(row, rows)))
    taps = flat(windows(walk, row, rows))
    pixels = walk.height * walk.width
    oldest = pixels
    for need, keep, seen in reversed(list(zip(needs, keeps, taps, strict=True))):
        oldest = min([oldest, *(pixel for _, pixel in seen)])
        assert keep <= oldest
        assert need >= max((pixel for _, pixel in seen), default=0)
        assert 0 <= keep <= pixels and 0 <= need < pixels
        if seen:
            assert need == max(pixel for _, pixel in seen)
    assert keeps == sorted(keeps)


def finishes(walk, slots, rows, ahead, frames=2):
    """Whether rings of ``slots`` pixels let all windows pass; row lanes at most ``ahead`` apart.

    Each row lane moves as soon as it can, so that it stands still for good if it ever does.
    """
    pixels = walk.height * walk.width
    tables = []
    for row in range(rows):
        needs, keeps = map(flat, (walk.needs(row, rows), walk.keeps(row, rows)))
        tables.append((
            [n + f * pixels for f in range(frames) for n in needs],
            [k + f * pixels for f in range(frames) for k in keeps] + [frames * pixels + keeps[0]]))
    arrived, at = 0, [0] * rows
    while True:
        before = arrived, list(at)
        if arrived < frames * pixels and all(
                arrived - keeps[n] < slots for n, (_, keeps) in zip(at, tables, strict=True)):
            arrived += 1
        for lane, (needs, _) in enumerate(tables):
            if at[lane] < len(needs) and at[lane] - min(at) < ahead and needs[at[lane]] < arrived:
                at[lane] += 1
        if (arrived, at) == before:
            return arrived == frames * pixels and all(
                n == len(needs) for n, (needs, _) in zip(at, tables, strict=True))


@given(walk=walks(taps=5), data=st.data())
@check(200)
def test_min_slots_suffice(walk, data):
    rows = data.draw(st.integers(1, min(walk.kernel[0], 3)))
    slots = walk.min_slots(rows)
    assert finishes(walk, slots, rows, ahead=1)
    assert finishes(walk, slots, rows, ahead=4)
    # One row lane has nothing else to wait for, so that its least is exact.
    assert walk.min_slots() == 1 or not finishes(walk, walk.min_slots() - 1, 1, ahead=1)


@pytest.mark.parametrize("walk, slots", [
    (Walk(1, 1), 1),
    (Walk(8, 8), 1),
    (Walk(8, 8, (3, 3)), 2 * 8 + 3),
    (Walk(8, 8, (3, 3), padding=(1, 1, 1, 1)), 2 * 8 + 3),
    (Walk(8, 8, (8, 8)), 64),
    (Walk(1, 9, (1, 3)), 3),
    (Walk(9, 1, (3, 1), dilation=(2, 1)), 5),
    (Walk(8, 8, (2, 2), stride=(2, 2)), 8 + 2),
])
def test_min_slots(walk, slots):
    assert walk.min_slots() == slots


def test_windows_without_a_pixel():
    walk = Walk(1, 1, (1, 1), padding=(1, 1, 1, 1))
    y, x = walk.axes()
    assert y.inside == x.inside == ((0, 0), (0, 1), (0, 0))
    assert walk.taps_inside == 1 and (walk.out_height, walk.out_width) == (3, 3)
    assert Axis(3, 2, 2, 1, 1, 5).spans == ((0, 0), (0, 0))    # no output sees a pixel


@pytest.mark.parametrize("args, kwargs, error, message", [
    ((0, 4), {}, TypeError, "Height must be a positive integer, not 0"),
    ((4, "4"), {}, TypeError, "Width must be a positive integer, not '4'"),
    ((4, 4), {"kernel": 3}, TypeError, "Kernel must be a tuple of 2 integers, not 3"),
    ((4, 4), {"kernel": (3, 3, 3)}, TypeError,
     r"Kernel must be a tuple of 2 integers, not \(3, 3, 3\)"),
    ((4, 4), {"kernel": (0, 3)}, ValueError, "Kernel must be from 1 to 65536, not 0"),
    ((4, 4), {"stride": (1, 0)}, ValueError, "Stride must be from 1 to 65536, not 0"),
    ((4, 4), {"stride": [1, 1]}, TypeError, r"Stride must be a tuple of 2 integers, not \[1, 1\]"),
    ((4, 4), {"dilation": (1, 1.5)}, TypeError, r"Dilation must be an integer, not 1\.5"),
    ((4, 4), {"dilation": (-1, 1)}, ValueError, "Dilation must be from 1 to 65536, not -1"),
    ((4, 4), {"padding": (1, 1)}, TypeError,
     r"Padding must be a tuple of 4 integers, not \(1, 1\)"),
    ((4, 4), {"padding": (1, 1, -1, 1)}, ValueError, "Padding must be from 0 to 65536, not -1"),
    ((4, 5), {"kernel": (5, 5)}, ValueError,
     r"A \(5, 5\) kernel with dilation \(1, 1\) must fit into the map's padded height, "
     r"not exceed 4x5 with padding \(0, 0, 0, 0\)"),
    ((5, 4), {"kernel": (3, 3), "dilation": (2, 2)}, ValueError,
     r"A \(3, 3\) kernel with dilation \(2, 2\) must fit into the map's padded width, "
     r"not exceed 5x4 with padding \(0, 0, 0, 0\)"),
])
def test_walk_refuses(args, kwargs, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        Walk(*args, **kwargs)
