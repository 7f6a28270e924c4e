"""What the stages of a design do in each cycle, for counters beside them."""
from dataclasses import dataclass
from fractions import Fraction

from amaranth import Cat, Signal

from cores.stages import operands
from hdl.conv import Conv
from hdl.depthwise import Depthwise
from hdl.window import Window

__all__ = ["ACTIVITIES", "Counted", "products_per_lookup", "stage_events", "watch_stage", "watch_port"]

# What a unit does in a cycle: exactly one of these.
ACTIVITIES = "busy", "starved", "blocked"


@dataclass(frozen=True)
class Counted:
    """A kind of event: of a unit, up to ``most`` in a cycle."""
    unit: str
    kind: str
    most: int = 1


def stage_events(stages):
    """The events of all stages, in the order in which :class:`~cores.top.Top` reports them.

    First come the look-ups of the stages that multiply, then what each stage does.

    Parameters
    ----------
    stages : dict
        Component of each node by name.

    Returns
    -------
    list of Counted
    """
    lookups = [Counted(name, "lookups", len(stage.window.o)) for name, stage in stages.items() if _multiplies(stage)]
    return lookups + [Counted(name, kind) for name in stages for kind in ACTIVITIES]


def products_per_lookup(stage):
    """Products of one look-up, a Fraction: exact when counted over whole frames; None where nothing is multiplied.

    A value that is looked up meets the weights of all PEs, of which some have no filter in the last pass.
    """
    if isinstance(stage, Conv):
        window = stage.window
        return Fraction(stage.o.signature.channels // window.groups, window.passes)
    return Fraction(1) if isinstance(stage, Depthwise) else None


def watch_stage(m, stage, name):
    """The events of a stage by their kind, from registers.

    ``lookups``: non-zero values that lanes multiply in the cycle. Exactly one of the following:

    - ``blocked``: a result waits at the output, and no lane takes a product, or, in a stage without a
      window, nothing moves;
    - ``busy``: else, a lane has a window to work on, or takes a product (without a window: something moves);
    - ``starved``: else. There is nothing to do.
    """
    outputs = stage.o.way
    waiting = _any(way.valid & ~way.ready for way in outputs)
    window = getattr(stage, "window", None)
    kinds = {}
    if isinstance(window, Window):
        taken = [product.valid & product.ready for product in window.o]
        moving = _any(taken)
        working = moving | window.active | _any(product.valid for product in window.o)
        if _multiplies(stage):
            # A register in front of the sum: the handshake of a lane is no place for more logic.
            found = Signal(len(taken), name=f"found_{name}")
            m.d.sync += found.eq(Cat(take & (product.payload.value != 0)
                                     for take, product in zip(taken, window.o)))
            kinds["lookups"] = sum(found, 0) if len(taken) > 1 else found
    else:
        ways = [way for port in operands(stage) for way in port.way] + list(outputs)
        moving = working = _any(way.valid & way.ready for way in ways)
    return kinds | _exclusive(busy=moving | (working & ~waiting), blocked=waiting & ~moving)


def watch_port(valid, ready):
    """The same of an AXI4-Stream.

    ``busy``: a beat is taken; ``blocked``: a beat waits; ``starved``: there is none.
    """
    return _exclusive(busy=valid & ready, blocked=valid & ~ready)


def _exclusive(*, busy, blocked):
    return {"busy": busy, "starved": ~busy & ~blocked, "blocked": blocked}


def _multiplies(stage):
    return products_per_lookup(stage) is not None


def _any(values):
    return Cat(values).any()
