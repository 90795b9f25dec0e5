"""The bodies of CTNet: channel context, then spatial context guided by class features."""

from collections.abc import Sequence

from torch import Tensor, nn

from pcseg.heads.base import Body, BodyOutput, require_factor
from pcseg.losses.cloud_classes import class_frequency, class_frequency_loss
from pcseg.nn.channel_context import ChannelContext, ChannelGate
from pcseg.nn.norms import BatchNorm, ConvNorm, NormFactory, linear_norm
from pcseg.nn.sparse_conv import SubmanifoldConv
from pcseg.nn.spatial_context import SpatialContext
from pcseg.nn.tokens import LocalConv, Sites


class CTBody(Body):
    """Local convolution, CCM, SCM, classifier (Li et al., *CTNet: Context-based Tandem Network*, TPAMI 2022).

    Args:
        in_channels, num_classes, lateral_channels, conv: See :class:`~pcseg.heads.base.Body`.
        width: Channels of the context modules; 512 in the released code.
        key_width: Channels of queries, keys and values in the SCM; 256 in the released code.
        class_weight: Factor of the CP-loss.
        class_batch_norm: Whether the class scores are normalized over the clouds of a batch, as published. Batch
            norm over two clouds keeps only their sign, so this is off by default.
        paddle_init: Whether weights start as in the released code, see :func:`init_as_paddle`.
        norm: Makes the norms; the released code has :class:`~pcseg.nn.norms.PaddleBatchNorm`.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        lateral_channels: Sequence[int],
        conv: LocalConv,
        *,
        width: int = 128,
        key_width: int = 64,
        class_weight: float = 0.1,
        class_batch_norm: bool = False,
        paddle_init: bool = False,
        norm: NormFactory = BatchNorm,
    ) -> None:
        super().__init__()
        require_factor("class_weight", class_weight)
        self.width, self.class_weight = width, class_weight
        self.reduce = ConvNorm(conv(in_channels, width, bias=True), norm(width))
        class_norm = norm if class_batch_norm else nn.Identity
        self.channel_context = ChannelContext(width, num_classes, class_norm=class_norm)
        self.spatial_context = SpatialContext(width, key_width, conv=conv, norm=norm)
        self.classify = nn.Linear(width, num_classes)
        if paddle_init:
            init_as_paddle(self)

    def forward(self, x: Tensor, sites: Sites, laterals: Sequence[Tensor] = ()) -> BodyOutput:
        x, class_prob, class_features = self.channel_context(self.reduce(x, sites), sites.ptr)
        x = self.spatial_context(x, class_features, sites)
        clouds = {"class_prob": class_prob, "class_features": class_features}
        return BodyOutput(logits=self.classify(x), clouds=clouds, features=x)

    def cloud_losses(self, clouds: dict[str, Tensor], y: Tensor, ptr: Tensor) -> dict[str, Tensor]:
        prob = clouds["class_prob"]
        frequency = class_frequency(y, ptr, prob.shape[1])
        return {"class_frequency": self.class_weight * class_frequency_loss(prob, frequency)}


class PointwiseBody(Body):
    """The auxiliary body of CTNet: two linear layers per token, with norm and ReLU between them.

    Args:
        in_channels, num_classes, lateral_channels, conv: See :class:`~pcseg.heads.base.Body`.
        paddle_init, norm: See :class:`CTBody`.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        lateral_channels: Sequence[int],
        conv: LocalConv,
        *,
        paddle_init: bool = False,
        norm: NormFactory = BatchNorm,
    ) -> None:
        super().__init__()
        self.width = in_channels
        self.reduce = linear_norm(in_channels, in_channels, bias=True, norm=norm)
        self.classify = nn.Linear(in_channels, num_classes)
        if paddle_init:
            init_as_paddle(self)

    def forward(self, x: Tensor, sites: Sites, laterals: Sequence[Tensor] = ()) -> BodyOutput:
        x = self.reduce(x)
        return BodyOutput(logits=self.classify(x), features=x)


def init_as_paddle(body: nn.Module) -> None:
    """Initialize the weights of a CTNet body as the released code does.

    Convention:
        Convolutions, and the linear layers that are 1×1 convolutions there, start with a standard deviation of
        0.001 and a bias of 0. Norms undo the scale, but the same learning rate changes such small weights faster.
    """
    for module in body.modules():
        if isinstance(module, nn.Conv1d):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.Conv2d | nn.Linear | SubmanifoldConv):
            nn.init.normal_(module.weight, std=0.001)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in body.modules():
        if isinstance(module, ChannelGate):
            nn.init.xavier_uniform_(module.mix.weight)  # the only layer that is linear there, too
