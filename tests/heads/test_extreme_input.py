"""Every body on input at the limits: one class, more classes than points, flat clouds, NaN features."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from helpers.grids import batch_of, make_levels, random_scene
from torch import Tensor

from pcseg.heads import (
    Body,
    CACBody,
    CTBody,
    EncBody,
    FCNBody,
    HeadOutput,
    PointHead,
    PointwiseBody,
    RCCABody,
    SlabBody,
)
from pcseg.nn.levels import Level

C = 8
CT = partial(CTBody, width=12, key_width=6)
SLAB = partial(SlabBody, width=12, slab_width=8)
BODIES: dict[str, Callable[..., Body]] = {
    "fcn": partial(FCNBody, deep_weight=0.4),
    "pointwise": PointwiseBody,
    "ctnet": CT,
    "ctnet_published": partial(CT, class_batch_norm=True),
    "ctnet_true": partial(CT, true_classes=True),
    "ctnet_embedding": partial(CT, class_features="embedding"),
    "ctnet_centers": partial(CT, class_features="centers", heads=2),
    "ctnet_centers_true": partial(CT, class_features="centers", true_classes=True),
    "ctnet_slab": partial(CT, class_features="slab"),
    "encnet": partial(EncBody, width=12, num_codewords=4, weighted=True),
    "encnet_cosine": partial(EncBody, width=12, num_codewords=4, assignment="cosine", restart=True),
    "encnet_shared": partial(EncBody, width=12, num_codewords=4, assignment="shared"),
    "ccnet": partial(RCCABody, width=16, category_weight=1.0),
    "ccnet_heads": partial(RCCABody, width=48, heads=2, scaled=True, relative=True, thickness=2),
    "slab": SLAB,
    "slab_features": partial(SLAB, content="features", heads=2),
    "slab_true": partial(SLAB, true_classes=True),
    "slab_positions": partial(SLAB, content="positions", axes=(2,)),
    "cac": partial(CACBody, width=12),
}


def make(name: str, num_classes: int) -> PointHead:
    torch.manual_seed(0)
    head = PointHead([C] * 3, num_classes, body=BODIES[name], level=1, fine=6).double()
    for parameter in head.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return head


def run(head: PointHead, scenes: list[tuple[Tensor, Tensor]]) -> tuple[HeadOutput, list[Level], Tensor]:
    """Return the output, the levels, and the sum of the losses and the logits."""
    levels, _ = make_levels(scenes)
    batch = batch_of(levels[0].voxels, head.num_classes)
    output = head(levels, batch)
    return output, levels, sum(head.losses(output, batch).values()) + output.logits.square().sum()


@pytest.mark.slow
@pytest.mark.parametrize("num_classes", [1, 40])
@pytest.mark.parametrize("name", BODIES)
def test_one_class_and_more_classes_than_points(name: str, num_classes: int) -> None:
    head = make(name, num_classes)
    for sizes in ([12, 3], [1], [0, 2]):
        for training in (True, False):
            scenes = [random_scene(size, C, seed=i) for i, size in enumerate(sizes)]
            output, _, total = run(head.train(training), scenes)
            assert output.logits.shape == (sum(sizes), num_classes)
            assert output.logits.isfinite().all()
            total.backward()
            assert all(p.grad is None or p.grad.isfinite().all() for p in head.parameters())


@pytest.mark.parametrize("name", BODIES)
def test_flat_clouds(name: str) -> None:
    """Clouds of one plane, one line and one voxel, in any axis: they have one slab along some axes."""
    head = make(name, 4).train()
    for axis in range(3):
        plane, line = torch.cartesian_prod(torch.arange(5), torch.arange(4)), torch.arange(6)[:, None]
        grids = [torch.zeros(len(plane), 3), torch.zeros(len(line), 3), torch.zeros(1, 3)]
        grids[0][:, [(axis + 1) % 3, (axis + 2) % 3]] = plane.float()
        grids[1][:, [axis]] = line.float()
        scenes = [(grid.long(), torch.randn(len(grid), C, dtype=torch.float64)) for grid in grids]
        output, _, total = run(head, scenes)
        assert output.logits.isfinite().all()
        total.backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in head.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("name", BODIES)
def test_features_that_are_nan_stay_in_their_cloud(name: str, first: bool) -> None:
    """In prediction; in training the loss is NaN and the step is skipped. Padding spreads NaN in CCNet."""
    head = make(name, 4).eval()
    good, (grid_pos, x) = random_scene(40, C), random_scene(30, C, seed=1)
    bad = (grid_pos, torch.full_like(x, torch.nan))
    found = run(head, [bad, good] if first else [good, bad])[0].logits
    rows = slice(30, 70) if first else slice(40)
    if not name.startswith("ccnet"):
        torch.testing.assert_close(found[rows], run(head, [good])[0].logits)
    assert found.isnan().any()
    assert run(head.train(), [bad, good])[2].isnan()
