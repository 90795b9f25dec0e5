"""A point head on a planar grid of voxels computes what the image head does, shared weights inflated."""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers.grids import as_images, join_levels, planar_levels
from helpers.heads import image_batch
from torch import Tensor, nn

from pcseg.heads import (
    Body,
    CACBody,
    CTBody,
    EncBody,
    FCNBody,
    HeadOutput,
    ImageHead,
    PointHead,
    PointwiseBody,
    RCCABody,
    SlabBody,
)
from pcseg.nn.norms import BiasedBatchNorm, InPlaceABN, PaddleBatchNorm
from pcseg.nn.tokens import to_tokens
from pcseg.official.names.heads import inflate

CHANNELS, NUM_CLASSES = (6, 7, 8), 4
POINT_CHANNELS = (8, 6, 7)  # the image's last features are the finest level
PIXELWISE = ("aux_logits", "deep_logits", "embedding")
"""Further outputs with a value a pixel; others have one an image."""

Pair = Callable[[], tuple[ImageHead, PointHead]]


def pair_of(
    body: type[Body], *, lateral: bool = False, auxiliary: Callable[..., Body] | None = None, **options: Any
) -> tuple[ImageHead, PointHead]:
    """The same body with the same options on pixels and on voxels."""
    factory = partial(body, **options)
    image = ImageHead(
        CHANNELS, NUM_CLASSES, body=factory, auxiliary=auxiliary, laterals=[0, 1] if lateral else []
    )
    point = PointHead(
        POINT_CHANNELS, NUM_CLASSES, body=factory, level=0, auxiliary=auxiliary, aux_level=2,
        laterals=[1, 2] if lateral else [],
    )  # fmt: skip
    return image, point


CT = partial(pair_of, CTBody, width=12, key_width=5)
ENC = partial(pair_of, EncBody, width=10, num_codewords=3, dropout=0.0)
CAC = partial(pair_of, CACBody, width=10, dropout=0.0)
SLAB = partial(pair_of, SlabBody, width=12, slab_width=7, dropout=0.0)
RCCA = partial(pair_of, RCCABody, width=16, dropout=0.0)
PAIRS: dict[str, Pair] = {
    "fcn": partial(pair_of, FCNBody, dropout=0.0),
    "fcn_wide": partial(pair_of, FCNBody, width=9, bias=True, norm=InPlaceABN, dropout=0.0),
    "ctnet": partial(CT, auxiliary=PointwiseBody),
    "ctnet_published": partial(
        CT, class_batch_norm=True, paddle_init=True, norm=PaddleBatchNorm,
        auxiliary=partial(PointwiseBody, paddle_init=True, norm=PaddleBatchNorm),
    ),
    "ctnet_true": partial(CT, true_classes=True),
    "ctnet_embedding": partial(CT, class_features="embedding", heads=5, class_weight=0.2),
    "ctnet_centers": partial(CT, class_features="centers", key_width=6, heads=3),
    "ctnet_centers_true": partial(CT, class_features="centers", true_classes=True),
    "ctnet_slab": partial(CT, class_features="slab", deep_weight=0.0),
    "ctnet_slab_true": partial(CT, class_features="slab", true_classes=True),
    "encnet": partial(ENC, auxiliary=partial(FCNBody, dropout=0.0)),
    "encnet_lateral": partial(ENC, lateral=True, reference_size=None, norm=BiasedBatchNorm),
    "encnet_paper": partial(ENC, sum_codewords=True, pure_gate=True, weighted=True, presence_weight=0.0),
    "encnet_shared": partial(ENC, assignment="shared", restart=True),
    "encnet_cosine": partial(ENC, assignment="cosine"),
    "slab": SLAB,
    "slab_positions": partial(SLAB, content="positions", axes=(1, 0), detach=True),
    "slab_features": partial(SLAB, content="features", heads=1),
    "slab_true": partial(SLAB, true_classes=True, heads=7),
    "cac": partial(CAC, confidence=0.3),
    "cac_alone": partial(CAC, confidence=0.0, detach=False, teacher_weight=0.0, distill_weight=0.0),
    "fcn_deep": partial(pair_of, FCNBody, width=9, deep_weight=0.3, dropout=0.0),
    "ccnet": RCCA,
    "ccnet_thick": partial(RCCA, thickness=2, attention_width=8),
    "ccnet_heads": partial(RCCA, width=48, heads=2, scaled=True, relative=True),
    "ccnet_rows": partial(RCCA, axes=(0,), recurrence=1),
    "ccnet_published": partial(
        RCCA, recurrence=2, norm=InPlaceABN, category_weight=0.5,
        auxiliary=partial(FCNBody, width=16, bias=True, norm=InPlaceABN, dropout=0.0),
    ),
}  # fmt: skip
"""Every option of every body at least once."""


