"""HRNet for segmentation: timm's, extended to images of any size."""

from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcseg.backbones.contract import ImageBackbone
from pcseg.errors import require_choice
from pcseg.nn.levels import ImageBatch
from pcseg.official.loading import load_backbone, timm_weights
from pcseg.official.names.images import hrnet_names

HRNetName = Literal["hrnet_w18_small", "hrnet_w18", "hrnet_w32", "hrnet_w48"]


class HRNet(ImageBackbone):
    """High-resolution network (Wang et al., TPAMI 2021): four branches, concatenated at stride 4.

    Args:
        name: Width of the finest branch; the output of W18 has 270 channels, that of W48 has 720.
        paddle: As PaddleSeg does, resize bilinearly between branches, and pad strided convolutions at the bottom and
            right if the size is even. The original resizes to the nearest pixel and pads on all sides.

    Convention:
        There is one feature only: main and auxiliary heads read the same.
    """

    def __init__(self, *, name: HRNetName = "hrnet_w48", paddle: bool = False) -> None:
        from timm.models import create_model

        super().__init__()
        require_choice("backbone.name", name, HRNetName)
        self.paddle = paddle
        self.net: Any = create_model(name, features_only=True, feature_location="", out_indices=(1, 2, 3, 4))
        widths = self.net.stage4_cfg["num_channels"]
        self.out_channels = [sum(widths)]
        for stage in (self.net.stage2, self.net.stage3, self.net.stage4):
            for i, module in enumerate(stage):
                stage[i] = Fusion(module, mode="bilinear" if paddle else "nearest")
        if paddle:
            _pad_as_paddle(self.net)

    def forward(self, batch: ImageBatch) -> list[Tensor]:
        net = self.net
        x = net.act1(net.bn1(net.conv1(batch.image)))
        x = net.act2(net.bn2(net.conv2(x)))
        finest, *others = net.stages(x)
        size = finest.shape[2:]
        resized = [F.interpolate(x, size, mode="bilinear", align_corners=False) for x in others]
        return [torch.cat([finest, *resized], 1)]


def hrnet(
    *, name: HRNetName = "hrnet_w48", paddle: bool = False, pretrained: Literal["timm"] | Path | None = None
) -> HRNet:
    """Return an HRNet, optionally with ImageNet weights.

    Args:
        name, paddle: See :class:`HRNet`.
        pretrained: File of ImageNet weights (of timm or PaddleSeg), or ``timm`` to download timm's.
    """
    model = HRNet(name=name, paddle=paddle)
    if pretrained is not None:
        weights = timm_weights(name) if pretrained == "timm" else Path(pretrained)
        load_backbone(model, weights, hrnet_names)
    return model


class Fusion(nn.Module):
    """Branches at all resolutions; each is then summed with all others, resized to its size.

    Convention:
        timm enlarges by powers of two, which only fits sizes that are multiples of 32.
    """

    def __init__(self, module: Any, *, mode: str) -> None:
        super().__init__()
        self.branches, self.fuse_layers, self.mode = module.branches, module.fuse_layers, mode
        for i, row in enumerate(self.fuse_layers):
            for layer in list(row)[i + 1 :]:
                layer[2] = nn.Identity()  # resized below

    def forward(self, xs: list[Tensor]) -> list[Tensor]:
        xs = [branch(x) for branch, x in zip(self.branches, xs)]
        fused = []
        for i, row in enumerate(self.fuse_layers):
            total = torch.zeros_like(xs[i])
            for layer, x in zip(row, xs):
                total = total + self._resize(layer(x), xs[i])
            fused.append(F.relu(total))
        return fused

    def _resize(self, part: Tensor, like: Tensor) -> Tensor:
        if part.shape[2:] == like.shape[2:]:
            return part
        corners = None if self.mode == "nearest" else False
        return F.interpolate(part, like.shape[2:], mode=self.mode, align_corners=corners)


def _pad_as_paddle(module: nn.Module) -> None:
    """Replace strided convolutions by ones with minimal padding, an uneven row being at the end."""
    from timm.layers.conv2d_same import Conv2dSame

    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d) and child.stride == (2, 2):
            size = (child.kernel_size[0], child.kernel_size[1])
            same = Conv2dSame(child.in_channels, child.out_channels, size, stride=2, bias=False)
            setattr(module, name, same.to(child.weight.device))
        else:
            _pad_as_paddle(child)
