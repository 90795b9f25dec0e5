"""PTv3, Sonata and Concerto: converted by the command, then used for training and prediction."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from helpers.fakes import write_fake_building
from helpers.heads import image_head, part, point_head
from helpers.published_points import published_state
from helpers.tiny_ptv3 import batch_of, cloud
from torch import Tensor, nn

from pcseg.backbones.points.ptv3_network import PTv3
from pcseg.checkpoint import KEY, instantiate_parts, load_checkpoint
from pcseg.cli import main, run
from pcseg.errors import UserError
from pcseg.heads.linear import LinearHead
from pcseg.labels import S3DIS
from pcseg.official.convert import convert
from pcseg.training.initial_weights import load_initial_weights, read_initial_weights, save_weights
from pcseg.training.segmentor import Segmentor
from pcseg.training.train import train

K = S3DIS.num_classes
ENCODER = {
    "enc_channels": [8, 16],
    "enc_depths": [1, 1],
    "enc_heads": [1, 2],
    "strides": [2],
    "patch_size": 8,
}
DECODER = {"dec_channels": [8], "dec_depths": [1], "dec_heads": [1]}
NO_DECODER = {"dec_channels": [], "dec_depths": [], "dec_heads": []}
FEATURES = ["height", "color"]
"""Not the published features: the position of the color must be found."""


def network(variant: str = "ptv3", in_channels: int = 4, **options: Any) -> PTv3:
    """Return a network without zero parameters or trivial statistics."""
    made = PTv3(in_channels, variant=variant, **{**ENCODER, **DECODER, **options})
    for tensor in made.state_dict().values():
        if tensor.is_floating_point():
            tensor += 0.1 * torch.rand(tensor.shape)
    made.input_shift.zero_()
    return made


def backbone(variant: str = "ptv3", **options: Any) -> dict[str, Any]:
    return part("backbones.points.ptv3_network.PTv3", variant=variant, **{**ENCODER, **DECODER, **options})


def config(backbone: dict[str, Any], head: str = "LinearHead", **options: Any) -> dict[str, Any]:
    data = part("data.room_data.RoomData", features=FEATURES)
    made = point_head("FCNBody", level=0) if head == "fcn" else part(f"heads.{head}", **options)
    return {"backbone": backbone, "head": made, "data": data}


def published(made: PTv3, prefix: str = "module.backbone.") -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in published_state(made).items()}


def write(folder: Path, state: dict[str, Tensor]) -> Path:
    torch.save({"state_dict": state, "epoch": 3}, folder / "model_best.pth")
    return folder / "model_best.pth"


@pytest.mark.slow
def test_command_output_predicts_and_starts_training(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    theirs, classify = network(), nn.Linear(8, K)
    state = published(theirs) | {f"module.seg_head.{n}": t for n, t in classify.state_dict().items()}
    root = write_fake_building(tmp_path / "building", num_points=300)
    settings = config(backbone()) | {
        "data": part("data.room_data.RoomData", root=str(root), features=FEATURES, grid_size=0.3),
        "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.0}},
        "trainer": {"max_epochs": 1, "progress_bar": False, "accelerator": "cpu"},
        "out": str(tmp_path / "run"),
    }
    file, out = tmp_path / "model.yaml", tmp_path / "weights" / "ptv3.ckpt"
    file.write_text(yaml.safe_dump(settings))
    main(["convert", str(write(tmp_path, state)), str(out), "--config", str(file)])
    printed = capsys.readouterr().out
    assert f"Point Transformer V3: {len(state)} tensors taken" in printed
    assert "It can be evaluated directly." in printed
    names = out.with_name("ptv3.ckpt.txt").read_text()
    assert "backbone.dec.dec0.up.proj_skip.0.weight -> backbone.unpools.0.skip.weight" in names
    assert "missing here" not in names
    # the model sees colors from -0.5 to 0.5 where the published one saw 0 to 1
    made, batch = load_checkpoint(out).network, batch_of(cloud(60))
    colors = torch.rand(60, 4)
    batch.x = colors - torch.tensor([0, 0.5, 0.5, 0.5])
    found = made(batch).logits
    batch.x = colors
    torch.testing.assert_close(found, classify(theirs.eval()(batch)[0].x), rtol=1e-4, atol=1e-5)
    run(train, args=["--config", str(file), "--init_from", str(out)])
    content = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    origin = load_checkpoint(out).card.converted_from
    assert origin is not None
    assert origin.startswith("Point Transformer V3: ")
    assert content[KEY]["initial_weights"] == {"name": origin, "training": None}
    assert content[KEY]["converted_from"] is None
    trained = content["state_dict"]
    for name, tensor in made.state_dict().items():
        if "running" not in name:
            assert torch.equal(trained[name], tensor), name


@pytest.mark.slow
def test_command_takes_options_of_training(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file, out = tmp_path / "model.yaml", tmp_path / "ptv3.ckpt"
    settings = {"data": part("data.room_data.RoomData", root="nowhere"), "out": "run"}
    file.write_text(yaml.safe_dump(config(backbone()) | settings))
    source = write(tmp_path, published(network(in_channels=6)))
    words = [str(source), str(out), "--config", str(file)]
    with pytest.raises(SystemExit):
        main(["convert", *words])
    assert "[color, height], has 4" in capsys.readouterr().err
    main(["convert", *words, "--data.features", "[color, normal]"])
    shift = torch.load(out, weights_only=True)["state_dict"]["backbone.input_shift"]
    assert shift.tolist() == [0.5, 0.5, 0.5, 0, 0, 0]


def start(settings: dict[str, Any], source: Path, folder: Path, **options: Any) -> Any:
    """Return the report of a conversion, a model that starts from it, and the names that it leaves out."""
    conversion = convert(source, settings, **options)
    path = folder / "converted.ckpt"
    save_weights(path, conversion.state, missing=conversion.report.missing, origin=conversion.title)
    made, head = instantiate_parts(settings, source="test")
    model = Segmentor(made, head, in_channels=4, schema=S3DIS)
    fresh = load_initial_weights(model, read_initial_weights(path))
    return SimpleNamespace(report=conversion.report, model=model, fresh=fresh, title=conversion.title)


def test_pretrained_encoder_under_a_new_decoder_and_head(tmp_path: Path) -> None:
    student, teacher = network("sonata", mask_token=True, **NO_DECODER), network("sonata", **NO_DECODER)
    state = published(student, "module.student.backbone.") | published(teacher, "module.teacher.backbone.")
    found = start(config(backbone("sonata"), "fcn"), write(tmp_path, state), tmp_path)
    assert found.title == "Sonata or Concerto"
    assert {name.split(".")[1] for name in found.fresh if not name.startswith("head.")} == {"dec", "unpools"}
    assert any(name.startswith("head.body.") for name in found.fresh)
    assert torch.equal(found.model.backbone.stem.linear.weight, student.stem.linear.weight)
    assert len(found.report.taken) + len(found.report.ignored) == len(state), "every name is accounted for"
    assert "student.backbone.embedding.mask_token" in found.report.ignored
    assert found.model.backbone.input_shift.tolist() == [0, 0.5, 0.5, 0.5]


@pytest.mark.slow
def test_wrapped_backbone_of_probing(tmp_path: Path) -> None:
    encoder = network("sonata", **NO_DECODER)
    upcast = part("backbones.points.frozen.Upcast", backbone=backbone("sonata", **NO_DECODER))
    frozen = part("backbones.points.frozen.Frozen", backbone=upcast)
    found = start(config(frozen), write(tmp_path, published(encoder)), tmp_path)
    assert sorted(found.fresh) == ["head.classify.bias", "head.classify.weight"]
    inner = found.model.backbone.backbone.backbone.state_dict()
    assert all(torch.equal(inner[n], t) for n, t in encoder.state_dict().items() if n != "input_shift")


def test_another_number_of_classes(tmp_path: Path) -> None:
    state = published(network()) | {"seg_head.weight": torch.randn(20, 8), "seg_head.bias": torch.randn(20)}
    source, settings = write(tmp_path, state), config(backbone())
    with pytest.raises(UserError, match=r"model_best\.pth: trained on 20 classes, not 13\. .*--partial"):
        convert(source, settings, num_classes=K)
    found = start(settings, source, tmp_path, num_classes=K, partial=True)
    assert sorted(found.fresh) == ["head.classify.bias", "head.classify.weight"]


@pytest.mark.slow
def test_mismatches_give_one_line(tmp_path: Path) -> None:
    state, settings = published(network()), config(backbone())
    whole = settings | {"data": part("data.room_data.RoomData", features=["color", "normal"])}
    unet = part("backbones.points.sparse_unet.SparseUNet", channels=[8, 8], layers=[1, 1])
    image = part("backbones.images.resnet.ResNet", depths=[1, 1, 1, 1], widths=[4, 4, 4, 4])
    name = "module.backbone.enc.enc0.block0.cpe.0.weight"
    cases: list[tuple[dict[str, Tensor], dict[str, Any], str]] = [
        (
            state,
            config(backbone("sonata")),
            "weights of Point Transformer V3, but --config names the point backbone PTv3",
        ),
        (state, config(unet), "names the point backbone SparseUNet"),
        (
            state,
            {**config(image), "head": image_head(part("heads.FCNBody"))},
            "names the image backbone ResNet",
        ),
        (state, whole, r"takes 4 input channels, but data\.features of --config, \[color, normal\], has 6"),
        (state | {"backbone.more": torch.ones(1)}, settings, "no counterpart here for .*more. .*--partial"),
        (
            {n: t for n, t in state.items() if n != name},
            settings,
            r"lacks backbone\.enc\.0\.blocks\.0\.position\.conv\.weight",
        ),
        (state | {name: state[name][:, :1]}, settings, r"cpe\.0\.weight has shape \(8, 1, 3, 3, 8\)"),
        (state, config(backbone(enc_channels=[8, 32])), "has shape"),
    ]
    for weights, wanted, message in cases:
        with pytest.raises(UserError, match=message) as caught:
            convert(write(tmp_path, weights), wanted)
        assert "\n" not in str(caught.value)
        assert "model_best.pth" in str(caught.value)


def test_partial_accepts_unexpected_names(tmp_path: Path) -> None:
    theirs = network()
    source = write(tmp_path, published(theirs) | {"backbone.more": torch.ones(1)})
    found = start(config(backbone()), source, tmp_path, partial=True)
    assert found.report.unexpected == ["backbone.more"]
    assert isinstance(found.model.head, LinearHead)
    assert torch.equal(
        found.model.backbone.dec[0].blocks[0].mlp.fc1.weight, theirs.dec[0].blocks[0].mlp.fc1.weight
    )
