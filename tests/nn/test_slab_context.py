"""Slab context against loops over slabs in float64."""

import pytest
import torch
from helpers.grids import random_scene
from torch import Tensor

from pcseg.errors import UserError
from pcseg.nn.slab_context import SlabContext, class_tables, position_features
from pcseg.ops.slabs import point_slabs, voxel_slabs
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


def by_loops(module: SlabContext, x: Tensor, voxels: VoxelSet, prob: Tensor) -> Tensor:
    """Return the output of :class:`SlabContext` by its formula, token by token."""
    rows = []
    for i in range(len(x)):
        cloud = slice(int(voxels.ptr[voxels.batch[i]]), int(voxels.ptr[voxels.batch[i] + 1]))
        y = module.own(x[i])
        for axis in range(3):
            line = voxels.grid_pos[cloud, axis]
            here = line == voxels.grid_pos[i, axis]
            inside = prob[cloud][here]
            low, high = voxels.grid_pos[i, axis] - line.min(), line.max() - voxels.grid_pos[i, axis]
            ends = torch.stack([low, high]).double()
            fill = torch.log(1 + here.sum().double())[None] / 4
            q = torch.cat([fill, torch.exp(-ends / 2), ends / 16])
            m = torch.cat([inside.mean(0), inside.max(0).values])
            if module.content == "positions":
                m = torch.zeros_like(m)
            u = module.normalize(module.describe(torch.cat([m, q])) + module.axis[axis])
            y = y + module.read[axis](u)
        rows.append(y)
    return module.activation(module.norm(torch.stack(rows))) if rows else x


@pytest.fixture(autouse=True)
def float64() -> object:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("content", ["shares", "positions"])
@pytest.mark.parametrize("sizes", [[40, 25], [1], [30, 0, 1], [0, 12], [0]])
def test_equals_loops(sizes: list[int], content: str) -> None:
    voxels, x, prob = scene(sizes)
    module = SlabContext(CHANNELS, CLASSES, width=5, content=content).double()
    slabs = voxel_slabs(voxels)
    found = module(x, slabs, class_tables(prob, slabs))
    torch.testing.assert_close(found, by_loops(module, x, voxels, prob), rtol=1e-12, atol=1e-12)


def test_gradients() -> None:
    voxels, x, prob = scene([14, 9])
    module = SlabContext(CHANNELS, CLASSES, width=3).double().eval()
    slabs = voxel_slabs(voxels)

    def run(x: Tensor, prob: Tensor) -> Tensor:
        return module(x, slabs, class_tables(prob, slabs))

    assert torch.autograd.gradcheck(run, (x.requires_grad_(), prob.requires_grad_()))


def test_clouds_do_not_see_each_other() -> None:
    voxels, x, prob = scene([20, 30])
    module = SlabContext(CHANNELS, CLASSES).double().eval()
    slabs = voxel_slabs(voxels)
    before = module(x, slabs, class_tables(prob, slabs))
    other = torch.cat([x[:20], torch.randn_like(x[20:])])
    other_prob = torch.cat([prob[:20], prob[20:].flip(1)])
    after = module(other, slabs, class_tables(other_prob, slabs))
    assert torch.equal(before[:20], after[:20])
    assert not torch.allclose(before[20:], after[20:])


def test_order_of_tokens_does_not_matter() -> None:
    voxels, x, prob = scene([30])
    order = torch.randperm(30)
    module = SlabContext(CHANNELS, CLASSES).double().eval()
    slabs = voxel_slabs(voxels)
    shuffled = voxel_slabs(VoxelSet(voxels.grid_pos[order], voxels.ptr))
    found = module(x[order], shuffled, class_tables(prob[order], shuffled))
    torch.testing.assert_close(
        found, module(x, slabs, class_tables(prob, slabs))[order], rtol=1e-12, atol=1e-12
    )


def test_raw_points_in_cells_equal_voxels() -> None:
    voxels, _, prob = scene([40, 1, 22])
    pos = voxels.grid_pos * 0.32 + torch.rand(len(prob), 3) * 0.1
    corner = voxels.grid_pos == voxels.corner[voxels.batch]
    pos = torch.where(corner, voxels.grid_pos * 0.32, pos)  # slabs of points start at the lowest point
    for by_points, by_voxels in zip(point_slabs(pos, voxels.ptr, 0.32), voxel_slabs(voxels)):
        assert torch.equal(by_points.groups.id, by_voxels.groups.id)
        assert torch.equal(by_points.ends, by_voxels.ends)


def test_several_points_per_cell_count_separately() -> None:
    pos = torch.tensor([[0.0, 0, 0], [0.1, 0, 0], [0.2, 5, 0], [9.0, 0, 0]])
    prob = torch.eye(4)
    along_x = point_slabs(pos, torch.tensor([0, 4]), 1.0, axes=(0,))
    (table,) = class_tables(prob, along_x)
    third = 1 / 3
    expected = [[third, third, third, 0, 1, 1, 1, 0], [0, 0, 0, 1, 0, 0, 0, 1]]
    torch.testing.assert_close(table, torch.tensor(expected))
    assert along_x[0].ends.tolist() == [[0, 9], [9, 0]]


def test_bfloat16_is_close() -> None:
    voxels, x, prob = scene([300])
    module = SlabContext(CHANNELS, CLASSES).double().eval()
    slabs = voxel_slabs(voxels)
    exact = module(x, slabs, class_tables(prob, slabs))
    module = module.bfloat16()
    found = module(x.bfloat16(), slabs, class_tables(prob.bfloat16(), slabs))
    assert found.dtype == torch.bfloat16
    assert (found.double() - exact).abs().max() < 0.05 * exact.abs().max()


def test_far_point_costs_one_slab() -> None:
    grid_pos = torch.tensor([[0, 0, 0], [1, 0, 0], [10**9, 0, 0]])
    (along,) = voxel_slabs(VoxelSet(grid_pos, torch.tensor([0, 3])), axes=(0,))
    assert along.counts.tolist() == [1, 1, 1]
    assert position_features(along, dtype=torch.float32).isfinite().all()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_bad_points(value: float) -> None:
    pos = torch.tensor([[0.0, 0, 0], [value, 0, 0]])
    with pytest.raises(UserError, match="pos: is not finite"):
        point_slabs(pos, torch.tensor([0, 2]), 0.1)


def test_bad_options() -> None:
    with pytest.raises(UserError, match="thickness"):
        point_slabs(torch.zeros(2, 3), torch.tensor([0, 2]), 0.0)
    with pytest.raises(UserError, match="content: unknown value 'share'"):
        SlabContext(CHANNELS, CLASSES, content="share")  # pyright: ignore[reportArgumentType]
