"""Exact softmax attention of every token over the union of its groups, and rows of its matrix without forming it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pcseg.ops.flash import takes_flash
from pcseg.ops.groups import GroupBlock, Groups, Members
from pcseg.ops.joint_attention import joint_attention, joint_width, row_products


@dataclass(kw_only=True, eq=False)
class Support:
    """Tokens that each token attends to: itself and all tokens that share a group with it in any partition.

    Args:
        partitions: The partitions, e.g. the lines along x, along y and along z.
        overlapping: Whether two different tokens can share a group in several partitions, as on thick lines. A pair
            then counts in the first of them only, which costs one comparison per pair.
    """

    partitions: list[Groups]
    overlapping: bool = False

    def blocks(self) -> Iterator[tuple[GroupBlock, list[Groups]]]:
        """Yield all blocks, each with the partitions whose pairs were counted before."""
        for i, partition in enumerate(self.partitions):
            earlier = self.partitions[:i] if self.overlapping else []
            for block in partition.blocks:
                yield block, earlier


def union_attention(query: Tensor, key: Tensor, value: Tensor, support: Support) -> Tensor:
    r"""Attend with one joint softmax over all tokens in :math:`S(u)`.

    .. math:: o_u = \sum_{w \in S(u)} \frac{\exp(q_u \cdot k_w)}{\sum_{t \in S(u)} \exp(q_u \cdot k_t)} v_w,
              \qquad S(u) = \{u\} \cup \bigcup_a \text{group}_a(u)

    :math:`S(u)` is a set: a token counts once, however many groups it shares with u. Groups are processed one by one
    and their results are merged by the log-sum-exp rule, so that memory is linear in the number of tokens. Backward
    recomputes the weights.

    Args:
        query: ``(N, D)``.
        key: ``(N, D)``.
        value: ``(N, C)``.

    Returns:
        ``(N, C)``.

    Convention:
        Logits are not divided by :math:`\sqrt{D}`. Logits, weights and sums of half precision inputs are float32:
        unscaled logits overflow float16. NaN or Inf in one cloud can reach others, through the padding of groups.
        In half precision on a GPU a flash kernel attends within the groups, unless they overlap.
    """
    if not support.overlapping and takes_flash(value, joint_width(query.shape[1], value.shape[1])):
        return joint_attention(query, key, value, support.partitions)
    return _UnionAttention.apply(query, key, value, support)


class _UnionAttention(torch.autograd.Function):
    """Stores the logarithms of the normalizers and recomputes the logits."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, support: Support) -> Tensor:
        with torch.autocast(query.device.type, enabled=False):
            own = row_products(query, key)
            norm = torch.cat([own, own.new_zeros(1)])  # one more entry for padding (-1)
            for block, earlier in support.blocks():
                part = _logits(query, key, block, earlier).logsumexp(-1)
                norm[block.queries.index] = torch.logaddexp(norm[block.queries.index], part)
            norm = norm[:-1]
            out = (own - norm).exp_()[:, None] * value
            for block, earlier in support.blocks():
                weights = (
                    _logits(query, key, block, earlier).sub_(norm[block.queries.index][..., None]).exp_()
                )
                block.queries.add_product(out, weights.to(value.dtype), block.keys.rows(value))
            out = out.to(value.dtype)
        ctx.save_for_backward(query, key, value, norm, out)
        ctx.support = support
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, norm, out = ctx.saved_tensors
        with torch.autocast(query.device.type, enabled=False):
            mean = row_products(grad_out, out)  # subtracted from the gradients of the weights by the softmax
            weight = (row_products(query, key) - norm).exp_()  # of the token itself
            grad_logit = weight * (row_products(grad_out, value) - mean)
            grad_value = torch.mul(weight[:, None], grad_out, out=norm.new_empty(value.shape))
            grad_query, grad_key = grad_logit[:, None] * key, grad_logit[:, None] * query
            for block, earlier in ctx.support.blocks():
                weights = (
                    _logits(query, key, block, earlier).sub_(norm[block.queries.index][..., None]).exp_()
                )
                grad = block.queries.rows(grad_out)
                grad_logits = grad @ block.keys.rows(value).mT
                grad_logits = (
                    grad_logits.sub(mean[block.queries.index][..., None]).mul_(weights).to(query.dtype)
                )
                block.keys.add_product(grad_value, weights.to(value.dtype).mT, grad)
                block.queries.add_product(grad_query, grad_logits, block.keys.rows(key))
                block.keys.add_product(grad_key, grad_logits.mT, block.queries.rows(query))
        return grad_query.to(query.dtype), grad_key.to(key.dtype), grad_value.to(value.dtype), None


def _float32_product(a: Tensor, b: Tensor) -> Tensor:
    """Return ``a @ b`` without rounding the result to half precision."""
    if a.dtype not in (torch.float16, torch.bfloat16):
        return a @ b
    if a.is_cuda:
        return torch.bmm(a, b, out_dtype=torch.float32)
    return a.float() @ b.float()


