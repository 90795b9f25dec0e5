"""Sparse convolutions against brute force on full grids, for every implementation."""

from collections.abc import Callable

import pytest
import torch
from helpers.dense_conv import dense_conv, random_voxels
from torch import Tensor

from pcseg.ops import kernel_lookup, kernel_map, sparse_conv
from pcseg.ops.kernel_lookup import coarsen, dense_columns, sorted_columns, submanifold_map
from pcseg.ops.sparse_conv import inverse_conv
from pcseg.ops.voxels import VoxelSet

SIZES = [70, 0, 1, 120]


@pytest.fixture(params=["groups", "every offset"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse_conv, "should_group", lambda *_: request.param == "groups")
    monkeypatch.setattr(kernel_map, "BLOCK_ROWS", 64)  # several blocks
    monkeypatch.setattr(kernel_map, "GROUP_ROWS", 16)
    monkeypatch.setitem(sparse_conv.GATHERED, "cpu", 1)


def operands(
    voxels: VoxelSet, volume: int, channels: int = 3, out_channels: int = 4
) -> tuple[Tensor, Tensor]:
    x = torch.randn(len(voxels), channels, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(volume, channels, out_channels, dtype=torch.float64, requires_grad=True)
    return x, weight


def same_with_gradients(ours: Tensor, brute: Tensor, *inputs: Tensor) -> None:
    torch.testing.assert_close(ours, brute)
    grad = torch.randn_like(ours)
    gradients = [torch.autograd.grad(out, inputs, grad, retain_graph=True) for out in (ours, brute)]
    for a, b in zip(*gradients):
        torch.testing.assert_close(a, b)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("lookup", ["dense", "sorted"])
@pytest.mark.parametrize(("size", "dilation"), [(1, 1), (3, 1), (5, 1), (7, 1), (3, 2), (3, 3), (5, 2)])
def test_submanifold(size: int, dilation: int, lookup: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if lookup == "sorted":
        monkeypatch.setattr(kernel_lookup, "DENSE_CELLS", 0)
    voxels = random_voxels(SIZES)
    x, weight = operands(voxels, size**3)
    ours = sparse_conv.sparse_conv(x, weight, submanifold_map(voxels, size, dilation))
    padding = size // 2 * dilation
    brute = dense_conv(x, voxels, weight, voxels, stride=1, padding=padding, dilation=dilation)
    same_with_gradients(ours, brute, x, weight)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 3, 0), (2, 3, 0), (3, 1, 1), (1, 2, 0)]
)
def test_strided_and_inverse(size: int, stride: int, padding: int) -> None:
    voxels = random_voxels(SIZES)
    step = coarsen(voxels, size, stride, padding=padding)
    coarse, strided = step.voxels, step.kernel_map
    x, weight = operands(voxels, size**3)
    ours = sparse_conv.sparse_conv(x, weight, strided)
    brute = dense_conv(x, voxels, weight, coarse, stride=stride, padding=padding)
    assert (brute.detach() != 0).any(1).all(), "every coarse voxel is reached"
    same_with_gradients(ours, brute, x, weight)
    # the inverse is the adjoint: <conv(x), y> = <x, inverse(y)> with the weights transposed
    y = torch.randn_like(ours, requires_grad=True)
    back = inverse_conv(y, weight.transpose(1, 2), strided)
    expected = torch.autograd.grad(brute, x, y, create_graph=True)[0]
    same_with_gradients(back, expected, y, weight)


def test_every_coarse_voxel_is_reached() -> None:
    voxels = random_voxels([25])
    coarse = coarsen(voxels, 3, 2, padding=1).voxels
    steps = torch.cartesian_prod(*[torch.arange(3)] * 3)
    targets = (voxels.grid_pos[:, None] + 1 - steps).flatten(0, 1)
    reached = targets[(targets % 2 == 0).all(1)] // 2
    assert torch.equal(coarse.grid_pos.long(), reached.unique(dim=0))


@pytest.mark.usefixtures("_way")
def test_gradcheck() -> None:
    voxels = random_voxels([9, 0, 12], edge=3)
    x, weight = operands(voxels, 27, 2, 2)
    assert torch.autograd.gradcheck(sparse_conv.sparse_conv, (x, weight, submanifold_map(voxels, 3)))
    x, weight = operands(voxels, 8, 2, 2)
    assert torch.autograd.gradcheck(sparse_conv.sparse_conv, (x, weight, coarsen(voxels).kernel_map))
    y, weight = operands(coarsen(voxels).voxels, 8, 2, 2)
    assert torch.autograd.gradcheck(inverse_conv, (y, weight, coarsen(voxels).kernel_map))


