# amaranth: UnusedElaboratable=no
"""The memories that components tell of are those that their elaboration makes."""
from collections import Counter

import pytest
from amaranth import Shape
from amaranth.back import rtlil

from cores.emit import FilePlatform
from cores.folding.allocate import allocate, fold
from cores.folding.profile import Profile
from cores.pixels import stored
from cores.resources.random_stages import KINDS, PARTS, random_part, random_stage
from cores.stages import Engine, component
from cores.top import Top
from hdl.memory import MemorySize
from random_models import OPERATIONS
from test_random_models import opened


class Recorder(FilePlatform):
    """Notes every memory that is implemented on it."""

    repeat = None           # every component is elaborated

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
    for seed in range(2 if kind == "wide conv" else 5):
        network, folding = random_stage(kind, seed)
        stage = component(network, network.nodes[0], folding, Engine(
            keep_zeros=seed == 4, window=folding.fine is not None))
        assert stage.memories == made(stage), seed


@pytest.mark.parametrize("kind", PARTS)
def test_parts(kind):
    for seed in range(8):
        unit, _ = random_part(kind, seed)
        assert unit.memories == made(unit), seed


@pytest.mark.parametrize("seed", range(3))
def test_whole_designs(seed):
    """Branches and joins of every kind, a table at the input, several ways."""
    operations = sorted(OPERATIONS)
    _, network, images, _ = opened(operations[seed::3] + ["conv", "add", "concat"], seed)
    engine = Engine(keep_zeros=seed == 2)
    design = allocate(network, Profile(network, stored(network, images)), engine, dsp=60)
    top = Top(network, design=design, stages=fold(network, design, engine), keep_zeros=engine.keep_zeros)
    assert top.memories == made(top)
    assert top.between.forks and top.between.queues
