"""The contract of an image backbone."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class ImageBackbone(nn.Module, ABC):
    """Takes a batch of images and returns features at several resolutions.

    Every constructor argument has a default; ``out_channels`` tells the width of every feature returned, finest
    first. Heads read the last feature, auxiliary heads the one before.
    """

    out_channels: list[int]

    @abstractmethod
    def forward(self, image: Tensor) -> list[Tensor]:
        """Features ``(B, C_i, H_i, W_i)`` of images ``(B, 3, H, W)``, finest first."""
