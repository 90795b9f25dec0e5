"""Grid sampling: the points of a cloud grouped by voxel, from which one point a voxel is taken."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from pcseg.errors import UserError

FNV_OFFSET = np.uint64(14695981039346656037)
FNV_PRIME = np.uint64(1099511628211)


@dataclass(frozen=True, kw_only=True, eq=False)
class VoxelGroups:
    """The points of a cloud sorted by the voxel they lie in.

    Args:
        order: Points sorted by voxel, in the order of the cloud inside a voxel, ``(N,)``.
        ptr: Voxel v holds ``order[ptr[v]:ptr[v + 1]]``, ``(V + 1,)``.
        grid_pos: Coordinates of the voxels, int32 from 0 in every axis, ``(V, 3)``.
        keys: The keys that the voxels are sorted by, uint64, ``(V,)``.
        origin: Voxel coordinate 0 is cell ``origin`` of the grid through the world's origin, int64, ``(3,)``.

    Convention:
        A *fragment* has one row a voxel. Fragment i holds member ``i % count`` of every voxel, so that as
        many fragments as the fullest voxel has points show every point of the cloud.
    """

    order: np.ndarray
    ptr: np.ndarray
    grid_pos: np.ndarray
    keys: np.ndarray
    origin: np.ndarray

    @property
    def num_points(self) -> int:
        return len(self.order)

    @property
    def num_voxels(self) -> int:
        return len(self.keys)

    @cached_property
    def count(self) -> np.ndarray:
        """Points in every voxel, ``(V,)``."""
        return np.diff(self.ptr)

    @property
    def num_fragments(self) -> int:
        """Points in the fullest voxel; 0 for an empty cloud."""
        return int(self.count.max(initial=0))

    @cached_property
    def inverse(self) -> np.ndarray:
        """The voxel of every point of the cloud, ``(N,)``."""
        inverse = np.empty(self.num_points, dtype=np.int64)
        inverse[self.order] = np.repeat(np.arange(self.num_voxels), self.count)
        return inverse

    def pick(self, member: np.ndarray | int) -> np.ndarray:
        """One point a voxel: the one numbered ``member % count`` inside its voxel, ``(V,)``."""
        return self.order[self.ptr[:-1] + member % self.count]

    def random_points(self, rng: np.random.Generator) -> np.ndarray:
        """One point a voxel, each point of a voxel with the same probability, ``(V,)``."""
        member = (rng.random(self.num_voxels) * self.count).astype(np.int64)
        return self.order[self.ptr[:-1] + member]

    def fragments(self, arrays: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
        """Every fragment: the points it holds ``(V,)``, and their rows of each of ``arrays``.

        The arrays are sorted by voxel once; after that every fragment reads them front to back, which is
        several times faster than gathering from the cloud for every fragment.
        """
        ordered = [array.take(self.order, axis=0) for array in arrays]
        row, last = self.ptr[:-1].copy(), self.ptr[1:]
        for _ in range(self.num_fragments):
            yield self.order.take(row), [array.take(row, axis=0) for array in ordered]
            row += 1
            wrapped = row == last
            row[wrapped] = self.ptr[:-1][wrapped]


def group_by_voxel(
    pos: np.ndarray,
    grid_size: float,
    *,
    key: Literal["ravel", "fnv"] = "ravel",
    dtype: type[np.floating] = np.float64,
) -> VoxelGroups:
    """Group the points of a cloud by voxel.

    Args:
        pos: Positions in metres, ``(N, 3)``.
        grid_size: Edge of a voxel in metres.
        key: What the voxels are sorted by: their coordinates (x slowest) or the FNV hash of these. Hashes of
            two voxels could be equal in principle, which merges them; coordinates cannot.
        dtype: Arithmetic of ``pos / grid_size``.

    Raises:
        UserError: The cloud has NaN or infinite positions, or spans too many voxels to number them.

    Convention:
        Voxels are the cells of the grid through the world's origin, ``floor(pos / grid_size)``. The same
        formula with ``dtype`` float32 or float64 is what Pointcept's GridSample computes under NumPy 1 or 2:
        the two differ for points that lie on the border of a cell.
    """
    if not np.isfinite(pos).all():
        raise UserError("the cloud has NaN or infinite positions; remove these points")
    scale = dtype(grid_size)
    try:
        return group_cells([_cells(column.astype(dtype, copy=False) / scale) for column in pos.T], key=key)
    except OverflowError as error:
        raise UserError(f"{error} of {grid_size} m; remove outliers or check the unit") from error


def group_cells(cells: Sequence[np.ndarray], *, key: Literal["ravel", "fnv"] = "ravel") -> VoxelGroups:
    """Group points by the integer coordinates of their cells, one array ``(N,)`` an axis.

    Raises:
        OverflowError: The cells cannot be numbered.
    """
    origin = np.array([cell.min() if len(cell) else 0 for cell in cells], dtype=np.int64)
    cells = [cell.astype(np.int64, copy=False) - low for cell, low in zip(cells, origin)]
    extent = [int(cell.max(initial=0)) + 1 for cell in cells]
    if max(extent) > 2**31 or extent[0] * extent[1] * extent[2] >= 2**63:
        raise OverflowError(f"the cloud spans {' x '.join(map(str, extent))} voxels")
    keys = _fnv_keys(cells) if key == "fnv" else (cells[0] * extent[1] + cells[1]) * extent[2] + cells[2]
    order, ptr, unique = _sort_by_key(keys)
    rows = np.empty((len(keys), 3), dtype=np.int32)
    for axis, cell in enumerate(cells):
        rows[:, axis] = cell
    grid_pos = rows.take(order[ptr[:-1]], axis=0)
    return VoxelGroups(order=order, ptr=ptr, grid_pos=grid_pos, keys=unique.astype(np.uint64), origin=origin)


def cell_offset(pos: np.ndarray, grid_size: float, *, dtype: type[np.floating] = np.float64) -> np.ndarray:
    """Where each point lies in its cell, relative to the centre, in voxels (-0.5 to 0.5), float64, ``(N, 3)``.

    Convention:
        Rounded to ``dtype`` where GridSample rounds: after the division and after moving cell 0 to the corner.
    """
    scaled = pos.astype(dtype, copy=False) / dtype(grid_size)
    cells = np.floor(scaled)
    origin = cells.min(axis=0) if len(cells) else 0
    return (scaled - origin) - (cells - origin).astype(np.float64) - 0.5


def _cells(scaled: np.ndarray) -> np.ndarray:
    """Cells of coordinates in voxels, int64; :class:`OverflowError` where these do not reach."""
    cells = np.floor(scaled)
    if max(cells.max(initial=0), -cells.min(initial=0)) >= 2**62:
        raise OverflowError("the cloud reaches beyond 2^62 voxels")
    return cells.astype(np.int64)


def _fnv_keys(cells: list[np.ndarray]) -> np.ndarray:
    """64-bit FNV-1 of the coordinates, one 64-bit word an axis: multiply, then XOR."""
    keys = np.full(len(cells[0]), FNV_OFFSET)
    for cell in cells:
        keys *= FNV_PRIME
        keys ^= cell.astype(np.uint64)
    return keys


def _sort_by_key(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stable order of keys >= 0, where each distinct key begins (and the end), and the distinct keys."""
    # NumPy sorts 16-bit numbers by radix: digit by digit this is four times faster than sorting the keys
    order = np.argsort(keys.astype(np.uint16), kind="stable")
    for shift in range(16, int(keys.max(initial=0)).bit_length(), 16):
        digit = (keys >> keys.dtype.type(shift)).astype(np.uint16)
        order = order[np.argsort(digit[order], kind="stable")]
    ordered = keys[order]
    begins = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    ptr = np.concatenate([[0], begins, [len(keys)]]) if len(keys) else np.zeros(1, dtype=np.int64)
    return order, ptr, ordered[ptr[:-1]]
