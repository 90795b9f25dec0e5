"""The FCN body: one local convolution and a classifier."""

from collections.abc import Sequence

from torch import Tensor, nn

from pcseg.heads.base import Body, BodyOutput
from pcseg.nn.norms import BatchNorm, ChannelDropout, ConvNorm, NormFactory
from pcseg.nn.tokens import LocalConv, Sites
from pcseg.values import Few, Probability, Weight, checked


@checked("head.body.")
class FCNBody(Body):
    """Local convolution, norm, activation, channel dropout, classifier (Long et al., CVPR 2015).

    Also the auxiliary body of EncNet and CCNet.

    Args:
        in_channels, num_classes, lateral_channels, conv: See :class:`~pcseg.heads.base.Body`.
        width: Channels between convolution and classifier; default: a quarter of ``in_channels``, at least 1.
        bias: Whether the convolution has a bias. Only the auxiliary head of the released CCNet has one.
        deep_weight: Factor of a cross-entropy of the features before dropout, through a classifier of their own.
        dropout: Rate of the channel dropout.
        norm: Makes the norm, see :class:`~pcseg.nn.norms.ConvNorm` for the activation that belongs to it.

    Convention:
        Dropout zeroes whole channels of a cloud, as in the versions that the released weights come from; later
        versions of PyTorch-Encoding drop single elements.
    """

    is_local = True

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        lateral_channels: Sequence[int],
        conv: LocalConv,
        *,
        width: Few | None = None,
        bias: bool = False,
        deep_weight: Weight = 0.0,
        dropout: Probability = 0.1,
        norm: NormFactory = BatchNorm,
    ) -> None:
        super().__init__()
        width = max(1, in_channels // 4) if width is None else width
        self.width, self.deep_weight = width, deep_weight
        self.reduce = ConvNorm(conv(in_channels, width, bias=bias), norm(width))
        self.dropout = ChannelDropout(dropout)
        self.classify = nn.Linear(width, num_classes)
        self.region = nn.Linear(width, num_classes) if deep_weight > 0 else None

    def forward(self, x: Tensor, sites: Sites, laterals: Sequence[Tensor] = ()) -> BodyOutput:
        x = self.reduce(x, sites)
        region = None if self.region is None else self.region(x)
        x = self.dropout(x, sites.ptr)
        return BodyOutput(logits=self.classify(x), features=x, deep_logits=region)