@pytest.mark.parametrize("size", [3, 5])
def test_lookups_agree(size: int) -> None:
    voxels = random_voxels(SIZES)
    margin = size // 2
    keys = voxels.keys(margin).sort().values
    _, size_y, size_z = voxels.key_sizes(margin)
    around = range(-margin, margin + 1)
    steps = [(x * size_y + y) * size_z - margin for x in around for y in around]
    dense_start, dense_pattern = dense_columns(keys, steps, size, voxels.num_cells(margin))
    sorted_start, sorted_pattern = sorted_columns(keys, steps, size)
    assert torch.equal(dense_pattern, sorted_pattern)
    seen = dense_pattern > 0
    assert torch.equal(dense_start[seen], sorted_start[seen])


@pytest.mark.usefixtures("_way")
def test_clouds_do_not_see_each_other() -> None:
    """A batch of clouds gives the same as each cloud alone, however far apart they are."""
    clouds = [random_voxels([60], seed=seed).grid_pos.long() for seed in range(3)]
    far = [clouds[0], clouds[1] + 1_000_000_000, clouds[2] - 1_000_000_000]
    ptr = torch.tensor([0, 60, 120, 180])
    x, weight = torch.randn(180, 3, dtype=torch.float64), torch.randn(27, 3, 4, dtype=torch.float64)
    alone = [
        sparse_conv.sparse_conv(part, weight, submanifold_map(VoxelSet(pos, torch.tensor([0, 60])), 3))
        for pos, part in zip(clouds, x.split(60))
    ]
    for together in (clouds, far):
        out = sparse_conv.sparse_conv(x, weight, submanifold_map(VoxelSet(torch.cat(together), ptr), 3))
        torch.testing.assert_close(out, torch.cat(alone), rtol=0, atol=1e-12)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize(
    "build", [lambda voxels: submanifold_map(voxels, 3), lambda voxels: submanifold_map(voxels, 3, 2)]
)
def test_rows_may_come_in_any_order(build: Callable) -> None:
    voxels = random_voxels([80])
    order = torch.randperm(80)
    shuffled = VoxelSet(voxels.grid_pos[order], voxels.ptr)
    x, weight = operands(voxels, 27)
    out = sparse_conv.sparse_conv(x, weight, build(voxels))
    torch.testing.assert_close(sparse_conv.sparse_conv(x[order], weight, build(shuffled)), out[order])


def test_backward_stores_only_its_inputs() -> None:
    voxels = random_voxels([200])
    x = torch.randn(200, 16, requires_grad=True)
    weight = torch.randn(27, 16, 16, requires_grad=True)
    saved: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor) or tensor, lambda t: t):
        out = sparse_conv.sparse_conv(x, weight, submanifold_map(voxels, 3))
    assert out.requires_grad
    assert sum(tensor.nbytes for tensor in saved) <= x.nbytes + weight.nbytes


@pytest.mark.usefixtures("_way")
def test_results_are_bitwise_reproducible() -> None:
    voxels = random_voxels([200])
    x, weight = (tensor.detach().float().requires_grad_() for tensor in operands(voxels, 27, 16, 16))
    runs = []
    for _ in range(2):
        out = sparse_conv.sparse_conv(x, weight, submanifold_map(voxels, 3))
        runs.append((out, *torch.autograd.grad(out.square().sum(), (x, weight))))
    assert all(torch.equal(a, b) for a, b in zip(*runs))


@pytest.mark.usefixtures("_way")
def test_autocast() -> None:
    voxels = random_voxels([150])
    x, weight = (tensor.detach().float().requires_grad_() for tensor in operands(voxels, 27, 16, 16))
    exact = sparse_conv.sparse_conv(x, weight, submanifold_map(voxels, 3))
    with torch.autocast("cpu", torch.bfloat16):
        out = sparse_conv.sparse_conv(x, weight, submanifold_map(voxels, 3))
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), exact, rtol=0.02, atol=0.3)
    gradients = torch.autograd.grad(out.float().square().sum(), (x, weight))
    for gradient, expected in zip(gradients, torch.autograd.grad(exact.square().sum(), (x, weight))):
        assert gradient.dtype == torch.float32
        assert float((gradient - expected).norm() / expected.norm()) < 0.02


def test_no_rows() -> None:
    voxels = random_voxels([0, 0])
    x, weight = operands(voxels, 27)
    out = sparse_conv.sparse_conv(x, weight, submanifold_map(voxels, 3))
    assert out.shape == (0, 4)
    assert not torch.autograd.grad(out.sum(), weight)[0].any()
