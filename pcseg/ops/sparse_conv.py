"""Sparse convolution and its gradients by blocks of gathered rows and one matrix product each."""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pcseg.ops.kernel_map import KernelMap

BLOCK_ROWS = 2048


def sparse_conv(x: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
    """``out[q] = sum_k x[neighbors[q, k]] @ weight[k]`` over the neighbours that exist.

    Args:
        x: Features of the inputs, ``(num_in, C)``.
        weight: ``(K, C, C_out)``, the places of the kernel with z fastest.
        kernel_map: From the inputs to the outputs; ``kernel_map.transposed`` gives the inverse convolution.

    Returns:
        ``(num_out, C_out)``. Under autocast both operands are cast as in a linear layer.
    """
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, weight = x.to(dtype), weight.to(dtype)
    return _SparseConv.apply(x, weight, kernel_map)


class _SparseConv(torch.autograd.Function):
    """Keeps only its inputs: what was gathered is gathered again in the backward pass."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.kernel_map = kernel_map
        return gather_product(x, weight, kernel_map)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            # a gather from the outputs, not a scatter to the inputs
            grad_x = gather_product(grad, weight.transpose(1, 2), ctx.kernel_map.transposed)
        if ctx.needs_input_grad[1]:
            grad_weight = weight_gradient(x, grad, ctx.kernel_map)
        return grad_x, grad_weight, None


def gather_product(x: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
    """The convolution itself, without a graph."""
    out = x.new_empty(kernel_map.num_out, weight.shape[2])
    padded, flat = _with_zero_row(x), weight.flatten(0, 1)
    for start in range(0, len(out), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        gathered = padded.index_select(0, kernel_map.neighbors[rows].flatten())
        torch.mm(gathered.view(-1, len(flat)), flat, out=out[rows])
    return out


def weight_gradient(x: Tensor, grad: Tensor, kernel_map: KernelMap) -> Tensor:
    """Gradient of :func:`gather_product` with respect to ``weight``, ``(K, C, C_out)``, summed in float32 or better."""
    exact = torch.promote_types(x.dtype, torch.float32)
    shape = (kernel_map.volume, x.shape[1], grad.shape[1])
    total = torch.zeros(shape[0] * shape[1], shape[2], dtype=exact, device=x.device)
    padded = _with_zero_row(x)
    for start in range(0, len(grad), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        gathered = padded.index_select(0, kernel_map.neighbors[rows].flatten())
        total += gathered.view(-1, len(total)).t() @ grad[rows]
    return total.view(shape).to(x.dtype)


def _with_zero_row(x: Tensor) -> Tensor:
    """A row of zeros at the end stands for every missing neighbour."""
    return torch.cat([x, x.new_zeros(1, x.shape[1])])
