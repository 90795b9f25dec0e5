"""Published weights of PTv3, Sonata and Concerto: names, shapes, and equal outputs after loading."""

import json
from itertools import permutations
from pathlib import Path

import pytest
import torch
from conftest import SHARED
from helpers.published_points import load_published_points, published_state
from helpers.tiny_ptv3 import batch_of, cloud, tiny
from torch import Tensor, nn

from pcseg.backbones.points.ptv3 import Sonata, Utonia, ptv3_base, ptv3_rpe
from pcseg.backbones.points.ptv3_network import PTv3
from pcseg.backbones.points.ptv3_rotary import Rotary
from pcseg.errors import UserError
from pcseg.official.loading import LoadReport, load_backbone
from pcseg.official.names.points import INPUT_BUFFERS, ptv3_names

VARIANTS = ["ptv3", "sonata", "utonia"]
PUBLISHED = {
    "utonia_base": lambda: with_mask_token(Utonia(9)),
    "utonia_small": lambda: with_mask_token(Utonia(9, size="small")),
    "utonia_tiny": lambda: with_mask_token(Utonia(9, size="tiny")),
    "utonia_base_decoder": lambda: Utonia(9, decoder=True),
    "ptv3_m1_base_indoor": lambda: ptv3_base(6),
    "ptv3_m1_rpe_indoor": lambda: ptv3_rpe(6),
    "sonata_m2_dec": lambda: Sonata(9, decoder=True),
    "sonata_m2_enc": lambda: PTv3(
        9, variant="sonata", mask_token=True, enc_channels=(48, 96, 192, 384, 512), enc_depths=(3, 3, 3, 12, 3),
        enc_heads=(3, 6, 12, 24, 32), dec_channels=(), dec_depths=(), dec_heads=(),
    ),
}  # fmt: skip


def with_mask_token(backbone: PTv3) -> PTv3:
    """Return a backbone with the token of self-supervised training, which the published encoders still have."""
    backbone.mask_token = nn.Parameter(torch.zeros(1, backbone.out_channels[0]))
    return backbone


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_names_and_shapes_equal_the_published_ones(name: str) -> None:
    file = "utonia_state_dicts.json" if name.startswith("utonia") else "official_state_dicts.json"
    path = SHARED / "golden" / "points" / file
    if not path.is_file():
        pytest.skip("no list of published names")
    facts = json.loads(path.read_text())[name]
    with torch.device("meta"):
        backbone = PUBLISHED[name]()
    ours = {name: list(tensor.shape) for name, tensor in published_state(backbone).items()}
    assert ours == facts["state_dict"]
    assert sum(parameter.numel() for parameter in backbone.parameters()) == facts["parameters"]


def load_file(backbone: PTv3, path: Path) -> LoadReport:
    return load_backbone(backbone, path, ptv3_names)


def published(backbone: PTv3, prefix: str = "module.backbone.") -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in published_state(backbone).items()}


