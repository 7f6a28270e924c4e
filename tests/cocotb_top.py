"""Run inside the simulator by test_cocotb.py: the emitted top between cocotbext-axi's stream models."""
import itertools
import os
import random

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamSink, AxiStreamSource

GOLDEN = np.load(os.environ["SKIPSTONE_GOLDEN"])


def pauses(seed, share):
    rng = random.Random(seed)
    return (rng.random() < share for _ in itertools.count())


async def start(dut, share):
    cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
    dut.clear.value = 0
    source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.clk, dut.rst)
    sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.clk, dut.rst)
    dut.rst.value = 1
    await ClockCycles(dut.clk, 4)
    dut.rst.value = 0
    source.set_pause_generator(pauses(1, share))
    sink.set_pause_generator(pauses(2, share))
    return source, sink


async def result(sink):
    frame = await with_timeout(sink.recv(), 1, "ms")
    size = GOLDEN["outputs"][0].size
    user = frame.tuser if isinstance(frame.tuser, int) else max(frame.tuser)
    return list(frame.tdata[:size]), user


@cocotb.test()
@cocotb.parametrize(share=[0.0, 0.5])
async def frames_back_to_back(dut, share):
    source, sink = await start(dut, share)
    for frame in GOLDEN["inputs"]:
        await source.send(frame.tobytes())
    for number, expected in enumerate(GOLDEN["outputs"]):
        assert await result(sink) == (expected.ravel().tolist(), 0), f"frame {number}"
    await ClockCycles(dut.clk, 200)
    assert sink.empty(), "more frames came out than went in"
    assert not dut.short_frame.value and not dut.long_frame.value


@cocotb.test()
async def bad_frames_are_marked(dut):
    source, sink = await start(dut, 0.3)
    frames, beat = GOLDEN["inputs"], 8
    whole = frames[0].tobytes()
    cut = (len(whole) - 1) // beat * beat
    await source.send(whole[:cut])                          # the samples of one beat are missing
    await source.send(frames[1].tobytes())
    await source.send(frames[2].tobytes() + bytes(3 * beat))
    await source.send(frames[3].tobytes())
    assert await result(sink) == (GOLDEN["cut_output"].ravel().tolist(), 1), "short frame"
    assert dut.short_frame.value and not dut.long_frame.value
    assert await result(sink) == (GOLDEN["outputs"][1].ravel().tolist(), 0), "frame after it"
    assert await result(sink) == (GOLDEN["outputs"][2].ravel().tolist(), 1), "long frame"
    assert await result(sink) == (GOLDEN["outputs"][3].ravel().tolist(), 0), "frame after it"
    assert dut.long_frame.value
    dut.clear.value = 1
    await ClockCycles(dut.clk, 2)
    assert not dut.short_frame.value and not dut.long_frame.value
