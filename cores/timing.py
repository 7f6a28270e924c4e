"""Logic depth of a synthesised netlist: its longest paths between registers."""
from collections import defaultdict
from dataclasses import dataclass
from graphlib import TopologicalSorter

__all__ = ["Path", "longest_paths"]

# Cells that signals pass, and the levels that they add. A chain of carries is one level, however long
# it is: what leaves one cell for the next adds none. The multiplexers behind LUTs belong to these.
_LEVELS = {**{f"LUT{n}": 1 for n in range(1, 7)}, "CARRY4": 1, "CARRY8": 1, "MUXF7": 0, "MUXF8": 0, "MUXF9": 0,
           "INV": 0, "BUF": 0, "CCU2C": 1, "PFUMX": 0, "L6MUX21": 0}
_CHAINS = "CARRY4", "CARRY8", "CCU2C"
_CHAINED = {("CARRY4", "CI"), ("CARRY8", "CI"), ("CCU2C", "CIN")}
_WRITTEN = {"RAM32M": "ADDRD", "RAM64M": "ADDRD", "RAM32M16": "ADDRH", "RAM64M8": "ADDRH"}      # address to write at
_READ = "ADDR", "RAD"
_CONTROL = {"CE": " (enable)", "R": " (reset)", "S": " (reset)", "CLR": " (reset)", "PRE": " (reset)", "LSR": " (reset)"}
_CLOCKS = {"C", "CLK", "WCLK", "CLKARDCLK", "CLKBWRCLK", "CLKA", "CLKB", "CLKW", "CLKR", "CLK0", "WCK"}


@dataclass(frozen=True)
class Path:
    """The longest path from one register (or memory, DSP block, port) to another.

    ``through`` are the types of its cells, a carry chain named once.
    """
    levels: int
    source: str
    target: str
    through: tuple


def longest_paths(module, count):
    """The ``count`` longest paths that differ in their ends, longest first.

    Registers, memories in blocks and DSP blocks are ends of paths: ours have their registers inside. A
    memory in LUTs ends the path of what is written, and its read port counts as a LUT.

    Parameters
    ----------
    module : dict
        Flat module of a netlist as ``write_json`` gives it, of cells of a family of :data:`cores.synthesis.FAMILIES`.
    count : int

    Returns
    -------
    list of Path
    """
    names = _names(module)
    cells = module["cells"]
    made = {bit: cell for cell, data in cells.items() for port, bits in data["connections"].items()
            if data["port_directions"][port] == "output" for bit in bits}
    passed = {cell: _inputs(data) for cell, data in cells.items() if _is_logic(data["type"])}
    order = TopologicalSorter({cell: {made[bit] for _, bit in inputs if made.get(bit) in passed}
                               for cell, inputs in passed.items()}).static_order()
    depth, before = {}, {}          # of each logic cell, and the (cell, bit) that makes it so deep
    for cell in order:
        kind = cells[cell]["type"]
        best = (0, None, None)
        for port, bit in passed[cell]:
            driver = made.get(bit)
            own = 0 if (kind, port) in _CHAINED and driver in passed else _LEVELS.get(kind, 1)
            best = max(best, (depth.get(driver, 0) + own, str(bit), driver), key=lambda item: item[0])
        depth[cell] = best[0]
        before[cell] = best[1:]

    found = defaultdict(lambda: (0, None))
    for target, bit in _ends(module, names):
        driver = made.get(bit)
        if driver in passed:
            source, through = _traced(driver, before, cells, passed)
            key = names.get(source, "constant"), target
            found[key] = max(found[key], (depth[driver], through), key=lambda item: item[0])
    paths = [Path(levels, *ends, through) for ends, (levels, through) in found.items()]
    return sorted(paths, key=lambda path: (-path.levels, path.source, path.target))[:count]


def _is_logic(kind):
    return kind in _LEVELS or kind.startswith("TRELLIS_DPR") or (kind.startswith("RAM") and not kind.startswith("RAMB"))


def _inputs(data):
    """(port, bit) by which a cell's outputs follow its inputs without a clock."""
    memory = data["type"] not in _LEVELS
    return [(port, bit) for port, bits in data["connections"].items()
            if data["port_directions"][port] == "input" and (not memory or port.startswith(_READ))
            for bit in bits if not isinstance(bit, str)]


def _ends(module, names):
    """(name, bit) at which paths end."""
    for cell, data in module["cells"].items():
        kind = data["type"]
        if kind in _LEVELS or kind.startswith("$"):
            continue
        for port, bits in data["connections"].items():
            read = _is_logic(kind) and port.startswith(_READ) and port != _WRITTEN.get(kind)
            if data["port_directions"][port] == "input" and port not in _CLOCKS and not read:
                name = _end(cell, data, port, names)
                yield from ((name, bit) for bit in bits if not isinstance(bit, str))
    for port, data in module["ports"].items():
        if data["direction"] == "output":
            yield from ((f"port {port}", bit) for bit in data["bits"])


def _traced(cell, before, cells, passed):
    """The bit that a path begins with, and the cells on it in order."""
    through = []
    while True:
        kind = cells[cell]["type"]
        if kind not in _CHAINS or through[-1:] != [kind]:
            through.append(kind)
        bit, driver = before[cell]
        if driver not in passed:
            return bit, tuple(reversed(through))
        cell = driver


def _end(cell, data, port, names):
    """Name of the end of a path: of a register by its output, or of another cell."""
    if "Q" in data["connections"]:
        return names.get(str(data["connections"]["Q"][0]), cell) + _CONTROL.get(port, "")
    return f"{cell}.{port}"


def _names(module):
    """The shortest name of each net, as a string of its number, without the bit."""
    names = {}
    for name, data in sorted(module["netnames"].items(), key=lambda item: (
            item[1].get("hide_name", 0), len(item[0]), item[0])):
        for bit in data["bits"]:
            names.setdefault(str(bit), name)
    return names
