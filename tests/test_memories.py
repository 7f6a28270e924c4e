# amaranth: UnusedElaboratable=no
"""The memories that components tell of are those that their elaboration makes."""
from collections import Counter

import pytest
from amaranth import Shape
from amaranth.back import rtlil

from cores.emit import FilePlatform
from cores.random_stages import KINDS, PARTS, random_part, random_stage
from cores.stages import Engine, component
from hdl.memory import MemorySize


class Recorder(FilePlatform):
    """Notes every memory that is implemented on it."""

    def __init__(self):
        super().__init__()
        self.memories = Counter()

    def rom_file(self, words, width):
        self.memories[MemorySize(len(words), width, "rom")] += 1
        return super().rom_file(words, width)

    def get_memory(self, memory):
        port, = memory.read_ports
        kind = "distributed" if port.domain == "comb" else "ram"
        self.memories[MemorySize(memory.depth, Shape.cast(memory.shape).width, kind)] += 1
        return super().get_memory(memory)


def made(unit):
    recorder = Recorder()
    rtlil.convert(unit, platform=recorder, emit_src=False)
    return recorder.memories


@pytest.mark.parametrize("kind", KINDS)
def test_stages(kind):
    for seed in range(6):
        network, folding = random_stage(kind, seed)
        stage = component(network, network.nodes[0], folding, Engine(keep_zeros=seed == 5))
        assert stage.memories == made(stage), seed


@pytest.mark.parametrize("kind", PARTS)
def test_parts(kind):
    for seed in range(8):
        unit, _ = random_part(kind, seed)
        assert unit.memories == made(unit), seed
