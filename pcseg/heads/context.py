"""The part of a context head that knows neither images nor points."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from pcseg.nn.sites import Sites


@dataclass(kw_only=True)
class ContextOutput:
    """``logits`` (N, K) of the tokens, ``clouds`` by name with one row a cloud, ``embedding`` of the tokens."""

    logits: Tensor
    clouds: dict[str, Tensor] = field(default_factory=dict)
    embedding: Tensor | None = None


class ContextBody(nn.Module, ABC):
    """From tokens to logits: groups tokens, mixes, reads back; local operations are passed in.

    An image head and a point head with the same body have the same parameters, but for the shapes of the
    weights of local convolutions.
    """

    @abstractmethod
    def forward(self, x: Tensor, sites: Sites, laterals: Sequence[Tensor] = ()) -> ContextOutput:
        """Logits of tokens ``x`` ``(N, C)``.

        Args:
            x: Features.
            sites: Where the tokens are.
            laterals: Features of other levels at the same tokens, for bodies that fuse them.
        """

    def cloud_losses(self, clouds: dict[str, Tensor], y: Tensor, ptr: Tensor) -> dict[str, Tensor]:
        """Weighted losses of ``clouds``, given labels ``y`` ``(N,)`` in the clouds ``ptr``."""
        return {}

    def token_losses(self, embedding: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Weighted losses of the embedding of tokens with labels ``y`` ``(N,)``."""
        return {}
