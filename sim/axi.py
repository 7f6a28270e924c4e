"""Frames of quantized values as the 64-bit beats of the streaming top's AXI4-Streams."""
import numpy as np

from cores.between import BEAT_BITS
from cores.pixels import sample_bits

__all__ = ["beats_per_frame", "pack", "unpack", "framing_faults"]


def beats_per_frame(tensor):
    """Beats of a frame; the last one may be partly used."""
    return -(-tensor.height * tensor.width * tensor.channels * sample_bits(tensor) // BEAT_BITS)


def pack(frames, bits):
    """Return (data, last) of all beats of ``frames`` (N, height, width, channels), NHWC order."""
    samples = frames.reshape(len(frames), -1).astype(np.int64)
    per_beat = BEAT_BITS // bits
    beats = -(-samples.shape[1] // per_beat)
    padded = np.zeros((len(frames), beats * per_beat), np.int64)
    padded[:, :samples.shape[1]] = samples
    data = padded.astype("<i2" if bits == 16 else "<i1").view("<u8")    # wraps as the bus does
    last = np.zeros((len(frames), beats), bool)
    last[:, -1] = True
    return data.ravel(), last.ravel()


def unpack(data, shape, bits, tensor):
    """Return the frames of ``shape`` (N, height, width, channels) that the beats ``data`` carry."""
    signed = tensor.low + tensor.zero_point < 0
    samples = np.ascontiguousarray(data, "<u8").view(f"<{'i' if signed else 'u'}{bits // 8}").reshape(shape[0], -1)
    return samples[:, :int(np.prod(shape[1:]))].reshape(shape).astype(np.int32)


def framing_faults(last, user, beats):
    """Beats whose TLAST does not mark the end of a frame, or whose TUSER reports a bad one."""
    wanted = np.arange(len(last)) % beats == beats - 1
    return int((last != wanted).sum() + user.sum())
