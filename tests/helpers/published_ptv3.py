"""PTv3 with the quirks of the published code: clouds of a batch share depth and patch size, and unused options."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pcseg.backbones.points.ptv3_blocks import PTv3Block
from pcseg.backbones.points.ptv3_curves import CurveLevel
from pcseg.backbones.points.ptv3_network import PTv3
from pcseg.backbones.points.ptv3_rotary import RotaryPosition
from pcseg.ops.patches import Patches
from pcseg.ops.voxels import VoxelSet


class FlashLevel(CurveLevel):
    """Coordinates count from 0, and the depth of the curves follows from the greatest one in the batch."""

    @classmethod
    def _origin(cls, voxels: VoxelSet, cell: int) -> Tensor:
        return torch.zeros_like(voxels.corner)

    @classmethod
    def _depths(cls, voxels: VoxelSet, origin: Tensor) -> list[int]:
        return [max(super()._depths(voxels, origin))] * voxels.num_clouds


class NoFlashLevel(FlashLevel):
    """Besides, patches are not longer than the smallest cloud."""

    def patches(self, size: int) -> Patches:
        lengths = self.voxels.ptr.diff()
        return super().patches(min(size, int(lengths[lengths > 0].amin())))


class LayerScale(nn.Module):
    """One learned factor per channel."""

    def __init__(self, channels: int, start: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((channels,), start))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class PublishedBlock(PTv3Block):
    """A block with norms before or after attention and MLP, and with or without layer scale."""

    pre_norm: bool
    scale1: nn.Module
    scale2: nn.Module

    def forward(self, x: Tensor, level: CurveLevel, position_of: Tensor | None = None) -> Tensor:
        x = x + self.position(x if position_of is None else position_of, level)
        if self.pre_norm:
            x = x + self.drop_path(self.scale1(self.attention(self.norm1(x), level)))
            return x + self.drop_path(self.scale2(self.mlp(self.norm2(x))))
        x = self.norm1(x + self.drop_path(self.scale1(self.attention(x, level))))
        return self.norm2(x + self.drop_path(self.scale2(self.mlp(x))))


class RecordedRotary(RotaryPosition):
    """Takes the random numbers of its coordinates from a list, in the order in which they are drawn."""

    draws: list[Tensor]

    def _uniform(self, bound: float, count: int) -> Tensor:
        drawn = self.draws.pop(0)
        assert drawn.shape == (count,)
        assert drawn.abs().max() <= bound
        return drawn


class PublishedPTv3(PTv3):
    """A PTv3 with the options of the published code that no released weights use.

    Args:
        shuffles: Orders of the curves at every resolution, instead of the given one.
        draws: Random shifts, logarithms of jitter and of rescaling, ``(layers, 3 or 1)`` each in the order of the
            layers; the coordinates of rotary embeddings are then changed as in training.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        flash: bool,
        pre_norm: bool = True,
        qk_scale: float | None = None,
        qkv_bias: bool = True,
        layer_scale: float | None = None,
        shuffles: Sequence[Tensor] | None = None,
        draws: Sequence[Tensor] = (),
        **options: Any,
    ) -> None:
        super().__init__(in_channels, **options)
        self.level_type = FlashLevel if flash else NoFlashLevel
        self.shuffles = shuffles
        for block in [module for module in self.modules() if isinstance(module, PTv3Block)]:
            channels, attention = block.norm1.weight.numel(), block.attention
            block.__class__ = PublishedBlock
            block.pre_norm = pre_norm
            for name in ("scale1", "scale2"):
                scale = nn.Identity() if layer_scale is None else LayerScale(channels, layer_scale)
                setattr(block, name, scale)
            attention.scale = attention.scale if qk_scale is None else qk_scale
            if not qkv_bias:
                attention.qkv = nn.Linear(channels, 3 * channels, bias=False)

        self.draws = draws

    def eval(self) -> "PublishedPTv3":
        super().eval()
        if self.draws:
            stages = [*self.enc, *reversed(self.dec)]
            layers = [m for stage in stages for m in stage.modules() if isinstance(m, RotaryPosition)]
            for number, layer in enumerate(layers):
                layer.__class__ = RecordedRotary
                layer.train().draws = [drawn[number] for drawn in self.draws]
        return self

    def _curve_orders(self) -> Iterator[Tensor]:
        return super()._curve_orders() if self.shuffles is None else iter(self.shuffles)
