"""Run pictures through the design on this board, and print what it answers and what its stages did."""
import argparse
import sys
from pathlib import Path

import numpy as np

from . import pictures
from .accelerator import Accelerator, frame_sizes
from .board import BoardError
from .pynq_board import PynqBoard

HERE = Path(__file__).resolve().parents[1]
EXAMPLE = "python -m driver golden.npz --check"


def parser():
    result = argparse.ArgumentParser(prog="python -m driver", description=__doc__, epilog=f"example: {EXAMPLE}")
    add = result.add_argument
    add("pictures", type=Path, metavar="PICTURES", help=".npz with images, a picture, or a folder of them")
    add("--bitstream", type=Path, default=HERE / "skipstone.bit", metavar="FILE",
        help="to load, its .hwh beside it (default: skipstone.bit of this folder)")
    add("--frames", type=int, metavar="N", help="the first N pictures only")
    add("--check", action="store_true", help="compare with the golden vectors: the pictures are those of golden.npz")
    add("--save", type=Path, metavar="FILE.npz", help="write the outputs there")
    return result


def main(argv=None):
    """Run the command line; 0, or 1 if the check failed, or 2 for an error."""
    args = parser().parse_args(argv)
    try:
        return run(args, lambda *sizes: PynqBoard(args.bitstream, *sizes))
    except (BoardError, OSError, ValueError, ImportError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def run(args, open_board, registers=None):
    """Run the pictures; ``open_board`` is given the bytes of an input frame and of each output's."""
    if registers is None:
        from . import registers
    source = registers.INPUT
    images = pictures.load(args.pictures, source["height"], source["width"], source["channels"])[:args.frames]
    accelerator = Accelerator(open_board(*frame_sizes(registers)), registers)
    accelerator.reset()
    result = accelerator.run(images)
    for line in answers(result.outputs[0]):
        print(line)
    print_counters(result.counters)
    if args.save:
        np.savez_compressed(args.save, **{f"outputs_{n}": values for n, values in enumerate(result.outputs)})
    if args.check:
        expected = pictures.golden_outputs(HERE / "golden.npz", len(images))
        wrong = sum(int((values != golden).sum()) for values, golden in zip(result.outputs, expected, strict=True))
        print(f"{len(images)} pictures, {wrong} values differ from the golden ones")
        return int(wrong > 0)
    return 0


def answers(values):
    """A line for each picture, of the first output's values."""
    return [f"picture {number}: " + (f"class {logits.argmax()}, logits {' '.join(map(str, logits))}"
                                     if logits.size <= 16 else f"class {logits.argmax()} of {logits.size}")
            for number, logits in enumerate(values.reshape(len(values), -1))]


def print_counters(counters):
    """A line for each unit: shares of its cycles, and its products."""
    for unit, kinds in counters.items():
        if "busy" in kinds:
            cycles = counters["design"]["cycles"]
            shares = "  ".join(f"{kind} {kinds[kind] / cycles:6.1%}" for kind in ("busy", "starved", "blocked"))
            print(f"{unit:32} {shares}" + (f"  {kinds['products']:,} products" if "products" in kinds else ""))


if __name__ == "__main__":
    sys.exit(main())
