"""Blocks of large scenes: cores, context and limits."""

import numpy as np
import pytest

from pcseg.inference.blocks import cut_into_blocks


def surface(n: int = 4000, size: tuple[int, int, int] = (120, 60, 30)) -> np.ndarray:
    """Return the voxels of the walls and the floor of a box."""
    rng = np.random.default_rng(0)
    grid_pos = (rng.random((n, 3)) * size).astype(np.int32)
    grid_pos[np.arange(n), rng.integers(0, 3, n)] = 0
    return np.unique(grid_pos, axis=0)


@pytest.mark.parametrize("margin", [0, 4, 500])
@pytest.mark.parametrize("max_voxels", [1, 7, 300, 2000])
def test_cores_contain_every_voxel_once_within_the_limit(max_voxels: int, margin: int) -> None:
    grid_pos = surface(600 if max_voxels < 10 else 4000)
    blocks = cut_into_blocks(grid_pos, max_voxels=max_voxels, margin=margin)
    cores = np.concatenate([block.rows[block.core] for block in blocks])
    assert np.array_equal(np.sort(cores), np.arange(len(grid_pos)))
    assert max(len(block.rows) for block in blocks) <= max_voxels
    assert all((np.diff(block.rows) > 0).all() for block in blocks)


def test_context_surrounds_the_core() -> None:
    grid_pos, margin = surface(), 5
    for block in cut_into_blocks(grid_pos, max_voxels=2000, margin=margin):
        core = grid_pos[block.rows[block.core]]
        low, high = core.min(axis=0) - margin, core.max(axis=0) + margin
        near = ((grid_pos >= low) & (grid_pos <= high)).all(axis=1)
        assert np.array_equal(block.rows, np.flatnonzero(near))


def test_the_number_of_blocks_is_near_the_minimum() -> None:
    grid_pos = surface(20_000)
    blocks = cut_into_blocks(grid_pos, max_voxels=2000, margin=4)
    assert sum(len(block.rows) for block in blocks) < 2 * len(grid_pos)


def test_a_small_scene_is_one_block_and_an_empty_scene_has_none() -> None:
    (block,) = cut_into_blocks(surface(), max_voxels=10_000, margin=3)
    assert block.core.all()
    assert cut_into_blocks(np.empty((0, 3), dtype=np.int32), max_voxels=10, margin=3) == []


def test_many_voxels_in_one_layer() -> None:
    """If the median layer is the lowest one, the cut must still make progress."""
    flat = np.stack(np.meshgrid([0, 1, 2], np.arange(50), [0], indexing="ij"), axis=-1).reshape(-1, 3)
    heavy = np.concatenate([flat[flat[:, 0] == 0], flat[-3:]]).astype(np.int32)
    blocks = cut_into_blocks(heavy, max_voxels=10, margin=1)
    assert sum(int(block.core.sum()) for block in blocks) == len(heavy)