def save(folder: Path, state: dict[str, Tensor]) -> Path:
    path = folder / "weights.pth"
    torch.save({"state_dict": state, "epoch": 3}, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.backbone."])
def test_round_trip(variant: str, prefix: str, tmp_path: Path) -> None:
    one, other = (tiny(variant, relative_position=True).float() for _ in "12")
    report = load_file(other, save(tmp_path, published(one, prefix)))
    assert len(report.taken) == len(published_state(one))
    assert report.missing == [name for name in INPUT_BUFFERS if name in one.state_dict()]
    assert not report.unexpected + report.ignored
    batch = batch_of(cloud(60))
    batch.x, batch.pos = batch.x.float(), batch.pos.float()
    assert torch.equal(one(batch)[0].x, other(batch)[0].x)


def test_classifier_and_report() -> None:
    one, other, classify = tiny(), tiny(), nn.Linear(8, 5)
    weight, bias = torch.randn(5, 8), torch.randn(5)
    state = published(one) | {"module.seg_head.weight": weight, "module.seg_head.bias": bias}
    report = load_published_points(state, other, classify, strict=True)
    assert torch.equal(classify.weight, weight)
    assert not report.ignored
    assert load_published_points(state, other, strict=True).ignored == [
        "module.seg_head.weight",
        "module.seg_head.bias",
    ]
    del state["module.backbone.enc.enc1.down.proj.weight"]
    report = load_published_points(state | {"module.backbone.extra": bias}, other)
    assert (report.missing, report.unexpected) == (
        ["backbone.pools.0.linear.weight"],
        ["module.backbone.extra"],
    )
    for text in (
        "1 missing here, initial values kept: backbone.pools.0.linear.weight",
        "1 unexpected, left out: module.backbone.extra",
        "2 not needed, left out: module.seg_head.weight",
    ):
        assert text in str(report)


def test_student_of_a_pretraining_file(tmp_path: Path) -> None:
    student, teacher, other = (tiny("sonata", mask_token=True) for _ in "123")
    state = published(student, "module.student.backbone.") | published(teacher, "module.teacher.backbone.")
    state = {name: tensor for name, tensor in state.items() if ".dec." not in name}
    state["module.student.mask_head.weight"] = torch.zeros(2, 2)
    decoder = {name: tensor.clone() for name, tensor in other.dec.state_dict().items()}
    report = load_file(other, save(tmp_path, state))
    assert torch.equal(other.stem.linear.weight, student.stem.linear.weight)
    assert all(torch.equal(tensor, decoder[name]) for name, tensor in other.dec.state_dict().items())
    assert all(name.startswith(("dec.", "unpools.", "input_shift")) for name in report.missing)
    assert "student.mask_head.weight" in report.ignored
    assert len(report.taken) + len(report.ignored) == len(state), "every name is accounted for"


def test_decoder_is_ignored_only_without_a_decoder_here(tmp_path: Path) -> None:
    path = save(tmp_path, published(tiny(dec_depths=(2, 2))))
    with pytest.raises(UserError, match=r"no counterpart here for backbone\.dec\.dec0\.block1"):
        load_file(tiny(), path)
    encoder = tiny(dec_channels=(), dec_depths=(), dec_heads=())
    report = load_file(encoder, path)
    assert {name.split(".")[1] for name in report.ignored} == {"dec"}
    assert (report.missing, report.unexpected) == (["input_shift"], [])


def test_unit_colors(tmp_path: Path) -> None:
    one, other = tiny("sonata"), tiny("sonata")
    load_file(other, save(tmp_path, published(one)))
    other.expect_published_input(color=0, pos=None)
    batch = batch_of(cloud(60))
    expected = one(batch)[0].x
    batch.x = batch.x - 0.5
    torch.testing.assert_close(other(batch)[0].x, expected, rtol=1e-9, atol=1e-9)
    assert "input_shift" in other.state_dict(), "a checkpoint of ours brings it along"


TITLES = {"ptv3": "Point Transformer V3", "sonata": "Sonata or Concerto", "utonia": "Utonia"}


@pytest.mark.parametrize(("theirs", "ours"), list(permutations(VARIANTS, 2)))
def test_weights_of_another_system(theirs: str, ours: str, tmp_path: Path) -> None:
    path = save(tmp_path, published(tiny(theirs)))
    with pytest.raises(UserError, match=f"it holds weights of {TITLES[theirs]}, not of {TITLES[ours]}"):
        load_file(tiny(ours), path)


def test_one_missing_frequency(tmp_path: Path) -> None:
    state = published(tiny("utonia"))
    del state["module.backbone.enc.enc0.block0.attn.rope.inv_freq"]
    with pytest.raises(UserError, match=r"lacks enc\.0\.blocks\.0\.attention\.rotary\.inv_freq"):
        load_file(tiny("utonia"), save(tmp_path, state))


def test_frequencies_are_read_from_the_file(tmp_path: Path) -> None:
    one, other = tiny("utonia", rotary=Rotary(base=100, scale=0.5)), tiny("utonia")
    load_file(other, save(tmp_path, published(one)))
    batch = batch_of(cloud(60))
    assert torch.equal(one(batch)[0].x, other(batch)[0].x)


@pytest.mark.slow
def test_refusals_change_nothing(tmp_path: Path) -> None:
    backbone = tiny()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    whole = published(tiny())
    name = "module.backbone.enc.enc0.block0.cpe.0.weight"
    for state, message in (
        (
            {key: value for key, value in whole.items() if key != name},
            r"lacks enc\.0\.blocks\.0\.position\.conv",
        ),
        (whole | {"module.backbone.more": torch.zeros(1)}, "no counterpart here for backbone.more"),
        (whole | {name: whole[name][:, :1]}, r"enc0\.block0\.cpe\.0\.weight has shape \(8, 1, 3, 3, 8\)"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            load_file(backbone, save(tmp_path, state))
        assert str(tmp_path) in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())
    with pytest.raises(UserError, match="nowhere"):
        ptv3_base(6, pretrained=tmp_path / "nowhere.pth")
