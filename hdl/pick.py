"""A choice among many values."""
from amaranth import Mux, Signal

__all__ = ["pick"]


def pick(m, items, index):
    """The entry ``index`` of a list of values, as a tree of multiplexers.

    Indexing an Array would become a priority chain, one comparator per entry. Of a long list,
    every four entries meet in a signal that is kept, one LUT per bit: left alone, the technology
    mapper of Yosys restructures the tree into a quarter more LUTs.
    """
    while len(items) > 8:
        groups = [Signal(items[0].shape(), name=f"group_{n}", attrs={"keep": "true"})
                  for n in range(-(-len(items) // 4))]
        m.d.comb += [group.eq(_tree(items[4 * n:4 * n + 4], index[:2]))
                     for n, group in enumerate(groups)]
        items, index = groups, index[2:]
    return _tree(items, index)


def _tree(items, index):
    if len(items) == 1:
        return items[0]
    halved = [Mux(index[0], b, a) for a, b in zip(items[0::2], items[1::2], strict=False)]
    return _tree(halved + items[2 * len(halved):], index[1:])
