"""Backbone and head as one network; training is in :mod:`pcseg.training.segmentor`."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor, nn

from pcseg.backbones.contract import ImageBackbone, PointBackbone
from pcseg.heads.base import Head, HeadOutput
from pcseg.labels import LabelSchema
from pcseg.nn.levels import ImageBatch, PointBatch

BackboneFactory = Callable[[int], PointBackbone]
"""Takes the number of input channels."""

BackboneChoice = BackboneFactory | ImageBackbone
"""A factory, since the input channels of a point backbone follow from the data; image backbones always take three."""

HeadFactory = Callable[[Sequence[int], int], Head]
"""Takes the channels of the backbone's features, finest first, and the number of classes."""

Batch = PointBatch | ImageBatch
"""Both have ``y`` (N,), one label per row of the logits, and ``num_graphs``, the number of clouds or images."""


class Network(nn.Module):
    """A backbone and a head.

    Args:
        backbone: A backbone, or a factory that takes the number of input channels.
        head: Factory that takes the channels of the backbone's features and the number of classes.

    Attributes:
        temperature: Divisor of the logits in evaluation mode, see :mod:`pcseg.metrics.calibration`.
        merged: ``(K, M)``, which of M other classes each class belongs to, or ``None``. In evaluation mode their
            probabilities are the sums of those of their classes.
    """

    def __init__(
        self,
        backbone: BackboneChoice | PointBackbone,
        head: HeadFactory,
        *,
        in_channels: int,
        schema: LabelSchema,
    ) -> None:
        super().__init__()
        self.backbone = (
            backbone if isinstance(backbone, PointBackbone | ImageBackbone) else backbone(in_channels)
        )
        self.head = head(self.backbone.out_channels, schema.num_classes)
        self.schema = schema
        self.temperature = 1.0
        self.merged: Tensor | None = None

    def forward(self, batch: Batch) -> HeadOutput:
        """Return the logits of a batch, and the tensors that the head's own losses need."""
        levels = self.backbone(batch)
        return self.calibrated(self.head(levels, batch))

    def calibrated(self, output: HeadOutput) -> HeadOutput:
        """Return the output of the head with calibrated logits of the classes to predict; the same in training."""
        if self.training or (self.temperature == 1 and self.merged is None):
            return output
        logits = output.logits / self.temperature
        if self.merged is not None:  # log of the sums of probabilities
            logits = (logits.softmax(1) @ self.merged.to(logits)).clamp(min=1e-12).log()
        return replace(output, logits=logits)
