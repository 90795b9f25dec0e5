"""ResNets for segmentation: timm's, with the stems, strides, dilations and pooling of the published systems."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pcseg.backbones.contract import ImageBackbone
from pcseg.errors import require, require_choice
from pcseg.nn.levels import ImageBatch
from pcseg.official.loading import load_backbone, timm_weights
from pcseg.official.names.images import resnet_names
from pcseg.values import Few, checked

Stem = Literal["plain", "s", "d"]
Dilation = Literal["encnet", "ccnet"]
ResNetName = Literal[
    "resnet50", "resnet101", "resnet152",
    "resnet50s", "resnet101s", "resnet152s",
    "resnet50d", "resnet101d", "resnet152d",
]  # fmt: skip

DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
STRIDES = (4, 8, 16, 32)
"""Strides of the stages without dilation."""


@checked("backbone.")
class ResNet(ImageBackbone):
    """Bottleneck ResNet (He et al., CVPR 2016) with the outputs of all four stages.

    Args:
        depths: Blocks in each stage.
        widths: Channels inside the blocks of each stage; outputs are four times as wide.
        stem: ``plain`` (one 7x7 convolution), ``s`` (three 3x3 convolutions; EncNet and CCNet) or ``d`` (three
            narrower ones, and shortcuts that pool before they project; PaddleSeg's vd).
        stem_width: Channels inside the stem, by default 64 (32 for ``d``); three convolutions end with twice as many.
        output_stride: 8, 16 or 32; later stages are dilated and keep their resolution.
        dilation: Dilation of the first block of a stage: ``encnet`` keeps that of the previous stage, as
            PyTorch-Encoding and mmseg do; ``ccnet`` uses the new one, as CCNet and PaddleSeg do.
        ceil_pool: Round sizes up in the max pooling, as CCNet does: 512 becomes 129, not 128.

    Convention:
        The stride of a block is in its 3x3 convolution. Dilated stages do not pool in their shortcut. On a CPU the
        memory format is channels last, which is a third faster.
    """

    def __init__(
        self,
        *,
        depths: Sequence[Few] = DEPTHS[101],
        widths: Sequence[Few] = (64, 128, 256, 512),
        stem: Stem = "plain",
        stem_width: Few | None = None,
        output_stride: Few = 8,
        dilation: Dilation = "encnet",
        ceil_pool: bool = False,
    ) -> None:
        from timm.models.resnet import Bottleneck
        from timm.models.resnet import ResNet as TimmResNet

        super().__init__()
        require_choice("backbone.stem", stem, Stem)
        require_choice("backbone.dilation", dilation, Dilation)
        require(output_stride in (8, 16, 32), "backbone.output_stride", output_stride, "Use 8, 16 or 32.")
        self.output_stride, self.dilation, self.ceil_pool = output_stride, dilation, ceil_pool
        self.net: Any = TimmResNet(
            block=Bottleneck,  # type: ignore[arg-type]
            layers=tuple(depths),
            channels=tuple(widths),
            num_classes=0,
            output_stride=output_stride,
            stem_type="" if stem == "plain" else "deep",
            stem_width=stem_width or (32 if stem == "d" else 64),
            avg_down=stem == "d",
            zero_init_last=False,
        )
        self.out_channels = [4 * width for width in widths]
        dilations = [max(stride // output_stride, 1) for stride in STRIDES]
        for stage, factor in zip(self._stages(), dilations):
            if factor > 1:
                _adapt_dilated(stage[0], factor if dilation == "ccnet" else factor // 2)
        if ceil_pool:
            self.net.maxpool = nn.MaxPool2d(3, 2, 1, ceil_mode=True)

    def forward(self, batch: ImageBatch) -> list[Tensor]:
        image = batch.image
        if image.device.type == "cpu":
            image = image.contiguous(memory_format=torch.channels_last)
        x = self.net.maxpool(self.net.act1(self.net.bn1(self.net.conv1(image))))
        outputs = []
        for stage in self._stages():
            x = stage(x)
            outputs.append(x)
        return outputs

    def _stages(self) -> list[Any]:
        return [self.net.layer1, self.net.layer2, self.net.layer3, self.net.layer4]


def resnet(
    *,
    name: ResNetName = "resnet101",
    output_stride: int = 8,
    dilation: Dilation = "encnet",
    ceil_pool: bool = False,
    pretrained: Literal["timm"] | Path | None = None,
) -> ResNet:
    """Return a ResNet of a common depth and stem.

    Args:
        name: Depth, followed by the stem if it is not the plain one.
        output_stride, dilation, ceil_pool: See :class:`ResNet`.
        pretrained: File of ImageNet weights (of timm, torchvision, PyTorch-Encoding or CCNet), or ``timm`` to
            download timm's.

    Convention:
        The published EncNet and CCNet have the stem ``s``, although CCNet's paper and old commands name resnet101.
    """
    require_choice("backbone.name", name, ResNetName)
    stem: Stem = "s" if name.endswith("s") else "d" if name.endswith("d") else "plain"
    depth = int(name.removeprefix("resnet").rstrip("sd"))
    model = ResNet(
        depths=DEPTHS[depth], stem=stem, output_stride=output_stride, dilation=dilation, ceil_pool=ceil_pool
    )
    if pretrained is not None:
        weights = timm_weights(name) if pretrained == "timm" else Path(pretrained)
        load_backbone(model, weights, resnet_names)
    return model


def _adapt_dilated(block: Any, dilation: int) -> None:
    """Set the dilation and the shortcut of the first block of a dilated stage."""
    block.conv2.dilation = block.conv2.padding = (dilation, dilation)
    if block.downsample is not None and len(block.downsample) == 3:
        block.downsample[0] = nn.Identity()  # timm averages neighbors even without a stride
