"""Heads on raw points: equal to image heads on a planar grid with 8 neighbors, and the contract of a set of clouds."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from helpers.grids import as_images, batch_of, planar_levels
from helpers.heads import image_batch
from torch import Tensor, nn

from pcseg.errors import UserError
from pcseg.heads import (
    CACBody,
    CTBody,
    EncBody,
    FCNBody,
    HeadOutput,
    ImageHead,
    PointHead,
    RCCABody,
    SlabBody,
)
from pcseg.heads.points import token_sizes
from pcseg.nn.levels import Level
from pcseg.nn.neighbor_conv import NeighborConv
from pcseg.nn.tokens import Pixels, to_image, to_tokens
from pcseg.ops.points import PointSet

WIDTH, CLASSES, CELL = 6, 4, 0.1

BODIES: dict[str, Callable[..., Any]] = {
    "fcn": partial(FCNBody, width=9, dropout=0.0),
    "ctnet": partial(CTBody, width=12, key_width=5),
    "ctnet_centers": partial(CTBody, width=12, key_width=6, class_features="centers", weighted=True),
    "ctnet_weighted": partial(CTBody, width=12, key_width=6, weighted=True),
    "encnet": partial(EncBody, width=10, num_codewords=3, dropout=0.0),
    "encnet_weighted": partial(EncBody, width=10, num_codewords=3, weighted=True, dropout=0.0),
    "ccnet": partial(RCCABody, width=16, dropout=0.0),
    "ccnet_thick": partial(RCCABody, width=48, thickness=2, heads=2, relative=True, dropout=0.0),
    "slab": partial(SlabBody, width=12, slab_width=7, dropout=0.0),
    "cac": partial(CACBody, width=10, confidence=0.3, dropout=0.0),
}


class MeanPixelConv(nn.Module):
    """The image form of a graph convolution with the mean of the 8 neighbors that exist."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * in_channels, out_channels, bias=bias)

    def forward(self, x: Tensor | Sequence[Tensor], pixels: Pixels) -> Tensor:
        image = to_image(x if isinstance(x, Tensor) else torch.cat(list(x), 1), pixels)
        total, count = (
            F.avg_pool2d(part, 3, 1, 1, divisor_override=1) - part for part in (image, torch.ones_like(image))
        )
        return self.linear(to_tokens(torch.cat([image, total / count.clamp(min=1)], 1))[0])


def as_points(levels: list[Level]) -> list[Level]:
    """Return levels of voxels as raw points at the corners of the voxels."""
    sites = levels[0].voxels
    points = PointSet(sites.grid_pos.double() * CELL - 3.7, sites.ptr, cell_size=CELL)
    return [replace(level, sites=points) for level in levels]


@pytest.mark.slow
@pytest.mark.parametrize("size", [(4, 7), (1, 1)])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", BODIES)
def test_raw_points_equal_images(name: str, training: bool, size: tuple[int, int]) -> None:
    local = partial(NeighborConv, k=8, radius=1.5 * CELL, directions=False)
    image = ImageHead([WIDTH], CLASSES, body=BODIES[name], local=MeanPixelConv).double().train(training)
    point = PointHead([WIDTH], CLASSES, body=BODIES[name], level=0, local=local).double().train(training)
    for parameter in image.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    point.load_state_dict(image.state_dict())
    feature = torch.randn(3, WIDTH, *size, dtype=torch.float64)
    orders = [torch.randperm(size[0] * size[1]) for _ in range(3)]
    by_image, by_point = feature.clone().requires_grad_(), feature.clone().requires_grad_()
    y = torch.arange(feature[:, 0].numel()).view(3, *size) % (CLASSES + 1) - 1
    expected = image([by_image], image_batch([by_image], labels=y))
    levels, batch = planar_levels([by_point], orders)
    batch.y = torch.cat([labels.flatten()[order] for labels, order in zip(y, orders)])
    found = point(as_points(levels), batch)
    compare(to_tokens(as_images(found.logits, orders, *size))[0], expected.logits)
    expected.logits.sin().sum().backward()
    found.logits.sin().sum().backward()
    compare(by_point.grad, by_image.grad)


def compare(found: Tensor | None, expected: Tensor | None) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def make(name: str) -> PointHead:
    head = PointHead([WIDTH], CLASSES, body=BODIES[name], level=0, local=partial(NeighborConv, k=5)).double()
    generator = torch.Generator().manual_seed(1)
    for parameter in head.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return head.eval()


