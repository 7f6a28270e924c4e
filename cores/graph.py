"""The integer graph: a quantized network as plain data, imported by all, importing nothing of ours.

A tensor is stored as ``q - zero_point``, so that 0 means real zero. A node reads stored values,
makes exact integer sums, and requantizes them to the stored values of its output.
"""
import dataclasses
from dataclasses import dataclass, field

import numpy as np

__all__ = ["Tensor", "Requantization", "Conv", "Pool", "Add", "Concat", "Slice", "Pad", "Upsample",
           "Table", "Graph", "output_size"]


@dataclass(frozen=True)
class Tensor:
    """A feature map, height x width x channels, of stored values from ``low`` to ``high``.

    ``zero_point`` and ``scale`` are the file's: q = stored + zero_point, real = stored * scale.
    """
    name: str
    height: int
    width: int
    channels: int
    low: int
    high: int
    zero_point: int = 0
    scale: float = 1.0

    @property
    def shape(self):
        return self.height, self.width, self.channels

    @property
    def signed(self):
        return self.low < 0

    @property
    def bits(self):
        """Bits of a stored value, the sign included."""
        magnitude = max(self.high, -self.low - 1, 1 if self.low >= 0 else 0)
        return magnitude.bit_length() + self.signed


@dataclass(frozen=True, eq=False)
class Requantization:
    """From sums to stored values: ``clip(round_half_even(sum * multiplier / 2**shift), low, high)``.

    Of that, values from 1 to ``threshold`` - 1 become 0. A threshold needs ``low`` to be 0.

    ``multiplier`` (unsigned, 17 bits) and ``shift`` (0 to 63) are int64 arrays with one entry per
    channel; ReLU and ReLU6 are ``low`` and ``high``. Adding the zero point after rounding and
    storing ``q - zero_point`` cancel out.
    """
    multiplier: np.ndarray
    shift: np.ndarray
    low: int
    high: int
    threshold: int = 0


@dataclass(frozen=True, eq=False)
class Conv:
    """Convolution, or a fully connected layer as one whose kernel is the whole map.

    ``weights`` (filters, kernel height, kernel width, channels of a group) and ``bias`` (filters)
    are int64; ``padding`` is (top, left, bottom, right). With ``groups``, the filters of group g,
    as many for each, see channels ``g * weights.shape[3]`` and following only.
    """
    name: str
    input: str
    output: str
    weights: np.ndarray
    bias: np.ndarray
    requantization: Requantization
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    op: str = "conv"            # or "fc", "depthwise", "grouped": how the report names it
    groups: int = 1             # divides channels and filters

    @property
    def inputs(self):
        return (self.input,)

    @property
    def kernel(self):
        return self.weights.shape[1:3]


@dataclass(frozen=True, eq=False)
class Pool:
    """Maximum (``op`` "max") or sum ("avg") of each channel over a window.

    An average is a sum whose requantization holds the division; it is global when the kernel is
    the whole map. A maximum has no requantization: input and output share scale and zero point.

    ``counted`` is the part of the padding that an average counts as pixels, None for all of it. If
    it is given, windows have different divisors, and entry n - 1 of the requantization is that of
    windows with n taps inside the map and the counted padding, 1 to all taps.
    """
    name: str
    input: str
    output: str
    op: str
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    requantization: Requantization | None = None
    counted: tuple[int, int, int, int] | None = None

    @property
    def inputs(self):
        return (self.input,)


def output_size(node, height, width):
    """Height and width of what a Conv or Pool makes of a map, each below 1 if it does not fit."""
    top, left, bottom, right = node.padding
    return tuple(
        (size + padding - dilation * (kernel - 1) - 1) // stride + 1
        for size, padding, kernel, stride, dilation
        in zip((height, width), (top + bottom, left + right), node.kernel, node.stride,
               node.dilation))


@dataclass(frozen=True, eq=False)
class Add:
    """Sum of two tensors of one shape, rounded once.

    With q = stored + zero point, the stored result is ``clip(round_half_even((a * multipliers[0]
    + b * multipliers[1]) / 2**shift + zero_point) - zero_point, low, high)``: the zero point
    matters, as a tie goes to the even q. ``multipliers`` are two integers below 2**17;
    ``threshold`` is as in :class:`Requantization`.
    """
    name: str
    first: str
    second: str
    output: str
    multipliers: tuple[int, int]
    shift: int
    zero_point: int
    low: int
    high: int
    threshold: int = 0
    op: str = "add"

    @property
    def inputs(self):
        return (self.first, self.second)


