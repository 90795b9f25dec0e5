"""Fewer points that look like all of them."""

import numpy as np

from pcseg.data.voxels import group_by_voxel

TRIES = 9
"""Grids that are tried at most."""

MOST_CELLS = 1 << 20
"""Along an edge: points of few places ask for ever finer grids."""


def thin(pos: np.ndarray, max_points: int) -> np.ndarray:
    """Rows of at most ``max_points`` points, one in each occupied cell of a grid as fine as that allows.

    So they lie evenly, wherever the scanner stood, and surfaces stay closed with points of one size.

    Args:
        pos: ``(N, 3)`` float32 metres.
        max_points: Largest number of points.

    Convention:
        The first point in a cell stands for it. Of surfaces at least nine tenths of ``max_points`` stay.
    """
    if len(pos) <= max_points:
        return np.arange(len(pos))
    near = pos - pos.min(axis=0)
    edge = max(float(near.max()), 1e-3)
    # so coarse a grid has at most that many cells, be they occupied or not
    cell = 1.001 * edge / int(round(max_points ** (1 / 3), 9))
    rows = np.empty(0, np.int64)
    for _ in range(TRIES):
        tried = group_by_voxel(near, cell).pick(0)
        if len(rows) < len(tried) <= max_points:
            rows = tried
        if 0.9 * max_points <= len(tried) <= max_points:
            break
        # a surface cuts so many cells as its area has of their faces
        cell = max(cell * (len(tried) / (0.95 * max_points)) ** 0.5, edge / MOST_CELLS)
    return np.sort(rows)
