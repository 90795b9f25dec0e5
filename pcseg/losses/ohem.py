"""Online hard example mining (OHEM): cross-entropy of the tokens that the model is least sure of."""

import torch
from torch import Tensor

from pcseg.labels import IGNORE_INDEX


def hard_labels(logits: Tensor, y: Tensor, *, threshold: float, min_kept: int) -> Tensor:
    """Return labels in which all but the hard tokens are ignored, as in CCNet's training.

    Args:
        logits: ``(N, K)``.
        y: Labels, ``(N,)``; :data:`IGNORE_INDEX` is ignored.
        threshold: Tokens whose true class has at most this probability are hard.
        min_kept: Keep at least this number of tokens, the hardest ones.

    Convention:
        The threshold is computed from all labeled tokens. CCNet computes it from images zoomed to 1/8 to save time.
    """
    prob = true_class_prob(logits, y)
    limit = hard_threshold(prob[y != IGNORE_INDEX], threshold=threshold, min_kept=min_kept)
    return keep_hard(prob, y, limit)


def true_class_prob(logits: Tensor, y: Tensor) -> Tensor:
    """Return the softmax probability of the labeled class of each token, ``(N,)``, without gradient."""
    with torch.no_grad():
        dtype = torch.promote_types(logits.dtype, torch.float32)
        return logits.to(dtype).softmax(1).gather(1, y.clamp(min=0)[:, None])[:, 0]


def hard_threshold(prob: Tensor, *, threshold: float, min_kept: int) -> Tensor:
    """Return the probability up to which a token is hard, so that at least ``min_kept`` tokens are.

    Args:
        prob: Probabilities of the true classes, ``(N,)``.
        threshold: Lowest value returned.
        min_kept: If there are no more tokens than this, the result is 1 and all are hard.
    """
    if min_kept >= len(prob):
        return prob.new_ones(())
    floor = prob.new_tensor(threshold)
    if min_kept == 0:
        return floor
    return torch.maximum(prob.kthvalue(min_kept).values, floor)


def keep_hard(prob: Tensor, y: Tensor, threshold: Tensor) -> Tensor:
    """Return labels ``y`` ``(N,)`` in which tokens with ``prob`` above ``threshold`` are ignored."""
    return torch.where((y != IGNORE_INDEX) & (prob <= threshold), y, IGNORE_INDEX)
