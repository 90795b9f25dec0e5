"""Image heads: sizes, losses, single images, published weights and what is told about bad input."""

from types import SimpleNamespace

import pytest
import torch

from pcseg.errors import UserError
from pcseg.heads.base import HeadOutput
from pcseg.heads.ccnet import RCCAHead
from pcseg.heads.ctnet import CTHead
from pcseg.heads.encnet import EncHead
from pcseg.heads.fcn import FCNHead
from pcseg.heads.image_base import ImageHead, PixelConv, to_image, to_tokens

WIDTHS, K = (6, 7, 8), 4


def make(name: str) -> ImageHead:
    heads = {
        "fcn": lambda: FCNHead(WIDTHS, K),
        "ctnet": lambda: CTHead(WIDTHS, K, channels=12, key_channels=6),
        "encnet": lambda: EncHead(WIDTHS, K, channels=8, num_codewords=3, lateral=True),
        "ccnet": lambda: RCCAHead(WIDTHS, K, context_channels=8, channels=8, category_weight=1.0),
    }
    return heads[name]()


def features(batch_size: int = 2, height: int = 5, width: int = 7) -> list[torch.Tensor]:
    return [torch.randn(batch_size, channels, height, width) for channels in WIDTHS]


LOSSES = {
    "fcn": set(),
    "ctnet": {"class_frequency", "aux"},
    "encnet": {"presence", "aux"},
    "ccnet": {"category", "aux"},
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("batch_size", [1, 2])
def test_trains_at_the_size_of_the_image(name: str, batch_size: int) -> None:
    head = make(name)
    y = torch.randint(-1, K, (batch_size, 33, 45))
    output = head(features(batch_size), (33, 45))
    assert output.logits.shape == (batch_size, K, 33, 45)
    losses = head.losses(output, SimpleNamespace(labels=y))
    assert losses.keys() == LOSSES[name]
    (output.logits.sum() + sum(losses.values())).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


@pytest.mark.parametrize("name", LOSSES)
def test_images_do_not_see_each_other(name: str) -> None:
    head, images = make(name).eval(), features()
    together = head(images).logits
    alone = head([image[1:] for image in images]).logits
    torch.testing.assert_close(together[1:], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_the_layout_of_the_features_does_not_matter(name: str) -> None:
    head, images = make(name).eval(), features()
    found = head([image.to(memory_format=torch.channels_last) for image in images]).logits
    torch.testing.assert_close(found, head(images).logits, rtol=1e-4, atol=1e-5)


def test_corners_stay_in_place_where_they_are_aligned() -> None:
    head = EncHead(WIDTHS, K, channels=8, num_codewords=3).eval()
    images = features()
    small, large = head(images).logits, head(images, (33, 45)).logits
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


def test_features_that_do_not_fit_are_told() -> None:
    with pytest.raises(UserError, match=r"widths \[6, 7, 8\], not \[7, 8\]"):
        make("ctnet")(features()[1:])
    images = features()
    images[0] = torch.randn(2, 6, 10, 14)
    with pytest.raises(UserError, match=r"one size, not \(10, 14\) and \(5, 7\)"):
        make("encnet")(images)


def test_bad_options_are_told() -> None:
    with pytest.raises(UserError, match="0 codewords"):
        EncHead(WIDTHS, K, num_codewords=0)
    with pytest.raises(
        UserError, match=r"head\.lateral fuses the last three features, and the backbone has 2"
    ):
        EncHead(WIDTHS[1:], K, lateral=True)
    with pytest.raises(UserError, match="recurrence is 0"):
        RCCAHead(WIDTHS, K, context_channels=8, recurrence=0)


def test_ctnet_starts_as_published_with_paddle() -> None:
    """N(0, 0.001²) and no bias in convolutions, He's deviation in those over channels, Xavier's bound in their mix."""
    head = CTHead((64, 64), 20, channels=64, key_channels=64, paddle=True)
    gate = head.body.channel_context.gate
    for name, module in head.named_modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear) and module is not gate.mix:
            assert float(module.weight.detach().std()) == pytest.approx(0.001, rel=0.1), name
            assert not module.bias.any(), name
    drawn = [CTHead((8, 8), 4, channels=8, key_channels=8, paddle=True) for _ in range(30)]
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
    assert to_image(x, pixels) is image, "not made a second time"
    assert torch.equal(to_image(2 * x, pixels), 2 * image)
    expected = torch.nn.functional.conv2d(torch.cat([image, other], 1), conv.weight, conv.bias, padding=1)
    y = to_tokens(other)[0]
    for parts in ([x, y], torch.cat([x, y], 1)):
        found = conv(parts, pixels)
        assert found.is_contiguous()
        torch.testing.assert_close(to_image(found, pixels), expected)
