"""Cached features of a frozen encoder: equal to the bit, and computed again for other weights or inputs."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from helpers.fakes import write_fake_building
from helpers.heads import part
from helpers.tiny_ptv3 import batch_of, cloud, tiny
from torch import Tensor

from pcseg.backbones.points.frozen import Frozen, Upcast
from pcseg.checkpoint import load_checkpoint
from pcseg.cli import run
from pcseg.data.io.ply import write_ply
from pcseg.data.manifest import Manifest
from pcseg.errors import UserError
from pcseg.inference.predict import predict
from pcseg.training.train import train

LEARN = [(), ("unpools", "dec")]


def frozen(cache: Path | None, learn: tuple[str, ...] = (), seed: int = 0) -> Frozen:
    torch.manual_seed(seed)
    return Frozen(3, backbone=lambda _: tiny("utonia").float(), learn=learn, cache=cache).train()


def clouds(*sizes: int):
    made = [cloud(size, seed) for seed, size in enumerate(sizes)]
    for one in made:
        one.x, one.pos = one.x.float(), one.pos.float()
    return batch_of(*made)


def features(backbone: Frozen, *sizes: int) -> list[Tensor]:
    torch.manual_seed(9)  # of the decoder's rotary embeddings
    return [level.x for level in backbone(clouds(*sizes))]


@pytest.mark.parametrize("learn", LEARN)
def test_equal_to_the_bit_in_any_batch(learn: tuple[str, ...], tmp_path: Path) -> None:
    plain, cached = frozen(None, learn), frozen(tmp_path, learn)
    for sizes in [(70, 40, 0, 1), (70, 40, 0), (70,)]:
        for found, expected in zip(features(cached, *sizes), features(plain, *sizes), strict=True):
            assert torch.equal(found, expected)
            assert found.requires_grad == expected.requires_grad
    assert len(list(tmp_path.iterdir())) == 4, "one file per cloud"


def test_gradients_of_the_decoder_are_equal(tmp_path: Path) -> None:
    for name, cache in (("plain", None), ("first", tmp_path), ("again", tmp_path)):
        backbone = frozen(cache, LEARN[1])
        torch.stack(
            [x.square().sum() for x in features(backbone, 70, 40) if x.requires_grad]
        ).sum().backward()
        found = {key: p.grad for key, p in backbone.named_parameters() if p.grad is not None}
        if name == "plain":
            expected = found
        assert found.keys() == expected.keys()
        assert all(torch.equal(gradient, expected[key]) for key, gradient in found.items()), name


@pytest.mark.parametrize(
    "change",
    [
        lambda backbone, batch: backbone.backbone.enc[1].blocks[0].mlp.fc1.weight.data[0, 0].add_(1e-6),
        lambda backbone, batch: backbone.backbone.enc[0].blocks[0].attention.rotary.inv_freq.mul_(2),
        lambda backbone, batch: batch.x[3, 0].add_(1e-6),
        lambda backbone, batch: batch.pos[3, 0].add_(1e-6),
    ],
    ids=["weight", "frequency", "feature", "position"],
)
def test_every_change_is_a_new_file(change: Callable, tmp_path: Path) -> None:
    frozen(tmp_path)(clouds(70))
    backbone, batch = frozen(tmp_path), clouds(70)
    change(backbone, batch)
    backbone(batch)
    assert len(list(tmp_path.iterdir())) == 2


def test_damaged_file(tmp_path: Path) -> None:
    features(frozen(tmp_path), 70)
    (path,) = tmp_path.iterdir()
    for content in (path.read_bytes()[:-4], b""):
        path.write_bytes(content)
        with pytest.raises(UserError, match=f"{path.name}: a damaged file of cached features. Remove it"):
            features(frozen(tmp_path), 70)


def test_refuses_an_encoder_that_learns_or_is_wrapped(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a frozen PTv3"):
        frozen(tmp_path, ("enc",))
    with pytest.raises(UserError, match="encoder of Upcast is not"):
        Frozen(3, backbone=lambda _: Upcast(3, backbone=lambda _: tiny()), cache=tmp_path)


def trained(folder: Path, root: Path, *options: str) -> dict[str, Tensor]:
    """Train a head on a frozen encoder for two epochs and return the weights."""
    encoder = part(
        "backbones.points.ptv3_network.PTv3", variant="sonata", rotary={"scale": 0.5}, enc_channels=[12, 24],
        enc_depths=[1, 1], enc_heads=[1, 2], strides=[2], dec_channels=[], dec_depths=[], dec_heads=[],
    )  # fmt: skip
    probe = part("backbones.points.frozen.Frozen", backbone=encoder)
    settings = {
        "backbone": part("backbones.points.frozen.Upcast", backbone=probe),
        "head": part("heads.LinearHead"),
        "data": part(
            "data.room_data.RoomData", root=str(root), features=["pos", "color", "height"], grid_size=0.3, batch_size=2,
            missing_color="zero",
        ),
        "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}},
        "trainer": {"max_epochs": 2, "progress_bar": False, "accelerator": "cpu"},
    }  # fmt: skip
    file = folder / "model.yaml"
    file.write_text(yaml.safe_dump(settings))
    run(train, args=["--config", str(file), "--out", str(folder / "run"), *options])
    return torch.load(folder / "run" / "last.ckpt", weights_only=True)["state_dict"]


@pytest.mark.slow
def test_head_trained_on_cached_features(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    root = write_fake_building(tmp_path / "building", num_points=300)
    whole, cache = ["--data.whole_rooms", "true"], tmp_path / "cache"
    for name in ("plain", "cached"):
        (tmp_path / name).mkdir()
    expected = trained(tmp_path / "plain", root, *whole)
    found = trained(tmp_path / "cached", root, *whole, "--backbone.backbone.cache", str(cache))
    assert found.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())
    rooms = [room for room in Manifest.read(root).scenes if room.split != "Area_5"]
    assert len(list(cache.iterdir())) == len(rooms), "the second epoch computes nothing"
    model = load_checkpoint(tmp_path / "cached" / "run" / "last.ckpt")
    parts = model.network.modules()
    assert not any(getattr(part, "cache", None) for part in parts), "prediction stores nothing"
    assert model.card.missing_fields["color"] == [0, 0, 0]
    scan = tmp_path / "scan.ply"
    write_ply(scan, dict(zip("xyz", 3 * torch.rand(3, 500).numpy())))
    predicted = predict(scan, model, units="m", up="z")
    assert len(predicted.label) == 500
    assert any("replaced by the constant (0, 0, 0)" in remark for remark in predicted.remarks)
    (tmp_path / "random").mkdir()
    with pytest.raises(SystemExit):
        trained(tmp_path / "random", root, "--backbone.backbone.cache", str(cache))
    assert "cache: features of random samples are never used again" in capsys.readouterr().err
