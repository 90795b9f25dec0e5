"""Cross-entropy of an auxiliary head, for tokens and for images."""

import torch.nn.functional as F
from torch import Tensor

from pcseg.losses.cross_entropy import cross_entropy


def auxiliary_loss(logits: Tensor, y: Tensor, *, align_corners: bool = False) -> Tensor:
    """Mean cross-entropy over the labelled tokens ``(N,)`` or pixels ``(B, H, W)``.

    Args:
        logits: ``(N, K)``, or ``(B, K, h, w)`` of any size: resized to that of ``y``.
        y: Labels, -1 is ignored.
        align_corners: How images are resized.
    """
    if logits.ndim == 4:
        if logits.shape[2:] != y.shape[1:]:
            logits = F.interpolate(logits, y.shape[1:], mode="bilinear", align_corners=align_corners)
        logits, y = logits.permute(0, 2, 3, 1).flatten(0, 2), y.flatten()
    return cross_entropy(logits, y)
