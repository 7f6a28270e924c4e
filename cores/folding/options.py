"""The foldings that a stage may have, with their cycles and resources, without those that another one beats."""
from itertools import product

import numpy as np

from cores.folding.fields import FIELDS, fields_of, folding_of
from cores.folding.pareto import unbeaten
from cores.folding.profile import WINDOWS
from cores.folding.window_options import window_rows
from cores.graph import Add, Pool
from cores.resources.distinct import distinct
from cores.resources.predict import conv_resources, stage_resources
from cores.stages import Folding, dsps, has_engine, is_depthwise, multipliers, product_cycles
from hdl.clusters import CLUSTER, cluster_count

__all__ = ["MAX_WAYS", "RESOURCES", "Options"]

MAX_LANES, MAX_PES, MAX_WAYS = 32, 256, 16
REQUANTIZE_CYCLES = (1, 2, 3, 4, 8)     # one with a DSP block, and with 4, 3, 2 and 1 adders of LUTs
RESOURCES = ("dsp", "multipliers", "lut", "bram36")


class Options:
    """The Pareto set of a stage's foldings: of the same ways, none has fewer cycles and less of every resource.

    Parameters
    ----------
    network : Graph
    profile : Profile
    engine : Engine
    node : node of the graph
    in_widths, widths : sequence of int
        Numbers of ways that its input and its output may have. All stages but convolutions have as many on
        both sides.

    Attributes
    ----------
    fields : array of int (N, 8)
        :data:`~cores.folding.fields.FIELDS` of each folding.
    considered : int
        How many foldings there are, those that others beat included.
    cycles : array of float
        Cycles per frame of each folding.
    amounts : dict of str to array
        "dsp", "multipliers", "lut" and "bram36" of each folding.
    ways : array of int (N, 2)
        Ways of input and output of each folding.
    """

    def __init__(self, network, profile, engine, node, in_widths, widths):
        rows = _plain_rows if not has_engine(node) else window_rows if engine.window else _engine_rows
        self._make, fields, cycles, amounts = rows(network, profile, engine, node, in_widths, widths)
        self.considered = len(cycles)
        ways = fields[:, [FIELDS.index("ways"), FIELDS.index("out_ways")]]
        place = ways @ [MAX_WAYS + 1, 1]
        self._kept = kept = unbeaten(np.column_stack([cycles, *(amounts[name] for name in RESOURCES)]), place)
        self.cycles, self.fields, self.ways, self._place = cycles[kept], fields[kept], ways[kept], place[kept]
        self.amounts = {name: amounts[name][kept] for name in RESOURCES}

    def folding(self, number):
        """One of them, a Folding."""
        return self._make(self._kept[number])

    def within(self, cycles, names):
        """Numbers of the foldings that take at most ``cycles`` and that none of the same ways beats in ``names``.

        Parameters
        ----------
        cycles : float
        names : list of str
            Of ``amounts``.

        Returns
        -------
        array of int
            Those of the same ways behind each other.
        """
        rows = np.flatnonzero(self.cycles <= cycles)
        place = self._place[rows]
        kept = unbeaten(np.column_stack([self.amounts[name][rows] for name in names]), place)
        return rows[kept[np.argsort(place[kept], kind="stable")]]


def _requantize_cycles(engine):
    """On ECP5 only those in LUTs: Yosys leaves the registers of a product that it infers outside of MULT18X18D."""
    return REQUANTIZE_CYCLES[1:] if engine.family == "mult18x18d" else REQUANTIZE_CYCLES


