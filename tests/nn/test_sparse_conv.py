"""Layers of sparse convolution against ``torch.nn`` on a full grid of voxels."""

import pytest
import torch
from helpers.dense_conv import random_voxels
from torch import Tensor, nn

from pcseg.nn.sparse_conv import InverseConv, StridedConv, SubmanifoldConv
from pcseg.ops import kernel_lookup
from pcseg.ops.kernel_lookup import coarsen
from pcseg.ops.voxels import VoxelSet

EDGE = 4


def full_grid() -> tuple[VoxelSet, Tensor]:
    """Every voxel of a cube, so that sparse and dense convolutions are the same."""
    pos = torch.cartesian_prod(*[torch.arange(EDGE)] * 3)
    return VoxelSet(pos, torch.tensor([0, len(pos)])), torch.randn(len(pos), 5)


def as_grid(x: Tensor, edge: int = EDGE) -> Tensor:
    return x.t().view(1, -1, edge, edge, edge)


def as_rows(grid: Tensor) -> Tensor:
    return grid.flatten(2)[0].t()


def kernel(weight: Tensor) -> Tensor:
    edge = round(len(weight) ** (1 / 3))
    return weight.view(edge, edge, edge, *weight.shape[1:]).permute(4, 3, 0, 1, 2)


def copy_weights(dense: nn.Conv3d | nn.ConvTranspose3d, sparse: nn.Module) -> None:
    weight = kernel(sparse.weight.data)
    dense.weight.data = weight.transpose(0, 1) if isinstance(dense, nn.ConvTranspose3d) else weight
    assert dense.bias is not None
    dense.bias.data = sparse.bias.data


@pytest.mark.parametrize(("size", "dilation"), [(1, 1), (3, 1), (5, 1), (3, 2)])
def test_submanifold_is_conv3d_with_same_padding(size: int, dilation: int) -> None:
    voxels, x = full_grid()
    sparse = SubmanifoldConv(5, 7, size, dilation=dilation)
    dense = nn.Conv3d(5, 7, size, padding="same", dilation=dilation)
    copy_weights(dense, sparse)
    torch.testing.assert_close(sparse(x, voxels), as_rows(dense(as_grid(x))), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("size", "padding"), [(2, 0), (3, 1)])
def test_strided_is_conv3d(size: int, padding: int) -> None:
    voxels, x = full_grid()
    sparse = StridedConv(5, 7, size, stride=2, padding=padding)
    dense = nn.Conv3d(5, 7, size, stride=2, padding=padding)
    copy_weights(dense, sparse)
    out, coarse = sparse(x, voxels), coarsen(voxels, size, 2, padding=padding).voxels
    inside = (coarse.grid_pos < EDGE // 2).all(1)  # nn.Conv3d leaves out sites that see no voxel but the last
    torch.testing.assert_close(out[inside], as_rows(dense(as_grid(x))), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("edges", [(8, 9), (9, 8), (16, 17), (17, 16)])
@pytest.mark.parametrize(("size", "padding"), [(2, 0), (3, 1)])
def test_strided_on_a_planar_grid_has_the_sites_of_conv2d(
    edges: tuple[int, int], size: int, padding: int
) -> None:
    """An image of even and odd edges: outputs that an image has are equal, others lie beyond its last row alone."""
    width, height = edges
    x, y = torch.meshgrid(torch.arange(width), torch.arange(height), indexing="ij")
    grid_pos = torch.stack([x.flatten(), y.flatten(), torch.zeros(width * height, dtype=torch.long)], 1)
    voxels, image = VoxelSet(grid_pos, torch.tensor([0, width * height])), torch.randn(1, 5, width, height)
    sparse = StridedConv(5, 7, size, padding=padding)
    middle = kernel(sparse.weight.data)[..., padding]  # what meets z = 0
    expected = torch.nn.functional.conv2d(image, middle, sparse.bias, stride=2, padding=padding)[0]
    found, coarse = (
        sparse(image[0].flatten(1).mT.contiguous(), voxels),
        coarsen(voxels, size, 2, padding=padding).voxels,
    )
    shape = torch.tensor(expected.shape[1:])
    assert coarse.grid_pos[:, :2].amin() == 0
    inside = (coarse.grid_pos[:, :2] < shape).all(1) & (coarse.grid_pos[:, 2] == 0)
    assert int(inside.sum()) == shape.prod(), "every site of the image is there"
    column, row = coarse.grid_pos[inside, 0], coarse.grid_pos[inside, 1]
    torch.testing.assert_close(found[inside], expected[:, column, row].mT, rtol=1e-4, atol=1e-5)


def test_inverse_is_conv_transpose3d() -> None:
    voxels, _ = full_grid()
    coarse = torch.randn((EDGE // 2) ** 3, 5)
    sparse, dense = InverseConv(5, 7), nn.ConvTranspose3d(5, 7, 2, stride=2)
    copy_weights(dense, sparse)
    expected = as_rows(dense(as_grid(coarse, EDGE // 2)))
    torch.testing.assert_close(sparse(coarse, voxels), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", [SubmanifoldConv, StridedConv, InverseConv])
def test_starts_like_conv3d(layer: type[SubmanifoldConv | StridedConv]) -> None:
    size = 3 if layer is SubmanifoldConv else 2
    sparse, dense = layer(32, 64, size), nn.Conv3d(32, 64, size)
    assert sparse.weight.std().item() == pytest.approx(dense.weight.std().item(), rel=0.05)
    assert layer(3, 4, size, bias=False).bias is None


def test_layers_of_a_level_share_one_map(monkeypatch: pytest.MonkeyPatch) -> None:
    voxels = random_voxels([50])
    built = []
    build = kernel_lookup.dense_columns
    monkeypatch.setattr(kernel_lookup, "dense_columns", lambda *args: built.append(args) or build(*args))
    x = torch.randn(50, 4)
    for _ in range(3):
        x = SubmanifoldConv(4, 4)(x, voxels)
    x.sum().backward()
    assert len(built) == 1


def test_submanifold_takes_features_side_by_side() -> None:
    voxels, x = full_grid()
    conv = SubmanifoldConv(5, 7)
    assert torch.equal(conv([x[:, :2], x[:, 2:]], voxels), conv(x, voxels))
