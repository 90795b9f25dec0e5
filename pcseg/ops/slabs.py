"""Slabs of a batch of clouds: the tokens of a cloud that share a coordinate."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pcseg.errors import UserError
from pcseg.ops.groups import Groups, group_by
from pcseg.ops.lines import AXES, check_line_options
from pcseg.ops.voxels import VoxelSet

MAX_CELLS = 2**31
"""Largest extent of a cloud in slabs: numbers of slabs must fit in int64 for any batch."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Slabs:
    """The occupied slabs along one axis, in ascending (cloud, coordinate).

    Args:
        axis: 0, 1, 2 for x, y, z.
        groups: Tokens of every slab.
        cloud: Cloud of every slab, ``(S,)`` int64.
        ends: Steps from every slab to the lowest and to the highest one of its cloud, ``(S, 2)`` int64.

    Convention:
        Steps count empty slabs, too: they are distances in multiples of the thickness.
    """

    axis: int
    groups: Groups
    cloud: Tensor
    ends: Tensor

    @property
    def counts(self) -> Tensor:
        """Number of tokens in every slab, ``(S,)`` int64, never 0."""
        return self.groups.ptr.diff()


def voxel_slabs(voxels: VoxelSet, *, axes: Sequence[int] = AXES) -> list[Slabs]:
    """Return the slabs of voxels along each of ``axes``, one voxel thick; they are built once per voxel set."""
    check_line_options(axes)
    clouds = voxels.batch, voxels.num_clouds
    return [
        voxels.cached(
            ("slabs", axis), lambda axis=axis: _slabs_along(axis, voxels.local_pos[:, axis], *clouds)
        )
        for axis in axes
    ]


def point_slabs(pos: Tensor, ptr: Tensor, thickness: float, *, axes: Sequence[int] = AXES) -> list[Slabs]:
    """Return the slabs of raw points along each of ``axes``.

    Args:
        pos: Coordinates ``(N, 3)``.
        ptr: First row of every cloud and N at the end, ``(B + 1,)``.
        thickness: Thickness of a slab in the unit of ``pos``; slabs start at the lowest point of a cloud.

    Raises:
        UserError: Coordinates are not finite, or a cloud has too many slabs.
    """
    check_line_options(axes)
    if thickness <= 0:
        raise UserError(f"thickness: {thickness} is too small. Use a positive length.")
    num_clouds = len(ptr) - 1
    clouds = torch.arange(num_clouds, device=ptr.device)
    batch = clouds.repeat_interleave(ptr.diff(), output_size=len(pos))
    low = pos.new_zeros(num_clouds, 3).scatter_reduce(
        0, batch[:, None].expand(-1, 3), pos, "amin", include_self=False
    )
    cells = ((pos - low.index_select(0, batch)) / thickness).floor()
    if not bool((cells < MAX_CELLS).all()):  # false for NaN
        raise UserError(
            f"pos: is not finite, or a cloud has more than {MAX_CELLS} slabs. Check the thickness."
        )
    return [_slabs_along(axis, cells[:, axis].long(), batch, num_clouds) for axis in axes]


def _slabs_along(axis: int, coordinate: Tensor, batch: Tensor, num_clouds: int) -> Slabs:
    """Return the slabs of tokens with a non-negative ``coordinate`` ``(N,)`` in the clouds ``batch`` ``(N,)``."""
    length = int(coordinate.max()) + 1 if len(coordinate) else 1
    groups = group_by(batch * length + coordinate)
    first = groups.order[groups.ptr[:-1]]
    cloud, level = batch[first], coordinate[first]
    bounds = [
        level.new_zeros(num_clouds).scatter_reduce(0, cloud, level, reduce, include_self=False)[cloud]
        for reduce in ("amin", "amax")
    ]
    ends = torch.stack([level - bounds[0], bounds[1] - level], 1)
    return Slabs(axis=axis, groups=groups, cloud=cloud, ends=ends)
