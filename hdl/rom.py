"""Read-only memory whose contents a build may keep out of the design's text."""
import numpy as np
from amaranth import ClockSignal, Instance, Module
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .check import integers, positive
from .memory import rom

__all__ = ["Rom", "pack"]


def pack(fields, width):
    """Rows of integers as words: field n of a row in the bits from ``n * width``, two's complement.

    ``fields`` is an integer array (words, fields per word); returns a list of Python integers.
    """
    fields = integers("Fields", fields)
    bits = ((fields[:, :, None] >> np.arange(width)) & 1).astype(np.uint8)
    rows = np.packbits(bits.reshape(len(fields), -1), axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in rows]


class Rom(wiring.Component):
    """Synchronous read-only memory: ``data`` is the word at ``address``, one enabled cycle later.

    Tools build a small one of LUTs, and spend block memory on a large one.

    A large ``init`` makes the conversion of a design slow. A platform with a method
    ``rom_file(words, width)`` takes the words and returns the name of a file that ``$readmemh``
    finds; the design then holds an instance of ``skipstone_rom``, or of ``skipstone_block_rom``
    (parameters WIDTH, DEPTH, FILE).

    Parameters
    ----------
    width : int
        Bits of a word.
    words : sequence of int
        Contents, from 0 to 2**width - 1.
    block : bool
        Ask for block memory, however small it is.

    Members
    -------
    address : In(range(len(words)))
    en : In(1)
    data : Out(width)
    """

    def __init__(self, width, words, *, block=False):
        positive("Width", width)
        positive("Number of words", len(words))
        if min(words) < 0 or max(words) >> width:
            raise ValueError(f"Words must have {width} bits, not range from {min(words)} to {max(words)}")
        self.width, self.words, self.block = width, words, block
        super().__init__({"address": In(range(max(2, len(words)))), "en": In(1), "data": Out(width)})

    @property
    def memories(self):
        return rom(self.width, len(self.words), self.block)

    def elaborate(self, platform):
        m = Module()
        if hasattr(platform, "rom_file"):
            m.submodules.rom = Instance(
                "skipstone_block_rom" if self.block else "skipstone_rom", p_WIDTH=self.width, p_DEPTH=len(self.words),
                p_FILE=platform.rom_file(self.words, self.width), i_clk=ClockSignal(), i_en=self.en,
                i_address=self.address, o_data=self.data)
        else:
            m.submodules.memory = memory = Memory(
                shape=self.width, depth=len(self.words), init=self.words,
                attrs={"rom_style": "block"} if self.block else {})
            port = memory.read_port()
            m.d.comb += [port.addr.eq(self.address), port.en.eq(self.en), self.data.eq(port.data)]
        return m
