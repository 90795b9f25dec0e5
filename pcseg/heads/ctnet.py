"""CTNet: channel context, then spatial context guided by class features."""

from collections.abc import Sequence

from torch import Tensor, nn

from pcseg.heads.context import ContextBody, ContextOutput
from pcseg.heads.image_base import ImageHead, PixelConv
from pcseg.heads.point_base import PointContextHead
from pcseg.losses.class_frequency import class_frequency, class_frequency_loss
from pcseg.nn.channel_context import ChannelContext, ChannelGate
from pcseg.nn.norms import BatchNorm, ConvNorm, NormFactory, linear_norm
from pcseg.nn.sites import LocalConv, Sites
from pcseg.nn.sparse_conv import SubmanifoldConv
from pcseg.nn.spatial_context import SpatialContext


class CTBody(ContextBody):
    """Local convolution, CCM, SCM, classifier (Li et al., *CTNet: Context-based Tandem Network*, TPAMI 2022).

    Args:
        in_channels: Width of the tokens.
        num_classes: K.
        conv: Makes the local convolutions.
        channels: Width of the context modules.
        key_channels: Width of queries, keys and values in the SCM.
        class_weight: Factor of the CP-loss.
        norm: Makes the norms.
        class_norm: Makes the norm of the class scores, which sees one row a cloud.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        conv: LocalConv,
        channels: int,
        key_channels: int,
        class_weight: float,
        norm: NormFactory = BatchNorm,
        class_norm: NormFactory = BatchNorm,
    ) -> None:
        super().__init__()
        self.class_weight = class_weight
        self.reduce = ConvNorm(conv(in_channels, channels, bias=True), norm(channels), nn.ReLU())
        self.channel_context = ChannelContext(channels, num_classes, class_norm=class_norm)
        self.spatial_context = SpatialContext(channels, key_channels, conv=conv, norm=norm)
        self.classify = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor, sites: Sites, laterals: Sequence[Tensor] = ()) -> ContextOutput:
        x, class_prob, class_features = self.channel_context(self.reduce(x, sites), sites.ptr)
        x = self.spatial_context(x, class_features, sites)
        clouds = {"class_prob": class_prob, "class_features": class_features}
        return ContextOutput(logits=self.classify(x), clouds=clouds)

    def cloud_losses(self, clouds: dict[str, Tensor], y: Tensor, ptr: Tensor) -> dict[str, Tensor]:
        return class_prob_losses(clouds["class_prob"], y, ptr, weight=self.class_weight)


def class_prob_losses(prob: Tensor, y: Tensor, ptr: Tensor, *, weight: float) -> dict[str, Tensor]:
    """The CP-loss of the class probabilities of clouds, ``(B, K)``."""
    frequency = class_frequency(y, ptr, prob.shape[1])
    return {"class_frequency": weight * class_frequency_loss(prob, frequency)}


class PointwiseBody(ContextBody):
    """CTNet's auxiliary head: two linear maps of each token, with norm and ReLU between."""

    def __init__(self, in_channels: int, num_classes: int, *, norm: NormFactory = BatchNorm) -> None:
        super().__init__()
        self.reduce = linear_norm(in_channels, in_channels, bias=True, norm=norm)
        self.classify = nn.Linear(in_channels, num_classes)

    def forward(self, x: Tensor, sites: Sites, laterals: Sequence[Tensor] = ()) -> ContextOutput:
        return ContextOutput(logits=self.classify(self.reduce(x)))


class CTHead(ImageHead):
    """CTNet's head for images, as released with PaddleSeg.

    Args:
        in_channels: Widths of the features, finest first.
        num_classes: K.
        channels: Width of the context modules.
        key_channels: Width of queries, keys and values.
        aux_weight: Factor of the auxiliary cross-entropy.
        class_weight: Factor of the CP-loss.
        paddle: Norms move their running variance by the biased variance, the class scores of a single image are
            not normalised in training, and weights start as in the published code (see :func:`start_as_paddle`).
        align_corners: See :class:`~pcseg.heads.image_base.ImageHead`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 512,
        key_channels: int = 256,
        aux_weight: float = 0.3,
        class_weight: float = 0.1,
        paddle: bool = False,
        align_corners: bool = False,
    ) -> None:
        norm = paddle_norm if paddle else BatchNorm
        body = CTBody(
            in_channels[-1],
            num_classes,
            conv=PixelConv,
            channels=channels,
            key_channels=key_channels,
            class_weight=class_weight,
            norm=norm,
            class_norm=norm,
        )
        auxiliary = PointwiseBody(in_channels[max(len(in_channels) - 2, 0)], num_classes, norm=norm)
        super().__init__(in_channels, body, auxiliary, aux_weight=aux_weight, align_corners=align_corners)
        self.paddle = paddle
        if paddle:
            start_as_paddle(self)


def start_as_paddle(head: nn.Module) -> None:
    """Draw the weights of a CTNet head as the published code does.

    Convention:
        Convolutions, and the linear maps that are 1×1 convolutions there, start with a deviation of 0.001 and without
        bias. Norms undo the scale, but a weight so small turns faster at the same learning rate.
    """
    for module in head.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, std=0.001)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv1d):
            nn.init.kaiming_normal_(module.weight)
    for module in head.modules():
        if isinstance(module, ChannelGate):
            nn.init.xavier_uniform_(module.mix.weight)  # the only linear layer that is one there too


def paddle_norm(channels: int) -> BatchNorm:
    """Batch norm as Paddle has it."""
    return BatchNorm(channels, biased_variance=True, skip_single=True)


class PointCTHead(PointContextHead):
    """CTNet's head for points.

    Args:
        channels: Widths of the levels, finest first.
        num_classes: K.
        level: Level that the context modules work on.
        width: Width of the context modules.
        key_width: Width of queries, keys and values.
        class_weight: Factor of the CP-loss.
        class_batch_norm: Normalise the class scores over the clouds of a batch, as published.
        aux_level: Level of the auxiliary head; ``None`` for no such head.
        aux_weight: Factor of the auxiliary cross-entropy.

    Convention:
        Class scores are not normalised by default: over two clouds, batch norm leaves but their sign.
    """

    def __init__(
        self,
        channels: Sequence[int],
        num_classes: int,
        *,
        level: int = 2,
        width: int = 128,
        key_width: int = 64,
        class_weight: float = 0.1,
        class_batch_norm: bool = False,
        aux_level: int | None = None,
        aux_weight: float = 0.3,
    ) -> None:
        super().__init__(channels, num_classes, level=level, aux_level=aux_level, aux_weight=aux_weight)
        self.body = CTBody(
            channels[level],
            num_classes,
            conv=SubmanifoldConv,
            channels=width,
            key_channels=key_width,
            class_weight=class_weight,
            class_norm=BatchNorm if class_batch_norm else nn.Identity,
        )
        if aux_level is not None:
            self.auxiliary = PointwiseBody(channels[aux_level], num_classes)
