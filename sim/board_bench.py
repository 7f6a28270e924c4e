"""Run inside the simulator by sim.board: the driver of a built design, and resets and bad frames, on its RTL."""
import json
import os
import random
import sys
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.task import bridge
from cocotb.triggers import ClockCycles, with_timeout

TASK = json.loads(Path(os.environ["SKIPSTONE_BOARD"]).read_text())
FOLDER = Path(TASK["folder"])
sys.path.insert(0, str(FOLDER))     # its driver, not the source of all drivers

from driver import pictures, registers
from driver.__main__ import answers
from driver.accelerator import Accelerator, frame_sizes, frames_of
from sim.simulated_board import SimulatedBoard, stop

SOURCE = registers.INPUT
IMAGES = pictures.load(FOLDER / "golden.npz", SOURCE["height"], SOURCE["width"], SOURCE["channels"])
OUTPUTS = pictures.golden_outputs(FOLDER / "golden.npz", len(IMAGES))
FRAMES = frames_of(IMAGES, registers)
SIZES = frame_sizes(registers)[1]


def report(**figures):
    """Add to the figures that sim.board reads."""
    path = Path(TASK["result"])
    path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else {}) | figures))


def say(text):
    """Tell sim.board what is under way."""
    Path(TASK["progress"]).write_text(text)


DETAILS = []


def detail(text):
    """Tell sim.board what went wrong."""
    DETAILS.append(text)
    report(details=DETAILS)


async def start(dut):
    """The board out of reset, and an accelerator on it."""
    cocotb.start_soon(Clock(dut.aclk, 10, unit="ns").start())
    board = SimulatedBoard(dut, [output["port"] for output in registers.OUTPUTS])
    dut.aresetn.value = 0
    await ClockCycles(dut.aclk, 4)
    dut.aresetn.value = 1
    await ClockCycles(dut.aclk, 2)
    return board, await bridge(Accelerator)(board, registers)


def expected(n, output):
    """The bytes of picture n at an output, in whole beats."""
    data = OUTPUTS[output][n]
    kind = registers.OUTPUTS[output]
    data = data.astype("<i2" if kind["bits"] > 8 else np.int8).tobytes()
    return data.ljust(SIZES[output], b"\0")


async def watch(board):
    while True:
        say(f"simulating: {min(board.taken)} of {TASK['frames']} pictures")
        await ClockCycles(board.clock, 5000)


@cocotb.test(skip=not TASK["frames"])
async def pictures_through_the_driver(dut):
    board, accelerator = await start(dut)
    order = np.arange(TASK["frames"]) % len(IMAGES)
    cocotb.start_soon(watch(board))
    await bridge(accelerator.reset)()
    result = await bridge(accelerator.run)(IMAGES[order])
    wrong = [int((values != golden[order]).sum()) for values, golden in zip(result.outputs, OUTPUTS, strict=True)]
    report(mismatches=sum(wrong), counters=result.counters, answers=answers(result.outputs[0]))


def told_apart():
    """Pictures of which every output differs from those of all others."""
    seen, chosen = [set() for _ in SIZES], []
    for n in range(len(FRAMES)):
        keys = [expected(n, output) for output in range(len(SIZES))]
        if not any(key in known for key, known in zip(keys, seen)):
            chosen.append(n)
            for key, known in zip(keys, seen):
                known.add(key)
    assert len(chosen) >= 3, "resets need three golden pictures whose outputs all differ"
    return chosen


async def word(board, name):
    return await board.bus.read_dword(registers.REGISTERS[name])


def has(value, register, field):
    low, bits = registers.FIELDS[register][field]
    return value >> low & (1 << bits) - 1


async def command(board, name, **fields):
    word = sum(value << registers.FIELDS[name][field][0] for field, value in fields.items())
    await board.bus.write_dword(registers.REGISTERS[name], word)


async def receive(sink):
    frame = await with_timeout(sink.recv(), 100 * TASK["patience"], "ns")
    return bytes(frame.tdata), int(np.max(frame.tuser))


