"""Backbone and head as one network; training is in :mod:`pcseg.training.segmentor`."""

from collections.abc import Callable, Sequence

from torch import nn

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
        backbone: An image backbone, or a factory that takes the number of input channels.
        head: Factory that takes the channels of the backbone's features and the number of classes.
    """

    def __init__(
        self, backbone: BackboneChoice, head: HeadFactory, *, in_channels: int, schema: LabelSchema
    ) -> None:
        super().__init__()
        self.backbone = backbone if isinstance(backbone, ImageBackbone) else backbone(in_channels)
        self.head = head(self.backbone.out_channels, schema.num_classes)
        self.schema = schema

    def forward(self, batch: Batch) -> HeadOutput:
        """Return the logits of a batch, and the tensors that the head's own losses need."""
        levels = self.backbone(batch)
        return self.head(levels, batch)
