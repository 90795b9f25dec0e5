"""Occupied voxels of a batch of clouds at one resolution."""

import math
from functools import cached_property

import torch
from torch import Tensor

from pcseg.errors import UserError
from pcseg.ops.clouds import Clouds, split_clouds


class VoxelSet(Clouds):
    """The occupied voxels of a batch of clouds at one resolution.

    Args:
        grid_pos: Integer voxel coordinates (x, y, z), ``(N, 3)``, of any sign, unique within a cloud.
        ptr: First row of every cloud and N at the end, ``(B + 1,)``; a cloud may be empty.
        bounds: :attr:`corner` and :attr:`top`, if they are known and rows are known to be sorted and unique.

    Raises:
        UserError: Coordinates are not integers, ``ptr`` does not fit, or a cloud holds a voxel twice.

    Convention:
        Clouds never see each other, wherever they are. Rows may come in any order within a cloud; ``order`` holds
        them in ascending (cloud, x, y, z), or is ``None`` if they are sorted.
    """

    def __init__(self, grid_pos: Tensor, ptr: Tensor, *, bounds: tuple[Tensor, Tensor] | None = None) -> None:
        _check_layout(grid_pos, ptr)
        super().__init__(ptr, len(grid_pos), grid_pos.device)
        self.grid_pos = grid_pos
        self.corner, self.top = self._bounds() if bounds is None else bounds
        """Lowest and highest coordinates of every cloud, ``(B, 3)`` int64 on the CPU; 0 for an empty one."""
        self.extent: list[int] = (self.top - self.corner + 1).amax(0).tolist() if len(self) else [1, 1, 1]
        """Edges, in voxels, of a box that holds any of the clouds."""
        self.order = self._sorted_rows() if bounds is None else None

    def _bounds(self) -> tuple[Tensor, Tensor]:
        # Cloud by cloud: on a GPU segment_reduce walks a whole cloud in one thread per column.
        rows = [
            cloud if len(cloud) else cloud.new_zeros(1, 3) for cloud in split_clouds(self.grid_pos, self.ptr)
        ]
        ends = [torch.stack(cloud.aminmax(dim=0)) for cloud in rows]
        low, high = torch.stack(ends, 1).long().cpu() if ends else self.ptr.new_zeros(2, 0, 3)
        return low, high

    @cached_property
    def local_pos(self) -> Tensor:
        """Coordinates relative to the corner of the cloud, ``(N, 3)`` int64."""
        corner = self.corner.to(self.device, non_blocking=True)
        return self.grid_pos - corner.index_select(0, self.batch)

    def key_sizes(self, margin: int, dilation: int = 1) -> tuple[int, int, int]:
        """Return the cells along x, along y, and along a line in z, of the box that :meth:`keys` number."""
        x, y, z = self.extent
        return x + margin, y + margin, -(-z // dilation) + margin

    def num_cells(self, margin: int, dilation: int = 1) -> int:
        """Return the number of cells that :meth:`keys` number."""
        return self.num_clouds * dilation * math.prod(self.key_sizes(margin, dilation))

    def keys(self, margin: int, dilation: int = 1) -> Tensor:
        """Return one number per voxel, ``(N,)`` int64, ascending with (cloud, x, y, z mod dilation, z // dilation).

        Keys of voxels that are ``dilation`` apart in z differ by 1. Steps of at most ``margin`` voxels never reach
        the key of a voxel on another line or in another cloud.
        """
        if self.num_cells(margin, dilation) >= 2**62:
            raise UserError(
                f"grid_pos: clouds span {self.extent} voxels, too many to number. Check the grid size."
            )
        size_x, size_y, size_z = self.key_sizes(margin, dilation)
        x, y, z = self.local_pos.unbind(1)
        line = (self.batch * size_x + x) * size_y + y
        if dilation == 1:
            return line * size_z + z
        return (line * dilation + z % dilation) * size_z + z // dilation

    def _sorted_rows(self) -> Tensor | None:
        keys = self.keys(0)
        if bool((keys[1:] > keys[:-1]).all()):
            return None
        keys, order = keys.sort()
        same = keys[1:] == keys[:-1]
        if bool(same.any()):
            row = order[same.int().argmax()]
            voxel = tuple(self.grid_pos[row].tolist())
            raise UserError(
                f"grid_pos: cloud {int(self.batch[row])} holds voxel {voxel} twice. Keep one point per voxel."
            )
        return order


def _check_layout(grid_pos: Tensor, ptr: Tensor) -> None:
    for name, tensor in (("grid_pos", grid_pos), ("ptr", ptr)):
        if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
            raise UserError(f"{name}: has type {tensor.dtype}. Pass integers.")
    if grid_pos.ndim != 2 or grid_pos.shape[1] != 3:
        raise UserError(f"grid_pos: has shape {tuple(grid_pos.shape)}. Pass (N, 3).")
