"""Exact softmax attention of every token over the union of the groups that it belongs to."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pcseg.ops.groups import Block, Groups


@dataclass(kw_only=True, eq=False)
class Support:
    """What each token sees: itself and all tokens that share a group with it in one of several partitions.

    Args:
        partitions: The partitions, e.g. the lines along x, along y and along z.
        overlapping: Whether two different tokens can share a group in two partitions (thick lines, planes).
            A pair then counts in the first of them only, which costs a comparison a pair.
    """

    partitions: list[Groups]
    overlapping: bool = False

    def blocks(self) -> Iterator[tuple[Block, list[Groups]]]:
        """All blocks, each with the partitions whose pairs were counted before."""
        for i, partition in enumerate(self.partitions):
            earlier = self.partitions[:i] if self.overlapping else []
            for block in partition.blocks:
                yield block, earlier


def union_attention(query: Tensor, key: Tensor, value: Tensor, support: Support) -> Tensor:
    r"""One joint softmax over everything that a token sees.

    .. math:: o_u = \sum_{w \in S(u)} \frac{\exp(q_u \cdot k_w)}{\sum_{t \in S(u)} \exp(q_u \cdot k_t)} v_w,
              \qquad S(u) = \{u\} \cup \bigcup_a \text{group}_a(u)

    :math:`S(u)` is a set: a token counts once, however many groups it shares with u. Groups are visited one
    after the other and partial results joined by the log-sum-exp rule, so that memory is linear in the tokens;
    backward visits them again and computes the weights anew.

    Args:
        query: ``(N, D)``.
        key: ``(N, D)``.
        value: ``(N, C)``.
        support: Which tokens see which.

    Returns:
        ``(N, C)``.

    Convention:
        Logits are not divided by :math:`\sqrt{D}`. Weights and sums of half precision inputs are float32.
    """
    return _UnionAttention.apply(query, key, value, support)


class _UnionAttention(torch.autograd.Function):
    """Keeps the logarithms of the normalisers; logits are computed anew wherever they are needed."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, support: Support) -> Tensor:
        with torch.autocast(query.device.type, enabled=False):
            own = _dot(query, key)
            norm = torch.cat([own, own.new_zeros(1)])  # one more for what padding (-1) reads and writes
            for block, earlier in support.blocks():
                part = _logits(query, key, block, earlier).logsumexp(-1)
                norm[block.queries] = torch.logaddexp(norm[block.queries], part)
            norm = norm[:-1]
            out = (own - norm).exp_()[:, None] * value
            for block, earlier in support.blocks():
                weights = _logits(query, key, block, earlier).sub_(norm[block.queries][..., None]).exp_()
                _add_rows(out, block.queries, weights.to(value.dtype) @ _rows(value, block.keys))
            out = out.to(value.dtype)
        ctx.save_for_backward(query, key, value, norm, out)
        ctx.support = support
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, norm, out = ctx.saved_tensors
        with torch.autocast(query.device.type, enabled=False):
            grad_value = grad_out.to(norm.dtype, copy=True)  # large things first: fewer holes in memory
            mean = _dot(grad_out, out)  # what softmax subtracts from the gradients of its weights
            weight = (_dot(query, key) - norm).exp_()  # of a token itself
            grad_logit = weight * (_dot(grad_out, value) - mean)
            grad_value *= weight[:, None]
            grad_query, grad_key = grad_logit[:, None] * key, grad_logit[:, None] * query
            for block, earlier in ctx.support.blocks():
                queries, keys = block.queries, block.keys
                weights = _logits(query, key, block, earlier).sub_(norm[queries][..., None]).exp_()
                grad = _rows(grad_out, queries)
                grad_logits = (grad @ _rows(value, keys).mT).sub(mean[queries][..., None]).mul_(weights)
                grad_logits = grad_logits.to(query.dtype)
                _add_rows(grad_value, keys, weights.to(value.dtype).mT @ grad)
                _add_rows(grad_query, queries, grad_logits @ _rows(key, keys))
                _add_rows(grad_key, keys, grad_logits.mT @ _rows(query, queries))
        return grad_query.to(query.dtype), grad_key.to(key.dtype), grad_value.to(value.dtype), None


def _dot(a: Tensor, b: Tensor) -> Tensor:
    dtype = torch.promote_types(a.dtype, torch.float32)
    return torch.linalg.vecdot(a.to(dtype), b.to(dtype))


def _rows(x: Tensor, index: Tensor) -> Tensor:
    """``x[index]``, many times faster; padding reads row 0."""
    return x.index_select(0, index.clamp(min=0).flatten()).view(*index.shape, -1)


def _add_rows(x: Tensor, index: Tensor, rows: Tensor) -> None:
    """``x[index] += rows``; padding adds its zeros to row 0."""
    x.index_add_(0, index.clamp(min=0).flatten(), rows.flatten(0, 1).to(x.dtype))


def _logits(query: Tensor, key: Tensor, block: Block, earlier: list[Groups]) -> Tensor:
    """Logits of a block, ``(G, Q, L)``; -inf for padding, a token itself, and pairs counted before."""
    queries, keys, first, padded = block
    dtype = torch.promote_types(query.dtype, torch.float32)
    logits = (_rows(query, queries) @ _rows(key, keys).mT).to(dtype)
    logits[:, :, first : first + queries.shape[1]].diagonal(dim1=1, dim2=2).fill_(-torch.inf)
    if padded:
        logits.masked_fill_((queries < 0)[:, :, None], -torch.inf)
        logits.masked_fill_((keys < 0)[:, None, :], -torch.inf)
    for partition in earlier:
        same = partition.id[queries][:, :, None] == partition.id[keys][:, None, :]
        logits.masked_fill_(same, -torch.inf)
    return logits
