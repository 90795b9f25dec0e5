"""Published checkpoints become weights that training starts from; heads give the golden outputs; nothing is silent."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SHARED
from golden import Golden
from helpers.grids import as_images, planar_levels
from helpers.published import (
    CCNET,
    DEPTHS,
    ENCNET,
    PADDLE,
    STEM,
    WIDTHS,
    State,
    ccnet_state,
    ctnet_state,
    encnet_state,
    resnet_state,
)

from pcseg.backbones.points.sparse_unet import SparseUNet
from pcseg.checkpoint import KEY, ModelCard, instantiate_parts
from pcseg.errors import UserError
from pcseg.labels import LabelSchema
from pcseg.official.convert import Conversion, convert
from pcseg.official.inflate import inflate
from pcseg.official.sparse_unet_names import official_state
from pcseg.training.initial_weights import load_initial_weights, save_weights
from pcseg.training.segmentor import Segmentor

K = 3
SCHEMA = LabelSchema(name="three", names=("a", "b", "c"), colors=((0, 0, 0),) * K)


def part(path: str, **options: Any) -> dict[str, Any]:
    return {"class_path": f"pcseg.{path}", "init_args": options}


def resnet(stem: str = "s", **options: Any) -> dict[str, Any]:
    shape = {"depths": list(DEPTHS), "widths": list(WIDTHS), "stem": stem, "stem_width": STEM[0]}
    return part("backbones.images.resnet.ResNet", **shape, **options)


UNET = part(
    "backbones.points.sparse_unet.SparseUNet", base_channels=8, channels=[8, 8, 8, 40], layers=[1, 1, 1, 1]
)
CONFIGS: dict[str, dict[str, Any]] = {
    "ccnet": {
        "backbone": resnet(dilation="ccnet", ceil_pool=True),
        "head": part("heads.ccnet.RCCAHead", channels=6),
    },
    "encnet": {
        "backbone": resnet(),
        "head": part("heads.encnet.EncHead", channels=6, num_codewords=5),
    },
    "ctnet": {
        "backbone": resnet("d", dilation="ccnet"),
        "head": part("heads.ctnet.CTHead", channels=6, key_channels=4, paddle=True),
    },
    "points": {
        "backbone": UNET,
        "head": part("heads.encnet.PointEncHead", level=0, width=6, num_codewords=5, reference_size=None),
    },
}
CT_POINTS = {
    "backbone": UNET,
    "head": part("heads.ctnet.PointCTHead", level=0, width=6, key_width=4, class_batch_norm=True),
}
STATES = {"ccnet": ccnet_state, "encnet": encnet_state, "ctnet": ctnet_state}


def write(path: Path, state: State) -> Path:
    torch.save(state, path)
    return path


def segmentor(config: dict[str, Any], in_channels: int = 3) -> Segmentor:
    backbone, head = instantiate_parts(config, source="test")
    return Segmentor(backbone, head, in_channels=in_channels, schema=SCHEMA)


def start(
    config: dict[str, Any], conversion: Conversion, tmp_path: Path, in_channels: int = 3
) -> tuple[Segmentor, list[str]]:
    """A model that starts from what was converted, and what of it starts anew."""
    path = tmp_path / "converted.ckpt"
    save_weights(path, conversion.state, missing=conversion.report.missing, origin=conversion.title)
    model = segmentor(config, in_channels).eval()
    return model, load_initial_weights(model, path)


@pytest.mark.parametrize("name", STATES)
def test_whole_models(name: str, tmp_path: Path) -> None:
    state = STATES[name]()
    conversion = convert(write(tmp_path / "official.pth", state), CONFIGS[name])
    report = conversion.report
    assert (report.missing, report.misshapen, conversion.num_classes) == ([], [], K)
    assert set(report.taken) | set(report.unexpected) | {n for n in state if "pretrained.fc" in n} == set(
        state
    )
    model, fresh = start(CONFIGS[name], conversion, tmp_path)
    assert fresh == []
    own = model.state_dict()
    for theirs, ours in report.taken.items():
        tensor = state[theirs]
        if name == "ccnet" and ours.startswith("backbone.") and ".weight" in ours and tensor.ndim == 1:
            tensor = tensor.abs() + 1e-5
        assert torch.equal(own[ours], tensor.reshape(own[ours].shape)), ours
    assert model.head(model.backbone(torch.randn(1, 3, 64, 64))).logits.isfinite().all()


GOLDEN = {
    "ccnet": ("ccnet_rcca_r*_eval", {"channels": "out_channels", "recurrence": "forward_recurrence"}),
    "encnet": ("encnet_enchead_eval_se_nolateral", {}),
    "ctnet": ("ctnet_head*eval*", {"channels": "mid_channels", "key_channels": "key_channels"}),
}
"""Files, and which of our options are which of their arguments."""


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_heads_in_a_checkpoint_give_the_golden_outputs(name: str, tmp_path: Path) -> None:
    pattern, arguments = GOLDEN[name]
    paths = sorted((SHARED / "golden" / "image").glob(f"{pattern}.npz"))
    if not paths:
        pytest.skip("no golden files")
    for path in paths:
        check_golden_head(Golden(path), name, arguments, tmp_path / "golden.pth")


def check_golden_head(golden: Golden, name: str, arguments: dict[str, str], path: Path) -> None:
    features = sorted(golden.section("input.", torch.float64).values(), key=lambda x: x.shape[1])
    widths = [*WIDTHS[:2], features[0].shape[1] // 4, features[-1].shape[1] // 4]
    if len(features) == 1:
        widths[2] = WIDTHS[2]
    given = golden.meta["constructor_args"]
    options = {ours: given[theirs] for ours, theirs in arguments.items()}
    options |= {"encnet": {"channels": 16, "num_codewords": 32}, "ctnet": {"paddle": True}}.get(name, {})
    config = {
        "backbone": resnet("d" if name == "ctnet" else "s") | {},
        "head": {**CONFIGS[name]["head"], "init_args": options},
    }
    config["backbone"]["init_args"]["widths"] = widths
    weights = {f"head.{n}": tensor for n, tensor in golden.section("weight.").items()}
    conversion = convert(write(path, weights), config, partial=True)
    expected = golden.tensor("output.logits")
    assert conversion.num_classes == expected.shape[1]
    make = instantiate_parts(config, source="test")[1]
    head = make([4 * width for width in widths], expected.shape[1]).double().eval()
    state = {
        n.removeprefix("head."): t.double() for n, t in conversion.state.items() if n.startswith("head.")
    }
    left = set(head.state_dict()) - set(state)
    assert all(n.startswith("auxiliary.") or n.endswith("batches_tracked") for n in left)
    head.load_state_dict(state, strict=False)
    size = (len(features[-1]), *features[-1].shape[2:])
    blank = [torch.zeros(size[0], 4 * width, *size[1:], dtype=torch.float64) for width in widths]
    found = head([*blank[: len(blank) - len(features)], *features]).logits
    # converted weights are in single precision, where golden ones are exact
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_golden_van_as_backbone(tmp_path: Path) -> None:
    paths = sorted((SHARED / "golden" / "image").glob("van_*.npz"))
    if not paths:
        pytest.skip("no golden files")
    golden = Golden(paths[0])
    args = golden.meta["constructor_args"]
    state = {f"backbone.{name}": tensor.float() for name, tensor in golden.section("weight.").items()}
    state["decode_head.conv_seg.weight"] = torch.zeros(150, 4, 1, 1)
    config = {
        "backbone": part("backbones.images.van.VAN", widths=args["embed_dims"], depths=args["depths"],
                         mlp_ratios=args["mlp_ratios"]),
        "head": part("heads.ccnet.RCCAHead", channels=6),
    }  # fmt: skip
    conversion = convert(write(tmp_path / "van.pth", {"state_dict": state}), config)
    assert conversion.num_classes is None
    model, fresh = start(config, conversion, tmp_path)
    assert fresh
    assert all(name.startswith("head.") for name in fresh)
    for i, found in enumerate(model.backbone.double()(golden.tensor("input.image"))):
        expected = golden.tensor(f"output.stage{i + 1}")
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize(
    ("name", "points", "prefix"),
    [("encnet", CONFIGS["points"], "pretrained."), ("ctnet", CT_POINTS, "backbone.")],
)
def test_an_image_head_starts_a_point_head(
    name: str, points: dict[str, Any], prefix: str, tmp_path: Path
) -> None:
    """On a planar grid the point head computes what the image head does."""
    source = write(tmp_path / "official.pth", STATES[name]())
    image, _ = start(CONFIGS[name], convert(source, CONFIGS[name]), tmp_path)
    conversion = convert(source, points, inflated=True)
    point, fresh = start(points, conversion, tmp_path, in_channels=4)
    assert fresh == [
        n for n in point.state_dict() if n.startswith("backbone.") and "batches_tracked" not in n
    ]
    assert any(name.startswith(prefix) for name in conversion.report.unexpected)
    size, widths = (5, 4), image.backbone.out_channels
    features = [torch.randn(1, width, *size) for width in widths]
    order = torch.randperm(20)
    levels, batch = planar_levels([features[3]], [order])
    found = as_images(point.head(levels, batch).logits, [order], *size)
    torch.testing.assert_close(found, image.head(features).logits, rtol=1e-4, atol=1e-5)


def test_a_body_is_inflated_whole_or_in_part_as_asked(tmp_path: Path) -> None:
    source = write(tmp_path / "official.pth", ctnet_state())
    points = {"backbone": UNET, "head": part("heads.ctnet.PointCTHead", level=0, width=6, key_width=4)}
    with pytest.raises(
        UserError, match=r"no place here for head\.ccm\.fc1\.0\._batch_norm\.weight.*--partial"
    ):
        convert(source, points, inflated=True)
    found = convert(source, points, inflated=True, partial=True)
    assert "head.ccm.fc1.0._batch_norm.weight" in found.report.unexpected
    assert "head.body.channel_context.classify.weight" in found.state


def test_the_released_ccnet_starts_a_point_head_that_equals_it(tmp_path: Path) -> None:
    source = write(tmp_path / "official.pth", ccnet_state(channels=WIDTHS[3]))
    config = CONFIGS["ccnet"] | {"head": part("heads.ccnet.RCCAHead", channels=WIDTHS[3])}
    head = {"level": 0, "width": WIDTHS[3], "recurrence": 2, "inplace_abn": True}
    points = {"backbone": UNET, "head": part("heads.ccnet.PointRCCAHead", **head)}
    image, _ = start(config, convert(source, config), tmp_path)
    point, _ = start(points, convert(source, points, inflated=True), tmp_path, in_channels=4)
    features = [torch.randn(1, width, 5, 4) for width in image.backbone.out_channels]
    order = torch.randperm(20)
    levels, batch = planar_levels([features[3]], [order])
    found = as_images(point.head(levels, batch).logits, [order], 5, 4)
    torch.testing.assert_close(found, image.head(features).logits, rtol=1e-4, atol=1e-5)


def own_checkpoint(path: Path, config: dict[str, Any]) -> Segmentor:
    model = segmentor(config)
    facts: dict[str, Any] = {
        "kind": "images",
        "features": ["image"],
        "grid_size": 0.0,
        "manifest_hash": "",
        "seed": 0,
    }
    card = ModelCard(config=config, schema=SCHEMA.to_json(), in_channels=3, **facts)
    torch.save({KEY: card.as_dict(), "state_dict": model.state_dict()}, path)
    return model


def test_our_own_image_model_starts_a_point_head(tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    points = {"backbone": UNET, "head": part("heads.ccnet.PointRCCAHead", level=0, width=16)}
    own_checkpoint(path, CONFIGS["ccnet"])
    with pytest.raises(UserError, match=r"best\.ckpt: body\.before\.conv\.weight .*--partial"):
        convert(path, points, inflated=True)
    wide = part("heads.ccnet.RCCAHead", channels=16, context_channels=16)
    model = own_checkpoint(path, CONFIGS["ccnet"] | {"head": wide})
    found = convert(path, points, inflated=True)
    expected = inflate(model.head.state_dict())
    assert torch.equal(found.state["head.body.merge.conv.weight"], expected["body.merge.conv.weight"])
    gain = model.head.body.merge.norm.gain  # a point head's norm has no absolute value inside
    torch.testing.assert_close(found.state["head.body.merge.norm.weight"], gain)


def test_other_classes_in_part(tmp_path: Path) -> None:
    source = write(tmp_path / "official.pth", encnet_state(num_classes=5))
    with pytest.raises(UserError, match=r"official\.pth: trained on 5 classes, not 3; --partial"):
        convert(source, CONFIGS["encnet"], num_classes=K)
    conversion = convert(source, CONFIGS["encnet"], num_classes=K, partial=True)
    assert len(conversion.report.misshapen) == 6  # classifiers of head, SE-loss and auxiliary head
    _, fresh = start(CONFIGS["encnet"], conversion, tmp_path)
    assert len(fresh) == 6


@pytest.mark.parametrize("head", ["plain.PlainHead", "encnet.PointEncHead"])
def test_spunet(head: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = segmentor({"backbone": UNET, "head": part("heads.plain.PlainHead")}, in_channels=4)
    state = official_state(source.backbone, source.head.classify)
    state = {f"module.backbone.{name}": tensor for name, tensor in state.items()}
    config = {"backbone": UNET, "head": part(f"heads.{head}")}
    path = write(tmp_path / "model.pth", {"state_dict": state, "epoch": 1})
    with caplog.at_level(logging.WARNING):
        model, fresh = start(config, convert(path, config), tmp_path, in_channels=4)
    assert isinstance(model.backbone, SparseUNet)
    for name, tensor in source.backbone.state_dict().items():
        assert torch.equal(model.backbone.state_dict()[name], tensor)
    if head == "plain.PlainHead":
        assert torch.equal(model.head.classify.weight, source.head.classify.weight)
        assert (fresh, caplog.messages) == ([], [])
    else:
        assert {name.split(".")[0] for name in fresh} == {"head"}
        assert "has no weights for head.body, head.detail; these start anew" in caplog.text


def test_what_does_not_fit_is_one_line(tmp_path: Path) -> None:
    ccnet, config = ccnet_state(), CONFIGS["ccnet"]
    lacking = {name: tensor for name, tensor in ccnet.items() if not name.startswith("layer4.0.conv2")}
    cases: list[tuple[State, dict[str, Any], str]] = [
        (lacking, config, r"lacks backbone\.net\.layer4\.0\.conv2\.weight; --partial"),
        (ccnet | {"extra.weight": torch.ones(2)}, config, r"has no place here for extra\.weight; --partial"),
        (ccnet | {"bn1.weight": torch.ones(2)}, config, r"bn1\.weight .* has shape \(2,\), not \(4,\)"),
        (
            {"a.weight": torch.ones(2)},
            config,
            r"names like a\.weight are of no checkpoint that can be converted",
        ),
        (ccnet, CONFIGS["points"], "are of an image model, and the configuration names a point backbone"),
        (
            {n: t for n, t in ccnet.items() if n != "head.bottleneck.3.weight"},
            config,
            "looks like CCNet, but lacks",
        ),
        (ccnet, CONFIGS["encnet"], r"--partial"),
    ]
    for state, wanted, message in cases:
        with pytest.raises(UserError, match=message) as caught:
            convert(write(tmp_path / "official.pth", state), wanted)
        assert "\n" not in str(caught.value)
        assert "official.pth" in str(caught.value)
    with pytest.raises(UserError, match="the configuration names an image backbone"):
        convert(write(tmp_path / "official.pth", ccnet), config, inflated=True)
    with pytest.raises(UserError, match=r"nothing of CCNet fits PointEncHead|lacks body\."):
        convert(write(tmp_path / "official.pth", ccnet), CONFIGS["points"], inflated=True)


def test_converted_weights_lack_nothing_in_silence(tmp_path: Path) -> None:
    model = segmentor(CONFIGS["ccnet"])
    state = {name: tensor for name, tensor in model.state_dict().items() if "gamma" not in name}
    save_weights(tmp_path / "w.ckpt", state, missing=[], origin="test")
    with pytest.raises(
        UserError, match=r"w\.ckpt: weights do not fit .*missing: head\.body\.attention\.gamma"
    ):
        load_initial_weights(model, tmp_path / "w.ckpt")
    save_weights(
        tmp_path / "w.ckpt",
        state | {"x": torch.ones(1)},
        missing=["head.body.attention.gamma"],
        origin="test",
    )
    with pytest.raises(UserError, match="unexpected: x"):
        load_initial_weights(model, tmp_path / "w.ckpt")
    with pytest.raises(UserError, match=r"no checkpoint at .*nowhere"):
        load_initial_weights(model, tmp_path / "nowhere.ckpt")
    torch.save({"weight": torch.ones(1)}, tmp_path / "w.ckpt")
    with pytest.raises(UserError, match=r"convert it with scripts/convert_checkpoint\.py"):
        load_initial_weights(model, tmp_path / "w.ckpt")


def test_states_here_are_of_different_systems() -> None:
    names = [set(resnet_state(style)) for style in (CCNET, ENCNET, PADDLE)]
    assert not names[1] & names[2]
    assert not names[0] & names[1]


def test_a_backbone_with_holes_is_refused(tmp_path: Path) -> None:
    config = {"backbone": UNET, "head": part("heads.plain.PlainHead")}
    state = official_state(segmentor(config, in_channels=4).backbone)
    del state["enc.0.block0.conv1.weight"]
    with pytest.raises(UserError, match=r"model\.pth: lacks enc\.0\.block0\.conv1\.weight of the backbone"):
        convert(write(tmp_path / "model.pth", state), config, partial=True)
