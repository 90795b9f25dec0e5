"""A linear classifier of the finest level: the baseline for the context heads."""

from collections.abc import Sequence

from torch import nn

from pcseg.heads.base import Head, HeadOutput
from pcseg.nn.levels import Level, PointBatch


class LinearHead(Head):
    """Classifies the voxels of the finest level with one linear layer.

    Args:
        channels: Channels of the levels, finest first; only the first one is used.
        num_classes: K.
    """

    def __init__(self, channels: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.classify = nn.Linear(channels[0], num_classes)

    def forward(self, levels: list[Level], batch: PointBatch) -> HeadOutput:
        return HeadOutput(logits=self.classify(levels[0].x))
