"""EncNet: an encoding of the whole scene gates the channels and predicts which classes it holds."""

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from pcseg.errors import UserError
from pcseg.heads.context import ContextBody, ContextOutput
from pcseg.heads.fcn import FCNBody
from pcseg.heads.image_base import ImageHead, PixelConv
from pcseg.heads.point_base import PointContextHead
from pcseg.losses.presence import class_presence, presence_loss
from pcseg.nn.encoding import ContextEncoding
from pcseg.nn.norms import BatchNorm, ChannelDropout, ConvNorm, NormFactory, linear_norm
from pcseg.nn.sites import LocalConv, Sites
from pcseg.nn.sparse_conv import SubmanifoldConv


class EncBody(ContextBody):
    """Local convolution, context encoding, classifier (Zhang et al., *EncNet*, CVPR 2018, Figure 2).

    Args:
        in_channels: Width of the tokens.
        num_classes: K.
        conv: Makes the local convolutions.
        channels: Width of the context module.
        num_codewords: Size of the codebook.
        lateral_channels: Widths of further features to fuse with the tokens.
        presence_weight: Factor of the SE-loss; 0 leaves its branch out.
        reference_size, sum_codewords, pure_gate: See :class:`~pcseg.nn.encoding.ContextEncoding`.
        dropout: Rate of the channel dropout; see :class:`~pcseg.heads.fcn.FCNBody`.
        norm: Makes the norms.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        conv: LocalConv,
        channels: int,
        num_codewords: int,
        lateral_channels: Sequence[int] = (),
        presence_weight: float,
        reference_size: int | None = None,
        sum_codewords: bool = False,
        pure_gate: bool = False,
        dropout: float = 0.1,
        norm: NormFactory = BatchNorm,
    ) -> None:
        super().__init__()
        self.presence_weight = presence_weight
        self.reduce = ConvNorm(conv(in_channels, channels, bias=False), norm(channels), nn.ReLU())
        connect = [linear_norm(width, channels, bias=False, norm=norm) for width in lateral_channels]
        self.connect = nn.ModuleList(connect)
        self.fuse = None
        if lateral_channels:
            total = channels * (1 + len(lateral_channels))
            self.fuse = ConvNorm(conv(total, channels, bias=False), norm(channels), nn.ReLU())
        self.context = ContextEncoding(
            channels,
            num_codewords,
            num_classes=num_classes if presence_weight > 0 else None,
            reference_size=reference_size,
            sum_codewords=sum_codewords,
            pure_gate=pure_gate,
            norm=norm,
        )
        self.dropout = ChannelDropout(dropout)
        self.classify = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor, sites: Sites, laterals: Sequence[Tensor] = ()) -> ContextOutput:
        x = self.reduce(x, sites)
        if self.fuse is not None:
            lateral = [connect(features) for connect, features in zip(self.connect, laterals, strict=True)]
            x = self.fuse([x, *lateral], sites)
        x, presence = self.context(x, sites.ptr)
        clouds = {} if presence is None else {"presence": presence}
        return ContextOutput(logits=self.classify(self.dropout(x, sites.ptr)), clouds=clouds)

    def cloud_losses(self, clouds: dict[str, Tensor], y: Tensor, ptr: Tensor) -> dict[str, Tensor]:
        if self.presence_weight == 0:
            return {}
        logits = clouds["presence"]
        presence = class_presence(y, ptr, logits.shape[1])
        return {"presence": self.presence_weight * presence_loss(logits, presence)}


class EncHead(ImageHead):
    """EncNet's head for images, as in PyTorch-Encoding.

    Args:
        in_channels: Widths of the features, finest first.
        num_classes: K.
        channels: Width of the context module.
        num_codewords: Size of the codebook.
        lateral: Fuse the last features with the two before them, which must be of the same size.
        presence_weight: Factor of the SE-loss; 0 leaves its branch out.
        aux_weight: Factor of the auxiliary cross-entropy.
        reference_size, sum_codewords, pure_gate: See :class:`~pcseg.nn.encoding.ContextEncoding`.
        dropout: Rate of the channel dropout.
        biased_variance: Norms move their running variance by the biased variance, as PyTorch-Encoding's own do.
        align_corners: See :class:`~pcseg.heads.image_base.ImageHead`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 512,
        num_codewords: int = 32,
        lateral: bool = False,
        presence_weight: float = 0.2,
        aux_weight: float = 0.2,
        reference_size: int | None = None,
        sum_codewords: bool = False,
        pure_gate: bool = False,
        dropout: float = 0.1,
        biased_variance: bool = False,
        align_corners: bool = True,
    ) -> None:
        if lateral and len(in_channels) < 3:
            raise UserError(
                f"head.lateral fuses the last three features, and the backbone has {len(in_channels)}; set it to false"
            )
        norm = partial(BatchNorm, biased_variance=biased_variance)
        laterals = [-3, -2] if lateral else []
        body = EncBody(
            in_channels[-1],
            num_classes,
            conv=PixelConv,
            channels=channels,
            num_codewords=num_codewords,
            lateral_channels=[in_channels[i] for i in laterals],
            presence_weight=presence_weight,
            reference_size=reference_size,
            sum_codewords=sum_codewords,
            pure_gate=pure_gate,
            dropout=dropout,
            norm=norm,
        )
        wide = in_channels[max(len(in_channels) - 2, 0)]
        auxiliary = FCNBody(wide, num_classes, conv=PixelConv, norm=norm, dropout=dropout)
        super().__init__(
            in_channels,
            body,
            auxiliary,
            aux_weight=aux_weight,
            laterals=laterals,
            align_corners=align_corners,
        )
        self.reference_size, self.sum_codewords, self.pure_gate = reference_size, sum_codewords, pure_gate


class PointEncHead(PointContextHead):
    """EncNet's head for points.

    Args:
        channels: Widths of the levels, finest first.
        num_classes: K.
        level: Level that the context module works on.
        width: Width of the context module.
        num_codewords: Size of the codebook.
        reference_size: Number of voxels that encodings are scaled to, so that clouds of any size look alike;
            ``None`` lets them grow with the cloud, as published.
        laterals: Coarser levels to fuse with the features of ``level``.
        presence_weight: Factor of the SE-loss; 0 leaves its branch out.
        aux_level: Level of the auxiliary head; ``None`` for no such head.
        aux_weight: Factor of the auxiliary cross-entropy.
        dropout: Rate of the channel dropout.
    """

    def __init__(
        self,
        channels: Sequence[int],
        num_classes: int,
        *,
        level: int = 2,
        width: int = 128,
        num_codewords: int = 32,
        reference_size: int | None = 3600,
        laterals: Sequence[int] = (),
        presence_weight: float = 0.2,
        aux_level: int | None = None,
        aux_weight: float = 0.2,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(
            channels,
            num_classes,
            level=level,
            laterals=laterals,
            aux_level=aux_level,
            aux_weight=aux_weight,
        )
        self.body = EncBody(
            channels[level],
            num_classes,
            conv=SubmanifoldConv,
            channels=width,
            num_codewords=num_codewords,
            lateral_channels=[channels[i] for i in laterals],
            presence_weight=presence_weight,
            reference_size=reference_size,
            dropout=dropout,
        )
        if aux_level is not None:
            self.auxiliary = FCNBody(channels[aux_level], num_classes, conv=SubmanifoldConv, dropout=dropout)