def _engine_rows(network, profile, engine, node, in_widths, widths):
    """Foldings of a convolution: a function from a row's number to its Folding, their fields, cycles, resources."""
    filters, channels = len(node.weights) // node.groups, node.weights.shape[3]
    beats = {ways: profile.beats(node.output, ways) for ways in widths}
    cells = np.array([(pes, ways, n) for ways in widths for pes in _pes(filters, ways, node.groups)
                      for n in _requantize_cycles(engine)])
    least = np.array([beats[ways] for ways in cells[:, 1].tolist()])
    passes = -(-filters // cells[:, 0])
    floors = -(-cells[:, 0] // cells[:, 1]) * cells[:, 2]
    table, cycles = [], []

    def add(lanes, row_lanes, windows, serial=False, rows=slice(None)):
        """The cells in these ``rows`` with so many lanes."""
        each = product_cycles(node, Folding(serial=serial))
        busiest = profile.busiest(node, lanes, row_lanes, floors[rows], windows, each)
        taken = np.maximum(passes[rows] * busiest, least[rows])
        for ways in in_widths:
            if lanes % ways == 0:
                fixed = np.broadcast_to([lanes, row_lanes, ways, windows, serial], (len(taken), 5))
                table.append(np.column_stack(
                    [fixed[:, :2], cells[rows, 0], fixed[:, 2], cells[rows, 1:], fixed[:, 3:]]))
                cycles.append(taken)

    # Only for a stage that leaves a single multiplier idle: as many as are as quick as one would take more than a DSP block saves.
    if engine.serial:
        add(1, 1, WINDOWS[0], True, np.flatnonzero(cells[:, 0] == 1))
    for lanes, row_lanes in product(range(1, min(MAX_LANES, channels) + 1), _row_lanes(node)):
        if node.groups > 1 and channels % lanes:
            continue
        for windows in WINDOWS if lanes * row_lanes > 1 else WINDOWS[:1]:
            add(lanes, row_lanes, windows)
    fields, cycles = np.concatenate(table), np.concatenate(cycles)
    kept = _without_idle_speed(dict(zip(FIELDS, fields.T)), cycles)
    fields, cycles = np.asfortranarray(fields[kept]), cycles[kept]
    columns = dict(zip(FIELDS, fields.T))
    given = {"passes": -(-filters // columns["pes"]), "weights_in_blocks": np.zeros_like(cycles, dtype=np.int64)}
    lut, bram36 = conv_resources(network, node, columns | given, engine)
    each = np.where(columns["serial"], product_cycles(node, Folding(serial=True)), 1)
    amounts = {"dsp": _dsps(network, node, columns, engine),
               "multipliers": columns["lanes"] * columns["row_lanes"] * columns["pes"] / each,
               "lut": lut, "bram36": bram36}
    return lambda row: folding_of(fields[row]), fields, cycles, amounts


def _without_idle_speed(columns, cycles):
    """Rows but those with a quicker serial requantizer, or windows further apart, that take no fewer cycles."""
    keys = np.column_stack([*(columns[name] for name in (*FIELDS[:5], "serial")), columns["requantize_cycles"] > 1])
    order = np.lexsort((columns["windows"], -columns["requantize_cycles"], cycles, *keys.T[::-1]))
    keys, slow, near = keys[order], columns["requantize_cycles"][order], columns["windows"][order]
    kept = np.ones(len(order), bool)
    for back in range(1, 2 * len(REQUANTIZE_CYCLES)):
        same = (keys[back:] == keys[:-back]).all(1)
        kept[back:] &= ~(same & (slow[:-back] >= slow[back:]) & (near[:-back] <= near[back:]))
    return order[kept]


def _plain_rows(network, profile, engine, node, in_widths, widths):
    """The same of any other stage."""
    requantizes = is_depthwise(node) or (isinstance(node, Pool) and node.requantization is not None)
    foldings = [
        Folding(ways, row_lanes, 1, ways, ways, cycles, add_dsps, windows, serial=serial)
        for ways, row_lanes, cycles, add_dsps, windows, serial in product(
            widths, _row_lanes(node) if is_depthwise(node) else (1,), _requantize_cycles(engine) if requantizes else (1,),
            (None, 0) if isinstance(node, Add) else (None,), WINDOWS, (False, True) if is_depthwise(node) and engine.serial else (False,))
        if ways in in_widths and (row_lanes > 1 or windows == WINDOWS[0]) and not (serial and ways * row_lanes > 1)]
    cycles = np.array([max(profile.cycles(node, f), profile.beats(node.output, f.ways)) for f in foldings])
    taken = [stage_resources(network, node, f, engine) for f in foldings]
    amounts = {name: np.array([getattr(each, name) for each in taken]) for name in ("dsp", "lut", "bram36")}
    amounts["multipliers"] = np.array([multipliers(node, f) for f in foldings])
    return foldings.__getitem__, fields_of(foldings), cycles, amounts


def _row_lanes(node):
    """Numbers of row lanes that share a kernel's rows evenly."""
    return [n for n in range(1, node.kernel[0] + 1) if node.kernel[0] % n == 0]


def _pes(filters, ways, groups):
    """Numbers of PEs, multiples of ``ways``, that each take fewer passes than the one before.

    With groups every pass is full, and with clusters as well, or there would be too many to choose among.
    """
    counts = {-(-(-(-filters // passes)) // ways) * ways for passes in range(1, filters + 1)}
    return sorted(pes for pes in counts if pes <= min(filters, MAX_PES)
                  and (filters % pes == 0 or (groups == 1 and pes <= CLUSTER)) and pes % (ways * cluster_count(pes, ways)) == 0)


def _dsps(network, node, columns, engine):
    """DSP blocks of each folding; of a convolution, all lanes have as many."""
    keys, which = distinct([columns["pes"], columns["out_ways"], columns["serial"], columns["requantize_cycles"] > 1])

    def of(pes, ways, serial, slow):
        return dsps(network, node, Folding(pes=pes, out_ways=ways, requantize_cycles=2 if slow else 1, serial=serial), engine)
    lane = np.array([of(pes, ways, serial, True) for pes, ways, serial, _ in keys])
    rest = np.array([of(*key) for key in keys]) - lane
    return columns["lanes"] * columns["row_lanes"] * lane[which] + rest[which]
