"""What the page shows, from the files of a built design."""
import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from cores import cli
from cores.branches import join_depths
from cores.fit import NAMES, number
from cores.page.rails import rails
from cores.top import output_arrays
from platforms import board

__all__ = ["Figure", "view"]

PICTURES = 20           # shown
PICTURE_SIDE = 128      # pixels at most
SHORT = 2               # pixels of a queue that holds nothing up
WAITS = {"imbalance": "lanes wait for each other", "drain": "sums are read out", "starved": "no input",
         "blocked": "the next stage is busy", "lookup": "lists are looked up"}
MARKS = {"modelled": "m", "predicted": "p", "synthesised": "y", "simulated": "s", "reference": "r", "routed": "n"}


@dataclass(frozen=True)
class Figure:
    """A figure as it is shown, and where it is from, and its note: keys of :data:`MARKS`, None for what was asked for."""
    label: str
    text: str
    origin: str
    note: str = ""
    note_origin: str | None = None


def view(network, report, golden):
    """All that the template names.

    Parameters
    ----------
    network : Graph
    report : dict
        Content of report.json.
    golden : dict of str to array
        Of golden.npz.
    """
    tracks, links = rails(network)
    queued = {row: {name: pixels for name, pixels in zip(node.inputs, join_depths(network, node)) if pixels > SHORT}
              for row, node in enumerate(network.nodes, 1) if len(node.inputs) > 1}
    return {
        "name": network.name, "report": report, "simulated": report.get("simulated"),
        "quantization": report.get("quantization"), "figures": _figures(report), "resources": _resources(report),
        "stages": _stages(report, network), "tracks": tracks, "links": links,
        "width": max([*tracks, *(link.track for link in links)]) + 1,
        "source": network.tensors[network.input], "outputs": [network.tensors[n] for n in network.outputs],
        "queued": {row: depths for row, depths in queued.items() if depths},
        "pictures": _pictures(network, golden), "waits_known": any("waits" in row for row in report["stages"]), "waits": WAITS, "marks": MARKS, "short": cli.short}


def _figures(report):
    """The figures at the top: simulated ones where there are any."""
    simulated = report.get("simulated")
    best, origin = (simulated, "simulated") if simulated else (report, "modelled")
    cycles = best["cycles_per_frame"]
    fps = report["clock_mhz"] * 1e6 / cycles
    figures = [
        Figure("frames per second", f"{fps:,.0f}", origin, f"at {report['clock_mhz']:g} MHz"),
        Figure("cycles per frame", f"{cycles:,.0f}", origin, f"back to back; the first takes {best['cycles_first_frame']:,}", origin)
        if best["cycles_first_frame"] else Figure("cycles per frame", f"{cycles:,.0f}", origin, "the slowest stage's"),
        Figure("MAC per DSP and cycle", f"{best['mac_per_dsp_cycle']:.2f}", origin,
               f"{report['dsp']:,} DSP blocks, {number(report['multipliers'])} multipliers", _taken(report, "dsp")[1])
        if best["mac_per_dsp_cycle"] else None,
        Figure("of multiplier slots on non-zeros", f"{best['utilisation']:.1%}", origin,
               f"{report['nonzero_macs_per_frame'] / report['macs_per_frame']:.0%} of the products are not zero",
               report["origin"]["nonzero_macs_per_frame"])
        if best["utilisation"] else None,
        Figure("MHz by nextpnr", f"{report['fmax_mhz']:.1f}", report["origin"]["fmax_mhz"],
               f"{report['clock_mhz']:g} MHz asked for") if report["fmax_mhz"] else None,
        Figure("levels of logic", f"{report['logic_levels']}", "synthesised", "on the longest path between registers")
        if report.get("logic_levels") else None]
    if simulated:
        figures.append(Figure("mismatches", f"{simulated['mismatches']:,}", "simulated",
                              f"{simulated['frames']:,} frames, stalls {simulated['stalls']:g}"))
        if simulated["accuracy"] is not None:
            figures.append(Figure("right by their labels", f"{simulated['accuracy']:.1%}", "simulated",
                                  f"of {simulated['frames']:,} pictures"))
    quantization = report.get("quantization")
    if quantization:
        pictures = f"{quantization['frames']:,} pictures, against the float network"
        if quantization.get("top1_agreement") is not None:
            figures.append(Figure("top-1 agreement", f"{quantization['top1_agreement']:.1%}", "reference", pictures))
        if quantization.get("output_snr_db") is not None:
            figures.append(Figure("signal-to-noise", f"{quantization['output_snr_db']} dB", "reference", pictures))
    return [figure for figure in figures if figure]


def _taken(report, name):
    """How much a design takes of a resource, and where that is from: what tools found once they were run."""
    origin, found = report["origin"][name], report[name]
    if origin in ("synthesised", "routed") and found is not None:
        return found, origin
    return report["predicted"][name], "predicted"


def _resources(report):
    """What the design takes of its board."""
    available = board(report["board"]).resources
    rows = []
    for name, noun in NAMES.items():
        count, origin = _taken(report, name)
        rows.append({"noun": noun, "share": count / available[name], "figure": Figure(
            noun, number(count), origin, f"of {available[name]:,}")})
    return rows


def _stages(report, network):
    """A row for each stage."""
    frame = report["cycles_per_frame"]
    slowest = max(row["cycles_per_frame"] for row in report["stages"])
    rows = []
    for row, node in zip(report["stages"], network.nodes):
        source, target = network.tensors[node.inputs[0]], network.tensors[node.output]
        cycles = row["cycles_per_frame"]
        useful = (row["nonzero_macs_per_frame"] / row["multipliers"] if row["multipliers"] else cycles)
        rows.append({
            **row, "kind": f"{row['op']} {'x'.join(map(str, getattr(node, 'kernel', ())))}".strip(),
            "shape": f"{'x'.join(map(str, source.shape))} → {'x'.join(map(str, target.shape))}",
            "useful": min(useful, cycles) / frame, "other": max(0.0, cycles - useful) / frame,
            "bram36": number(row["predicted"]["bram36"]), "bottleneck": cycles == slowest, "share": cycles / frame, "waits": row.get("waits")})
    return rows


def _pictures(network, golden):
    """The first golden pictures as data URIs, with the class that the hardware has to answer, and theirs."""
    outputs = golden[output_arrays(network)[0]]
    classes = outputs.reshape(len(outputs), -1) if outputs.shape[1:3] == (1, 1) else None
    rows = []
    for n, image in enumerate(golden["images"][:PICTURES]):
        answer = None if classes is None else int(classes[n].argmax())
        label = int(golden["labels"][n]) if "labels" in golden else None
        rows.append({"uri": _uri(image), "answer": answer, "label": label,
                     "right": None if None in (answer, label) else answer == label})
    return rows


def _uri(image):
    """A picture of any number of channels as PNG."""
    image = np.asarray(image).astype(np.uint8)
    image = image[..., 0] if image.shape[2] != 3 else image
    picture = Image.fromarray(image)
    picture.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
