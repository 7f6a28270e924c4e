"""The NumPy reference: what every operator and graph means, in exact integers.

Maps are (N, height, width, channels) or, without N, a single one. Stored values are int32, sums
int64.
"""
import numpy as np

from cores.graph import Add, Concat, Conv, Pad, Pool, Slice, Table, Upsample, output_size

__all__ = ["requantize", "conv_sums", "max_pool", "sum_pool", "add", "run_node", "run",
           "run_outputs", "macs", "nonzero_macs"]

# Frames, and elements of an im2col matrix, that are processed at a time: they fit a cache.
_BATCH = 8
_COLUMNS = 1 << 20


def requantize(sums, requantization, index=slice(None)):
    """``clip(round_half_even(sum * multiplier / 2**shift), low, high)``, per last axis.

    What is below the threshold then becomes 0. Exact for sums below 2**45. ``index`` chooses the entries of multiplier and shift, which then
    broadcast against the sums.
    """
    multiplier, shift = (_uniform(array[index])
                         for array in (requantization.multiplier, requantization.shift))
    values = np.asarray(sums, np.int64) * multiplier
    # To half a unit less one step comes the bit that will be the last: ties go to even.
    odd = (values >> shift) & np.minimum(shift, 1)
    values += (1 << np.maximum(shift - 1, 0)) - 1
    values += odd
    values >>= shift
    return _clamp(values, requantization)


def _clamp(values, bounds):
    """Within the bounds, and 0 below the threshold; in place, as int32."""
    np.clip(values, bounds.low, bounds.high, out=values)
    if bounds.threshold > 1:
        values[values < bounds.threshold] = 0
    return values.astype(np.int32)


def _uniform(array):
    """One int64 for an array whose entries agree: NumPy is faster with it."""
    return array.flat[0] if (array == array.flat[0]).all() else array


def _batched(function):
    """Let a function of (N, H, W, C) take (H, W, C) as well."""
    def wrapped(x, node):
        x = np.asarray(x)
        return function(x[None], node)[0] if x.ndim == 3 else function(x, node)
    wrapped.__name__, wrapped.__doc__ = function.__name__, function.__doc__
    return wrapped


def _taps(x, node, fill):
    """For each tap of the kernel, in raster order, what all windows see there."""
    top, left, bottom, right = node.padding
    height, width = output_size(node, *x.shape[1:3])
    if any(node.padding):
        x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
    (down, across), (stride_y, stride_x) = node.dilation, node.stride
    for i in range(node.kernel[0]):
        for j in range(node.kernel[1]):
            y, z = i * down, j * across
            yield x[:, y:y + (height - 1) * stride_y + 1:stride_y,
                    z:z + (width - 1) * stride_x + 1:stride_x]


@_batched
def conv_sums(x, conv):
    """Sums of products and bias, int64."""
    if conv.groups == x.shape[3] == len(conv.weights):
        return _depthwise_sums(x, conv)
    parts = zip(np.split(x, conv.groups, axis=3), np.split(conv.weights, conv.groups), strict=True)
    sums = np.concatenate([_dense_sums(part, conv, weights) for part, weights in parts], axis=3)
    sums += conv.bias
    return sums


