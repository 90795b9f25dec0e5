"""Voxel grouping against brute force, and its limits; tests/parity compares it with Pointcept."""

import numpy as np
import pytest

from pcseg.data.voxels import group_by_voxel, group_cells
from pcseg.errors import UserError


def cloud(num_points: int = 500) -> np.ndarray:
    rng = np.random.default_rng(0)
    pos = rng.uniform(-1, 1, (num_points, 3)) * [0.5, 0.3, 0.2]
    pos[::7] = pos[0]  # one full voxel
    return pos.astype(np.float32)


def test_groups_are_the_cells_of_the_grid() -> None:
    pos = cloud()
    groups = group_by_voxel(pos, 0.1)
    cells = np.floor(pos.astype(np.float64) / 0.1).astype(int)
    members: dict[tuple[int, ...], list[int]] = {}
    for point, cell in enumerate(cells):
        members.setdefault(tuple(cell.tolist()), []).append(point)
    assert groups.num_voxels == len(members)
    assert groups.num_fragments == max(map(len, members.values()))
    for voxel in range(groups.num_voxels):
        inside = groups.order[groups.ptr[voxel] : groups.ptr[voxel + 1]].tolist()
        assert inside == members[tuple((groups.grid_pos[voxel] + groups.origin).tolist())]
        assert (groups.inverse[inside] == voxel).all()
    assert (np.diff(groups.keys.astype(object)) > 0).all()
    assert groups.grid_pos.dtype == np.int32
    assert groups.grid_pos.min(axis=0).tolist() == [0, 0, 0]


def test_fragments_contain_every_point_once() -> None:
    pos = cloud()
    groups = group_by_voxel(pos, 0.1)
    seen = np.zeros(len(pos), dtype=int)
    for number, (points, (rows, twice)) in enumerate(groups.fragments([pos, 2 * pos])):
        assert (groups.inverse[points] == np.arange(groups.num_voxels)).all()
        assert (points == groups.pick(number)).all()
        assert (rows == pos[points]).all()
        assert (twice == 2 * pos[points]).all()
        fresh = number < groups.count
        seen[points[fresh]] += 1
    assert (seen == 1).all()


def test_random_points_are_uniform_and_reproducible() -> None:
    groups = group_cells([np.array([0, 5, 0, 0]), np.zeros(4, int), np.zeros(4, int)])
    rng = np.random.default_rng(1)
    drawn = np.array([groups.random_points(rng) for _ in range(3000)])
    assert (drawn[:, 1] == 1).all()
    frequency = np.bincount(drawn[:, 0], minlength=4) / 3000
    assert frequency[1] == 0
    assert np.abs(frequency[[0, 2, 3]] - 1 / 3).max() < 0.05
    again = np.random.default_rng(1)
    assert (np.array([groups.random_points(again) for _ in range(3000)]) == drawn).all()


def test_wide_keys_are_sorted() -> None:
    """Keys of more than 32 bits take several passes of the radix sort."""
    rng = np.random.default_rng(0)
    cells = [rng.integers(-(2**19), 2**19, 1000) for _ in range(3)]
    groups = group_cells(cells)
    expected = np.lexsort(cells[::-1])
    assert (groups.order == expected).all()


@pytest.mark.parametrize("num_points", [0, 1])
def test_tiny_clouds(num_points: int) -> None:
    groups = group_by_voxel(np.full((num_points, 3), -3.21, np.float32), 0.02)
    assert groups.num_voxels == groups.num_fragments == num_points
    assert groups.grid_pos.shape == (num_points, 3)
    assert len(groups.random_points(np.random.default_rng(0))) == num_points
    assert len(list(groups.fragments([]))) == num_points


def test_division_is_float64() -> None:
    """0.7 m in float32 is slightly less than 35 cells of 2 cm; a division in float32 gives 35."""
    pos = np.array([[0, 0, 0], [0.7, 0, 0]], np.float32)
    assert group_by_voxel(pos, 0.02).grid_pos[1, 0] == 34


def test_invalid_clouds_are_refused() -> None:
    with pytest.raises(UserError, match="NaN or infinite"):
        group_by_voxel(np.array([[0, 0, np.nan]], np.float32), 0.02)
    with pytest.raises(UserError, match="Remove outliers or check the unit"):
        group_by_voxel(np.array([[0, 0, 0], [1e9, 1e9, 1e9]], np.float32), 0.02)
    with pytest.raises(UserError, match=r"beyond 2\^62 voxels of 0\.02 m\. Remove outliers"):
        group_by_voxel(np.array([[0, 0, 0], [1e20, 0, 0]], np.float32), 0.02)
