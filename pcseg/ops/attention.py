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
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, support: Support) -> Tensor:
        with torch.autocast(query.device.type, enabled=False):
            norm = _dot(query, key)  # logarithm of the normaliser; at first a token sees itself only
            out = value.to(norm.dtype, copy=True)
            norm, out = _blank(norm), _blank(out)  # padding (-1) writes to one row more
            for block, earlier in support.blocks():
                logits = _logits(query, key, block, earlier)
                old = norm[block.queries]
                new = torch.logaddexp(old, logits.logsumexp(-1))
                weights = logits.sub_(new[..., None]).exp_().to(value.dtype)
                kept = out[block.queries].mul_((old - new).exp_()[..., None])
                norm[block.queries] = new
                out[block.queries] = kept.add_(weights @ value[block.keys])
            norm, out = norm[:-1], out[:-1].to(value.dtype)
        ctx.save_for_backward(query, key, value, norm, out)
        ctx.support = support
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, norm, out = ctx.saved_tensors
        with torch.autocast(query.device.type, enabled=False):
            grad_out = grad_out.to(value.dtype)
            mean = _dot(grad_out, out)  # what softmax subtracts from the gradient of its weights
            weight = (_dot(query, key) - norm).exp_()  # of a token itself
            grad_logit = weight * (_dot(grad_out, value) - mean)
            grad_value = _blank(weight[:, None] * grad_out)
            grad_query = _blank(grad_logit[:, None] * key)
            grad_key = _blank(grad_logit[:, None] * query)
            for block, earlier in ctx.support.blocks():
                queries, keys = block.queries, block.keys
                weights = _logits(query, key, block, earlier).sub_(norm[queries][..., None]).exp_()
                grad = grad_out[queries]
                grad_logits = (grad @ value[keys].mT).sub(mean[queries][..., None]).mul_(weights)
                grad_logits = grad_logits.to(query.dtype)
                grad_value[keys] += weights.to(value.dtype).mT @ grad
                grad_query[queries] += grad_logits @ key[keys]
                grad_key[keys] += grad_logits.mT @ query[queries]
        return (
            grad_query[:-1].to(query.dtype),
            grad_key[:-1].to(key.dtype),
            grad_value[:-1].to(value.dtype),
            None,
        )


def _dot(a: Tensor, b: Tensor) -> Tensor:
    dtype = torch.promote_types(a.dtype, torch.float32)
    return (a.to(dtype) * b.to(dtype)).sum(-1)


def _blank(x: Tensor) -> Tensor:
    """``x`` with one more row of zeros, that padding may read and write."""
    return torch.cat([x, x.new_zeros(1, *x.shape[1:])])


def _logits(query: Tensor, key: Tensor, block: Block, earlier: list[Groups]) -> Tensor:
    """Logits of a block, ``(G, Q, L)``; -inf for padding, a token itself, and pairs counted before."""
    queries, keys, first, padded = block
    dtype = torch.promote_types(query.dtype, torch.float32)
    logits = (query[queries] @ key[keys].mT).to(dtype)
    logits[:, :, first : first + queries.shape[1]].diagonal(dim1=1, dim2=2).fill_(-torch.inf)
    if padded:
        logits.masked_fill_((queries < 0)[:, :, None], -torch.inf).masked_fill_(
            (keys < 0)[:, None, :], -torch.inf
        )
    for partition in earlier:
        same = partition.id[queries][:, :, None] == partition.id[keys][:, None, :]
        logits.masked_fill_(same, -torch.inf)
    return logits
