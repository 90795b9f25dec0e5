"""FCN head: one local convolution and a classifier; also the auxiliary head of the others."""

from collections.abc import Sequence

from torch import Tensor, nn

from pcseg.heads.context import ContextBody, ContextOutput
from pcseg.heads.image_base import ImageHead, PixelConv
from pcseg.heads.point_base import PointContextHead
from pcseg.nn.norms import BatchNorm, ChannelDropout, ConvNorm, NormFactory
from pcseg.nn.sites import LocalConv, Sites
from pcseg.nn.sparse_conv import SubmanifoldConv


class FCNBody(ContextBody):
    """Local convolution, norm, activation, channel dropout, classifier.

    Args:
        in_channels: Width of the tokens.
        num_classes: K.
        conv: Makes the local convolution.
        channels: Width in between; a quarter of ``in_channels`` by default.
        bias: Whether the convolution has a bias in front of the norm.
        norm: Makes the norm.
        activation: Comes after the norm; ReLU by default.
        dropout: Rate of the dropout.

    Convention:
        Dropout takes whole channels of a cloud, as in the releases that published weights come from; later
        PyTorch-Encoding drops single elements.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        conv: LocalConv,
        channels: int | None = None,
        bias: bool = False,
        norm: NormFactory = BatchNorm,
        activation: nn.Module | None = None,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        width = in_channels // 4 if channels is None else channels
        self.reduce = ConvNorm(
            conv(in_channels, width, bias=bias), norm(width), activation or nn.ReLU(inplace=True)
        )
        self.dropout = ChannelDropout(dropout)
        self.classify = nn.Linear(width, num_classes)

    def forward(self, x: Tensor, sites: Sites, laterals: Sequence[Tensor] = ()) -> ContextOutput:
        x = self.dropout(self.reduce(x, sites), sites.ptr)
        return ContextOutput(logits=self.classify(x))


class FCNHead(ImageHead):
    """Fully convolutional head for images (Long et al., CVPR 2015), on the last features.

    Args:
        in_channels: Widths of the features, finest first.
        num_classes: K.
        channels: Width in between; a quarter of the last features' by default.
        dropout: Rate of the channel dropout.
        align_corners: See :class:`~pcseg.heads.image_base.ImageHead`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int | None = None,
        dropout: float = 0.1,
        align_corners: bool = False,
    ) -> None:
        body = FCNBody(in_channels[-1], num_classes, conv=PixelConv, channels=channels, dropout=dropout)
        super().__init__(in_channels, body, None, aux_weight=0.0, align_corners=align_corners)


class PointFCNHead(PointContextHead):
    """Fully convolutional head for points: a submanifold convolution in the place of the 3×3 one.

    Args:
        channels: Widths of the levels, finest first.
        num_classes: K.
        level: Level that the head works on.
        width: Channels in between; a quarter of the level's by default.
        dropout: Rate of the channel dropout.
    """

    def __init__(
        self,
        channels: Sequence[int],
        num_classes: int,
        *,
        level: int = 0,
        width: int | None = None,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(channels, num_classes, level=level)
        self.body = FCNBody(
            channels[level], num_classes, conv=SubmanifoldConv, channels=width, dropout=dropout
        )
