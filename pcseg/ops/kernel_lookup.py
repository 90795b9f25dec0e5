"""Build the kernel maps of submanifold and strided convolutions by looking up the neighbors of every voxel."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor

from pcseg.errors import UserError
from pcseg.ops.kernel_map import MAX_KERNEL, KernelMap, map_from_pairs
from pcseg.ops.voxels import VoxelSet

DENSE_CELLS = 1 << 26  # the look-up table then takes 256 MB
DENSE_CELLS_PER_VOXEL = 256  # filling a sparser table costs more than a binary search


def submanifold_map(voxels: VoxelSet, kernel_size: int, dilation: int = 1) -> KernelMap:
    """Return the kernel map of a submanifold convolution, built once per voxel set.

    Args:
        voxels: Voxels of both inputs and outputs.
        kernel_size: Edge of the cubic, centered kernel: 1, 3, 5 or 7.
        dilation: Voxels between neighboring kernel offsets.

    Raises:
        UserError: Another kernel size, or a dilation below 1.
    """
    if kernel_size % 2 == 0 or not 0 < kernel_size <= MAX_KERNEL or dilation < 1:
        raise UserError(
            f"kernel_size, dilation: {kernel_size} and {dilation} do not define a submanifold convolution. "
            "Use kernel size 1, 3, 5 or 7 and a dilation of at least 1."
        )
    key = ("submanifold", kernel_size, dilation)
    return voxels.cached(key, lambda: _submanifold_map(voxels, kernel_size, dilation))


def _submanifold_map(voxels: VoxelSet, kernel_size: int, dilation: int) -> KernelMap:
    radius = kernel_size // 2
    margin = radius * dilation
    keys, order = voxels.keys(margin, dilation), voxels.order
    if dilation > 1:
        order = keys.argsort()
    if order is not None:
        keys = keys.index_select(0, order)
    _, size_y, size_z = voxels.key_sizes(margin, dilation)
    around = range(-margin, margin + 1, dilation)
    # from the key of a voxel to that of the lowest kernel offset of each column
    steps = [(x * size_y + y) * dilation * size_z - radius for x in around for y in around]
    cells = voxels.num_cells(margin, dilation)
    if cells <= min(DENSE_CELLS, DENSE_CELLS_PER_VOXEL * len(voxels)):
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
    )


def dense_columns(keys: Tensor, steps: Sequence[int], line: int, cells: int) -> tuple[Tensor, Tensor]:
    """Look up ``line`` consecutive keys from ``keys + step`` on in a table of all ``cells`` keys.

    Args:
        keys: Keys of the voxels, ascending, ``(N,)`` int64.
        steps: One step per column of the kernel.
        line: Kernel offsets per column.

    Returns:
        ``start`` and ``pattern`` of a :class:`KernelMap`, ``(columns, N)``.
    """
    num, below = len(keys), max(0, -min(steps))
    table = torch.full((cells + below + max(steps) + line,), num, dtype=torch.int32, device=keys.device)
    keys = keys + below
    table.scatter_(0, keys, torch.arange(num, dtype=torch.int32, device=keys.device))
    start = torch.full((len(steps), num), num, dtype=torch.int32, device=keys.device)
    pattern = torch.zeros_like(start, dtype=torch.uint8)
    for columns, into, bits in _some_columns(steps, start, pattern):
        first = keys + columns
        for bit in range(line):
            found = table.index_select(0, (first + bit).flatten()).view_as(into)
            torch.minimum(into, found, out=into)
            bits += (found < num).to(torch.uint8) << bit
    return start, pattern


def _some_columns(
    steps: Sequence[int], start: Tensor, pattern: Tensor
) -> Iterator[tuple[Tensor | int, Tensor, Tensor]]:
    """Yield steps and rows of a map to fill: all columns on a GPU, one after the other in the cache of a CPU."""
    if start.device.type == "cpu":
        yield from zip(steps, start, pattern)
    else:
        column = torch.tensor(steps).to(start.device, non_blocking=True)
        yield column[:, None], start, pattern


def sorted_columns(keys: Tensor, steps: Sequence[int], line: int) -> tuple[Tensor, Tensor]:
    """Return the same as :func:`dense_columns` for boxes of any size, by one binary search per column.

    The voxels at the later kernel offsets of a column are the rows that follow.
    """
    num = len(keys)
    padded = torch.cat([keys, keys.new_full((1,), torch.iinfo(torch.int64).min)])
    start = torch.empty((len(steps), num), dtype=torch.int32, device=keys.device)
    pattern = torch.zeros_like(start, dtype=torch.uint8)
    for columns, into, bits in _some_columns(steps, start, pattern):
        wanted = keys + columns
        row = torch.searchsorted(keys, wanted, out_int32=True)
        into.copy_(row)
        for bit in range(line):
            found = padded.index_select(0, row.flatten()).view_as(row) == wanted + bit
            bits += found.to(torch.uint8) << bit
            row += found
    return start, pattern


@dataclass(kw_only=True, eq=False)
class Coarsening:
    """The voxels that a strided convolution reaches, and how it reaches them.

    Args:
        voxels: The coarse voxels, sorted by (cloud, x, y, z).
        parent: Row in ``voxels`` of ``grid_pos // stride`` of every fine voxel, ``(N,)`` int64; -1 if it is not
            reached, which needs a stride above the kernel size.
        build_map: Builds the kernel map, which pooling does not need.
    """

    voxels: VoxelSet
    parent: Tensor
    build_map: Callable[[], KernelMap]

    @cached_property
    def kernel_map(self) -> KernelMap:
        """The kernel map of the strided convolution, from fine to coarse voxels."""
        return self.build_map()


def coarsen(voxels: VoxelSet, kernel_size: int = 2, stride: int = 2, *, padding: int = 0) -> Coarsening:
    """Return the coarse voxels of a strided convolution, built once per voxel set.

    Args:
        kernel_size: Edge of the cubic kernel.
        stride: Edge of a coarse voxel in fine voxels.
        padding: Coarse voxel q covers the fine voxels ``q * stride - padding + (0 ... kernel_size - 1)``.

    Raises:
        UserError: The kernel cannot be built.

    Convention:
        A coarse voxel exists if a fine one lies under its kernel, whatever the size of the box. Libraries with a
        fixed box drop the last cell of an odd axis.
    """
    if not 0 < kernel_size <= MAX_KERNEL or stride < 1 or not 0 <= padding < kernel_size:
        raise UserError(
            f"kernel_size, stride, padding: {kernel_size}, {stride} and {padding} do not define a strided convolution. "
            "Use a kernel size of 1 to 8, a stride of at least 1, and less padding than the kernel size."
        )
    key = ("strided", kernel_size, stride, padding)
    return voxels.cached(key, lambda: _coarsen(voxels, kernel_size, stride, padding))


def _coarsen(voxels: VoxelSet, kernel_size: int, stride: int, padding: int) -> Coarsening:
    pos, batch, order = voxels.grid_pos.long(), voxels.batch, voxels.order
    if order is not None:
        pos, batch = pos.index_select(0, order), batch.index_select(0, order)
    # Coarse coordinates are counted from the lowest site that a cloud could reach.
    lowest = (voxels.corner + (padding - kernel_size + 1)).div(stride, rounding_mode="floor")
    highest = (voxels.top + padding).div(stride, rounding_mode="floor")
    size = (highest - lowest + 1).amax(0).tolist() if len(lowest) else [1, 1, 1]
    weight = torch.tensor([size[1] * size[2], size[2], 1]).to(pos.device, non_blocking=True)
    origin = lowest.to(pos.device, non_blocking=True)
    shifted = pos - (origin * stride - padding).index_select(0, batch)
    cloud = batch * math.prod(size)
    offset, into, key = _reached_sites(shifted, cloud, weight, kernel_size, stride)
    site, out = key.unique(return_inverse=True)
    ptr = torch.searchsorted(site, torch.arange(voxels.num_clouds + 1, device=site.device) * math.prod(size))
    clouds = site.div(math.prod(size), rounding_mode="floor")
    extents = torch.tensor(size).to(pos.device, non_blocking=True)
    grid_pos = site[:, None].div(weight, rounding_mode="floor") % extents + origin.index_select(0, clouds)
    parent = out
    if kernel_size != stride or padding:
        home = ((shifted - padding).div(stride, rounding_mode="floor") * weight).sum(1) + cloud
        parent = _position(home, site)
    if order is not None:
        parent = torch.empty_like(parent).index_copy_(0, order, parent)
    bounds = None
    if kernel_size >= stride:  # then every voxel is reached
        first = -(kernel_size - 1 - padding - voxels.corner).div(stride, rounding_mode="floor")
        filled = (voxels.ptr.diff() > 0)[:, None]
        bounds = first.where(filled, 0), highest.where(filled, 0)
    return Coarsening(
        voxels=VoxelSet(grid_pos.to(voxels.grid_pos.dtype), ptr, bounds=bounds),
        parent=parent,
        build_map=partial(
            map_from_pairs,
            (offset, into, out), kernel_size, len(voxels), len(site), in_order=order, out_order=None,
        ),
    )  # fmt: skip


def _reached_sites(
    shifted: Tensor, cloud: Tensor, weight: Tensor, kernel_size: int, stride: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return all pairs of a fine voxel and a coarse one that reads it: kernel offset, fine row, key of the coarse one.

    Args:
        shifted: Coordinates of fine voxels, ``(N, 3)``; kernel offset k of coarse voxel q meets ``q * stride + k``.
        cloud: First key of the cloud of every voxel, ``(N,)``.
        weight: Weights of the coarse coordinates in a key, ``(3,)``.
    """
    power = shifted.new_tensor([kernel_size**2, kernel_size, 1])
    if kernel_size == stride:  # one pair per fine voxel, so that nothing has to be counted
        site = shifted.div(stride, rounding_mode="floor")
        offset = ((shifted - site * stride) * power).sum(1)
        return offset, torch.arange(len(shifted), device=shifted.device), (site * weight).sum(1) + cloud
    steps = torch.arange(kernel_size, device=shifted.device)[:, None, None]
    site = (shifted - steps).div(stride, rounding_mode="floor")  # (k, N, 3)
    x, y, z = (site * stride + steps == shifted).unbind(2)
    *along, row = (x[:, None, None] & y[:, None] & z).nonzero().unbind(1)
    sites = torch.stack([site[step, row, axis] for axis, step in enumerate(along)], 1)
    return (torch.stack(along, 1) * power).sum(1), row, (sites * weight).sum(1) + cloud.index_select(0, row)


def _position(wanted: Tensor, ascending: Tensor) -> Tensor:
    """Return the index of every ``wanted`` in ``ascending``, -1 where it is missing."""
    if not len(ascending):
        return torch.full_like(wanted, -1)
    found = torch.searchsorted(ascending, wanted).clamp_(max=len(ascending) - 1)
    return torch.where(ascending[found] == wanted, found, -1)