def _logits(query: Tensor, key: Tensor, block: GroupBlock, earlier: list[Groups]) -> Tensor:
    """Return the logits of a block, ``(G, Q, L)``: -inf for padding, the token itself, and pairs counted before."""
    queries, keys, first = block.queries.index, block.keys.index, block.first
    logits = _float32_product(block.queries.rows(query), block.keys.rows(key).mT)
    logits[:, :, first : first + queries.shape[1]].diagonal(dim1=1, dim2=2).fill_(-torch.inf)
    if block.padded:
        logits.masked_fill_((queries < 0)[:, :, None], -torch.inf)
        logits.masked_fill_((keys < 0)[:, None, :], -torch.inf)
    for partition in earlier:
        same = partition.id[queries][:, :, None] == partition.id[keys][:, None, :]
        logits.masked_fill_(same, -torch.inf)
    return logits


Step = tuple[Tensor, Tensor, Support]
"""Queries and keys, ``(N, D)`` or ``(N, H, D)`` for H heads, and the tokens that each token attends to."""


def seen_by(weight: Tensor, query: Tensor, key: Tensor, support: Support) -> Tensor:
    r"""Sum rows of the attention matrix of :func:`~pcseg.ops.attention.union_attention`, weighted by ``weight``.

    .. math:: s'_w = \sum_u s_u A_{uw}

    Args:
        weight: :math:`s`, ``(N,)``; only groups with a nonzero weight are processed.
        query: ``(N, D)``, or ``(N, H, D)`` for H heads, of which A is the mean.
        key: As ``query``.

    Returns:
        ``(N,)``, with the same sum as ``weight``.
    """
    if query.ndim == 3:
        heads = [seen_by(weight, q, k, support) for q, k in zip(query.unbind(1), key.unbind(1))]
        return torch.stack(heads).mean(0)
    own = row_products(query, key)
    weight = torch.cat([weight.to(own.dtype), own.new_zeros(1)])  # one more entry for padding (-1)
    norm = torch.cat([own, own.new_zeros(1)])
    parts = list(_blocks_of(weight, support))
    for block, earlier in parts:
        part = _logits(query, key, block, earlier).logsumexp(-1)
        norm[block.queries.index] = torch.logaddexp(norm[block.queries.index], part)
    seen = weight[:-1] * (own - norm[:-1]).exp()
    for block, earlier in parts:
        queries = block.queries.index
        attention = _logits(query, key, block, earlier).sub_(norm[queries][..., None]).exp_()
        row = (weight[queries][:, None] @ attention).squeeze(1)
        seen.index_add_(0, block.keys.index.clamp(min=0).flatten(), row.flatten())
    return seen


def _blocks_of(weight: Tensor, support: Support) -> Iterator[tuple[GroupBlock, list[Groups]]]:
    """Yield the groups of all blocks in which some token has a nonzero weight."""
    for block, earlier in support.blocks():
        queries, keys = block.queries.index, block.keys.index
        rows = (weight[queries] != 0).any(1)
        if bool(rows.any()):
            yield block._replace(queries=Members(queries[rows]), keys=Members(keys[rows])), earlier


def effective_attention(steps: Sequence[Step], token: int) -> list[Tensor]:
    r"""Return the attention of ``token`` to the tokens of the first step after 1, 2, ... recurrences, ``(N,)`` each.

    .. math:: a^{(r)} = e_u^\top A_r A_{r-1} \cdots A_1

    Convention:
        This is the product of the attention matrices, without values, :math:`\gamma` and residual paths.
    """
    one = steps[0][0].new_zeros(len(steps[0][0]))
    one[token] = 1
    rows = (reversed(steps[:number]) for number in range(1, len(steps) + 1))
    return [reduce(lambda weight, step: seen_by(weight, *step), row, one) for row in rows]


def effective_reach(supports: Sequence[Support], token: int) -> list[Tensor]:
    """Return which tokens of the first step reach ``token`` after 1, 2, ... recurrences, ``(N,)`` bool each.

    Convention:
        These are the tokens with nonzero :func:`effective_attention`, apart from underflow.
    """
    order = supports[0].partitions[0].order
    one = torch.zeros_like(order, dtype=torch.bool)
    one[token] = True
    rows = (reversed(supports[:number]) for number in range(1, len(supports) + 1))
    return [reduce(_reached, row, one) for row in rows]


def _reached(found: Tensor, support: Support) -> Tensor:
    """Return the tokens that at least one of ``found`` ``(N,)`` bool attends to, ``(N,)`` bool."""
    groups = support.partitions
    lines = [found.new_zeros(len(group.ptr) - 1).index_fill_(0, group.id[found], True) for group in groups]
    return torch.stack([found, *(line[group.id] for line, group in zip(lines, groups))]).any(0)