@dataclass(frozen=True, eq=False)
class Concat:
    """The channels of several tensors one after the other; scale and zero point are common."""
    name: str
    inputs: tuple[str, ...]
    output: str
    op: str = "concat"


@dataclass(frozen=True, eq=False)
class Slice:
    """A box of a map: ``size`` (height, width, channels) from ``start``, every ``step``-th (y, x)."""
    name: str
    input: str
    output: str
    start: tuple[int, int, int]
    size: tuple[int, int, int]
    step: tuple[int, int] = (1, 1)
    op: str = "slice"

    @property
    def inputs(self):
        return (self.input,)


@dataclass(frozen=True, eq=False)
class Pad:
    """A map with ``value`` ``before`` and ``after`` it in height, width and channels."""
    name: str
    input: str
    output: str
    before: tuple[int, int, int]
    after: tuple[int, int, int]
    value: int = 0
    op: str = "pad"

    @property
    def inputs(self):
        return (self.input,)


@dataclass(frozen=True, eq=False)
class Upsample:
    """Each pixel ``factor`` (vertically, horizontally) times: nearest neighbour."""
    name: str
    input: str
    output: str
    factor: tuple[int, int]
    op: str = "upsample"

    @property
    def inputs(self):
        return (self.input,)


@dataclass(frozen=True, eq=False)
class Table:
    """A pointwise function by table.

    ``values`` is int64 (1 or channels, entries): one row, or each channel's, holds the stored
    results of the input's stored values from ``low`` on, its tensor's lowest.
    """
    name: str
    input: str
    output: str
    low: int
    values: np.ndarray
    op: str = "table"

    @property
    def inputs(self):
        return (self.input,)


KINDS = {kind.__name__: kind for kind in (Conv, Pool, Add, Concat, Slice, Pad, Upsample, Table)}


@dataclass(frozen=True, eq=False)
class Graph:
    """Tensors by name, nodes in an order in which every input is made before it is read.

    ``input_table``, if there is one, is the stored value of each raw pixel value: int64
    (channels, 256). Padding of the input is 0 as everywhere, whatever the table has.
    """
    name: str
    input: str
    outputs: tuple[str, ...]
    tensors: dict[str, Tensor]
    nodes: tuple = field(default_factory=tuple)
    input_table: np.ndarray | None = None

    def to_arrays(self):
        """Split into a JSON-ready dict and a dict of arrays, see :meth:`from_arrays`."""
        arrays = {}

        def plain(value, path):
            if isinstance(value, np.ndarray):
                arrays[path] = value
                return {"array": path}
            if dataclasses.is_dataclass(value):
                return {f.name: plain(getattr(value, f.name), f"{path}.{f.name}")
                        for f in dataclasses.fields(value)}
            return list(value) if isinstance(value, tuple) else value

        return {
            "name": self.name, "input": self.input, "outputs": list(self.outputs),
            "tensors": [dataclasses.asdict(t) for t in self.tensors.values()],
            "nodes": [{"kind": type(n).__name__, **plain(n, n.name)} for n in self.nodes],
            "input_table": plain(self.input_table, "input_table"),
        }, arrays

    @classmethod
    def from_arrays(cls, plain, arrays):
        """The graph that :meth:`to_arrays` split."""
        def whole(value):
            if isinstance(value, dict):
                if "array" in value:
                    return arrays[value["array"]]
                return Requantization(**{k: whole(v) for k, v in value.items()})
            return tuple(value) if isinstance(value, list) else value

        nodes = tuple(
            KINDS[n["kind"]](**{k: whole(v) for k, v in n.items() if k != "kind"})
            for n in plain["nodes"])
        return cls(plain["name"], plain["input"], tuple(plain["outputs"]),
                   {t["name"]: Tensor(**t) for t in plain["tensors"]}, nodes,
                   whole(plain.get("input_table")))
