"""Where the zeros are: what each stage of a network reads, over some pictures.

Writes traces.npz (non-zeros of every output pixel, and which values of every tensor are not zero),
profile.json and profile.png.
"""
import json
import sys
from pathlib import Path

import numpy as np
from rich.table import Table

from cores import cli, plots
from cores.folding.profile import Profile
from cores.opening import add_source, open_source
from cores.output import OutputFolder, own_version
from cores.pixels import stored
from cores.traces import saved, traces
from sim import pictures

EXAMPLE = "python -m cores.profile net.onnx --images PICTURES --mean 124,116,104 --scale 1/58"
FRAMES = 16


def parser():
    result = cli.Parser("cores.profile", __doc__, EXAMPLE)
    add = result.add_argument
    add_source(add)
    add("--frames", type=cli.positive_int, default=FRAMES, metavar="N", help=f"at most so many (default {FRAMES})")
    add("--out", type=Path, default=Path("build/profile"), metavar="DIR", help="output folder (default build/profile)")
    return result


def main(argv=None):
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)
    return cli.guarded(lambda: profile(args), pictures.PicturesError)


def profile(args):
    """Count, write and print."""
    console = cli.console()
    folder = OutputFolder(args.out, manifest="profile.json")
    with console.status("importing") as status:
        network, images = open_source(args)
        status.update("running the pictures")
        images = images[:args.frames]
        counted = Profile(network, stored(network, images))
        found = traces(network, counted)
        status.update("writing")
        folder.add("traces.npz", saved(network, counted, found))
        folder.add("profile.png", plots.png(plots.sparsity(network.name, found)))
        folder.add("profile.json", json.dumps({
            "skipstone": own_version(), "network": network.name, "pictures": len(images),
            "stages": [trace.figures() for trace in found],
            "files": sorted([*folder.written, "profile.json"])}, indent=1) + "\n")
        folder.save()
    console.print(table(network, found, len(images)))
    console.print(f"wrote {', '.join(sorted(folder.written))} to {folder.path}", highlight=False)


def table(network, found, frames):
    """One row for each stage."""
    result = Table(
        title=f"{network.name}: what each stage reads, {frames} pictures",
        caption="non-zeros of an output pixel: 5th, 50th and 95th percentile; rows, pictures: the least and the most "
                "non-zeros of a row of output pixels (of a picture) over the mean's; channels: share of values not zero, "
                "of the densest tenth and of the sparsest")
    for column in ("stage", "operator"):
        result.add_column(column)
    for column in ("zeros", "non-zeros of an output pixel", "of", "rows", "pictures", "channels", "always zero"):
        result.add_column(column, justify="right")
    for trace in found:
        _, low, middle, high, _ = trace.quantiles
        sparse, dense = np.quantile(trace.channels, (0.1, 0.9))
        dead = np.count_nonzero(trace.channels == 0)
        result.add_row(
            cli.short(trace.name, 24), trace.op, f"{trace.zeros:.0%}", f"{low:,} / {middle:,} / {high:,}", f"{trace.dense:,}",
            _span(trace.rows), _span(trace.frames), f"{dense:.0%} / {sparse:.0%}", str(dead or "-"))
    return result


def _span(ratios):
    return f"{ratios.min():.2f} to {ratios.max():.2f}"


if __name__ == "__main__":
    sys.exit(main())
