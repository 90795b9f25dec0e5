"""Backbone and head as one network for prediction; training is in :mod:`pcseg.training.segmentor`."""

from collections.abc import Callable, Sequence

from torch import nn

from pcseg.backbones.contract import ImageBackbone, PointBackbone
from pcseg.heads.base import Head, HeadOutput
from pcseg.labels import LabelSchema
from pcseg.nn.levels import ImageBatch, PointBatch

BackboneFactory = Callable[[int], PointBackbone]
"""Takes the number of input channels."""

BackboneChoice = BackboneFactory | ImageBackbone
"""A point backbone is made for the features of the data; an image backbone sees three channels and comes as it is."""

HeadFactory = Callable[[Sequence[int], int], Head]
"""Takes the widths of the backbone's features and the number of classes."""

Batch = PointBatch | ImageBatch
"""Both have ``y`` (N,), a label for each row of the logits, and ``num_graphs``, how many clouds or images."""


class Network(nn.Module):
    """Backbone → head.

    Args:
        backbone: An image backbone, or called with the number of input channels.
        head: Called with the backbone's widths and the number of classes.
        in_channels: Width of the input features.
        schema: Classes that are told apart.
    """

    def __init__(
        self, backbone: BackboneChoice, head: HeadFactory, *, in_channels: int, schema: LabelSchema
    ) -> None:
        super().__init__()
        self.backbone = backbone if isinstance(backbone, ImageBackbone) else backbone(in_channels)
        self.head = head(self.backbone.out_channels, schema.num_classes)
        self.schema = schema

    def forward(self, batch: Batch) -> HeadOutput:
        """Return the logits of a batch, and what the head's own losses need."""
        levels = self.backbone(batch)
        return self.head(levels, batch)
