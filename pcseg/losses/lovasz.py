"""The Lovász-softmax loss: a differentiable surrogate of one minus the mean IoU."""

import torch
from torch import Tensor

from pcseg.labels import IGNORE_INDEX


def lovasz_softmax(logits: Tensor, target: Tensor) -> Tensor:
    """Return the Lovász-softmax loss of logits ``(N, K)`` and targets ``(N,)`` over all labeled rows together.

    Berman et al., *The Lovász-Softmax loss*, CVPR 2018, Eq. 8, 9 and Algorithm 1. All classes are sorted in one
    call. The weights of the errors are constants of the graph, so that backward needs no scatter.

    Convention:
        Softmax over all K classes, mean over the classes that occur in ``target``; :data:`IGNORE_INDEX` is
        ignored. Without labeled rows the loss and its gradient are 0. Half precision is computed in float32.
    """
    labeled = target != IGNORE_INDEX
    dtype = torch.promote_types(logits.dtype, torch.float32)
    if logits.device.type == "cpu":
        logits, target = logits[labeled], target[labeled]
        if target.numel() == 0:
            return logits.sum()
        classes = target.bincount().nonzero()[:, 0]  # many times faster than unique
        losses = _of_classes(_probability(logits, dtype)[classes], target == classes[:, None])
        return losses.sum() / len(classes)
    # A GPU would wait for the numbers of rows and classes: it sorts all, and ignored rows last.
    foreground = target == torch.arange(logits.shape[1], device=target.device)[:, None]
    present = foreground.any(1)
    losses = _of_classes(_probability(logits, dtype), foreground, labeled)
    return losses.where(present[:, None], 0).sum() / present.sum().clamp(min=1)


def _probability(logits: Tensor, dtype: torch.dtype) -> Tensor:
    """Return ``(K, N)``, so that the sort runs along contiguous rows."""
    return logits.t().to(dtype, memory_format=torch.contiguous_format).softmax(0)


def _of_classes(probability: Tensor, foreground: Tensor, labeled: Tensor | None = None) -> Tensor:
    """Return what every row adds to the loss of its classes, ``(K, N)``; rows that are not ``labeled`` add 0."""
    errors = torch.where(foreground, 1 - probability, probability)
    if labeled is not None:
        errors = errors.where(labeled, -1)  # after all others, where the Jaccard loss no longer grows
    order = errors.detach().argsort(dim=1, descending=True)
    steps = jaccard_steps(foreground.gather(1, order), probability.dtype)
    return errors * torch.empty_like(errors).scatter_(1, order, steps)


def jaccard_steps(foreground: Tensor, dtype: torch.dtype) -> Tensor:
    """Return by how much the Jaccard loss grows as rows join the set of errors one by one.

    Args:
        foreground: Whether each row, sorted by error, is of the class, ``(K, N)`` bool.
        dtype: Type of the result ``(K, N)``.
    """
    hits = foreground.cumsum(1)
    rank = torch.arange(1, foreground.shape[1] + 1, device=foreground.device)
    total = hits[:, -1:]
    jaccard = 1 - (total - hits).to(dtype) / (total + rank - hits)
    return jaccard.diff(dim=1, prepend=jaccard.new_zeros(len(jaccard), 1))
