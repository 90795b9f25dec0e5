"""VAN: published sizes, strides of odd images, drop path."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from pcseg.backbones.images.van import VAN, VanSize, van
from pcseg.errors import UserError
from pcseg.official.names.images import van_names


@pytest.mark.parametrize(
    ("size", "millions", "within"),
    [
        ("b0", 3.85, 0.006),
        ("b1", 13.35, 0.006),
        ("b2", 26.07, 0.006),
        ("b3", 44.25, 0.006),
        pytest.param("b4", 59.77, 0.006, marks=pytest.mark.slow),
        pytest.param("b5", 89.2, 0.06, marks=pytest.mark.slow),
        pytest.param("b6", 199.1, 0.06, marks=pytest.mark.slow),
    ],
)
def test_published_number_of_parameters(size: VanSize, millions: float, within: float) -> None:
    with torch.device("meta"):
        model = van(size=size)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=within)


def small(drop_path: float = 0.0) -> VAN:
    return VAN(widths=[4, 8, 8, 8], depths=[1, 2, 1, 1], mlp_ratios=[2, 2, 2, 2], drop_path=drop_path)


def test_strides_round_up() -> None:
    outputs = small().eval()(SimpleNamespace(image=torch.randn(1, 3, 33, 70)))
    assert [tuple(output.shape[1:]) for output in outputs] == [(4, 9, 18), (8, 5, 9), (8, 3, 5), (8, 2, 3)]


def test_drop_path_drops_whole_images_only_in_training() -> None:
    model = small(drop_path=0.9)
    rates = [block.drop_path.rate for stage in model.stages for block in stage.blocks]
    assert rates == pytest.approx([0, 0.225, 0.45, 0.675, 0.9])
    drop = model.stages[3].blocks[0].drop_path
    out = drop(torch.ones(200, 2, 3, 3))
    assert (out == out[:, :1, :1, :1]).all()
    assert out.unique().tolist() == pytest.approx([0, 10])
    batch = SimpleNamespace(image=torch.randn(1, 3, 32, 32))
    assert torch.equal(model.eval()(batch)[3], model(batch)[3])


def test_refuses_different_numbers_of_stages() -> None:
    with pytest.raises(UserError, match="every stage"):
        VAN(widths=[4, 8], depths=[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prefix", "other"), [("", "head.weight"), ("backbone.", "decode_head.conv_seg.weight")]
)
def test_weights_of_the_classification_and_of_the_segmentation_code(
    prefix: str, other: str, tmp_path: Path
) -> None:
    source = van(size="b0")
    published = {ours: theirs for theirs, ours in van_names(source, {}).names.items()}
    state = {other: torch.zeros(3, 3)}
    for name, tensor in source.state_dict().items():
        module, _, leaf = name.rpartition(".")
        theirs = published[name] if name in published else f"{published[module]}.{leaf}"
        state[prefix + theirs] = tensor
    torch.save({"state_dict": state}, tmp_path / "van.pth")
    model = van(size="b0", pretrained=tmp_path / "van.pth")
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, source.state_dict()[name])
