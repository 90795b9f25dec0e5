"""Which input rows each output row of a sparse convolution reads, arranged for blocked matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pcseg.errors import UserError

if TYPE_CHECKING:
    from pcseg.ops.voxels import VoxelSet

DENSE_CELLS = 1 << 26  # a look-up table of int32 takes 256 MB there


@dataclass(kw_only=True, eq=False)
class KernelMap:
    """Input row that each output reads at each place of the kernel.

    Args:
        neighbors: Input rows, ``(num_out, K)`` int32; ``num_in`` where nothing is.
        num_in: Number of input rows.
        symmetric: Place ``K - 1 - k`` is the step opposite to place k, as in a submanifold convolution.
    """

    neighbors: Tensor
    num_in: int
    symmetric: bool = False

    @property
    def num_out(self) -> int:
        return self.neighbors.shape[0]

    @property
    def volume(self) -> int:
        """Places of the kernel."""
        return self.neighbors.shape[1]

    @cached_property
    def transposed(self) -> KernelMap:
        """The map from outputs back to inputs: of the gradient, and of the inverse convolution."""
        if self.symmetric:
            return KernelMap(neighbors=self.neighbors.flip(1), num_in=self.num_in, symmetric=True)
        out, place = (self.neighbors < self.num_in).nonzero(as_tuple=True)
        back = self.neighbors.new_full((self.num_in, self.volume), self.num_out)
        back[self.neighbors[out, place].long(), place] = out.int()
        return KernelMap(neighbors=back, num_in=self.num_out)


def submanifold_map(voxels: VoxelSet, kernel_size: int, dilation: int = 1) -> KernelMap:
    """Map of a convolution whose outputs are its inputs' voxels; the kernel is centred and odd."""
    if kernel_size % 2 == 0 or kernel_size < 1 or dilation < 1:
        raise UserError(
            f"a submanifold convolution needs an odd kernel_size, not {kernel_size} at dilation {dilation}"
        )
    margin = kernel_size // 2 * dilation
    dense = voxels.num_cells(margin) <= DENSE_CELLS
    neighbors = (dense_neighbors if dense else sorted_neighbors)(voxels, kernel_size, dilation)
    return KernelMap(neighbors=neighbors, num_in=len(voxels), symmetric=True)


def kernel_steps(kernel_size: int, dilation: int = 1) -> Tensor:
    """Steps (x, y, z) from the centre of a cubic kernel, z fastest, ``(kernel_size ** 3, 3)``."""
    line = (torch.arange(kernel_size) - kernel_size // 2) * dilation
    return torch.cartesian_prod(line, line, line)


def dense_neighbors(voxels: VoxelSet, kernel_size: int, dilation: int) -> Tensor:
    """Neighbours by a table of the whole box: fastest where the box is small."""
    margin, num = kernel_size // 2 * dilation, len(voxels)
    keys, strides = voxels.keys(margin), torch.tensor(voxels.key_strides(margin))
    steps = (kernel_steps(kernel_size, dilation) @ strides).to(keys.device)
    reach = int(steps.max())  # room below key 0 and above the last one
    table = torch.full((voxels.num_cells(margin) + 2 * reach,), num, dtype=torch.int32, device=keys.device)
    table[keys + reach] = torch.arange(num, dtype=torch.int32, device=keys.device)
    return table.index_select(0, (keys[:, None] + (steps + reach)).flatten()).view(num, -1)


def sorted_neighbors(voxels: VoxelSet, kernel_size: int, dilation: int) -> Tensor:
    """Neighbours by binary search in the sorted keys, for half of the kernel; the other half is its mirror."""
    margin, num = kernel_size // 2 * dilation, len(voxels)
    order = voxels.order
    keys, strides = voxels.keys(margin)[order], torch.tensor(voxels.key_strides(margin))
    steps = (kernel_steps(kernel_size, dilation) @ strides).tolist()
    neighbors = torch.full((num, len(steps)), num, dtype=torch.int32, device=keys.device)
    centre = len(steps) // 2
    neighbors[:, centre] = torch.arange(num, device=keys.device)
    for place in range(centre + 1, len(steps)):
        wanted = keys + steps[place]
        found = torch.searchsorted(keys, wanted).clamp_(max=num - 1)
        here = (keys[found] == wanted).nonzero().squeeze(1)
        this, that = order[here], order[found[here]]
        neighbors[this, place] = that.int()
        neighbors[that, len(steps) - 1 - place] = this.int()
    return neighbors


def strided_map(
    voxels: VoxelSet, kernel_size: int, stride: int, padding: int, out_shape: Sequence[int] | None
) -> tuple[Tensor, Tensor, Tensor, KernelMap]:
    """Outputs that at least one input reaches: ``grid_pos`` and ``ptr`` in ascending order, the row of each
    input's ``grid_pos // stride`` or -1, and the map."""
    fine = voxels.grid_pos.long()
    device = fine.device
    places = torch.cartesian_prod(*[torch.arange(kernel_size, device=device)] * 3)
    # input p is at place k of output q where q * stride = p + padding - k
    reached = [fine + padding - place for place in places]
    rows, sites = zip(*[_multiples(target, stride) for target in reached])
    place = torch.repeat_interleave(torch.tensor([len(row) for row in rows], device=device))
    row, site = torch.cat(rows), torch.cat(sites)
    if out_shape is not None:
        inside = ((site >= 0) & (site < torch.tensor(out_shape, device=device))).all(1)
        row, site, place = row[inside], site[inside], place[inside]
    low = site.amin(0) if len(site) else site.new_zeros(3)
    size = (site.amax(0) - low + 2) if len(site) else site.new_ones(3)

    def numbered(batch: Tensor, pos: Tensor) -> Tensor:
        x, y, z = (pos - low).unbind(1)
        return ((batch * size[0] + x) * size[1] + y) * size[2] + z

    keys, coarse = numbered(voxels.batch[row], site).unique(return_inverse=True)
    first = torch.empty_like(keys).scatter_(0, coarse, torch.arange(len(row), device=device))
    neighbors = torch.full((len(keys), len(places)), len(voxels), dtype=torch.int32, device=device)
    neighbors[coarse, place] = row.int()
    clouds = voxels.batch[row[first]]
    ptr = torch.searchsorted(clouds, torch.arange(voxels.num_clouds + 1, device=device))
    home = fine.div(stride, rounding_mode="floor")
    inside = ((home >= low) & (home < low + size - 1)).all(1)
    wanted = numbered(voxels.batch, home)
    parent = torch.searchsorted(keys, wanted).clamp_(max=max(len(keys) - 1, 0))
    if len(keys):
        parent = torch.where(inside & (keys[parent] == wanted), parent, -1)
    else:
        parent = torch.full_like(wanted, -1)
    return (
        site[first].to(voxels.grid_pos.dtype),
        ptr,
        parent,
        KernelMap(neighbors=neighbors, num_in=len(voxels)),
    )


def _multiples(target: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Rows of ``target`` that are whole multiples of ``stride``, and the quotients there."""
    row = (target % stride == 0).all(1).nonzero().squeeze(1)
    return row, target[row].div(stride, rounding_mode="floor")
