"""JPU: features at stride 8 from a backbone without dilation, as in CTNet."""

from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcseg.backbones.contract import ImageBackbone
from pcseg.backbones.images.resnet import ResNetName, resnet
from pcseg.nn.levels import ImageBatch

DILATIONS = (1, 2, 4, 8)


class JPU(nn.Module):
    """Joint pyramid upsampling (Wu et al., *FastFCN*, 2019): four dilated convolutions of the last three features.

    Args:
        in_channels: Widths of the features, finest first; the last three are used.
        width: Channels that each feature is reduced to; the output has four times as many.

    Convention:
        The features are concatenated coarsest first. A dilated convolution is depth-wise, followed by a norm without
        activation and a point-wise convolution, as in PaddleSeg.
    """

    def __init__(self, in_channels: list[int], *, width: int = 512) -> None:
        super().__init__()
        self.reduce = nn.ModuleList([_conv_norm(n, width, 3) for n in in_channels[-3:]])
        total = 3 * width
        self.dilated = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(total, total, 3, padding=d, dilation=d, groups=total, bias=False),
                nn.BatchNorm2d(total),
                *_conv_norm(total, width, 1),
            )
            for d in DILATIONS
        )
        self.out_channels = len(DILATIONS) * width

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return ``(B, 4 * width, H, W)``, of the size of the third last feature."""
        reduced = [reduce(x) for reduce, x in zip(self.reduce, features[-3:])]
        size = reduced[0].shape[2:]
        coarse = [F.interpolate(x, size, mode="bilinear", align_corners=False) for x in reduced[:0:-1]]
        x = torch.cat([*coarse, reduced[0]], 1)
        return torch.cat([dilated(x) for dilated in self.dilated], 1)


class JPUBackbone(ImageBackbone):
    """Backbone of stride 32 whose last feature is replaced by that of a :class:`JPU` at stride 8.

    Args:
        backbone: Backbone with features at strides 4, 8, 16 and 32.
        width: See :class:`JPU`.

    Convention:
        The features have strides 4, 8, 16 and 8. The auxiliary head reads the one at stride 16.
    """

    def __init__(self, backbone: ImageBackbone, *, width: int = 512) -> None:
        super().__init__()
        self.backbone = backbone
        self.jpu = JPU(backbone.out_channels, width=width)
        self.out_channels = [*backbone.out_channels[:-1], self.jpu.out_channels]

    def forward(self, batch: ImageBatch) -> list[Tensor]:
        features = self.backbone(batch)
        return [*features[:-1], self.jpu(features)]


def resnet_jpu(
    *,
    name: ResNetName = "resnet101d",
    width: int = 512,
    pretrained: Literal["timm"] | Path | None = None,
) -> JPUBackbone:
    """Return a ResNet with a JPU.

    Args:
        name, pretrained: See :func:`~pcseg.backbones.images.resnet.resnet`.
        width: See :class:`JPU`.
    """
    return JPUBackbone(resnet(name=name, output_stride=32, pretrained=pretrained), width=width)


def _conv_norm(in_channels: int, out_channels: int, size: int) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, size, padding=size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU())
