"""The contract of a point backbone."""

from abc import ABC, abstractmethod

from torch import nn
from torch_geometric.data import Batch

from pcseg.nn.levels import Level


class PointBackbone(nn.Module, ABC):
    """Takes a batch of voxelised clouds and returns features at several resolutions.

    The first constructor argument is the number of input channels; options are keyword-only.
    ``out_channels`` tells the width of every level returned, finest first.
    """

    out_channels: list[int]

    @abstractmethod
    def forward(self, batch: Batch) -> list[Level]:
        """Levels, finest first, of ``batch`` with ``x`` (N, F), ``grid_pos`` (N, 3) and ``ptr`` (B+1,)."""
