"""Nodes and constants of a graph, put in place of those that it has."""

__all__ = ["replace_all"]


def replace_all(field, values):
    """Let a repeated field of a protocol buffer hold ``values``, which may be its own: emptying it takes these away."""
    values = [type(value).FromString(value.SerializeToString()) for value in values]
    del field[:]
    field.extend(values)
