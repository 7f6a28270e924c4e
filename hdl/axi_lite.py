"""AXI4-Lite: the signature of its five channels."""
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .check import between

__all__ = ["AxiLiteSignature", "DATA_BITS", "OKAY"]

DATA_BITS = 32
OKAY = 0b00


class AxiLiteSignature(wiring.Signature):
    """AXI4-Lite with 32 bits of data, seen from the end that asks.

    Each channel has a handshake of its own, by Amaranth's stream rules.

    Parameters
    ----------
    address_bits : int
        Width of byte addresses, 2 to 64.

    Members
    -------
    awaddr, awprot, awvalid, awready : Out(address_bits), Out(3), Out(1), In(1)
    wdata, wstrb, wvalid, wready : Out(32), Out(4), Out(1), In(1)
    bresp, bvalid, bready : In(2), In(1), Out(1)
    araddr, arprot, arvalid, arready : Out(address_bits), Out(3), Out(1), In(1)
    rdata, rresp, rvalid, rready : In(32), In(2), In(1), Out(1)

    Raises
    ------
    TypeError, ValueError
        If ``address_bits`` is no integer from 2 to 64.
    """

    def __init__(self, *, address_bits):
        self._address_bits = between("Address bits", address_bits, 2, 64)
        super().__init__({
            "awaddr": Out(address_bits), "awprot": Out(3), "awvalid": Out(1), "awready": In(1),
            "wdata": Out(DATA_BITS), "wstrb": Out(DATA_BITS // 8), "wvalid": Out(1), "wready": In(1),
            "bresp": In(2), "bvalid": In(1), "bready": Out(1),
            "araddr": Out(address_bits), "arprot": Out(3), "arvalid": Out(1), "arready": In(1),
            "rdata": In(DATA_BITS), "rresp": In(2), "rvalid": In(1), "rready": Out(1)})

    @property
    def address_bits(self):
        return self._address_bits

    def __eq__(self, other):
        return isinstance(other, AxiLiteSignature) and self._address_bits == other._address_bits

    def __repr__(self):
        return f"AxiLiteSignature(address_bits={self._address_bits})"
