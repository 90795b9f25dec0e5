"""The distillation loss of the context-aware classifier (CAC)."""

import torch
from torch import Tensor

from pcseg.labels import IGNORE_INDEX

SMOOTHING = 0.5
"""Share of the teacher in the target; the rest is the label."""


def distillation_loss(logits: Tensor, teacher: Tensor, y: Tensor) -> Tensor:
    r"""Return the class-wise distillation loss weighted by the entropy of the teacher (Tian et al., AAAI 2023).

    .. math:: \frac{1}{|\{k\}|} \sum_k \frac{\sum_{y_i = k} H(q_i)\, \ell_i}{\sum_{y_i = k} H(q_i)}, \qquad
              \ell_i = -\sum_j \tfrac12 (q_{ij} + [j = y_i]) \log p_{ij}

    with probabilities p of ``logits`` and q of ``teacher``, and the mean over the classes that occur.

    Args:
        logits: ``(N, K)``.
        teacher: ``(N, K)``; it gets no gradient.
        y: Labels, ``(N,)`` int64; :data:`~pcseg.labels.IGNORE_INDEX` is ignored.

    Convention:
        Half precision is computed in float32. Without labels the loss is 0.
    """
    labeled = y != IGNORE_INDEX
    dtype = torch.promote_types(logits.dtype, torch.float32)
    log_prob, target, y = logits[labeled].to(dtype).log_softmax(1), teacher.detach()[labeled], y[labeled]
    target = target.to(dtype).softmax(1)
    weight = torch.special.entr(target).sum(1)
    own = log_prob.gather(1, y[:, None])[:, 0]
    loss = -SMOOTHING * (target * log_prob).sum(1) - (1 - SMOOTHING) * own
    sums = loss.new_zeros(3, logits.shape[1])
    sums = sums.index_add(1, y, torch.stack([weight * loss, weight, torch.ones_like(weight)]))
    return (sums[0] / (sums[1] + 1e-4)).sum() / (sums[2] > 0).sum().clamp(min=1)
