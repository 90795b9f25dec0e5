"""The contract of a segmentation head."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from pcseg.nn.levels import Level, PointBatch


@dataclass(kw_only=True)
class HeadOutput:
    """``logits`` (N, K), one row a point of the batch, and what the head's own losses or views need."""

    logits: Tensor
    aux: dict[str, Tensor] = field(default_factory=dict)


class Head(nn.Module, ABC):
    """Takes the features of a backbone and returns logits; owns its extra losses.

    The first two constructor arguments are the widths of the features (finest first) and the number of
    classes; options are keyword-only.
    """

    @abstractmethod
    def segment(self, backbone: nn.Module, batch: Any) -> HeadOutput:
        """Logits ``(N, K)`` of a batch, row by row those of its labels ``batch.y`` ``(N,)``."""

    @abstractmethod
    def losses(self, output: HeadOutput, batch: Any) -> dict[str, Tensor]:
        """Extra weighted losses by name; they are added to the segmentation loss of ``output.logits``."""


class PointHead(Head):
    """A head on the levels of a point backbone."""

    @abstractmethod
    def forward(self, levels: list[Level], batch: PointBatch) -> HeadOutput:
        """Logits of every voxel of the finest level."""

    def segment(self, backbone: nn.Module, batch: PointBatch) -> HeadOutput:
        return self(backbone(batch), batch)

    def losses(self, output: HeadOutput, batch: PointBatch) -> dict[str, Tensor]:
        return {}
