"""The voxels of one resolution along space-filling curves: orders, patches, and the next coarser resolution."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Self

import torch
from torch import Tensor

from pcseg.errors import UserError
from pcseg.ops.kernel_lookup import coarsen
from pcseg.ops.patches import Patches, cut_patches
from pcseg.ops.segment import segment_mean
from pcseg.ops.serialization import MAX_DEPTH, Curve, bits_needed, check_coordinates, code_along, spread_bits
from pcseg.ops.voxels import VoxelSet

MAX_CLOUDS = 1 << 63 - 3 * MAX_DEPTH


class Permutation(NamedTuple):
    """``order`` holds the rows along a curve, ``inverse`` the position of every row."""

    order: Tensor
    inverse: Tensor


@dataclass(kw_only=True, eq=False)
class CurveLevel:
    """Voxels of one resolution and their curves.

    Args:
        curves: Curves by number; block i of a stage uses the i-th.
        depths: Bits per axis of the codes of every cloud.
        origin: Subtracted from the coordinates of every cloud, ``(B, 3)``, on the CPU.
        coord: Continuous coordinates for rotary position embeddings, ``(N, 3)``.

    Convention:
        Clouds are independent: a cloud gives the same alone and in any batch, and coordinates may have any sign.
    """

    voxels: VoxelSet
    curves: tuple[Curve, ...]
    depths: list[int]
    origin: Tensor
    coord: Tensor | None = None
    _permutations: dict[Curve, Permutation] = field(default_factory=dict)

    @classmethod
    def finest(
        cls, voxels: VoxelSet, curves: Sequence[Curve], *, strides: Sequence[int], coord: Tensor | None = None
    ) -> Self:
        """Return the level of the input, given the strides of all coarser levels.

        Raises:
            UserError: A cloud is too large, or there are too many clouds for the codes.
        """
        if voxels.num_clouds > MAX_CLOUDS:
            raise UserError(f"batch: has {voxels.num_clouds} clouds. Use at most {MAX_CLOUDS}.")
        origin = cls._origin(voxels, math.prod(strides))
        depths = cls._depths(voxels, origin)
        return cls(voxels=voxels, curves=tuple(curves), depths=depths, origin=origin, coord=coord)

    @classmethod
    def _origin(cls, voxels: VoxelSet, cell: int) -> Tensor:
        """Return the corner of every cloud, rounded down to the coarsest voxels, of edge ``cell``."""
        return voxels.corner.div(cell, rounding_mode="floor") * cell

    @classmethod
    def _depths(cls, voxels: VoxelSet, origin: Tensor) -> list[int]:
        """Return the bits per axis of the codes of every cloud."""
        highest = (voxels.top - origin).amax(1).clamp(min=0).tolist()
        check_coordinates(0, max(highest, default=0))
        return [bits_needed(value) for value in highest]

    def permutation(self, number: int) -> Permutation:
        """Return the rows along curve ``number``, cloud by cloud."""
        curve = self.curves[number % len(self.curves)]
        if curve not in self._permutations:
            order = self.codes(curve).argsort()
            inverse = torch.empty_like(order)
            inverse[order] = torch.arange(len(order), device=order.device)
            self._permutations[curve] = Permutation(order, inverse)
        return self._permutations[curve]

    def codes(self, curve: Curve) -> Tensor:
        """Return the position of every voxel along ``curve``, with its cloud in the highest bits, ``(N,)``."""
        bits, depth, cloud = self._coordinates
        return code_along(bits, curve, depth, max(self.depths, default=0)) | cloud

    @cached_property
    def _coordinates(self) -> tuple[Tensor, Tensor, Tensor]:
        """Spread bits of the coordinates, depth, and high bits of the code of every voxel, the same for all curves."""
        batch, device = self.voxels.batch, self.voxels.device
        origin = self.origin.to(device, non_blocking=True).index_select(0, batch)
        depths = torch.tensor(self.depths, dtype=torch.long).to(device, non_blocking=True)
        return (
            spread_bits(self.voxels.grid_pos - origin), depths.index_select(0, batch), batch << 3 * MAX_DEPTH,
        )  # fmt: skip

    def patches(self, size: int) -> Patches:
        """Return the patches of ``size`` rows along any of the curves."""
        return self.voxels.cached(
            ("patches", size), lambda: cut_patches(self.voxels.ptr, size, self.voxels.device)
        )

    def coarser(self, stride: int, curves: Sequence[Curve], *, fresh_depth: bool) -> tuple[Self, Tensor]:
        """Return the level of the voxels ``grid_pos // stride``, and the row there of every voxel here.

        Args:
            stride: Edge of a coarse voxel in voxels of this level.
            curves: Curves of the coarse level by number.
            fresh_depth: Measure the depth again; otherwise the coarse codes are these codes without their last bits.

        Convention:
            A coarse coordinate is the mean of those of the voxels of this level, whatever number of points they hold.
        """
        coarse = coarsen(self.voxels, stride, stride)
        origin = self.origin.div(stride, rounding_mode="floor")
        if fresh_depth:
            depths = self._depths(coarse.voxels, origin)
        else:
            depths = [max(depth - (stride - 1).bit_length(), 0) for depth in self.depths]
        coord = None if self.coord is None else segment_mean(self.coord, coarse.parent, len(coarse.voxels))
        curves = tuple(curves)
        level = type(self)(voxels=coarse.voxels, curves=curves, depths=depths, origin=origin, coord=coord)
        return level, coarse.parent
