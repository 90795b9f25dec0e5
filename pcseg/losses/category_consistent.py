"""The category-consistent loss of the journal version of CCNet."""

import torch
from torch import Tensor

NEAR, FAR = 0.5, 1.5
"""Distances to the class mean at which the cost starts and turns linear. Means closer than ``2 * FAR`` repel."""

REGULARIZATION = 0.001
"""Factor of the norms of the class means."""


def category_consistent_loss(x: Tensor, y: Tensor) -> Tensor:
    r"""Pull tokens to the mean of their class and push class means apart (Huang et al., *CCNet*, TPAMI 2020).

    .. math::
        L = \underset{c}{\mathrm{mean}}\, \underset{i \in c}{\mathrm{mean}}\, \varphi(\|h_i - \mu_c\|)
          + \underset{a \ne b}{\mathrm{mean}} \max(0, 2\delta_d - \|\mu_a - \mu_b\|)^2
          + 0.001\, \underset{c}{\mathrm{mean}} \|\mu_c\|

    :math:`\varphi` is 0 up to :math:`\delta_v = 0.5`, quadratic up to :math:`\delta_d = 1.5`, linear beyond.

    Args:
        x: Features, ``(N, C)``.
        y: Labels, ``(N,)`` int64; negative ones are ignored.

    Convention:
        Class means are over the batch, and gradients flow through them. With one class the second term is 0,
        without labels the loss is 0.
    """
    labeled = y >= 0
    x, y = x[labeled].to(torch.promote_types(x.dtype, torch.float32)), y[labeled]
    if len(y) == 0:
        return x.sum()
    _, member, counts = torch.unique(y, return_inverse=True, return_counts=True)
    sizes = counts[:, None].to(x.dtype)
    means = x.new_zeros(len(counts), x.shape[1]).index_add(0, member, x) / sizes
    distance = _norm(x - means.index_select(0, member))
    pull = (distance_cost(distance) / counts[member]).sum() / len(counts)
    push = x.new_zeros(())
    if len(counts) > 1:
        first, second = torch.triu_indices(len(counts), len(counts), 1, device=x.device)
        push = (2 * FAR - _norm(means[first] - means[second])).clamp(min=0).square().mean()
    return pull + push + REGULARIZATION * _norm(means).mean()


def distance_cost(distance: Tensor) -> Tensor:
    r"""Return :math:`\varphi` of distances: 0 up to :data:`NEAR`, quadratic up to :data:`FAR`, then linear."""
    quadratic = (distance - NEAR).clamp(min=0).square()
    return torch.where(distance <= FAR, quadratic, distance - FAR + (FAR - NEAR) ** 2)


def _norm(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=1)  # with gradient 0 at 0
