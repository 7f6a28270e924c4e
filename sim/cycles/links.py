"""Queues: when what is put into one may be taken, and when there is room for more."""
from . import fields as f
from .jit import kernel

__all__ = ["room", "put", "head", "take"]


@kernel
def room(mem, link):
    """First cycle in which the next beat may be put; UNKNOWN while what must leave before has not left."""
    n, depth = mem[link + f.PUTS], mem[link + f.DEPTH]
    if n - mem[link + f.GETS] > depth:
        return f.UNKNOWN
    mask = mem[link + f.MASK]
    cycle = 0
    if n > depth:           # the output register takes the next beat in the cycle in which it is read
        cycle = mem[mem[link + f.GET_AT] + (n - depth - 1 & mask)] + 1
    if n >= depth > 0:
        cycle = max(cycle, mem[mem[link + f.PUT_AT] + (n - depth & mask)] + 2)
    return cycle


@kernel
def put(mem, link, cycle):
    mem[mem[link + f.PUT_AT] + (mem[link + f.PUTS] & mem[link + f.MASK])] = cycle
    mem[link + f.PUTS] += 1


@kernel
def head(mem, link):
    """First cycle in which the next beat may be taken; UNKNOWN while it was not put."""
    n = mem[link + f.GETS]
    if n == mem[link + f.PUTS]:
        return f.UNKNOWN
    mask = mem[link + f.MASK]
    cycle = mem[mem[link + f.PUT_AT] + (n & mask)] + mem[link + f.LATENCY]
    if n > 0:
        cycle = max(cycle, mem[mem[link + f.GET_AT] + (n - 1 & mask)] + 1)
    return cycle


@kernel
def take(mem, link, cycle):
    mem[mem[link + f.GET_AT] + (mem[link + f.GETS] & mem[link + f.MASK])] = cycle
    mem[link + f.GETS] += 1
