"""Cross-entropy that stays finite without labels, and class weights from label counts."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pcseg.errors import require_choice
from pcseg.labels import IGNORE_INDEX

WIDE = 64
"""Number of classes from which softmax along rows is the faster one on a CPU; with 13 it is five times slower."""

WeightScheme = Literal["inverse_sqrt", "inverse"]
"""Weight of a class with frequency f: 1/sqrt(f), or 1/(f + 0.02) as in RandLA-Net."""


def cross_entropy(
    logits: Tensor, target: Tensor, *, weight: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """Return the mean cross-entropy over the labeled rows, weighted by class.

    Args:
        logits: ``(N, K)``.
        target: ``(N,)`` int64; :data:`IGNORE_INDEX` is ignored.
        weight: One factor per class, ``(K,)``.
        label_smoothing: Part of the target that is spread evenly over all classes.

    Convention:
        With weights the sum is divided by the sum of the weights of the targets, as in PyTorch. Without any
        labeled row the loss and its gradient are 0; in PyTorch they are NaN. Half precision is computed in
        float32: a sum over the rows of a room overflows float16.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    weight = None if weight is None else weight.to(logits)
    if logits.device.type == "cpu" and logits.shape[1] < WIDE:
        logits, target = logits.t()[None], target[None]
    total = F.cross_entropy(
        logits,
        target,
        weight=weight,
        ignore_index=IGNORE_INDEX,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    labeled = target != IGNORE_INDEX
    norm = labeled.sum() if weight is None else (weight[target.clamp(min=0)] * labeled).sum()
    norm = norm.to(total)
    return total / torch.where(norm > 0, norm, 1)


def class_weights_from_counts(counts: Tensor, scheme: WeightScheme) -> Tensor:
    """Return class weights ``(K,)`` float32 with mean 1 from the number of labeled points of each class.

    A class without points gets weight 0.
    """
    require_choice("loss.class_weights", scheme, WeightScheme)
    counts = counts.to(torch.float64)
    frequency = counts / counts.sum().clamp(min=1)
    raw = frequency.clamp(min=1e-12).rsqrt() if scheme == "inverse_sqrt" else 1 / (frequency + 0.02)
    raw = raw.where(counts > 0, 0)
    return (raw * (counts > 0).sum() / raw.sum().clamp(min=1e-12)).float()
