"""Dense addressing of equal blocks: ``block * size + offset`` without a multiplier."""
from amaranth import Cat, Signal
from amaranth.utils import bits_for

TABLE_BITS = 4          # of a row and a column together, up to which their place comes from a table

__all__ = ["Pitch", "times", "divided", "lookup", "raster", "select"]


def times(value, factor):
    """``value * factor`` as shifts and adds, so that no tool spends a DSP block on it."""
    total, shift = 0, 0
    while factor:
        if factor & 1:
            digit = 2 - (factor & 3) if factor > 1 else 1      # non-adjacent form: 7 is 8 - 1
            total = total + (value << shift) if digit > 0 else total - (value << shift)
            factor -= digit
        factor >>= 1
        shift += 1
    return total


def lookup(m, index, table, *, name):
    """``table[index]`` as logic; cheap where most entries are equal, as in the middle of a map."""
    low = min(0, *table)
    result = Signal(range(low, max(table) + 1), name=name)
    usual = max(set(table), key=lambda value: (table.count(value), value))
    others = {}
    for n, value in enumerate(table):
        if value != usual:
            others.setdefault(value, []).append(n)
    with m.Switch(index):
        for value, where in sorted(others.items()):
            with m.Case(*where):
                m.d.comb += result.eq(value)
        with m.Default():
            m.d.comb += result.eq(usual)
    return result


def raster(m, row, column, counts, steps, *, name):
    """``row * steps[0] + column * steps[1]`` for ``row`` and ``column`` below their ``counts``.

    Of a small kernel it is a table, which fits into the LUTs of the adder that it goes to.
    """
    if len(row) + len(column) > TABLE_BITS:
        return times(row, steps[0]) + times(column, steps[1])
    table = [y * steps[0] + x * steps[1] if y < counts[0] and x < counts[1] else 0
             for y in range(1 << len(row)) for x in range(1 << len(column))]
    return lookup(m, Cat(column, row), table, name=name)


def divided(m, value, size, count, quotient, remainder):
    """``value // size`` and ``value % size`` for ``value`` below ``count``; and their names."""
    if size & (size - 1) == 0:
        bits = size.bit_length() - 1
        return value[bits:], value[:bits]
    return (lookup(m, value, [n // size for n in range(count)], name=quotient),
            lookup(m, value, [n % size for n in range(count)], name=remainder))


def select(values, index):
    """``values[index]`` of equally wide values, bit by bit: so it becomes a tree of multiplexers."""
    if len(values) == 1:
        return values[0]
    return Cat(Cat(value[bit] for value in values).bit_select(index, 1)
               for bit in range(len(values[0])))


class Pitch:
    """Blocks of ``size`` words: :meth:`base` is worth a register, :meth:`word` is cheap.

    With a power of two, the base is the block's number and the word's address a concatenation.
    """

    def __init__(self, size, blocks):
        self.size = size
        self.depth = size * blocks
        self.dense = size & (size - 1) == 0
        self._bits = bits_for(size - 1) if size > 1 else 0
        self.base_shape = range(blocks if self.dense else self.depth)

    def base(self, block):
        return block if self.dense else times(block, self.size)

    def word(self, base, offset):
        if not self.dense:
            return base + offset
        return Cat(offset[:self._bits], base) if self._bits else base
