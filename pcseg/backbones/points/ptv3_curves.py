"""The voxels of one resolution along space-filling curves: orders, patches, and the way to the next resolution."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from pcseg.errors import UserError
from pcseg.ops.kernel_lookup import coarsen
from pcseg.ops.patches import Patches, cut_patches
from pcseg.ops.serialization import MAX_DEPTH, Curve, bits_needed, encode
from pcseg.ops.voxels import VoxelSet

Batching = Literal["independent", "flash", "no_flash"]
"""What the clouds of a batch share.

``independent``: nothing; a cloud gives the same alone as in any company, and coordinates may have any sign.
``flash``: one depth of the curves, from the greatest coordinate of the batch; the published code with flash attention.
``no_flash``: besides, patches are not longer than the smallest cloud; the published code without flash attention.
"""

MAX_CLOUDS = 1 << 63 - 3 * MAX_DEPTH


class Permutation(NamedTuple):
    """``order`` are the rows along a curve, ``inverse`` the place of every row."""

    order: Tensor
    inverse: Tensor


@dataclass(kw_only=True, eq=False)
class CurveLevel:
    """Voxels of one resolution and their curves.

    Args:
        voxels: The voxels.
        curves: Curves by number; block i of a stage takes the i-th.
        depth: Bits an axis of every cloud's codes, ``(B,)``.
        origin: What is subtracted from the coordinates of every cloud, ``(B, 3)``.
        batching: What the clouds share.
    """

    voxels: VoxelSet
    curves: tuple[Curve, ...]
    depth: Tensor
    origin: Tensor
    batching: Batching
    _permutations: dict[Curve, Permutation] = field(default_factory=dict)
    _patches: dict[int, Patches] = field(default_factory=dict)

    def permutation(self, number: int) -> Permutation:
        """Rows along curve ``number``, the clouds one after the other."""
        curve = self.curves[number % len(self.curves)]
        if curve not in self._permutations:
            order = self.codes(curve).argsort()
            inverse = torch.empty_like(order)
            inverse[order] = torch.arange(len(order), device=order.device)
            self._permutations[curve] = Permutation(order, inverse)
        return self._permutations[curve]

    def codes(self, curve: Curve) -> Tensor:
        """Place of every voxel along ``curve``, with the number of its cloud in the highest bits, ``(N,)``."""
        batch = self.voxels.batch
        grid_pos = self.voxels.grid_pos - self.origin.index_select(0, batch)
        return encode(grid_pos, curve, self.depth.index_select(0, batch), batch)

    def patches(self, size: int) -> Patches:
        """Patches of ``size`` rows along any of the curves."""
        if self.batching == "no_flash":
            lengths = self.voxels.ptr.diff()
            size = min(size, int(lengths[lengths > 0].amin())) if len(self.voxels) else size
        if size not in self._patches:
            self._patches[size] = cut_patches(self.voxels.ptr, size)
        return self._patches[size]

    def coarser(
        self, stride: int, curves: Sequence[Curve], *, fresh_depth: bool
    ) -> tuple["CurveLevel", Tensor]:
        """The voxels ``grid_pos // stride``, and the row there of every row here.

        Args:
            stride: Edge of a voxel there in voxels here.
            curves: Curves there by number.
            fresh_depth: Measure the depth anew; otherwise the codes there are those here without their last bits.
        """
        coarse = coarsen(self.voxels, stride, stride)
        voxels = coarse.voxels
        origin = self.origin.div(stride, rounding_mode="floor")
        if fresh_depth:
            depth = _depths(voxels, origin, self.batching)
        else:
            depth = (self.depth - (stride - 1).bit_length()).clamp(min=0)
        level = CurveLevel(
            voxels=voxels, curves=tuple(curves), depth=depth, origin=origin, batching=self.batching
        )
        return level, coarse.parent


def finest_level(
    voxels: VoxelSet, curves: Sequence[Curve], *, strides: Sequence[int], batching: Batching
) -> CurveLevel:
    """The level of the input.

    Args:
        voxels: The input's voxels.
        curves: Curves by number.
        strides: Those of all coarser levels: coordinates are counted from a corner of the coarsest ones.
        batching: What clouds share.

    Raises:
        UserError: With shared depth, a coordinate is negative; more clouds than the codes hold.
    """
    if voxels.num_clouds > MAX_CLOUDS:
        raise UserError(f"{voxels.num_clouds} clouds in a batch, a code holds {MAX_CLOUDS}")
    if batching == "independent":
        cell = math.prod(strides)
        origin = voxels.corner.div(cell, rounding_mode="floor") * cell
    else:
        origin = torch.zeros_like(voxels.corner)
        if bool((voxels.corner < 0).any()):
            raise UserError(
                f"batching: {batching} takes coordinates from 0; subtract the lowest of each cloud"
            )
    depth = _depths(voxels, origin, batching)
    return CurveLevel(voxels=voxels, curves=tuple(curves), depth=depth, origin=origin, batching=batching)


def _depths(voxels: VoxelSet, origin: Tensor, batching: Batching) -> Tensor:
    """Bits an axis of the codes of every cloud, ``(B,)`` int64."""
    highest = (voxels.top - origin).amax(1).clamp(min=0).tolist()
    if batching != "independent":
        highest = [max(highest, default=0)] * len(highest)
    return torch.tensor([bits_needed(value) for value in highest], device=origin.device, dtype=torch.long)
