"""The body of EncNet: an encoding of the whole cloud gates the channels and predicts which classes occur."""

from collections.abc import Sequence

from torch import Tensor, nn

from pcseg.heads.base import Body, BodyOutput
from pcseg.losses.cloud_classes import class_presence, presence_loss
from pcseg.nn.encoding import Assignment, ContextEncoding
from pcseg.nn.norms import BatchNorm, ChannelDropout, ConvNorm, NormFactory, linear_norm
from pcseg.nn.tokens import LocalConv, Sites
from pcseg.values import Few, PositiveInt, Probability, Weight, checked


@checked("head.body.")
class EncBody(Body):
    """Local convolution, context encoding, classifier (Zhang et al., *EncNet*, CVPR 2018, Figure 2).

    Args:
        in_channels, num_classes, lateral_channels, conv: See :class:`~pcseg.heads.base.Body`.
        width: Channels of the context module; 512 in the paper.
        num_codewords: Size of the codebook.
        reference_size: Number of tokens that encodings are scaled to, so that they do not depend on the size of
            the cloud; ``None``: not scaled, as in the paper.
        assignment, restart: See :class:`~pcseg.nn.encoding.EncodingLayer`.
        sum_codewords, pure_gate: See :class:`~pcseg.nn.encoding.ContextEncoding`.
        weighted: Weight each token by the number of voxels of the finest level that it contains, or raw points by one
            over the number of points in their cell, so that encodings measure the cloud and not its tokens. No effect
            on images, whose pixels all weigh the same.
        presence_weight: Factor of the SE-loss; 0 removes its branch.
        dropout: Rate of the channel dropout, see :class:`~pcseg.heads.fcn.FCNBody`.
        norm: Makes the norms.
    """

    fuses = True

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        lateral_channels: Sequence[int],
        conv: LocalConv,
        *,
        width: Few = 128,
        num_codewords: Few = 32,
        reference_size: PositiveInt | None = 3600,
        assignment: Assignment = "distance",
        restart: bool = False,
        sum_codewords: bool = False,
        pure_gate: bool = False,
        weighted: bool = False,
        presence_weight: Weight = 0.2,
        dropout: Probability = 0.1,
        norm: NormFactory = BatchNorm,
    ) -> None:
        super().__init__()
        self.width, self.weighted, self.presence_weight = width, weighted, presence_weight
        self.reduce = ConvNorm(conv(in_channels, width, bias=False), norm(width))
        connect = [linear_norm(channels, width, bias=False, norm=norm) for channels in lateral_channels]
        self.connect = nn.ModuleList(connect)
        self.fuse = None
        if lateral_channels:
            total = width * (1 + len(lateral_channels))
            self.fuse = ConvNorm(conv(total, width, bias=False), norm(width))
        self.context = ContextEncoding(
            width,
            num_codewords,
            num_classes=num_classes if presence_weight > 0 else None,
            reference_size=reference_size,
            assignment=assignment,
            restart=restart,
            sum_codewords=sum_codewords,
            pure_gate=pure_gate,
            norm=norm,
        )
        self.dropout = ChannelDropout(dropout)
        self.classify = nn.Linear(width, num_classes)

    def forward(
        self, x: Tensor, sites: Sites, laterals: Sequence[Tensor] = (), *, weight: Tensor | None = None
    ) -> BodyOutput:
        x = self.reduce(x, sites)
        if self.fuse is not None:
            lateral = [connect(features) for connect, features in zip(self.connect, laterals, strict=True)]
            x = self.fuse([x, *lateral], sites)
        x, presence = self.context(x, sites.ptr, weight)
        clouds = {} if presence is None else {"presence": presence}
        x = self.dropout(x, sites.ptr)
        return BodyOutput(logits=self.classify(x), clouds=clouds, features=x)

    def cloud_losses(self, clouds: dict[str, Tensor], y: Tensor, ptr: Tensor) -> dict[str, Tensor]:
        if self.presence_weight == 0:
            return {}
        logits = clouds["presence"]
        presence = class_presence(y, ptr, logits.shape[1])
        return {"presence": self.presence_weight * presence_loss(logits, presence)}
