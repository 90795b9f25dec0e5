"""Input of backbones (a batch of clouds or images) and of heads (levels of features)."""

from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor

from pcseg.errors import UserError
from pcseg.ops.points import PointSet
from pcseg.ops.voxels import VoxelSet


class PointBatch(Protocol):
    """The fields of a PyG ``Batch`` that models use. Rows are voxels, sorted by cloud.

    ``x`` (N, F) input features · ``pos`` (N, 3) meters · ``grid_pos`` (N, 3) int32 voxels, unique within a cloud ·
    ``y`` (N,) int64 labels or ``IGNORE_INDEX`` · ``batch`` (N,) and ``ptr`` (B+1,) int64.
    """

    x: Tensor
    pos: Tensor
    grid_pos: Tensor
    y: Tensor
    batch: Tensor
    ptr: Tensor
    num_graphs: int


@dataclass(kw_only=True)
class ImageBatch:
    """Images of one size with the labels of their pixels.

    Args:
        image: ``(B, 3, H, W)`` float32, normalized.
        labels: ``(B, H, W)`` int64, a class or ``IGNORE_INDEX``.
    """

    image: Tensor
    labels: Tensor
    names: list[str]

    @property
    def y(self) -> Tensor:
        """Labels ``(B*H*W,)`` in (image, y, x) order, as the rows of the logits."""
        return self.labels.flatten()

    @property
    def num_graphs(self) -> int:
        """Number of images, under the name that PyG uses for the number of scenes."""
        return len(self.image)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        return replace(
            self,
            image=self.image.to(device, non_blocking=non_blocking),
            labels=self.labels.to(device, non_blocking=non_blocking),
        )

    def pin_memory(self) -> Self:
        return replace(self, image=self.image.pin_memory(), labels=self.labels.pin_memory())


@dataclass(kw_only=True)
class Level:
    """Features of the voxels, or the raw points, of a batch of clouds at one resolution.

    Args:
        x: Features, ``(N, C)``.
        sites: Their positions, with ``ptr``, ``batch`` and what layers have computed from them so far.
        stride: Edge of a voxel of this level in voxels of the input grid; 1 for raw points.
        parent: Row of this level for every row of the next finer level, ``(N_finer,)``; ``None`` at the finest.

    Convention:
        A backbone returns its levels finest first; row i of the finest level is row i of the batch.
    """

    x: Tensor
    sites: VoxelSet | PointSet
    stride: int = 1
    parent: Tensor | None = None

    @property
    def voxels(self) -> VoxelSet:
        """Positions as voxels; raises :class:`UserError` for raw points."""
        if not isinstance(self.sites, VoxelSet):
            raise UserError("backbone: returns raw points, not voxels. Choose a backbone of voxels.")
        return self.sites
