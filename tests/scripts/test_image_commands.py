"""The commands for images: the kind of a checkpoint decides which is meant."""

import sys
from pathlib import Path

import pytest
from helpers.checkpoints import write_checkpoint, write_image_checkpoint
from helpers.fake_images import write_room_frames
from helpers.fakes import write_fake_building
from helpers.script_modules import load_script

from pcseg.cli import run
from pcseg.errors import UserError
from pcseg.inference.predict_images import predict_image


def test_the_checkpoint_decides(tmp_path: Path) -> None:
    kind = load_script("checkpoint_kind")
    building = write_fake_building(tmp_path / "rooms", num_points=50)
    points = str(write_checkpoint(tmp_path / "points.ckpt", building))
    images = str(write_image_checkpoint(tmp_path / "images.ckpt", tmp_path / "frames"))
    assert kind.names_image_model(["--out", "x", "--ckpt", images])
    assert kind.names_image_model([f"--ckpt={images}", "--help"])
    assert not kind.names_image_model(["--ckpt", points])
    assert not kind.names_image_model(["--out", images])
    assert not kind.names_image_model(["--ckpt", str(tmp_path / "nowhere.ckpt")])
    assert not kind.names_image_model(["--ckpt"])


def test_an_image_model_is_evaluated_by_the_same_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = write_room_frames(tmp_path / "frames", rooms={"Area_1": 1, "Area_5": 1}, frames=1)
    images = str(write_image_checkpoint(tmp_path / "images.ckpt", frames))
    for name, args in (
        ("evaluate", ["--ckpt", images, "--out", str(tmp_path / "out"), "--flip", "--scales", "[1.0, 0.5]",
                      "--progress_bar", "false"]),
        ("predict", [str(frames / "Area_5" / "office_1" / "color" / "000000.jpg"), "--ckpt", images,
                     "--out", str(tmp_path / "predicted")]),
    ):  # fmt: skip
        script = load_script(name)
        monkeypatch.setattr(sys, "argv", [name, *args])
        run(script.image_command if script.names_image_model() else script.command)
    said = capsys.readouterr().out
    assert "Semantic segmentation of room frames, Area_5" in said
    assert "64 x 48 pixels" in said
    assert (tmp_path / "out" / "results.json").is_file()
    assert (tmp_path / "predicted" / "000000.png").is_file()


def test_a_cloud_is_no_picture(tmp_path: Path) -> None:
    images = write_image_checkpoint(tmp_path / "images.ckpt", tmp_path / "frames")
    cloud = tmp_path / "room.xyz"
    cloud.write_text("0 0 0\n")
    with pytest.raises(UserError, match=r"room\.xyz: a cloud, but .*images\.ckpt was trained on images"):
        predict_image(cloud, ckpt=images, out=tmp_path)
