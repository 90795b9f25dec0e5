"""Rows of the attention matrices of criss-cross attention, computed without forming the matrices."""

from collections.abc import Iterator, Sequence
from functools import reduce

import torch
from torch import Tensor

from pcseg.ops.attention import Support, _dot, _logits
from pcseg.ops.groups import GroupBlock, Groups, Members

Step = tuple[Tensor, Tensor, Support]
"""Queries ``(N, D)``, keys ``(N, D)`` and the tokens that each token attends to."""


def seen_by(weight: Tensor, query: Tensor, key: Tensor, support: Support) -> Tensor:
    r"""Sum rows of the attention matrix of :func:`~pcseg.ops.attention.union_attention`, weighted by ``weight``.

    .. math:: s'_w = \sum_u s_u A_{uw}

    Args:
        weight: :math:`s`, ``(N,)``; only groups with a nonzero weight are processed.
        query: ``(N, D)``.
        key: ``(N, D)``.
        support: Which tokens attend to which.

    Returns:
        ``(N,)``, with the same sum as ``weight``.
    """
    own = _dot(query, key)
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
