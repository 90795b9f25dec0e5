"""VAN: an image backbone whose attention is a decomposed large depth-wise convolution."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from pcseg.backbones.contract import ImageBackbone
from pcseg.errors import UserError, require_choice
from pcseg.nn.levels import ImageBatch
from pcseg.nn.norms import DropPath
from pcseg.official.loading import load_backbone
from pcseg.official.names.images import van_names
from pcseg.values import Few, Share, checked

VanSize = Literal["b0", "b1", "b2", "b3", "b4", "b5", "b6"]

SIZES: dict[VanSize, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "b0": ((32, 64, 160, 256), (3, 3, 5, 2)),
    "b1": ((64, 128, 320, 512), (2, 2, 4, 2)),
    "b2": ((64, 128, 320, 512), (3, 3, 12, 3)),
    "b3": ((64, 128, 320, 512), (3, 5, 27, 3)),
    "b4": ((64, 128, 320, 512), (3, 6, 40, 3)),
    "b5": ((96, 192, 480, 768), (3, 3, 24, 3)),
    "b6": ((96, 192, 384, 768), (6, 6, 90, 6)),
}
"""Widths and depths of the published models."""


@checked("backbone.")
class VAN(ImageBackbone):
    """Visual Attention Network (Guo et al., *Visual Attention Network*, 2022), with the outputs of all four stages.

    Args:
        widths: Channels of the stages.
        depths: Blocks in each stage.
        mlp_ratios: Width of the MLP of a block, as a multiple of the stage's.
        drop_path: Drop path rate of the last block in training; rates grow linearly from 0.

    Convention:
        Outputs are finest first, at strides 4, 8, 16 and 32; an odd edge is rounded up. The published 21x21 kernel in
        fact covers 23x23 pixels. The layer norm of each stage has eps 1e-5 as in the segmentation code; the
        classification code has 1e-6.
    """

    def __init__(
        self,
        *,
        widths: Sequence[Few] = SIZES["b2"][0],
        depths: Sequence[Few] = SIZES["b2"][1],
        mlp_ratios: Sequence[Few] = (8, 8, 4, 4),
        drop_path: Share = 0.1,
    ) -> None:
        super().__init__()
        if not len(widths) == len(depths) == len(mlp_ratios):
            raise UserError(
                "widths, depths, mlp_ratios: have different lengths. Give one of each for every stage."
            )
        self.out_channels = list(widths)
        last = max(sum(depths) - 1, 1)
        rates = iter([drop_path * i / last for i in range(sum(depths))])
        shapes = zip([3, *widths], widths, mlp_ratios, depths)
        self.stages = nn.ModuleList()
        for before, width, ratio, depth in shapes:
            blocks = [VANBlock(width, mlp_ratio=ratio, drop_path=next(rates)) for _ in range(depth)]
            first = not self.stages
            self.stages.append(VANStage(before, width, blocks, first=first))
        self.apply(_initialize)

    def forward(self, batch: ImageBatch) -> list[Tensor]:
        x, outputs = batch.image, []
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
        return outputs


def van(*, size: VanSize = "b2", drop_path: float = 0.1, pretrained: Path | None = None) -> VAN:
    """Return a VAN of a published size.

    Args:
        size: ``b0`` to ``b6``; Tiny, Small, Base and Large of the paper are the first four.
        drop_path: See :class:`VAN`.
        pretrained: File of the official weights, of the classification or of the segmentation code.
    """
    require_choice("backbone.size", size, VanSize)
    widths, depths = SIZES[size]
    model = VAN(widths=widths, depths=depths, drop_path=drop_path)
    if pretrained is not None:
        load_backbone(model, Path(pretrained), van_names)
    return model


class VANStage(nn.Module):
    """Overlapping patch embedding, blocks, and a layer norm per pixel."""

    def __init__(self, in_channels: int, channels: int, blocks: Sequence["VANBlock"], *, first: bool) -> None:
        super().__init__()
        size, stride = (7, 4) if first else (3, 2)
        self.embed = nn.Conv2d(in_channels, channels, size, stride, padding=size // 2)
        self.embed_norm = nn.BatchNorm2d(channels)
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.embed_norm(self.embed(x)))
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class VANBlock(nn.Module):
    """Attention and MLP, each with a batch norm before it, a scale per channel and a residual.

    Convention:
        The attention has another residual, from the normalized input.
    """

    def __init__(self, channels: int, *, mlp_ratio: int, drop_path: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.attention = nn.Sequential(
            nn.Conv2d(channels, channels, 1),
            nn.GELU(),
            LargeKernelAttention(channels),
            nn.Conv2d(channels, channels, 1),
        )
        hidden = mlp_ratio * channels
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden),
            nn.GELU(),
            nn.Conv2d(hidden, channels, 1),
        )
        self.scale1 = nn.Parameter(torch.full((channels,), 0.01))
        self.scale2 = nn.Parameter(torch.full((channels,), 0.01))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        u = self.norm1(x)
        x = x + self.drop_path(self.scale1[:, None, None] * (self.attention(u) + u))
        return x + self.drop_path(self.scale2[:, None, None] * self.mlp(self.norm2(x)))


class LargeKernelAttention(nn.Module):
    """Large kernel attention (LKA): the input times a large depth-wise convolution of it, in three factors."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.near = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.far = nn.Conv2d(channels, channels, 7, padding=9, dilation=3, groups=channels)
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mix(self.far(self.near(x)))


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        fan_out = module.weight[0, 0].numel() * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
