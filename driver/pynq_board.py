"""A Xilinx board that runs PYNQ. pynq is imported when a bitstream is loaded, and needed there only."""
import time

from .board import Board, BoardError

__all__ = ["PynqBoard"]

# Of AXI DMA, from PG021: the control register of the receiving channel, which every engine has, and the bit that resets all of it.
S2MM_DMACR, RESET = 0x30, 1 << 2
PATIENCE = 1000


class PynqBoard(Board):
    """The block design that ``vivado/build.tcl`` makes: skipstone_axi_0, and axi_dma_0 (input and
    first output), axi_dma_1, ... for further outputs.

    Parameters
    ----------
    bitstream : str
        Its .hwh lies beside it.
    inputs, outputs : int
        Bytes of a frame, and of each output's frames in whole beats.
    """

    def __init__(self, bitstream, inputs, outputs):
        try:
            from pynq import Overlay, allocate
        except ImportError as error:
            raise BoardError(f"pynq cannot be imported ({error}): run this on a board with PYNQ, in its environment; without a "
                             "board, python -m sim.board runs the driver on the simulated design") from error
        overlay = Overlay(str(bitstream))
        try:
            self._registers = overlay.skipstone_axi_0
            self._engines = engines = [getattr(overlay, f"axi_dma_{n}") for n in range(len(outputs))]
        except AttributeError as error:
            raise BoardError(f"{bitstream} is no design of skipstone_axi: {error}") from error
        self._source, self._targets = engines[0].sendchannel, [dma.recvchannel for dma in engines]
        self._input = allocate(shape=(inputs,), dtype="u1")
        self._outputs = [allocate(shape=(size,), dtype="u1") for size in outputs]
        self._busy = set()          # channels that have been given something to do

    def read(self, address):
        return self._registers.read(address)

    def write(self, address, value):
        self._registers.write(address, value)

    def start_send(self, frame):
        self._input[:] = frame
        self._begin(self._source, self._input)

    def sending(self):
        return self._under_way(self._source)

    def start_receive(self, output, size):
        self._begin(self._targets[output], self._outputs[output])

    def receiving(self, output):
        return self._under_way(self._targets[output])

    def received(self, output):
        return self._outputs[output][:self._targets[output].transferred].copy()

    def abort(self):
        # To stop a channel is to wait for its transfer, and one that hangs never ends.
        for engine in self._engines:
            engine.write(S2MM_DMACR, RESET)
        for engine in self._engines:
            for _ in range(PATIENCE):
                if not engine.read(S2MM_DMACR) & RESET:
                    break
                self.wait()
            else:
                raise BoardError("A DMA engine does not come out of its reset")
        for channel in (self._source, *self._targets):
            channel.start()
        self._busy.clear()

    def wait(self):
        time.sleep(20e-6)

    def _begin(self, channel, buffer):
        channel.transfer(buffer)
        self._busy.add(channel)

    def _under_way(self, channel):
        if channel in self._busy and (channel.idle or channel.error):
            channel.wait()          # raises for an error, and makes the buffer's contents seen
            self._busy.remove(channel)
        return channel in self._busy
