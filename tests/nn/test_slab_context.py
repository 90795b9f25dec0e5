"""Slab context against loops over slabs in float64."""

import math

import pytest
import torch
from helpers.grids import random_scene
from torch import Tensor

from pcseg.errors import UserError
from pcseg.nn.slab_context import (
    FULL,
    REACH,
    SlabAttention,
    SlabContext,
    class_tables,
    position_features,
    slab_ends,
)
from pcseg.ops.points import PointSet
from pcseg.ops.slabs import Slabs, voxel_slabs
from pcseg.ops.voxels import VoxelSet

CHANNELS, CLASSES = 6, 4


def scene(sizes: list[int], *, channels: int = CHANNELS) -> tuple[VoxelSet, Tensor, Tensor]:
    """Return voxels of clouds of these sizes, features, and class probabilities, all in float64."""
    parts = [random_scene(size, channels, seed=seed) for seed, size in enumerate(sizes)]
    ptr = torch.tensor([0, *sizes]).cumsum(0)
    x = torch.cat([features for _, features in parts])
    generator = torch.Generator().manual_seed(1)
    prob = torch.rand(len(x), CLASSES, generator=generator, dtype=torch.float64).softmax(1)
    shifts = [torch.tensor([7 * seed - 5, -3 * seed, 2]) for seed in range(len(sizes))]
    return VoxelSet(torch.cat([grid + shift for (grid, _), shift in zip(parts, shifts)]), ptr), x, prob


def point_slabs(pos: Tensor, ptr: Tensor, size: float, axes: tuple[int, ...] = (0, 1, 2)) -> list[Slabs]:
    return voxel_slabs(PointSet(pos, ptr, cell_size=size), axes=axes)


def by_loops(
    module: SlabContext, x: Tensor, voxels: VoxelSet, prob: Tensor, weight: Tensor | None = None
) -> Tensor:
    """Return the output of :class:`SlabContext` by its formula, slab by slab."""
    y, weight = module.own(x), torch.ones(len(x)) if weight is None else weight
    for cloud in range(voxels.num_clouds):
        rows = torch.arange(int(voxels.ptr[cloud]), int(voxels.ptr[cloud + 1]))
        for axis in range(3):
            line = voxels.grid_pos[rows, axis]
            levels = sorted(set(line.tolist()))
            slabs = [rows[line == level] for level in levels]
            ends = ends_by_loops(levels, [float(weight[slab].sum()) for slab in slabs])
            u = [
                module.describe(torch.cat([held(module, x[slab], prob[slab]), position(end, len(slab))]))
                + module.axis[axis]
                for slab, end in zip(slabs, ends)
            ]
            if module.attention is not None:
                u = attend_by_loops(module.attention, u, levels, axis)
            for i, slab in enumerate(slabs):
                y = y.index_add(0, slab, module.read[axis](module.normalize(u[i])).expand(len(slab), -1))
    return module.activation(module.norm(y))


def held(module: SlabContext, x: Tensor, prob: Tensor) -> Tensor:
    """Return m of a slab with these tokens."""
    if module.content == "features":
        return module.enter(x).mean(0)
    return torch.cat([prob.mean(0), prob.max(0).values]) * (module.content == "shares")


def ends_by_loops(levels: list[int], sizes: list[float]) -> list[tuple[int, int]]:
    """Return the distances to both ends for slabs at these levels, whose tokens have these weights in total."""
    typical = sum(size**2 for size in sizes) / sum(sizes) if sizes else 0
    full = [level for level, size in zip(levels, sizes) if size >= FULL * typical]
    return [(max(0, level - full[0]), max(0, full[-1] - level)) for level in levels]


def position(ends: tuple[int, int], tokens: int) -> Tensor:
    """Return q of a slab."""
    distances = torch.tensor(ends).double()
    return torch.cat([torch.tensor([math.log(1 + tokens) / 4]), torch.exp(-distances / 2), distances / 16])


def attend_by_loops(layer: SlabAttention, u: list[Tensor], levels: list[int], axis: int) -> list[Tensor]:
    """Return slabs after the attention between them, pair by pair."""
    projected = [layer.qkv(layer.first(row)).view(3, layer.heads, -1) for row in u]
    found = []
    for i, (query, _, _) in enumerate(projected):
        parts = []
        for head in range(layer.heads):
            logits = torch.stack(
                [
                    query[head] @ key[head] / query.shape[1] ** 0.5
                    + layer.bias[axis, head, max(-REACH, min(REACH, levels[i] - levels[j])) + REACH]
                    for j, (_, key, _) in enumerate(projected)
                ]
            )
            weight = logits.softmax(0)
            parts.append(sum(weight[j] * value[head] for j, (_, _, value) in enumerate(projected)))
        row = u[i] + layer.out(torch.cat(parts))
        found.append(row + layer.mlp(layer.second(row)))
    return found


def make(content: str = "shares", **options: int) -> SlabContext:
    """Return a module with parameters that are all at work."""
    module = SlabContext(CHANNELS, CLASSES, content=content, **options).double()
    for parameter in module.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return module


