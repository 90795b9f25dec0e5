"""Whole image models: published numbers of parameters, and small ones that learn four images by heart."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from helpers.heads import build_head, published_ccnet, published_ctnet, published_encnet, run_image_head
from torch import nn

from pcseg.backbones.contract import ImageBackbone
from pcseg.backbones.images.hrnet import hrnet
from pcseg.backbones.images.jpu import JPUBackbone, resnet_jpu
from pcseg.backbones.images.resnet import ResNet, resnet
from pcseg.backbones.images.van import VAN, van
from pcseg.data.images.batch import ImageBatch

R50S, R101S, R101D, JPU, W48 = 23_631_808, 42_623_936, 42_519_392, 19_735_552, 65_325_120
ENC_ADE, ENC_CONTEXT, RCCA = 12_532_770, 20_283_409, 28_663_975
CT = {19: 17_353_695, 59: 17_435_815, 150: 17_622_638}


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "head", "body", "total"),
    [
        (lambda: resnet(name="resnet50s"), (published_encnet(), 150), R50S, ENC_ADE),
        (lambda: resnet(name="resnet101s"), (published_encnet(), 150), R101S, ENC_ADE),
        (lambda: resnet(name="resnet101s"), (published_encnet(lateral=True), 59), R101S, ENC_CONTEXT),
        (lambda: resnet(name="resnet101s", dilation="ccnet"), (published_ccnet(), 19), R101S, RCCA),
        (lambda: resnet(name="resnet101d"), (published_ctnet(), 19), R101D, CT[19]),
        (lambda: resnet(name="resnet101d"), (published_ctnet(), 59), R101D, CT[59]),
        (lambda: resnet(name="resnet101d"), (published_ctnet(), 150), R101D, CT[150]),
        (lambda: resnet_jpu(name="resnet101d"), (published_ctnet(), 19), R101D + JPU, CT[19]),
    ],
)
def test_published_numbers_of_parameters(
    backbone: Callable[[], ImageBackbone], head: tuple[dict[str, Any], int], body: int, total: int
) -> None:
    with torch.device("meta"):
        features = backbone()
        assert (count(features), count(build_head(head[0], features.out_channels, head[1]))) == (body, total)


@pytest.mark.slow
def test_heads_on_other_backbones() -> None:
    """HRNet has one feature for both heads of CTNet; VAN's last one has 512 channels."""
    with torch.device("meta"):
        high, base = hrnet(name="hrnet_w48"), van(size="b2")
        ct = build_head(published_ctnet(), high.out_channels, 19)
        rcca = build_head(published_ccnet(attention_width=128), base.out_channels, 19)
    assert (high.out_channels, base.out_channels) == ([720], [64, 128, 320, 512])
    reduced = build_head(published_ctnet(), [1024, 2048], 19)
    for_inputs = {"body.reduce.conv.weight", "auxiliary.reduce.linear.weight"}
    assert {
        name for name, p in ct.named_parameters()
        if p.shape != dict(reduced.named_parameters())[name].shape
    } - for_inputs == {f"auxiliary.{n}" for n in ("reduce.linear.bias", "reduce.norm.weight", "reduce.norm.bias",
                                                  "classify.weight")}  # fmt: skip
    assert rcca.body.attention.query.out_features == 512 // 4 // 8


def small_resnet(stem: Any = "s", **options: Any) -> ResNet:
    return ResNet(depths=(1, 1, 1, 1), widths=(8, 8, 12, 16), stem=stem, stem_width=8, **options)


CT_SMALL = published_ctnet(width=16, key_width=8, norm=None, init=False)
MODELS: dict[str, tuple[Callable[[], ImageBackbone], dict[str, Any]]] = {
    "encnet": (small_resnet, published_encnet(width=16, num_codewords=8, lateral=True, norm=None)),
    "ccnet": (lambda: small_resnet(dilation="ccnet", ceil_pool=True), published_ccnet(width=16)),
    "ccnet_van": (
        lambda: VAN(widths=(8, 16, 24, 32), depths=(1, 1, 1, 1), drop_path=0.0),
        published_ccnet(width=32, attention_width=8, norm=None),
    ),
    "ctnet": (lambda: small_resnet("d", dilation="ccnet"), CT_SMALL),
    "ctnet_jpu": (lambda: JPUBackbone(small_resnet("d", output_stride=32), width=8), CT_SMALL),
    "ctnet_hrnet": (lambda: hrnet(name="hrnet_w18_small"), CT_SMALL),
}
STRIDES = {"ccnet_van": 32, "ctnet_jpu": 16, "ctnet_hrnet": 16}
STEPS = {"ctnet_hrnet": 30}
"""Fewer than 80 for the one that has many layers, whose running statistics then move faster."""


def four_images(stride: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of four quarters in the colors of their classes, with noise; quarters end between features."""
    y = torch.tensor([[[0, 1], [2, 3]], [[1, 1], [0, 2]], [[3, 0], [3, 2]], [[2, 3], [1, 0]]])
    y = y.repeat_interleave(2 * stride, 1).repeat_interleave(2 * stride, 2)
    color = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]])
    return 2 * color[y].permute(0, 3, 1, 2) - 1 + 0.2 * torch.randn(4, 3, *y.shape[1:]), y


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_learns_four_images_by_heart(name: str) -> None:
    make_backbone, config = MODELS[name]
    backbone = make_backbone()
    head = build_head(config, backbone.out_channels, 4)
    image, y = four_images(STRIDES.get(name, 8))
    batch = ImageBatch(image=image, labels=y, names=[""] * 4)
    steps = STEPS.get(name, 80)
    model = nn.ModuleList([backbone, head])
    for norm in model.modules():
        if name in STEPS and isinstance(norm, nn.modules.batchnorm._BatchNorm):
            norm.momentum = 0.4
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.01 * (1 - step / steps)
        output = head(backbone(batch), batch)
        losses = [F.cross_entropy(output.logits, batch.y), *head.losses(output, batch).values()]
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()
    with torch.no_grad():
        pred = head.eval()(backbone.eval()(batch), batch).logits.argmax(1)
    assert (pred == batch.y).float().mean() > 0.95


def test_logits_of_pixels_are_a_view_with_classes_first() -> None:
    """The loss on a CPU works along classes; nothing is copied on the way to it."""
    backbone = small_resnet()
    image, y = four_images(8)
    batch = ImageBatch(image=image, labels=y, names=[""] * 4)
    config = published_encnet(width=16, num_codewords=8, lateral=True, norm=None)
    head = build_head(config, backbone.out_channels, 4).eval()
    with torch.no_grad():
        levels = backbone(batch)
        logits = head(levels, batch).logits
        small = run_image_head(head, levels).logits
    assert logits.t().is_contiguous()
    expected = F.interpolate(small, y.shape[1:], mode="bilinear", align_corners=head.align_corners)
    torch.testing.assert_close(logits, expected.permute(0, 2, 3, 1).flatten(0, 2))
