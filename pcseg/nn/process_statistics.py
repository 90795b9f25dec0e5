"""Batch statistics over the rows of all processes, and the gradient through them."""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable


def several_processes() -> bool:
    """Return whether there is more than one process."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def statistics_of_processes(x: Tensor) -> tuple[int, Tensor, Tensor]:
    """Return number of values, mean and biased variance ``(C,)`` float64 of every channel over all processes.

    Combined as in Chan, Golub & LeVeque, 1979: squares are summed about the mean of each process, which avoids
    cancellation. No gradient flows through them; see :class:`FollowStatistics`.

    Args:
        x: Rows of this process, ``(N, C)`` or ``(N, C, ...)``.

    Convention:
        Every process must call this, also one without rows. All get the same result.
    """
    rows = x.detach() if x.dtype == torch.float64 else x.detach().float()
    count = x.numel() // x.shape[1]
    variance = mean = rows.new_zeros(x.shape[1])
    if count:
        variance, mean = torch.var_mean(rows, _others(x), correction=0)
    own = torch.stack([torch.full_like(mean, count), mean, variance * count]).double()
    gathered = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, own)
    counts, means, squares = torch.stack(gathered, 1)
    total = counts.sum(0)
    divisor = total.clamp(min=1)
    mean = (counts * means).sum(0) / divisor
    variance = (squares + counts * (means - mean).square()).sum(0) / divisor
    return int(total[0]), mean, variance


def _others(x: Tensor) -> list[int]:
    """Return the axes other than the channels."""
    return [axis for axis in range(x.ndim) if axis != 1]


class FollowStatistics(torch.autograd.Function):
    """Return ``x`` unchanged; its gradient includes the dependence of mean and variance on every row.

    With ``z = (x - mean) * scale``, computed from constant statistics ``mean`` and ``scale`` ``(C,)`` of ``count``
    rows, and g its gradient times ``scale``, the gradient with respect to x is ``g - mean(g) - z mean(g z)`` over the
    rows of all processes (Ioffe & Szegedy, ICML 2015, Section 3).
    """

    @staticmethod
    def forward(ctx, x: Tensor, mean: Tensor, scale: Tensor, count: int) -> Tensor:
        ctx.save_for_backward(x, mean, scale)
        ctx.count = count
        return x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None, None]:
        x, mean, scale = ctx.saved_tensors
        view, axes = [-1 if axis == 1 else 1 for axis in range(x.ndim)], _others(x)
        normal = (x - mean.view(view)) * scale.view(view)
        wide = grad.to(normal.dtype)
        sums = torch.stack([wide.sum(axes), (wide * normal).sum(axes)])
        dist.all_reduce(sums)
        first, second = (sums / ctx.count).view(2, *view)
        return (wide - first - normal.mul_(second)).to(grad.dtype), None, None, None
