"""All that the driver asks of a board."""
from abc import ABC, abstractmethod

__all__ = ["Board", "BoardError"]


class BoardError(RuntimeError):
    """The board, or the design on it, does not do what it should."""


class Board(ABC):
    """Registers, and a DMA engine for the input and for each output.

    An engine has one transfer at a time. Nothing here waits but :meth:`wait`.
    """

    @abstractmethod
    def read(self, address):
        """The 32-bit word at a byte address of the design's registers."""

    @abstractmethod
    def write(self, address, value):
        """Write a 32-bit word."""

    @abstractmethod
    def start_send(self, frame):
        """Begin to send ``frame``, an array of uint8, with TLAST at its end."""

    @abstractmethod
    def sending(self):
        """Whether the transfer that was begun last is under way."""

    @abstractmethod
    def start_receive(self, output, size):
        """Begin to take the next frame of an output, of at most ``size`` bytes."""

    @abstractmethod
    def receiving(self, output):
        """Whether that frame is not complete."""

    @abstractmethod
    def received(self, output):
        """The frame that was taken last, an array of uint8."""

    @abstractmethod
    def abort(self):
        """Give up all transfers."""

    @abstractmethod
    def wait(self):
        """Let a little time pass, far less than a second."""
