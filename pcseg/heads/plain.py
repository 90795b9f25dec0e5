"""A linear classifier on the finest level: the baseline of every other head."""

from collections.abc import Sequence

from torch import nn

from pcseg.heads.base import HeadOutput, PointHead
from pcseg.nn.levels import Level, PointBatch


class PlainHead(PointHead):
    """One linear layer on the finest level.

    Args:
        channels: Widths of the levels, finest first; the first one counts here.
        num_classes: Number of classes.
    """

    def __init__(self, channels: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.classify = nn.Linear(channels[0], num_classes)

    def forward(self, levels: list[Level], batch: PointBatch) -> HeadOutput:
        return HeadOutput(logits=self.classify(levels[0].x))
