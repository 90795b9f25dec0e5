"""Complete published checkpoints: all names are known, and the backbone equals its formulas."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers.heads import build_head, published_ccnet, published_ctnet, published_encnet, run_image_head
from helpers.published import (
    CCNET,
    DEPTHS,
    ENCNET,
    PADDLE,
    STEM,
    WIDTHS,
    State,
    Style,
    ccnet_state,
    conv,
    ctnet_head,
    ctnet_state,
    encnet_state,
    norm,
)
from helpers.published import resnet_forward as formula
from helpers.published_hrnet import hrnet_forward, hrnet_state
from torch import nn

from pcseg.backbones.images.hrnet import HRNet
from pcseg.backbones.images.jpu import JPUBackbone
from pcseg.backbones.images.resnet import Dilation, ResNet, Stem
from pcseg.official.loading import LoadReport, load_published
from pcseg.official.systems import find_system

K = 3


def resnet(
    stem: Stem = "s", dilation: Dilation = "ccnet", *, output_stride: int = 8, ceil_pool: bool = False
) -> Any:
    return ResNet(
        depths=DEPTHS, widths=WIDTHS, stem=stem, stem_width=STEM[0],
        dilation=dilation, output_stride=output_stride, ceil_pool=ceil_pool,
    )  # fmt: skip


def ccnet() -> nn.Module:
    return whole(resnet(ceil_pool=True), published_ccnet(width=6, attention_width=WIDTHS[3]))


def encnet() -> nn.Module:
    return whole(resnet(dilation="encnet"), published_encnet(width=6, num_codewords=5))


def ctnet() -> nn.Module:
    return whole(resnet("d"), published_ctnet(width=6, key_width=4))


def whole(backbone: Any, head: dict[str, Any]) -> nn.Module:
    model = nn.Module()
    model.backbone, model.head = backbone, build_head(head, backbone.out_channels, K)
    return model.double().eval()


def load(model: nn.Module, state: State) -> LoadReport:
    system = find_system(state, source="x")
    assert system.num_classes(state, source="x") == K
    return load_published(model, state, system.name_map(state, backbone=model.backbone))


@pytest.mark.parametrize(
    ("build", "published", "style"),
    [(ccnet, ccnet_state, CCNET), (encnet, encnet_state, ENCNET), (ctnet, ctnet_state, PADDLE)],
)
@pytest.mark.parametrize("size", [(64, 48), (57, 33)])
def test_checkpoint_fits_and_backbone_equals_its_formula(
    build: Callable[[], Any], published: Callable[[], State], style: Style, size: tuple[int, int]
) -> None:
    model, state = build(), published()
    report = load(model, state)
    assert report.missing == []
    assert report.unexpected == []
    assert all(name.startswith("pretrained.fc.") for name in report.ignored)
    image = torch.randn(2, 3, *size, dtype=torch.float64)
    levels = model.backbone(SimpleNamespace(image=image))
    for found, expected in zip(levels, formula(state, style, image), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    assert run_image_head(model.head, levels, size).logits.isfinite().all()


def test_gain_of_ccnet_norms_is_applied_once() -> None:
    """Backbone norms get ``|weight| + eps``. The head's InPlaceABN norms apply that themselves, other norms do not."""
    state = ccnet_state()
    weight = state["head.convb.1.weight"].double()
    model = ccnet()
    load(model, state)
    torch.testing.assert_close(model.head.body.after.norm.weight, weight)
    torch.testing.assert_close(model.head.body.after.norm.gain, weight.abs() + 1e-5)
    torch.testing.assert_close(model.backbone.net.bn1.weight, state["bn3.weight"].double().abs() + 1e-5)
    plain = whole(resnet(ceil_pool=True), published_ccnet(width=6, attention_width=WIDTHS[3], norm=None))
    load(plain, state)
    torch.testing.assert_close(plain.head.body.after.norm.weight, weight.abs() + 1e-5)


def jpu_state(width: int) -> State:
    """Return the tensors that CTNet's code adds to a ResNet for the JPU."""
    state: State = {}
    for i, in_width in ((5, WIDTHS[3]), (4, WIDTHS[2]), (3, WIDTHS[1])):
        conv(state, f"backbone.JPU.conv{i}.0", (width, 4 * in_width, 3, 3))
        norm(state, f"backbone.JPU.conv{i}.1", width, PADDLE.norm)
    for i in (1, 2, 3, 4):
        name = f"backbone.JPU.dilation{i}"
        conv(state, f"{name}.0.conv1", (3 * width, 1, 3, 3))
        norm(state, f"{name}.0.bn", 3 * width, PADDLE.norm)
        conv(state, f"{name}.0.pointwise", (width, 3 * width, 1, 1))
        norm(state, f"{name}.1", width, PADDLE.norm)
    return state


def test_ctnet_with_jpu() -> None:
    state = {name: tensor for name, tensor in ctnet_state().items() if name.startswith("backbone.")}
    state |= jpu_state(5)
    ctnet_head(state, c3=4 * WIDTHS[2], c4=20, num_classes=K, channels=6, key=4)
    backbone = JPUBackbone(resnet("d", output_stride=32), width=5)
    model = whole(backbone, published_ctnet(width=6, key_width=4))
    report = load(model, state)
    assert (report.missing, report.unexpected) == ([], [])
    reduce = model.backbone.jpu.reduce
    torch.testing.assert_close(reduce[0][0].weight, state["backbone.JPU.conv3.0.weight"].double())
    torch.testing.assert_close(reduce[2][1].running_var, state["backbone.JPU.conv5.1._variance"].double())
    dilated = model.backbone.jpu.dilated[3]
    torch.testing.assert_close(dilated[1].bias, state["backbone.JPU.dilation4.0.bn.bias"].double())
    torch.testing.assert_close(dilated[3].bias, state["backbone.JPU.dilation4.1.bias"].double())


@pytest.mark.parametrize("size", [(64, 96), (50, 41)])
def test_ctnet_on_hrnet(size: tuple[int, int]) -> None:
    widths = (16, 32, 64, 128)
    state = hrnet_state(blocks=(1, 2, 2, 2), first=32, widths=widths)
    ctnet_head(state, c3=sum(widths), c4=sum(widths), num_classes=K, channels=6, key=4)
    model = whole(HRNet(name="hrnet_w18_small", paddle=True), published_ctnet(width=6, key_width=4))
    report = load(model, state)
    assert (report.missing, report.unexpected) == ([], [])
    image = torch.randn(2, 3, *size, dtype=torch.float64)
    (found,) = model.backbone(SimpleNamespace(image=image))
    expected = hrnet_forward(state, image, blocks=(1, 2, 2, 2))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_ctnet_of_earlier_commits() -> None:
    old = {
        "f_query": "f_pixel",
        "f_key": "f_object",
        "f_value": "f_down",
        "head.conv3x3.": "head.conv3x3_ocr.",
    }
    state = ctnet_state()
    for new, before in old.items():
        state = {name.replace(new, before): tensor for name, tensor in state.items()}
    report = load(ctnet(), state)
    assert (report.missing, report.unexpected) == ([], [])
    assert report.taken["head.scm.scm_block.f_down._conv.bias"] == (
        "head.body.spatial_context.attention.value.linear.bias"
    )
