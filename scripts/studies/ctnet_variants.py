"""CTNet taken apart: one context module alone, the other order, and other class features; for experiments."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from pcseg.errors import UserError
from pcseg.heads.context import ContextBody, ContextOutput
from pcseg.heads.ctnet import CTBody, PointCTHead, class_prob_losses
from pcseg.nn.channel_context import ChannelContext
from pcseg.nn.sites import Sites
from pcseg.nn.spatial_context import SpatialContext

Order = Literal["tandem", "channel", "spatial", "swapped"]
"""``tandem``: channel, then spatial context, as published. ``channel``: that module alone. ``spatial``: tokens are
not gated. ``swapped``: spatial, then channel context."""

ClassFeatures = Literal["rank_one", "embedding", "added"]
"""``rank_one``: M = p vᵀ, as published. ``embedding``: M = E, learned, the same for all clouds. ``added``: both."""

EMBEDDING_STD = 0.02
"""Spread of the class embedding at the start: that of p vᵀ for a dozen classes, so that neither drowns the other."""


class CTVariantBody(ContextBody):
    """A :class:`~pcseg.heads.ctnet.CTBody` with parts left out, in another order, or with other class features.

    Args:
        published: Whose modules and weight of the CP-loss are taken.
        order: See :data:`Order`.
        class_features: What the SCM attends to; see :data:`ClassFeatures`.

    Convention:
        Parameters have the names that they have in the published body. Without CCM there is no CP-loss. In the
        swapped order the SCM comes before there is a channel vector: its class features are the embedding.

    Raises:
        UserError: An order without class features of that kind.
    """

    channel_context: ChannelContext | None
    spatial_context: SpatialContext | None

    def __init__(self, published: CTBody, *, order: Order, class_features: ClassFeatures) -> None:
        super().__init__()
        if order == "channel" and class_features != "rank_one":
            raise UserError(
                f"head.class_features is {class_features}, but nothing attends to them; leave it out"
            )
        if order == "swapped" and class_features != "embedding":
            raise UserError(
                f"head.class_features is {class_features}, but the SCM comes first: choose embedding"
            )
        self.order, self.described = order, class_features != "embedding"
        self.class_weight = published.class_weight
        self.reduce = published.reduce
        needs_channels = self.described or order != "spatial"
        self.channel_context = published.channel_context if needs_channels else None
        self.spatial_context = published.spatial_context if order != "channel" else None
        self.embedding = None
        if class_features != "rank_one":
            shape = (published.classify.out_features, published.classify.in_features)
            self.embedding = nn.Parameter(EMBEDDING_STD * torch.randn(shape))
        self.classify = published.classify

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
        return class_prob_losses(clouds["class_prob"], y, ptr, weight=self.class_weight)


class PointCTVariantHead(PointCTHead):
    """:class:`~pcseg.heads.ctnet.PointCTHead` taken apart; as published by default.

    Args:
        channels: Widths of the levels, finest first.
        num_classes: K.
        order: Which context modules, and which comes first; see :data:`Order`.
        class_features: What the SCM attends to; see :data:`ClassFeatures`.
        level: This and all that follow are those of :class:`~pcseg.heads.ctnet.PointCTHead`.
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
        super().__init__(
            channels,
            num_classes,
            level=level,
            width=width,
            key_width=key_width,
            class_weight=class_weight,
            class_batch_norm=class_batch_norm,
            aux_level=aux_level,
            aux_weight=aux_weight,
        )
        assert isinstance(self.body, CTBody)
        self.body = CTVariantBody(self.body, order=order, class_features=class_features)
