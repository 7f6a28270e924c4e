"""Which blocks a memory becomes: the rule by which Yosys chooses, see docs/resources.md.

``memory_libmap`` gives every way to build a memory a cost and takes the cheapest; so does this.
Costs and sizes are those of Yosys' description of Xilinx memories (lutrams_xc5v.txt,
lutrams_xcu.txt, brams_xc4v.txt) and of ECP5 (lutrams_trellis.txt, brams_16kd.txt), and its command's costs of multiplexers and of logic.
"""
import functools
from typing import NamedTuple

__all__ = ["Blocks", "blocks"]

# Memories in LUTs: (cost of a unit, share of it that counts by used bits, address bits, bits of a
# unit's word, LUTs of a unit). One port that writes and one that reads, a register behind it:
_LUT_RAM = {
    "xc7": ((8, 7, 5, 6, 4), (8, 7, 6, 3, 4), (8, 8, 7, 1, 4)),
    "xcup": ((16, 16, 5, 14, 8), (16, 16, 6, 7, 8), (16, 16, 7, 2, 8), (16, 16, 8, 1, 8)),
    "ecp5": ((4, 0, 4, 4, 4),),
}
# One address to write at and to read at once; beyond 32 words, LUTs of unused bits are left out.
_LUT_SINGLE = {
    "xc7": ((8, 8, 5, 8, 4), (8, 8, 6, 4, 4), (8, 8, 7, 2, 4), (8, 8, 8, 1, 4)),
    "xcup": ((16, 16, 5, 16, 8), (16, 16, 6, 8, 8), (16, 16, 7, 4, 8), (16, 16, 8, 2, 8)),
    "ecp5": ((4, 0, 4, 4, 4),),
}
_BLOCK_RAM = {
    "xilinx": ((129, 0.5, 14, (1, 2, 4, 9, 18, 36)), (257, 1, 15, (1, 2, 4, 9, 18, 36, 72))),
    "ecp5": ((128, 0.5, 14, (1, 2, 4, 9, 18, 36)),),
}
_PER_BIT_ROM, _PER_BIT_RAM = {"ecp5": 1 / 16}, 1        # cost of logic; of a ROM 1 / 64 for others
_MUX, _READ = 0.5, 2                        # cost of a multiplexer's bit, and of a port that reads


class Blocks(NamedTuple):
    """What one memory takes.

    ``lut`` are the LUTs that hold its contents, ``rom_lut`` those that random contents take in up
    to 256 words, ``deep_rom`` those in more, and ``ff`` the registers behind them; ``mux`` counts the
    bits of the multiplexers that choose between blocks.
    """
    bram36: float = 0
    lut: int = 0
    rom_lut: int = 0
    deep_rom: int = 0
    ff: int = 0
    mux: int = 0


@functools.cache
def blocks(size, family):
    """How a memory is built.

    Parameters
    ----------
    size : hdl.memory.MemorySize
    family : str
        "xc7", "xcup" or "ecp5".
    """
    depth, width, kind = size.depth, size.width, size.kind
    if kind == "distributed":
        return min((_luts(depth, width, unit, single=True) for unit in _LUT_SINGLE[family]), key=_cost)[1]
    if kind == "block rom":
        return _block_ram(depth, width, family, written=False)[1]
    if kind == "rom":
        columns = _distinct_columns(depth, width)
        luts = {"rom_lut" if depth <= 256 else "deep_rom": columns * _column_luts(depth, family)}
        logic = depth * width * _PER_BIT_ROM.get(family, 1 / 64), Blocks(ff=columns, **luts)
        return _chosen([logic, _block_ram(depth, width, family, written=False)])[1]
    logic = depth * width * _PER_BIT_RAM, Blocks(lut=depth * width // 2, ff=(depth + 1) * width)
    luts = min((_luts(depth, width, unit) for unit in _LUT_RAM[family]), key=_cost)
    return _chosen([logic, luts, _block_ram(depth, width, family, written=True)])[1]


def _distinct_columns(depth, width):
    """Columns of a ROM of random bits that differ, constant ones left out."""
    if depth > 12:
        return width
    each = 1 << depth
    return round(each * (1 - (1 - 1 / each) ** width) * (1 - 2 / each))


def _column_luts(depth, family):
    """LUTs of a column of random bits; up to 256 words they end in the multiplexers behind LUTs."""
    if family == "ecp5":
        return 0 if depth <= 2 else -(-depth // 16)
    if depth <= 256:
        return 0 if depth <= 4 else 1 if depth <= 64 else 2 if depth <= 128 else 4
    return depth // 43


def _cost(option):
    return option[0]


def _chosen(options):
    """The cheapest; Yosys keeps the least cost so far as an integer, so that near ones lose."""
    best = options[0]
    for option in options[1:]:
        if _cost(option) < int(_cost(best)):
            best = option
    return best


def _luts(depth, width, unit, single=False):
    """Cost and blocks of a memory in LUTs; one with a ``single`` address has no register."""
    cost, used, bits, word, luts = unit
    slices, count = _units(depth, width, bits, word, word)
    total = ((cost - used) * count + used * slices * width / word + _others(slices, width))
    if single and bits > 5:
        luts, count = slices * width << bits - 6, 1
    return total, Blocks(lut=count * luts, ff=0 if single else width, mux=(slices - 1) * width)


def _block_ram(depth, width, family, written):
    """Cost and blocks of a memory in block RAM; what is never written has no bytes."""
    kinds = []
    for cost, size, bits, words in _BLOCK_RAM.get(family, _BLOCK_RAM["xilinx"]):
        kinds.append([])
        for log, word in enumerate(words):
            slices, count = _units(depth, width, bits - log, word, min(word, 9) if written else 1)
            kinds[-1].append((cost * count + _others(slices, width, written),
                              Blocks(bram36=count * size, mux=(slices - 1) * width)))
    return min(map(_chosen, kinds), key=_cost)


def _units(depth, width, bits, word, byte):
    """Slices of a memory's depth, and units: whole bytes of all slices fill the units' words."""
    slices = -(-depth // (1 << bits))
    padded = -(-width // byte) * byte
    return slices, -(-slices * padded // word)


def _others(slices, width, written=True):
    """Cost of choosing between slices when reading and writing."""
    return _MUX * ((slices - 1) * width + slices * (written and slices > 1)) + _READ
