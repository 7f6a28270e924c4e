"""How much of what logic grows with each component has: the terms of the resource model.

Every function returns a dict of amounts by the name of their coefficients, which
cores.resources.calibrate finds: see docs/resources.md. Names that end in "_xcup" count only there, where
Yosys leaves registers of a multiplication outside the DSP block.
"""
import functools
from math import gcd

from amaranth import Shape
from amaranth.utils import bits_for

from hdl.clusters import QUEUED, cluster_count
from hdl.digits import digit_count
from hdl.mac import dsp_count
from hdl.reduce import most_taps
from hdl.stream import channels_of_way
from hdl.window import default_slots

__all__ = ["accumulator", "axi_in", "axi_out", "bits", "clusters", "deal", "digits", "dots", "lane", "pitch_adders", "queue", "reduce",
           "requantize", "stepper", "sum_of", "times", "weigh", "window"]

SMALLEST_PRODUCT = 9        # bits of a product for which Yosys takes a DSP block


def bits(values):
    """Bits of a number below ``values``."""
    return bits_for(values - 1) if values > 1 else 0


def pitch_adders(size):
    """Adders that ``number * size`` takes, see :func:`hdl.pitch.times`; none for a power of two."""
    if size & (size - 1) == 0:
        return 0
    count = 0
    while size:
        if size & 1:
            size -= 2 - (size & 3) if size > 1 else 1
            count += 1
        size >>= 1
    return count


def queue(depth, count=1):
    """``count`` queues."""
    return {"queue": count, "queue address": count * max(1, bits(depth))}


def window(shape, *, walk, channels, ways, lanes, row_lanes, passes=1, groups=1, windows=4,
           by_channel=False):
    """A window: steppers, and lanes."""
    given = {"walk": walk, "share": channels_of_way(channels, lanes), "row_lanes": row_lanes,
             "passes": passes, "groups": groups}
    return sum_of(times(ways, stepper(**given)), deal(channels, ways=ways, lanes=lanes, row_lanes=row_lanes),
                  times(lanes, lane(shape, **given, windows=windows, by_channel=by_channel)))


