"""The interface of a segmentation head."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn


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
