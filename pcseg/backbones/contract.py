"""Contracts of point and image backbones."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from pcseg.nn.levels import ImageBatch, Level, PointBatch
from pcseg.ops.voxels import VoxelSet


class PointBackbone(nn.Module, ABC):
    """Map a batch of voxelized clouds to features at several resolutions.

    The first constructor argument is the number of input channels; options are keyword-only.
    ``out_channels`` lists the width of every level, finest first.
    """

    out_channels: list[int]

    @abstractmethod
    def forward(self, batch: PointBatch) -> list[Level]:
        """Return the levels, finest first, of ``batch`` with ``x`` (N, F), ``grid_pos`` (N, 3), ``ptr`` (B+1,)."""


class ImageBackbone(nn.Module, ABC):
    """Map a batch of images to features at several resolutions.

    Every constructor argument has a default. ``out_channels`` lists the width of every feature, finest first.
    Heads read the last feature, auxiliary heads the one before.
    """

    out_channels: list[int]

    @abstractmethod
    def forward(self, batch: ImageBatch) -> list[Tensor]:
        """Return features ``(B, C_i, H_i, W_i)`` of ``batch.image`` ``(B, 3, H, W)``, finest first."""


def batch_voxels(batch: PointBatch) -> VoxelSet:
    """Return ``batch.voxels`` with its cached kernel maps if the batch has it, otherwise a new voxel set."""
    voxels = getattr(batch, "voxels", None)
    return VoxelSet(batch.grid_pos, batch.ptr) if voxels is None else voxels
