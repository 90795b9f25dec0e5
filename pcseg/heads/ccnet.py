"""CCNet: recurrent criss-cross attention along lines."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from pcseg.errors import UserError
from pcseg.heads.context import ContextBody, ContextOutput
from pcseg.heads.fcn import FCNBody
from pcseg.heads.image_base import ImageHead, PixelConv, Pixels
from pcseg.heads.point_base import PointContextHead
from pcseg.losses.category_consistent import category_consistent_loss
from pcseg.nn.criss_cross import CrissCrossAttention
from pcseg.nn.norms import BatchNorm, ChannelDropout, ConvNorm, NormFactory
from pcseg.nn.sites import LocalConv, Sites
from pcseg.nn.sparse_conv import SubmanifoldConv
from pcseg.ops.attention import Support
from pcseg.ops.lines import AXES, axis_lines, check_line_options, pixel_lines
from pcseg.ops.voxels import VoxelSet

EMBEDDING_RATIO = 16
"""Channels of the context over those of the embedding that the category consistent loss sees."""


class RCCABody(ContextBody):
    """Recurrent criss-cross attention between local convolutions (Huang et al., *CCNet*, ICCV 2019, Figure 2).

    Args:
        in_channels: Width of the tokens.
        num_classes: K.
        conv: Makes the local convolutions.
        lines: Makes the lines of the given sites, one set a recurrence; they are taken in turn.
        context_channels: Width of the attention.
        channels: Width of the features that are classified.
        recurrence: R, how often the attention is applied.
        category_weight: Factor of the category consistent loss; 0 leaves its branch out.
        dropout: Rate of the channel dropout.
        norm: Makes the norms.
        activation: Comes after the norms; ReLU by default.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        conv: LocalConv,
        lines: Callable[[Any], Sequence[Support]],
        context_channels: int,
        channels: int,
        recurrence: int,
        category_weight: float = 0.0,
        dropout: float = 0.1,
        norm: NormFactory = BatchNorm,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if recurrence < 1:
            raise UserError(f"recurrence is {recurrence}; choose 1 or more")
        self.lines, self.recurrence, self.category_weight = lines, recurrence, category_weight
        act = activation or nn.ReLU(inplace=True)
        inner = context_channels
        self.before = ConvNorm(conv(in_channels, inner, bias=False), norm(inner), act)
        self.attention = CrissCrossAttention(inner)
        self.after = ConvNorm(conv(inner, inner, bias=False), norm(inner), act)
        self.merge = ConvNorm(conv(in_channels + inner, channels, bias=False), norm(channels), act)
        self.dropout = ChannelDropout(dropout)
        self.classify = nn.Linear(channels, num_classes)
        self.embed = nn.Linear(inner, max(1, inner // EMBEDDING_RATIO)) if category_weight > 0 else None

    def forward(self, x: Tensor, sites: Sites, laterals: Sequence[Tensor] = ()) -> ContextOutput:
        lines = self.lines(sites)
        context = self.before(x, sites)
        for step in range(self.recurrence):
            context = self.attention(context, lines[step % len(lines)])
        embedding = None if self.embed is None else self.embed(context)
        context = self.after(context, sites)  # the large convolution begins with no more than it needs
        merged = self.merge([x, context], sites)
        return ContextOutput(logits=self.classify(self.dropout(merged, sites.ptr)), embedding=embedding)

    def token_losses(self, embedding: Tensor, y: Tensor) -> dict[str, Tensor]:
        return {"category": self.category_weight * category_consistent_loss(embedding, y)}


class RCCAHead(ImageHead):
    """CCNet's head for images, as released.

    Args:
        in_channels: Widths of the features, finest first.
        num_classes: K.
        context_channels: Width of the attention; a quarter of the last features' by default.
        channels: Width of the features that are classified.
        recurrence: R, how often the attention is applied; the released scripts disagree, the paper has 2.
        aux_weight: Factor of the auxiliary cross-entropy.
        category_weight: Factor of the category consistent loss of the journal version; 0 leaves its branch out.
        dropout: Rate of the channel dropout.
        inplace_abn: Norms scale by ``|weight| + eps`` and are followed by leaky ReLU with slope 0.01, as in the
            official code; otherwise batch norm and ReLU, as in mmseg.
        align_corners: See :class:`~pcseg.heads.image_base.ImageHead`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        context_channels: int | None = None,
        channels: int = 512,
        recurrence: int = 2,
        aux_weight: float = 0.4,
        category_weight: float = 0.0,
        dropout: float = 0.1,
        inplace_abn: bool = True,
        align_corners: bool = True,
    ) -> None:
        norm, activation = _norm_and_activation(inplace_abn)
        body = RCCABody(
            in_channels[-1],
            num_classes,
            conv=PixelConv,
            lines=_rows_and_columns,
            context_channels=context_channels or in_channels[-1] // 4,
            channels=channels,
            recurrence=recurrence,
            category_weight=category_weight,
            dropout=dropout,
            norm=norm,
            activation=activation,
        )
        auxiliary = FCNBody(
            in_channels[max(len(in_channels) - 2, 0)],
            num_classes,
            conv=PixelConv,
            channels=channels,
            bias=True,
            norm=norm,
            activation=activation,
            dropout=dropout,
        )
        super().__init__(in_channels, body, auxiliary, aux_weight=aux_weight, align_corners=align_corners)
        self.inplace_abn = inplace_abn


def _norm_and_activation(inplace_abn: bool) -> tuple[NormFactory, nn.Module]:
    if not inplace_abn:
        return BatchNorm, nn.ReLU(inplace=True)
    return partial(BatchNorm, absolute_gain=True), nn.LeakyReLU(0.01, inplace=True)


def _rows_and_columns(pixels: Pixels) -> list[Support]:
    return [pixel_lines(pixels.batch_size, pixels.height, pixels.width, device=pixels.device)]


class PointRCCAHead(PointContextHead):
    """CCNet's head for points: attention along the occupied voxels of axis lines.

    Args:
        channels: Widths of the levels, finest first.
        num_classes: K.
        level: Level that the attention works on.
        width: Width of the attention and of the features that are classified.
        recurrence: R; in 3-D it takes 3 to join all voxels of a filled box.
        axes: Directions of the lines: 0, 1, 2 for x, y, z.
        thickness: Edge in voxels of the cross-section of a line; 1 is the published attention.
        category_weight: Factor of the category consistent loss; 0 leaves its branch out.
        aux_level: Level of the auxiliary head; ``None`` for no such head.
        aux_weight: Factor of the auxiliary cross-entropy.
        dropout: Rate of the channel dropout.
        inplace_abn: Norms, activations and auxiliary head of the released image head, see :class:`RCCAHead`:
            its weights then compute the same here.

    Convention:
        Thick lines are shifted by half their thickness every other time, so that no border stays.
    """

    def __init__(
        self,
        channels: Sequence[int],
        num_classes: int,
        *,
        level: int = 2,
        width: int = 128,
        recurrence: int = 3,
        axes: Sequence[int] = AXES,
        thickness: int = 1,
        category_weight: float = 0.0,
        aux_level: int | None = None,
        aux_weight: float = 0.4,
        dropout: float = 0.1,
        inplace_abn: bool = False,
    ) -> None:
        super().__init__(channels, num_classes, level=level, aux_level=aux_level, aux_weight=aux_weight)
        check_line_options(axes, thickness)
        norm, activation = _norm_and_activation(inplace_abn)
        self.body = RCCABody(
            channels[level],
            num_classes,
            conv=SubmanifoldConv,
            lines=partial(_lines, axes=tuple(axes), thickness=thickness),
            context_channels=width,
            channels=width,
            recurrence=recurrence,
            category_weight=category_weight,
            dropout=dropout,
            norm=norm,
            activation=activation,
        )
        if aux_level is not None:
            self.auxiliary = FCNBody(
                channels[aux_level],
                num_classes,
                conv=SubmanifoldConv,
                channels=width if inplace_abn else None,
                bias=inplace_abn,
                norm=norm,
                activation=activation,
                dropout=dropout,
            )


def _lines(voxels: VoxelSet, *, axes: Sequence[int], thickness: int) -> list[Support]:
    shifts = [0] if thickness == 1 else [0, thickness // 2]
    return [axis_lines(voxels, axes=axes, thickness=thickness, shift=shift) for shift in shifts]
