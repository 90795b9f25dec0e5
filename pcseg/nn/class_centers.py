"""Class probabilities of tokens, and the centers of the classes of every cloud."""

import torch
from torch import Tensor


def class_prob(logits: Tensor, truth: Tensor | None = None) -> Tensor:
    """Return the class probabilities of tokens, ``(N, K)``; half precision becomes float32.

    Args:
        logits: ``(N, K)``.
        truth: Shares of the true classes, which replace the probabilities of every token that has labels, ``(N, K)``;
            a row of zeros has no labels.
    """
    prob = logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(1)
    return prob if truth is None else truth.to(prob).where(truth.any(1, keepdim=True), prob)
