"""The contract of a point backbone."""

from abc import ABC, abstractmethod

from torch import nn

from pcseg.nn.levels import Level, PointBatch
from pcseg.ops.voxels import VoxelSet


class PointBackbone(nn.Module, ABC):
    """Takes a batch of voxelised clouds and returns features at several resolutions.

    The first constructor argument is the number of input channels; options are keyword-only.
    ``out_channels`` tells the width of every level returned, finest first.
    """

    out_channels: list[int]

    @abstractmethod
    def forward(self, batch: PointBatch) -> list[Level]:
        """Levels, finest first, of ``batch`` with ``x`` (N, F), ``grid_pos`` (N, 3) and ``ptr`` (B+1,)."""


def batch_voxels(batch: PointBatch) -> VoxelSet:
    """The voxels of a batch: ``batch.voxels`` where it brings them along with the maps built so far."""
    voxels = getattr(batch, "voxels", None)
    return VoxelSet(batch.grid_pos, batch.ptr) if voxels is None else voxels