def run(
    module: SlabContext, x: Tensor, voxels: VoxelSet, prob: Tensor, weight: Tensor | None = None
) -> Tensor:
    slabs = voxel_slabs(voxels)
    return module(x, slabs, module.tables(x, prob, slabs), weight=weight)


OPTIONS = [("shares", 0), ("features", 0), ("positions", 0), ("shares", 2), ("features", 3)]


@pytest.fixture(autouse=True)
def float64() -> object:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(("content", "heads"), OPTIONS)
@pytest.mark.parametrize("sizes", [[40, 25], [1], [30, 0, 1], [0, 12], [0]])
def test_equals_loops(sizes: list[int], content: str, heads: int) -> None:
    voxels, x, prob = scene(sizes)
    module = make(content, heads=heads, width=6)
    found = run(module, x, voxels, prob)
    torch.testing.assert_close(found, by_loops(module, x, voxels, prob), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_stray_points_are_no_ends(weighted: bool) -> None:
    """A room of 6 x 6 x 6 voxels with rays through its windows, and a sparse cloud of its own."""
    room = torch.cartesian_prod(torch.arange(6), torch.arange(6), torch.arange(6))
    rays = torch.tensor([[-3, 2, 2], [-9, 2, 3], [9, 1, 2], [30, 0, 2], [2, 8, 3], [2, 3, 40]])
    sparse = torch.tensor([[0, 0, 0], [5, 3, 1], [50, 4, 9]])
    voxels = VoxelSet(torch.cat([room, rays, sparse]), torch.tensor([0, 222, 225]))
    weight = (
        torch.cat([torch.full((216,), 9.0), torch.ones(6), torch.tensor([1.0, 200, 200])])
        if weighted
        else None
    )
    ends = slab_ends(voxel_slabs(voxels, axes=(0,))[0], weight).tolist()
    assert ends[:2] == [[0, 14], [0, 8]], "rays below the lower end"
    assert ends[2:8] == [[i, 5 - i] for i in range(6)], "the room ends at its walls"
    assert ends[8:10] == [[9, 0], [30, 0]]
    assert ends[10:] == ([[0, 50], [0, 45], [45, 0]] if weighted else [[0, 50], [5, 45], [50, 0]])
    x, prob = torch.randn(225, CHANNELS), torch.rand(225, CLASSES).softmax(1)
    module = make(heads=2, width=6)
    expected = by_loops(module, x, voxels, prob, weight)
    torch.testing.assert_close(run(module, x, voxels, prob, weight), expected, rtol=1e-12, atol=1e-12)


def test_distant_slabs_share_a_bias() -> None:
    voxels, x, prob = scene([20])
    voxels = VoxelSet(voxels.grid_pos * 30, voxels.ptr)
    module = make(heads=2, width=6)
    expected = by_loops(module, x, voxels, prob)
    torch.testing.assert_close(run(module, x, voxels, prob), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("content", "heads"), [("shares", 0), ("shares", 1), ("features", 1)])
def test_gradients(content: str, heads: int) -> None:
    voxels, x, prob = scene([7, 4])
    module = make(content, heads=heads, width=3).eval()

    def output(x: Tensor, prob: Tensor) -> Tensor:
        return run(module, x, voxels, prob)

    inputs = x.requires_grad_(), prob.requires_grad_()
    assert torch.autograd.gradcheck(output, inputs, fast_mode=heads > 0)


@pytest.mark.parametrize(("content", "heads"), OPTIONS)
def test_clouds_do_not_see_each_other(content: str, heads: int) -> None:
    voxels, x, prob = scene([20, 30])
    module = make(content, heads=heads, width=6).eval()
    before = run(module, x, voxels, prob)
    other = torch.cat([x[:20], torch.randn_like(x[20:])])
    after = run(module, other, voxels, torch.cat([prob[:20], prob[20:].flip(1)]))
    assert torch.equal(before[:20], after[:20])
    assert not torch.allclose(before[20:], after[20:])


@pytest.mark.parametrize(("content", "heads"), OPTIONS)
def test_order_of_tokens_does_not_matter(content: str, heads: int) -> None:
    voxels, x, prob = scene([30])
    order = torch.randperm(30)
    module = make(content, heads=heads, width=6).eval()
    found = run(module, x[order], VoxelSet(voxels.grid_pos[order], voxels.ptr), prob[order])
    torch.testing.assert_close(found, run(module, x, voxels, prob)[order], rtol=1e-12, atol=1e-12)


def test_a_hook_replaces_tables() -> None:
    voxels, x, prob = scene([30, 12])
    module = make().eval()

    def with_true_shares(_module: object, inputs: tuple) -> tuple:
        x, slabs, tables = inputs
        assert torch.equal(tables[0], class_tables(prob, slabs)[0])
        return x, slabs, class_tables(prob.flip(1), slabs)

    handle = module.register_forward_pre_hook(with_true_shares)
    found = run(module, x, voxels, prob)
    handle.remove()
    torch.testing.assert_close(found, run(module, x, voxels, prob.flip(1)))
    assert not torch.allclose(found, run(module, x, voxels, prob))


def test_raw_points_in_cells_equal_voxels() -> None:
    voxels, _, prob = scene([40, 1, 22])
    pos = voxels.grid_pos * 0.32 + torch.rand(len(prob), 3) * 0.1
    corner = voxels.grid_pos == voxels.corner[voxels.batch]
    pos = torch.where(corner, voxels.grid_pos * 0.32, pos)  # cells are centered at the lowest point
    for by_points, by_voxels in zip(point_slabs(pos, voxels.ptr, 0.32), voxel_slabs(voxels)):
        assert torch.equal(by_points.groups.id, by_voxels.groups.id)
        assert torch.equal(by_points.level, by_voxels.level)


def test_a_cloud_thinner_than_a_slab_is_one_slab() -> None:
    ptr = torch.tensor([0, 4, 4, 5])
    for along in point_slabs(torch.rand(5, 3), ptr, 2.0):
        assert along.counts.tolist() == [4, 1]
        assert along.cloud.tolist() == [0, 2]
        assert not slab_ends(along).any()


def test_several_points_per_cell_count_separately() -> None:
    pos = torch.tensor([[0.0, 0, 0], [0.1, 0, 0], [0.2, 5, 0], [9.0, 0, 0]])
    prob = torch.eye(4)
    along_x = point_slabs(pos, torch.tensor([0, 4]), 1.0, axes=(0,))
    (table,) = class_tables(prob, along_x)
    third = 1 / 3
    expected = [[third, third, third, 0, 1, 1, 1, 0], [0, 0, 0, 1, 0, 0, 0, 1]]
    torch.testing.assert_close(table, torch.tensor(expected))
    assert slab_ends(along_x[0]).tolist() == [[0, 9], [9, 0]]


@pytest.mark.parametrize(("content", "heads"), OPTIONS)
def test_bfloat16_is_close(content: str, heads: int) -> None:
    voxels, x, prob = scene([300])
    module = make(content, heads=heads, width=6).eval()
    exact = run(module, x, voxels, prob)
    found = run(module.bfloat16(), x.bfloat16(), voxels, prob.bfloat16())
    assert found.dtype == torch.bfloat16
    assert (found.double() - exact).abs().max() < 0.05 * exact.abs().max()


def test_far_point_costs_one_slab() -> None:
    grid_pos = torch.tensor([[0, 0, 0], [1, 0, 0], [10**9, 0, 0]])
    (along,) = voxel_slabs(VoxelSet(grid_pos, torch.tensor([0, 3])), axes=(0,))
    assert along.counts.tolist() == [1, 1, 1]
    assert position_features(along, dtype=torch.float32).isfinite().all()


@pytest.mark.parametrize("far", [30_000, 3_000_000])
def test_a_far_point_in_half_precision(far: int) -> None:
    """A point 600 km from a room, such as the origin of its map, leaves the features of the room finite."""
    voxels, x, prob = scene([60])
    voxels = VoxelSet(torch.cat([voxels.grid_pos, torch.tensor([[far, far, 0]])]), torch.tensor([0, 61]))
    x, prob = torch.cat([x, x[:1]]), torch.cat([prob, prob[:1]])
    module = make(width=6).eval()
    exact = by_loops(module, x, voxels, prob)[:60]
    with torch.autocast("cpu", torch.float16):
        found = run(module.float(), x.float(), voxels, prob.float())[:60]
    assert (found.double() - exact).abs().max() < 0.02 * exact.abs().max()


@pytest.mark.parametrize(
    ("value", "message"), [(float("nan"), "pos: 1 points"), (1e30, "cell_size: a cloud has")]
)
def test_bad_points(value: float, message: str) -> None:
    pos = torch.tensor([[0.0, 0, 0], [value, 0, 0]])
    with pytest.raises(UserError, match=message):
        point_slabs(pos, torch.tensor([0, 2]), 0.1)


def test_bad_options() -> None:
    with pytest.raises(UserError, match=r"cell_size: 0\.0 is out of range"):
        point_slabs(torch.zeros(2, 3), torch.tensor([0, 2]), 0.0)
    with pytest.raises(UserError, match="content: unknown value 'share'"):
        make("share")
    with pytest.raises(UserError, match=r"heads: 3 is out of range\. Choose a positive divisor of 64"):
        make(heads=3)
    with pytest.raises(UserError, match="heads: -1 is out of range"):
        make(heads=-1)


def test_memory_of_class_tables_is_one_number_per_token_axis_and_class() -> None:
    """Kept for the backward pass, besides the order of the tokens."""
    voxels, _, prob = scene([400])
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.numel() if tensor.is_floating_point() else 0
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        tables = class_tables(prob.requires_grad_(), voxel_slabs(voxels))
    assert sum(kept.values()) <= 400 * 3 * CLASSES + 3 * sum(table.numel() for table in tables)
