"""How good a quantization is: figures for the report, and what to try where they are poor."""
from cores import cli
from sim import reference

__all__ = ["advice", "enough", "quality", "summary"]

PICTURES, MOST, PRODUCTS = 16, 256, 2e9     # that the figures of a build are measured on
POOR_DECIBELS, POOR_AGREEMENT = 15, 0.9
_LARGEST = 200.0        # decibels of what has no noise at all: JSON knows no infinity
# What mends a quantization, the best first, by the keyword of cores.quantization.quantize.quantize.
_REMEDIES = {"equalised": "--equalise", "method": "--calib-method percentile",
             "bits16": "--bits16 4", "bits": "--bits 16"}


def enough(network):
    """Number of pictures to measure on: at least 16, more if the network is small."""
    per_picture = sum(reference.macs(network).values())
    return int(min(MOST, max(PICTURES, PRODUCTS // max(per_picture, 1))))


def quality(network, found, options):
    """Figures of how close the integer network comes to the float network.

    Parameters
    ----------
    network : Graph
    found : Comparison
        The network's, with the float network (see :mod:`cores.quantization.agreement`).
    options : dict
        What :func:`cores.quantization.quantize.quantize` was told.

    Returns
    -------
    dict
        Ready for JSON. ``output_snr_db`` is that of the output with the lowest, None if outputs
        are all 0; ``top1_agreement`` is None if no output is one score for each of several classes.
    """
    layers = {name: min(round(float(tensor.decibels), 1), _LARGEST)
              for name, tensor in found.tensors.items() if tensor.decibels is not None}
    outputs = [layers[name] for name in network.outputs if name in layers]
    answers = [found.answers(name) for name in found.expected
               if _classifies(network, name)]
    return {
        "method": options.get("method", "minmax"), "bits": options.get("bits", 8),
        "equalised": options.get("equalised", False), "bits16": _wide(network, options),
        "frames": len(found.outputs[network.outputs[0]]),
        "top1_agreement": min((float((ours == theirs).mean()) for ours, theirs in answers),
                              default=None),
        "output_snr_db": min(outputs, default=None),
        "worst_layer": min(layers, key=layers.get, default=None), "layers": layers,
    }


def _classifies(network, name):
    tensor = network.tensors[name]
    return tensor.height * tensor.width == 1 < tensor.channels


def _wide(network, options):
    """Tensors that have 16 bits though the others have 8."""
    return [name for name, tensor in network.tensors.items()
            if tensor.high - tensor.low > 255] if options.get("bits16") else []


def summary(figures):
    """One line."""
    parts = []
    if figures["top1_agreement"] is not None:
        parts.append(f"top-1 agreement {figures['top1_agreement']:.1%}")
    if figures["output_snr_db"] is not None:
        parts.append(f"output signal-to-noise {figures['output_snr_db']:.1f} dB")
    worst = figures["worst_layer"]
    if worst is not None:
        parts.append(f"worst layer {cli.short(worst, 48)} ({figures['layers'][worst]:.1f} dB)")
    return f"against the float network, {figures['frames']} pictures: {', '.join(parts)}"


def advice(figures):
    """One line that names what to try, None where the quantization is good."""
    decibels, agreement = figures["output_snr_db"], figures["top1_agreement"]
    poor = ((decibels is not None and decibels < POOR_DECIBELS)
            or (agreement is not None and agreement < POOR_AGREEMENT
                and figures["frames"] >= PICTURES))      # fewer say little
    used = {"equalised": figures["equalised"], "method": figures["method"] != "minmax",
            "bits16": figures["bits16"] or figures["bits"] == 16, "bits": figures["bits"] == 16}
    options = [option for key, option in _REMEDIES.items() if not used[key]]
    if not poor or not options:
        return None
    return f"the quantization is poor; try {', '.join(options)}, or more and other pictures"
