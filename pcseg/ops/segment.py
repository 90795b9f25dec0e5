"""Reductions over consecutive rows, and gathers whose gradients avoid slow or imprecise scatters."""

import logging
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from pcseg.errors import reason

logger = logging.getLogger("pcseg")


def segment_max(x: Tensor, lengths: Tensor) -> Tensor:
    """Return the maximum of every group of consecutive rows, ``(N, ...)`` to ``(G, ...)``; zero for an empty group.

    Args:
        x: Floating point rows, group after group.
        lengths: Rows per group, ``(G,)`` int64; they sum to N.

    Convention:
        Rows that tie for the maximum share its gradient equally. On a GPU torch-scatter is used if it is installed;
        it gives the gradient to one of them. On a CPU it is not faster (61 ms against 60 ms, forward and backward of
        100,000 rows of 64 channels in 25,000 groups), nor is ``torch_geometric.utils.segment``, whose import takes
        seconds.
    """
    if not len(lengths):  # segment_reduce takes no empty list of groups
        return x
    segment_csr = scatter_segment_csr() if x.is_cuda else None
    if segment_csr is not None:
        return segment_csr(x, torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]), reduce="max")
    return plain_segment_max(x, lengths)


def plain_segment_max(x: Tensor, lengths: Tensor) -> Tensor:
    """Compute :func:`segment_max` without torch-scatter."""
    out = torch.segment_reduce(x, "max", lengths=lengths, axis=0, unsafe=True)  # a check would wait for a GPU
    return out.masked_fill((lengths == 0).view(-1, *[1] * (x.ndim - 1)), 0)


@cache
def scatter_segment_csr() -> Callable[..., Tensor] | None:
    """Return ``segment_csr`` of torch-scatter; ``None`` without it, or with one warning if its import fails."""
    try:
        from torch_scatter import segment_csr  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        return None
    except (ImportError, OSError, RuntimeError) as error:  # built for another torch or CUDA
        logger.warning(
            "torch-scatter cannot be imported (%s). Reinstall it; plain PyTorch is used.", reason(error)
        )
        return None
    return segment_csr


def bin_counts(values: Tensor, length: int) -> Tensor:
    """Count integers from 0 to ``length - 1``, ``(N,)`` to ``(length,)`` int64.

    Convention:
        ``torch.bincount`` does the same. On a GPU it waits for the largest value.
    """
    if values.device.type == "cpu":
        return torch.bincount(values, minlength=length)
    return values.new_zeros(length, dtype=torch.int64).scatter_add_(0, values, torch.ones_like(values))


def segment_mean(x: Tensor, group: Tensor, groups: int) -> Tensor:
    """Return the mean of the rows of every group, ``(N, C)`` to ``(groups, C)``; ``group`` ``(N,)`` holds no gaps."""
    size = bin_counts(group, groups).to(x.dtype)
    return x.new_zeros(groups, x.shape[1]).index_add(0, group, x) / size[:, None]


def permute_rows(x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
    """Return ``x[order]``. Its gradient is gathered by ``inverse`` instead of scattered by ``order``."""
    return _PermuteRows.apply(x, order, inverse)


def repeat_rows(x: Tensor, index: Tensor) -> Tensor:
    """Return ``x[index]``. Its gradient is summed in float32 even if ``x`` has half precision."""
    return _RepeatRows.apply(x, index)


class _PermuteRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(order, inverse)
        return x.index_select(0, order)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        order, inverse = ctx.saved_tensors
        return _PermuteRows.apply(grad, inverse, order), None, None


class _RepeatRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.rows = len(x)
        return x.index_select(0, index)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        dtype = torch.promote_types(grad.dtype, torch.float32)
        total = torch.zeros(ctx.rows, *grad.shape[1:], dtype=dtype, device=grad.device)
        return total.index_add_(0, index, grad.to(dtype)).to(grad.dtype), None
