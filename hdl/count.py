"""A counter that knows a cycle ahead when it reaches its end."""
from amaranth import Const, Mux, Signal

__all__ = ["count_both_ways", "counter"]


def counter(m, count, step, *, name):
    """Count ``step`` from 0 to ``count`` - 1 and begin anew.

    Much logic waits for the end of a count, and nothing needs the count so soon.

    Returns
    -------
    (value, end)
        The count, and whether it is the last one: both registers.
    """
    value, end = Signal(range(count), name=name), Signal(name=f"{name}_end")
    if count == 1:
        return value, Const(1)
    with m.If(step):
        m.d.sync += [value.eq(Mux(end, 0, value + 1)), end.eq(value == count - 2)]
    return value, end


def count_both_ways(m, value, up, down, *, early):
    """Count the register ``value`` up and down, in one adder that waits for ``early`` only: ``up`` or ``down``."""
    with m.If(up ^ down):
        m.d.sync += value.eq(value + (Mux(up, 1, -1) if early is up else Mux(down, -1, 1)))
