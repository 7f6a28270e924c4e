"""The figures of a design, as report.json and as a table."""
from dataclasses import asdict

from rich.table import Table

from cores import cli
from cores.fit import counted, number
from cores.graph import Pool
from cores.stages import dsps, has_engine
from cores.stages import multipliers as stage_multipliers
from sim import reference

__all__ = ["report", "share", "table"]

ORIGINS = {"lut": "synthesised", "ff": "synthesised", "bram36": "synthesised",
           "fmax_mhz": "synthesised"}     # null until synthesis fills them


def report(network, design, engine, profile, *, board, clock_mhz, predicted, fits, modelled=None, whole=None):
    """Figures of a design; those only synthesis knows are null.

    Cycles of the first frame and of each after it, and what its stages wait for, are those of ``modelled``, the cycle model; cycles
    of a stage those of its own work, from the profile. It is None for an engine that it does not know; then the slowest
    stage's are the design's.

    ``whole`` is the network before channels were removed, if any were: products are counted as it
    has them. ``predicted`` is what :func:`~cores.resources.predict.design_resources` returns, and ``fits`` whether
    the board has as much.
    """
    resources, by_stage = predicted
    macs = reference.macs(whole or network)
    cycles = (modelled or design).cycles_per_frame
    rows = []
    for node in network.nodes:
        folding = design.foldings[node.name]
        rows.append({
            "name": node.name, "op": f"{node.op} pool" if isinstance(node, Pool) else node.op,
            "lanes": folding.lanes * folding.row_lanes, "channel_lanes": folding.lanes,
            "row_lanes": folding.row_lanes, "fine": folding.fine, "pes": folding.pes if has_engine(node) else 0,
            "ways": folding.ways, "out_ways": folding.out_ways,
            "multipliers": stage_multipliers(node, folding), "serial": folding.serial,
            "dsp": dsps(network, node, folding, engine), "cycles_per_frame": round(profile.cycles(node, folding)),
            "zero_fraction": round(profile.zero_fraction(node.inputs[0]), 4),
            "macs_per_frame": macs[node.name],
            "nonzero_macs_per_frame": round(profile.nonzero_macs[node.name]),
            **({} if modelled is None else {"waits": {
                name: round(share, 4) for name, share in asdict(modelled.waits[node.name]).items() if name != "busy"}}),
            "predicted": asdict(by_stage[node.name]),
        })
    multipliers, dsp = (sum(row[key] for row in rows) for key in ("multipliers", "dsp"))
    total, nonzero = (sum(row[key] for row in rows) for key in
                      ("macs_per_frame", "nonzero_macs_per_frame"))
    figures = {
        "board": board, "clock_mhz": clock_mhz, "fmax_mhz": None, "multipliers": multipliers,
        "dsp": dsp, "lut": None, "ff": None, "bram36": None, "cycles_per_frame": round(cycles),
        "cycles_first_frame": None if modelled is None else modelled.first_frame, "fps": round(clock_mhz * 1e6 / cycles, 1), "macs_per_frame": total,
        "nonzero_macs_per_frame": nonzero, "utilisation": share(nonzero, multipliers, cycles),
        "mac_per_dsp_cycle": share(total, dsp, cycles), "predicted": asdict(resources), "fits": fits,
        "stages": rows,
    }
    return {**figures, "origin": {key: ORIGINS.get(key, "modelled") for key in figures}}


def share(work, units, cycles):
    """``work`` per unit and cycle; None for a design without such units."""
    return work / units / cycles if units else None


def table(figures, network, available):
    """The stages, one row each, and the whole design beside the resources ``available`` on the board."""
    result = Table(
        title=f"{network.name} on {figures['board']} at {figures['clock_mhz']:g} MHz (modelled)",
        caption=f"{figures['cycles_per_frame']:,} cycles per frame, {figures['fps']:,.0f} frames/s, "
                f"{number(figures['multipliers'])} multipliers in {counted(figures['dsp'], 'DSP')}"
                + ("" if figures["mac_per_dsp_cycle"] is None else f", {figures['mac_per_dsp_cycle']:.2f} MAC per DSP and cycle")
                + ("" if figures["utilisation"] is None else
                   f",\n{figures['utilisation']:.0%} of multiplier slots on non-zeros")
                + ("" if figures["cycles_first_frame"] is None else
                   f"; the first frame takes {figures['cycles_first_frame']:,} cycles")
                + f"\npredicted: {_shares(figures['predicted'], available)}")
    for column in ("stage", "operator", "shape"):
        result.add_column(column)
    for column in ("lanes", "PEs", "multipliers", "DSPs", "cycles per frame", "zeros skipped",
                   "share of bottleneck"):
        result.add_column(column, justify="right")
    slowest = max(row["cycles_per_frame"] for row in figures["stages"])     # of other pictures than the design's
    for row, node in zip(figures["stages"], network.nodes):
        source, target = network.tensors[node.inputs[0]], network.tensors[node.output]
        kernel = "x".join(map(str, getattr(node, "kernel", ())))
        result.add_row(
            cli.short(row["name"], 24), f"{row['op']} {kernel}".strip(), f"{'x'.join(map(str, source.shape))} to "
            f"{'x'.join(map(str, target.shape))}", f"{row['channel_lanes']} x {row['fine'] or row['row_lanes']}",
            str(row["pes"] or "-"), number(row["multipliers"]) + " serial" * row["serial"] if row["multipliers"] else "-", str(row["dsp"]),
            f"{row['cycles_per_frame']:,}", f"{row['zero_fraction']:.0%}",
            f"{row['cycles_per_frame'] / slowest:.0%}")
    return result


def _shares(resources, available):
    """Resources with their shares of a board's."""
    nouns = {"dsp": "DSP", "lut": "LUT", "ff": "FF", "bram36": "BRAM36"}
    return ", ".join(f"{number(resources[name])} {noun} ({resources[name] / available[name]:.0%})"
                     for name, noun in nouns.items())
