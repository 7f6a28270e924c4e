# amaranth: UnusedElaboratable=no
"""The cycle model beside RTL, over random stages: many in one Verilator build, for most of its time goes into compiling."""
import tempfile
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
from amaranth import Module
from amaranth.lib import wiring

from cores.emit import FilePlatform
from cores.graph import Graph
from cores.resources.random_stages import KINDS, random_stage
from cores.stages import Engine, Folding, component
from hdl.stream import connect_pixels
from sim import reference, stage_bench
from sim.pixels import to_words

from .model import model_stage

__all__ = ["Draw", "Compared", "draw", "draws", "compare", "BATCH", "NARROW", "SLACK"]

FRAMES = 3
MOST_CYCLES = 30_000    # of a frame: longer stages show nothing new and simulate slowly
BATCH = 20              # stages in one build
NARROW, SLACK = 0.01, 20    # within a share, or within so many cycles
ROUND = ("conv", "depthwise", "conv", "pool", "conv", "add", "depthwise", "concat", "conv", "slice", "pad", "upsample",
         "table", "without DSP")
DENSITIES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)


@dataclass(frozen=True, eq=False)
class Draw:
    """A random stage, the maps that it reads and makes, and what the model says about it."""
    kind: str
    seed: int
    network: Graph
    folding: Folding
    values: dict
    modelled: float

    @property
    def node(self):
        return self.network.nodes[0]


@dataclass(frozen=True)
class Compared:
    """Cycles per frame of a stage."""
    kind: str
    seed: int
    modelled: float
    simulated: float

    @property
    def off(self):
        return self.modelled / self.simulated - 1

    @property
    def agrees(self):
        return abs(self.modelled - self.simulated) <= max(SLACK, NARROW * self.simulated)


def maps(rng, tensor, frames):
    """Frames whose zeros are not the same everywhere: their density differs by channel and along the rows."""
    density = DENSITIES[rng.integers(len(DENSITIES))]
    by_channel = rng.uniform(0.5, 1.5, tensor.channels)
    by_row = rng.uniform(0.5, 1.5, (frames, tensor.height, 1, 1))
    values = rng.integers(1, max(2, tensor.high + 1), (frames, *tensor.shape))
    if tensor.low < 0:
        values = np.where(rng.random(values.shape) < 0.5, values, rng.integers(tensor.low, 0, values.shape))
    return np.where(rng.random(values.shape) < density * by_channel * by_row, values, 0).astype(np.int32)


def draw(kind, seed, frames=FRAMES):
    """The random stage of that number, with maps, or None if its frames take too long."""
    network, folding = random_stage(kind, seed)
    rng = np.random.default_rng([1, seed, sorted(KINDS).index(kind)])
    node = network.nodes[0]
    values = {name: maps(rng, network.tensors[name], frames) for name in node.inputs}
    values[node.output] = reference.run_node(node, *(values[name] for name in node.inputs))
    masks = {name: array != 0 for name, array in values.items()}
    modelled = model_stage(network, node, folding, masks).cycles_per_frame
    return None if modelled > MOST_CYCLES else Draw(kind, seed, network, folding, values, modelled)


def draws(count):
    """The first ``count`` stages that are short enough, of all kinds in turn; those of similar length follow each other."""
    seeds, found = {kind: iter(range(1 << 30)) for kind in ROUND}, []
    for kind in cycle(ROUND):
        if len(found) == count:
            return sorted(found, key=lambda one: one.modelled)
        found.append(next(filter(None, (draw(kind, seed) for seed in seeds[kind]))))


class _Batch(wiring.Component):
    """Stages side by side, that have nothing to do with each other."""

    def __init__(self, stages):
        self.stages, self.ports = stages, []
        members = {}
        for n, stage in enumerate(stages):
            inputs, outputs = stage_bench.ports_of(stage)
            names = [f"s{n}_{name}" for name in (*inputs, *outputs)]
            self.ports.append((names[:-1], names[-1]))
            members.update(zip(names, (stage.signature.members[name] for name in (*inputs, *outputs))))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        for n, (stage, (inputs, output)) in enumerate(zip(self.stages, self.ports)):
            m.submodules[f"stage_{n}"] = stage
            ports, _ = stage_bench.ports_of(stage)
            for name, port in zip(inputs, ports.values()):
                connect_pixels(m, wiring.flipped(getattr(self, name)), port)
            connect_pixels(m, stage.o, wiring.flipped(getattr(self, output)))
        return m


def compare(drawn, runtime):
    """Simulate stages in one build; returns a list of :class:`Compared`.

    Raises
    ------
    AssertionError
        If an output differs from the reference.
    """
    batch = _Batch([component(one.network, one.node, one.folding, Engine()) for one in drawn])
    with tempfile.TemporaryDirectory() as folder:
        platform = FilePlatform()
        simulation = stage_bench.compile_stage(batch, stage_bench.emit(batch, platform), folder=Path(folder),
                                               family="behavioural", runtime=runtime, optimize="-O0")
        for name, content in platform.files.items():
            Path(folder, name).write_text(content)
        words, counts = [], []
        for one, (inputs, output) in zip(drawn, batch.ports):
            for name, port in zip(one.node.inputs, inputs):
                signature = getattr(batch, port).signature
                shape = signature.shape.width, signature.shape.signed
                words += to_words(one.values[name], signature.ways, shape)
            pixels = int(np.prod(one.values[one.node.output].shape[:-1]))
            counts += [pixels] * getattr(batch, output).signature.ways
        got, _, _ = simulation.run([(word, np.zeros(len(word))) for word in words], counts, cwd=folder)
    results = []
    for one, (_, output) in zip(drawn, batch.ports):
        port = getattr(batch, output)
        mine, got = got[:port.signature.ways], got[port.signature.ways:]
        streamed = stage_bench.received(port, mine, one.values[one.node.output].shape)
        assert np.array_equal(streamed.maps, one.values[one.node.output]), f"{one.kind} {one.seed} differs"
        results.append(Compared(one.kind, one.seed, one.modelled, streamed.cycles))
    return results
