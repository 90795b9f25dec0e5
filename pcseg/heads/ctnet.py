"""The bodies of CTNet: channel context, then spatial context guided by class features."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from pcseg.errors import UserError, require_choice
from pcseg.heads.base import Body, BodyOutput, require_supervision
from pcseg.losses.cloud_classes import class_frequency, class_frequency_loss
from pcseg.nn.channel_context import ChannelContext, ChannelGate
from pcseg.nn.class_centers import ClassCenters, class_prob, true_shares
from pcseg.nn.norms import BatchNorm, ConvNorm, NormFactory, linear_norm
from pcseg.nn.slab_context import SlabContext
from pcseg.nn.sparse_conv import SubmanifoldConv
from pcseg.nn.spatial_context import SpatialContext
from pcseg.nn.tokens import LocalConv, Sites, as_cells
from pcseg.ops.slabs import voxel_slabs
from pcseg.values import Few, Weight, checked

ClassFeatures = Literal["rank_one", "embedding", "centers", "slab"]
"""Features of the classes that tokens read. ``rank_one``: M = p vᵀ, as published. ``embedding``: learned, the same for
all clouds. ``centers``: centers of the classes of the cloud, :class:`~pcseg.nn.class_centers.ClassCenters`. ``slab``:
class shares of slabs, :class:`~pcseg.nn.slab_context.SlabContext`, instead of the SCM."""

EMBEDDING_STD = 0.02
"""Spread of the class embedding at the start: that of p vᵀ for a dozen classes."""


@checked("head.body.")
class CTBody(Body):
    """Local convolution, CCM, SCM, classifier (Li et al., *CTNet: Context-based Tandem Network*, TPAMI 2022).

    Args:
        in_channels, num_classes, lateral_channels, conv: See :class:`~pcseg.heads.base.Body`.
        width: Channels of the context modules; 512 in the released code.
        key_width: Channels of queries, keys and values in the SCM, or of slabs; 256 in the released code.
        class_features: What tokens read, see :data:`ClassFeatures`.
        heads: Heads of the attention to class features; 1 in the released code. Slabs have no such attention.
        true_classes: Compute shares and centers from the true classes of labeled tokens: an upper bound.
        weighted: Weight each token by the part of the cloud that it stands for in means and centers, as
            :class:`~pcseg.heads.encnet.EncBody` does.
        deep_weight: Factor of the cross-entropy of the region logits, from which centers and shares of slabs come; 0
            only if the context trains them.
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
        width: Few = 128,
        key_width: Few = 64,
        class_features: ClassFeatures = "rank_one",
        heads: Few = 1,
        true_classes: bool = False,
        weighted: bool = False,
        deep_weight: Weight = 0.4,
        class_weight: Weight = 0.1,
        class_batch_norm: bool = False,
        paddle_init: bool = False,
        norm: NormFactory = BatchNorm,
    ) -> None:
        super().__init__()
        require_choice("class_features", class_features, ClassFeatures)
        if true_classes and class_features == "embedding":
            raise UserError("true_classes: an embedding has no shares. Choose other class features.")
        if heads > 1 and class_features == "slab":
            raise UserError(f"heads: {heads}, but tokens do not attend to slabs. Leave it out.")
        self.width, self.weighted_means, self.class_weight = width, weighted, class_weight
        self.weighted = weighted or class_features == "slab"
        self.class_features, self.needs_truth = class_features, true_classes
        self.reduce = ConvNorm(conv(in_channels, width, bias=True), norm(width))
        class_norm = norm if class_batch_norm else nn.Identity
        self.channel_context = ChannelContext(width, num_classes, class_norm=class_norm)
        self.spatial_context = self.slab_context = self.embedding = self.centers = self.region = None
        if class_features == "slab":
            self.slab_context = SlabContext(width, num_classes, width=key_width, norm=norm)
        else:
            self.spatial_context = SpatialContext(width, key_width, conv=conv, heads=heads, norm=norm)
        self.classify = nn.Linear(width, num_classes)
        if class_features == "embedding":
            self.embedding = nn.Parameter(EMBEDDING_STD * torch.randn(num_classes, width))
        if class_features == "centers":
            self.centers = ClassCenters(width, num_classes)
        if class_features in ("centers", "slab"):
            require_supervision(deep_weight, context=not true_classes)
            self.region, self.deep_weight = nn.Linear(width, num_classes), deep_weight
        if paddle_init:
            init_as_paddle(self)

    def forward(
        self,
        x: Tensor,
        sites: Sites,
        laterals: Sequence[Tensor] = (),
        *,
        truth: Tensor | None = None,
        weight: Tensor | None = None,
    ) -> BodyOutput:
        size, weight = weight, weight if self.weighted_means else None
        x, shares, class_features = self.channel_context(self.reduce(x, sites), sites.ptr, weight=weight)
        clouds = {"class_prob": shares}
        region = None
        if self.region is not None:
            region = self.region(x)
            prob = class_prob(region, truth)
            if self.slab_context is not None:
                slabs = voxel_slabs(as_cells(sites, body="CTBody", parts="slabs"))
                tables = self.slab_context.tables(x, prob, slabs)
                x = self.slab_context(x, slabs, tables, weight=size)
            elif self.centers is not None:
                class_features = self.centers(x, prob, sites.ptr, weight=weight)
        elif self.embedding is not None:
            class_features = self.embedding.expand_as(class_features)
        elif truth is not None:
            vector = class_features.sum(1, keepdim=True)  # p vᵀ, and p sums to one
            counted = truth if weight is None else truth * weight[:, None]
            class_features = true_shares(shares, counted, sites.ptr)[:, :, None] * vector
        if self.spatial_context is not None:
            clouds["class_features"] = class_features
            x = self.spatial_context(x, class_features, sites)
        return BodyOutput(logits=self.classify(x), clouds=clouds, features=x, deep_logits=region)

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

    is_local = True

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