@cocotb.test(skip=not TASK["resets"])
async def resets_at_any_time(dut):
    """A reset drops what is under way; a frame sent afterwards comes out right.

    In turn the rest of the frame that was being sent comes nevertheless, and is lost (sender
    ``forget`` 0), or does not since the sender was reset too.
    """
    board, _ = await start(dut)
    for sink in board.sinks:
        sink.pause = False
    rng, pool = random.Random(TASK["seed"]), told_apart()
    seen = dict(resets=0, in_input=0, in_output=0, wrong=0)
    for number in range(TASK["resets"]):
        say(f"simulating: {number} of {TASK['resets']} resets")
        *before, after = rng.sample(pool, 3)
        for n in before[:rng.randrange(1, 3)]:
            board.source.send_nowait(FRAMES[n].tobytes())
        await ClockCycles(dut.aclk, rng.randrange(1, TASK["horizon"]))
        forget = number % 2
        if forget:
            stop(board.source)
        await command(board, "COMMAND", reset=1, forget=forget)
        if forget:                      # the rest of a frame is told from a new one by the end of the reset
            while has(await word(board, "STATUS"), "STATUS", "resetting"):
                pass
        board.source.send_nowait(FRAMES[after].tobytes())
        cuts, faults = [], []
        for output, sink in enumerate(board.sinks):
            cut, wanted = 0, [expected(n, output) for n in (*before, after)]
            while wanted:
                data, bad = await receive(sink)
                if bad:
                    cut += 1
                    if not any(frame.startswith(data[:-registers.BEAT_BYTES]) for frame in wanted):
                        faults.append("cut frame")
                elif data in wanted:    # those before it were dropped
                    wanted = wanted[wanted.index(data) + 1:]
                else:
                    faults.append("frame")
                    break
            cuts.append(cut)
        await ClockCycles(dut.aclk, 50)
        faults += ["more frames"] * (not all(sink.empty() for sink in board.sinks))
        status = await word(board, "STATUS")
        faults += ["cut_output"] * (has(status, "STATUS", "cut_output") != (sum(cuts) > 0) or max(cuts) > 1)
        faults += ["reported"] * (has(status, "STATUS", "short") or has(status, "STATUS", "long"))
        seen["resets"] += 1
        seen["in_input"] += has(status, "STATUS", "cut_input")
        seen["in_output"] += has(status, "STATUS", "cut_output")
        seen["wrong"] += bool(faults)
        if faults:
            detail(f"reset {number}: {', '.join(faults)}")
        report(resets=seen)
        await command(board, "STATUS", cut_input=1, cut_output=1, short=1, long=1)


@cocotb.test(skip=not TASK["bad_frames"])
async def bad_frames(dut):
    """Of frames one sample or several beats short or long: told, marked, and the next one is right."""
    board, _ = await start(dut)
    for sink in board.sinks:
        sink.pause = False
    sample, beat = (2 if SOURCE["bits"] > 8 else 1), registers.BEAT_BYTES
    say("simulating: frames of the wrong length")
    wrong = 0
    frame = FRAMES[0].tobytes()
    cases = {"short": [sample, 3 * beat, len(frame) - sample], "long": [sample, 3 * beat]}
    if len(frame) % beat and (len(frame) + sample) % beat == 0:
        cases["long"].remove(sample)    # it looks like padding
    for kind, amounts in cases.items():
        for amount in amounts:
            if kind == "short" and amount >= len(frame):
                continue
            board.source.send_nowait(frame[:-amount] if kind == "short" else frame + bytes(amount))
            board.source.send_nowait(FRAMES[1].tobytes())
            faults = []
            for output, sink in enumerate(board.sinks):
                faults += ["mark"] * ((await receive(sink))[1] != 1)
                faults += ["next frame"] * (await receive(sink) != (expected(1, output), 0))
            status = await word(board, "STATUS")
            for field in cases:
                faults += [f"status {field}"] * (has(status, "STATUS", field) != (field == kind))
            await command(board, "STATUS", short=1, long=1)
            faults += ["clear"] * (has(await word(board, "STATUS"), "STATUS", kind))
            if faults:
                detail(f"{kind} by {amount} bytes: {', '.join(faults)}")
            wrong += bool(faults)
    report(bad_frames=dict(cases=sum(map(len, cases.values())), wrong=wrong))
