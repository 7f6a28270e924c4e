"""Constants inside the graph."""
import numpy as np

from cores.importer.reader import array
from cores.importer.registry import operator


@operator("Constant")
def constant(node, state):
    """Numbers: value, value_float, value_floats, value_int, value_ints."""
    tensor = node.attribute("value")
    if tensor is not None:
        return array(tensor)
    for name, dtype in (("value_float", np.float32), ("value_floats", np.float32),
                        ("value_int", np.int64), ("value_ints", np.int64)):
        value = node.attribute(name)
        if value is not None:
            return np.array(value, dtype)
    node.refuse("only numbers are supported")
