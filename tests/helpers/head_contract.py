"""Tests of every point head: a test class inherits them and builds the head."""

import pytest
import torch
from helpers.grids import make_levels, random_scene
from torch import Tensor
from torch_geometric.data import Batch

from pcseg.heads import HeadOutput, PointHead
from pcseg.nn.levels import Level

CHANNELS, NUM_CLASSES = 16, 5


class PointHeadContract:
    """Tests of a head that works on three levels, all of width 16."""

    def make(self) -> PointHead:
        raise NotImplementedError

    def head(self) -> PointHead:
        """In float64 and evaluation mode, with parameters that are all at work."""
        head = self.make().double().eval()
        generator = torch.Generator().manual_seed(1)
        for parameter in head.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.data += 0.1 * noise
        return head

    def run(self, head: PointHead, *scenes: tuple[Tensor, Tensor]) -> HeadOutput:
        levels, batch = make_levels(scenes)
        return head(levels, batch)

    def test_one_row_a_point(self) -> None:
        output = self.run(self.head(), random_scene(60, CHANNELS), random_scene(30, CHANNELS, seed=1))
        assert output.logits.shape == (90, NUM_CLASSES)
        assert output.logits.isfinite().all()

    def test_scenes_do_not_see_each_other(self) -> None:
        head, scene = self.head(), random_scene(60, CHANNELS)
        alone = self.run(head, scene).logits
        for other in (random_scene(40, CHANNELS, seed=1), random_scene(90, CHANNELS, seed=2)):
            together = self.run(head, other, scene).logits[len(other[0]) :]
            torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-10)

    def test_permuting_points_permutes_logits(self) -> None:
        head, (grid_pos, x) = self.head(), random_scene(80, CHANNELS)
        order = torch.randperm(80)
        expected = self.run(head, (grid_pos, x)).logits[order]
        found = self.run(head, (grid_pos[order], x[order])).logits
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)

    def test_moving_a_scene_by_whole_voxels_changes_nothing(self) -> None:
        head, (grid_pos, x) = self.head(), random_scene(80, CHANNELS)
        step = torch.tensor([8, -16, 24])  # by cells of the coarsest level
        expected, found = self.run(head, (grid_pos, x)), self.run(head, (grid_pos + step, x))
        torch.testing.assert_close(found.logits, expected.logits, rtol=1e-10, atol=1e-10)

    @pytest.mark.parametrize("sizes", [[0, 20], [20, 0, 1], [1], [0], [1, 1]])
    @pytest.mark.parametrize("training", [False, True])
    def test_tiny_clouds(self, sizes: list[int], training: bool) -> None:
        head = self.head().train(training)
        scenes = [random_scene(size, CHANNELS, seed=i) for i, size in enumerate(sizes)]
        levels, batch = make_levels(scenes)
        output = head(levels, batch)
        assert output.logits.shape == (sum(sizes), NUM_CLASSES)
        assert output.logits.isfinite().all()
        losses = head.losses(output, batch)
        assert all(loss.isfinite() for loss in losses.values())
        if losses:
            torch.stack(list(losses.values())).sum().backward()

    def test_every_parameter_learns(self) -> None:
        head = self.head().train()
        levels, batch = make_levels([random_scene(90, CHANNELS, seed=i) for i in range(3)])
        output = head(levels, batch)
        losses = [loss for loss in head.losses(output, batch).values()]
        weights = torch.randn_like(output.logits)
        ((output.logits * weights).sum() + sum(losses)).backward()
        for name, parameter in head.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name

    def test_gradients_by_finite_differences(self) -> None:
        head = self.head()
        grid_pos, x = random_scene(24, CHANNELS, edge=4)

        def logits(x: Tensor) -> Tensor:
            return self.run(head, (grid_pos, x)).logits

        assert torch.autograd.gradcheck(logits, x.requires_grad_(), fast_mode=True, atol=1e-6)

    def test_bfloat16_is_close_to_float32(self) -> None:
        head = self.head().float()
        levels, batch = make_levels([random_scene(120, CHANNELS, seed=i) for i in range(2)])
        levels = [_as_float(level) for level in levels]
        expected = head(levels, batch).logits
        with torch.autocast("cpu", torch.bfloat16):
            found = head(levels, batch).logits
        assert _difference(found, expected) < 0.05 * expected.std()

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    def test_gpu_computes_the_same(self) -> None:
        """Logits, losses and gradients in float64."""
        results = []
        for device in ("cpu", "cuda"):
            head = self.head().to(device)
            levels, batch = self.levels_on(device)
            output = head(levels, batch)
            losses = head.losses(output, batch)
            (output.logits.sin().sum() + sum(losses.values())).backward()
            gradients = {name: p.grad for name, p in head.named_parameters() if p.grad is not None}
            results.append({"logits": output.logits} | losses | gradients)
        expected, found = results
        assert found.keys() == expected.keys()
        for name, value in found.items():
            torch.testing.assert_close(value.cpu(), expected[name], rtol=1e-8, atol=1e-8)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    def test_gpu_trains_in_bfloat16(self) -> None:
        head = self.head().float().to("cuda").train()
        levels, batch = self.levels_on("cuda")
        levels = [_as_float(level) for level in levels]
        with torch.autocast("cuda", torch.bfloat16):
            output = head(levels, batch)
            losses = head.losses(output, batch)
        (output.logits.float().square().mean() + sum(losses.values())).backward()
        for name, parameter in head.named_parameters():
            assert parameter.grad is None or parameter.grad.isfinite().all(), name

    def levels_on(self, device: str) -> tuple[list[Level], Batch]:
        scenes = [random_scene(120, CHANNELS, seed=i) for i in range(2)]
        levels, batch = make_levels([(grid_pos.to(device), x.to(device)) for grid_pos, x in scenes])
        return levels, batch.to(device)


def _as_float(level: Level) -> Level:
    return Level(x=level.x.float(), sites=level.voxels, stride=level.stride, parent=level.parent)


def _difference(a: Tensor, b: Tensor) -> Tensor:
    return (a.float() - b).abs().mean()
