"""Image models learn, resume exactly, are evaluated and predict with the same commands as point models."""

import csv
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from helpers.checkpoints import IMAGE_HEADS as HEADS
from helpers.checkpoints import RESNET, image_config
from helpers.fake_images import save, write_images, write_room_frames
from helpers.heads import head_factory
from helpers.training_runs import finish, logged, start
from PIL import ExifTags, Image

from pcseg.backbones.images.resnet import ResNet, resnet
from pcseg.checkpoint import load_checkpoint
from pcseg.data.images.image_data import ImageData
from pcseg.data.images.reader import ImageReader
from pcseg.data.images.readers import IMAGE_READERS
from pcseg.errors import UserError
from pcseg.evaluation.evaluate import evaluate
from pcseg.evaluation.images import labeled_pictures
from pcseg.inference.images import ImageOptions, image_model
from pcseg.inference.predict import predict_file
from pcseg.losses.segmentation import SegmentationLoss
from pcseg.training.segmentor import Segmentor
from pcseg.training.train import train
from pcseg.training.trainer import TrainerOptions


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_room_frames(tmp_path_factory.mktemp("frames"), rooms={"Area_1": 3, "Area_5": 1})


def run(frames: Path, out: Path, head: str = "ccnet", *, epochs: int = 1, **options: Any) -> Path:
    """Train as the command does; ``data`` holds further options of the data."""
    torch.manual_seed(0)
    whole = image_config(frames, head, **options.pop("data", {}))
    return train(
        data=ImageData(**whole["data"]["init_args"]),
        backbone=ResNet(**RESNET),
        head=head_factory(HEADS[head]),
        loss=partial(SegmentationLoss, lovasz=0.0),
        optimizer=partial(torch.optim.AdamW, lr=0.01),
        trainer=TrainerOptions(max_epochs=epochs, progress_bar=False, accelerator="cpu", log_every_n_steps=1),
        out=out,
        config=whole,
        **options,
    )


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_overfits_four_frames(frames: Path, head: str) -> None:
    data = ImageData(
        frames, dataset="room_frames", crop_size=(48, 64), scales=(1.0, 1.0), flip=False, batch_size=4
    )
    data.train_pictures = data.train_pictures[:4]
    (batch,) = data.train_dataloader()
    torch.manual_seed(0)
    model = Segmentor(
        ResNet(**{**RESNET, "widths": [8, 16, 16, 16]}), head_factory(HEADS[head]),
        in_channels=3, schema=data.schema, loss=SegmentationLoss(data.class_counts, lovasz=0.0),
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.0)
    known = batch.y >= 0
    for _ in range(250):
        output = model(batch)
        optimizer.zero_grad()
        torch.stack(list(model.losses(output, batch).values())).sum().backward()
        optimizer.step()
        right = (output.logits.argmax(1) == batch.y)[known].float().mean()
        if right > 0.95:
            break
    assert right > 0.95


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:.*logs directory.*exists.*:UserWarning"
)  # Lightning's, about a resumed run
def test_an_interrupted_run_resumes_to_the_weights_of_an_uninterrupted_run(
    frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(frames, tmp_path / "straight", epochs=3)
    read, count = ImageReader.read, 0

    def interrupt(self, picture):
        nonlocal count
        count += 1
        if count == 11:
            raise RuntimeError("power cut")
        return read(self, picture)

    monkeypatch.setattr(ImageReader, "read", interrupt)
    with pytest.raises(RuntimeError, match="power cut"):
        run(frames, tmp_path / "interrupted", epochs=3)
    assert torch.load(tmp_path / "interrupted" / "last.ckpt", weights_only=True)["epoch"] < 2
    monkeypatch.undo()
    torch.manual_seed(99)  # the state of the process does not matter
    run(frames, tmp_path / "interrupted", epochs=3, resume=True)
    expected, found = (
        torch.load(tmp_path / name / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("straight", "interrupted")
    )
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name


@pytest.mark.slow
def test_two_processes_train_and_validate_every_frame_once(frames: Path, tmp_path: Path) -> None:
    whole = image_config(frames, "ctnet", batch_size=2) | {
        "loss": {
            "class_path": "pcseg.losses.segmentation.SegmentationLoss",
            "init_args": {"lovasz": 0.5},
        },
        "trainer": {"max_epochs": 1, "progress_bar": False, "accelerator": "cpu", "log_every_n_steps": 1},
        "out": str(tmp_path / "run"),
    }
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(whole))
    finish(start(tmp_path / "two.yaml", "--trainer.devices", "2"))
    data = ImageData(frames, dataset="room_frames")
    assert len(data.train_pictures) == 4
    labeled = sum(int((data.reader.read(picture)[1] >= 0).sum()) for picture in data.val_pictures)
    assert logged(tmp_path / "run", "val/points") == [labeled]
    assert len(logged(tmp_path / "run", "train/class_frequency")) == 1, (
        "two images per process make one step of all four"
    )
    assert load_checkpoint(tmp_path / "run" / "best.ckpt").card.config["trainer"]["devices"] == 2


@pytest.fixture(scope="module")
def trained(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(frames, tmp_path_factory.mktemp("run") / "out", "encnet", epochs=2)


@pytest.mark.slow
def test_evaluation_scores_every_labeled_pixel(trained: Path, frames: Path, tmp_path: Path) -> None:
    report = evaluate(ckpt=trained, out=tmp_path, scales=(1.0, 1.5), flip=True, progress_bar=False)
    data = ImageData(frames, dataset="room_frames")
    labeled = sum(int((data.reader.read(p)[1] >= 0).sum()) for p in data.reader.pictures("Area_5"))
    assert int(report.matrix.labeled.sum()) == labeled
    assert report.provenance["kept_from_training"] is True
    assert report.provenance["scales"] == [1.0, 1.5]
    assert report.provenance["images"] == 2
    text = (tmp_path / "results.md").read_text()
    assert "all 13 classes, absent ones as 0" in text
    assert (tmp_path / "results.json").is_file()
    seen = evaluate(ckpt=trained, out=tmp_path, splits="Area_1", progress_bar=False)
    assert seen.provenance["kept_from_training"] is False


@pytest.mark.slow
def test_prediction_of_an_image(trained: Path, frames: Path, tmp_path: Path) -> None:
    picture = frames / "Area_5" / "office_1" / "color" / "000000.jpg"
    remarks = predict_file(picture, ckpt=trained, out=tmp_path)
    assert "64 x 48 pixels" in remarks[0]
    loaded = load_checkpoint(trained)
    model = image_model(loaded)
    colors = np.asarray(Image.open(picture))
    expected = model.probabilities(colors, ImageOptions(), name="").argmax(0)
    with Image.open(tmp_path / "000000.png") as written:
        assert written.mode == "P"
        assert np.array_equal(np.asarray(written), expected)
        colors = np.asarray(written.convert("RGB"))
    assert tuple(colors[0, 0]) == loaded.schema.colors[expected[0, 0]]
    with pytest.raises(UserError, match="would replace"):
        predict_file(tmp_path / "000000.png", ckpt=trained, out=tmp_path)
    with pytest.raises(UserError, match=r"nowhere\.jpg: no such file. Give the path"):
        predict_file(tmp_path / "nowhere.jpg", ckpt=trained, out=tmp_path)
    next(model.network.parameters()).data.fill_(torch.nan)
    with pytest.raises(UserError, match=r"000000\.jpg: the model .* returns NaN"):
        model.probabilities(colors, ImageOptions(), name="000000.jpg")


@pytest.mark.slow
def test_a_photo_is_predicted_upright(trained: Path, frames: Path, tmp_path: Path) -> None:
    with Image.open(frames / "Area_5" / "office_1" / "color" / "000000.jpg") as image:
        upright = image.copy()
    sideways = Image.Exif()
    sideways[ExifTags.Base.Orientation] = 6  # the first row of the file is the right-hand side
    upright.save(tmp_path / "upright.png")
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "sideways.png", exif=sideways)
    for name in ("upright", "sideways"):
        assert (
            "64 x 48 pixels" in predict_file(tmp_path / f"{name}.png", ckpt=trained, out=tmp_path / "out")[0]
        )
    first, second = (Image.open(tmp_path / "out" / f"{name}.png") for name in ("upright", "sideways"))
    with first, second:
        assert np.array_equal(np.asarray(first), np.asarray(second))


def test_images_without_labels_are_not_scored(tmp_path: Path) -> None:
    reader = IMAGE_READERS["voc"](write_images(tmp_path, "voc"))
    (tmp_path / "ImageSets" / "Segmentation" / "test.txt").write_text("2007_000001\n")
    assert [picture.split for picture in labeled_pictures(reader, ["test", "val"])] == ["val"]
    with pytest.raises(UserError, match="the labels of test are not public"):
        labeled_pictures(reader, ["test"])


def test_a_crop_too_small_for_the_head_is_one_line(frames: Path, tmp_path: Path) -> None:
    message = r"images of 8 x 8 pixels give 1 x 1 features, fewer than 2 x 2\. Increase data\.crop_size"
    with pytest.raises(UserError, match=message):
        run(frames, tmp_path / "run", data={"crop_size": [8, 8]})


def test_invalid_labels_end_training_with_one_line(tmp_path: Path) -> None:
    frames = write_room_frames(tmp_path / "frames", rooms={"Area_1": 3, "Area_5": 1}, frames=1)
    for path in (frames / "Area_1").rglob("label/*.png"):
        save(np.full((48, 64), 60, np.uint8), path)
    with pytest.raises(UserError, match=r"label 60 at column 0, row 0 is out of the range of room frames"):
        run(frames, tmp_path / "run")


def test_the_batches_of_non_finite_steps_are_written(
    frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        SegmentationLoss, "forward", lambda self, logits, y: {"ce": logits.sum() * float("nan")}
    )
    with pytest.raises(UserError, match="no step of 2 had a finite loss"):
        run(frames, tmp_path / "run", epochs=4)
    recorded = [torch.load(path, weights_only=True) for path in (tmp_path / "run").rglob("step_*.pt")]
    assert recorded
    assert recorded[0]["batch"]["image"].shape == (2, 3, 32, 40)
    assert recorded[0]["batch"]["names"], "which images they were"


def test_missing_weights_are_one_line(frames: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.ckpt: no such checkpoint"):
        run(frames, tmp_path / "run", init_from=tmp_path / "nowhere.ckpt")
    with pytest.raises(UserError, match=r"nowhere\.pth"):
        resnet(name="resnet50", pretrained=tmp_path / "nowhere.pth")


def test_scores_and_losses_are_logged(trained: Path) -> None:
    with open(trained.parent / "logs" / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    assert any(row.get("val/miou") for row in rows)
    assert any(row.get("train/presence") for row in rows), "the head's own loss"
