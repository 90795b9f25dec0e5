"""Occupied voxels of a batch of clouds, and what is looked up about them once and shared."""

import math
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from pcseg.errors import UserError
from pcseg.ops.attention import Support
from pcseg.ops.clouds import split_clouds
from pcseg.ops.kernel_lookup import strided_map, submanifold_map
from pcseg.ops.kernel_map import KernelMap


class VoxelSet:
    """The occupied voxels of a batch of clouds at one resolution; kernel maps and lines are built once and kept.

    Args:
        grid_pos: Integer voxel coordinates (x, y, z), ``(N, 3)``, of any sign, unique inside a cloud.
        ptr: First row of every cloud and N at the end, ``(B + 1,)``; a cloud may be empty.

    Raises:
        UserError: Coordinates are not integers, ``ptr`` does not fit, or a cloud holds a voxel twice.

    Convention:
        Clouds never see each other, wherever they lie. Rows may come in any order inside a cloud; sets made
        by :meth:`coarsen` are sorted by (cloud, x, y, z).
    """

    def __init__(self, grid_pos: Tensor, ptr: Tensor) -> None:
        _check_layout(grid_pos, ptr)
        self.grid_pos = grid_pos
        self.ptr = ptr.long()
        self._maps: dict[tuple[int, int], KernelMap] = {}
        self._coarser: dict[tuple, tuple[VoxelSet, Tensor, KernelMap]] = {}
        self.lines: dict[tuple[tuple[int, ...], int, int], Support] = {}
        """Those of :func:`pcseg.ops.lines.axis_lines`, by their axes, thickness and shift."""
        self.order = self._sorted_rows()

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

    @property
    def corner(self) -> Tensor:
        """Lowest coordinates of every cloud, ``(B, 3)`` int64; 0 for an empty one."""
        return self._bounds[0]

    @property
    def top(self) -> Tensor:
        """Highest coordinates of every cloud, ``(B, 3)`` int64; 0 for an empty one."""
        return self._bounds[1]

    @cached_property
    def _bounds(self) -> tuple[Tensor, Tensor]:
        # cloud by cloud: on a GPU segment_reduce walks a whole cloud in one thread a column
        rows = [
            cloud if len(cloud) else cloud.new_zeros(1, 3) for cloud in split_clouds(self.grid_pos, self.ptr)
        ]
        low, high = (torch.stack(bounds).long() for bounds in zip(*(cloud.aminmax(dim=0) for cloud in rows)))
        return low, high

    @cached_property
    def local_pos(self) -> Tensor:
        """Coordinates from the corner of the cloud, ``(N, 3)`` int64."""
        return self.grid_pos - self.corner.index_select(0, self.batch)

    @cached_property
    def extent(self) -> list[int]:
        """Edges of a box that holds any of the clouds, in voxels."""
        return (self.local_pos.amax(0) + 1).tolist() if len(self) else [1, 1, 1]

    def key_sizes(self, margin: int, dilation: int = 1) -> tuple[int, int, int]:
        """Cells along x, along y, and along a line in z, of the box that :meth:`keys` number."""
        x, y, z = self.extent
        return x + margin, y + margin, -(-z // dilation) + margin

    def num_cells(self, margin: int, dilation: int = 1) -> int:
        return self.num_clouds * dilation * math.prod(self.key_sizes(margin, dilation))

    def keys(self, margin: int, dilation: int = 1) -> Tensor:
        """One number a voxel, ``(N,)`` int64, ascending with (cloud, x, y, z mod dilation, z // dilation).

        Voxels that lie ``dilation`` apart in z differ by 1. Steps of at most ``margin`` voxels lead to no voxel
        of another line or cloud.
        """
        if self.num_cells(margin, dilation) >= 2**62:
            raise UserError(f"clouds span {self.extent} voxels, too many to number: check the grid size")
        size_x, size_y, size_z = self.key_sizes(margin, dilation)
        x, y, z = self.local_pos.unbind(1)
        line = (self.batch * size_x + x) * size_y + y
        if dilation == 1:
            return line * size_z + z
        return (line * dilation + z % dilation) * size_z + z // dilation

    def kernel_map(self, kernel_size: int, dilation: int = 1) -> KernelMap:
        """Map of a submanifold convolution: the kernel is cubic, odd and centred."""
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
            out_shape: Keep outputs in ``[0, out_shape)`` alone; rows without one get -1. Libraries with a fixed
                box drop the last cell of an odd axis this way.
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
        key = (kernel_size, stride, padding, None if out_shape is None else tuple(out_shape))
        if key not in self._coarser:
            grid_pos, ptr, parent, kernel_map = strided_map(self, kernel_size, stride, padding, out_shape)
            self._coarser[key] = (VoxelSet(grid_pos, ptr), parent, kernel_map)
        return self._coarser[key]

    def _sorted_rows(self) -> Tensor | None:
        """Rows in ascending (cloud, x, y, z), ``None`` where they are already; no voxel may come twice."""
        keys = self.keys(0)
        if bool((keys[1:] > keys[:-1]).all()):
            return None
        keys, order = keys.sort()
        same = keys[1:] == keys[:-1]
        if bool(same.any()):
            row = order[same.int().argmax()]
            where = tuple(self.grid_pos[row].tolist())
            raise UserError(f"cloud {int(self.batch[row])} holds voxel {where} twice: keep one point a voxel")
        return order


def _check_layout(grid_pos: Tensor, ptr: Tensor) -> None:
    for name, tensor in (("grid_pos", grid_pos), ("ptr", ptr)):
        if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
            raise UserError(f"{name} must hold integers, not {tensor.dtype}")
    if grid_pos.ndim != 2 or grid_pos.shape[1] != 3:
        raise UserError(f"grid_pos must have shape (N, 3), not {tuple(grid_pos.shape)}")
    fits = ptr.ndim == 1 and len(ptr) > 0 and ptr[0] == 0 and ptr[-1] == len(grid_pos)
    if not fits or bool((ptr.diff() < 0).any()):
        raise UserError(f"ptr must ascend from 0 to {len(grid_pos)}, the rows of grid_pos")
