"""HRNet and JPU: widths, sizes that are not multiples of 32, and their parts against plain formulas."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pcseg.backbones.images.hrnet import HRNet, HRNetName, hrnet
from pcseg.backbones.images.jpu import JPU, JPUBackbone, resnet_jpu
from pcseg.backbones.images.resnet import ResNet
from pcseg.errors import UserError


@pytest.mark.slow
@pytest.mark.parametrize(("name", "width"), [("hrnet_w18", 270), ("hrnet_w48", 720)])
def test_published_widths(name: HRNetName, width: int) -> None:
    with torch.device("meta"):
        assert hrnet(name=name).out_channels == [width]


@pytest.fixture(scope="module")
def small() -> HRNet:
    return HRNet(name="hrnet_w18_small").eval()


def test_equals_timm_at_multiples_of_32(small: HRNet) -> None:
    import timm

    theirs = timm.create_model(
        "hrnet_w18_small", features_only=True, feature_location="", out_indices=(1, 2, 3, 4)
    )
    theirs.load_state_dict(small.net.state_dict())
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        features = theirs.eval()(image)
        size = features[0].shape[2:]
        expected = torch.cat([F.interpolate(x, size, mode="bilinear") for x in features], 1)
        (found,) = small(SimpleNamespace(image=image))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("paddle", [False, True])
def test_any_size(small: HRNet, paddle: bool) -> None:
    model = HRNet(name="hrnet_w18_small", paddle=True).eval() if paddle else small
    (x,) = model(SimpleNamespace(image=torch.randn(1, 3, 65, 90)))
    assert x.shape == (1, model.out_channels[0], 17, 23)


def test_paddle_pads_at_the_end(small: HRNet) -> None:
    model = HRNet(name="hrnet_w18_small", paddle=True)
    image = torch.randn(1, 3, 8, 8)
    expected = F.conv2d(F.pad(image, (0, 1, 0, 1)), model.net.conv1.weight, stride=2)
    torch.testing.assert_close(model.net.conv1(image), expected)
    assert model.state_dict().keys() == small.state_dict().keys()


@pytest.mark.slow
def test_weights_of_a_classifier(tmp_path: Path) -> None:
    import timm

    source = timm.create_model("hrnet_w18_small", pretrained=False)
    torch.save(source.state_dict(), tmp_path / "hrnet.pth")
    model = hrnet(name="hrnet_w18_small", pretrained=tmp_path / "hrnet.pth")
    theirs, ours = source.stage4[0].fuse_layers[0][3][0], model.net.stage4[0].fuse_layers[0][3][0]
    assert torch.equal(theirs.weight, ours.weight)
    with pytest.raises(UserError, match=r"hrnet\.pth: does not fit this backbone"):
        hrnet(name="hrnet_w18", pretrained=tmp_path / "hrnet.pth")


def test_jpu_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        jpu = JPU([256, 512, 1024, 2048])
        whole = resnet_jpu()
    assert sum(p.numel() for p in jpu.parameters()) == 19_735_552
    assert sum(p.numel() for p in whole.parameters()) == 19_735_552 + 42_519_392
    assert whole.out_channels == [256, 512, 1024, 2048]


def plain_jpu(state: dict[str, Tensor], features: list[Tensor]) -> Tensor:
    """Compute the JPU from its weights by its formula."""

    def norm(x: Tensor, name: str) -> Tensor:
        statistics = (state[f"{name}.running_mean"], state[f"{name}.running_var"])
        return F.batch_norm(x, *statistics, state[f"{name}.weight"], state[f"{name}.bias"])

    c2, c3, c4 = (
        norm(F.conv2d(x, state[f"reduce.{i}.0.weight"], padding=1), f"reduce.{i}.1").relu()
        for i, x in enumerate(features[-3:])
    )
    size = c2.shape[2:]
    x = torch.cat([F.interpolate(c4, size, mode="bilinear"), F.interpolate(c3, size, mode="bilinear"), c2], 1)
    parts = []
    for i, d in enumerate((1, 2, 4, 8)):
        y = F.conv2d(x, state[f"dilated.{i}.0.weight"], padding=d, dilation=d, groups=x.shape[1])
        y = F.conv2d(norm(y, f"dilated.{i}.1"), state[f"dilated.{i}.2.weight"])
        parts.append(norm(y, f"dilated.{i}.3").relu())
    return torch.cat(parts, 1)


def test_jpu_equals_its_formula() -> None:
    jpu = JPU([3, 4, 5, 6], width=7).double().eval()
    state = {
        name: torch.rand_like(tensor) + 0.1 if tensor.is_floating_point() else tensor
        for name, tensor in jpu.state_dict().items()
    }
    jpu.load_state_dict(state)
    sizes = [(3, 17, 21), (4, 9, 11), (5, 5, 6), (6, 3, 3)]
    features = [torch.randn(2, *size, dtype=torch.float64) for size in sizes]
    torch.testing.assert_close(jpu(features), plain_jpu(state, features))


def test_jpu_replaces_the_last_feature() -> None:
    backbone = ResNet(depths=(1, 1, 1, 1), widths=(4, 4, 8, 8), stem="d", stem_width=4, output_stride=32)
    model = JPUBackbone(backbone, width=8).eval()
    outputs = model(SimpleNamespace(image=torch.randn(1, 3, 65, 97)))
    assert [tuple(x.shape[1:]) for x in outputs] == [(16, 17, 25), (16, 9, 13), (32, 5, 7), (32, 9, 13)]
