"""Stages of Point Transformer V3: stems, sequences of blocks, pooling and unpooling between resolutions."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pcseg.backbones.points.ptv3_blocks import PTv3Block
from pcseg.backbones.points.ptv3_curves import CurveLevel
from pcseg.nn.norms import BatchNorm, NormFactory
from pcseg.nn.sparse_conv import SubmanifoldConv
from pcseg.nn.tokens import by_rows
from pcseg.ops.segment import bin_counts, permute_rows, repeat_rows, segment_max

BlockFactory = Callable[..., PTv3Block]
"""Takes width, heads, ``curve`` and ``drop_path``."""


def batch_norm(channels: int) -> BatchNorm:
    """Return the batch norm of PTv3: eps 1e-3, momentum 0.01."""
    return BatchNorm(channels, eps=1e-3, momentum=0.01)


class ConvStem(nn.Module):
    """Stem of PTv3: a submanifold convolution (published: 5x5x5), batch norm, GELU."""

    def __init__(self, in_channels: int, channels: int, kernel_size: int = 5) -> None:
        super().__init__()
        self.conv = SubmanifoldConv(in_channels, channels, kernel_size, bias=False)
        self.norm = batch_norm(channels)

    def forward(self, x: Tensor, level: CurveLevel) -> Tensor:
        return F.gelu(self.norm(self.conv(x, level.voxels)))


class LinearStem(nn.Module):
    """Stem of Sonata: a linear map, layer norm, GELU."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(in_channels, channels), nn.LayerNorm(channels)

    def forward(self, x: Tensor, level: CurveLevel) -> Tensor:
        return by_rows(lambda rows: F.gelu(self.norm(self.linear(rows))), x)


class PTv3Stage(nn.Module):
    """Blocks at one resolution; block i attends along curve i.

    Args:
        drop_paths: Drop path rate of every block.
        recompute: Compute blocks again in the backward pass instead of keeping their activations.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        drop_paths: Sequence[float],
        block: BlockFactory,
        *,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        self.recompute = recompute
        self.blocks = nn.ModuleList(
            block(channels, heads, curve=i, drop_path=rate) for i, rate in enumerate(drop_paths)
        )

    def forward(self, x: Tensor, level: CurveLevel, position_of: Tensor | None = None) -> Tensor:
        """Apply the blocks; the first one computes its position from ``position_of`` if given."""
        for block in self.blocks:
            if self.recompute and torch.is_grad_enabled():
                x = checkpoint(block, x, level, position_of, use_reentrant=False)
            else:
                x = block(x, level, position_of)
            position_of = None
        return x


class GridPool(nn.Module):
    """A linear map, the maximum over the voxels inside each coarser one, norm, GELU."""

    def __init__(self, in_channels: int, out_channels: int, norm: NormFactory) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(in_channels, out_channels), norm(out_channels)

    def forward(self, x: Tensor, parent: Tensor, count: int) -> Tensor:
        """Map features ``(N, C)`` of voxels with ``parent`` ``(N,)`` to those of ``count`` coarser voxels."""
        order = parent.argsort()
        inverse = torch.empty_like(order)
        inverse[order] = torch.arange(len(order), device=order.device)
        grouped = permute_rows(by_rows(self.linear, x), order, inverse)
        return F.gelu(self.norm(segment_max(grouped, bin_counts(parent, count))))


class GridUnpool(nn.Module):
    """Add the features of coarser voxels to the encoder's, each after a linear map, norm and GELU."""

    def __init__(self, coarse_channels: int, skip_channels: int, channels: int, norm: NormFactory) -> None:
        super().__init__()
        self.coarse, self.coarse_norm = nn.Linear(coarse_channels, channels), norm(channels)
        self.skip, self.skip_norm = nn.Linear(skip_channels, channels), norm(channels)

    def forward(self, coarse: Tensor, skip: Tensor, parent: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum, and the encoder's part of it."""
        if self.training:  # batch norm needs all rows
            skip, coarse = self._from_skip(skip), self._from_coarse(coarse)
        else:
            skip, coarse = by_rows(self._from_skip, skip), by_rows(self._from_coarse, coarse)
        return skip + repeat_rows(coarse, parent), skip

    def _from_skip(self, x: Tensor) -> Tensor:
        return F.gelu(self.skip_norm(self.skip(x)))

    def _from_coarse(self, x: Tensor) -> Tensor:
        return F.gelu(self.coarse_norm(self.coarse(x)))
