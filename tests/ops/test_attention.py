"""Attention over unions of lines and planes against a dense masked softmax in float64."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pcseg.errors import UserError
from pcseg.ops import groups
from pcseg.ops.attention import Support, union_attention
from pcseg.ops.groups import group_by
from pcseg.ops.lines import axis_lines, pixel_lines
from pcseg.ops.voxels import VoxelSet


def random_voxels(*sizes: int, edge: int = 7, seed: int = 0) -> VoxelSet:
    generator = torch.Generator().manual_seed(seed)
    clouds = []
    for size in sizes:
        cells = torch.randperm(edge**3, generator=generator)[:size]
        clouds.append(torch.stack([cells // edge**2, cells // edge % edge, cells % edge], 1) - 3)
    ptr = torch.tensor([0, *sizes]).cumsum(0)
    return VoxelSet(torch.cat(clouds), ptr)


def random_qkv(count: int, width: int = 4, channels: int = 6) -> tuple[Tensor, ...]:
    return tuple(
        torch.randn(count, c, dtype=torch.float64, requires_grad=True) for c in (width, width, channels)
    )


def dense_attention(query: Tensor, key: Tensor, value: Tensor, visible: Tensor) -> Tensor:
    return (query @ key.mT).masked_fill(~visible, -torch.inf).softmax(1) @ value


def check(support: Support, visible: Tensor) -> None:
    """Values and gradients agree with the dense formula."""
    inputs = random_qkv(len(visible))
    found, expected = union_attention(*inputs, support), dense_attention(*inputs, visible)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    for cotangent in (torch.randn_like(found), torch.randn_like(found.mT.contiguous()).mT):
        gradients = torch.autograd.grad(found, inputs, cotangent, retain_graph=True)
        exact = torch.autograd.grad(expected, inputs, cotangent, retain_graph=True)
        for a, b in zip(gradients, exact):
            torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


def visible_along(voxels: VoxelSet, cell: Tensor, axes: tuple[int, ...], shared: Callable) -> Tensor:
    """Pairs of one cloud for which ``shared(equal, axis)`` holds for some axis; ``equal`` (N, N, 3)."""
    equal = cell[:, None] == cell[None]
    same_cloud = voxels.batch[:, None] == voxels.batch[None]
    seen = torch.stack([shared(equal, axis) for axis in axes]).any(0)
    return seen & same_cloud


def on_line(equal: Tensor, axis: int) -> Tensor:
    return equal[..., [other for other in range(3) if other != axis]].all(-1)


def on_plane(equal: Tensor, axis: int) -> Tensor:
    return equal[..., axis]


def axis_planes(voxels: VoxelSet) -> Support:
    """Voxels of a cloud that share one coordinate: partitions that overlap more than lines do."""
    keys = [voxels.batch * 100 + local(voxels)[:, axis] for axis in range(3)]
    return Support(partitions=[group_by(key) for key in keys], overlapping=True)


def local(voxels: VoxelSet) -> Tensor:
    return voxels.grid_pos - voxels.corner[voxels.batch]


@pytest.mark.parametrize("axes", [(0, 1, 2), (0, 1), (2,), (2, 0)])
@pytest.mark.parametrize("sizes", [(60, 0, 90), (1,), (0,), (343,)])
def test_lines(axes: tuple[int, ...], sizes: tuple[int, ...]) -> None:
    voxels = random_voxels(*sizes)
    check(
        axis_lines(voxels, axes=axes), visible_along(voxels, voxels.grid_pos, axes, on_line) | _self(voxels)
    )


@pytest.mark.parametrize("thickness", [2, 3, 20])
@pytest.mark.parametrize("shift", [0, 1])
def test_thick_lines_count_a_pair_once(thickness: int, shift: int) -> None:
    voxels = random_voxels(80, 50)
    cell = (local(voxels) + shift) // thickness
    visible = visible_along(voxels, cell, (0, 1, 2), on_line)
    check(axis_lines(voxels, thickness=thickness, shift=shift), visible)


def test_planes() -> None:
    voxels = random_voxels(80, 50)
    check(axis_planes(voxels), visible_along(voxels, voxels.grid_pos, (0, 1, 2), on_plane))


def test_large_groups_are_processed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(groups.PAIRS_PER_BLOCK, "cpu", 40)
    monkeypatch.setitem(groups.SMALL_BLOCK, "cpu", 0)
    voxels = random_voxels(90, 30)
    check(axis_planes(voxels), visible_along(voxels, voxels.grid_pos, (0, 1, 2), on_plane))
    check(axis_lines(voxels), visible_along(voxels, voxels.grid_pos, (0, 1, 2), on_line))


def test_lines_of_pixels_are_those_of_a_planar_grid() -> None:
    y, x = torch.meshgrid(torch.arange(4), torch.arange(3), indexing="ij")
    grid_pos = torch.stack([x, y, 0 * x], -1).view(-1, 3).repeat(2, 1)
    voxels = VoxelSet(grid_pos, torch.tensor([0, 12, 24]))
    inputs = random_qkv(24)
    for axes in [(0, 1), (0, 1, 2)]:
        found = union_attention(*inputs, axis_lines(voxels, axes=axes))
        torch.testing.assert_close(
            found, union_attention(*inputs, pixel_lines(2, 4, 3)), rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize("size", [(1, 4, 3), (1, 5, 5), (3, 4, 6), (2, 1, 5), (1, 1, 1)])
@pytest.mark.parametrize("pairs", [1, 40, 1 << 18])
def test_lines_of_pixels(monkeypatch: pytest.MonkeyPatch, size: tuple[int, int, int], pairs: int) -> None:
    """Rows as views or gathered, of one image or several, for any memory layout of the gradients."""
    monkeypatch.setitem(groups.PAIRS_PER_BLOCK, "cpu", pairs)
    monkeypatch.setitem(groups.SMALL_BLOCK, "cpu", 0)
    image, y, x = (pixel.flatten() for pixel in torch.meshgrid(*map(torch.arange, size), indexing="ij"))
    same_line = (y[:, None] == y) | (x[:, None] == x)
    check(pixel_lines(*size), same_line & (image[:, None] == image))


def test_rows_and_columns_are_evenly_spaced() -> None:
    rows, columns = pixel_lines(1, 4, 3).partitions
    assert [block.keys.spacing for block in rows.blocks] == [(0, 3, 1)]
    assert [block.keys.spacing for block in columns.blocks] == [(0, 1, 3)]
    rows, columns = pixel_lines(2, 4, 3).partitions
    assert [block.keys.spacing for block in rows.blocks] == [(0, 3, 1)]
    assert [block.keys.spacing for block in columns.blocks] == [None]


def test_golden_numbers() -> None:
    """Row and column of a 2x3 image, and the three lines of a filled 2x2x2 box, self counted once."""
    x = torch.tensor([[0.1], [0.2], [0.3], [0.4], [0.5], [0.6]], dtype=torch.float64)
    expected = [0.251250, 0.279402, 0.310697, 0.413628, 0.435751, 0.457492]
    assert union_attention(x, x, x, pixel_lines(1, 2, 3))[:, 0].tolist() == pytest.approx(expected, abs=1e-6)
    corner = torch.cartesian_prod(*[torch.arange(2)] * 3)
    box = VoxelSet(corner, torch.tensor([0, 8]))
    x = torch.arange(1, 9, dtype=torch.float64)[:, None] / 10
    expected = [0.277194, 0.332412, 0.389199, 0.446508, 0.499665, 0.552455, 0.600225, 0.642006]
    assert union_attention(x, x, x, axis_lines(box))[:, 0].tolist() == pytest.approx(expected, abs=1e-6)


def test_large_logits_do_not_overflow() -> None:
    voxels = random_voxels(60, edge=4)
    query, key, value = (tensor.detach().float() for tensor in random_qkv(60))
    out = union_attention(200 * query, 200 * key, value, axis_lines(voxels))
    expected = dense_attention(
        200 * query, 200 * key, value, visible_along(voxels, voxels.grid_pos, (0, 1, 2), on_line)
    )
    torch.testing.assert_close(out, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_gradcheck() -> None:
    voxels = random_voxels(12, 7, edge=3)
    for support in (axis_lines(voxels), axis_lines(voxels, thickness=2)):
        inputs = random_qkv(19, 3, 3)
        assert torch.autograd.gradcheck(lambda *qkv, s=support: union_attention(*qkv, s), inputs)


@pytest.mark.parametrize("support", [axis_lines(random_voxels(200)), pixel_lines(1, 10, 20)])
def test_half_precision_is_kept_and_close(support: Support) -> None:
    exact = [tensor.detach().float().requires_grad_() for tensor in random_qkv(200)]
    half = [tensor.detach().bfloat16().requires_grad_() for tensor in exact]
    expected, found = union_attention(*exact, support), union_attention(*half, support)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.05)
    found.sum().backward()
    assert all(tensor.grad is not None and tensor.grad.dtype == torch.bfloat16 for tensor in half)


def test_groups_and_blocks_contain_every_token_once() -> None:
    key = torch.randint(0, 30, (200,))
    partition = group_by(key)
    assert torch.equal(partition.id, torch.unique(key, return_inverse=True)[1])
    queries = torch.cat([block.queries.index.flatten() for block in partition.blocks])
    alone = torch.bincount(key)[key] == 1
    assert sorted(queries[queries >= 0].tolist()) == torch.arange(200)[~alone].tolist()
    for block in partition.blocks:
        assert block.padded == bool((block.keys.index < 0).any())


def test_lines_are_built_once_per_voxel_set() -> None:
    voxels = random_voxels(40, 30)
    lines = axis_lines(voxels)
    assert axis_lines(voxels) is lines
    others = [
        axis_lines(voxels, axes=(0, 1)),
        axis_lines(voxels, thickness=2),
        axis_lines(voxels, thickness=2, shift=1),
    ]
    assert len({id(support) for support in (lines, *others)}) == 4
    assert axis_lines(random_voxels(40, 30)) is not lines


def test_floating_point_coordinates_are_refused() -> None:
    with pytest.raises(UserError, match="Pass integers"):
        axis_lines(VoxelSet(torch.rand(4, 3), torch.tensor([0, 4])))


def test_a_duplicate_voxel_is_refused() -> None:
    with pytest.raises(UserError, match="twice"):
        axis_lines(VoxelSet(torch.zeros(2, 3, dtype=torch.int32), torch.tensor([0, 2])))


def _self(voxels: VoxelSet) -> Tensor:
    return torch.eye(len(voxels), dtype=torch.bool)
