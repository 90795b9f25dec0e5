"""Rows of the attention matrices of criss-cross attention, computed without forming the matrices."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from pcseg.ops.attention import Support, _dot, _logits
from pcseg.ops.groups import GroupBlock, Groups

Step = tuple[Tensor, Tensor, Support]
"""Queries ``(N, D)``, keys ``(N, D)`` and the tokens that each token attends to."""


def seen_by(share: Tensor, query: Tensor, key: Tensor, support: Support) -> Tensor:
    r"""Sum rows of the attention matrix of :func:`~pcseg.ops.attention.union_attention`, weighted by ``share``.

    .. math:: s'_w = \sum_u s_u A_{uw}

    Args:
        share: Weight of every row, ``(N,)``; only groups with a nonzero weight are processed.
        query: ``(N, D)``.
        key: ``(N, D)``.
        support: Which tokens attend to which.

    Returns:
        ``(N,)``, with the same sum as ``share``.
    """
    own = _dot(query, key)
    share = torch.cat([share.to(own.dtype), own.new_zeros(1)])  # one more entry for padding (-1)
    norm = torch.cat([own, own.new_zeros(1)])
    parts = [(block, earlier) for block, earlier in _blocks_of(share, support)]
    for block, earlier in parts:
        part = _logits(query, key, block, earlier).logsumexp(-1)
        norm[block.queries] = torch.logaddexp(norm[block.queries], part)
    seen = share[:-1] * (own - norm[:-1]).exp()
    for block, earlier in parts:
        weights = _logits(query, key, block, earlier).sub_(norm[block.queries][..., None]).exp_()
        row = (share[block.queries][:, None] @ weights).squeeze(1)
        seen.index_add_(0, block.keys.clamp(min=0).flatten(), row.flatten())
    return seen


def _blocks_of(share: Tensor, support: Support) -> Iterator[tuple[GroupBlock, list[Groups]]]:
    """Yield the groups of all blocks in which some token has a nonzero share."""
    for block, earlier in support.blocks():
        rows = (share[block.queries] != 0).any(1)
        if bool(rows.any()):
            yield block._replace(queries=block.queries[rows], keys=block.keys[rows], spacing=None), earlier


def effective_attention(steps: Sequence[Step], token: int) -> list[Tensor]:
    r"""Return the attention of ``token`` to the tokens of the first step after 1, 2, ... recurrences, ``(N,)`` each.

    .. math:: a^{(r)} = e_u^\top A_r A_{r-1} \cdots A_1

    Convention:
        This is the product of the attention matrices, without values, :math:`\gamma` and residual paths.
    """
    found = []
    for number in range(1, len(steps) + 1):
        share = steps[0][0].new_zeros(len(steps[0][0]))
        share[token] = 1
        for query, key, support in reversed(steps[:number]):
            share = seen_by(share, query, key, support)
        found.append(share)
    return found


def reached_by(reached: Tensor, support: Support) -> Tensor:
    """Return the tokens that at least one of the tokens ``reached`` ``(N,)`` bool attends to, ``(N,)`` bool."""
    found = reached.clone()
    for groups in support.partitions:
        seen = reached.new_zeros(len(groups.ptr) - 1).index_fill_(0, groups.id[reached], True)
        found |= seen[groups.id]
    return found


def effective_reach(supports: Sequence[Support], token: int) -> list[Tensor]:
    """Return which tokens of the first step reach ``token`` after 1, 2, ... recurrences, ``(N,)`` bool each.

    Convention:
        These are the tokens with nonzero :func:`effective_attention`, apart from underflow.
    """
    found = []
    for number in range(1, len(supports) + 1):
        groups = supports[0].partitions[0]
        reached = torch.zeros(len(groups.order), dtype=torch.bool, device=groups.order.device)
        reached[token] = True
        for support in reversed(supports[:number]):
            reached = reached_by(reached, support)
        found.append(reached)
    return found
