"""Arithmetic of constants: what exporters compute from a Shape where the batch is not fixed."""
import warnings

import numpy as np
import onnx
from onnx import helper

__all__ = ["folded"]


def folded(node, state, opsets):
    """What a :class:`Node` of nothing but constants makes, by ONNX's reference evaluator.

    Parameters
    ----------
    node : Node
    state : State
    opsets : sequence of onnx.OperatorSetIdProto
        Those of the file.

    Returns
    -------
    tuple of array
        One for each output. None if the node is not of this kind: quantized constants stay integers.
    """
    proto, names = node.proto, [name for name in node.proto.input if name]
    arrays = {name: state.values.get(name) for name in names}
    if (not names or proto.domain not in ("", "ai.onnx")
            or node.op in ("QuantizeLinear", "DequantizeLinear")
            or not all(isinstance(array, np.ndarray) for array in arrays.values())
            or any(a.type == onnx.AttributeProto.GRAPH for a in proto.attribute)):
        return None
    graph = helper.make_graph(
        [proto], "constants", [helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in arrays.items()],
        [helper.make_empty_tensor_value_info(name) for name in proto.output if name])
    model = helper.make_model(graph, opset_imports=[
        o for o in opsets if o.domain in ("", "ai.onnx")])
    try:
        from onnx.reference import ReferenceEvaluator  # late: it takes a second, few files need it

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = iter(ReferenceEvaluator(model).run(None, arrays))
    except Exception as error:          # whatever the operator's own code raises
        node.refuse(f"cannot be computed from its constants; check the model ({error})")
    return tuple(next(made) if name else None for name in proto.output)