def cloud(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return random positions and features."""
    generator = torch.Generator().manual_seed(seed)
    pos = torch.rand(count, 3, generator=generator, dtype=torch.float64)
    return pos, torch.randn(count, WIDTH, generator=generator, dtype=torch.float64)


def run(head: PointHead, *clouds: tuple[Tensor, Tensor]) -> tuple[HeadOutput, Any]:
    ptr = torch.tensor([0, *(len(pos) for pos, _ in clouds)]).cumsum(0)
    points = PointSet(torch.cat([pos for pos, _ in clouds]), ptr, cell_size=0.2)
    batch = batch_of(points, CLASSES)
    return head([Level(x=torch.cat([x for _, x in clouds]), sites=points)], batch), batch


@pytest.mark.parametrize("name", BODIES)
def test_a_set_of_clouds(name: str) -> None:
    """Order, other clouds and a shift change nothing; clouds of no point and of one point work, also in training."""
    head, (pos, x), order = make(name), cloud(80), torch.randperm(80)
    logits = run(head, (pos, x))[0].logits
    compare(run(head, (pos[order], x[order]))[0].logits, logits[order])
    compare(run(head, cloud(30, 1), (pos, x))[0].logits[30:], logits)
    torch.testing.assert_close(run(head, (pos + 10, x))[0].logits, logits)
    for sizes in ([20, 0, 1], [1], [0], [2, 2]):
        for training in (False, True):
            output, batch = run(head.train(training), *(cloud(size, i) for i, size in enumerate(sizes)))
            losses = head.losses(output, batch)
            assert output.logits.shape == (sum(sizes), CLASSES)
            assert all(value.isfinite().all() for value in (output.logits, *losses.values()))


@pytest.mark.parametrize("name", ["ctnet_centers", "encnet_weighted", "ccnet", "slab"])
def test_gradients_by_finite_differences(name: str) -> None:
    head, (pos, x) = make(name), cloud(20)
    assert torch.autograd.gradcheck(
        lambda x: run(head, (pos, x))[0].logits, x.requires_grad_(), fast_mode=True, atol=1e-6
    )


@pytest.mark.parametrize("name", ["ctnet_centers", "ctnet_weighted", "encnet_weighted"])
def test_weights_undo_dense_sampling(name: str) -> None:
    """Scanning one side of a cloud twice as densely changes nothing."""
    head, (pos, x) = make(name), cloud(40)
    for module in list(head.modules()):
        if isinstance(getattr(module, "conv", None), NeighborConv):
            module.conv = Pointwise(module.conv)  # neighborhoods do see the density
    pos = torch.cartesian_prod(*[torch.arange(4.0, dtype=torch.float64)] * 3)[:40] * 0.2
    twice = torch.cat([torch.arange(40), torch.arange(15)])
    found = run(head, (pos[twice], x[twice]))[0].logits
    compare(found[:40], run(head, (pos, x))[0].logits)


class Pointwise(nn.Module):
    """A local convolution without its neighbors."""

    def __init__(self, conv: Any) -> None:
        super().__init__()
        self.linear = conv.linear

    def forward(self, x: Tensor, sites: Any) -> Tensor:
        return F.linear(x, self.linear.weight[:, : x.shape[1]], self.linear.bias)


def test_sizes_of_tokens_are_cells() -> None:
    pos = torch.tensor([[0.0, 0, 0], [0.01, 0, 0], [0.2, 0, 0], [5, 0, 0]])
    fine = Level(x=torch.zeros(4, 1), sites=PointSet(pos, cell_size=0.1))
    coarse = Level(x=torch.zeros(2, 1), sites=PointSet(pos[[0, 3]]), parent=torch.tensor([0, 0, 0, 1]))
    assert token_sizes([fine, coarse], 0).tolist() == [0.5, 0.5, 1, 1]
    assert token_sizes([fine, coarse], 1).tolist() == [2, 1]


def test_bad_input() -> None:
    level = Level(x=torch.zeros(4, WIDTH), sites=PointSet(torch.rand(4, 3)))
    pixels = Pixels(batch_size=1, height=2, width=2, device=torch.device("cpu"))
    with pytest.raises(
        UserError, match=r"^RCCABody: its lines of raw points need cells\. Set backbone\.cell_size"
    ):
        PointHead([WIDTH], CLASSES, level=0, body=RCCABody, local=NeighborConv)([level], None)
    with pytest.raises(UserError, match=r"^head\.local: SubmanifoldConv needs voxels, not PointSet\."):
        PointHead([WIDTH], CLASSES, level=0, body=FCNBody)([level], None)
    with pytest.raises(UserError, match=r"^NeighborConv: needs raw points, not Pixels"):
        NeighborConv(2, 2)(torch.zeros(4, 2), pixels)
