"""Blocks of large scenes: cores, context and limits."""

import numpy as np
import pytest

from pcseg.inference.blocks import cut_into_blocks, cut_into_windows, window_edge


def surface(n: int = 4000, size: tuple[int, int, int] = (120, 60, 30)) -> np.ndarray:
    """Return the voxels of the walls and the floor of a box."""
    rng = np.random.default_rng(0)
    grid_pos = (rng.random((n, 3)) * size).astype(np.int32)
    grid_pos[np.arange(n), rng.integers(0, 3, n)] = 0
    return np.unique(grid_pos, axis=0)


@pytest.mark.slow
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


def test_windows_overlap_and_their_weights_sum_to_one() -> None:
    """A window is a square at a multiple of half its edge from the origin, and its weights a pyramid."""
    grid_pos, corner = surface(), np.array([-37, 1001, 5])
    edge = window_edge(400)
    assert edge == 10
    total, plan = np.zeros(len(grid_pos)), (grid_pos + corner)[:, :2]
    blocks = cut_into_windows(grid_pos, corner, max_voxels=400, margin=2)
    for block in blocks:
        assert block.core.all()
        assert block.weight is not None
        start = plan[block.rows].min(axis=0) // 5 * 5
        starts = []
        for first in (start, start - (5, 0), start - (0, 5), start - 5):
            inside = ((plan >= first) & (plan < first + edge)).all(axis=1)
            starts += [first] * np.array_equal(np.flatnonzero(inside), block.rows)
        pyramids = [
            (1 - abs(plan[block.rows] + 0.5 - s - edge / 2) / (edge / 2)).prod(axis=1) for s in starts
        ]
        assert any(np.allclose(pyramid, block.weight, atol=1e-6) for pyramid in pyramids)
        total[block.rows] += block.weight
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_dense_windows_are_cut_and_parts_have_the_same_windows() -> None:
    grid_pos, corner = surface(20_000), np.zeros(3, int)
    blocks = cut_into_windows(grid_pos, corner, max_voxels=60, margin=1)
    assert max(len(block.rows) for block in blocks) <= 120
    total = np.zeros(len(grid_pos))
    for block in blocks:
        total[block.rows[block.core]] += block.weight
    np.testing.assert_allclose(total, 1, atol=1e-6)
    low, high = np.array([40, 20]), np.array([70, 45])
    near = np.flatnonzero(((grid_pos[:, :2] >= low - 9) & (grid_pos[:, :2] <= high + 9)).all(axis=1))
    part = cut_into_windows(grid_pos[near], corner, max_voxels=400, margin=1, region=(low, high))
    whole = cut_into_windows(grid_pos, corner, max_voxels=400, margin=1)
    found = {tuple(near[block.rows]) for block in part}
    inside = ((grid_pos[:, :2] >= low) & (grid_pos[:, :2] <= high)).all(axis=1)
    assert found <= {tuple(block.rows) for block in whole}
    assert found >= {tuple(block.rows) for block in whole if inside[block.rows].any()}
    assert len(found) < len(whole) / 2
