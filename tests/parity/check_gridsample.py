"""Grid sampling against Pointcept's, in train and test mode, under the arithmetic of NumPy 1 and 2."""

from dataclasses import replace

import numpy as np
from golden import Golden

from pcseg.data.voxels import VoxelGroups, group_by_voxel, group_cells

FNV_OFFSET = np.uint64(14695981039346656037)
FNV_PRIME = np.uint64(1099511628211)


def cell_offset(pos: np.ndarray, grid_size: float, dtype: type[np.floating]) -> np.ndarray:
    """Offset of each point from the center of its cell in voxels, rounded to ``dtype`` where GridSample rounds."""
    scaled = pos.astype(dtype, copy=False) / dtype(grid_size)
    cells = np.floor(scaled)
    origin = cells.min(axis=0)
    return (scaled - origin) - (cells - origin).astype(np.float64) - 0.5


def group(pos: np.ndarray, grid_size: float, *, key: str, dtype: type[np.floating]) -> VoxelGroups:
    """Group points by voxel in the arithmetic and order of a version of GridSample."""
    cells = np.floor(pos.astype(dtype, copy=False) / dtype(grid_size)).astype(np.int64)
    groups = group_cells(list(cells.T))
    if key == "ravel":
        return groups
    hashes = np.full(len(cells), FNV_OFFSET)
    for column in (cells - groups.origin).T:  # FNV-1 with one 64-bit word per axis
        hashes *= FNV_PRIME
        hashes ^= column.astype(np.uint64)
    keys, rank = np.unique(hashes, return_inverse=True)
    sorted_groups = group_cells([rank, np.zeros_like(rank), np.zeros_like(rank)])
    grid_pos = (cells - groups.origin)[sorted_groups.pick(0)].astype(np.int32)
    return replace(sorted_groups, keys=keys, grid_pos=grid_pos, origin=groups.origin)


def check(golden: Golden) -> None:
    pos = golden["input.coord"]
    grid_size = golden.meta["args"]["grid_size"]
    dtype = np.dtype(golden.meta["scaled_coord_dtype"]).type
    offset = cell_offset(pos, grid_size, dtype)
    if dtype is np.float64:
        np.testing.assert_array_equal(
            group_by_voxel(pos, grid_size).order, group(pos, grid_size, key="ravel", dtype=dtype).order
        )
    for key in ("fnv", "ravel"):
        groups = group(pos, grid_size, key=key, dtype=dtype)
        equal = np.testing.assert_array_equal
        equal(groups.keys, golden[f"output.key_{key}"])
        equal(groups.count, golden[f"output.count_{key}"])
        equal(groups.inverse, golden[f"output.train_{key}_stable.inverse"])
        equal(groups.grid_pos, golden[f"output.train_{key}.grid_coord"])
        equal(groups.grid_pos[groups.inverse], golden["output.grid_coord_all"])
        equal((groups.origin * grid_size)[None], golden[f"output.train_{key}.min_coord"])

        index = groups.pick(golden["input.train_draws"])
        equal(index, golden[f"output.train_{key}_stable.index"])
        equal(offset[index], golden[f"output.train_{key}_stable.displacement"])

        fragments = list(groups.fragments([pos]))
        equal([index for index, _ in fragments], golden[f"output.test_{key}_stable.index"])
        equal(
            [groups.pick(i) for i in range(groups.num_fragments)], golden[f"output.test_{key}_stable.index"]
        )
        for index, (rows,) in fragments:
            equal(rows, pos[index])
        index = fragments[0][0]
        projected = (offset[index] * golden["input.normal"][index]).sum(axis=-1, keepdims=True)
        official = golden[f"output.test_{key}_stable.projected_displacement0"]
        np.testing.assert_allclose(projected, official, rtol=0, atol=1e-14)  # summed in another order


CHECKS = {"gridsample": check}
