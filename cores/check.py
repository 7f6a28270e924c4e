"""A second opinion on a network: each operator of the integer reference against onnxruntime.

Every operator is given onnxruntime's own input, and its output is compared: at most one value in a
thousand (and four values in any case) may differ, by one step, where activations have 8 bits; more
of an average pool, whose ties onnxruntime breaks its own way. Then
the reference runs alone from the pictures on, and is held against the float network, or against
onnxruntime where the file was quantized already. Exit code 1: a limit is exceeded.
"""
import sys
from pathlib import Path

from rich.progress import track
from rich.table import Table

from cores import bundled, cli
from cores.errors import UserError
from cores.opening import (
    add_options,
    input_shape,
    model_path,
    open_onnx,
    preprocessing_of,
    quantization_of,
)
from cores.quantization.agreement import compare
from cores.quantization.quality import advice, quality
from sim import pictures

EXAMPLE = "python -m cores.check net.onnx --images PICTURES --mean 124,116,104 --scale 1/58"


def parser():
    result = cli.Parser("cores.check", __doc__, EXAMPLE)
    add = result.add_argument
    add("model", metavar="MODEL", help=f"ONNX file, float or quantized, or {bundled.NAME!r}")
    add("--images", type=Path, metavar="PICTURES", help="folder of pictures, or .npz; a float "
        "network is calibrated by them too (default: the bundled network's)")
    add("--frames", type=cli.positive_int, metavar="N", help="at most so many (default all)")
    add("--save", type=Path, metavar="FILE.onnx", help="write the quantized network there")
    add_options(add)
    return result


def main(argv=None):
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)
    return cli.guarded(lambda: check(args), pictures.PicturesError)


def check(args):
    """Compare and print; returns 1 if a limit is exceeded."""
    console, preprocessing = cli.console(), preprocessing_of(args)
    options = quantization_of(args)
    name = Path(args.model).stem
    if args.save:
        cli.check_writable(args.save)
    with console.status("importing"):
        model, source = model_path(args.model), args.images
        if source is None and args.model != bundled.NAME:
            raise UserError("Pictures to compare with are needed; give them with --images")
        source = source or bundled.MODEL.with_suffix(".npz")
        quantized, original = open_onnx(model, source, preprocessing, **options)
        if args.save:
            args.save.write_bytes(quantized.SerializeToString())
        images, labels, _ = pictures.load(source, *input_shape(original or quantized))
    images = images[:args.frames]
    network, found = compare(
        quantized, original, images, preprocessing, name=name,
        each=lambda frames: track(frames, "comparing", console=console, transient=True))
    against = "the float network" if original is not None else "onnxruntime"
    console.print(table(network, found, against, len(images)))
    for name in network.outputs:
        console.print(summary(network, found, name, against), highlight=False)
        if labels is not None and classifies(network.tensors[name]):
            ours, theirs = ((side == labels[:len(images)]).mean() for side in found.answers(name))
            console.print(f"  right by the labels: {ours:.1%}, {against} {theirs:.1%}",
                          highlight=False)
    tip = original is not None and advice(quality(network, found, options))
    if tip:
        console.print(tip, highlight=False, soft_wrap=True)
    exceeded = [f"{name} ({tensor.differing} of {tensor.values} values differ, by up to {tensor.largest})"
                for name, tensor in found.tensors.items() if tensor.exceeded]
    if exceeded:
        console.print(f"limits exceeded: {', '.join(exceeded)}", style="red", highlight=False)
    return 1 if exceeded else 0


def table(network, found, against, frames):
    """One row for each tensor."""
    result = Table(title=f"{network.name}: {frames} pictures, each operator against onnxruntime",
                   caption=worst(found, against))
    for column, justify in (("tensor", "left"), ("operator", "left"), ("values", "right"),
                            ("differ", "right"), ("largest", "right"),
                            (f"dB to {against}", "right")):
        result.add_column(column, justify=justify, overflow="fold")
    makers = {node.output: node for node in network.nodes}
    for name, tensor in found.tensors.items():
        noise = tensor.decibels
        result.add_row(
            name, makers[name].op if name in makers else "input", f"{tensor.values:,}",
            f"{tensor.differing / tensor.values:.4%}", str(tensor.largest),
            "-" if noise is None else f"{noise:.1f}", style="red" if tensor.exceeded else None)
    return result


def worst(found, against):
    """Names the layer that quantization, or the way to it, hurts most."""
    measured = {name: t.decibels for name, t in found.tensors.items() if t.decibels is not None}
    if not measured:
        return None
    name = min(measured, key=measured.get)
    return f"furthest from {against}: {name}, {measured[name]:.1f} dB"


def classifies(tensor):
    """Whether an output is one score for each of several classes."""
    return tensor.height * tensor.width == 1 < tensor.channels


def summary(network, found, name, against):
    noise = found.tensors[name].decibels
    text = f"output {name!r}: " + (
        "all zeros" if noise is None else f"signal-to-noise {noise:.1f} dB to {against}")
    if classifies(network.tensors[name]):
        ours, theirs = found.answers(name)
        same = ours == theirs
        text += f", top-1 agreement {same.mean():.1%} ({same.sum()} of {len(same)})"
    return text


if __name__ == "__main__":
    sys.exit(main())
