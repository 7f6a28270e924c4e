"""Pictures of results, as PNG files: the same bytes for the same numbers."""
import io

import numpy as np
from matplotlib.figure import Figure

from cores import cli

__all__ = ["engines", "frame_rates", "png", "sparsity", "trade_off"]

INK, FAINT, ACCENT, MAP = "#333333", "#c8d4e3", "#1f6fb4", "cividis"
ENGINES = {"sparse": ACCENT, "window-best": "#e08a1e", "window": "#f2c48d", "dense": "#9aa5b1"}


def png(figure):
    """A figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def engines(rows):
    """Networks with several engines: products per DSP block and cycle, and LUTs per multiplier.

    Parameters
    ----------
    rows : list of sim.bench_table.Measured

    Returns
    -------
    matplotlib.figure.Figure
    """
    networks = list(dict.fromkeys((row.network, row.budget) for row in rows))
    kinds = [name for name in ENGINES if any(row.engine == name for row in rows)]
    found = {(row.network, row.budget, row.engine): row for row in rows}
    figure = Figure(figsize=(max(6, 2 + 1.4 * len(networks)), 7), layout="constrained")
    speed, area = figure.subplots(2, sharex=True)
    for n, kind in enumerate(kinds):
        mine = [(place, found[*network, kind]) for place, network in enumerate(networks) if (*network, kind) in found]
        places = [place + (n - (len(kinds) - 1) / 2) * 0.8 / len(kinds) for place, _ in mine]
        for axes, name in ((speed, "mac_per_dsp_cycle"), (area, "lut_per_multiplier")):
            values = [getattr(row, name) for _, row in mine]
            bars = axes.bar(places, values, width=0.76 / len(kinds), color=ENGINES[kind], label=kind)
            axes.bar_label(bars, [f"{v:.2f}" if axes is speed else f"{v:.0f}" for v in values], fontsize=7, color=INK)
    speed.set_ylabel("MAC per DSP and cycle")
    speed.legend(frameon=False, ncols=len(kinds), loc="lower right", bbox_to_anchor=(1, 1))
    area.set_ylabel("LUT per multiplier")
    area.set_xticks(range(len(networks)), [f"{name}\n{budget} DSPs" for name, budget in networks])
    return figure


def sparsity(title, traces):
    """Non-zeros of every stage: by output pixel, by place in the frame, by channel.

    Parameters
    ----------
    title : str
    traces : list of cores.traces.Trace

    Returns
    -------
    matplotlib.figure.Figure
    """
    places = np.arange(len(traces))
    figure = Figure(figsize=(max(8, 3 + 0.24 * len(traces)), 11), layout="constrained")
    pixel, frame, channel = figure.subplots(3, sharex=True)
    figure.suptitle(f"{title}: non-zeros that each stage reads", color=INK)

    least, low, middle, high, most = np.array([trace.quantiles / trace.dense for trace in traces]).T
    pixel.bar(places, most - least, bottom=least, width=0.7, color=FAINT, label="all output pixels")
    pixel.bar(places, high - low, bottom=low, width=0.7, color=ACCENT, label="5 % to 95 %")
    pixel.plot(places, middle, "_", color="white", markersize=9, markeredgewidth=2)
    pixel.set(ylim=(0, 1), ylabel="of an output pixel's products,\nshare not zero (white: median)")
    pixel.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))

    rows = np.array([_resampled(trace.rows, 64) for trace in traces]).T
    image = frame.imshow(rows, aspect="auto", cmap=MAP, vmin=0.5, vmax=1.5, extent=(-0.5, len(traces) - 0.5, 1, 0))
    frame.set_ylabel("row of the frame\n(0 top, 1 bottom)")
    figure.colorbar(image, ax=frame, label="non-zeros, over the mean row's", pad=0.01)

    channels = np.array([_resampled(np.sort(trace.channels)[::-1], 64) for trace in traces]).T
    image = channel.imshow(channels, aspect="auto", cmap=MAP, vmin=0, vmax=1, extent=(-0.5, len(traces) - 0.5, 1, 0))
    channel.set_ylabel("input channels,\ndensest first")
    figure.colorbar(image, ax=channel, label="share of values not zero", pad=0.01)
    channel.set_xticks(places, [cli.short(trace.name, 22) for trace in traces], rotation=90, fontsize=7)
    return figure


def frame_rates(title, points, chosen, available):
    """Frame rate against each resource.

    Parameters
    ----------
    title : str
    points : list of dict
        Designs: "fps", and how much of each of ``available``.
    chosen : dict
        The design to mark.
    available : dict of str to float
        Resources of the board, in the order of the panels; a line each.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = {"dsp": "DSP blocks", "lut": "LUTs", "bram36": "block memories of 36 kbit"}
    figure = Figure(figsize=(4.2 * len(available), 4.4), layout="constrained")
    figure.suptitle(title, color=INK)
    panels = figure.subplots(1, len(available), sharey=True)
    for panel, (name, most) in zip(panels, available.items()):
        panel.plot([point[name] for point in points], [point["fps"] for point in points], "o-",
                   color=ACCENT, markersize=4, linewidth=1.5)
        panel.plot(chosen[name], chosen["fps"], "D", color=INK, markersize=8, label="this design")
        panel.axvline(most, color=FAINT, linewidth=3, zorder=0, label="the board")
        panel.set(xscale="log", yscale="log", xlabel=f"{names[name]} (predicted)")
        panel.grid(True, which="major", color="#e8e8e8", linewidth=0.8)
    panels[0].set_ylabel("frames per second (modelled)")
    panels[0].legend(frameon=False, loc="upper left")
    return figure


def _resampled(values, count):
    """``values`` at ``count`` places, each the nearest of them."""
    return values[np.arange(count) * len(values) // count]


def trade_off(title, thresholds):
    """What rising thresholds lose, on both halves of the pictures, and the cycles that they save.

    Parameters
    ----------
    title : str
    thresholds : dict
        Of report.json, see :func:`cores.thresholds.report.figures`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    curve = thresholds["curve"]
    saved = [100 * (1 - point["work"]) for point in curve]
    figure = Figure(figsize=(8, 7), layout="constrained")
    loss, cycles = figure.subplots(2, sharex=True, height_ratios=(3, 2))
    figure.suptitle(f"{title}: thresholds", color=INK)
    for key, style, colour, label in (("loss_search", "o-", ACCENT, "counted, search half"),
                                      ("expected", "--", ACCENT, "expected, search half"),
                                      ("loss_test", "o-", INK, "counted, test half")):
        loss.plot(saved, [100 * point[key] for point in curve], style, color=colour, markersize=4, linewidth=1.5, label=label)
    loss.axhline(100 * thresholds["limit"], color=FAINT, linewidth=3, zorder=0, label="allowed")
    loss.set_ylabel(f"loss in % ({thresholds['loss_is']})")
    explored = [(x, point["cycles_per_frame"]) for x, point in zip(saved, curve) if point["cycles_per_frame"]]
    cycles.plot(*zip(*explored), "o-", color=ACCENT, markersize=4, linewidth=1.5)
    cycles.set(ylim=(0, None), ylabel="cycles per frame\n(modelled)", xlabel="work saved in %")
    chosen = next(x for x, point in zip(saved, curve) if point["chosen"])
    for panel in loss, cycles:
        panel.axvline(chosen, color=INK, linewidth=1, linestyle=":", label="chosen")
    loss.legend(frameon=False)
    return figure
