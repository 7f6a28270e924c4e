"""Kernel, strides, dilations and padding, as convolutions and pools have them in common."""
from cores.graph import output_size
from cores.importer.layout import whole

__all__ = ["fitting_size", "in_plane", "read_window", "spatial"]


def spatial(source):
    """Axes of a map that windows slide along: "HW", or one of them for (1, C, L)."""
    return "".join(whole(source.layout, source.shape)[2:])


def in_plane(source, values, absent):
    """(vertical, horizontal) of values for each of :func:`spatial`."""
    return tuple(values[spatial(source).index(axis)] if axis in spatial(source) else absent
                 for axis in "HW")


def read_window(node, source, *, kernel=None):
    """{kernel, stride, dilation, padding} of a node, defaults filled in.

    Parameters
    ----------
    node : Node
    source : Real
        The input, whose size decides the padding of ``auto_pad``.
    kernel : tuple of int or None
        Default of ``kernel_shape``; None if it has none.
    """
    tensor, rank = source.tensor, len(spatial(source))
    wanted = {1: "one positive number", 2: "two positive numbers"}[rank]

    def pair(name, default):
        value = tuple(node.attribute(name, default))
        if len(value) != rank or min(value) < 1:
            node.refuse(f"{name} {list(value)} is not supported, must be {wanted}, as the input "
                        f"has {rank + 2} dimensions")
        return in_plane(source, value, 1)

    kernel = pair("kernel_shape", kernel or ())
    stride, dilation = pair("strides", (1,) * rank), pair("dilations", (1,) * rank)
    pads = list(node.attribute("pads", (0,) * 2 * rank))
    auto = node.attribute("auto_pad", "NOTSET")
    if auto == "NOTSET":
        if len(pads) != 2 * rank or min(pads) < 0:
            node.refuse(f"pads {pads} is not supported, must be {'two' if rank == 1 else 'four'} "
                        "numbers from 0")
        pads = (*in_plane(source, pads[:rank], 0), *in_plane(source, pads[rank:], 0))
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        total = [max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0) for size, k, s, d
                 in zip((tensor.height, tensor.width), kernel, stride, dilation)]
        less, more = [t // 2 for t in total], [t - t // 2 for t in total]
        pads = less + more if auto == "SAME_UPPER" else more + less
    elif auto == "VALID":
        pads = [0, 0, 0, 0]
    else:
        node.refuse(f"auto_pad {auto!r} is not supported; use explicit pads")
    return {"kernel": kernel, "stride": stride, "dilation": dilation, "padding": tuple(pads)}


def fitting_size(node, made, tensor):
    """Output height and width of a Conv or Pool, refused if its window does not fit."""
    size = output_size(made, tensor.height, tensor.width)
    if min(size) < 1:
        node.refuse(f"kernel {made.kernel} does not fit the map of {tensor.height} x "
                    f"{tensor.width}; check the input's size")
    return size
