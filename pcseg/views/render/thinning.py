"""Subsampling for display: fewer points that look like all of them."""

import numpy as np

from pcseg.data.voxels import group_by_voxel


def thin(pos: np.ndarray, max_points: int) -> np.ndarray:
    """Return the rows of at most ``max_points`` points, one per occupied cell of a grid.

    The points are evenly spaced, independent of the scanner position, so surfaces stay closed at one point size.

    Convention:
        The first point of a cell represents it. For surfaces, at least three quarters of ``max_points`` remain.
    """
    rows = np.arange(len(pos))
    shifted = pos - pos.min(axis=0, initial=np.inf)
    cell = max(float(shifted.max(initial=0)), 1e-3) / (10 * max_points**0.5)
    while len(rows) > max_points:
        rows = group_by_voxel(shifted, cell).pick(0)
        # the number of cells that a surface cuts is its area divided by the area of a cell face
        cell *= max(0.97 * (len(rows) / max_points) ** 0.5, 1.03)
    return np.sort(rows)
