"""Slabs of a batch of clouds: the tokens of a cloud that share a coordinate."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from pcseg.ops.groups import Groups, group_by
from pcseg.ops.lines import AXES, check_line_options
from pcseg.ops.points import PointSet
from pcseg.ops.voxels import VoxelSet


@dataclass(frozen=True, kw_only=True, eq=False)
class Slabs:
    """The occupied slabs along one axis, in ascending (cloud, coordinate).

    Args:
        axis: 0, 1, 2 for x, y, z.
        groups: Tokens of every slab.
        cloud: Cloud of every slab, ``(S,)`` int64.
        level: Steps from the lowest slab of its cloud to every slab, ``(S,)`` int64.
        num_clouds: Number of clouds, empty ones included.

    Convention:
        Steps count empty slabs, too: they are distances in multiples of the thickness.
    """

    axis: int
    groups: Groups
    cloud: Tensor
    level: Tensor
    num_clouds: int

    @property
    def counts(self) -> Tensor:
        """Number of tokens in every slab, ``(S,)`` int64, never 0."""
        return self.groups.ptr.diff()


def voxel_slabs(voxels: VoxelSet | PointSet, *, axes: Sequence[int] = AXES) -> list[Slabs]:
    """Return the slabs of voxels, or of the cells of raw points, along each of ``axes``, one voxel thick.

    They are built once per voxel set.
    """
    check_line_options(axes)
    return [voxels.cached(("slabs", axis), lambda axis=axis: _slabs_along(axis, voxels)) for axis in axes]


def _slabs_along(axis: int, voxels: VoxelSet | PointSet) -> Slabs:
    coordinate, batch, num_clouds = voxels.local_pos[:, axis], voxels.batch, voxels.num_clouds
    groups = group_by(batch * voxels.extent[axis] + coordinate)
    first = groups.order[groups.ptr[:-1]]
    cloud, level = batch[first], coordinate[first]
    low = level.new_zeros(num_clouds).scatter_reduce(0, cloud, level, "amin", include_self=False)
    return Slabs(axis=axis, groups=groups, cloud=cloud, level=level - low[cloud], num_clouds=num_clouds)
