"""The driver's board in simulation: cocotbext-axi in place of the bus and the DMA engines. Imported in the simulator."""
import numpy as np
from cocotb.task import resume
from cocotb.triggers import ClockCycles
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiStreamBus, AxiStreamSink, AxiStreamSource

from driver.board import Board

__all__ = ["SimulatedBoard"]

POLL = 32       # cycles between two looks of the driver


class SimulatedBoard(Board):
    """skipstone_axi as the simulator's handle ``dut``.

    Its methods are for threads that cocotb's ``bridge`` started; ``source``, ``sinks`` and ``bus`` are
    the models themselves, ``taken`` counts the frames of each output.
    """

    def __init__(self, dut, outputs):
        self.clock, reset = dut.aclk, dict(reset=dut.aresetn, reset_active_level=False)
        self.bus = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), self.clock, **reset)
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), self.clock, **reset)
        self.sinks = [AxiStreamSink(AxiStreamBus.from_prefix(dut, port), self.clock, **reset) for port in outputs]
        self.taken = [0] * len(outputs)
        for sink in self.sinks:
            sink.pause = True

    def read(self, address):
        return resume(self.bus.read_dword)(address)

    def write(self, address, value):
        resume(self.bus.write_dword)(address, value)

    def start_send(self, frame):
        self.source.send_nowait(frame.tobytes())

    def sending(self):
        return not self.source.idle()

    def start_receive(self, output, size):
        self.sinks[output].pause = False

    def receiving(self, output):
        return self.sinks[output].empty()

    def received(self, output):
        self.sinks[output].pause = True
        self.taken[output] += 1
        return np.frombuffer(bytes(self.sinks[output].recv_nowait().tdata), np.uint8)

    def abort(self):
        for model in (self.source, *self.sinks):
            stop(model)
        for sink in self.sinks:
            sink.pause = True

    def wait(self):
        resume(self._wait)()

    async def _wait(self):
        await ClockCycles(self.clock, POLL)


def stop(model):
    """What becomes of a DMA engine that is reset: it forgets what it was about."""
    model.assert_reset(True)
    model.clear()
    model.assert_reset(False)
