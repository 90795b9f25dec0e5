"""Levels for tests of point heads: random scenes, and images as planar grids of voxels."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from pcseg.nn.levels import Level
from pcseg.ops.clouds import Clouds
from pcseg.ops.kernel_lookup import coarsen
from pcseg.ops.voxels import VoxelSet


def random_scene(num_points: int, channels: int, *, edge: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return distinct voxels ``(N, 3)`` in random order, and float64 features."""
    generator = torch.Generator().manual_seed(seed)
    cells = torch.randperm(edge**3, generator=generator)[:num_points]
    grid_pos = torch.stack([cells // edge**2, cells // edge % edge, cells % edge], 1)
    return grid_pos, torch.randn(num_points, channels, generator=generator, dtype=torch.float64)


def make_levels(scenes: Sequence[tuple[Tensor, Tensor]], depth: int = 3) -> tuple[list[Level], Batch]:
    """Return levels that halve the resolution; coarse features are means of the finer ones."""
    sizes = torch.tensor([len(grid_pos) for grid_pos, _ in scenes])
    ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    voxels = VoxelSet(torch.cat([grid_pos for grid_pos, _ in scenes]), ptr)
    levels = [Level(x=torch.cat([x for _, x in scenes]), sites=voxels, stride=1)]
    for _ in range(depth - 1):
        fine = levels[-1]
        step = coarsen(fine.voxels)
        coarse, parent = step.voxels, step.parent
        counts = torch.bincount(parent, minlength=len(coarse))[:, None]
        total = fine.x.new_zeros(len(coarse), fine.x.shape[1]).index_add(0, parent, fine.x)
        levels.append(Level(x=total / counts, sites=coarse, stride=2 * fine.stride, parent=parent))
    return levels, batch_of(voxels)


def batch_of(voxels: Clouds, num_classes: int = 5) -> Batch:
    """Return a batch with these tokens and labels of all classes, some of them ignored."""
    y = torch.arange(len(voxels)) % (num_classes + 1) - 1
    parts = y.split(voxels.ptr.diff().tolist())
    return Batch.from_data_list([Data(y=part, num_nodes=len(part)) for part in parts])


def planar_levels(images: Sequence[Tensor], orders: Sequence[Tensor]) -> tuple[list[Level], Batch]:
    """Return images ``(B, C_i, H, W)`` of one size as levels of one resolution, pixel (y, x) at voxel (x, y, 0).

    Args:
        images: One a level.
        orders: For every image of the batch, the order in which its pixels become rows, ``(H*W,)``.
    """
    _, _, height, width = images[0].shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    grid_pos = torch.stack([x, y, torch.zeros_like(x)], -1).view(-1, 3)
    ptr = torch.arange(len(orders) + 1) * height * width
    voxels = VoxelSet(torch.cat([grid_pos[order] for order in orders]), ptr)
    same = torch.arange(len(voxels))
    levels = []
    for image in images:
        pixels = image.flatten(2).mT
        x = torch.cat([rows[order] for rows, order in zip(pixels, orders)])
        levels.append(Level(x=x, sites=voxels, stride=1, parent=same if levels else None))
    return levels, batch_of(voxels)


def join_levels(parts: Sequence[list[Level]]) -> tuple[list[Level], Batch]:
    """Return levels of one resolution (as :func:`planar_levels` makes) of several batches, as one batch."""
    sets = [levels[0].voxels for levels in parts]
    sizes = torch.cat([voxels.ptr.diff() for voxels in sets])
    ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    voxels = VoxelSet(torch.cat([voxels.grid_pos for voxels in sets]), ptr)
    same = torch.arange(len(voxels))
    joined = [
        Level(
            x=torch.cat([level.x for level in same_level]),
            sites=voxels,
            stride=1,
            parent=same if i else None,
        )
        for i, same_level in enumerate(zip(*parts))
    ]
    return joined, batch_of(voxels)


def as_images(rows: Tensor, orders: Sequence[Tensor], height: int, width: int) -> Tensor:
    """Return rows of :func:`planar_levels` as images ``(B, K, H, W)``."""
    parts = rows.split(height * width)
    images = [torch.empty_like(part).index_copy(0, order, part) for part, order in zip(parts, orders)]
    return torch.stack(images).mT.reshape(len(orders), -1, height, width)
