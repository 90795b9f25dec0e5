"""The semantic encoding loss (SE-loss) of EncNet: which classes does a cloud hold?"""

import torch.nn.functional as F
from torch import Tensor

from pcseg.losses.class_counts import class_counts


def class_presence(y: Tensor, ptr: Tensor, num_classes: int) -> Tensor:
    """Whether each class occurs in every cloud, ``(B, K)`` bool, of labels ``y`` ``(N,)``.

    Convention:
        Counted on the labels that are trained on: a crop has the classes of the crop. One token is enough.
    """
    return class_counts(y, ptr, num_classes) > 0


def presence_loss(logits: Tensor, presence: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """Mean binary cross-entropy of every cloud and class (Zhang et al., *EncNet*, CVPR 2018, Section 3.1).

    Args:
        logits: ``(B, K)``, not normalised.
        presence: ``(B, K)`` bool.
        weight: ``(K,)``, one factor a class.

    Convention:
        The plain mean of weighted terms: not divided by the sum of the weights.
    """
    return F.binary_cross_entropy_with_logits(logits, presence.to(logits.dtype), weight)