def stepper(*, walk, share, row_lanes, passes, groups):
    """The steppers of one way, in front of lanes with a ``share`` of the channels."""
    slots = default_slots(walk, channels=share, row_lanes=row_lanes)
    each = {"stepper": 1, "stepper slot": bits(slots),
            "stepper map": bits(walk.out_height) + bits(walk.out_width),
            "stepper reach": bits(walk.height * walk.width),
            "stepper border": sum(_border(axis) for axis in walk.axes()),
            "stepper tap": bits(walk.taps // row_lanes * groups * passes)}
    return times(row_lanes, sum_of(each, queue(16)))


def deal(channels, *, ways, lanes, row_lanes):
    """What gives the channels of each way to its lanes: counts of channels, but for powers of two."""
    share = lanes // ways
    return {"deal": ways * row_lanes * (share & (share - 1) != 0) * channels_of_way(channels, ways)}


def lane(shape, *, walk, share, row_lanes, passes, groups, windows, by_channel=False):
    """One channel lane: all its row lanes."""
    slots, size = default_slots(walk, channels=share, row_lanes=row_lanes), share // groups
    taps = bits(walk.taps // row_lanes * groups * passes)
    weights = bits(1 if by_channel else walk.taps // row_lanes * groups * passes * size)
    wraps = slots & (slots - 1) != 0
    base = bits(slots * share)
    each = {
        "lane": 1, "lane slot": bits(slots), "lane wrap": wraps * bits(slots),
        "lane tap": taps, "lane channel": bits(size), "lane value": Shape.cast(shape).width,
        "lane base": base * pitch_adders(size), "lane offset": base * (size & (size - 1) != 0),
        "lane weights": weights * (0 if by_channel else 1 + pitch_adders(size)),
        "lane group": (groups - 1) * (bits(size) + 1)}
    return times(row_lanes, sum_of(each, queue(windows * groups * passes), queue(4)))


@functools.cache
def _border(axis):
    """Places at the map's border, where a window has fewer taps inside."""
    usual = max(count for _, count in axis.inside)
    return sum(count != usual for _, count in axis.inside)


def dots(shape, *, lanes, pes, ways, weight_width, sum_width, family, serial=False):
    """The dot products of all lanes."""
    held = pes // ways
    amounts = {"dot": lanes, "dot way": lanes * ways, "dot held": lanes * pes * sum_width,
               "dot mux": lanes * ways * sum_width * -(-(held - 1) // 3)}
    if serial:
        return sum_of(amounts, {"digit total": lanes * pes * sum_width},
                      times(lanes, digits(shape, weight_width=weight_width, count=pes)))
    if family == "mult18x18d":
        return amounts | {"dot accumulator": lanes * pes * sum_width}
    if family != "dsp48e2":
        if Shape.cast(shape).width + weight_width < SMALLEST_PRODUCT:
            return amounts | {"dot soft": lanes * pes * (Shape.cast(shape).width * weight_width + sum_width)}
        return amounts | {"dot weights": lanes * pes * weight_width, "dot multiplier": lanes * pes}
    amounts |= {"dot weights_xcup": lanes * pes * weight_width, "dot multiplier_xcup": lanes * pes}
    blocks = dsp_count(pes=pes, ways=ways, shape=shape, weight_width=weight_width,
                       sum_width=sum_width, family=family)
    if blocks < pes:        # pairs
        carries = max(0, sum_width - 18)
        amounts |= {"dot pair": lanes * (pes - blocks), "dot carries": lanes * (pes - blocks) * carries,
                    "dot excess": lanes * (ways if held > 1 else ways // 2) * sum_width}
    return amounts


def digits(shape, *, weight_width, count):
    """``count`` multipliers of one value, digit by digit."""
    number = digit_count(weight_width)
    placed = Shape.cast(shape).width + 2 * number
    return {"digit place": placed * -(-(number - 1) // 3), "digit product": count * placed}


def clusters(shape, *, pes, ways, sum_width, **kwargs):
    """The dot products of a lane, in however many clusters."""
    count = cluster_count(pes, ways)
    each = dots(shape, lanes=1, pes=pes // count, ways=ways, sum_width=sum_width, **kwargs)
    if count == 1:
        return each
    return sum_of(times(count, each), queue(QUEUED, count), {"dot mux": ways * sum_width * -(-(count - 1) // 3)})


def accumulator(*, lanes, sum_width, width, filters, ways, windows=4):
    """Queues of partial sums, and the adders of all lanes and the bias."""
    words = channels_of_way(filters, ways)
    return {"sums": 1, "sums queue": lanes, "sums address": lanes * max(1, bits(windows * words)),
            "sums word": bits(words), "sums adder": lanes * ways * width,
            "sums level": lanes.bit_length()}


def requantize(*, width, shift_bits, shape, channels, ways, family, cycles=1):
    """Requantizers of all ways."""
    wide = width + 17 + (1 << shift_bits) - 1
    amounts = {"scale": ways, "scale shift": ways * wide * shift_bits, "scale width": ways * width,
               "scale point": ways * wide, "scale value": ways * Shape.cast(shape).width,
               "scale channel": bits(channels_of_way(channels, ways))}
    if cycles > 1:
        units = -(-8 // cycles)
        amounts |= {"serial": ways * units, "serial width": ways * units * width}
    elif family == "dsp48e2":
        amounts |= {"scale_xcup": ways, "scale width_xcup": ways * width}
    if cycles == 1 and width > (27 if family == "dsp48e2" else 25):
        amounts["scale second"] = ways * width
    return sum_of(amounts, queue(16, ways))


def weigh(shape, *, weight_width, channels, count, family, serial=False):
    """Multipliers of a depthwise convolution."""
    width = Shape.cast(shape).width + weight_width
    amounts = {"weigh": count, "weigh channel": count * bits(channels)}
    if serial:
        return sum_of(amounts, times(count, digits(shape, weight_width=weight_width, count=1)))
    return amounts | ({"weigh width_xcup": count * width} if family == "dsp48e2" else {})


def reduce(shape, *, walk, channels, count, op, out_width, keep_zeros=False):
    """Reductions of one channel each."""
    kind = f"reduce {op}"
    amounts = {"reduce": count, f"{kind} width": count * out_width,
               "reduce channel": count * bits(channels)}
    if op == "max" and Shape.cast(shape).signed and not keep_zeros:
        amounts["reduce count"] = count * bits_for(most_taps(walk))
    return amounts


def axi_in(*, pixels, channels, ways, beat_samples=8):
    """From samples to pixels; ``ways`` samples are taken at a time."""
    unit = gcd(ways, beat_samples)
    group, beat = ways // unit, beat_samples // unit
    units = group - 1 + beat
    return sum_of({"input": 1, "input way": ways, "input bits": 8 * unit * units,
                   "input mux": 8 * unit * sum(min(group, n + 1) - 1 for n in range(units)),
                   "input place": bits(pixels) + bits(channels_of_way(channels, ways))},
                  queue(16, 1 + ways))


def axi_out(*, pixels, channels, ways, beat_samples=8):
    """From pixels to samples."""
    return sum_of({"output": 1, "output way": ways * (ways > 1), "output bits": 8 * beat_samples,
                   "output place": bits(pixels) + bits(channels_of_way(channels, ways))},
                  queue(channels_of_way(channels, ways), ways if ways > 1 else 0))


def times(count, amounts):
    """Amounts of ``count`` equal components."""
    return {name: count * amount for name, amount in amounts.items()}


def sum_of(*parts):
    """Amounts of several components."""
    result = {}
    for part in parts:
        for name, amount in part.items():
            result[name] = result.get(name, 0) + amount
    return result
