"""Quantized files as onnxruntime runs them, and runs them exactly."""
import numpy as np
import onnx

from cores.errors import UserError
from cores.quantization.replace_all import replace_all

__all__ = ["float_averages", "session", "with_zero_points"]


def session(model):
    """onnxruntime on a serialized model, with 8-bit products kept exact.

    Processors without VNNI add two products of unsigned by signed numbers in 16 bits, which
    saturate, unless told not to: the signed become unsigned then. Where both are signed, nothing
    saturates, and onnxruntime has no kernel for what it would make of them.
    """
    import onnxruntime  # late: only networks that are checked need it
    from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

    def run(exact):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4      # failures are told once
        options.add_session_config_entry("session.x64quantprecision", exact)
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    try:
        try:
            return run("1")
        except NoKernel:
            return run("0")
    except Exception as error:          # onnxruntime's own have no public base
        raise UserError("onnxruntime cannot run the model; check it "
                        f"({str(error).splitlines()[0]})") from error


def float_averages(model, names):
    """Results of average pools to show, which keeps onnxruntime from pooling integers.

    Its QLinearAveragePool knows no dilations, and in ceil_mode counts other pads than AveragePool.
    """
    result = []
    for node in model.graph.node:
        if node.op_type == "AveragePool" and node.output[0] not in names:
            attributes = {a.name: a for a in node.attribute}
            if "ceil_mode" in attributes or "dilations" in attributes:
                result.append(onnx.helper.make_tensor_value_info(node.output[0], onnx.TensorProto.FLOAT, None))
    return result


def with_zero_points(model):
    """A copy that has the zero points of weights and biases with several scales written out.

    One that is left out is 0, but where it keeps 8-bit products exact, onnxruntime makes it one
    number and then wants it to have as many as there are scales. It also fails there on weights that
    two layers share: each has its own.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    stored.update({node.output[0]: attribute.t for node in graph.node for attribute in node.attribute
                   if node.op_type == "Constant" and attribute.name == "value"})
    for node in graph.node:
        if (node.op_type == "DequantizeLinear" and {*node.input[:2]} <= stored.keys()
                and not any(node.input[2:]) and len(stored[node.input[1]].dims) == 1):
            name, integers = f"{node.output[0]}:zero_point", stored[node.input[0]]
            dims = stored[node.input[1]].dims
            graph.initializer.append(onnx.helper.make_tensor(
                name, integers.data_type, dims, np.zeros(dims, int)))
            node.input[2:] = [name]
    _copy_shared(graph)
    return result


def _copy_shared(graph):
    """Give each node constants of its own, and each reader of a DequantizeLinear of one, too."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    makers = {node.output[0]: node for node in graph.node
              if node.op_type == "DequantizeLinear" and node.input[0] in stored}
    taken, nodes = set(), []

    def own(node):
        for index, name in enumerate(node.input):
            if name in taken:
                node.input[index] = copied = f"{name}:of:{node.output[0]}:{index}"
                if name in stored:
                    graph.initializer.add().CopyFrom(stored[name])
                    graph.initializer[-1].name = copied
                else:
                    maker = onnx.NodeProto()
                    maker.CopyFrom(makers[name])
                    maker.name = maker.output[0] = copied
                    own(maker)
            elif name in stored or name in makers:
                taken.add(name)
        nodes.append(node)

    for node in graph.node:
        own(node)
    replace_all(graph.node, nodes)
