"""Whether a design fits a board, and which board it would fit."""
from dataclasses import replace

from cores.errors import UserError
from cores.graph import Conv
from cores.resources.predict import Resources, design_resources
from cores.stages import weight_width
from platforms import board, boards

__all__ = ["ROUTABLE", "check_fit", "check_weights", "counted", "fits", "number"]

NAMES = {"dsp": "DSP", "lut": "LUT", "ff": "FF", "bram36": "BRAM36"}
ROUTABLE = {"lut": 0.7, "bram36": 0.9}      # shares of a device that tools can place and route at speed
BLOCK_BITS, LUT_BITS = 36 << 10, 64


def fits(resources, target):
    """Whether a board has all of ``resources``."""
    return all(getattr(resources, name) <= target.resources[name] for name in NAMES)


def check_fit(network, design, engine, resources, target):
    """Refuse a design that takes more than a board has.

    Raises
    ------
    UserError
        With what is needed, what is available, and the smallest board that would hold the design.
    """
    if not fits(resources, target):
        raise UserError(_refusal(network, resources, target, lambda other: design_resources(
            network, design, replace(engine, family=other.mac))[0]))


def check_weights(network, target):
    """Refuse a network whose weights alone take more than all memory of a board, LUTs included.

    Raises
    ------
    UserError
    """
    bits = sum(node.weights.size * weight_width(node) for node in network.nodes if isinstance(node, Conv))

    def least(other):
        return Resources(bram36=-(-max(0, bits - LUT_BITS * other.resources["lut"]) // BLOCK_BITS))
    if not fits(least(target), target):
        raise UserError(_refusal(network, least(target), target, least, "weights alone, besides all LUTs, "))


def _refusal(network, resources, target, needed, what=""):
    """Why not, and what else; ``needed(other)`` is what another board would have to hold."""
    over = [f"{what}{noun} {number(getattr(resources, name))} needed, {number(target.resources[name])} available"
            for name, noun in NAMES.items() if getattr(resources, name) > target.resources[name]]
    others = sorted(map(board, boards()), key=lambda other: (other.resources["dsp"], other.resources["lut"]))
    holds = next((other.name for other in others if fits(needed(other), other)), None)
    hint = f"the smallest registered board that holds it is {holds}" if holds else "no registered board holds it"
    return (f"{network.name!r} does not fit {target.name} (predicted): {'; '.join(over)}; {hint}; "
            "give a smaller budget, or --no-fit to build it all the same")


def counted(count, noun):
    """A count with its noun."""
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def number(count):
    """A count for a reader; block memories come in halves, multipliers in parts."""
    return f"{count:,.2f}".rstrip("0").rstrip(".")
