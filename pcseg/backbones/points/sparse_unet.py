"""Sparse U-Net: an encoder and a decoder of residual submanifold blocks.

The network is the Minkowski U-Net (Choy et al., CVPR 2019) in the form of Pointcept's SpUNet-v1m1.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from pcseg.backbones.contract import PointBackbone, batch_voxels
from pcseg.errors import UserError
from pcseg.nn.levels import Level, PointBatch
from pcseg.nn.norms import BatchNorm
from pcseg.nn.sparse_conv import InverseConv, StridedConv, SubmanifoldConv
from pcseg.ops.kernel_lookup import coarsen
from pcseg.ops.voxels import VoxelSet
from pcseg.values import Count, Few, checked


def sparse_unet_small(in_channels: int) -> "SparseUNet":
    """Return a sparse U-Net of five levels and 3.3 million parameters that trains on two CPU cores."""
    return SparseUNet(
        in_channels,
        base_channels=16,
        channels=(32, 64, 96, 128, 96, 64, 48, 24),
        layers=(1, 1, 1, 1, 1, 1, 1, 1),
        stem_kernel=3,
    )


def sparse_unet_base(in_channels: int) -> "SparseUNet":
    """Return a sparse U-Net of the published size: five levels and 39 million parameters."""
    return SparseUNet(in_channels)


@checked("backbone.")
class SparseUNet(PointBackbone):
    """Residual sparse U-Net that returns the decoder features at every resolution.

    Args:
        channels: Widths of the encoder stages, fine to coarse, then of the decoder stages, coarse to fine.
        layers: Residual blocks in each of those stages.
        base_channels: Width of the stem, at the input resolution.
        stem_kernel: Edge of the stem's kernel.

    Convention:
        Each of the ``len(channels) / 2`` encoder stages halves the resolution. The levels are the decoder outputs,
        finest first, and the output of the last encoder stage. A level with a single voxel in the whole batch is
        normalized by the running statistics, see :class:`~pcseg.nn.norms.BatchNorm`.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        channels: Sequence[Few] = (32, 64, 128, 256, 256, 128, 96, 96),
        layers: Sequence[Count] = (2, 3, 4, 6, 2, 2, 2, 2),
        base_channels: Few = 32,
        stem_kernel: Few = 5,
    ) -> None:
        super().__init__()
        if len(channels) != len(layers) or len(channels) % 2 or not channels:
            raise UserError(
                "channels, layers: lengths do not fit. Give both the same even length: encoder, then decoder stages."
            )
        depth = len(channels) // 2
        encoder = [base_channels, *channels[:depth]]
        decoder = [encoder[-1], *channels[depth:]][::-1]  # decoder[s]: width at resolution s, finest first
        self.out_channels = decoder
        self.stem = SparseConvNorm(SubmanifoldConv(in_channels, base_channels, stem_kernel, bias=False))
        self.down, self.enc, self.up, self.dec = (nn.ModuleList() for _ in range(4))
        for s in range(depth):
            self.down.append(SparseConvNorm(StridedConv(encoder[s], encoder[s + 1], bias=False)))
            self.enc.append(_stage(encoder[s + 1], encoder[s + 1], layers[s]))
            self.up.append(SparseConvNorm(InverseConv(decoder[s + 1], decoder[s], bias=False)))
            self.dec.append(_stage(decoder[s] + encoder[s], decoder[s], layers[-1 - s]))

    def forward(self, batch: PointBatch) -> list[Level]:
        levels = self.encode(batch)
        for s in reversed(range(len(self.up))):
            skip, coarse = levels[s], levels[s + 1]
            x = torch.cat([self.up[s](coarse.x, skip.voxels), skip.x], 1)
            levels[s] = replace(skip, x=_run(self.dec[s], x, skip.voxels))
        return levels

    def encode(self, batch: PointBatch) -> list[Level]:
        """Return the outputs of the stem and of every encoder stage, finest first."""
        voxels = batch_voxels(batch)
        levels = [Level(x=self.stem(batch.x, voxels), sites=voxels, stride=1)]
        for down, stage in zip(self.down, self.enc):
            fine = levels[-1]
            coarse = coarsen(fine.voxels)
            x = _run(stage, down(fine.x, fine.voxels), coarse.voxels)
            levels.append(Level(x=x, sites=coarse.voxels, stride=fine.stride * 2, parent=coarse.parent))
        return levels


class SparseConvNorm(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, conv: SubmanifoldConv | StridedConv) -> None:
        super().__init__()
        self.conv, self.norm = conv, _norm(conv.out_channels)

    def forward(self, x: Tensor, voxels: VoxelSet) -> Tensor:
        return self.norm(self.conv(x, voxels)).relu_()


class ResidualBlock(nn.Module):
    """Two 3x3x3 submanifold convolutions and a shortcut, which is linear if the width changes."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = SubmanifoldConv(in_channels, out_channels, bias=False), _norm(out_channels)
        self.conv2, self.norm2 = SubmanifoldConv(out_channels, out_channels, bias=False), _norm(out_channels)
        self.shortcut = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Linear(in_channels, out_channels, bias=False), _norm(out_channels)
            )

    def forward(self, x: Tensor, voxels: VoxelSet) -> Tensor:
        y = self.norm1(self.conv1(x, voxels)).relu_()
        y = self.norm2(self.conv2(y, voxels))
        return (y + self.shortcut(x)).relu_()


def _norm(channels: int) -> BatchNorm:
    return BatchNorm(channels, eps=1e-3)


def _stage(in_channels: int, out_channels: int, blocks: int) -> nn.ModuleList:
    widths = [in_channels] + [out_channels] * blocks
    return nn.ModuleList(ResidualBlock(a, b) for a, b in pairwise(widths))


def _run(stage: nn.Module, x: Tensor, voxels: VoxelSet) -> Tensor:
    for block in stage.children():
        x = block(x, voxels)
    return x
