"""Flash attention over sequences of different lengths on a GPU, with access to its log-sum-exp.

These are the operators behind ``torch.nn.attention.varlen.varlen_attn``. That function ignores the gradient of the
log-sum-exp, and may choose cuDNN, which plans again whenever the number of sequences changes.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

MAX_WIDTH = 256


class Sequences(NamedTuple):
    """Starts ``(S + 1,)`` int32 of S sequences of queries and of their keys, and a bound of their lengths."""

    queries: Tensor
    keys: Tensor
    longest: int


class SequenceKernel(NamedTuple):
    """Attention without a scale within sequences of tokens ``(N, H, D)``.

    ``forward(query, key, value, sequences)`` returns the output and the log-sum-exp ``(H, N)``.
    ``backward(grad, query, key, value, output, log-sum-exp, sequences)`` returns the gradients of the first three.
    """

    forward: Callable[[Tensor, Tensor, Tensor, Sequences], tuple[Tensor, Tensor]]
    backward: Callable[
        [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Sequences], tuple[Tensor, Tensor, Tensor]
    ]


def takes_flash(x: Tensor, width: int) -> bool:
    """Return whether :func:`flash_attention` takes tokens like ``x`` with heads of ``width`` channels."""
    half = x.dtype in (torch.float16, torch.bfloat16)
    if not half or x.device.type != "cuda" or width % 8 or width > MAX_WIDTH or not len(x):
        return False
    return torch.cuda.get_device_capability(x.device) >= (8, 0)


def flash_attention(
    query: Tensor, key: Tensor, value: Tensor, sequences: Sequences, *, scale: float
) -> Tensor:
    """Attend within sequences, ``(N, H, D)``, with gradients."""
    return _forward(query, key, value, sequences, scale)[0]


def _forward(q: Tensor, k: Tensor, v: Tensor, sequences: Sequences, scale: float) -> tuple[Tensor, ...]:
    starts, longest = (sequences.queries, sequences.keys), sequences.longest
    return torch.ops.aten._flash_attention_forward(
        q, k, v, *starts, longest, longest, 0.0, False, False, scale=scale
    )


def _unscaled(q: Tensor, k: Tensor, v: Tensor, sequences: Sequences) -> tuple[Tensor, Tensor]:
    return _forward(q, k, v, sequences, 1.0)[:2]  # type: ignore[return-value]


def _gradients(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, sequences: Sequences
) -> tuple[Tensor, Tensor, Tensor]:
    starts, longest = (sequences.queries, sequences.keys), sequences.longest
    unused = torch.zeros(2, dtype=torch.uint64, device=q.device)  # state of the dropout
    return torch.ops.aten._flash_attention_backward(
        grad, q, k, v, out, lse, *starts, longest, longest, 0.0, False, unused, unused, scale=1.0
    )


FLASH = SequenceKernel(_unscaled, _gradients)
