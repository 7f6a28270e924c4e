"""What may follow the last layer: left to the host, which has the outputs."""
from cores.errors import UserError
from cores.importer.registry import operator
from cores.importer.values import Host, Quantized, Sums

__all__ = ["TAIL", "left_to_host"]

TAIL = ("Softmax", "LogSoftmax", "ArgMax", "TopK")


def left_to_host(node, state, *values, reason=""):
    """Note that the host has a node to compute, from stored tensors or what it has already.

    ``reason`` says why it is no part of the network, should a layer read what it makes.
    """
    tensors, reasons = {}, []
    for value in values:
        if isinstance(value, Host):
            tensors.update((tensor.name, tensor) for tensor in value.tensors)
            reasons.append(value.reason)
        elif isinstance(value, Quantized):
            tensors[value.tensor.name] = value.tensor
        elif isinstance(value, Sums):
            node.refuse("an input is not quantized; put a QuantizeLinear and a DequantizeLinear "
                        "before this node")
        else:
            node.refuse("every input must be an activation of the network")
    state.notes.append(f"{node.op} node {node.name!r} is left to the host, which reads "
                       f"{' and '.join(repr(name) for name in tensors)}")
    if reason:
        try:
            node.refuse(reason)
        except UserError as refusal:
            reason = str(refusal)
    return Host(tuple(tensors.values()), next(filter(None, reasons), reason))


@operator(*TAIL, ignore_attributes=True)
def tail(node, state):
    """Behind the last layer: left to the host."""
    value = node.value(0)
    if isinstance(value, Sums):
        node.refuse(f"input {node.proto.input[0]!r} is not quantized; put a QuantizeLinear and a "
                    "DequantizeLinear before this node")
    host = left_to_host(node, state, value)
    return tuple(host for _ in node.proto.output)
