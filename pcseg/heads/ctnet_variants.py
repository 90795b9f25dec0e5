"""CTNet taken apart: one context module alone, the other order, and other class features; for experiments."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from pcseg.errors import UserError
from pcseg.heads.context import ContextBody, ContextOutput
from pcseg.heads.ctnet import PointwiseBody
from pcseg.heads.point_base import PointContextHead
from pcseg.losses.class_frequency import class_frequency, class_frequency_loss
from pcseg.nn.channel_context import ChannelContext
from pcseg.nn.norms import BatchNorm, ConvNorm, NormFactory
from pcseg.nn.sites import LocalConv, Sites
from pcseg.nn.sparse_conv import SubmanifoldConv
from pcseg.nn.spatial_context import SpatialContext

Order = Literal["tandem", "channel", "spatial", "swapped"]
"""``tandem``: channel, then spatial context, as published. ``channel``: that module alone. ``spatial``: tokens are
not gated. ``swapped``: spatial, then channel context."""

ClassFeatures = Literal["rank_one", "embedding", "added"]
"""``rank_one``: M = p vᵀ, as published. ``embedding``: M = E, learned, the same for all clouds. ``added``: both."""

EMBEDDING_STD = 0.02
"""Spread of the class embedding at the start: that of p vᵀ for a dozen classes, so that neither drowns the other."""


class CTVariantBody(ContextBody):
    """:class:`~pcseg.heads.ctnet.CTBody` with parts left out, in another order, or with other class features.

    Args:
        in_channels: Width of the tokens.
        num_classes: K.
        conv: Makes the local convolutions.
        channels: Width of the context modules.
        key_channels: Width of queries, keys and values in the SCM.
        class_weight: Factor of the CP-loss.
        order: See :data:`Order`.
        class_features: What the SCM attends to; see :data:`ClassFeatures`.
        norm: Makes the norms.
        class_norm: Makes the norm of the class scores.

    Convention:
        As published the parameters have the names of the published body. Without CCM there is no CP-loss. In the
        swapped order the SCM comes before there is a channel vector: its class features are the embedding.

    Raises:
        UserError: An order without class features of that kind.
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
        order: Order = "tandem",
        class_features: ClassFeatures = "rank_one",
        norm: NormFactory = BatchNorm,
        class_norm: NormFactory = BatchNorm,
    ) -> None:
        super().__init__()
        if order == "channel" and class_features != "rank_one":
            raise UserError(
                f"head.class_features is {class_features}, but nothing attends to them; leave it out"
            )
        if order == "swapped" and class_features != "embedding":
            raise UserError(
                f"head.class_features is {class_features}, but the SCM comes first: choose embedding"
            )
        self.class_weight, self.order = class_weight, order
        self.reduce = ConvNorm(conv(in_channels, channels, bias=True), norm(channels), nn.ReLU())
        described = class_features != "embedding"
        self.channel_context, self.spatial_context, self.embedding = None, None, None
        if described or order != "spatial":
            self.channel_context = ChannelContext(channels, num_classes, class_norm=class_norm)
        if order != "channel":
            self.spatial_context = SpatialContext(channels, key_channels, conv=conv, norm=norm)
        if class_features != "rank_one":
            self.embedding = nn.Parameter(EMBEDDING_STD * torch.randn(num_classes, channels))
        self.described = described
        self.classify = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor, sites: Sites, laterals: Sequence[Tensor] = ()) -> ContextOutput:
        x = self.reduce(x, sites)
        clouds: dict[str, Tensor] = {}
        if self.order == "swapped":
            x = self._attend(x, None, sites, clouds)
        described = None
        if self.channel_context is not None:
            gated, clouds["class_prob"], described = self.channel_context(x, sites.ptr)
            x = x if self.order == "spatial" else gated
        if self.order in ("tandem", "spatial"):
            x = self._attend(x, described, sites, clouds)
        return ContextOutput(logits=self.classify(x), clouds=clouds)

    def _attend(self, x: Tensor, described: Tensor | None, sites: Sites, clouds: dict[str, Tensor]) -> Tensor:
        """Spatial context of tokens; its class features are put into ``clouds``."""
        features = described if self.described else None
        if self.embedding is not None:
            embedded = self.embedding.expand(len(sites.ptr) - 1, -1, -1)
            features = embedded if features is None else features + embedded
        assert features is not None, "checked when built"
        assert self.spatial_context is not None, "only left out where nothing attends"
        clouds["class_features"] = features
        return self.spatial_context(x, features, sites)

    def cloud_losses(self, clouds: dict[str, Tensor], y: Tensor, ptr: Tensor) -> dict[str, Tensor]:
        if "class_prob" not in clouds:
            return {}
        prob = clouds["class_prob"]
        frequency = class_frequency(y, ptr, prob.shape[1])
        return {"class_frequency": self.class_weight * class_frequency_loss(prob, frequency)}


class PointCTVariantHead(PointContextHead):
    """:class:`~pcseg.heads.ctnet.PointCTHead` taken apart; as published by default.

    Args:
        channels: Widths of the levels, finest first.
        num_classes: K.
        order: Which context modules, and which comes first; see :data:`Order`.
        class_features: What the SCM attends to; see :data:`ClassFeatures`.
        level: Level that the context modules work on.
        width: Width of the context modules.
        key_width: Width of queries, keys and values.
        class_weight: Factor of the CP-loss.
        class_batch_norm: Normalise the class scores over the clouds of a batch, as published.
        aux_level: Level of the auxiliary head; ``None`` for no such head.
        aux_weight: Factor of the auxiliary cross-entropy.
    """

    def __init__(
        self,
        channels: Sequence[int],
        num_classes: int,
        *,
        order: Order = "tandem",
        class_features: ClassFeatures = "rank_one",
        level: int = 2,
        width: int = 128,
        key_width: int = 64,
        class_weight: float = 0.1,
        class_batch_norm: bool = False,
        aux_level: int | None = None,
        aux_weight: float = 0.3,
    ) -> None:
        super().__init__(channels, num_classes, level=level, aux_level=aux_level, aux_weight=aux_weight)
        self.body = CTVariantBody(
            channels[level],
            num_classes,
            conv=SubmanifoldConv,
            channels=width,
            key_channels=key_width,
            class_weight=class_weight,
            order=order,
            class_features=class_features,
            class_norm=BatchNorm if class_batch_norm else nn.Identity,
        )
        if aux_level is not None:
            self.auxiliary = PointwiseBody(channels[aux_level], num_classes)
