"""How long it takes from an integer graph with many weights to Verilog."""
import sys
import time

import numpy as np

from cores import cli
from cores.emit import FilePlatform
from cores.folding.allocate import Design, fold
from cores.graph import Conv, Graph, Requantization, Tensor
from cores.stages import Engine, Folding
from cores.top import Top
from cores.wrapper.emit import design_verilog

EXAMPLE = "python -m sim.emission --megabytes 1"


def network(megabytes, *, channels=256, size=8, seed=0):
    """Convolutions 3x3 with ``channels`` channels in and out, up to so many 8-bit weights."""
    rng = np.random.default_rng(seed)
    layers = max(1, round(megabytes * 1e6 / (9 * channels * channels)))
    tensors = [Tensor(f"t{n}", size, size, channels, 0, 255) for n in range(layers + 1)]
    nodes = [Conv(
        f"conv{n}", f"t{n}", f"t{n + 1}", rng.integers(-128, 128, (channels, 3, 3, channels)),
        rng.integers(-999, 999, channels),
        Requantization(rng.integers(1 << 16, 1 << 17, channels), np.full(channels, 28), 0, 255),
        padding=(1, 1, 1, 1)) for n in range(layers)]
    return Graph("large", "t0", (f"t{layers}",), {t.name: t for t in tensors}, tuple(nodes))


def main(argv=None):
    parser = cli.Parser("sim.emission", __doc__, EXAMPLE)
    parser.add_argument("--megabytes", type=cli.positive_float, default=1.0, metavar="N",
                        help="8-bit weights, in millions (default 1)")
    args = parser.parse_args(argv)
    graph = network(args.megabytes)
    began = time.perf_counter()
    folding = Folding(lanes=4, pes=16)
    design = Design(1, {node.name: folding for node in graph.nodes}, 0)
    engine = Engine(family="dsp48e2")
    top = Top(graph, design=design, stages=fold(graph, design, engine))
    platform = FilePlatform()
    text = design_verilog(top, platform)
    seconds = time.perf_counter() - began
    weights = sum(node.weights.size for node in graph.nodes)
    print(f"{weights:,} weights in {len(graph.nodes)} convolutions: {seconds:.1f} s to "
          f"{len(text):,} characters of Verilog and "
          f"{sum(map(len, platform.files.values())):,} of memory files")


if __name__ == "__main__":
    sys.exit(main())
