"""Sparse convolution layers: they take features and voxels and return features."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pcseg.errors import UserError
from pcseg.ops.kernel_lookup import coarsen, submanifold_map
from pcseg.ops.sparse_conv import inverse_conv, sparse_conv
from pcseg.ops.voxels import VoxelSet


class _SparseConvLayer(nn.Module):
    """Base of the layers; ``weight`` is ``(kernel_size ** 3, in_channels, out_channels)``, kernel offsets z fastest."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, bias: bool) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        self.weight = nn.Parameter(torch.empty(kernel_size**3, in_channels, out_channels))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize uniformly, as ``nn.Conv3d`` does."""
        bound = 1 / math.sqrt(max(self.kernel_size**3 * self.in_channels, 1))
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def _biased(self, x: Tensor) -> Tensor:
        return x if self.bias is None else x + self.bias.to(x.dtype)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"


class SubmanifoldConv(_SparseConvLayer):
    """``out[p] = bias + sum_k x[p + (k - kernel_size // 2) * dilation] @ weight[k]`` at occupied voxels p.

    Args:
        kernel_size: Odd edge of the kernel.
        dilation: Voxels between kernel offsets.

    Convention:
        Cross-correlation, as in ``nn.Conv3d`` with "same" padding. Rows of the output are rows of the input.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        dilation: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, bias)
        self.dilation = dilation

    def forward(self, x: Tensor | Sequence[Tensor], voxels: VoxelSet) -> Tensor:
        """Return ``(N, out_channels)`` for features ``(N, in_channels)``, or several to be concatenated."""
        x = x if isinstance(x, Tensor) else torch.cat(list(x), 1)
        if not isinstance(voxels, VoxelSet):
            raise UserError(
                f"head.local: SubmanifoldConv needs voxels, not {type(voxels).__name__}. For raw points choose "
                "pcseg.nn.neighbor_conv.NeighborConv."
            )
        if self.kernel_size == 1:
            return self._biased(x @ self.weight[0])
        return self._biased(
            sparse_conv(x, self.weight, submanifold_map(voxels, self.kernel_size, self.dilation))
        )


class StridedConv(_SparseConvLayer):
    """``out[q] = bias + sum_k x[q * stride - padding + k] @ weight[k]`` at ``coarsen(voxels, ...).voxels``.

    Args:
        kernel_size: Edge of the kernel.
        stride: Edge of an output voxel in input voxels.
        padding: Shift of the kernel; 0 for ``kernel_size == stride``, 1 for 3 and 2.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 2,
        *,
        stride: int = 2,
        padding: int = 0,
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, bias)
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor, voxels: VoxelSet) -> Tensor:
        kernel_map = coarsen(voxels, self.kernel_size, self.stride, padding=self.padding).kernel_map
        return self._biased(sparse_conv(x, self.weight, kernel_map))


class InverseConv(StridedConv):
    """The transposed convolution of a :class:`StridedConv`: ``out[p] = bias + sum_k x[q] @ weight[k]``, where q runs
    over the coarse voxels that read p at kernel offset k.

    Convention:
        ``voxels`` are the fine ones, those of the output.
    """

    def forward(self, x: Tensor, voxels: VoxelSet) -> Tensor:
        kernel_map = coarsen(voxels, self.kernel_size, self.stride, padding=self.padding).kernel_map
        return self._biased(inverse_conv(x, self.weight, kernel_map))
