"""Emitted Verilog as Vivado's packager sees it: files, modules, ports, and the interfaces that their names make."""
import re

from .ips import Interface, Ip, Pin

__all__ = ["SourceError", "check_sources", "ports_of", "packaged"]

AXI = {f"{channel}{signal}" for channel, signals in {
    "aw": "addr valid ready", "w": "data strb valid ready", "b": "resp valid ready", "ar": "addr valid ready",
    "r": "data resp valid ready"}.items() for signal in signals.split()}
STREAM, EXTRA = {"tdata", "tvalid", "tready"}, {"tlast", "tkeep", "tuser", "awprot", "arprot"}
PRIMITIVES = {"DSP48E2"}


class SourceError(Exception):
    """The sources are not what a tool could build."""


def ports_of(text, module):
    """Direction and width of each port of a module."""
    body = re.search(rf"^module {module}\b.*?^endmodule", text, re.M | re.S)
    if body is None:
        raise SourceError(f"no module {module}")
    return {name: (flow, int(high or 0) + 1) for flow, high, name in re.findall(
        r"^  (input|output) (?:\[(\d+):0\] )?(\w+);", body[0], re.M)}


def check_sources(files, types, top):
    """The text of all Verilog among ``files``, if each module and each memory's file that it names is there."""
    text = "\n".join(file.read_text() for file in files if file.suffix == ".v")
    defined = set(re.findall(r"^module (\w+)", text, re.M))
    used = set(re.findall(r"^  (\w+) (?:#\(|\w+ \()", text, re.M)) - {"module"}
    missing = used - defined - PRIMITIVES
    if top not in defined or missing:
        raise SourceError(f"modules without a source: {', '.join(sorted(missing or {top}))}")
    memories = {file.name for file in files if types.get(file) == "Memory File"}
    lost = set(re.findall(r'"(\w+\.hex)"', text)) - memories
    if lost:
        raise SourceError(f"memory files that were not added: {', '.join(sorted(lost))}")
    return text


def packaged(text, top):
    """The module as an :class:`Ip` whose clocks are not known yet, its interfaces named by prefix."""
    ports, faces, left = ports_of(text, top), {}, {}
    prefixes = {}
    for name in ports:
        prefix, _, signal = name.rpartition("_")
        prefixes.setdefault(prefix, set()).add(signal)
    for prefix, signals in prefixes.items():
        kind = {True: "axi"}.get(signals >= AXI) or {True: "stream"}.get(signals >= STREAM)
        extra = signals - EXTRA - (AXI if kind == "axi" else STREAM)
        if not kind or extra:
            left |= {name: ports[name] for name in ports if name.rpartition("_")[0] == prefix}
            continue
        flow = ports[f"{prefix}_{'awvalid' if kind == 'axi' else 'tvalid'}"][0]
        faces[prefix] = Interface("slave" if flow == "input" else "master", kind,
                                  bits=ports[f"{prefix}_tdata"][1] if kind == "stream" else None)
    pins = {name: Pin("in" if flow == "input" else "out",
                      {"aclk": "clock", "aresetn": "reset"}.get(name, "plain")) for name, (flow, _) in left.items()}
    return Ip({}, lambda p: (pins, faces)), ports
