"""Online hard example mining: cross-entropy of the tokens that the model is least sure of."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pcseg.labels import IGNORE_INDEX
from pcseg.losses.cross_entropy import cross_entropy


def hard_threshold(prob: Tensor, *, threshold: float, min_kept: int) -> Tensor:
    """Probability up to which a token counts as hard; at least ``min_kept`` tokens do.

    Args:
        prob: Probabilities of the true classes, ``(N,)``.
        threshold: Tokens up to this probability are hard anyhow.
        min_kept: How many tokens to keep; 1 keeps all if there are no more than these.
    """
    if min_kept >= len(prob):
        return prob.new_ones(())
    floor = prob.new_tensor(threshold)
    if min_kept == 0:
        return floor
    return torch.maximum(prob.kthvalue(min_kept).values, floor)


def keep_hard(logits: Tensor, y: Tensor, threshold: Tensor) -> Tensor:
    """Labels ``y`` ``(N,)`` with those ignored whose true class has a probability above ``threshold``."""
    prob = true_class_prob(logits, y)
    return torch.where((y != IGNORE_INDEX) & (prob <= threshold), y, IGNORE_INDEX)


def true_class_prob(logits: Tensor, y: Tensor) -> Tensor:
    """Softmax probability of the labelled class of each token, ``(N,)``, without gradient."""
    with torch.no_grad():
        dtype = torch.promote_types(logits.dtype, torch.float32)
        return logits.to(dtype).softmax(1).gather(1, y.clamp(min=0)[:, None])[:, 0]


def ohem_cross_entropy(logits: Tensor, y: Tensor, *, threshold: float = 0.7, min_kept: int) -> Tensor:
    """Mean cross-entropy over the hard tokens (as in CCNet's recipe).

    Args:
        logits: ``(N, K)``, not normalised.
        y: Labels, ``(N,)``; :data:`IGNORE_INDEX` is ignored.
        threshold: Tokens whose true class has at most this probability are hard.
        min_kept: At least so many tokens are kept, the hardest ones.

    Convention:
        All labelled tokens set the threshold. CCNet takes it from images zoomed to 1/8 to save time: see
        :func:`zoomed_threshold`.
    """
    prob = true_class_prob(logits, y)[y != IGNORE_INDEX]
    hard = hard_threshold(prob, threshold=threshold, min_kept=min_kept)
    return cross_entropy(logits, keep_hard(logits, y, hard))


def zoomed_threshold(
    logits: Tensor, y: Tensor, *, threshold: float, min_kept: int, factor: int = 8
) -> Tensor:
    """:func:`hard_threshold` of images ``(B, K, H, W)`` made ``factor`` times smaller, as CCNet takes it.

    Convention:
        Corner pixels stay corner pixels; probabilities are interpolated, labels ``(B, H, W)`` are those of the
        nearest pixel. ``min_kept`` counts full-size pixels.
    """
    size = [round(edge / factor) for edge in y.shape[1:]]
    with torch.no_grad():
        prob = logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(1)
        prob = F.interpolate(prob, size, mode="bilinear", align_corners=True)
    y = corner_aligned_labels(y, size)
    true_prob = prob.gather(1, y.clamp(min=0)[:, None])[:, 0]
    kept = min_kept // factor**2
    return hard_threshold(true_prob[y != IGNORE_INDEX], threshold=threshold, min_kept=kept)


def corner_aligned_labels(y: Tensor, size: Sequence[int]) -> Tensor:
    """Labels ``(B, H, W)`` at another size ``(B, h, w)``: the nearest ones, corners stay corners."""
    rows, columns = (_corner_aligned(old, new, y.device) for old, new in zip(y.shape[1:], size))
    return y[:, rows[:, None], columns]


def _corner_aligned(old: int, new: int, device: torch.device) -> Tensor:
    """Nearest of ``old`` places for each of ``new`` places that cover the same span, ``(new,)``."""
    step = (old - 1) / (new - 1) if new > 1 else 0.0
    return (torch.arange(new, device=device, dtype=torch.float64) * step + 0.5).floor().long()
