"""Point Transformer V3: attention in patches along space-filling curves (Wu et al., CVPR 2024), and Sonata's variant.

Sonata (Wu et al., CVPR 2025) and Concerto (Zhang et al., NeurIPS 2025) train the encoder without labels; theirs is
"PT-v3m2" in Pointcept, the first one "PT-v3m1".
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from pcseg.backbones.contract import PointBackbone, batch_voxels
from pcseg.backbones.points.ptv3_blocks import PTv3Block
from pcseg.backbones.points.ptv3_curves import Batching, CurveLevel, finest_level
from pcseg.backbones.points.ptv3_stages import ConvStem, LinearStem, Pool, PTv3Stage, Unpool, batch_norm
from pcseg.errors import UserError
from pcseg.nn.levels import Level, PointBatch
from pcseg.ops.serialization import Curve

CURVES: tuple[Curve, ...] = ("z", "z-trans", "hilbert", "hilbert-trans")
Variant = Literal["ptv3", "sonata"]


class Encoded(NamedTuple):
    """Features of one resolution, its voxels and curves, and the row here of every finer voxel."""

    x: Tensor
    level: CurveLevel
    parent: Tensor | None


class PTv3(PointBackbone):
    """Point Transformer V3 with a decoder, whose features at every resolution are returned, or its encoder alone.

    Args:
        in_channels: Width of the input features.
        variant: ``ptv3``: convolution in the stem, batch norm between resolutions, and the first position of a
            decoder stage sees the encoder's features alone. ``sonata``: linear stem, layer norm, all features.
        enc_channels: Widths of the encoder's stages, finest first.
        enc_depths: Blocks of those stages.
        enc_heads: Attention heads of those stages.
        dec_channels: Widths of the decoder's stages, finest first; none for an encoder alone.
        dec_depths: Blocks of those stages.
        dec_heads: Attention heads of those stages.
        strides: Between one stage and the next, finest first.
        stem_kernel: Edge of the stem's kernel; the ``sonata`` variant has none.
        patch_size: Voxels that attend to each other, at all resolutions or at each.
        curves: Block i of a stage attends along curve i.
        shuffle_curves: Draw the order of the curves anew for every resolution while training.
        mlp_ratio: Width of a block's MLP in units of the block's.
        qkv_bias: Whether queries, keys and values have a bias.
        qk_scale: Factor of the dot products; by the width of a head without a value.
        pre_norm: Normalise before attention and MLP, not after.
        relative_position: Add a learned bias by relative position to the logits. Needs memory in proportion to
            voxels times ``patch_size``.
        layer_scale: Start value of learned factors of attention and MLP; none without a value.
        mask_token: Have a learned feature for voxels that :meth:`forward` is told to mask.
        drop_path: Greatest rate at which a voxel skips a branch while training; it grows from 0 with depth.
        batching: What the clouds of a batch share.

    Convention:
        ``input_shift`` (F,) is added to the input features: 0, unless published weights expect another zero.
        The published code shuffles curves in evaluation, too, so that its output is random; here it is not.
        Voxels may come in any order. With ``independent`` batching a cloud may be moved by voxels of the coarsest
        resolution without any effect.
    """

    input_shift: Tensor

    def __init__(
        self,
        in_channels: int,
        *,
        variant: Variant = "ptv3",
        enc_channels: Sequence[int] = (32, 64, 128, 256, 512),
        enc_depths: Sequence[int] = (2, 2, 2, 6, 2),
        enc_heads: Sequence[int] = (2, 4, 8, 16, 32),
        dec_channels: Sequence[int] = (64, 64, 128, 256),
        dec_depths: Sequence[int] = (2, 2, 2, 2),
        dec_heads: Sequence[int] = (4, 4, 8, 16),
        strides: Sequence[int] = (2, 2, 2, 2),
        stem_kernel: int = 5,
        patch_size: int | Sequence[int] = 1024,
        curves: Sequence[Curve] = CURVES,
        shuffle_curves: bool = True,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        pre_norm: bool = True,
        relative_position: bool = False,
        layer_scale: float | None = None,
        mask_token: bool = False,
        drop_path: float = 0.3,
        batching: Batching = "independent",
    ) -> None:
        super().__init__()
        sizes = [patch_size] * len(enc_channels) if isinstance(patch_size, int) else list(patch_size)
        _check_lengths(
            len(enc_channels),
            {"enc_depths": enc_depths, "enc_heads": enc_heads, "patch_size": sizes},
            {
                "strides": strides,
                "dec_channels": dec_channels,
                "dec_depths": dec_depths,
                "dec_heads": dec_heads,
            },
        )
        _check_values(sizes, curves)
        _check_shapes(variant, strides, enc_channels, enc_heads, dec_channels, dec_heads)
        self.variant: Variant = variant
        self.strides, self.curves, self.shuffle_curves = tuple(strides), tuple(curves), shuffle_curves
        self.batching: Batching = batching
        block = partial(
            PTv3Block,
            mlp_ratio=mlp_ratio,
            qkv_bias=qkv_bias,
            qk_scale=qk_scale,
            pre_norm=pre_norm,
            relative_position=relative_position,
            layer_scale=layer_scale,
        )
        self.register_buffer("input_shift", torch.zeros(in_channels))
        norm = batch_norm if variant == "ptv3" else nn.LayerNorm
        if variant == "ptv3":
            self.stem = ConvStem(in_channels, enc_channels[0], stem_kernel)
        else:
            self.stem = LinearStem(in_channels, enc_channels[0])
        self.mask_token = nn.Parameter(torch.zeros(1, enc_channels[0])) if mask_token else None
        if self.mask_token is not None:
            nn.init.trunc_normal_(self.mask_token, std=0.02)
        self.enc, self.pools, self.dec, self.unpools = (nn.ModuleList() for _ in range(4))
        for s, rates in enumerate(_rates(drop_path, enc_depths)):
            if s:
                self.pools.append(Pool(enc_channels[s - 1], enc_channels[s], norm))
            make = partial(block, patch_size=sizes[s])
            self.enc.append(PTv3Stage(enc_channels[s], enc_heads[s], rates, make))
        widths = [*dec_channels, enc_channels[-1]]
        for s, rates in enumerate(_rates(drop_path, dec_depths)):
            self.unpools.append(Unpool(widths[s + 1], enc_channels[s], widths[s], norm))
            make = partial(block, patch_size=sizes[s])
            self.dec.append(PTv3Stage(widths[s], dec_heads[s], rates[::-1], make))
        self.out_channels = widths if dec_channels else list(enc_channels)

    def forward(self, batch: PointBatch, *, mask: Tensor | None = None) -> list[Level]:
        """Decoder features at every resolution, finest first; the encoder's without a decoder.

        Args:
            batch: Voxelised clouds.
            mask: Voxels whose features the mask token replaces, ``(N,)`` bool.
        """
        return self.decode(self.encode(batch, mask=mask))

    def encode(
        self, batch: PointBatch, *, mask: Tensor | None = None, shuffles: Sequence[Tensor] | None = None
    ) -> list[Encoded]:
        """Features of every encoder stage, finest first.

        Args:
            batch: Voxelised clouds.
            mask: As in :meth:`forward`.
            shuffles: Permutations of the curves at every resolution, in place of random ones.
        """
        draws = iter(shuffles) if shuffles is not None else self._draws()
        curves = _permuted(self.curves, next(draws))
        level = finest_level(batch_voxels(batch), curves, strides=self.strides, batching=self.batching)
        x = self.stem(batch.x + self.input_shift, level)
        if mask is not None:
            if self.mask_token is None:
                raise UserError("mask: this network has no mask token; build it with mask_token: true")
            x = torch.where(mask[:, None], self.mask_token.to(x.dtype), x)
        encoded = [Encoded(self.enc[0](x, level), level, None)]
        for pool, stage, stride in zip(self.pools, self.enc[1:], self.strides):
            fine = encoded[-1]
            # Sonata shuffles the list it was given, PTv3 the one that the finer resolution has
            curves = _permuted(self.curves if self.variant == "sonata" else fine.level.curves, next(draws))
            level, parent = fine.level.coarser(stride, curves, fresh_depth=self.variant == "sonata")
            x = pool(fine.x, parent, len(level.voxels))
            encoded.append(Encoded(stage(x, level), level, parent))
        return encoded

    def decode(self, encoded: list[Encoded]) -> list[Level]:
        """The levels of :meth:`forward` from what :meth:`encode` returns."""
        features = [stage.x for stage in encoded]
        for s in reversed(range(len(self.dec))):
            x, skip = self.unpools[s](features[s + 1], encoded[s].x, encoded[s + 1].parent)
            # the published PTv3 does not tell the first convolution of the sum
            features[s] = self.dec[s](x, encoded[s].level, skip if self.variant == "ptv3" else None)
        levels, stride = [], 1
        for x, stage, step in zip(features, encoded, (1, *self.strides)):
            stride *= step
            levels.append(Level(x=x, voxels=stage.level.voxels, stride=stride, parent=stage.parent))
        return levels

    def expect_unit_colors(self, channel: int | None) -> None:
        """Add 0.5 to the color in three input channels from ``channel`` on, if any, and nothing to the others.

        Convention:
            Published weights expect color from 0 to 1, while the data here has it from -0.5 to 0.5.
        """
        self.input_shift.zero_()
        if channel is not None:
            self.input_shift[channel : channel + 3] = 0.5

    def _draws(self) -> Iterator[Tensor]:
        shuffled = self.training and self.shuffle_curves
        while True:
            # from the global generator, which a training step seeds
            yield torch.randperm(len(self.curves)) if shuffled else torch.arange(len(self.curves))


def _permuted(curves: tuple[Curve, ...], order: Tensor) -> tuple[Curve, ...]:
    return tuple(curves[i] for i in order.tolist())


def _rates(greatest: float, depths: Sequence[int]) -> list[list[float]]:
    """Drop path rates of every stage's blocks, growing from 0 to ``greatest``."""
    blocks = sum(depths)
    rates = [greatest * i / max(blocks - 1, 1) for i in range(blocks)]
    return [rates[sum(depths[:s]) : sum(depths[: s + 1])] for s in range(len(depths))]


