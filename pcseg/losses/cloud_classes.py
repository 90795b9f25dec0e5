"""Losses of predictions for whole clouds: which classes occur (EncNet) and how often (CTNet)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from pcseg.ops.clouds import cloud_of_rows
from pcseg.ops.segment import bin_counts


def class_counts(y: Tensor, ptr: Tensor, num_classes: int) -> Tensor:
    """Return the number of tokens of each class in every cloud, ``(B, K)`` int64.

    Args:
        y: Labels, ``(N,)`` int64. Values outside 0 … K-1 are ignored.
        ptr: First token of every cloud, and N at the end, ``(B+1,)``.
        num_classes: K.
    """
    return group_class_counts(y, cloud_of_rows(ptr, len(y), y.device), len(ptr) - 1, num_classes)


def group_class_counts(y: Tensor, group: Tensor, num_groups: int, num_classes: int) -> Tensor:
    """Return :func:`class_counts` of tokens that belong to the groups ``group`` ``(N,)``, ``(num_groups, K)``."""
    counted = (y >= 0) & (y < num_classes)
    bins = torch.where(counted, group * num_classes + y, num_groups * num_classes)
    return bin_counts(bins, num_groups * num_classes + 1)[:-1].view(num_groups, num_classes)


def class_shares(y: Tensor, group: Tensor, num_groups: int, num_classes: int) -> Tensor:
    """Return the shares of the classes among the labeled tokens of every group, ``(num_groups, K)`` float32.

    Convention:
        A group without labels has zeros. The arguments are those of :func:`group_class_counts`.
    """
    counts = group_class_counts(y, group, num_groups, num_classes).float()
    return counts / counts.sum(1, keepdim=True).clamp(min=1)


def class_presence(y: Tensor, ptr: Tensor, num_classes: int) -> Tensor:
    """Return whether each class occurs in every cloud, ``(B, K)`` bool. The arguments are those of
    :func:`class_counts`.

    Convention:
        Labels are those of the training sample: a crop contains the classes of the crop. One token is enough.
    """
    return class_counts(y, ptr, num_classes) > 0


def presence_loss(logits: Tensor, presence: Tensor) -> Tensor:
    """Return the semantic encoding loss (SE-loss): the mean binary cross-entropy over clouds and classes.

    Zhang et al., *EncNet*, CVPR 2018, Section 3.1.

    Args:
        logits: ``(B, K)``.
        presence: ``(B, K)`` bool.
    """
    return F.binary_cross_entropy_with_logits(logits, presence.to(logits.dtype))


def class_frequency(y: Tensor, ptr: Tensor, num_classes: int) -> Tensor:
    r"""Return the frequency of each class in every cloud, ``(B, K)`` float64, in the published form.

    .. math:: t_c = \frac{n_c - \min n}{\sum_j (n_j - \min n)}

    The arguments are those of :func:`class_counts`.

    Convention:
        If a class is absent, these are the frequencies; if all classes occur, the rarest one gets 0. Equal counts
        of all classes, for which the published form is 0/0, give equal values. A cloud without labels gives zeros.
    """
    counts = class_counts(y, ptr, num_classes).double()
    above = counts - counts.amin(1, keepdim=True)
    above = torch.where(above.any(1, keepdim=True), above, counts)
    return above / above.sum(1, keepdim=True).clamp(min=1)


def class_frequency_loss(prob: Tensor, frequency: Tensor) -> Tensor:
    """Return the class probability loss (CP-loss): the mean binary cross-entropy of ``prob`` and ``frequency``.

    Li et al., *CTNet: Context-based Tandem Network*, TPAMI 2022.

    Args:
        prob: Class probabilities of every cloud, not logits, ``(B, K)``.
        frequency: Targets, ``(B, K)``.

    Convention:
        The minimum, at ``prob = frequency``, is not 0. The loss of NaN is NaN; PyTorch raises an error on a CPU and
        leaves a GPU unusable.
    """
    with torch.autocast(prob.device.type, enabled=False):
        prob = prob.to(torch.promote_types(prob.dtype, torch.float32))
        loss = F.binary_cross_entropy(prob.nan_to_num(0.5), frequency.to(prob.dtype))
        return loss.where(~prob.isnan().any(), torch.nan)
