"""Image heads: sizes, losses, single images, published weights and messages about bad input."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers.heads import (
    build_head,
    image_head,
    part,
    published_ccnet,
    published_ctnet,
    published_encnet,
    run_image_head,
)

from pcseg.errors import UserError
from pcseg.heads import EncBody, FCNBody, HeadOutput, ImageHead, RCCABody
from pcseg.nn.tokens import PixelConv, to_image, to_tokens

WIDTHS, K = (6, 7, 8), 4


def make(name: str) -> ImageHead:
    heads = {
        "fcn": image_head(part("heads.FCNBody")),
        "ctnet": published_ctnet(width=12, key_width=6, norm=None, init=False),
        "encnet": published_encnet(width=8, num_codewords=3, lateral=True, norm=None),
        "ccnet": published_ccnet(width=8, category_weight=1.0),
        "cac": image_head(part("heads.CACBody", width=8)),
    }
    return build_head(heads[name], WIDTHS, K)


def features(batch_size: int = 2, height: int = 5, width: int = 7) -> list[torch.Tensor]:
    return [torch.randn(batch_size, channels, height, width) for channels in WIDTHS]


LOSSES = {
    "fcn": set(),
    "ctnet": {"class_frequency", "aux"},
    "encnet": {"presence", "aux"},
    "ccnet": {"category", "aux"},
    "cac": {"teacher", "distill", "deep"},
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("batch_size", [1, 2])
def test_trains_at_the_size_of_the_image(name: str, batch_size: int) -> None:
    head = make(name)
    y = torch.randint(-1, K, (batch_size, 33, 45))
    output = run_image_head(head, features(batch_size), (33, 45), y)
    assert output.logits.shape == (batch_size, K, 33, 45)
    losses = head.losses(output, SimpleNamespace(labels=y))
    assert losses.keys() == LOSSES[name]
    (output.logits.sum() + sum(losses.values())).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


@pytest.mark.parametrize("name", LOSSES)
def test_images_do_not_see_each_other(name: str) -> None:
    head, images = make(name).eval(), features()
    together = run_image_head(head, images).logits
    alone = run_image_head(head, [image[1:] for image in images]).logits
    torch.testing.assert_close(together[1:], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_the_layout_of_the_features_does_not_matter(name: str) -> None:
    head, images = make(name).eval(), features()
    found = run_image_head(head, [image.to(memory_format=torch.channels_last) for image in images]).logits
    torch.testing.assert_close(found, run_image_head(head, images).logits, rtol=1e-4, atol=1e-5)


def test_corners_stay_in_place_where_they_are_aligned() -> None:
    head = make("encnet").eval()
    images = features()
    small, large = (run_image_head(head, images, size).logits for size in (None, (33, 45)))
    torch.testing.assert_close(large[..., 0, 0], small[..., 0, 0])
    torch.testing.assert_close(large[..., -1, -1], small[..., -1, -1])


def test_the_category_loss_sees_the_label_in_the_middle_of_a_feature() -> None:
    """With corners in place feature i of stride 8 lies on pixel 8 i: the last of 17 pixels has a feature of its own."""
    head, seen = make("ccnet"), []
    head.body.token_losses = lambda embedding, y: seen.append(y) or {}
    y = torch.arange(17 * 25).view(1, 17, 25) % K
    y[0, ::8, ::8] += 10 * torch.arange(12).view(3, 4)
    head.losses(HeadOutput(logits=y, aux={"embedding": torch.zeros(1, 2, 3, 4)}), SimpleNamespace(labels=y))
    assert torch.equal(seen[0], y[0, ::8, ::8].flatten())


def test_features_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match=r"\[6, 7, 8\] channels, but got \[7, 8\]"):
        run_image_head(make("ctnet"), features()[1:])
    images = features()
    images[0] = torch.randn(2, 6, 10, 14)
    with pytest.raises(UserError, match=r"sizes \(10, 14\) and \(5, 7\)"):
        run_image_head(make("encnet"), images)
    with pytest.raises(UserError, match=r"images of 64 x 64 pixels give 7 x 1 features"):
        run_image_head(make("ctnet"), features(height=1), (64, 64))


@pytest.mark.parametrize(
    ("body", "options", "message"),
    [
        (partial(EncBody, num_codewords=0), {}, "num_codewords: 0"),
        (RCCABody, {"laterals": [-2]}, r"head\.laterals: RCCABody fuses no other levels\. Leave"),
        (EncBody, {"laterals": [-4]}, r"head\.laterals: -4 is out of range. The backbone has 3 features"),
        (partial(RCCABody, recurrence=0), {}, "recurrence: 0"),
    ],
)
def test_bad_options_are_refused(body: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ImageHead(WIDTHS, K, body=body, **options)


@pytest.mark.parametrize(("body", "local"), [(FCNBody, True), (EncBody, False), (RCCABody, False)])
def test_heads_are_as_local_as_their_body(body: Any, local: bool) -> None:
    assert ImageHead([16], 3, body=body).is_local == local


def test_an_auxiliary_body_without_weight_is_left_out() -> None:
    head = ImageHead(WIDTHS, K, body=FCNBody, auxiliary=FCNBody, aux_weight=0.0)
    assert not any(name.startswith("auxiliary") for name, _ in head.named_parameters())


def test_ctnet_starts_as_published_with_paddle() -> None:
    """N(0, 0.001²) and no bias in convolutions, He's deviation in those over channels, Xavier's bound in their mix."""
    head = build_head(published_ctnet(width=64, key_width=64), (64, 64), 20)
    gate = head.body.channel_context.gate
    for name, module in head.named_modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear) and module is not gate.mix:
            assert float(module.weight.detach().std()) == pytest.approx(0.001, rel=0.1), name
            assert not module.bias.any(), name
    drawn = [build_head(published_ctnet(width=8, key_width=8), (8, 8), 4) for _ in range(30)]
    gates = [head.body.channel_context.gate for head in drawn]
    for i, size in enumerate((9, 17, 33, 65)):
        weights = torch.stack([gate.convs[i].weight.detach() for gate in gates])
        assert float(weights.std()) == pytest.approx((2 / size) ** 0.5, rel=0.15)
    mix = torch.stack([gate.mix.weight.detach() for gate in gates]).abs()
    assert 0.9 < float(mix.max()) <= 1.2**0.5


@pytest.mark.parametrize("batch_size", [1, 2])
def test_pixel_convolution_is_conv2d_on_what_stands_side_by_side(batch_size: int) -> None:
    image, other = features(batch_size)[:2]
    conv = PixelConv(WIDTHS[0] + WIDTHS[1], 5)
    x, pixels = to_tokens(image)
    assert torch.equal(to_image(x, pixels), image)
    expected = torch.nn.functional.conv2d(torch.cat([image, other], 1), conv.weight, conv.bias, padding=1)
    y = to_tokens(other)[0]
    for parts in ([x, y], torch.cat([x, y], 1)):
        found = conv(parts, pixels)
        assert found.is_contiguous()
        torch.testing.assert_close(to_image(found, pixels), expected)
