"""Building kernel maps: looking up the neighbours of every voxel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pcseg.errors import UserError
from pcseg.ops.kernel_map import MAX_KERNEL, KernelMap, map_from_pairs

if TYPE_CHECKING:
    from pcseg.ops.voxels import VoxelSet

DENSE_CELLS = 1 << 26  # the look-up table takes 256 MB there
DENSE_CELLS_A_VOXEL = 256  # to fill a sparser table costs more than binary search


def submanifold_map(voxels: VoxelSet, kernel_size: int, dilation: int = 1) -> KernelMap:
    """Map of a convolution whose outputs are its inputs' voxels; the kernel is centred and odd."""
    if kernel_size % 2 == 0 or not 0 < kernel_size <= MAX_KERNEL or dilation < 1:
        raise UserError(
            f"a submanifold kernel has size 1, 3, 5 or 7 and a dilation from 1, not {kernel_size} and {dilation}"
        )
    radius = kernel_size // 2
    margin = radius * dilation
    keys, order = voxels.keys(margin, dilation), voxels.order
    if dilation > 1:
        order = keys.argsort()
    if order is not None:
        keys = keys.index_select(0, order)
    _, size_y, size_z = voxels.key_sizes(margin, dilation)
    around = range(-margin, margin + 1, dilation)
    # from a voxel's key to that of the lowest place of each column
    steps = [(x * size_y + y) * dilation * size_z - radius for x in around for y in around]
    cells = voxels.num_cells(margin, dilation)
    if cells <= min(DENSE_CELLS, DENSE_CELLS_A_VOXEL * len(voxels)):
        start, pattern = dense_columns(keys, steps, kernel_size, cells)
    else:
        start, pattern = sorted_columns(keys, steps, kernel_size)
    return KernelMap(
        start=start,
        pattern=pattern,
        line=kernel_size,
        num_in=len(voxels),
        in_order=order,
        out_order=order,
        symmetric=True,
    )


def dense_columns(keys: Tensor, steps: Sequence[int], line: int, cells: int) -> tuple[Tensor, Tensor]:
    """Start and pattern of the ``line`` keys from ``keys + step`` on, by a table of all ``cells`` keys."""
    num, below = len(keys), max(0, -min(steps))
    table = torch.full((cells + below + max(steps) + line,), num, dtype=torch.int32, device=keys.device)
    keys = keys + below
    table.scatter_(0, keys, torch.arange(num, dtype=torch.int32, device=keys.device))
    start = torch.full((len(steps), num), num, dtype=torch.int32, device=keys.device)
    pattern = torch.zeros_like(start, dtype=torch.uint8)
    for column, step in enumerate(steps):
        for place in range(line):
            found = table.index_select(0, keys + (step + place))
            torch.minimum(start[column], found, out=start[column])
            pattern[column] += (found < num).to(torch.uint8) << place
    return start, pattern


def sorted_columns(keys: Tensor, steps: Sequence[int], line: int) -> tuple[Tensor, Tensor]:
    """The same for boxes of any size, by one binary search a column: its later places are the rows that follow."""
    num = len(keys)
    padded = torch.cat([keys, keys.new_full((1,), torch.iinfo(torch.int64).min)])
    start = torch.empty((len(steps), num), dtype=torch.int32, device=keys.device)
    pattern = torch.zeros_like(start, dtype=torch.uint8)
    for column, step in enumerate(steps):
        row = torch.searchsorted(keys, keys + step, out_int32=True)
        start[column] = row
        for place in range(line):
            found = padded.index_select(0, row) == keys + (step + place)
            pattern[column] += found.to(torch.uint8) << place
            row += found
    return start, pattern


def strided_map(
    voxels: VoxelSet, kernel_size: int, stride: int, padding: int, out_shape: Sequence[int] | None
) -> tuple[Tensor, Tensor, Tensor, KernelMap]:
    """The sites that a strided convolution reaches and how, see :meth:`VoxelSet.coarsen`.

    Returns:
        ``grid_pos`` of the sites, ascending; their ``ptr``; the site of each row's ``grid_pos // stride`` or -1;
        the map.
    """
    if not 0 < kernel_size <= MAX_KERNEL or stride < 1 or not 0 <= padding < kernel_size:
        raise UserError(
            "a strided kernel has a size of 1 to 8, a stride from 1 and less padding than its size, "
            f"not {kernel_size}, {stride} and {padding}"
        )
    pos, batch, order = voxels.grid_pos.long(), voxels.batch, voxels.order
    if order is not None:
        pos, batch = pos.index_select(0, order), batch.index_select(0, order)
    # coarse coordinates are counted from the lowest site that a cloud could reach
    origin = (voxels.corner + (padding - kernel_size + 1)).div(stride, rounding_mode="floor")
    size = [(extent + kernel_size) // stride + 2 for extent in voxels.extent]
    weight = (size[1] * size[2], size[2], 1)
    cloud = batch * (size[0] * weight[0])
    low = origin[batch]
    shifted = pos - low * stride
    reach = [
        [_reach(axis + padding - place, start, stride, limit, step) for place in range(kernel_size)]
        for axis, start, limit, step in zip(shifted.unbind(1), low.unbind(1), out_shape or [None] * 3, weight)
    ]
    into, keys = [], []
    for on_x, x in reach[0]:
        for on_y, y in reach[1]:
            for on_z, z in reach[2]:
                row = (on_x & on_y & on_z).nonzero().squeeze(1)
                into.append(row)
                keys.append((cloud + x + y + z).index_select(0, row))
    site, out = torch.cat(keys).unique(return_inverse=True)
    clouds = site // (size[0] * weight[0])
    ptr = torch.searchsorted(clouds, torch.arange(voxels.num_clouds + 1, device=site.device))
    local = [site // step % extent for step, extent in zip(weight, size)]
    grid_pos = torch.stack(local, 1) + origin[clouds]
    home = (shifted.div(stride, rounding_mode="floor") * shifted.new_tensor(weight)).sum(1) + cloud
    parent = _position(home, site)
    if order is not None:
        parent = torch.empty_like(parent).index_copy_(0, order, parent)
    pairs = list(zip(into, out.split([len(row) for row in into])))
    kernel_map = map_from_pairs(pairs, kernel_size, len(voxels), len(site), in_order=order, out_order=None)
    return grid_pos.to(voxels.grid_pos.dtype), ptr, parent, kernel_map


def _reach(target: Tensor, start: Tensor, stride: int, limit: int | None, step: int) -> tuple[Tensor, Tensor]:
    """Along one axis: whether ``target`` is a multiple of ``stride`` within ``limit``, and the quotient's key."""
    site = target.div(stride, rounding_mode="floor")
    hit = site * stride == target
    if limit is not None:
        hit &= (site + start >= 0) & (site + start < limit)
    return hit, site * step


def _position(wanted: Tensor, ascending: Tensor) -> Tensor:
    """Index of every ``wanted`` in ``ascending``, -1 where it is missing."""
    if not len(ascending):
        return torch.full_like(wanted, -1)
    found = torch.searchsorted(ascending, wanted).clamp_(max=len(ascending) - 1)
    return torch.where(ascending[found] == wanted, found, -1)
