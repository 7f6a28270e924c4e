"""The pipeline as rails: a track for each stream, a station for each stage, one below the other."""
from dataclasses import dataclass

__all__ = ["Link", "rails"]


@dataclass(frozen=True)
class Link:
    """A stream from the station ``start`` to the station ``end`` (rows from 0), on a track (from 0)."""
    start: int
    end: int
    track: int
    tensor: str


def rails(network):
    """Lay out a network: row 0 is its input, row n + 1 its n-th node, the last rows its outputs.

    The first reader of a tensor stays on its maker's track, the others' streams run beside it.

    Returns
    -------
    (list of int, list of Link)
        The track of each row, and the streams.
    """
    makers = {network.input: 0, **{node.output: n for n, node in enumerate(network.nodes, 1)}}
    wanted = [(makers[name], row, name) for row, names in enumerate(
        [node.inputs for node in network.nodes] + [(name,) for name in network.outputs], 1) for name in names]
    tracks, links, busy = {0: 0}, [], []        # busy: until which row a track is taken
    for row in range(len(network.nodes) + len(network.outputs) + 1):
        arriving = [link for link in links if link.end == row]
        tracks[row] = min((link.track for link in arriving), default=0)
        leaving = [(end, name) for start, end, name in wanted if start == row]
        for number, (end, name) in enumerate(leaving):
            own = tracks[row]
            track = own if number == 0 else next(
                t for t in range(own + 1, len(busy) + 2) if t >= len(busy) or busy[t] <= row)
            busy += [0] * (track + 1 - len(busy))
            busy[track] = max(busy[track], end)
            links.append(Link(row, end, track, name))
    return [tracks[row] for row in sorted(tracks)], links
