"""From real scales to the integer multiplier and shift of the requantizer."""
import numpy as np

from cores.graph import Requantization
from hdl.bounds import sum_bounds

__all__ = ["MULTIPLIER_BITS", "requantization", "requantized_conv", "add_scales"]

MULTIPLIER_BITS = 17
_TOP = 1 << MULTIPLIER_BITS


def requantization(scale, low, high, *, sum_min, sum_max):
    """The requantization that multiplies by ``scale``.

    The multiplier is ``scale`` rounded to 17 significant bits. A channel none of whose sums can
    leave 0 (a scale as small as 1e-16 marks a filter without weights) gets multiplier 0 and the
    smallest shift of the others, so that it does not widen the hardware's range of shifts.

    Parameters
    ----------
    scale : float array, (channels)
        Real value of one unit of the sum, in units of the output.
    low, high : int
        Clamp bounds of the output.
    sum_min, sum_max : integer array or float array, (channels)
        What the sums can reach.

    Raises
    ------
    ValueError
        If a scale is not positive and finite, or reaches 2**17.
    """
    scale = np.asarray(scale, np.float64)
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        raise ValueError("Scale must be positive and finite")
    fraction, exponent = np.frexp(scale)            # scale = fraction * 2**exponent, from 0.5
    multiplier = np.rint(fraction * _TOP).astype(np.int64)
    carried = multiplier == _TOP
    multiplier[carried] //= 2
    shift = MULTIPLIER_BITS - exponent.astype(np.int64) - carried
    if (shift < 0).any():
        raise ValueError(f"Scale must be below 2**{MULTIPLIER_BITS}, not {scale.max():g}")
    first, last = _ends(scale, low, high, sum_min, sum_max)
    # Beyond a shift of 63, even a sum of 45 bits rounds to 0.
    silent = (shift > 63) | ((first == 0) & (last == 0) & (low <= 0 <= high))
    multiplier[silent] = 0
    shift[silent] = shift[~silent].min() if not silent.all() else 0
    return Requantization(multiplier, shift, int(low), int(high))


def requantized_conv(weights, bias, scale, low, high, *, input_low, input_high):
    """Weights, bias and requantization of a convolution, its constant filters made cheap.

    A filter whose output cannot leave its rounded bias gets weights of 0 and the shortest bias
    that gives the same output: its own bias, which is counted in units of a vanishing scale, may
    need more bits than the sums of all other filters.

    Parameters
    ----------
    weights : int64 array, (filters, ...)
    bias : float or integer array, (filters)
        In units of a sum, not yet rounded.
    scale, low, high
        See :func:`requantization`.
    input_low, input_high : int
        Range of the inputs, ``input_low <= 0 <= input_high``.

    Returns
    -------
    (weights, bias, requantization)
        Integers, exact but for the rounding of the bias.

    Raises
    ------
    ValueError
        If a scale is out of range, or the bias of a filter that is no constant exceeds 45 bits.
    """
    scale = np.asarray(scale, np.float64)
    bias = np.rint(np.asarray(bias, np.float64))
    minimum, maximum = sum_bounds(weights, 0, input_low, input_high)
    first, last = _ends(scale, low, high, minimum + bias, maximum + bias)
    constant = first == last
    if (np.abs(bias[~constant]) >= 2.0**45).any():
        raise ValueError("Bias must be below 2**45 units of the sum")
    weights = np.where(constant.reshape(-1, *[1] * (weights.ndim - 1)), 0, weights)
    bias = np.where(constant, 0, bias).astype(np.int64)
    # A silent filter's scale is anything at all; 1 is as good as another.
    scale = np.where(constant, 1.0, scale)
    minimum, maximum = sum_bounds(weights, bias, input_low, input_high)
    result = requantization(scale, low, high, sum_min=minimum, sum_max=maximum)
    _round_biases(result, bias, scale)
    level = constant & (first != 0)
    if level.any():
        half = MULTIPLIER_BITS - 1
        # As far up as the other filters' sums are: c * 2**up * 2**16 / 2**(16 + up) is c.
        others = result.shift[~constant]
        shift = max(half, min(int(others.min()), half + 24)) if others.size else half
        bias[level] = first[level].astype(np.int64) << (shift - half)
        result.multiplier[level] = 1 << half
        result.shift[constant] = shift
    return weights, bias, result


def _round_biases(result, bias, scale):
    """Move multipliers by a unit of 17 bits where a bias alone is rounded to the wrong side by them.

    The bias is by far the most common sum, all of a channel whose inputs are dead. Filters of one
    scale keep one multiplier. Wanted is what float32 gives, as onnxruntime computes it.
    """
    with np.errstate(over="ignore"):
        wanted = np.clip(np.rint(bias.astype(np.float32) * scale.astype(np.float32)), result.low, result.high)
    _, group = np.unique(scale, return_inverse=True)
    steps = np.array([0, -1, 1])
    wrong = []
    for multiplier in result.multiplier + steps[:, None]:
        rounded = np.clip(np.rint(np.ldexp(bias * multiplier.astype(np.float64), -result.shift)),
                          result.low, result.high)
        inside = (multiplier >= _TOP // 2) & (multiplier < _TOP)
        wrong.append(np.bincount(group, np.where(inside, rounded != wanted, len(bias))))
    best = np.argmin(wrong, axis=0)[group]
    result.multiplier[...] += np.where(result.multiplier > 0, steps[best], 0)


def add_scales(scale_a, scale_b, scale_out):
    """Multipliers and shift of an :class:`~cores.graph.Add` of real scales.

    The larger multiplier has 17 significant bits. The other has as many bits behind the binary
    point, so that both add the same error to a result. Beyond a shift of 63 the sum is always 0,
    and so are both multipliers.

    Returns
    -------
    (multipliers, shift) : ((int, int), int)

    Raises
    ------
    ValueError
        If a ratio of scales is not positive and finite, or reaches 2**17.
    """
    with np.errstate(all="ignore"):
        ratios = np.divide([scale_a, scale_b], scale_out, dtype=np.float64)
    if not (np.isfinite(ratios).all() and (ratios > 0).all()):
        raise ValueError("Scales must be positive and their ratios finite, "
                         f"not {scale_a}, {scale_b} and {scale_out}")
    shift = MULTIPLIER_BITS - int(np.frexp(ratios.max())[1])
    if np.rint(np.ldexp(ratios.max(), shift)) == _TOP:
        shift -= 1
    if shift < 0:
        raise ValueError(
            f"Ratio of scales must be below 2**{MULTIPLIER_BITS}, not {ratios.max():g}")
    if shift > 63:
        return (0, 0), 0
    first, second = np.rint(np.ldexp(ratios, shift)).astype(int).tolist()
    return (first, second), shift


def _ends(scale, low, high, sum_min, sum_max):
    """Outputs of the smallest and the largest sum; everything between lies between."""
    return tuple(np.clip(np.rint(np.asarray(end, np.float64) * scale), low, high)
                 for end in (sum_min, sum_max))