def _dense_sums(x, conv, weights):
    """Each of ``weights`` with all channels, bias left out."""
    filters, taps = weights.shape[0], weights[0, ..., 0].size
    matrix = weights.reshape(filters, -1).T
    # Floating point is exact, in any order of addition, while no sum of magnitudes leaves the
    # significand; and is far faster than int64.
    bound = int(np.abs(matrix).sum(axis=0).max()) * max(int(x.max()), -int(x.min()), 1)
    dtype = np.float32 if bound < 1 << 24 else np.float64 if bound < 1 << 53 else np.int64
    matrix = matrix.astype(dtype)
    height, width = output_size(conv, *x.shape[1:3])
    sums = np.empty((len(x), height, width, filters), np.int64)
    chunk = max(1, _COLUMNS // (height * width * matrix.shape[0]))
    for start in range(0, len(x), chunk):
        part = x[start:start + chunk].astype(dtype)
        columns = np.empty((len(part), height, width, taps, x.shape[3]), dtype)
        for tap, seen in enumerate(_taps(part, conv, 0)):
            columns[..., tap, :] = seen
        sums[start:start + chunk] = (columns.reshape(-1, matrix.shape[0]) @ matrix).reshape(
            len(part), height, width, filters)
    return sums


def _depthwise_sums(x, conv):
    """Each channel with a filter of its own, in the narrowest arithmetic that is exact."""
    weights = conv.weights[..., 0].transpose(1, 2, 0).reshape(-1, len(conv.weights))
    bound = int(np.abs(weights).sum(axis=0).max()) * max(int(x.max()), -int(x.min()), 1)
    dtype = np.int32 if bound < 1 << 31 else np.int64
    sums = np.zeros((len(x), *output_size(conv, *x.shape[1:3]), x.shape[3]), dtype)
    for weight, seen in zip(weights.astype(dtype), _taps(x.astype(dtype), conv, 0), strict=True):
        sums += seen * weight
    return sums + conv.bias


@_batched
def max_pool(x, pool):
    """Maximum of each window and channel; padding is minus infinity."""
    taps = _taps(x, pool, np.iinfo(x.dtype).min)
    best = next(taps).copy()
    for seen in taps:
        np.maximum(best, seen, out=best)
    return best


@_batched
def sum_pool(x, pool):
    """Sum of each window and channel, int64; padding is 0."""
    taps = _taps(x, pool, 0)
    sums = next(taps).astype(np.int64)
    for seen in taps:
        sums += seen
    return sums


def add(x_a, x_b, node):
    """``clip(round_half_even((a * m_a + b * m_b) / 2**shift + zero_point) - zero_point, low, high)``.

    What is below the threshold then becomes 0. Exact for values of 17 bits.
    """
    values = np.asarray(x_a, np.int64) * node.multipliers[0]
    values += np.asarray(x_b, np.int64) * node.multipliers[1]
    if node.shift:
        # As in requantize; but the bit that shall be 0 is that of the value plus zero point.
        odd = ((values >> node.shift) + node.zero_point) & 1
        values += (1 << node.shift - 1) - 1
        values += odd
        values >>= node.shift
    return _clamp(values, node)


def _conv(node, x):
    return requantize(conv_sums(x, node), node.requantization)


def _pool(node, x):
    if node.op == "max":
        return max_pool(x, node)
    index = slice(None) if node.counted is None else _counted(node, *x.shape[-3:-1]) - 1
    return requantize(sum_pool(x, node), node.requantization, index)


def _counted(pool, height, width):
    """Taps of each window on the map or its counted padding, (rows, columns, 1)."""
    counts = []
    for axis, (size, outputs) in enumerate(zip((height, width), output_size(pool, height, width))):
        at = (np.arange(outputs)[:, None] * pool.stride[axis] - pool.padding[axis]
              + np.arange(pool.kernel[axis]) * pool.dilation[axis])
        counts.append(((at >= -pool.counted[axis]) & (at < size + pool.counted[axis + 2])).sum(1))
    return np.outer(*counts)[..., None]


def _slice(node, x):
    (top, left, first), (height, width, channels), (down, across) = node.start, node.size, node.step
    return x[..., top::down, left::across, first:][..., :height, :width, :channels]


def _pad(node, x):
    widths = [(0, 0)] * (x.ndim - 3) + list(zip(node.before, node.after))
    return np.pad(x, widths, constant_values=node.value)


def _table(node, x):
    rows = np.arange(x.shape[-1]) if len(node.values) > 1 else 0
    return node.values[rows, x - node.low].astype(np.int32)


_RUN = {
    Conv: _conv, Pool: _pool, Slice: _slice, Pad: _pad, Table: _table,
    Add: lambda node, *operands: add(*operands, node),
    Concat: lambda node, *operands: np.concatenate(operands, axis=-1),
    Upsample: lambda node, x: x.repeat(node.factor[0], axis=-3).repeat(node.factor[1], axis=-2),
}


def run_node(node, *inputs):
    """Stored values that a node makes of the stored values of its inputs."""
    return _RUN[type(node)](node, *inputs)


def run(graph, frames):
    """Stored values of every tensor.

    Parameters
    ----------
    graph : Graph
    frames : integer array, (N, height, width, channels)
        Stored values of the graph's input.

    Returns
    -------
    {tensor's name: int32 array (N, height, width, channels)}

    Raises
    ------
    ValueError
        If the frames do not have the shape or the range of the graph's input.
    """
    frames, tensor = np.asarray(frames), graph.tensors[graph.input]
    if frames.ndim != 4 or frames.shape[1:] != tensor.shape or len(frames) < 1:
        raise ValueError(f"Frames must be (N, {', '.join(map(str, tensor.shape))}), "
                         f"not {frames.shape}")
    if frames.dtype.kind not in "iu":
        raise ValueError(f"Frames must be integers, not {frames.dtype}")
    if frames.min() < tensor.low or frames.max() > tensor.high:
        raise ValueError(f"Frames must be from {tensor.low} to {tensor.high}, "
                         f"not {frames.min()} to {frames.max()}")
    values = {graph.input: frames.astype(np.int32)}
    for node in graph.nodes:
        values[node.output] = np.empty((len(frames), *graph.tensors[node.output].shape), np.int32)
    for start in range(0, len(frames), _BATCH):
        batch = slice(start, start + _BATCH)
        for node in graph.nodes:
            values[node.output][batch] = run_node(
                node, *(values[name][batch] for name in node.inputs))
    return values


def run_outputs(graph, frames):
    """Like :func:`run`, but the graph's outputs only, in the memory of a few frames."""
    parts = [run(graph, frames[i:i + _BATCH]) for i in range(0, max(len(frames), 1), _BATCH)]
    return {name: np.concatenate([part[name] for part in parts]) for name in graph.outputs}


def macs(graph):
    """Products of one frame for each node's name, zeros and padding counted; 0 but for Conv."""
    def count(node):
        tensor = graph.tensors[node.output]
        return tensor.height * tensor.width * node.weights.size if isinstance(node, Conv) else 0

    return {node.name: count(node) for node in graph.nodes}


def nonzero_macs(graph, values):
    """Products with non-zero activations, summed over all frames; padding is never one.

    Parameters
    ----------
    graph : Graph
    values : {tensor's name: array (N, height, width, channels)}
        What :func:`run` returns.

    Returns
    -------
    ({node's name: int}, N)
        Divide by N for the mean of a frame; 0 but for Conv.
    """
    def count(node):
        if not isinstance(node, Conv):
            return 0
        pixels = np.count_nonzero(values[node.input], axis=(0, 3))[None, :, :, None]
        return sum(int(seen.sum()) for seen in _taps(pixels, node, 0)) * len(node.weights) // node.groups

    return {node.name: count(node) for node in graph.nodes}, len(values[graph.input])
