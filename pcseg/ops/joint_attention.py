"""Attention over the union of several partitions by a kernel that attends within each of them."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from pcseg.ops.flash import FLASH, SequenceKernel, Sequences
from pcseg.ops.groups import Groups

DOT_ROWS = 2048
"""Rows multiplied at once on a CPU when only the sum of their products is needed: they stay in the cache."""


def joint_attention(
    query: Tensor, key: Tensor, value: Tensor, partitions: Sequence[Groups], kernel: SequenceKernel = FLASH
) -> Tensor:
    r"""Attend with one joint softmax over the groups of a token in A partitions, ``(N, C)``.

    With the output :math:`o_a` and log-sum-exp :math:`\ell_a` of a partition, and the logit s and value v of the token
    itself, which every partition counts,

    .. math:: e^\ell = \sum_a e^{\ell_a} - (A - 1) e^s, \qquad
              o = \sum_a e^{\ell_a - \ell} o_a - (A - 1) e^{s - \ell} v

    The kernel computes gradients from o and :math:`\ell` in the same way: its weights are then those of the joint
    softmax.

    Args:
        query: ``(N, D)``.
        key: ``(N, D)``.
        value: ``(N, C)``.
        partitions: Two different tokens share a group in at most one of them.
        kernel: Attends within groups.

    Convention:
        In half precision the outputs of the partitions are rounded before they are added: with three partitions the
        error is up to five times the rounding of one.
    """
    return _JointAttention.apply(query, key, value, list(partitions), kernel)


def row_products(a: Tensor, b: Tensor) -> Tensor:
    """Return the product of every pair of rows, ``(N,)``; half precision becomes float32."""
    dtype = torch.promote_types(a.dtype, torch.float32)
    rows_at_once = DOT_ROWS if a.device.type == "cpu" else max(len(a), 1)
    parts = zip(a.split(rows_at_once), b.split(rows_at_once))
    return torch.cat([torch.linalg.vecdot(rows.to(dtype), others.to(dtype)) for rows, others in parts])


class _JointAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, partitions: list[Groups], kernel: SequenceKernel
    ) -> Tensor:
        more = len(partitions) - 1
        with torch.autocast(query.device.type, enabled=False):
            own, tokens = row_products(query, key), _side_by_side(query, key, value)
            outputs, sums = [], []
            for groups in partitions:
                out, lse = kernel.forward(*_sorted(tokens, groups))
                outputs.append(out[:, 0, : value.shape[1]])
                sums.append(torch.empty_like(own).index_copy_(0, groups.order, lse[0].to(own.dtype)))
            top = torch.stack(sums).amax(0)
            total = sum((lse - top).exp() for lse in sums) - more * (own - top).exp()
            norm = top + total.log()
            joint = (-more * (own - norm).exp())[:, None] * value
            for groups, out, lse in zip(partitions, outputs, sums):
                share = (lse - norm).exp().index_select(0, groups.order)
                joint.index_add_(0, groups.order, share[:, None] * out)
            joint = joint.to(value.dtype)
        ctx.save_for_backward(query, key, value, joint, norm)
        ctx.partitions, ctx.kernel = partitions, kernel
        return joint

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, joint, norm = ctx.saved_tensors
        more = len(ctx.partitions) - 1
        with torch.autocast(query.device.type, enabled=False):
            tokens = _side_by_side(grad.to(value.dtype), query, key, value, joint)
            total = norm.new_zeros(len(query), 3, tokens.shape[2])
            for groups in ctx.partitions:
                *parts, sequences = _sorted(tokens, groups)
                lse = norm.index_select(0, groups.order)[None]
                found = torch.cat(ctx.kernel.backward(*parts, lse, sequences), 1)
                total.index_add_(0, groups.order, found.to(total.dtype))
            weight = more * (row_products(query, key) - norm).exp()  # of the token itself, counted too often
            logit = weight * (row_products(grad, value) - row_products(grad, joint))
            grad_query, grad_key, grad_value = total.unbind(1)
            grad_query = grad_query[:, : query.shape[1]] - logit[:, None] * key
            grad_key = grad_key[:, : key.shape[1]] - logit[:, None] * query
            grad_value = grad_value[:, : value.shape[1]] - weight[:, None] * grad
        return grad_query.to(query.dtype), grad_key.to(key.dtype), grad_value.to(value.dtype), None, None


def joint_width(key_channels: int, value_channels: int) -> int:
    """Return the width to which queries, keys and values are padded for the kernel."""
    return -(-max(key_channels, value_channels) // 8) * 8


def _side_by_side(*tensors: Tensor) -> Tensor:
    """Return tensors ``(N, C)`` of one width each with zeros behind, ``(N, tensors, width)``."""
    width = max(joint_width(x.shape[1], 1) for x in tensors)
    return torch.stack([F.pad(x, (0, width - x.shape[1])) for x in tensors], 1)


def _sorted(tokens: Tensor, groups: Groups) -> tuple[Any, ...]:
    """Return each of the tensors side by side, group by group and with one head, and where the groups start."""
    starts = groups.ptr.int()
    parts = tokens.index_select(0, groups.order).split(1, 1)
    return *parts, Sequences(starts, starts, groups.longest)
