"""Which blocks a memory becomes: the rule by which Yosys chooses, see docs/resources.md.

``memory_libmap`` gives every way to build a memory a cost and takes the cheapest; so does this.
Costs and sizes are those of Yosys' description of Xilinx memories (lutrams_xc5v.txt,
lutrams_xcu.txt, brams_xc4v.txt), and its command's costs of multiplexers and of logic.
"""
import functools
from dataclasses import dataclass

__all__ = ["Blocks", "blocks"]

# Memories in LUTs: (cost of a unit, share of it that counts by used bits, address bits, bits of a
# unit's word, LUTs of a unit). One port that writes and one that reads, a register behind it:
_LUT_RAM = {
    "xc7": ((8, 7, 5, 6, 4), (8, 7, 6, 3, 4), (8, 8, 7, 1, 4)),
    "xcup": ((16, 16, 5, 14, 8), (16, 16, 6, 7, 8), (16, 16, 7, 2, 8), (16, 16, 8, 1, 8)),
}
# One address to write at and to read at once; beyond 32 words, LUTs of unused bits are left out.
_LUT_SINGLE = {
    "xc7": ((8, 8, 5, 8, 4), (8, 8, 6, 4, 4), (8, 8, 7, 2, 4), (8, 8, 8, 1, 4)),
    "xcup": ((16, 16, 5, 16, 8), (16, 16, 6, 8, 8), (16, 16, 7, 4, 8), (16, 16, 8, 2, 8)),
}
_BLOCK_RAM = ((129, 0.5, 14, (1, 2, 4, 9, 18, 36)), (257, 1, 15, (1, 2, 4, 9, 18, 36, 72)))
_PER_BIT_ROM, _PER_BIT_RAM = 1 / 64, 1      # cost of logic
_MUX, _READ = 0.5, 2                        # cost of a multiplexer's bit, and of a port that reads


@dataclass(frozen=True)
class Blocks:
    """What one memory takes.

    ``lut`` are the LUTs that hold its contents, ``rom_lut`` as many at most (equal and absent
    words save some), ``ff`` the registers behind them; ``mux`` counts the bits of the multiplexers
    that choose between blocks.
    """
    bram36: float = 0
    lut: int = 0
    rom_lut: int = 0
    ff: int = 0
    mux: int = 0


@functools.cache
def blocks(size, family):
    """How a memory is built.

    Parameters
    ----------
    size : hdl.memory.MemorySize
    family : str
        "xc7" or "xcup".
    """
    depth, width, kind = size.depth, size.width, size.kind
    if kind == "distributed":
        return min((_luts(depth, width, unit, single=True) for unit in _LUT_SINGLE[family]), key=_cost)[1]
    if kind == "rom":
        luts = width * -(-depth // 64) if depth > 1 else 0
        logic = depth * width * _PER_BIT_ROM, Blocks(rom_lut=luts, ff=width)
        return min(logic, *_block_rams(depth, width, 1), key=_cost)[1]
    logic = depth * width * _PER_BIT_RAM, Blocks(lut=depth * width // 2, ff=(depth + 1) * width)
    luts = [_luts(depth, width, unit) for unit in _LUT_RAM[family]]
    return min(*luts, logic, *_block_rams(depth, width, 9), key=_cost)[1]


def _cost(option):
    return option[0]


def _luts(depth, width, unit, single=False):
    """Cost and blocks of a memory in LUTs; one with a ``single`` address has no register."""
    cost, used, bits, word, luts = unit
    slices, count = _units(depth, width, bits, word, word)
    total = ((cost - used) * count + used * slices * width / word + _others(slices, width))
    if single and bits > 5:
        luts, count = slices * width << bits - 6, 1
    return total, Blocks(lut=count * luts, ff=0 if single else width, mux=(slices - 1) * width)


def _block_rams(depth, width, byte):
    """Costs and blocks of a memory in block RAM, by the width of a block's word."""
    for cost, size, bits, words in _BLOCK_RAM:
        for log, word in enumerate(words):
            slices, count = _units(depth, width, bits - log, word, min(word, byte))
            yield (cost * count + _others(slices, width),
                   Blocks(bram36=count * size, mux=(slices - 1) * width))


def _units(depth, width, bits, word, byte):
    """Slices of a memory's depth, and units: whole bytes of all slices fill the units' words."""
    slices = -(-depth // (1 << bits))
    padded = -(-width // byte) * byte
    return slices, -(-slices * padded // word)


def _others(slices, width):
    """Cost of choosing between slices when reading and writing."""
    return _MUX * ((slices - 1) * width + slices * (slices > 1)) + _READ
