"""Fewer points that look like all of them."""

import numpy as np
import torch
from torch import Tensor

from pcseg.views.splat import morton_code

TRIES = 8
"""Grids that are tried at most."""


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
    near = torch.from_numpy(pos - pos.min(axis=0))
    # so coarse a grid has at most that many cells, be they occupied or not
    cell = 1.001 * max(float(near.max()), 1e-3) / int(round(max_points ** (1 / 3), 9))
    rows = first_rows(near, cell)
    count = len(rows)
    for _ in range(TRIES):
        if 0.9 * max_points <= count <= max_points:
            break
        # a surface cuts so many cells as its area has of their faces
        cell *= (count / (0.95 * max_points)) ** 0.5
        tried = first_rows(near, cell)
        count = len(tried)
        if len(rows) < count <= max_points:
            rows = tried
    return rows.sort().values.numpy()


def first_rows(pos: Tensor, cell: float) -> Tensor:
    """The first row in each occupied cell of positions ``(N, 3)`` that are not negative."""
    code, order = morton_code((pos / cell).long().clamp(max=(1 << 21) - 1)).sort(stable=True)
    first = torch.ones_like(code, dtype=torch.bool)
    first[1:] = code[1:] != code[:-1]
    return order[first]
