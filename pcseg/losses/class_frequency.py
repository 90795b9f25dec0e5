"""The class probability loss (CP-loss) of CTNet: how much of a cloud is of each class?"""

import torch
import torch.nn.functional as F
from torch import Tensor

from pcseg.losses.class_counts import class_counts


def class_frequency(y: Tensor, ptr: Tensor, num_classes: int) -> Tensor:
    r"""Shares of the classes in every cloud, ``(B, K)`` float64, in the published form.

    .. math:: t_c = \frac{n_c - \min n}{\sum_j (n_j - \min n)}

    Args:
        y: Labels, ``(N,)`` int64; ignored ones are not counted.
        ptr: First token of every cloud and N at the end, ``(B+1,)``.
        num_classes: K.

    Convention:
        If a class is absent these are the frequencies; if all are present the rarest is set to 0. Equal counts
        of all classes, for which the published form is 0/0, give equal shares. A cloud without labels gives
        zeros.
    """
    counts = class_counts(y, ptr, num_classes).double()
    above = counts - counts.amin(1, keepdim=True)
    above = torch.where(above.any(1, keepdim=True), above, counts)
    return above / above.sum(1, keepdim=True).clamp(min=1)


def class_frequency_loss(prob: Tensor, frequency: Tensor) -> Tensor:
    """Mean binary cross-entropy between probabilities and shares, both ``(B, K)``.

    Convention:
        ``prob`` are probabilities, not logits; at ``prob = frequency`` the loss is least but not 0. The loss of
        nan is nan; PyTorch raises, and on a GPU no later call succeeds.
    """
    with torch.autocast(prob.device.type, enabled=False):
        prob = prob.to(torch.promote_types(prob.dtype, torch.float32))
        loss = F.binary_cross_entropy(prob.nan_to_num(0.5), frequency.to(prob.dtype))
        return loss.where(~prob.isnan().any(), torch.nan)