def shared(pair: Pair, training: bool) -> tuple[ImageHead, PointHead]:
    """Both heads in float64 with the same random parameters and running statistics."""
    image, point = (head.double().train(training) for head in pair())
    for parameter in image.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    for module in image.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    point.load_state_dict({name: inflate(name, tensor) for name, tensor in image.state_dict().items()})
    return image, point


def check_pair(pair: Pair, size: tuple[int, int], *, training: bool, batch_size: int = 2) -> None:
    image, point = shared(pair, training)
    features = [torch.randn(batch_size, width, *size, dtype=torch.float64) for width in CHANNELS]
    orders = [torch.randperm(size[0] * size[1]) for _ in range(batch_size)]
    by_image = [feature.clone().requires_grad_() for feature in features]
    by_point = [feature.clone().requires_grad_() for feature in features]
    y = torch.arange(batch_size * size[0] * size[1]).view(batch_size, *size) % (NUM_CLASSES + 1) - 1
    expected = image(by_image, image_batch(by_image, labels=y))
    levels, batch = planar_levels([by_point[2], by_point[0], by_point[1]], orders)
    batch.y = torch.cat([labels.flatten()[order] for labels, order in zip(y, orders)])
    found = point(levels, batch)
    compare(in_pixel_order(found.logits, orders, size), expected.logits)
    for name, value in expected.aux.items():
        theirs = found.aux[name]
        value = to_tokens(value)[0] if name == "embedding" else value
        compare(in_pixel_order(theirs, orders, size) if name in PIXELWISE else theirs, value)
    objective(expected, image.losses(expected, SimpleNamespace(labels=y))).backward()
    objective(found, point.losses(found, batch)).backward()
    for a, b in zip(by_point, by_image):
        assert (a.grad is None) == (b.grad is None)
        if a.grad is not None:
            compare(a.grad, b.grad)
    used = {name: p.grad for name, p in image.named_parameters() if p.grad is not None}
    gradients = {name: inflate(name, tensor) for name, tensor in used.items()}
    assert gradients.keys() == {name for name, p in point.named_parameters() if p.grad is not None}
    for name, parameter in point.named_parameters():
        if name in gradients:
            compare(parameter.grad, gradients[name])
    running = {name: value for name, value in image.state_dict().items() if "running" in name}
    for name, value in running.items():
        compare(point.state_dict()[name], value)


def in_pixel_order(rows: Tensor, orders: list[Tensor], size: tuple[int, int]) -> Tensor:
    """Rows of :func:`planar_levels` in the order (image, y, x)."""
    return to_tokens(as_images(rows, orders, *size))[0]


def objective(output: HeadOutput, losses: dict[str, Tensor]) -> Tensor:
    return output.logits.sin().sum() + sum(losses.values())


def compare(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [(4, 7), (1, 6), (5, 1), (1, 1)])
@pytest.mark.parametrize("name", PAIRS)
def test_point_head_is_image_head(name: str, size: tuple[int, int], training: bool) -> None:
    check_pair(PAIRS[name], size, training=training, batch_size=3)


@pytest.mark.parametrize("axes", [(0, 1), (0, 1, 2), (1, 0)])
@pytest.mark.parametrize("recurrence", [1, 2, 3])
def test_recurrences_and_axes(recurrence: int, axes: tuple[int, ...]) -> None:
    check_pair(partial(RCCA, recurrence=recurrence, axes=axes), (3, 5), training=False)


@pytest.mark.parametrize("name", ["fcn", "ctnet", "encnet", "ccnet", "ccnet_thick"])
@pytest.mark.parametrize("size", [(8, 9), (16, 17)])
def test_even_and_odd_sizes(name: str, size: tuple[int, int]) -> None:
    check_pair(PAIRS[name], size, training=False, batch_size=1)


@pytest.mark.parametrize("name", ["fcn", "ctnet", "encnet_lateral", "ccnet"])
def test_images_of_different_size_in_one_batch(name: str) -> None:
    _, point = shared(PAIRS[name], training=False)
    sizes = [(3, 5), (6, 2)]
    images = [[torch.randn(1, width, *size, dtype=torch.float64) for width in CHANNELS] for size in sizes]
    parts = [planar_levels([f[2], f[0], f[1]], [torch.randperm(s[0] * s[1])]) for f, s in zip(images, sizes)]
    levels, batch = join_levels([levels for levels, _ in parts])
    together = point(levels, batch).logits.split([15, 12])
    for (alone, _), rows in zip(parts, together):
        compare(rows, point(alone, batch).logits)
