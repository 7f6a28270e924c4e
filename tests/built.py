"""Small built designs, as cores.build writes them, without its search for a folding."""
import dataclasses
import json
from types import SimpleNamespace

import numpy as np

from cores.between import BEAT_BITS
from cores.folding.allocate import fold
from cores.pixels import samples, stored
from cores.profile import Profile
from cores.report import report
from cores.resources.predict import design_resources
from cores.stages import multipliers
from cores.top import Top, output_arrays
from cores.wrapper.write import add_rtl
from sim import reference

__all__ = ["write"]


def write(folder, graph, images, design, engine, *, beat_bits=BEAT_BITS, counters=True):
    """Write the design of ``graph`` and its golden vectors into ``folder``; returns it."""
    def add(name, content):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    top = Top(graph, design=design, stages=fold(graph, design, engine), beat_bits=beat_bits)
    add_rtl(SimpleNamespace(add=add), graph, top, counters=counters)
    outputs = reference.run_outputs(graph, stored(graph, images))
    np.savez(folder / "golden.npz", images=images, labels=np.zeros(len(images), int), **{
        array: samples(graph.tensors[name], outputs[name])
        for array, name in zip(output_arrays(graph), graph.outputs)})
    add("report.json", json.dumps(report(
        graph, design, engine, Profile(graph, stored(graph, images)), board="zcu102", clock_mhz=100,
        predicted=design_resources(graph, design, engine), fits=True)))
    plain, arrays = graph.to_arrays()
    np.savez(folder / "network.npz", **arrays)
    add("build.json", json.dumps({
        "network": plain, "files": ["network.npz"], "family": engine.family, "clock_mhz": 100,
        "multipliers": sum(multipliers(node, design.foldings[node.name]) for node in graph.nodes), "dsp": 8,
        "macs_per_frame": 1, "cycles_per_frame": design.cycles_per_frame, "input_ways": design.ways,
        "engine": "sparse", "axis_bits": beat_bits,
        "folding": {name: dataclasses.asdict(folding) for name, folding in design.foldings.items()}}))
    return folder
