"""The loss of a segmentor's logits: cross-entropy and Lovász-softmax, weighted and named."""

import torch
from torch import Tensor, nn

from pcseg.errors import UserError
from pcseg.labels import IGNORE_INDEX
from pcseg.losses.cross_entropy import WeightScheme, class_weights_from_counts, cross_entropy
from pcseg.losses.lovasz import lovasz_softmax
from pcseg.losses.ohem import hard_threshold as find_threshold
from pcseg.losses.ohem import keep_hard, true_class_prob


class SegmentationLoss(nn.Module):
    """Weighted sum of cross-entropy and Lovász-softmax, as named terms.

    Args:
        class_counts: Number of training points of every class, ``(K,)``.
        ce: Factor of the cross-entropy.
        lovasz: Factor of the Lovász-softmax loss.
        lovasz_every: Lovász-softmax sees one row in so many: sorting all pixels of an image costs more than a small
            network on a CPU.
        label_smoothing: Share of the target that the cross-entropy spreads over all classes.
        class_weights: Weights of the classes in the cross-entropy: a list, or the rule that derives them from
            ``class_counts``. Lovász-softmax treats classes alike.
        hard_threshold: Leave out of the cross-entropy what is right with more than this probability (online hard
            example mining, see :mod:`pcseg.losses.ohem`); nothing without a value.
        min_hard: Keep at least so many, the hardest ones.

    Raises:
        UserError: A factor out of range, both terms off, or not one weight a class.
    """

    weight: Tensor | None

    def __init__(
        self,
        class_counts: Tensor,
        *,
        ce: float = 1.0,
        lovasz: float = 1.0,
        lovasz_every: int = 1,
        label_smoothing: float = 0.0,
        class_weights: list[float] | WeightScheme | None = None,
        hard_threshold: float | None = None,
        min_hard: int = 100_000,
    ) -> None:
        super().__init__()
        if hard_threshold is not None and not 0 < hard_threshold <= 1:
            raise UserError(f"loss.hard_threshold is {hard_threshold}; choose a probability in (0, 1]")
        if not 0 <= label_smoothing < 1:
            raise UserError(f"loss.label_smoothing is {label_smoothing}; choose a value in [0, 1)")
        if min(ce, lovasz) < 0 or max(ce, lovasz) == 0:
            raise UserError(f"loss.ce is {ce} and loss.lovasz {lovasz}; choose factors >= 0, not both 0")
        if lovasz_every < 1:
            raise UserError(f"loss.lovasz_every is {lovasz_every}; choose 1 for all rows, or more")
        if isinstance(class_weights, list) and len(class_weights) != len(class_counts):
            raise UserError(
                f"loss.class_weights has {len(class_weights)} values for {len(class_counts)} classes"
            )
        self.ce = ce
        self.lovasz, self.lovasz_every = lovasz, lovasz_every
        self.label_smoothing = label_smoothing
        self.hard_threshold, self.min_hard = hard_threshold, min_hard
        if isinstance(class_weights, str):
            weight = class_weights_from_counts(class_counts, class_weights)
        else:
            weight = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        # derived from configuration and data, so it stays out of checkpoints
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Weighted terms by name of logits ``(N, K)`` and targets ``(N,)``; their sum is the loss."""
        losses = {}
        if self.ce > 0:
            hard = self._hard(logits, target)
            losses["ce"] = self.ce * cross_entropy(
                logits, hard, weight=self.weight, label_smoothing=self.label_smoothing
            )
        if self.lovasz > 0:
            losses["lovasz"] = self.lovasz * lovasz_softmax(
                logits[:: self.lovasz_every], target[:: self.lovasz_every]
            )
        return losses

    def _hard(self, logits: Tensor, target: Tensor) -> Tensor:
        """Targets of what the cross-entropy sees, the others ignored."""
        if self.hard_threshold is None:
            return target
        prob = true_class_prob(logits, target)[target != IGNORE_INDEX]
        return keep_hard(
            logits, target, find_threshold(prob, threshold=self.hard_threshold, min_kept=self.min_hard)
        )
