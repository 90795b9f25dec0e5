"""The interfaces of a segmentation head, and of the part of a context head that points and images share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from pcseg.errors import UserError, require
from pcseg.nn.tokens import LocalConv, Sites


@dataclass(kw_only=True)
class HeadOutput:
    """Logits of a batch, and the tensors that the head's own losses need.

    Args:
        logits: ``(N, K)``; row i belongs to row i of ``batch.y``.
        aux: Further tensors by name.
    """

    logits: Tensor
    aux: dict[str, Tensor] = field(default_factory=dict)


class Head(nn.Module, ABC):
    """Computes logits from the features of a backbone and defines its own losses.

    The first two constructor arguments are the channels of the features, finest first, and the number of
    classes. Options are keyword-only.
    """

    @property
    def is_local(self) -> bool:
        """Whether logits depend on a neighborhood only, not on the whole cloud."""
        return True

    @abstractmethod
    def forward(self, levels: Any, batch: Any) -> HeadOutput:
        """Return logits ``(N, K)`` whose rows match ``batch.y``.

        Args:
            levels: Features returned by the backbone, finest first: a list of
                :class:`~pcseg.nn.levels.Level` for points, of tensors ``(B, C, H, W)`` for images.
            batch: The batch that the backbone saw.
        """

    def losses(self, output: HeadOutput, batch: Any) -> dict[str, Tensor]:
        """Return weighted losses by name; training adds them to the segmentation loss of the logits."""
        return {}


@dataclass(kw_only=True)
class BodyOutput:
    """Output of a body.

    Args:
        logits: Class logits of the tokens, ``(N, K)``.
        clouds: Tensors with one row per cloud, by name.
        embedding: Features of the tokens for losses on them, ``(N, D)``.
        features: Features that the classifier gets, ``(N, width)``, for the fine fusion of adapters.
        deep_logits: Class logits of an earlier layer, ``(N, K)``, which are trained by their own cross-entropy.
    """

    logits: Tensor
    clouds: dict[str, Tensor] = field(default_factory=dict)
    embedding: Tensor | None = None
    features: Tensor | None = None
    deep_logits: Tensor | None = None


class Body(nn.Module, ABC):
    """Maps tokens to logits. Tokens are voxels or pixels; local convolutions are passed in.

    The constructor takes ``(in_channels, num_classes, lateral_channels, conv)`` and keyword-only options:

    - ``in_channels``: channels of the tokens,
    - ``num_classes``: K,
    - ``lateral_channels``: channels of each lateral input, for bodies that fuse other levels,
    - ``conv``: factory of the local convolutions.

    The same body on points and on images has the same parameters, except for the shapes of the weights of local
    convolutions.
    """

    width: int
    """Channels of :attr:`BodyOutput.features`."""

    weighted: bool = False
    """Whether :meth:`forward` takes a keyword ``weight``: the weight of each token in its cloud, ``(N,)``."""

    fuses: bool = False
    """Whether :meth:`forward` reads ``laterals``; adapters refuse them otherwise."""

    is_local: bool = False
    """Whether logits depend on a neighborhood only, not on the whole cloud."""

    deep_weight: float = 0.0
    """Factor of the cross-entropy of :attr:`BodyOutput.deep_logits`."""

    needs_truth: bool = False
    """Whether :meth:`forward` takes a keyword ``truth``: the shares of the true classes in each token, ``(N, K)``,
    zeros without labels."""

    @abstractmethod
    def forward(self, x: Tensor, sites: Sites, laterals: Sequence[Tensor] = ()) -> BodyOutput:
        """Compute the logits of tokens.

        Args:
            x: Features of the tokens, ``(N, C)``.
            sites: Positions of the tokens.
            laterals: Features of other levels at the same tokens.
        """

    def cloud_losses(self, clouds: dict[str, Tensor], y: Tensor, ptr: Tensor) -> dict[str, Tensor]:
        """Return weighted losses of ``clouds``, given labels ``y`` ``(N,)`` of the clouds ``ptr``."""
        return {}

    def token_losses(self, embedding: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Return weighted losses of the embeddings of tokens with labels ``y`` ``(N,)``."""
        return {}


def require_fusion(body: Body, laterals: Sequence[int]) -> None:
    """Reject levels that a body does not read."""
    if laterals and not body.fuses:
        raise UserError(f"head.laterals: {type(body).__name__} fuses no other levels. Leave it out.")


def require_supervision(deep_weight: float, *, context: bool) -> None:
    """Reject a factor of the loss of class probabilities that leaves them untrained.

    Args:
        deep_weight: The factor.
        context: Whether a context that reads the probabilities trains them, too.
    """
    choose = "Nothing else trains the class probabilities: choose a factor > 0."
    require(deep_weight > 0 or context, "deep_weight", deep_weight, choose)


BodyFactory = Callable[[int, int, Sequence[int], LocalConv], Body]
"""Takes ``(in_channels, num_classes, lateral_channels, conv)``; a class of bodies, with or without its options."""
