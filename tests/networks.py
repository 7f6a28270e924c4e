"""Small integer graphs with random weights, for the tests of whole designs."""
from dataclasses import replace

import numpy as np

from cores.graph import Add, Conv, Graph, Pool, Requantization, Tensor
from cores.scaling import add_scales, requantization
from sim import reference


def limits(bits, signed):
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


def scaled(sums, low, high):
    """A requantization that spreads typical ``sums`` (..., channels) over the range."""
    spread = np.maximum(np.abs(sums).reshape(-1, sums.shape[-1]).max(0), 1)
    return requantization(1.5 * max(high, -low) / spread, low, high, sum_min=-spread, sum_max=spread)


def chain(*layers, shape, low=0, high=255, weight_bits=8, seed=0, zero_point=0, out_zero_point=0,
          name="chain", frames=2):
    """A chain of layers on a map of ``shape``, and ``frames`` random inputs for it.

    A layer is a dict: ``op`` ("conv", "depthwise", "fc", "max", "avg", "add"), ``filters``,
    ``kernel``, ``stride``, ``padding``, and the ``low`` and ``high`` of its output (0 and 255 if
    absent), and its ``threshold``. It reads the tensor before it, or the one named ``source``; an addition reads ``other``
    too. Layer n makes the tensor ``tn``.
    """
    rng = np.random.default_rng(seed)
    x = rng.integers(low, high + 1, (frames, *shape))
    x[rng.random(x.shape) < 0.5] = 0
    tensors = {"in": Tensor("in", *shape, low, high, zero_point)}
    nodes, source, made = [], "in", {"in": x}
    for number, layer in enumerate(layers):
        source = layer.get("source", source)
        op, tensor, values = layer["op"], tensors[source], made[source]
        kernel = tensor.shape[:2] if op == "fc" else layer.get("kernel", (3, 3))
        window = {"stride": layer.get("stride", (1, 1)), "padding": layer.get("padding", (0,) * 4)}
        low_out, high_out = layer.get("low", 0), layer.get("high", 255)
        common = (f"{op}{number}", source, f"t{number}")
        if op in ("conv", "fc", "depthwise"):
            limit = 1 << weight_bits - 1
            groups = tensor.channels if op == "depthwise" else 1
            filters = tensor.channels if op == "depthwise" else layer["filters"]
            weights = rng.integers(-limit, limit, (filters, *kernel, tensor.channels // groups))
            bias = rng.integers(-99, 99, filters)
            node = Conv(*common, weights, bias, None, **window, op=op, groups=groups)
            sums = reference.conv_sums(values, node)
            scale = replace(scaled(sums, low_out, high_out), threshold=layer.get("threshold", 0))
            node = Conv(*common, weights, bias, scale, **window, op=op, groups=groups)
        elif op == "add":
            multipliers, shift = add_scales(0.75, 0.5, 1.0)
            node = Add(f"add{number}", source, layer["other"], f"t{number}", multipliers, shift, 3,
                       low_out, high_out, layer.get("threshold", 0))
        else:
            scale = None
            if op == "avg":
                scale = scaled(reference.sum_pool(values, Pool(*common, op, kernel, **window)),
                               low_out, high_out)
            else:
                low_out, high_out = tensor.low, tensor.high
            node = Pool(*common, op, kernel, **window, requantization=scale)
        values = reference.run_node(node, *(made[name] for name in node.inputs))
        made[f"t{number}"] = values
        last = number == len(layers) - 1
        tensors[f"t{number}"] = Tensor(f"t{number}", *values.shape[1:], low_out, high_out,
                                       out_zero_point if last else 0)
        nodes.append(node)
        source = f"t{number}"
    return Graph(name, "in", (source,), tensors, tuple(nodes)), x


__all__ = ["Requantization", "chain", "limits"]
