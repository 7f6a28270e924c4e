"""A stage on its own in Verilator: a module of pixel streams, fed with whole maps."""
from dataclasses import dataclass, replace

import numpy as np
from amaranth.lib.wiring import In

from cores.emit import ROM_MODULE, verilog
from hdl.stream import PixelSignature
from sim.pixels import from_words, to_words
from sim.verilator import Port, compile_design, primitives

__all__ = ["Streamed", "ports_of", "emit", "compile_stage", "stream",
           "received"]


@dataclass(frozen=True, eq=False)
class Streamed:
    """What came out: the maps, the beats that should not have, and how long it took.

    ``idle`` counts beats with a value of 0 that close no pixel: the sparse engine sends none.
    ``cycles`` are those of a frame in steady state, of the first one if there is but one.
    """
    maps: np.ndarray
    idle: int
    cycles: float
    hertz: float


def ports_of(stage):
    """The pixel streams of a stage by their Verilog names: those that it reads, in the order of its
    node's inputs, and those that it makes.

    Returns
    -------
    (inputs, outputs) : dict of str to PixelInterface
    """
    inputs, outputs = {}, {}
    for name, member in stage.signature.members.items():
        if not member.is_signature:
            continue
        signature = member.signature.flip() if member.flow is In else member.signature
        if isinstance(signature, PixelSignature):
            port = getattr(stage, name)
            (inputs if member.flow is In else outputs).update(
                {f"{name}__{n}": one for n, one in enumerate(port)} if member.dimensions else {name: port})
    return inputs, outputs


def emit(stage, platform):
    """Verilog of the module ``stage``; its memory files go to the platform."""
    return ROM_MODULE + verilog(stage, name="stage", platform=platform)


def compile_stage(stage, text, *, folder, family, runtime, trace=False, optimize="-O1"):
    """The simulator of a stage from its Verilog ``text`` (or netlist), kept in ``folder``.

    ``runtime`` and ``optimize`` are as :func:`sim.verilator.compile_design` has them. One compiler runs at a time.
    """
    inputs, outputs = ports_of(stage)
    folder.mkdir(parents=True, exist_ok=True)
    sources = [folder / "stage.v", *primitives(family)]
    sources[0].write_text(text)
    return compile_design(
        sources, top="stage", inputs=_ways(inputs), outputs=_ways(outputs), trace=trace,
        folder=folder / ("verilator-trace" if trace else "verilator"), runtime=runtime, jobs=1,
        optimize=optimize)


def stream(simulation, stage, maps, shape, *, keep_zeros, cwd, **options):
    """Send ``maps`` through a stage.

    Parameters
    ----------
    simulation : Simulation
        From :func:`compile_stage`.
    maps : list of array of int (N, height, width, channels)
        Stored values for each input.
    shape : tuple
        Of the output, (N, height, width, channels).
    keep_zeros : bool
        The dense engine.
    cwd : Path
        Folder of the memory files.
    options : dict
        See :meth:`sim.verilator.Simulation.run`.

    Raises
    ------
    SimulationError
        If the stage hangs or breaks the contract of a stream.
    ValueError
        If its beats are no pixels.
    """
    inputs, outputs = ports_of(stage)
    (port,) = outputs.values()
    words = [word for x, source in zip(maps, inputs.values(), strict=True)
             for word in to_words(x, source.signature.ways, _value(source), keep_zeros)]
    pixels, ways = int(np.prod(shape[:-1])), port.signature.ways
    got, _, hertz = simulation.run(
        [(word, np.zeros(len(word))) for word in words], [pixels] * ways, cwd=cwd, **options)
    result = received(port, got, shape, hertz)
    return replace(result, idle=0) if keep_zeros else result


def received(port, got, shape, hertz=0.0):
    """What came out of the ways of a ``port``, as the simulator has it."""
    frames = shape[0]
    width, _ = _value(port)
    idle, ends = 0, []
    for data, _, _, cycle in got:
        last = data & np.uint64(_closing(port)) != 0
        ends.append(cycle[last].reshape(frames, -1)[:, -1])
        idle += int((~last & (data & np.uint64((1 << width) - 1) == 0)).sum())
    ends = np.max(ends, axis=0)
    return Streamed(
        from_words([data for data, *_ in got], shape, _value(port)), idle,
        float((ends[-1] - ends[0]) / (frames - 1)) if frames > 1 else float(ends[0] + 1), hertz)


def _ways(ports):
    """Verilog names of all ways. What counts are the beats that close a pixel."""
    return [Port(*(f"{name}__way_{w}__{signal}" for signal in ("payload", "valid", "ready")),
                 counted=_closing(port))
            for name, port in ports.items() for w in range(port.signature.ways)]


def _value(port):
    """Bits of a stored value, and whether it is signed."""
    return port.signature.shape.width, port.signature.shape.signed


def _closing(port):
    """The bit of a payload that closes a pixel."""
    return 1 << port.signature.beat.size - 1
