"""Subsampling for display: fewer points that look like all of them."""

import numpy as np

from pcseg.data.voxels import group_by_voxel

MAX_TRIES = 9
"""Maximum number of grids to try."""

MAX_CELLS = 1 << 20
"""Maximum number of cells along an edge: clouds with few distinct positions need ever finer grids."""


def thin(pos: np.ndarray, max_points: int) -> np.ndarray:
    """Return the rows of at most ``max_points`` points, one per occupied cell of the finest possible grid.

    The points are evenly spaced, independent of the scanner position, so surfaces stay closed at one point size.

    Convention:
        The first point of a cell represents it. For surfaces, at least 90 % of ``max_points`` remain.
    """
    if len(pos) <= max_points:
        return np.arange(len(pos))
    shifted = pos - pos.min(axis=0)
    edge = max(float(shifted.max()), 1e-3)
    # a grid this coarse has at most max_points cells, occupied or not
    cell = 1.001 * edge / int(round(max_points ** (1 / 3), 9))
    rows = np.empty(0, np.int64)
    for _ in range(MAX_TRIES):
        candidate = group_by_voxel(shifted, cell).pick(0)
        if len(rows) < len(candidate) <= max_points:
            rows = candidate
        if 0.9 * max_points <= len(candidate) <= max_points:
            break
        # the number of cells that a surface cuts is its area divided by the area of a cell face
        cell = max(cell * (len(candidate) / (0.95 * max_points)) ** 0.5, edge / MAX_CELLS)
    return np.sort(rows)
