"""What may follow the last layer: left to the host, which has the outputs."""
from cores.importer.registry import operator
from cores.importer.values import Host, Real, Sums

TAIL = ("Softmax", "LogSoftmax", "ArgMax", "TopK")


@operator(*TAIL, ignore_attributes=True)
def tail(node, state):
    value = node.value(0)
    if isinstance(value, Sums):
        node.refuse(f"input {node.proto.input[0]!r} is not quantized; put a QuantizeLinear and a "
                    "DequantizeLinear before this node")
    if not isinstance(value, (Real, Host)):
        node.refuse(f"input {node.proto.input[0]!r} must be an activation of the network")
    state.notes.append(f"{node.op} node {node.name!r} is left to the host, which reads "
                       f"{value.tensor.name!r}")
    return tuple(Host(value.tensor) for _ in node.proto.output)
