"""Class probabilities of tokens, and the centers of the classes of every cloud."""

import torch
from torch import Tensor, nn

from pcseg.ops.clouds import cloud_ptr, split_clouds


def class_prob(logits: Tensor, truth: Tensor | None = None) -> Tensor:
    """Return the class probabilities of tokens, ``(N, K)``; half precision becomes float32.

    Args:
        logits: ``(N, K)``.
        truth: Shares of the true classes, which replace the probabilities of every token that has labels, ``(N, K)``;
            a row of zeros has no labels.
    """
    prob = logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(1)
    return prob if truth is None else truth.to(prob).where(truth.any(1, keepdim=True), prob)


def class_mass(weight: Tensor, ptr: Tensor) -> Tensor:
    """Return the sum of class weights ``(N, K)`` over the tokens of every cloud, ``(B, K)``, at least float32."""
    dtype = torch.promote_types(weight.dtype, torch.float32)
    return torch.stack([rows.sum(0, dtype=dtype) for rows in split_clouds(weight, ptr)])


def true_shares(prob: Tensor, truth: Tensor, ptr: Tensor) -> Tensor:
    """Return the class shares of clouds by the true classes of their tokens ``truth`` ``(N, K)``, ``(B, K)``.

    A cloud without labels keeps its predicted shares ``prob`` ``(B, K)``.
    """
    mass = class_mass(truth, ptr)
    total = mass.sum(1, keepdim=True)
    return (mass / total).to(prob).where(total > 0, prob)


def class_centers(x: Tensor, weight: Tensor, ptr: Tensor, *, prior: float) -> Tensor:
    r"""Return the centers of the classes of every cloud, ``(B, K, C)``.

    .. math:: c_k = \frac{\sum_i w_{ik} x_i}{\sum_i w_{ik} + \text{prior}}

    Args:
        x: Tokens, ``(N, C)``.
        weight: Weight of each token in each class, such as probabilities, ``(N, K)``.
        ptr: First token of every cloud, and N at the end, ``(B+1,)``.
        prior: Weight of a token at zero in every class: it shrinks the centers of classes that hardly occur.

    Convention:
        Half precision is summed in float32.
    """
    with torch.autocast(x.device.type, enabled=False):
        weight = weight.to(torch.promote_types(weight.dtype, torch.float32))
        x = x.to(weight.dtype)
        sums = torch.stack([w.mT @ rows for w, rows in zip(split_clouds(weight, ptr), split_clouds(x, ptr))])
        return sums / (class_mass(weight, ptr) + prior)[:, :, None]


class ClassCenters(nn.Module):
    r"""One token per class and cloud, with the soft center of the class (ACFNet, ICCV 2019; OCRNet, ECCV 2020).

    .. math:: M_k = \mathrm{LN}(c_k) + E_k + w \log(p_k + 0.001) / 3 + b

    with the :func:`class_centers` c, whose prior is one token, a learned embedding E, and the share p of the class.

    Args:
        channels: C.
        num_classes: K.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.normalize = nn.LayerNorm(channels)
        self.embedding = nn.Parameter(torch.randn(num_classes, channels))
        self.share = nn.Linear(1, channels)

    def forward(
        self,
        x: Tensor,
        prob: Tensor,
        ptr: Tensor | None = None,
        *,
        batch: Tensor | None = None,
        weight: Tensor | None = None,
    ) -> Tensor:
        """Return ``(B, K, C)`` for tokens ``x`` ``(N, C)`` with class probabilities ``(N, K)``.

        Args:
            ptr, batch: The clouds, see :func:`~pcseg.ops.clouds.cloud_ptr`.
            weight: Weight of each token, ``(N,)``; default: 1.
        """
        ptr = cloud_ptr(x, ptr, batch)
        total = ptr.diff().clamp(min=1)[:, None].to(x.device, non_blocking=True)
        if weight is not None:
            prob = prob * weight[:, None].to(prob)
            total = class_mass(prob, ptr).sum(1, keepdim=True)
            total = total.clamp(min=torch.finfo(total.dtype).tiny)
        centers = class_centers(x, prob, ptr, prior=1.0).to(x.dtype)
        share = class_mass(prob, ptr) / total
        described = self.share(((share + 1e-3).log() / 3).to(x.dtype)[:, :, None])
        return self.normalize(centers) + self.embedding + described
