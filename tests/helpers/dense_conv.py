"""Sparse convolution by brute force: ``conv3d`` on a full grid around every cloud, in float64."""

import torch
from torch import Tensor
from torch.nn.functional import conv3d

from pcseg.ops.voxels import VoxelSet


def random_voxels(sizes: list[int], *, edge: int = 6, seed: int = 0, corner: int = -3) -> VoxelSet:
    """Return clouds of ``sizes`` distinct voxels of a cube in random order; the cube starts at a negative corner."""
    generator = torch.Generator().manual_seed(seed)
    clouds = []
    for number, size in enumerate(sizes):
        cells = torch.randperm(edge**3, generator=generator)[:size]
        pos = torch.stack([cells // edge**2, cells // edge % edge, cells % edge], 1)
        clouds.append(pos + torch.tensor([corner, corner + number, 5 * number]))
    ptr = torch.tensor([0, *sizes]).cumsum(0)
    return VoxelSet(torch.cat(clouds).int(), ptr)


def dense_conv(
    x: Tensor,
    fine: VoxelSet,
    weight: Tensor,
    coarse: VoxelSet,
    *,
    stride: int,
    padding: int,
    dilation: int = 1,
) -> Tensor:
    """Compute ``out[q] = sum_k x[q * stride - padding + k * dilation] @ weight[k]`` at the voxels of ``coarse``."""
    edge = round(len(weight) ** (1 / 3))
    kernel = weight.view(edge, edge, edge, *weight.shape[1:]).permute(4, 3, 0, 1, 2)
    parts = []
    for cloud in range(fine.num_clouds):
        pos, sites = (voxels.grid_pos[voxels.batch == cloud].long() for voxels in (fine, coarse))
        if not len(sites):
            continue
        reach = edge * dilation
        low = (torch.cat([pos, sites * stride]).amin(0) - reach).div(stride, rounding_mode="floor") * stride
        size = torch.cat([pos, sites * stride]).amax(0) - low + 2 * reach
        grid = x.new_zeros(x.shape[1], *size.tolist())
        grid[:, *(pos - low).unbind(1)] = x[fine.batch == cloud].t()
        # a site q of the grid starts at q * stride, so the padding is a shift of the sites that are read
        start = sites * stride - padding - low
        full = conv3d(grid[None], kernel, dilation=dilation)[0]
        parts.append(full[:, *start.unbind(1)].t())
    return torch.cat(parts) if parts else x.new_empty(0, weight.shape[2])
