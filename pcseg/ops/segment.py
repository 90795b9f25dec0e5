"""Sums, means, maxima and softmax over consecutive rows; every group is a run of rows, given by its length."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_torch_scatter_allowed = True


@contextmanager
def torch_scatter_allowed(allowed: bool) -> Iterator[None]:
    """Whether :func:`segment_max` may use torch-scatter, where it is installed; the numbers are the same."""
    global _torch_scatter_allowed
    before, _torch_scatter_allowed = _torch_scatter_allowed, allowed
    try:
        yield
    finally:
        _torch_scatter_allowed = before


def segment_sum(x: Tensor, lengths: Tensor) -> Tensor:
    """Sum of every group, ``(N, ...)`` to ``(G, ...)``; zero for an empty group.

    Args:
        x: Floating point rows, group after group.
        lengths: Rows of every group, ``(G,)`` int64; they sum to N.
    """
    return torch.segment_reduce(x, "sum", lengths=lengths, axis=0)


def segment_mean(x: Tensor, lengths: Tensor) -> Tensor:
    """Mean of every group, see :func:`segment_sum`; zero for an empty group."""
    sizes = lengths.clamp(min=1).view(-1, *[1] * (x.ndim - 1))
    return segment_sum(x, lengths) / sizes.to(x.dtype)


def segment_max(x: Tensor, lengths: Tensor) -> Tensor:
    """Maximum of every group, see :func:`segment_sum`; zero for an empty group.

    Convention:
        Rows that tie for the maximum share its gradient equally.
    """
    return _SegmentMax.apply(x, lengths)


def segment_softmax(logits: Tensor, lengths: Tensor) -> Tensor:
    """Softmax over the rows of every group, ``(N, ...)``, each trailing entry by itself."""
    group = _group_of_rows(lengths)
    shifted = logits - segment_max(logits.detach(), lengths).index_select(0, group)
    weights = shifted.exp()
    return weights / segment_sum(weights, lengths).index_select(0, group)


class _SegmentMax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, lengths: Tensor) -> Tensor:
        if _torch_scatter_allowed and _has_torch_scatter():
            from torch_scatter import segment_csr  # pyright: ignore[reportMissingImports]

            ptr = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
            out = segment_csr(x, ptr, reduce="max")
        else:
            out = torch.segment_reduce(x, "max", lengths=lengths, axis=0)
            out = out.masked_fill((lengths == 0).view(-1, *[1] * (x.ndim - 1)), 0)
        ctx.save_for_backward(x, lengths, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        x, lengths, out = ctx.saved_tensors
        group = _group_of_rows(lengths)
        largest = (x == out.index_select(0, group)).to(grad.dtype)
        share = grad / segment_sum(largest, lengths).clamp(min=1)
        return largest * share.index_select(0, group), None


@cache
def _has_torch_scatter() -> bool:
    return find_spec("torch_scatter") is not None


def _group_of_rows(lengths: Tensor) -> Tensor:
    return torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)
