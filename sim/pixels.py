"""Feature maps as arrays, and as the beats of the sparse pixel stream."""
import numpy as np

__all__ = ["from_beats", "to_beats"]


def to_beats(frame, ways, keep_zeros=False):
    """Return the beats of each way that carry ``frame``.

    Parameters
    ----------
    frame : array of int, shape (..., channels)
        Stored values (zero means zero), pixels in raster order; several frames may be stacked.
    ways : int
        Channel ``c`` rides on way ``c % ways`` as number ``c // ways``.
    keep_zeros : bool
        Make a beat of every value, not of the non-zeros only.

    Returns
    -------
    list of list of dict
        For each way its beats, ``{"value": int, "channel": int, "last": 0 or 1}``. The beat of a
        way's last channel closes the pixel and is there even when its value is 0.
    """
    frame = np.asarray(frame)
    pixels = frame.reshape(-1, frame.shape[-1])
    result = []
    for way in range(ways):
        values = pixels[:, way::ways]
        keep = np.full(values.shape, True) if keep_zeros else values != 0
        keep[:, -1] = True
        result.append([
            {"value": int(values[p, c]), "channel": int(c), "last": int(c == values.shape[1] - 1)}
            for p, c in np.argwhere(keep)])
    return result


def from_beats(beats_per_way, shape):
    """Return the array of ``shape`` (..., channels) that the beats of each way carry.

    Raises
    ------
    ValueError
        If a way does not carry that many pixels, or channels of a pixel do not rise.
    """
    frame = np.zeros(shape, np.int64)
    pixels = frame.reshape(-1, shape[-1])
    for way, beats in enumerate(beats_per_way):
        pixel, previous = 0, -1
        values = pixels[:, way::len(beats_per_way)]
        for beat in beats:
            channel = int(beat["channel"])
            if pixel == len(pixels):
                raise ValueError(f"Way {way} carries more than {len(pixels)} pixels")
            if not previous < channel < values.shape[1]:
                raise ValueError(f"Way {way}, pixel {pixel}: channel {channel} after {previous}")
            values[pixel, channel] = int(beat["value"])
            pixel, previous = (pixel + 1, -1) if beat["last"] else (pixel, channel)
        if pixel != len(pixels) or previous != -1:
            raise ValueError(f"Way {way} closes {pixel} pixels, not {len(pixels)}")
    return frame


def to_words(frames, ways, shape, keep_zeros=False):
    """Return, for each way, the payloads of :func:`to_beats` packed as in the hardware (uint64).

    ``shape`` is the (width in bits, signed) of a stored value.
    """
    frames = np.asarray(frames)
    pixels, result = frames.reshape(-1, frames.shape[-1]).astype(np.int64), []
    for way in range(ways):
        values = pixels[:, way::ways]
        keep = np.full(values.shape, True) if keep_zeros else values != 0
        keep[:, -1] = True
        where, channel = np.nonzero(keep)
        result.append((values[where, channel] & ((1 << shape[0]) - 1)
                       | channel << shape[0]
                       | (channel == values.shape[1] - 1) << (shape[0] + _bits(frames.shape[-1], ways))
                       ).astype(np.uint64))
    return result


def from_words(words_per_way, frames_shape, shape):
    """Return the array of ``frames_shape`` (..., channels) that packed payloads carry.

    Raises
    ------
    ValueError
        If a way does not carry that many pixels, or channels of a pixel do not rise.
    """
    frames = np.zeros(frames_shape, np.int64)
    pixels, ways = frames.reshape(-1, frames_shape[-1]), len(words_per_way)
    width, signed = shape
    bits = _bits(frames_shape[-1], ways)
    for way, words in enumerate(words_per_way):
        words = np.asarray(words, np.uint64).astype(np.int64)
        value = words & ((1 << width) - 1)
        if signed:
            value -= (value >> (width - 1)) << width
        channel, last = words >> width & ((1 << bits) - 1), words >> (width + bits) & 1
        pixel = np.cumsum(last) - last
        if last.sum() != len(pixels) or not last[-1]:
            raise ValueError(f"Way {way} closes {last.sum()} pixels, not {len(pixels)}")
        if ((np.diff(pixel) == 0) & (np.diff(channel) <= 0)).any():
            raise ValueError(f"Way {way}: channels of a pixel do not rise")
        pixels[pixel, channel * ways + way] = value
    return frames


def _bits(channels, ways):
    """Width of the channel field."""
    return max(1, (-(-channels // ways) - 1).bit_length())
