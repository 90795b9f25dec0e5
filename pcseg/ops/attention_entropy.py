"""How sharp attention is: entropy and largest weight of rows of attention matrices that are never formed."""

from typing import NamedTuple

import torch
from torch import Tensor

from pcseg.ops.attention import Support, _dot, _logits


class AttentionSpread(NamedTuple):
    """``entropy`` in nats, ``largest`` weight, and how many tokens are ``seen``, each ``(N,)``."""

    entropy: Tensor
    largest: Tensor
    seen: Tensor


def attention_spread(query: Tensor, key: Tensor, support: Support) -> AttentionSpread:
    r"""Of every token's weights :math:`A_u` in :func:`~pcseg.ops.attention.union_attention`.

    .. math:: H_u = -\sum_w A_{uw} \log A_{uw} = \log Z_u - \sum_w A_{uw}\, q_u \cdot k_w

    Args:
        query: ``(N, D)``.
        key: ``(N, D)``.
        support: Which tokens see which.

    Convention:
        A token that sees itself alone has entropy 0 and largest weight 1.
    """
    own = _dot(query, key)
    norm = torch.cat([own, own.new_zeros(1)])  # one more for what padding (-1) reads and writes
    top, seen = norm.clone(), torch.ones_like(norm)
    for block, earlier in support.blocks():
        logits = _logits(query, key, block, earlier)
        norm[block.queries] = torch.logaddexp(norm[block.queries], logits.logsumexp(-1))
        top[block.queries] = torch.maximum(top[block.queries], logits.amax(-1))
        seen[block.queries] += logits.isfinite().sum(-1)
    mean = own * (own - norm[:-1]).exp()
    mean = torch.cat([mean, mean.new_zeros(1)])
    for block, earlier in support.blocks():
        logits = _logits(query, key, block, earlier)
        weights = (logits - norm[block.queries][..., None]).exp()
        mean[block.queries] += (weights * logits.masked_fill(logits.isneginf(), 0)).sum(-1)
    entropy, largest = norm - mean, (top - norm).exp()
    return AttentionSpread(entropy[:-1].clamp(min=0), largest[:-1], seen[:-1])
