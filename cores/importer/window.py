"""Kernel, strides, dilations and padding, as convolutions and pools have them in common."""
from cores.graph import output_size

__all__ = ["fitting_size", "read_window"]


def read_window(node, tensor, *, kernel=None):
    """{kernel, stride, dilation, padding} of a node, defaults filled in.

    Parameters
    ----------
    node : Node
    tensor : Tensor
        The input, whose size decides the padding of ``auto_pad``.
    kernel : (int, int) or None
        Default of ``kernel_shape``; None if it has none.
    """
    def pair(name, default):
        value = tuple(node.attribute(name, default))
        if len(value) != 2 or min(value) < 1:
            node.refuse(f"{name} {list(value)} is not supported, must be two positive numbers; "
                        "only two-dimensional windows are supported")
        return value

    kernel = pair("kernel_shape", kernel or ())
    stride, dilation = pair("strides", (1, 1)), pair("dilations", (1, 1))
    pads = list(node.attribute("pads", (0, 0, 0, 0)))
    auto = node.attribute("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        total = [max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0) for size, k, s, d
                 in zip((tensor.height, tensor.width), kernel, stride, dilation)]
        less, more = [t // 2 for t in total], [t - t // 2 for t in total]
        pads = less + more if auto == "SAME_UPPER" else more + less
    elif auto == "VALID":
        pads = [0, 0, 0, 0]
    elif auto != "NOTSET":
        node.refuse(f"auto_pad {auto!r} is not supported; use explicit pads")
    if len(pads) != 4 or min(pads) < 0:
        node.refuse(f"pads {pads} is not supported, must be four numbers from 0")
    return {"kernel": kernel, "stride": stride, "dilation": dilation, "padding": tuple(pads)}


def fitting_size(node, made, tensor):
    """Output height and width of a Conv or Pool, refused if its window does not fit."""
    size = output_size(made, tensor.height, tensor.width)
    if min(size) < 1:
        node.refuse(f"kernel {made.kernel} does not fit the map of {tensor.height} x "
                    f"{tensor.width}; check the input's size")
    return size
