"""Point Transformer V3: attention in patches along space-filling curves (Wu et al., CVPR 2024), and its Sonata variant.

Sonata (Wu et al., CVPR 2025) and Concerto (Zhang et al., NeurIPS 2025) train the encoder without labels. Pointcept
calls the original network "PT-v3m1" and theirs "PT-v3m2".
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from pcseg.backbones.contract import PointBackbone, batch_voxels
from pcseg.backbones.points.ptv3_blocks import PTv3Block
from pcseg.backbones.points.ptv3_curves import CurveLevel
from pcseg.backbones.points.ptv3_rotary import Rotary
from pcseg.backbones.points.ptv3_stages import (
    ConvStem,
    GridPool,
    GridUnpool,
    LinearStem,
    PTv3Stage,
    batch_norm,
)
from pcseg.errors import UserError, require, require_choice
from pcseg.nn.levels import Level, PointBatch
from pcseg.ops.serialization import Curve
from pcseg.values import Count, Few, Positive, Share, checked

CURVES: tuple[Curve, ...] = get_args(Curve)
Variant = Literal["ptv3", "sonata"]


class Encoded(NamedTuple):
    """Features of one resolution, its voxels and curves, and the row here of every finer voxel."""

    x: Tensor
    level: CurveLevel
    parent: Tensor | None


@checked("backbone.")
class PTv3(PointBackbone):
    """Point Transformer V3: encoder and decoder, or the encoder alone.

    Args:
        variant: ``ptv3``: convolutional stem, batch norm between resolutions, and the first position of a decoder
            stage is computed from the encoder's features only. ``sonata``: linear stem, layer norm, and the position
            is computed from the sum.
        enc_channels: Widths of the encoder stages, finest first.
        enc_depths: Blocks in these stages.
        enc_heads: Attention heads in these stages.
        dec_channels: Widths of the decoder stages, finest first; empty for an encoder alone.
        dec_depths: Blocks in these stages.
        dec_heads: Attention heads in these stages.
        strides: Strides between consecutive stages, finest first.
        stem_kernel: Edge of the kernel of the convolutional stem.
        patch_size: Voxels that attend to each other, at all resolutions or at each.
        curves: Block i of a stage attends along curve i.
        mlp_ratio: Width of the MLP of a block, as a multiple of the block's.
        relative_position: Add a learned bias of the relative position to the logits, as the published S3DIS model
            does. Needs memory proportional to voxels times ``patch_size``.
        rotary: Rotary position embeddings of ``batch.pos``, as in Utonia.
        mask_token: Learn a feature for voxels that :meth:`forward` masks, as in self-supervised training.
        drop_path: Highest drop path rate in training; it grows from 0 with depth.
        recompute: Keep only the input of every block for the backward pass, which computes the block again: less
            memory, about a third more time.

    Convention:
        Levels are the decoder's features, or the encoder's without a decoder. ``input_shift`` (F,) is added to the
        input features, with ``rotary`` after a product with ``input_scale`` (F,), see
        :meth:`expect_published_input`. Curves are shuffled at every resolution in training only; the published code
        shuffles them in evaluation too, which makes its output random. Voxels may come in any order, and a cloud may
        be moved by voxels of the coarsest resolution without any effect.
    """

    input_shift: Tensor
    input_scale: Tensor
    level_type = CurveLevel

    def __init__(
        self,
        in_channels: int,
        *,
        variant: Variant = "ptv3",
        enc_channels: Sequence[Few] = (32, 64, 128, 256, 512),
        enc_depths: Sequence[Few] = (2, 2, 2, 6, 2),
        enc_heads: Sequence[Few] = (2, 4, 8, 16, 32),
        dec_channels: Sequence[Few] = (64, 64, 128, 256),
        dec_depths: Sequence[Count] = (2, 2, 2, 2),
        dec_heads: Sequence[Few] = (4, 4, 8, 16),
        strides: Sequence[int] = (2, 2, 2, 2),
        stem_kernel: Few = 5,
        patch_size: Few | Sequence[Few] = 1024,
        curves: Sequence[Curve] = CURVES,
        mlp_ratio: Positive = 4.0,
        relative_position: bool = False,
        rotary: Rotary | None = None,
        mask_token: bool = False,
        drop_path: Share = 0.3,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        stages, decoder_stages = len(enc_channels), len(enc_channels) - 1 if dec_channels else 0
        sizes = [patch_size] * stages if isinstance(patch_size, int) else list(patch_size)
        _check_lengths(stages, stages, enc_depths=enc_depths, enc_heads=enc_heads, patch_size=sizes)
        _check_lengths(stages, stages - 1, strides=strides)
        decoder = {"dec_channels": dec_channels, "dec_depths": dec_depths, "dec_heads": dec_heads}
        _check_lengths(stages, decoder_stages, **decoder)
        _check_values(variant, curves, strides)
        decoder_rotary = rotary if rotary is not None and rotary.decoder else None
        _check_heads("enc_heads", enc_channels, enc_heads, rotary)
        _check_heads("dec_heads", dec_channels, dec_heads, decoder_rotary)
        self.rotary = rotary
        self.variant: Variant = variant
        self.strides, self.curves, self.enc_channels = tuple(strides), tuple(curves), tuple(enc_channels)
        block = partial(PTv3Block, mlp_ratio=mlp_ratio, relative_position=relative_position)
        self.register_buffer("input_shift", torch.zeros(in_channels))
        if rotary is not None:
            self.register_buffer("input_scale", torch.ones(in_channels))
        if variant == "ptv3":
            norm, self.stem = batch_norm, ConvStem(in_channels, enc_channels[0], stem_kernel)
        else:
            norm, self.stem = nn.LayerNorm, LinearStem(in_channels, enc_channels[0])
        self.mask_token = nn.Parameter(torch.zeros(1, enc_channels[0])) if mask_token else None
        if self.mask_token is not None:
            nn.init.trunc_normal_(self.mask_token, std=0.02)
        self.enc, self.pools, self.dec, self.unpools = (nn.ModuleList() for _ in range(4))
        for s, rates in enumerate(_drop_rates(drop_path, enc_depths)):
            if s:
                self.pools.append(GridPool(enc_channels[s - 1], enc_channels[s], norm))
            make = partial(block, patch_size=sizes[s], rotary=rotary)
            self.enc.append(PTv3Stage(enc_channels[s], enc_heads[s], rates, make, recompute=recompute))
        widths = [*dec_channels, enc_channels[-1]]
        for s, rates in enumerate(_drop_rates(drop_path, dec_depths)):
            self.unpools.append(GridUnpool(widths[s + 1], enc_channels[s], widths[s], norm))
            make = partial(block, patch_size=sizes[s], rotary=decoder_rotary)
            self.dec.append(PTv3Stage(widths[s], dec_heads[s], rates[::-1], make, recompute=recompute))
        self.out_channels = widths if dec_channels else list(enc_channels)

    def forward(self, batch: PointBatch, *, mask: Tensor | None = None) -> list[Level]:
        """Return the levels of a batch, finest first.

        Args:
            batch: Voxelized clouds.
            mask: Voxels whose features the mask token replaces, ``(N,)`` bool.
        """
        return self.decode(self.encode(batch, mask=mask))

    def encode(self, batch: PointBatch, *, mask: Tensor | None = None) -> list[Encoded]:
        """Return the features of every encoder stage, finest first; ``mask`` as in :meth:`forward`."""
        encoded: list[Encoded] = []
        for s, (level, parent) in enumerate(self.resolutions(batch)):
            if parent is None:
                x = batch.x if self.rotary is None else batch.x * self.input_scale
                x = self.stem(x + self.input_shift, level)
                if mask is not None:
                    if self.mask_token is None:
                        raise UserError(
                            "mask: this network has no mask token. Build it with mask_token: true."
                        )
                    x = torch.where(mask[:, None], self.mask_token.to(x.dtype), x)
            else:
                x = self.pools[s - 1](encoded[-1].x, parent, len(level.voxels))
            encoded.append(Encoded(self.enc[s](x, level), level, parent))
        return encoded

    def resolutions(self, batch: PointBatch) -> list[tuple[CurveLevel, Tensor | None]]:
        """Return the voxels and curves of every stage, finest first, and the row there of every finer voxel."""
        orders = self._curve_orders()
        coord = None if self.rotary is None else batch.pos * self.rotary.scale
        curves = _permuted(self.curves, next(orders))
        level = self.level_type.finest(batch_voxels(batch), curves, strides=self.strides, coord=coord)
        found: list[tuple[CurveLevel, Tensor | None]] = [(level, None)]
        for stride in self.strides:
            # Sonata shuffles the list that it was given, PTv3 that of the finer resolution.
            curves = _permuted(self.curves if self.variant == "sonata" else level.curves, next(orders))
            level, parent = level.coarser(stride, curves, fresh_depth=self.variant == "sonata")
            found.append((level, parent))
        return found

    def decode(self, encoded: list[Encoded]) -> list[Level]:
        """Return the levels of :meth:`forward`, given the result of :meth:`encode`."""
        features = [stage.x for stage in encoded]
        for s in reversed(range(len(self.dec))):
            x, skip = self.unpools[s](features[s + 1], encoded[s].x, encoded[s + 1].parent)
            # In the published PTv3 the first convolution does not see the sum.
            features[s] = self.dec[s](x, encoded[s].level, skip if self.variant == "ptv3" else None)
        levels, stride = [], 1
        for x, stage, step in zip(features, encoded, (1, *self.strides)):
            stride *= step
            levels.append(Level(x=x, sites=stage.level.voxels, stride=stride, parent=stage.parent))
        return levels

    def expect_published_input(self, *, color: int | None, pos: int | None) -> None:
        """Convert the features of this package to those of published weights: see the convention.

        Args:
            color: First of the three input channels of the color, if there are any.
            pos: First of those of the position.

        Convention:
            Published weights expect color from 0 to 1, while the data here has it from -0.5 to 0.5. Utonia's expect
            positions in units of :attr:`Rotary.scale`, the others in meters.
        """
        self.input_shift.zero_()
        if color is not None:
            self.input_shift[color : color + 3] = 0.5
        if self.rotary is not None:
            self.input_scale.fill_(1.0)
            if pos is not None:
                self.input_scale[pos : pos + 3] = self.rotary.scale

    def _curve_orders(self) -> Iterator[Tensor]:
        """Yield the order of the curves at each resolution, random in training."""
        while True:
            # from the global generator, which a training step seeds
            yield torch.randperm(len(self.curves)) if self.training else torch.arange(len(self.curves))


def _permuted(curves: tuple[Curve, ...], order: Tensor) -> tuple[Curve, ...]:
    return tuple(curves[i] for i in order.tolist())


def _drop_rates(greatest: float, depths: Sequence[int]) -> list[list[float]]:
    """Return the drop path rates of the blocks of every stage, growing from 0 to ``greatest``."""
    blocks = sum(depths)
    rates = [greatest * i / max(blocks - 1, 1) for i in range(blocks)]
    return [rates[sum(depths[:s]) : sum(depths[: s + 1])] for s in range(len(depths))]


def _check_lengths(stages: int, expected: int, **options: Sequence) -> None:
    for name, values in options.items():
        if len(values) != expected:
            raise UserError(
                f"{name}: has {len(values)} values. Give {expected} for the {stages} stages of enc_channels."
            )


def _check_values(variant: str, curves: Sequence[str], strides: Sequence[int]) -> None:
    require_choice("variant", variant, Variant)
    known = bool(curves) and set(curves) <= set(CURVES)
    require(known, "curves", list(curves), f"Use some of {', '.join(CURVES)}.")
    powers = variant != "ptv3" or not any(stride & (stride - 1) for stride in strides)
    require(powers, "strides", list(strides), "Use powers of two, or the sonata variant.")


def _check_heads(option: str, widths: Sequence[int], heads: Sequence[int], rotary: Rotary | None) -> None:
    for width, count in zip(widths, heads):
        if width % count:
            raise UserError(f"{option}: {count} heads do not divide a width of {width}. Change one of them.")
        if rotary is not None and width // count % 6:
            raise UserError(
                f"{option}: {count} heads of a width of {width} have {width // count} channels each. Rotary "
                "embeddings need a multiple of 6: pairs for each of 3 axes."
            )
