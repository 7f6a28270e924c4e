"""What a design takes of an FPGA, predicted before synthesis: see docs/resources.md."""
from dataclasses import dataclass

import numpy as np

from cores.between import FORK_DEPTH, STATUS_DEPTH, Between
from cores.resources import amounts
from cores.resources.coefficients import COEFFICIENTS
from cores.resources.distinct import distinct
from cores.resources.memory_blocks import Blocks, blocks
from cores.resources.stage_amounts import conv_columns, conv_parts, stage_terms, table_amounts
from cores.stages import dsps
from cores.synthesis import FAMILIES

__all__ = ["Resources", "conv_resources", "design_resources", "family_of", "logic_terms", "memory_blocks",
           "part_resources", "stage_resources"]

# ECP5 has the coefficients of the 7-series times these, LUTs and flip-flops: what Yosys made of the bundled network's nine stages
# beside what they say. A LUT has 4 inputs there, and is no shift register.
SCALES = {"ecp5": (1.75, 1.3)}
LUT, FF = range(2)          # of a coefficient


@dataclass(frozen=True)
class Resources:
    """DSP blocks, LUTs, flip-flops, and block memories of 36 kbit with those of 18 kbit as halves."""
    dsp: int = 0
    lut: int = 0
    ff: int = 0
    bram36: float = 0

    def __add__(self, other):
        return Resources(self.dsp + other.dsp, self.lut + other.lut, self.ff + other.ff,
                         self.bram36 + other.bram36)


def stage_resources(network, node, folding, engine):
    """Of the stage that :func:`cores.stages.component` makes.

    Returns
    -------
    Resources
        DSP blocks and block memories are exact, LUTs and flip-flops an estimate.
    """
    return part_resources(*stage_terms(network, node, folding, engine), family=family_of(engine),
                          dsp=dsps(network, node, folding, engine))


def conv_resources(network, node, columns, engine):
    """LUTs and block memories of many foldings of a convolution, as :func:`stage_resources` has them.

    Parameters
    ----------
    columns : dict of str to array of int (N)
        Fields of the foldings, and "passes".

    Returns
    -------
    (array of float (N), array of float (N))
    """
    family, result = family_of(engine), 0
    source, target = network.tensors[node.input], network.tensors[node.output]
    columns = conv_columns(node, source, columns)
    for count, fields, part in conv_parts(node, source, target, engine):
        rows = np.flatnonzero(columns[count])
        keys, which = distinct([columns[name][rows] for name in fields])
        each = np.zeros((len(columns[count]), 3))
        if keys:
            each[rows] = _prices(part, fields, keys, family)[which]
        result = result + columns[count][:, None] * each
    logic, held, bram36 = result.T
    return np.round(logic) + held, bram36


def _prices(part, fields, keys, family):
    """LUTs of logic, LUTs of memories and block memories of a part, for each of ``keys``."""
    found = []
    for key in keys:
        memories, terms = part(**dict(zip(fields, key)))
        held = memory_blocks(memories, family)
        found.append((_logic(LUT, held, terms, family), held.lut, held.bram36))
    return np.array(found)


def design_resources(network, design, engine):
    """Of a whole design.

    Parameters
    ----------
    network : Graph
    design : Design
        Its folding.
    engine : Engine

    Returns
    -------
    (Resources, dict of str to Resources)
        Of all, and of each stage by the name of its node.
    """
    stages = {node.name: stage_resources(network, node, design.foldings[node.name], engine)
              for node in network.nodes}
    between = Between(network, design, keep_zeros=engine.keep_zeros)
    source = network.tensors[network.input]
    terms = [amounts.axi_in(pixels=source.height * source.width, channels=source.channels, ways=design.ways),
             amounts.queue(STATUS_DEPTH, len(between.targets))]
    for name, target in zip(network.outputs, between.targets):
        tensor = network.tensors[name]
        terms.append(amounts.axi_out(pixels=tensor.height * tensor.width, channels=tensor.channels,
                                     ways=target.i.signature.ways))
    terms += [amounts.queue(FORK_DEPTH, fork.memories.total()) for fork in between.forks.values()]
    terms += [amounts.queue(queue.depth) for queue in between.queues]
    if between.table is not None:
        terms.append(table_amounts(between.table, network.input_table, 0))
    rest = part_resources(between.memories, amounts.sum_of(*terms), family=family_of(engine))
    return sum(stages.values(), rest), stages


def part_resources(memories, terms, *, family, dsp=0):
    """Of memories (a Counter) and amounts of logic."""
    held = memory_blocks(memories, family)
    lut, ff = (round(_logic(kind, held, terms, family)) for kind in (LUT, FF))
    return Resources(dsp, lut + held.lut, ff + held.ff, held.bram36)


def _logic(kind, held, terms, family):
    """LUTs or flip-flops besides those that hold the contents of memories."""
    return SCALES.get(family, (1, 1))[kind] * sum(
        COEFFICIENTS[name][kind] * amount for name, amount in logic_terms(held, terms).items())


def logic_terms(held, terms):
    """Amounts of logic, that of memories included."""
    return terms | {"rom": held.rom_lut, "deep rom": held.deep_rom, "memory mux": held.mux}


def memory_blocks(memories, family):
    """Blocks of all memories together."""
    each = [[count * amount for amount in blocks(size, family)] for size, count in memories.items()]
    return Blocks(*map(sum, zip(*each)))


def family_of(engine):
    """Yosys' name of the FPGA family that an engine is for."""
    return next(family for family, mac in FAMILIES.items() if mac == engine.family)
