"""Stochastic depth for voxels and images."""

import torch.nn.functional as F
from torch import Tensor, nn


class DropPath(nn.Module):
    """Zero rows with probability ``rate`` in training and scale the others up (Huang et al., ECCV 2016).

    Convention:
        A row is an image, or a voxel as in the published PTv3. timm's ``DropPath`` computes the same, but
        importing timm takes 3 s.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        return x * F.dropout(x.new_ones(len(x), *[1] * (x.ndim - 1)), self.rate)

    def extra_repr(self) -> str:
        return str(self.rate)
