"""Cross-entropy that stays finite without labels, and class weights from label counts."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pcseg.labels import IGNORE_INDEX

WIDE = 64
"""From so many classes on a CPU's softmax is faster along rows; with 13 it is five times slower than along columns."""

WeightScheme = Literal["inverse_sqrt", "inverse"]
"""How the weight of a class falls with its share f: 1/sqrt(f), or 1/(f + 0.02) as in RandLA-Net."""


def cross_entropy(
    logits: Tensor, target: Tensor, *, weight: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """Mean cross-entropy over the labelled rows, weighted by class.

    Args:
        logits: ``(N, K)``, not normalised.
        target: ``(N,)`` int64; :data:`IGNORE_INDEX` rows do not count.
        weight: ``(K,)``, one factor a class.
        label_smoothing: Share of the target spread evenly over all classes.

    Convention:
        With weights the sum is divided by the sum of the weights of the targets, as PyTorch does. Without a
        single labelled row PyTorch gives nan; here the loss is 0 and its gradient zero. Half precision goes
        through float32: a sum over the rows of a room is beyond float16.
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
    labelled = target != IGNORE_INDEX
    if weight is None:
        norm = labelled.sum().to(total)
    else:
        norm = (weight[target.clamp(min=0)] * labelled).sum().to(total)
    return total / torch.where(norm > 0, norm, 1)


def class_weights_from_counts(counts: Tensor, scheme: WeightScheme) -> Tensor:
    """Weights ``(K,)`` float32 with mean 1 from the labelled points of each class; 0 for one without any."""
    counts = counts.to(torch.float64)
    share = counts / counts.sum().clamp(min=1)
    raw = share.clamp(min=1e-12).rsqrt() if scheme == "inverse_sqrt" else 1 / (share + 0.02)
    raw = raw.where(counts > 0, 0)
    return (raw * (counts > 0).sum() / raw.sum().clamp(min=1e-12)).float()
