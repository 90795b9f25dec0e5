"""Voxel grouping: sort the points of a cloud by voxel, and select one point per voxel."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pcseg.errors import UserError


@dataclass(frozen=True, kw_only=True, eq=False)
class VoxelGroups:
    """The points of a cloud sorted by voxel.

    Args:
        order: Point indices sorted by voxel, in their original order within a voxel, ``(N,)``.
        ptr: Voxel v contains ``order[ptr[v]:ptr[v + 1]]``, ``(V + 1,)``.
        grid_pos: Voxel coordinates, int32, starting at 0 on every axis, ``(V, 3)``.
        keys: Sort keys of the voxels, uint64, ``(V,)``.
        origin: Cell of voxel coordinate 0 in the grid through the world origin, int64, ``(3,)``.

    Convention:
        A *fragment* has one row per voxel. Fragment i holds member ``i % count`` of every voxel, so that
        ``max(count)`` fragments contain every point of the cloud.
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
        """Number of points per voxel, ``(V,)``."""
        return np.diff(self.ptr)

    @property
    def num_fragments(self) -> int:
        """Number of points in the fullest voxel; 0 for an empty cloud."""
        return int(self.count.max(initial=0))

    @cached_property
    def inverse(self) -> np.ndarray:
        """Voxel index of each point of the cloud, ``(N,)``."""
        inverse = np.empty(self.num_points, dtype=np.int64)
        inverse[self.order] = np.repeat(np.arange(self.num_voxels), self.count)
        return inverse

    def pick(self, member: np.ndarray | int) -> np.ndarray:
        """Return point ``member % count`` of every voxel, ``(V,)``."""
        return self.order[self.ptr[:-1] + member % self.count]

    def random_points(self, rng: np.random.Generator) -> np.ndarray:
        """Return one uniformly sampled point per voxel, ``(V,)``."""
        member = (rng.random(self.num_voxels) * self.count).astype(np.int64)
        return self.order[self.ptr[:-1] + member]

    def fragments(self, arrays: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
        """Yield the point indices ``(V,)`` of every fragment, and their rows of each of ``arrays``.

        The arrays are sorted by voxel once. Fragments then read them in order, which is several times faster
        than gathering from the cloud for each fragment.
        """
        ordered = [array.take(self.order, axis=0) for array in arrays]
        row, last = self.ptr[:-1].copy(), self.ptr[1:]
        for _ in range(self.num_fragments):
            yield self.order.take(row), [array.take(row, axis=0) for array in ordered]
            row += 1
            wrapped = row == last
            row[wrapped] = self.ptr[:-1][wrapped]


def group_by_voxel(pos: np.ndarray, grid_size: float) -> VoxelGroups:
    """Group points ``pos`` ``(N, 3)`` in meters by voxel, in the order of their voxel coordinates (x slowest).

    Raises:
        UserError: A position is NaN or infinite, or the cloud spans too many voxels to number them.

    Convention:
        Voxels are the cells of the grid through the world origin, ``floor(pos / grid_size)`` in float64, as in
        Pointcept's GridSample under NumPy 2. Under NumPy 1 it divides in float32, and points on the border of a
        cell can fall into the neighboring one.
    """
    if not np.isfinite(pos).all():
        raise UserError("the cloud has NaN or infinite positions. Remove these points.")
    try:
        return group_cells(_cells(np.divide(column, grid_size, dtype=np.float64)) for column in pos.T)
    except OverflowError as error:
        raise UserError(f"{error} of {grid_size} m. Remove outliers or check the unit.") from error


def group_cells(cells: Iterable[np.ndarray]) -> VoxelGroups:
    """Group points by the integer coordinates of their cells, one array ``(N,)`` per axis.

    Raises:
        OverflowError: There are too many cells to number them.
    """
    origin, extent, keys = [], [], np.zeros(0, np.int64)
    for cell in cells:  # one axis at a time and in place, for scenes of many points
        origin.append(int(cell.min()) if len(cell) else 0)
        extent.append(int(cell.max(initial=origin[-1])) - origin[-1] + 1)
        if len(origin) == 1:
            keys = cell.astype(np.int64)
            keys -= origin[0]
        elif max(extent) <= 2**31 and math.prod(extent) < 2**63:  # otherwise an error follows
            keys *= extent[-1]
            keys += cell
            keys -= origin[-1]
        del cell  # before the next one is made
    if max(extent) > 2**31 or math.prod(extent) >= 2**63:
        raise OverflowError(f"the cloud spans {' x '.join(map(str, extent))} voxels")
    order, ptr, keys = _sort_by_key(keys)
    rest, columns = keys, []
    for size in reversed(extent):
        rest, column = np.divmod(rest, size)
        columns.append(column.astype(np.int32))
    grid_pos = np.stack(columns[::-1], axis=1)
    return VoxelGroups(
        order=order,
        ptr=ptr,
        grid_pos=grid_pos,
        keys=keys.astype(np.uint64),
        origin=np.array(origin, np.int64),
    )


def _cells(scaled: np.ndarray) -> np.ndarray:
    """Return the int64 cells of coordinates in voxels; raise :class:`OverflowError` if they do not fit."""
    cells = np.floor(scaled, out=scaled)
    if max(cells.max(initial=0), -cells.min(initial=0)) >= 2**62:
        raise OverflowError("the cloud extends beyond 2^62 voxels")
    return cells.astype(np.int64)


def _sort_by_key(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the stable order of non-negative keys, the start of each distinct key and the end, and those keys."""
    # NumPy sorts 16-bit integers by radix: one pass per digit takes a quarter of the time of sorting the keys
    digits = keys.astype("<i8", copy=False).view("<u2").reshape(-1, 4).T
    small = np.uint32 if len(keys) < 2**32 else np.int64
    order = np.argsort(digits[0], kind="stable").astype(small)
    for digit in digits[1 : max(-(-int(keys.max(initial=0)).bit_length() // 16), 1)]:
        order = order[np.argsort(digit[order], kind="stable")]
    order = order.astype(np.int64)
    ordered = keys[order]
    begins = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    ptr = np.concatenate([[0], begins, [len(keys)]]) if len(keys) else np.zeros(1, dtype=np.int64)
    return order, ptr, ordered[ptr[:-1]]
