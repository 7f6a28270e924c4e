"""The tables that describe a pipeline to the compiled model: a row for each link and unit."""
from typing import NamedTuple

import numpy as np

__all__ = ["Tables", "LINK", "UNIT", "STORE", "STEPPER", "LANE", "FEED", "TOTAL", "SCRIPT", "FORK",
           "PIPE", "UPSAMPLE", "SOURCE", "SINK", "OUTPUT", "KINDS", "STALLS", "SHARES",
           "BUSY", "STARVED", "FILL", "TAPS", "IMBALANCE", "DRAIN", "BLOCKED"]

STALLS = 32         # of a pipeline that may be under way at a time

# What a unit does with its cycles.
SHARES = BUSY, STARVED, FILL, TAPS, IMBALANCE, DRAIN, BLOCKED = range(7)


def _row(*names):
    return np.dtype([(name, np.int64) for name in names])


# Where a name ends in "_at", it is an offset into one of the arrays of Tables.

# A queue between two units. ``depth`` 0 is a register; -1 has everything at hand. Beat n is put in
# cycle time[put_at + n], and taken in cycle time[take_at + n].
LINK = _row("put_at", "take_at", "depth", "puts", "takes")

# A pipeline that stops as a whole while its last stage cannot move. Its stops that are not over
# are stall[row, first] to stall[row, last], see links.py.
PIPE = _row("first", "last")

UNIT = _row("kind", "row", "near_at", "nears", "waiting")

# Takes the beats of a way, and stores them in the rings of its row lanes.
STORE = _row("link", "pixels", "beats_at", "slots", "steppers_at", "rows", "arrived_at",
             "pixel", "beat", "ready")

# Hands the passes of each window to its lanes.
STEPPER = _row("store", "lanes_at", "lanes", "height", "width", "frame", "windows", "passes",
               "depth", "need_at", "keep_at", "top_at", "rows_at", "left_at", "columns_at", "down",
               "across", "put_at", "taken_at", "arrival_at", "released_at", "puts", "freed")

# Reads the lists under each pass and drains its sums.
LANE = _row("stepper", "total", "counts_at", "groups", "turns", "words", "rest", "capacity",
            "pipe", "middle", "tail", "window", "passes", "found", "ended", "queued", "got", "m1", "m2",
            "m3", "m4", "draining", "hold", "done", "sent", "word", "waited", "reason", "taken")

# Reduces a way's beats as they come: a lane without a window.
FEED = _row("link", "total", "beats_at", "frames", "words", "rest", "capacity", "pipe", "frame", "beat", "got",
            "draining", "hold", "done", "sent", "word", "waited", "reason")

# Adds the lanes' sums, and puts those that are no zero into the queues of the output's ways.
TOTAL = _row("lanes_at", "lanes", "fed", "words", "adding", "scaling", "pace", "links_at", "ways", "stride",
             "first_channel", "channels", "present_at", "sums_at", "popped_at", "pipe", "scaler", "popped",
             "got", "next", "pending", "due", "reason", "limit")

# Follows a list of steps: what it takes, and whether it makes a beat of it.
SCRIPT = _row("links_at", "link", "steps_at", "steps", "counted", "latency",
              "pipe", "step", "got", "pending", "due")

FORK = _row("link", "links_at", "copies", "got")

UPSAMPLE = _row("link", "out", "pixels", "beats_at", "slots", "width", "down", "across", "total",
                "arrived_at", "freed_at", "stored", "beat", "ready", "freed", "sent", "turned", "number", "got",
                "made", "found")

SOURCE = _row("links_at", "ways", "channels", "pixels", "present_at", "frames", "unit_group", "unit_beat",
              "unit_beats", "group", "level", "loaded", "cycle")

SINK = _row("link")

OUTPUT = _row("links_at", "ways", "channels", "pixels", "present_at", "frames", "sample", "got", "ends_at")

KINDS = (STORE, STEPPER, LANE, FEED, TOTAL, SCRIPT, FORK, UPSAMPLE, SOURCE, SINK, OUTPUT)


class Tables(NamedTuple):
    """All that the compiled model reads and writes."""
    link: np.ndarray
    pipe: np.ndarray
    unit: np.ndarray
    store: np.ndarray
    stepper: np.ndarray
    lane: np.ndarray
    feed: np.ndarray
    total: np.ndarray
    script: np.ndarray
    fork: np.ndarray
    upsample: np.ndarray
    source: np.ndarray
    sink: np.ndarray
    output: np.ndarray
    ints: np.ndarray        # int32: counts and geometry
    flags: np.ndarray       # uint8: which channels a pixel has
    steps: np.ndarray       # int16: of scripts
    time: np.ndarray        # int32: cycles in which things happened
    stall: np.ndarray       # int64 (pipes, STALLS, 4): see links.py
    share: np.ndarray       # int64 (units, len(SHARES))
