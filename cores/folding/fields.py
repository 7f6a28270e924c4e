"""Foldings as rows of a table: there are too many for an object each."""
import numpy as np

from cores.stages import Folding

__all__ = ["FIELDS", "fields_of", "folding_of"]

FIELDS = ("lanes", "row_lanes", "pes", "ways", "out_ways", "requantize_cycles", "windows", "serial")


def fields_of(foldings):
    """Array of int (N, 8): :data:`FIELDS` of each."""
    return np.array([[getattr(folding, name) for name in FIELDS] for folding in foldings], int).reshape(-1, len(FIELDS))


def folding_of(row):
    """The Folding with these :data:`FIELDS`."""
    fields = dict(zip(FIELDS, row.tolist()))
    return Folding(**fields | {"serial": bool(fields["serial"])})
