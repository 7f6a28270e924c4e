"""AXI4-Stream as Skipstone's adapters use it: the signature and the format of dense samples."""
from amaranth import Shape
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .bounds import limits
from .check import between, positive

__all__ = ["AxiStreamSignature", "check_format", "lane_bits"]

MAX_DATA_BITS = 1024    # the widest TDATA that AXI4-Stream infrastructure takes


class AxiStreamSignature(wiring.Signature):
    """AXI4-Stream, seen from the end that sends.

    TREADY and TVALID follow the AMBA rules, which are Amaranth's stream rules. TSTRB, TID and TDEST
    are absent, and so is TKEEP by default: every byte counts.

    Parameters
    ----------
    data_bits : int
        Width of TDATA: whole bytes, at most 1024 bits.
    user_bits : int
        Width of TUSER; 0 leaves it out.
    keep : bool
        With TKEEP; it is all ones where nobody drives it.

    Members
    -------
    tdata : Out(data_bits)
    tkeep : Out(data_bits // 8)
        Present with ``keep``.
    tlast : Out(1)
    tuser : Out(user_bits)
        Present when ``user_bits`` is not 0.
    tvalid : Out(1)
    tready : In(1)

    Raises
    ------
    TypeError
        If a parameter is not an integer.
    ValueError
        If ``data_bits`` is not a whole number of bytes, or a parameter is out of range.
    """

    def __init__(self, *, data_bits, user_bits=0, keep=False):
        self._data_bits = between("Data bits", data_bits, 8, MAX_DATA_BITS)
        if data_bits % 8:
            raise ValueError(f"Data bits must be a multiple of 8, not {data_bits!r}")
        self._user_bits = between("User bits", user_bits, 0, 4096)
        self._keep = keep
        user = {"tuser": Out(user_bits)} if user_bits else {}
        kept = {"tkeep": Out(data_bits // 8, init=(1 << data_bits // 8) - 1)} if keep else {}
        super().__init__({"tdata": Out(data_bits), **kept, "tlast": Out(1), **user,
                          "tvalid": Out(1), "tready": In(1)})

    @property
    def data_bits(self):
        return self._data_bits

    @property
    def user_bits(self):
        return self._user_bits

    @property
    def keep(self):
        return self._keep

    def __eq__(self, other):
        return (isinstance(other, AxiStreamSignature) and self._data_bits == other._data_bits
                and self._user_bits == other._user_bits and self._keep == other._keep)

    def __repr__(self):
        keep = ", keep=True" if self._keep else ""
        return f"AxiStreamSignature(data_bits={self._data_bits}, user_bits={self._user_bits}{keep})"


def lane_bits(sample):
    """Bits of TDATA that a sample of this shape takes: whole bytes, so that hosts send arrays."""
    return 8 if Shape.cast(sample).width <= 8 else 16


def check_format(shape, *, sample, zero_point, beat_samples):
    """Return ``(shape, sample)`` cast to shapes if dense samples of this format can be carried.

    Raises
    ------
    TypeError
        If ``zero_point`` or ``beat_samples`` is not an integer.
    ValueError
        If ``sample`` has not 4, 8 or 16 bits, ``zero_point`` is no sample, ``shape`` cannot hold
        every sample minus ``zero_point``, or ``beat_samples`` is no power of two or too many.
    """
    shape, sample = Shape.cast(shape), Shape.cast(sample)
    if sample.width not in (4, 8, 16):
        raise ValueError(f"Sample must be 4, 8 or 16 bits wide, not {sample!r}")
    low, high = limits(sample)
    between("Zero point", zero_point, low, high)
    low, high = low - zero_point, high - zero_point
    if not limits(shape)[0] <= low <= high <= limits(shape)[1]:
        raise ValueError(f"Shape must hold stored values from {low} to {high}, not {shape!r}")
    most = MAX_DATA_BITS // lane_bits(sample)
    if positive("Beat samples", beat_samples).bit_count() != 1 or beat_samples > most:
        raise ValueError(f"Beat samples must be a power of two up to {most}, not {beat_samples!r}")
    return shape, sample
