"""Rows of attention matrices that are never formed: what a few tokens see, after one or several steps."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from pcseg.ops.attention import Support, _dot, _logits
from pcseg.ops.groups import GroupBlock, Groups

Step = tuple[Tensor, Tensor, Support]
"""Queries ``(N, D)``, keys ``(N, D)`` and what each token sees."""


def seen_by(share: Tensor, query: Tensor, key: Tensor, support: Support) -> Tensor:
    r"""What tokens see by :func:`~pcseg.ops.attention.union_attention`, each counted by its share.

    .. math:: s'_w = \sum_u s_u A_{uw}

    Args:
        share: ``(N,)``; only the groups of tokens with a share other than 0 are visited.
        query: ``(N, D)``.
        key: ``(N, D)``.
        support: Which tokens see which.

    Returns:
        ``(N,)``, of the same sum as ``share``.
    """
    own = _dot(query, key)
    share = torch.cat([share.to(own.dtype), own.new_zeros(1)])  # one more for what padding (-1) reads
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
    """The groups of the blocks in which some token has a share."""
    for block, earlier in support.blocks():
        rows = (share[block.queries] != 0).any(1)
        if bool(rows.any()):
            yield block._replace(queries=block.queries[rows], keys=block.keys[rows], spacing=None), earlier


def effective_attention(steps: Sequence[Step], token: int) -> list[Tensor]:
    r"""What ``token`` sees of the first step's tokens after 1, 2, ... recurrences, ``(N,)`` each.

    .. math:: a^{(r)} = e_u^\top A_r A_{r-1} \cdots A_1

    Convention:
        The product of the attention matrices alone: values, :math:`\gamma` and the residual paths are left out.
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
    """What at least one of the tokens ``reached`` ``(N,)`` bool sees, ``(N,)`` bool."""
    found = reached.clone()
    for groups in support.partitions:
        seen = reached.new_zeros(len(groups.ptr) - 1).index_fill_(0, groups.id[reached], True)
        found |= seen[groups.id]
    return found


def effective_reach(supports: Sequence[Support], token: int) -> list[Tensor]:
    """Which of the first step's tokens ``token`` sees at all after 1, 2, ... recurrences, ``(N,)`` bool each.

    Convention:
        Where :func:`effective_attention` is above 0, but for shares that vanish in floating point.
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
