"""The command ``pcseg compare``: counts, coverage, averages, and refused comparisons."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.checkpoints import write_checkpoint, write_image_checkpoint
from helpers.fakes import fake_room, write_fake_building
from PIL import Image

import pcseg.evaluation.backprojection
from pcseg.checkpoint import KEY, load_checkpoint, read_checkpoint
from pcseg.data.sample import Sample, load_sample
from pcseg.data.scenes import read_scene
from pcseg.errors import UserError
from pcseg.evaluation.backprojection import find_visible_points, read_frames
from pcseg.evaluation.comparison import (
    Comparison,
    head_name,
    load_models,
    require_unseen,
)
from pcseg.evaluation.comparison_report import AVERAGE, ComparisonReport
from pcseg.inference.images import ImageOptions, image_model
from pcseg.inference.points import PointOptions, predict_scene
from pcseg.labels import S3DIS
from pcseg.training.initial_weights import history
from pcseg.views.compare import compare

pytestmark = pytest.mark.slow


def write_frame(scene: Path, room: dict[str, np.ndarray]) -> None:
    """Write a frame of a camera in the center of a room that looks straight down at the floor."""
    for part in ("color", "depth", "pose"):
        (scene / part).mkdir(parents=True)
    eye = [*room["pos"].mean(axis=0)[:2], 0.7]
    pose = np.array([[1, 0, 0, eye[0]], [0, -1, 0, eye[1]], [0, 0, -1, eye[2]], [0, 0, 0, 1]], float)
    matrix = np.diag([20.0, 20.0, 1.0, 1.0])
    matrix[:2, 2] = 19.5, 15.5
    for name in ("intrinsics_color.txt", "intrinsics_depth.txt"):
        np.savetxt(scene / name, matrix)
    np.savetxt(scene / "pose" / "000000.txt", pose)
    color = np.random.default_rng(0).integers(0, 256, (32, 40, 3)).astype(np.uint8)
    Image.fromarray(color).save(scene / "color" / "000000.jpg")
    Image.fromarray(np.full((32, 40), 700, np.uint16)).save(scene / "depth" / "000000.png")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Return a prepared building, frames of its area 5, and a folder with checkpoints."""
    folder = tmp_path_factory.mktemp("compared")
    rooms = write_fake_building(folder / "rooms", rooms={"Area_1": 2, "Area_5": 1}, num_points=800)
    write_frame(folder / "frames" / "Area_5" / "office_1", fake_room(5000, num_points=800))
    write_checkpoint(folder / "plain.ckpt", rooms)
    write_checkpoint(folder / "context.ckpt", rooms, seed=1)
    write_image_checkpoint(folder / "images.ckpt", folder / "frames")
    return rooms, folder / "frames", folder