def _check_lengths(stages: int, by_stage: dict[str, Sequence], between_stages: dict[str, Sequence]) -> None:
    for name, values in by_stage.items():
        if len(values) != stages:
            raise UserError(f"{name}: {len(values)} values for the {stages} stages of enc_channels")
    no_decoder = not between_stages["dec_channels"]
    for name, values in between_stages.items():
        expected = 0 if no_decoder and name.startswith("dec_") else stages - 1
        if len(values) != expected:
            raise UserError(
                f"{name}: {len(values)} values, {expected} fit the {stages} stages of enc_channels"
            )


def _check_values(sizes: Sequence[int], curves: Sequence[str]) -> None:
    if not sizes or min(sizes) < 1:
        raise UserError(f"patch_size: {list(sizes)}; a patch has at least one voxel")
    unknown = [curve for curve in curves if curve not in CURVES]
    if unknown or not curves:
        raise UserError(f"curves: {list(curves)}; choose some of {', '.join(CURVES)}")


def _check_shapes(variant: Variant, strides: Sequence[int], *widths_and_heads: Sequence[int]) -> None:
    if variant == "ptv3" and any(stride & (stride - 1) for stride in strides):
        raise UserError(f"strides: {list(strides)}; PTv3 takes powers of two, the sonata variant any")
    for widths, heads in zip(widths_and_heads[::2], widths_and_heads[1::2]):
        for width, count in zip(widths, heads):
            if width % count:
                raise UserError(f"heads: {count} heads do not divide a width of {width}")
