"""The segmentation loss: a weighted sum of cross-entropy and Lovász-softmax, reported by name."""

from typing import Annotated

import torch
from torch import Tensor, nn

from pcseg.errors import UserError, require
from pcseg.losses.cross_entropy import WeightScheme, class_weights_from_counts, cross_entropy
from pcseg.losses.lovasz import lovasz_softmax
from pcseg.losses.ohem import hard_labels
from pcseg.values import PositiveInt, Range, Share, Weight, checked


class SegmentationLoss(nn.Module):
    """Weighted sum of cross-entropy and Lovász-softmax, as named terms.

    Args:
        class_counts: Number of training points of every class, ``(K,)``.
        ce: Factor of the cross-entropy.
        lovasz: Factor of the Lovász-softmax loss.
        lovasz_every: Compute Lovász-softmax on every n-th row only. On a CPU, sorting all pixels of an image takes
            longer than a small network.
        label_smoothing: Part of the target that the cross-entropy spreads over all classes.
        class_weights: Class weights of the cross-entropy: a list, or the scheme that derives them from
            ``class_counts``. Lovász-softmax treats all classes alike.
        hard_threshold: Ignore in the cross-entropy rows that are right with more than this probability (online
            hard example mining, :mod:`pcseg.losses.ohem`); default: ignore none.
        min_hard: Keep at least this number of rows, the hardest ones.

    Raises:
        UserError: A factor is out of range, both terms are off, or the number of class weights is wrong.
    """

    weight: Tensor | None

    @checked("loss.")
    def __init__(
        self,
        class_counts: Tensor,
        *,
        ce: Weight = 1.0,
        lovasz: Weight = 1.0,
        lovasz_every: PositiveInt = 1,
        label_smoothing: Share = 0.0,
        class_weights: list[Weight] | WeightScheme | None = None,
        hard_threshold: Annotated[float, Range(0, 1, "low")] | None = None,
        min_hard: PositiveInt = 100_000,
    ) -> None:
        super().__init__()
        require(
            ce + lovasz > 0, "loss.ce, loss.lovasz", f"{ce}, {lovasz}", "Choose factors that are not both 0."
        )
        if isinstance(class_weights, list) and len(class_weights) != len(class_counts):
            raise UserError(
                f"loss.class_weights: {len(class_weights)} values for {len(class_counts)} classes. "
                "Give one value per class."
            )
        self.ce = ce
        self.lovasz, self.lovasz_every = lovasz, lovasz_every
        self.label_smoothing = label_smoothing
        self.hard_threshold, self.min_hard = hard_threshold, min_hard
        if isinstance(class_weights, str):
            weight = class_weights_from_counts(class_counts, class_weights)
        else:
            weight = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        # Not stored in checkpoints: it follows from the configuration and the data.
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the weighted terms by name for logits ``(N, K)`` and targets ``(N,)``; their sum is the loss."""
        losses = {}
        if self.ce > 0:
            hard = target
            if self.hard_threshold is not None:
                hard = hard_labels(logits, target, threshold=self.hard_threshold, min_kept=self.min_hard)
            losses["ce"] = self.ce * cross_entropy(
                logits, hard, weight=self.weight, label_smoothing=self.label_smoothing
            )
        if self.lovasz > 0:
            losses["lovasz"] = self.lovasz * lovasz_softmax(
                logits[:: self.lovasz_every], target[:: self.lovasz_every]
            )
        return losses
