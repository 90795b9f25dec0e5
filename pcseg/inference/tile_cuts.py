"""Cut the ground plan of a large scan into tiles."""

import numpy as np

from pcseg.inference.tile_store import Cells


def cut_tiles(
    cells: Cells, *, margin: int, max_voxels: int, max_rows: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return rectangles of cells, as lowest and highest cell ``(2,)``, that contain every cell exactly once.

    The longer edge of a rectangle is halved (by number of voxels) until it and ``margin`` cells around it have at
    most ``max_voxels`` voxels and ``max_rows`` rows, or it is one cell.
    """
    xy, row = np.unique(cells.xy, axis=0, return_inverse=True)
    rows = np.bincount(row.reshape(-1), cells.count, len(xy))

    def cut(inside: np.ndarray, near: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        low, high = xy[inside].min(axis=0), xy[inside].max(axis=0)
        near = near[within(xy[near], low - margin, high + margin)]
        if len(inside) == 1 or (cells.voxels[near].sum() <= max_voxels and rows[near].sum() <= max_rows):
            return [(low, high)]
        coordinate = xy[inside, int(np.argmax(high - low))]
        order = np.argsort(coordinate, kind="stable")
        sums = np.cumsum(cells.voxels[inside][order])
        middle = coordinate[order[np.searchsorted(sums, sums[-1] / 2)]]
        above = coordinate >= max(middle, coordinate.min() + 1)
        return [*cut(inside[~above], near), *cut(inside[above], near)]

    everything = np.arange(len(xy))
    return cut(everything, everything) if len(xy) else []


def within(xy: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the mask ``(N,)`` of the cells or voxels between two corners, which are included."""
    return np.asarray(((xy >= low) & (xy <= high)).all(axis=1))
