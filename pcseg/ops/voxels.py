"""Occupied voxels of a batch of clouds, and what can be looked up about them once and shared."""

import math
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from pcseg.errors import UserError
from pcseg.ops.kernel_map import KernelMap, strided_map, submanifold_map


class VoxelSet:
    """The occupied voxels of a batch of clouds at one resolution; kernel maps are built once and kept.

    Args:
        grid_pos: Integer voxel coordinates (x, y, z), ``(N, 3)``, of any sign, unique inside a cloud.
        ptr: First row of every cloud and N at the end, ``(B + 1,)``; a cloud may be empty.

    Raises:
        UserError: Coordinates are not integers, ``ptr`` does not fit, or a cloud holds a voxel twice.

    Convention:
        Clouds never see each other, wherever they lie. Rows may come in any order inside a cloud; coarser sets
        made by :meth:`coarsen` are sorted by (cloud, x, y, z).
    """

    def __init__(self, grid_pos: Tensor, ptr: Tensor) -> None:
        _check_layout(grid_pos, ptr)
        self.grid_pos = grid_pos
        self.ptr = ptr.long()
        self._maps: dict[tuple, KernelMap] = {}
        self._coarser: dict[tuple, tuple[VoxelSet, Tensor, KernelMap]] = {}
        self._check_unique()

    def __len__(self) -> int:
        return len(self.grid_pos)

    @property
    def num_clouds(self) -> int:
        return len(self.ptr) - 1

    @cached_property
    def batch(self) -> Tensor:
        """Cloud of every row, ``(N,)`` int64."""
        clouds = torch.arange(self.num_clouds, device=self.ptr.device)
        return clouds.repeat_interleave(self.ptr.diff(), output_size=len(self))

    @cached_property
    def local_pos(self) -> Tensor:
        """Coordinates from the lowest corner of each cloud, ``(N, 3)`` int64, zero or more."""
        # segment_reduce has no integers; doubles hold them exactly up to 2**53
        lowest = torch.segment_reduce(self.grid_pos.double(), "min", lengths=self.ptr.diff(), axis=0)
        return self.grid_pos.long() - lowest.nan_to_num(0, 0, 0).long()[self.batch]

    @cached_property
    def extent(self) -> list[int]:
        """Edges of the box that holds every cloud, in voxels."""
        return (self.local_pos.amax(0) + 1).tolist() if len(self) else [1, 1, 1]

    @cached_property
    def order(self) -> Tensor:
        """Rows in ascending (cloud, x, y, z), ``(N,)``."""
        return self.keys(0).argsort()

    def keys(self, margin: int) -> Tensor:
        """One int64 a voxel, ascending with (cloud, x, y, z), ``(N,)``; a step of (i, j, k) voxels, none longer
        than ``margin``, adds ``(i, j, k) @ key_strides(margin)`` and never lands on another line or cloud."""
        step_x, step_y, _ = self.key_strides(margin)
        x, y, z = self.local_pos.unbind(1)
        return self.batch * (step_x * (self.extent[0] + margin)) + x * step_x + y * step_y + z

    def key_strides(self, margin: int) -> tuple[int, int, int]:
        size_y, size_z = self.extent[1] + margin, self.extent[2] + margin
        return size_y * size_z, size_z, 1

    def num_cells(self, margin: int) -> int:
        """Cells of the box of all clouds, empty ones and a margin on one side of every axis included."""
        return self.num_clouds * math.prod(size + margin for size in self.extent)

    def kernel_map(self, kernel_size: int, dilation: int = 1) -> KernelMap:
        """Map of a submanifold convolution with an odd cubic kernel."""
        key = (kernel_size, dilation)
        if key not in self._maps:
            self._maps[key] = submanifold_map(self, kernel_size, dilation)
        return self._maps[key]

    def coarsen(
        self,
        kernel_size: int = 2,
        stride: int = 2,
        *,
        padding: int = 0,
        out_shape: Sequence[int] | None = None,
    ) -> tuple["VoxelSet", Tensor]:
        """The voxels that a strided convolution reaches, and the row there of ``grid_pos // stride``, ``(N,)``.

        Args:
            kernel_size: Edge of the kernel.
            stride: Edge of a coarse voxel in voxels of this set.
            padding: Output q covers the inputs ``q * stride - padding + (0 ... kernel_size - 1)``.
            out_shape: Keep outputs in ``[0, out_shape)`` alone. Libraries with a fixed box drop the last cell of
                an odd axis this way; rows without a coarse voxel get -1.
        """
        return self._strided(kernel_size, stride, padding, out_shape)[:2]

    def strided_map(
        self,
        kernel_size: int = 2,
        stride: int = 2,
        *,
        padding: int = 0,
        out_shape: Sequence[int] | None = None,
    ) -> KernelMap:
        """Map of a strided convolution from this set to that of :meth:`coarsen` with the same arguments."""
        return self._strided(kernel_size, stride, padding, out_shape)[2]

    def _strided(
        self, kernel_size: int, stride: int, padding: int, out_shape: Sequence[int] | None
    ) -> tuple["VoxelSet", Tensor, KernelMap]:
        key = (kernel_size, stride, padding, out_shape and tuple(out_shape))
        if key not in self._coarser:
            grid_pos, ptr, parent, kernel_map = strided_map(self, kernel_size, stride, padding, out_shape)
            self._coarser[key] = (VoxelSet(grid_pos, ptr), parent, kernel_map)
        return self._coarser[key]

    def _check_unique(self) -> None:
        if self.num_cells(64) >= 2**62:
            raise UserError(
                f"voxel coordinates span {self.extent} voxels, too many to number: check the grid size"
            )
        keys = self.keys(0)[self.order]
        same = keys[1:] == keys[:-1]
        if same.any():
            row = int(self.order[int(same.int().argmax())])
            where = tuple(self.grid_pos[row].tolist())
            raise UserError(f"cloud {int(self.batch[row])} holds voxel {where} twice: keep one point a voxel")


def _check_layout(grid_pos: Tensor, ptr: Tensor) -> None:
    for name, tensor in (("grid_pos", grid_pos), ("ptr", ptr)):
        if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
            raise UserError(f"{name} must hold integers, not {tensor.dtype}")
    if grid_pos.ndim != 2 or grid_pos.shape[1] != 3:
        raise UserError(f"grid_pos must have shape (N, 3), not {tuple(grid_pos.shape)}")
    fits = ptr.ndim == 1 and len(ptr) > 0 and ptr[0] == 0 and ptr[-1] == len(grid_pos)
    if not fits or bool((ptr.diff() < 0).any()):
        raise UserError(f"ptr must ascend from 0 to the {len(grid_pos)} rows of grid_pos")
