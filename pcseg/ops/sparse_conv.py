"""Sparse convolution and its gradients in plain PyTorch, by gathers and dense matrix products.

On a GPU the kernels of :mod:`pcseg.ops.triton_conv` take their place if they are installed.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag

from pcseg.ops import triton_conv
from pcseg.ops.kernel_map import BLOCK_ROWS, KernelMap

# Values gathered at a time if every kernel offset is gathered: the second-level cache, or some memory of a GPU.
GATHERED = {"cpu": 1 << 19, "cuda": 1 << 26}
# Multiplications by zero that take as long as the overhead of one group on a CPU. A GPU does them faster.
GROUP_COST = 500_000
# With narrower rows, the products of a group are too small to pay for its overhead.
GROUP_CHANNELS = 16


def sparse_conv(x: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
    """Compute a sparse convolution: ``out[q] = sum_k x[p(q, k)] @ weight[k]`` over occupied kernel offsets k.

    Args:
        x: Features of the inputs, ``(num_in, C)``.
        weight: ``(K, C, C_out)``; kernel offsets in (x, y, z) order, z fastest.
        kernel_map: From the inputs to the outputs.

    Returns:
        ``(num_out, C_out)``.

    Convention:
        Under autocast both operands are cast as in a linear layer. Backward stores only ``x`` and ``weight`` and
        gathers again.
    """
    return _SparseConv.apply(*_autocast(x, weight), kernel_map, False)


def inverse_conv(x: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
    """Compute an inverse convolution: ``out[p] = sum_k x[q(p, k)] @ weight[k]`` over the q that read p at k.

    Args:
        x: Features of the outputs of ``kernel_map``, ``(num_out, C)``.
        weight: ``(K, C, C_out)``.
        kernel_map: The map of the strided convolution.

    Returns:
        ``(num_in, C_out)``.
    """
    return _SparseConv.apply(*_autocast(x, weight.flip(0)), kernel_map, True)


def _autocast(*tensors: Tensor) -> list[Tensor]:
    device = tensors[0].device.type
    if not torch.is_autocast_enabled(device):
        return list(tensors)
    return [tensor.to(torch.get_autocast_dtype(device)) for tensor in tensors]


class _SparseConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, kernel_map: KernelMap, inverse: bool) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.kernel_map, ctx.inverse = kernel_map, inverse
        return gather_product(x, weight, kernel_map.transposed if inverse else kernel_map)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        there, back = ctx.kernel_map, ctx.kernel_map.transposed
        if ctx.inverse:
            there, back = back, there
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            # Gather with the mirrored kernel: scattering to the inputs is several times slower.
            mirrored = weight.flip(0).transpose(1, 2).contiguous()
            grad_x = gather_product(grad, mirrored, back)
        if ctx.needs_input_grad[1]:
            grad_weight = weight_gradient(x, grad, there)
        return grad_x, grad_weight, None, None


def gather_product(x: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
    """Compute :func:`sparse_conv` without autograd."""
    if triton_conv.takes(x, weight.shape[2], kernel_map):
        return triton_conv.product(x, weight, kernel_map)
    x = _sorted(x, kernel_map.in_order)
    if should_group(kernel_map, *weight.shape[1:]):
        out = _product_by_groups(x, weight, kernel_map)
    else:
        out = _product_by_offsets(x, weight, kernel_map)
    order = kernel_map.out_order
    return out if order is None else torch.empty_like(out).index_copy_(0, order, out)


def weight_gradient(x: Tensor, grad: Tensor, kernel_map: KernelMap) -> Tensor:
    """Return the gradient of :func:`gather_product` with respect to ``weight``, ``(K, C, C_out)``."""
    channels, out_channels = x.shape[1], grad.shape[1]
    if triton_conv.takes(x, out_channels, kernel_map):
        return triton_conv.weight_gradient(x, grad, kernel_map)
    # Accumulated in float32: many small sums would lose too much in half precision.
    dtype = torch.promote_types(x.dtype, torch.float32)
    total = torch.zeros(kernel_map.volume, channels, out_channels, dtype=dtype, device=x.device)
    x, grad = _sorted(x, kernel_map.in_order), _sorted(grad, kernel_map.out_order)
    if should_group(kernel_map, channels, out_channels):
        windows = _windows(x, kernel_map.line)
        for block in kernel_map.blocks:
            for group in block.groups:
                seen = windows[len(group.offsets)].index_select(0, group.start)
                part = seen.t() @ grad.index_select(0, group.rows)
                for offset, gradient in zip(group.offsets, part.view(-1, channels, out_channels)):
                    total[offset] += gradient
    else:
        for rows, seen in _gathered(x, kernel_map):
            total += (seen.t() @ grad[rows]).view_as(total)
    return total.to(x.dtype)


def should_group(kernel_map: KernelMap, channels: int, out_channels: int) -> bool:
    """Return whether multiplying by the zeros of empty kernel offsets takes longer than the overhead of groups."""
    if kernel_map.pattern.device.type != "cpu" or channels < GROUP_CHANNELS:
        return False
    blocks = -(-kernel_map.num_out // BLOCK_ROWS)
    groups = blocks * kernel_map.num_columns * (2**kernel_map.line - 1)
    empty = kernel_map.num_out * kernel_map.volume - kernel_map.num_pairs
    saved = empty * channels * out_channels
    return saved > groups * GROUP_COST


def _product_by_groups(x: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
    """Multiply every group by its weights, then sum the products of every output."""
    out = x.new_empty(kernel_map.num_out, weight.shape[2])
    space = x.new_empty(1 + max(sum(block.sizes) for block in kernel_map.blocks), weight.shape[2])
    windows = _windows(x, kernel_map.line)
    parts: dict[tuple[int, ...], Tensor] = {}
    first = 0
    for block in kernel_map.blocks:
        products = space[: 1 + sum(block.sizes)]
        *some, none = products.split([*block.sizes, 1])
        none.zero_()
        for group, product in zip(block.groups, some):
            if group.offsets not in parts:
                parts[group.offsets] = _weights(weight, group.offsets)
            seen = windows[len(group.offsets)].index_select(0, group.start)
            torch.mm(seen, parts[group.offsets], out=product)
        out[first : first + len(block.entries)] = embedding_bag(block.entries, products, mode="sum")
        first += len(block.entries)
    return out


def _product_by_offsets(x: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
    """Multiply the rows at all kernel offsets, with zeros where none is occupied, by all weights."""
    out = x.new_empty(kernel_map.num_out, weight.shape[2])
    for rows, seen in _gathered(x, kernel_map):
        torch.mm(seen, weight.flatten(0, 1), out=out[rows])
    return out


def _gathered(x: Tensor, kernel_map: KernelMap) -> Iterator[tuple[slice, Tensor]]:
    """Yield slices of outputs and their inputs at all kernel offsets, ``(rows, K * C)``."""
    padded = torch.cat([x, x.new_zeros(1, x.shape[1])])
    width = kernel_map.volume * x.shape[1]
    step = max(GATHERED["cpu" if x.device.type == "cpu" else "cuda"] // width, 512)
    for first in range(0, kernel_map.num_out, step):
        rows = slice(first, first + step)
        yield rows, padded.index_select(0, kernel_map.neighbors[rows].flatten()).view(-1, width)


def _windows(x: Tensor, longest: int) -> list[Tensor]:
    """Return views of sorted ``x``: entry n holds every n consecutive rows side by side, ``(rows, n * C)``."""
    channels = x.shape[1]
    return [
        x.as_strided((max(len(x) - length + 1, 0), length * channels), (channels, 1))
        for length in range(longest + 1)
    ]


def _weights(weight: Tensor, offsets: tuple[int, ...]) -> Tensor:
    """Return the weights of some kernel offsets, ``(offsets * C, C_out)``."""
    if offsets[-1] - offsets[0] + 1 == len(offsets):
        return weight[offsets[0] : offsets[-1] + 1].reshape(-1, weight.shape[2])
    return torch.cat([weight[offset] for offset in offsets])  # a list as index would wait for a GPU


def _sorted(x: Tensor, order: Tensor | None) -> Tensor:
    return x.contiguous() if order is None else x.index_select(0, order)