def test_the_report_and_the_picture(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    rooms, frames, folder = folders
    report = compare(
        rooms, frames, plain=folder / "plain.ckpt", context=[folder / "context.ckpt"], images=[folder / "images.ckpt"],
        out=tmp_path, progress_bar=False,
    )  # fmt: skip
    linear = f"3-D {head_name(load_checkpoint(folder / 'plain.ckpt').network.head)}"
    assert list(report.everywhere) == [linear, f"{linear}'", "2-D EncNet", AVERAGE]
    scene = read_scene(rooms / "Area_5" / "office_1.h5")
    floor = int((np.array(scene.label) == S3DIS.names.index("floor")).sum())
    assert report.labeled.sum() == 800
    assert 0 < report.seen.sum() < floor, "the camera sees a part of the floor and nothing else"
    assert report.seen[1] == report.seen.sum()
    image = report.everywhere["2-D EncNet"]
    assert image.counts[:, -1].sum() == 800 - report.seen.sum(), "points that no frame sees are misses"
    assert report.covered["2-D EncNet"].counts[:, -1].sum() == 0
    for matrices in (report.everywhere, report.covered):
        assert len({int(matrix.labeled.sum()) for matrix in matrices.values()}) == 1
    written = json.loads((tmp_path / "comparison.json").read_text())
    assert written["coverage"] == pytest.approx(int(report.seen.sum()) / 800)
    assert written["classes"][1]["name"] == "floor"
    assert "| floor |" in (tmp_path / "comparison.md").read_text()
    with Image.open(tmp_path / "Area_5_office_1.png") as picture:
        assert picture.width > 2000


def open_small(
    folders: tuple[Path, Path, Path], images: list[Path] | None = None
) -> tuple[Comparison, Sample, Path]:
    """Return a comparison of the plain model with image models, its room, and the frames of the room."""
    rooms, frames, folder = folders
    models = load_models(folder / "plain.ckpt", [], images or [folder / "images.ckpt"], device="cpu")
    options = {"point_options": PointOptions(points_per_pass=10_000), "image_options": ImageOptions()}
    comparison = Comparison(rooms, frames, models, splits=None, **options)
    sample = load_sample(read_scene(rooms / "Area_5" / "office_1.h5"), name="office_1")
    return comparison, sample, frames / "Area_5" / "office_1"


def test_the_average_is_over_probabilities(folders: tuple[Path, Path, Path]) -> None:
    comparison, sample, scene = open_small(folders)
    labels, covered = comparison.predict_room(sample, scene)
    plain, images = comparison.models.values()
    points = predict_scene(
        plain.network, sample, grid_size=plain.grid_size, features=plain.features, probabilities=True
    ).probability
    visible = list(find_visible_points(read_frames(scene), sample.pos))
    pixels = comparison.score_points(image_model(images), visible, sample.num_points)
    assert points is not None
    assert np.array_equal(labels[AVERAGE][covered], (points + pixels.scores)[covered].argmax(1))
    assert np.array_equal(labels[AVERAGE][~covered], labels[next(iter(comparison.models))][~covered])
    np.testing.assert_allclose(pixels.scores[covered].sum(1), 1, rtol=1e-5)


def test_visible_points_are_found_once_for_all_image_models(
    folders: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison, sample, scene = open_small(folders, [folders[2] / "images.ckpt"] * 2)
    calls, visible_rows = [], pcseg.evaluation.backprojection.visible_rows
    monkeypatch.setattr(
        pcseg.evaluation.backprojection,
        "visible_rows",
        lambda frame, *args, **kw: calls.append(frame) or visible_rows(frame, *args, **kw),
    )
    labels, _ = comparison.predict_room(sample, scene)
    assert len(calls) == 1
    assert np.array_equal(labels["2-D EncNet"], labels["2-D EncNet'"])


def test_points_without_a_prediction_are_misses() -> None:
    report = ComparisonReport(["a"], names=("x", "y"), provenance={})
    report.add("a", np.array([0, 1, -1]), np.array([0, 0, 1]), np.array([True, True, False]))
    report.add(AVERAGE, np.array([0, 0, 1]), np.array([0, 0, 1]), np.array([True, True, False]))
    assert report.everywhere["a"].counts.tolist() == [[1, 1, 0], [0, 0, 1]]
    assert report.covered["a"].counts.tolist() == [[1, 1, 0], [0, 0, 0]]
    assert report.everywhere[AVERAGE].overall_accuracy() == 1
    assert report.coverage == pytest.approx(2 / 3)


def fine_tuned(path: Path, source: Path) -> Path:
    """Set ``source`` as the initial weights in the card of the checkpoint ``path`` and return it."""
    content = torch.load(path, weights_only=True)
    content[KEY]["initial_weights"] = history(read_checkpoint(source))
    torch.save(content, path)
    return path


def test_models_that_saw_the_rooms_are_refused(
    folders: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training, checkpoint selection, and the checkpoints that a training was initialized from count."""
    rooms, frames, folder = folders
    monkeypatch.setattr(Comparison, "predict_room", lambda *args: pytest.fail("predicted before refusing"))

    def run(**changed: Any) -> None:
        options = {
            "plain": folder / "plain.ckpt",
            "images": [folder / "images.ckpt"],
            "out": tmp_path / "out",
        }
        compare(rooms, changed.pop("frames", frames), **options | changed, progress_bar=False)

    with pytest.raises(UserError, match=r"plain\.ckpt: .* may have seen Area_1 in training"):
        run(splits=["Area_1"])
    seen = write_image_checkpoint(tmp_path / "seen.ckpt", frames, val_splits=["Area_5"])
    with pytest.raises(UserError, match="2-D EncNet may have seen Area_5"):
        run(images=[seen])
    tuned = fine_tuned(write_image_checkpoint(tmp_path / "tuned.ckpt", frames), seen)
    with pytest.raises(UserError, match=r"tuned\.ckpt: 2-D EncNet may have seen Area_5"):
        run(images=[tuned])
    saw = write_checkpoint(tmp_path / "saw.ckpt", rooms)
    content = torch.load(saw, weights_only=True)
    content[KEY]["config"]["data"]["init_args"]["test_splits"] = ["Area_1"]
    torch.save(content, saw)
    with pytest.raises(UserError, match=r"points\.ckpt: .* may have seen Area_5"):
        run(plain=fine_tuned(write_checkpoint(tmp_path / "points.ckpt", rooms), saw))
    assert not (tmp_path / "out").exists()


def test_an_image_model_may_be_initialized_from_photos(tmp_path: Path) -> None:
    photos = write_image_checkpoint(tmp_path / "photos.ckpt", tmp_path, dataset="ade20k", test_splits=None)
    tuned = fine_tuned(write_image_checkpoint(tmp_path / "tuned.ckpt", tmp_path), photos)
    require_unseen("2-D EncNet", load_checkpoint(tuned), ["Area_5"])


def test_invalid_comparisons_are_errors(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    rooms, frames, folder = folders
    options: dict[str, Any] = {"plain": folder / "plain.ckpt", "images": [folder / "images.ckpt"]}
    with pytest.raises(UserError, match=r"images\.ckpt: an image model"):
        compare(rooms, frames, **options | {"plain": folder / "images.ckpt"}, out=tmp_path / "out")
    with pytest.raises(UserError, match=r"plain\.ckpt: a point model"):
        compare(rooms, frames, **options | {"images": folder / "plain.ckpt"}, out=tmp_path / "out")
    with pytest.raises(UserError, match="--images: no image model"):
        compare(rooms, frames, **options | {"images": []}, out=tmp_path / "out")
    with pytest.raises(UserError, match="no frames of Area_5/office_1"):
        compare(rooms, tmp_path / "nowhere", **options, out=tmp_path / "out")
    with pytest.raises(UserError, match="--scales: 0 is out of range"):
        compare(rooms, frames, **options | {"plain": tmp_path / "not loaded yet"}, scales=(1.0, 0))
    assert not (tmp_path / "out").exists()


def test_the_default_test_areas_of_an_image_data_set_are_unseen(tmp_path: Path) -> None:
    path = write_image_checkpoint(tmp_path / "images.ckpt", tmp_path, test_splits=None)
    model = load_checkpoint(path)
    require_unseen("2-D EncNet", model, ["Area_5"])
    with pytest.raises(UserError, match="may have seen Area_4 in training"):
        require_unseen("2-D EncNet", model, ["Area_4", "Area_5"])


def test_frames_of_other_rooms_are_an_error(folders: tuple[Path, Path, Path]) -> None:
    comparison, sample, scene = open_small(folders)
    elsewhere = replace(sample, pos=sample.pos + np.float32(100))
    with pytest.raises(UserError, match="no frame sees a point of office_1"):
        comparison.predict_room(elsewhere, scene)
