"""Which stages keep their weights in block memory where tools would build them of LUTs."""
from dataclasses import replace

from cores.resources.predict import stage_resources
from cores.stages import has_engine

__all__ = ["weights_in_blocks"]

FREE = 0.1      # share of a board's block memories that are better spent than left idle


def weights_in_blocks(network, design, engine, predicted, board):
    """Move weights from LUTs to block memory while that evens out the shares of a board that a design takes.

    Up to a tenth of a board's blocks count as free: LUTs are what makes a design hard to route. The stages that save the most LUTs for a block come first.

    Parameters
    ----------
    network : Graph
    design : Design
    engine : Engine
    predicted : Resources
        Of the whole design.
    board : dict
        ``lut`` and ``bram36`` of the board.

    Returns
    -------
    Design
        As fast, with ``weights_in_blocks`` of some foldings set.
    """
    moves = []
    for node in filter(has_engine, network.nodes):
        folding = design.foldings[node.name]
        moved = replace(folding, weights_in_blocks=True)
        before, after = (stage_resources(network, node, f, engine) for f in (folding, moved))
        saved, spent = before.lut - after.lut, after.bram36 - before.bram36
        if saved > 0 and spent > 0:
            moves.append((saved / spent, node.name, saved, spent, moved))
    lut, bram36, foldings = predicted.lut, predicted.bram36, dict(design.foldings)
    for _, name, saved, spent, moved in sorted(moves, key=lambda move: (-move[0], move[1])):
        if (bram36 + spent) / board["bram36"] <= max(FREE, lut / board["lut"]):
            lut, bram36, foldings[name] = lut - saved, bram36 + spent, moved
    return replace(design, foldings=foldings)
