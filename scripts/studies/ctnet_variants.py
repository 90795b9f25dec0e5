"""CTNet taken apart: one context module alone, the other order, and other class features; for experiments."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from pcseg.errors import UserError, require_choice
from pcseg.heads.base import BodyOutput
from pcseg.heads.ctnet import EMBEDDING_STD, CTBody
from pcseg.nn.tokens import LocalConv, Sites

Order = Literal["tandem", "channel", "spatial", "swapped"]
"""``tandem``: channel, then spatial context, as published. ``channel``: that module alone. ``spatial``: tokens are
not gated. ``swapped``: spatial, then channel context."""

ClassFeatures = Literal["rank_one", "embedding", "added"]
"""``rank_one``: M = p vᵀ, as published. ``embedding``: M = E, learned, the same for all clouds. ``added``: both."""


class CTVariantBody(CTBody):
    """A :class:`~pcseg.heads.ctnet.CTBody` with parts left out, in another order, or with other class features.

    Args:
        in_channels, num_classes, lateral_channels, conv: See :class:`~pcseg.heads.base.Body`.
        order: See :data:`Order`.
        class_features: What the SCM attends to, see :data:`ClassFeatures`.
        width, key_width, class_weight, class_batch_norm: See :class:`~pcseg.heads.ctnet.CTBody`.

    Convention:
        Parameters have the same names as in the published body. Without CCM there is no CP-loss. In the swapped
        order the SCM runs before there is a channel vector: its class features are the embedding.

    Raises:
        UserError: An unknown value, or an order without class features of that kind.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        lateral_channels: Sequence[int],
        conv: LocalConv,
        *,
        order: Order = "tandem",
        class_features: ClassFeatures = "rank_one",
        width: int = 128,
        key_width: int = 64,
        class_weight: float = 0.1,
        class_batch_norm: bool = False,
    ) -> None:
        require_choice("order", order, Order)
        require_choice("class_features", class_features, ClassFeatures)
        if order == "channel" and class_features != "rank_one":
            raise UserError(f"class_features is {class_features}, but nothing attends to them. Leave it out.")
        if order == "swapped" and class_features != "embedding":
            raise UserError(f"class_features is {class_features}, but the SCM comes first. Choose embedding.")
        super().__init__(
            in_channels, num_classes, lateral_channels, conv,
            width=width, key_width=key_width, class_weight=class_weight, class_batch_norm=class_batch_norm,
        )  # fmt: skip
        self.order, self.described = order, class_features != "embedding"
        self.class_features = "rank_one" if self.described else "embedding"
        if not self.described and order == "spatial":
            self.channel_context = None
        if order == "channel":
            self.spatial_context = None
        self.embedding = None
        if class_features != "rank_one":
            self.embedding = nn.Parameter(EMBEDDING_STD * torch.randn(num_classes, width))

    def forward(self, x: Tensor, sites: Sites, laterals: Sequence[Tensor] = ()) -> BodyOutput:
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
        return BodyOutput(logits=self.classify(x), clouds=clouds, features=x)

    def _attend(self, x: Tensor, described: Tensor | None, sites: Sites, clouds: dict[str, Tensor]) -> Tensor:
        """Return the spatial context of tokens and add its class features to ``clouds``."""
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
        return super().cloud_losses(clouds, y, ptr)
