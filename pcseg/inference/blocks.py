"""Split a large scene into blocks of voxels for one forward pass each: cores with context, or overlapping windows."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """Voxels of a scene for one forward pass.

    Args:
        rows: Voxels of the block, ascending, ``(V_block,)``.
        core: Mask of the voxels in ``rows`` whose predictions are used; the others are context. ``(V_block,)`` bool.
        weight: Weights of their predictions, ``(V_core,)`` float32; ``None``: 1.
    """

    rows: np.ndarray
    core: np.ndarray
    weight: np.ndarray | None = None


def cut_into_blocks(grid_pos: np.ndarray, *, max_voxels: int, margin: int) -> list[Block]:
    """Return blocks whose cores contain every voxel exactly once.

    The longest edge of a box is halved (by number of voxels) until the box and ``margin`` voxels of context
    on all sides contain at most ``max_voxels``.

    Args:
        grid_pos: Voxel coordinates, ``(V, 3)``, unique.
        max_voxels: Maximum number of voxels per block, 1 or more.
        margin: Width of the context in voxels.

    Convention:
        Where voxels are so dense that a core under a quarter of ``max_voxels`` has too much context, the context
        of that block is narrowed, so that no block exceeds the limit.
    """
    everything = np.arange(len(grid_pos))
    return _cut(grid_pos, everything, everything, max_voxels, margin) if len(grid_pos) else []


def _cut(
    grid_pos: np.ndarray, core: np.ndarray, near: np.ndarray, max_voxels: int, margin: int
) -> list[Block]:
    """Return blocks of the voxels ``core`` whose context is among the voxels ``near`` (rows, both ascending)."""
    low, high = grid_pos[core].min(axis=0), grid_pos[core].max(axis=0)
    near = _within(grid_pos, near, low - margin, high + margin)
    while len(near) > max_voxels and len(core) <= max(max_voxels // 4, 1):
        margin //= 2
        near = _within(grid_pos, near, low - margin, high + margin)
    if len(near) <= max_voxels:
        return [Block(rows=near, core=np.isin(near, core, assume_unique=True))]
    coordinate = grid_pos[core, np.argmax(high - low)]
    # a cut between two layers of voxels, above the lowest layer, so that both halves are non-empty
    median = int(np.partition(coordinate, len(coordinate) // 2)[len(coordinate) // 2])
    above = coordinate >= max(median, int(coordinate.min()) + 1)
    halves = [core[~above], core[above]]
    return [block for half in halves for block in _cut(grid_pos, half, near, max_voxels, margin)]


def _within(grid_pos: np.ndarray, rows: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    pos = grid_pos[rows]
    return rows[((pos >= low) & (pos <= high)).all(axis=1)]


SURFACE = 4.5
"""Area of floor, ceiling, walls and furniture per area of the ground plan of furnished rooms."""


def window_edge(most: int) -> int:
    """Return the edge, in voxels, of windows of furnished rooms with about ``most`` voxels; an even number."""
    return 2 * max(1, round(np.sqrt(most / SURFACE) / 2))


Region = tuple[np.ndarray, np.ndarray]
"""Lowest and highest voxel ``(2,)`` of a rectangle of the ground plan."""


def cut_into_windows(
    grid_pos: np.ndarray, corner: np.ndarray, *, max_voxels: int, margin: int, region: Region | None = None
) -> list[Block]:
    """Return overlapping square windows of the ground plan, whose weights sum to 1 for every voxel.

    A voxel is in four windows. Its weights fall linearly from the centers of the windows to their borders, so that
    predictions that depend on everything in a window change gradually from one to the next.

    Args:
        grid_pos: Voxel coordinates, ``(V, 3)``, unique.
        corner: Voxel ``(3,)`` of the grid through the world origin where they begin.
        max_voxels: Voxels of a typical window, see :func:`window_edge`; one with more than twice as many is cut
            into blocks.
        margin: Width of the context of these blocks in voxels.
        region: Leave out windows that do not reach into this part of the grid.

    Convention:
        Windows begin at multiples of half their edge from the world origin. They do not depend on which part of a
        scene is given.
    """
    step = window_edge(max_voxels) // 2
    plan = grid_pos[:, :2].astype(np.int64) + corner[:2]
    cell, inside = plan // step, (plan % step + 0.5) / step
    starts, weights = [], []
    for before in ((0, 0), (0, 1), (1, 0), (1, 1)):
        starts.append(cell - before)
        weights.append(np.where(before, 1 - inside, inside).prod(axis=1).astype(np.float32))
    start = np.concatenate(starts)
    low = start.min(axis=0)
    number = (start - low) @ (int(start[:, 1].max() - low[1]) + 1, 1)
    order = np.argsort(number, kind="stable")
    if region is not None:
        begins = step * start[order]
        order = order[((begins <= region[1]) & (begins + 2 * step > region[0])).all(axis=1)]
    ends = np.flatnonzero(np.diff(number[order])) + 1
    weight = np.concatenate(weights)
    blocks = []
    for entries in np.split(order, ends):
        rows = entries % len(grid_pos)
        entries = entries[np.argsort(rows)]
        rows = np.sort(rows)
        for block in cut_into_blocks(grid_pos[rows], max_voxels=2 * max_voxels, margin=margin):
            share = weight[entries[block.rows[block.core]]]
            blocks.append(replace(block, rows=rows[block.rows], weight=share))
    return blocks
