"""ResNets for images: published sizes, strides, dilations, pooling, and weights from files."""

from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from torch import nn

from pcseg.backbones.images.resnet import Dilation, ResNet, ResNetName, resnet
from pcseg.errors import UserError


def on_meta(name: ResNetName, **options: object) -> ResNet:
    with torch.device("meta"):
        return resnet(name=name, **options)


def tiny(**options: object) -> ResNet:
    return ResNet(depths=(1, 2, 2, 2), widths=(4, 4, 8, 8), stem_width=4, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("resnet50", 23_508_032), ("resnet101", 42_500_160),
        ("resnet50s", 23_631_808), ("resnet101s", 42_623_936),
        ("resnet50d", 23_527_264), ("resnet101d", 42_519_392),
    ],
)  # fmt: skip
def test_published_number_of_parameters(name: ResNetName, count: int) -> None:
    assert sum(p.numel() for p in on_meta(name).parameters()) == count


@pytest.mark.slow
@pytest.mark.parametrize(
    ("output_stride", "dilation", "first", "others"),
    [
        (8, "encnet", [1, 1, 1, 2], [1, 1, 2, 4]),
        (8, "ccnet", [1, 1, 2, 4], [1, 1, 2, 4]),
        (16, "encnet", [1, 1, 1, 1], [1, 1, 1, 2]),
        (16, "ccnet", [1, 1, 1, 2], [1, 1, 1, 2]),
        (32, "encnet", [1, 1, 1, 1], [1, 1, 1, 1]),
        (32, "ccnet", [1, 1, 1, 1], [1, 1, 1, 1]),
    ],
)
@pytest.mark.parametrize("name", ["resnet50s", "resnet101d"])
def test_dilation_of_every_block(
    name: ResNetName, output_stride: int, dilation: Dilation, first: list[int], others: list[int]
) -> None:
    model = on_meta(name, output_stride=output_stride, dilation=dilation)
    convs = [[block.conv2 for block in stage] for stage in model._stages()]
    assert [stage[0].dilation[0] for stage in convs] == first
    assert [{conv.dilation[0] for conv in stage[1:]} for stage in convs] == [{d} for d in others]
    assert all(conv.padding == conv.dilation for stage in convs for conv in stage)
    strides = [1, *(2 if 4 * 2**i <= output_stride else 1 for i in range(1, 4))]
    assert [stage[0].stride[0] for stage in convs] == strides
    assert {conv.stride[0] for stage in convs for conv in stage[1:]} == {1}


def test_only_strided_shortcuts_pool() -> None:
    for output_stride, pooled in ((8, [False, True, False, False]), (32, [False, True, True, True])):
        stages = on_meta("resnet50d", output_stride=output_stride)._stages()
        pools = [stage[0].downsample[0] for stage in stages]
        assert [isinstance(pool, nn.AvgPool2d) for pool in pools] == pooled
        assert all(pool.ceil_mode for pool in pools if isinstance(pool, nn.AvgPool2d))
        assert {stage[0].downsample[1].stride for stage in stages} == {(1, 1)}


@pytest.mark.parametrize(
    ("edge", "ceil_pool", "edges"),
    [
        (48, False, [12, 6, 6, 6]),
        (48, True, [13, 7, 7, 7]),
        (49, False, [13, 7, 7, 7]),
        (49, True, [13, 7, 7, 7]),
    ],
)
def test_sizes(edge: int, ceil_pool: bool, edges: list[int]) -> None:
    model = tiny(stem="s", ceil_pool=ceil_pool)
    outputs = model(SimpleNamespace(image=torch.randn(2, 3, edge, edge)))
    assert [tuple(x.shape[1:]) for x in outputs] == [(c, e, e) for c, e in zip((16, 16, 32, 32), edges)]
    assert model.out_channels == [16, 16, 32, 32]


@pytest.mark.slow
def test_weights_from_a_file(tmp_path: Path) -> None:
    source = on_meta("resnet50", output_stride=32).to_empty(device="cpu")
    nn.init.constant_(source.net.layer4[2].bn3.bias, 3.0)
    state = source.net.state_dict() | {"fc.weight": torch.zeros(10, 2048), "fc.bias": torch.zeros(10)}
    torch.save(
        {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, tmp_path / "r50.pth"
    )
    loaded = resnet(name="resnet50", pretrained=tmp_path / "r50.pth")
    assert loaded.net.layer4[2].bn3.bias.eq(3).all()
    with pytest.raises(UserError, match=r"r50\.pth: does not fit this backbone: bn1\.weight "):
        resnet(name="resnet50s", pretrained=tmp_path / "r50.pth")
    with pytest.raises(UserError, match=r"nowhere\.pth: no such file"):
        resnet(name="resnet50", pretrained=tmp_path / "nowhere.pth")


@pytest.mark.slow
def test_unavailable_weights_are_reported() -> None:
    with mock.patch("timm.create_model", side_effect=OSError("no way out")):
        with pytest.raises(UserError, match=r"cannot download timm's weights for resnet50s \(no way out\)"):
            resnet(name="resnet50s", pretrained="timm")
    with mock.patch("timm.get_pretrained_cfg", return_value=None):
        with pytest.raises(UserError, match=r"timm has no weights for resnet50s\. Give a file"):
            resnet(name="resnet50s", pretrained="timm")
    with pytest.raises(UserError, match="output_stride: 4 is out of range"):
        tiny(output_stride=4)
    with pytest.raises(UserError, match="Choose one of resnet50, "):
        resnet(name="resnet18")  # type: ignore[arg-type]
