"""Split a large scene into blocks of voxels with context around them, each small enough for one forward pass."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """Voxels of a scene for one forward pass.

    Args:
        rows: Voxels of the block, ascending, ``(V_block,)``.
        core: Mask of the voxels in ``rows`` whose predictions are used; the others are context. ``(V_block,)`` bool.
    """

    rows: np.ndarray
    core: np.ndarray


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
