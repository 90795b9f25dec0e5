"""Voxel sets: invalid input, coarsening, and shared kernel maps."""

import pytest
import torch
from helpers.dense_conv import random_voxels

from pcseg.errors import UserError
from pcseg.ops.kernel_lookup import coarsen, submanifold_map
from pcseg.ops.voxels import VoxelSet

PTR = torch.tensor([0, 2, 3])
POS = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 0, 0]])


def test_batch_and_sizes() -> None:
    voxels = VoxelSet(POS, torch.tensor([0, 2, 2, 3]))
    assert (len(voxels), voxels.num_clouds) == (3, 3)
    assert voxels.batch.tolist() == [0, 0, 2]


def test_bounds_per_cloud() -> None:
    far = 2**60 + 1  # beyond what a double holds
    pos = torch.tensor([[far, -5, 3], [far + 2, -7, 3], [-far, 0, 0]])
    voxels = VoxelSet(pos, torch.tensor([0, 2, 2, 3]))
    assert voxels.corner.tolist() == [[far, -7, 3], [0, 0, 0], [-far, 0, 0]]
    assert voxels.top.tolist() == [[far + 2, -5, 3], [0, 0, 0], [-far, 0, 0]]
    assert voxels.extent == [3, 3, 1]


@pytest.mark.parametrize(
    ("pos", "ptr", "message"),
    [
        (POS.float(), PTR, "grid_pos: has type torch.float32"),
        (POS, PTR.float(), "ptr: has type torch.float32"),
        (POS[:, :2], PTR, r"Pass \(N, 3\)"),
        (POS, torch.tensor([0, 2]), "ptr: must ascend from 0 to 3"),
        (POS, torch.tensor([0, 3, 2, 3]), "ptr: must ascend"),
        (POS, torch.tensor([0, 3]), r"cloud 0 holds voxel \(0, 0, 0\) twice"),
        (
            torch.tensor([[0, 0, 0], [2, -3, 4], [2, -3, 4]]),
            torch.tensor([0, 1, 3]),
            r"cloud 1 .* \(2, -3, 4\) twice",
        ),
        (torch.tensor([[0, 0, 0], [1, 1, 1]]) * 2**30, torch.tensor([0, 2]), "too many to number"),
    ],
)
def test_refuses(pos: torch.Tensor, ptr: torch.Tensor, message: str) -> None:
    with pytest.raises(UserError, match=message):
        VoxelSet(pos, ptr)


def test_coarsen_floors_and_links() -> None:
    voxels = random_voxels([40, 0, 1, 60])
    step = coarsen(voxels)
    coarse, parent = step.voxels, step.parent
    expected = voxels.grid_pos.div(2, rounding_mode="floor")
    assert torch.equal(coarse.grid_pos[parent], expected)
    assert torch.equal(coarse.batch[parent], voxels.batch)
    assert coarse.grid_pos.dtype == voxels.grid_pos.dtype
    assert len(torch.cat([coarse.batch[:, None], coarse.grid_pos], 1).unique(dim=0)) == len(coarse)
    assert set(parent.tolist()) == set(range(len(coarse)))
    assert coarse.ptr[2] == coarse.ptr[1]
    assert coarse.order is None, "coarse rows ascend by cloud, x, y, z"


def test_wide_stride_leaves_voxels_without_parent() -> None:
    voxels = VoxelSet(torch.tensor([[0, 0, 0], [2, 0, 0], [-2, 1, 0], [5, 5, 5]]), torch.tensor([0, 4]))
    step = coarsen(voxels, kernel_size=2, stride=3)
    coarse, parent = step.voxels, step.parent
    assert coarse.grid_pos.tolist() == [[-1, 0, 0], [0, 0, 0]]
    assert parent.tolist() == [1, 1, 0, -1]


def test_maps_are_shared() -> None:
    voxels = random_voxels([30])
    assert submanifold_map(voxels, 3) is submanifold_map(voxels, 3)
    assert submanifold_map(voxels, 3) is not submanifold_map(voxels, 3, 2)
    assert coarsen(voxels) is coarsen(voxels)
    assert coarsen(voxels).kernel_map.transposed is coarsen(voxels).kernel_map.transposed
    assert submanifold_map(voxels, 3).transposed is submanifold_map(voxels, 3), (
        "a gradient needs no map of its own"
    )


@pytest.mark.parametrize(("size", "dilation"), [(2, 1), (0, 1), (9, 1), (3, 0)])
def test_refuses_kernels(size: int, dilation: int) -> None:
    with pytest.raises(UserError, match="do not define a submanifold convolution"):
        submanifold_map(random_voxels([3]), size, dilation)


@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(0, 2, 0), (9, 2, 0), (2, 0, 0), (2, 2, 2), (2, 2, -1)]
)
def test_refuses_strided_kernels(size: int, stride: int, padding: int) -> None:
    with pytest.raises(UserError, match="do not define a strided convolution"):
        coarsen(random_voxels([3]), size, stride, padding=padding)


def test_no_voxels_at_all() -> None:
    voxels = VoxelSet(torch.empty(0, 3, dtype=torch.int32), torch.tensor([0, 0, 0]))
    step = coarsen(voxels)
    coarse, parent = step.voxels, step.parent
    assert (len(coarse), coarse.num_clouds, len(parent)) == (0, 2, 0)
    assert submanifold_map(voxels, 3).num_pairs == 0
