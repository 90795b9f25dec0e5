"""The category consistent loss of CCNet's journal version: features of a class together, classes apart."""

import torch
from torch import Tensor


def category_consistent_loss(
    x: Tensor,
    y: Tensor,
    *,
    near: float = 0.5,
    far: float = 1.5,
    variance: float = 1.0,
    distance: float = 1.0,
    regular: float = 0.001,
) -> Tensor:
    r"""Pulls tokens to the mean of their class, pushes means apart (Huang et al., *CCNet*, TPAMI 2020).

    .. math::
        L = \alpha\, \underset{c}{\mathrm{mean}}\, \underset{i \in c}{\mathrm{mean}}\, \varphi(\|h_i - \mu_c\|)
          + \beta\, \underset{a \ne b}{\mathrm{mean}} \max(0, 2\delta_d - \|\mu_a - \mu_b\|)^2
          + \gamma\, \underset{c}{\mathrm{mean}} \|\mu_c\|

    with :math:`\varphi` 0 up to ``near`` (:math:`\delta_v`), quadratic up to ``far`` (:math:`\delta_d`), linear
    beyond.

    Args:
        x: Features, ``(N, C)``.
        y: Labels, ``(N,)`` int64; negative ones are ignored.
        near: Distance to the mean that costs nothing.
        far: Distance at which the cost turns linear; means closer than twice this repel each other.
        variance: Factor of the first term.
        distance: Factor of the second term; with one class it is 0.
        regular: Factor of the third term.

    Convention:
        Class means are over the batch, and gradients run through them. Without labels the loss is 0.
    """
    labelled = y >= 0
    x, y = x[labelled].to(torch.promote_types(x.dtype, torch.float32)), y[labelled]
    if len(y) == 0:
        return x.sum()
    _, member, counts = torch.unique(y, return_inverse=True, return_counts=True)
    sizes = counts[:, None].to(x.dtype)
    means = x.new_zeros(len(counts), x.shape[1]).index_add(0, member, x) / sizes
    spread = hinge(_norm(x - means.index_select(0, member)), near, far)
    pull = (spread / counts[member]).sum() / len(counts)
    push = x.new_zeros(())
    if len(counts) > 1:
        first, second = torch.triu_indices(len(counts), len(counts), 1, device=x.device)
        push = (2 * far - _norm(means[first] - means[second])).clamp(min=0).square().mean()
    return variance * pull + distance * push + regular * _norm(means).mean()


def hinge(d: Tensor, near: float, far: float) -> Tensor:
    r""":math:`\varphi(d)`: 0 up to ``near``, ``(d - near)²`` up to ``far``, then linear with slope 1."""
    quadratic = (d - near).clamp(min=0).square()
    return torch.where(d <= far, quadratic, d - far + (far - near) ** 2)


def _norm(x: Tensor) -> Tensor:
    """Euclidean norm of each row, with gradient 0 at 0."""
    return torch.linalg.vector_norm(x, dim=1)
