"""Conversion of published checkpoints: golden outputs of heads, reports and refusals."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import SHARED
from golden import Golden
from helpers.conversions import (
    CONFIGS,
    CT_POINTS,
    SCHEMA,
    STATES,
    UNET,
    K,
    resnet,
    segmentor,
    start,
    write,
)
from helpers.grids import as_images, planar_levels
from helpers.heads import (
    PUBLISHED,
    part,
    point_head,
    published_ccnet,
    run_image_head,
)
from helpers.published import (
    CCNET,
    ENCNET,
    PADDLE,
    WIDTHS,
    State,
    ccnet_state,
    ctnet_state,
    encnet_state,
    resnet_state,
)
from helpers.published_points import published_state

from pcseg.backbones.points.sparse_unet import SparseUNet
from pcseg.checkpoint import KEY, ModelCard, instantiate_parts
from pcseg.data.images.batch import ImageBatch
from pcseg.errors import UserError
from pcseg.official.convert import convert, inflate_head
from pcseg.official.names.heads import inflate
from pcseg.training.initial_weights import load_initial_weights, read_initial_weights, save_weights
from pcseg.training.segmentor import Segmentor


@pytest.mark.slow
@pytest.mark.parametrize("name", STATES)
def test_whole_models(name: str, tmp_path: Path) -> None:
    state = STATES[name]()
    conversion = convert(write(tmp_path / "official.pth", state), CONFIGS[name])
    report = conversion.report
    assert (report.missing, report.misshapen, conversion.num_classes) == ([], [], K)
    assert set(report.taken) | set(report.ignored) == set(state)
    model, fresh = start(CONFIGS[name], conversion, tmp_path)
    assert fresh == []
    own = model.state_dict()
    for theirs, ours in report.taken.items():
        tensor = state[theirs]
        if name == "ccnet" and ours.startswith("backbone.") and ".weight" in ours and tensor.ndim == 1:
            tensor = tensor.abs() + 1e-5
        assert torch.equal(own[ours], tensor.reshape(own[ours].shape)), ours
    batch = ImageBatch(image=torch.randn(1, 3, 64, 64), labels=torch.zeros(1, 64, 64).long(), names=[""])
    assert model(batch).logits.isfinite().all()


GOLDEN = {
    "ccnet": ("ccnet_rcca_r*_eval", {"width": "out_channels", "recurrence": "forward_recurrence"}),
    "encnet": ("encnet_enchead_eval_se_nolateral", {}),
    "ctnet": ("ctnet_head*eval*", {"width": "mid_channels", "key_width": "key_channels"}),
}
"""Golden files, and our options by the names of their arguments."""


@pytest.mark.slow
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
    options |= {"encnet": {"width": 16, "num_codewords": 32}, "ccnet": {"attention_width": widths[3]}}.get(
        name, {}
    )
    config = {
        "backbone": resnet("d" if name == "ctnet" else "s") | {},
        "head": PUBLISHED[name](**options),
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
    found = run_image_head(head, [*blank[: len(blank) - len(features)], *features]).logits
    # converted weights are in single precision, where golden ones are exact
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.slow
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
        "head": published_ccnet(width=8),
    }  # fmt: skip
    conversion = convert(write(tmp_path / "van.pth", {"state_dict": state}), config)
    assert conversion.num_classes is None
    model, fresh = start(config, conversion, tmp_path)
    assert fresh
    assert all(name.startswith("head.") for name in fresh)
    for i, found in enumerate(model.backbone.double()(SimpleNamespace(image=golden.tensor("input.image")))):
        expected = golden.tensor(f"output.stage{i + 1}")
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "points", "prefix"),
    [("encnet", CONFIGS["points"], "pretrained."), ("ctnet", CT_POINTS, "backbone.")],
)
def test_inflated_image_head_equals_on_a_planar_grid(
    name: str, points: dict[str, Any], prefix: str, tmp_path: Path
) -> None:
    """On a planar grid the point head computes what the image head does."""
    source = write(tmp_path / "official.pth", STATES[name]())
    image, _ = start(CONFIGS[name], convert(source, CONFIGS[name]), tmp_path)
    conversion = inflate_head(source, points)
    point, fresh = start(points, conversion, tmp_path, in_channels=4)
    assert fresh == [
        n for n in point.state_dict() if n.startswith("backbone.") and "batches_tracked" not in n
    ]
    assert any(name.startswith(prefix) for name in conversion.report.ignored)
    size, widths = (5, 4), image.backbone.out_channels
    features = [torch.randn(1, width, *size) for width in widths]
    order = torch.randperm(20)
    levels, batch = planar_levels([features[3]], [order])
    found = as_images(point.head(levels, batch).logits, [order], *size)
    torch.testing.assert_close(found, run_image_head(image.head, features).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_inflation_in_part_needs_partial(tmp_path: Path) -> None:
    source = write(tmp_path / "official.pth", ctnet_state())
    points = {"backbone": UNET, "head": point_head("CTBody", level=0, width=6, key_width=4)}
    with pytest.raises(
        UserError, match=r"no counterpart here for head\.ccm\.fc1\.0\._batch_norm\.weight.*--partial"
    ):
        inflate_head(source, points)
    found = inflate_head(source, points, partial=True)
    assert "head.ccm.fc1.0._batch_norm.weight" in found.report.unexpected
    assert "head.body.channel_context.classify.weight" in found.state


@pytest.mark.slow
def test_inflated_ccnet_with_its_norms_is_equal(tmp_path: Path) -> None:
    source = write(tmp_path / "official.pth", ccnet_state(channels=WIDTHS[3]))
    config = CONFIGS["ccnet"] | {"head": published_ccnet(width=WIDTHS[3])}
    head = point_head("RCCABody", level=0, width=WIDTHS[3], recurrence=2, norm="pcseg.nn.norms.InPlaceABN")
    points = {"backbone": UNET, "head": head}
    image, _ = start(config, convert(source, config), tmp_path)
    point, _ = start(points, inflate_head(source, points), tmp_path, in_channels=4)
    features = [torch.randn(1, width, 5, 4) for width in image.backbone.out_channels]
    order = torch.randperm(20)
    levels, batch = planar_levels([features[3]], [order])
    found = as_images(point.head(levels, batch).logits, [order], 5, 4)
    torch.testing.assert_close(found, run_image_head(image.head, features).logits, rtol=1e-4, atol=1e-5)


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


@pytest.mark.slow
def test_inflate_an_image_model_trained_here(tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    points = {"backbone": UNET, "head": point_head("RCCABody", level=0, width=16)}
    own_checkpoint(path, CONFIGS["ccnet"])
    with pytest.raises(UserError, match=r"best\.ckpt: .* body\.before\.conv\.weight .*--partial"):
        inflate_head(path, points)
    wide = published_ccnet(width=16)
    model = own_checkpoint(path, CONFIGS["ccnet"] | {"head": wide})
    found = inflate_head(path, points)
    expected = {name: inflate(name, tensor) for name, tensor in model.head.state_dict().items()}
    assert torch.equal(found.state["head.body.merge.conv.weight"], expected["body.merge.conv.weight"])
    gain = model.head.body.merge.norm.gain  # a point head's norm has no absolute value inside
    torch.testing.assert_close(found.state["head.body.merge.norm.weight"], gain)


@pytest.mark.slow
def test_another_number_of_classes_needs_partial(tmp_path: Path) -> None:
    source = write(tmp_path / "official.pth", encnet_state(num_classes=5))
    with pytest.raises(UserError, match=r"official\.pth: trained on 5 classes, not 3\. .*--partial"):
        convert(source, CONFIGS["encnet"], num_classes=K)
    conversion = convert(source, CONFIGS["encnet"], num_classes=K, partial=True)
    assert len(conversion.report.misshapen) == 6  # classifiers of head, SE-loss and auxiliary head
    _, fresh = start(CONFIGS["encnet"], conversion, tmp_path)
    assert len(fresh) == 6


@pytest.mark.parametrize("head", ["LinearHead", "EncBody"])
def test_spunet(head: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = segmentor({"backbone": UNET, "head": part("heads.LinearHead")}, in_channels=4)
    state = published_state(source.backbone, source.head.classify)
    state = {f"module.backbone.{name}": tensor for name, tensor in state.items()}
    config = {
        "backbone": UNET,
        "head": part("heads.LinearHead") if head == "LinearHead" else point_head(head),
    }
    path = write(tmp_path / "model.pth", {"state_dict": state, "epoch": 1})
    with caplog.at_level(logging.WARNING):
        model, fresh = start(config, convert(path, config), tmp_path, in_channels=4)
    assert isinstance(model.backbone, SparseUNet)
    for name, tensor in source.backbone.state_dict().items():
        assert torch.equal(model.backbone.state_dict()[name], tensor)
    if head == "LinearHead":
        assert torch.equal(model.head.classify.weight, source.head.classify.weight)
        assert (fresh, caplog.messages) == ([], [])
    else:
        assert {name.split(".")[0] for name in fresh} == {"head"}
        assert "no weights for head.body, head.detail. They keep their initial values." in caplog.text


@pytest.mark.slow
def test_mismatches_give_one_line(tmp_path: Path) -> None:
    ccnet, config = ccnet_state(), CONFIGS["ccnet"]
    lacking = {name: tensor for name, tensor in ccnet.items() if not name.startswith("layer4.0.conv2")}
    cases: list[tuple[State, dict[str, Any], str]] = [
        (lacking, config, r"lacks backbone\.net\.layer4\.0\.conv2\.weight\. .*--partial"),
        (
            ccnet | {"extra.weight": torch.ones(2)},
            config,
            r"no counterpart here for extra\.weight\. .*--partial",
        ),
        (ccnet | {"bn1.weight": torch.ones(2)}, config, r"bn1\.weight has shape \(2,\), but .* \(4,\)"),
        (
            {"a.weight": torch.ones(2)},
            config,
            r"unknown names such as a\.weight",
        ),
        (ccnet, CONFIGS["points"], "names the point backbone SparseUNet"),
        (
            {n: t for n, t in ccnet.items() if n != "head.bottleneck.3.weight"},
            config,
            "head.bottleneck.3.weight of CCNet is missing",
        ),
        (ccnet, CONFIGS["encnet"], r"--partial"),
    ]
    for state, wanted, message in cases:
        with pytest.raises(UserError, match=message) as caught:
            convert(write(tmp_path / "official.pth", state), wanted)
        assert "\n" not in str(caught.value)
        assert "official.pth" in str(caught.value)
    with pytest.raises(UserError, match="names an image backbone"):
        inflate_head(write(tmp_path / "official.pth", ccnet), config)
    with pytest.raises(UserError, match=r"lacks head\.body\.reduce"):
        inflate_head(write(tmp_path / "official.pth", ccnet), CONFIGS["points"])


def test_converted_weights_must_be_complete(tmp_path: Path) -> None:
    model = segmentor(CONFIGS["ccnet"])
    state = {name: tensor for name, tensor in model.state_dict().items() if "gamma" not in name}
    save_weights(tmp_path / "w.ckpt", state, missing=[], origin="test")
    with pytest.raises(
        UserError, match=r"w\.ckpt: does not fit the model: it lacks head\.body\.attention\.gamma"
    ):
        load_initial_weights(model, read_initial_weights(tmp_path / "w.ckpt"))
    save_weights(
        tmp_path / "w.ckpt",
        state | {"x": torch.ones(1)},
        missing=["head.body.attention.gamma"],
        origin="test",
    )
    with pytest.raises(UserError, match="no counterpart here for x"):
        load_initial_weights(model, read_initial_weights(tmp_path / "w.ckpt"))
    with pytest.raises(UserError, match=r"nowhere.*no such checkpoint"):
        load_initial_weights(model, read_initial_weights(tmp_path / "nowhere.ckpt"))
    torch.save({"weight": torch.ones(1)}, tmp_path / "w.ckpt")
    with pytest.raises(UserError, match=r"Convert it with `pcseg convert`"):
        load_initial_weights(model, read_initial_weights(tmp_path / "w.ckpt"))


def test_helper_states_differ_by_system() -> None:
    names = [set(resnet_state(style)) for style in (CCNET, ENCNET, PADDLE)]
    assert not names[1] & names[2]
    assert not names[0] & names[1]


def test_a_backbone_with_holes_is_refused(tmp_path: Path) -> None:
    config = {"backbone": UNET, "head": part("heads.LinearHead")}
    state = published_state(segmentor(config, in_channels=4).backbone)
    del state["enc.0.block0.conv1.weight"]
    with pytest.raises(
        UserError, match=r"model\.pth: lacks backbone\.enc\.0\.0\.conv1\.weight\. Name the backbone"
    ):
        convert(write(tmp_path / "model.pth", state), config, partial=True)
