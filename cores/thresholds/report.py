"""What thresholds gain and lose, as figures, as a table and as lines."""
from dataclasses import asdict

from rich.table import Table

from cores.fit import counted
from cores.thresholds.loss import measure_of

__all__ = ["figures", "summary", "table"]


def figures(found, labels):
    """A :class:`~cores.thresholds.search.Search` ready for JSON, under ``thresholds`` of report.json.

    ``curve`` goes from no thresholds to high ones; its cycles and DSP blocks are null where no folding was chosen.
    """
    without, chosen = found.points[0], found.chosen
    before, after = (point.exploration.design.cycles_per_frame for point in (without, chosen))
    return {
        "limit": found.limit, "loss_is": measure_of(chosen.network, labels), "pictures": found.pictures,
        "layers": chosen.thresholds, "search": asdict(chosen.search), "test": asdict(chosen.test),
        "cycles_per_frame": round(after), "cycles_per_frame_without": round(before),
        "dsp": chosen.exploration.predicted[0].dsp, "dsp_without": without.exploration.predicted[0].dsp,
        "curve": [{
            "thresholds": list(point.thresholds.values()), "chosen": point is chosen, "work": round(point.work, 4),
            "loss_search": round(point.search.loss, 5), "expected": round(point.search.expected, 5),
            "loss_test": round(point.test.loss, 5),
            "cycles_per_frame": point.exploration and round(point.exploration.design.cycles_per_frame),
        } for point in found.points],
    }


def table(thresholds):
    """The curve: a row for each point, the chosen one marked."""
    result = Table(title=f"thresholds: loss of {thresholds['loss_is']}, at most {thresholds['limit']:.2%}"
                   if thresholds["loss_is"] != "noise" else f"thresholds: noise, at most {thresholds['limit']:.2%} of the outputs' power")
    for column in ("", "thresholds", "work", "cycles per frame", "loss, search half", "expected", "loss, test half"):
        result.add_column(column, justify="right" if column not in ("", "thresholds") else "left")
    for point in thresholds["curve"]:
        cycles = point["cycles_per_frame"]
        result.add_row("chosen" if point["chosen"] else "", " ".join(map(str, point["thresholds"])) or "none", f"{point['work']:.1%}",
                       "" if cycles is None else f"{cycles:,}", f"{point['loss_search']:.2%}", f"{point['expected']:.2%}",
                       f"{point['loss_test']:.2%}")
    return result


def summary(thresholds):
    """One line."""
    test = thresholds["test"]
    parts = [f"{thresholds['cycles_per_frame_without']:,} to {thresholds['cycles_per_frame']:,} cycles per frame",
             f"{thresholds['dsp_without']} to {counted(thresholds['dsp'], 'DSP')}"]
    if test["accuracy"] is not None:
        parts.append(f"accuracy {test['accuracy_without']:.1%} to {test['accuracy']:.1%}")
    if test["top1_agreement"] is not None:
        parts.append(f"top-1 agreement {test['top1_agreement']:.1%}")
    parts.append(f"signal-to-noise {test['output_snr_db']:.1f} dB")
    layers = thresholds["layers"]
    what = f"thresholds in {counted(len(layers), 'layer')}" if layers else "no thresholds pay within the loss allowed"
    return f"{what}: {', '.join(parts)}, on {thresholds['pictures']['test']} pictures that chose nothing"
