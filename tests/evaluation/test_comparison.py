"""Comparison of point and image models: counts, coverage, averages, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.checkpoints import write_checkpoint, write_image_checkpoint
from helpers.fakes import fake_room, write_fake_building
from PIL import Image

import pcseg.evaluation.backprojection
import pcseg.evaluation.comparison
from pcseg.checkpoint import load_checkpoint
from pcseg.data.sample import load_sample
from pcseg.data.scenes import read_scene
from pcseg.errors import UserError
from pcseg.evaluation.backprojection import read_frames, sightings
from pcseg.evaluation.comparison import (
    Options,
    carry_model,
    compare,
    load_models,
    predict_all,
    require_unseen,
)
from pcseg.evaluation.comparison_report import AVERAGE, ComparisonReport
from pcseg.inference.images import image_model
from pcseg.inference.points import predict_scene
from pcseg.labels import S3DIS


def write_frame(scene: Path, room: dict[str, np.ndarray]) -> None:
    """A frame that looks straight down at the floor of a room from its middle: depth is the height above z."""
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
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A prepared building, frames of its area 5, and a folder with checkpoints."""
    folder = tmp_path_factory.mktemp("compared")
    rooms = write_fake_building(folder / "rooms", rooms={"Area_1": 2, "Area_5": 1}, num_points=800)
    write_frame(folder / "frames" / "Area_5" / "office_1", fake_room(5000, num_points=800))
    write_checkpoint(folder / "plain.ckpt", rooms)
    write_checkpoint(folder / "context.ckpt", rooms, seed=1)
    write_image_checkpoint(folder / "images.ckpt", folder / "frames")
    return rooms, folder / "frames", folder


def test_table_and_picture(places: tuple[Path, Path, Path], tmp_path: Path) -> None:
    rooms, frames, folder = places
    report = compare(
        rooms, frames, plain=folder / "plain.ckpt", context=[folder / "context.ckpt"], images=[folder / "images.ckpt"],
        out=tmp_path, progress_bar=False,
    )  # fmt: skip
    assert list(report.everywhere) == ["3-D plain", "3-D plain'", "2-D EncNet", AVERAGE]
    scene = read_scene(rooms / "Area_5" / "office_1.h5")
    floor = int((np.array(scene.label) == S3DIS.names.index("floor")).sum())
    assert report.seen[1].sum() == 800
    assert 0 < report.seen[0].sum() < floor, "the camera sees a part of the floor and nothing else"
    assert report.seen[0, 1] == report.seen[0].sum()
    image = report.everywhere["2-D EncNet"]
    assert image.counts[:, -1].sum() == 800 - report.seen[0].sum(), "points that no frame sees are misses"
    assert report.covered["2-D EncNet"].counts[:, -1].sum() == 0
    for matrices in (report.everywhere, report.covered):
        assert len({int(matrix.labeled.sum()) for matrix in matrices.values()}) == 1
    written = json.loads((tmp_path / "comparison.json").read_text())
    assert written["coverage"] == pytest.approx(report.seen[0].sum() / 800)
    assert written["classes"][1]["name"] == "floor"
    assert "| floor |" in (tmp_path / "comparison.md").read_text()
    with Image.open(tmp_path / "Area_5_office_1.png") as picture:
        assert picture.width > 2000


def test_the_average_is_of_probabilities(places: tuple[Path, Path, Path]) -> None:
    rooms, frames, folder = places
    models = load_models(folder / "plain.ckpt", [], [folder / "images.ckpt"], device="cpu")
    sample = load_sample(read_scene(rooms / "Area_5" / "office_1.h5"), name="office_1")
    options = Options(fragments=1, points_per_pass=10_000, scales=(1.0,), flip=False)
    scene = frames / "Area_5" / "office_1"
    labels, covered = predict_all(models, sample, scene, options)
    plain, images = models.values()
    points = predict_scene(
        plain.network,
        sample,
        grid_size=plain.grid_size,
        features=plain.features,
        fragments=1,
        probabilities=True,
    ).probability
    seen = list(sightings(read_frames(scene), sample.pos))
    carried = carry_model(image_model(images), seen, sample.num_points, options)
    assert points is not None
    assert np.array_equal(labels[AVERAGE][covered], (points + carried.scores)[covered].argmax(1))
    assert np.array_equal(labels[AVERAGE][~covered], labels["3-D plain"][~covered])
    np.testing.assert_allclose(carried.scores[covered].sum(1), 1, rtol=1e-5)


def test_what_frames_see_is_found_once_for_all_image_models(
    places: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms, frames, folder = places
    images = [folder / "images.ckpt"] * 2
    models = load_models(folder / "plain.ckpt", [], images, device="cpu")
    sample = load_sample(read_scene(rooms / "Area_5" / "office_1.h5"), name="office_1")
    options = Options(fragments=1, points_per_pass=10_000, scales=(1.0,), flip=False)
    calls, visible = [], pcseg.evaluation.backprojection.visible
    monkeypatch.setattr(
        pcseg.evaluation.backprojection,
        "visible",
        lambda frame, *args, **kw: calls.append(frame) or visible(frame, *args, **kw),
    )
    labels, _ = predict_all(models, sample, frames / "Area_5" / "office_1", options)
    assert len(calls) == 1
    assert np.array_equal(labels["2-D EncNet"], labels["2-D EncNet'"])


def test_points_that_no_model_decides_count_as_misses() -> None:
    report = ComparisonReport.empty(["a"], names=("x", "y"), protocol={})
    report.add("a", np.array([0, 1, -1]), np.array([0, 0, 1]), np.array([True, True, False]))
    report.add(AVERAGE, np.array([0, 0, 1]), np.array([0, 0, 1]), np.array([True, True, False]))
    assert report.everywhere["a"].counts.tolist() == [[1, 1, 0], [0, 0, 1]]
    assert report.covered["a"].counts.tolist() == [[1, 1, 0], [0, 0, 0]]
    assert report.everywhere[AVERAGE].overall_accuracy() == 1
    assert report.coverage == pytest.approx(2 / 3)


def test_what_must_not_be_compared_is_refused(
    places: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms, frames, folder = places
    monkeypatch.setattr(
        pcseg.evaluation.comparison, "predict_all", lambda *args: pytest.fail("predicted before refusing")
    )

    def run(**changed: object) -> None:
        options = {
            "plain": folder / "plain.ckpt",
            "images": [folder / "images.ckpt"],
            "out": tmp_path / "out",
        }
        compare(rooms, changed.pop("frames", frames), **options | changed, progress_bar=False)  # type: ignore[arg-type]

    with pytest.raises(UserError, match="3-D plain may have seen Area_1 in training"):
        run(splits=["Area_1"])
    seen = write_image_checkpoint(tmp_path / "seen.ckpt", frames, val_splits=["Area_5"])
    with pytest.raises(UserError, match="2-D EncNet may have seen Area_5"):
        run(images=[seen])
    with pytest.raises(UserError, match="a model of images where one of points is wanted"):
        run(plain=folder / "images.ckpt")
    with pytest.raises(UserError, match="a model of points where one of images is wanted"):
        run(images=[folder / "plain.ckpt"])
    with pytest.raises(UserError, match="no frames of Area_5/office_1"):
        run(frames=tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"--scales \[1.0, 0\]"):
        run(scales=(1.0, 0), plain=tmp_path / "told before models are loaded")
    assert not (tmp_path / "out" / "comparison.json").exists()


def test_the_test_areas_of_a_data_set_are_unseen_without_being_named(tmp_path: Path) -> None:
    path = write_image_checkpoint(tmp_path / "images.ckpt", tmp_path, test_splits=None)
    model = load_checkpoint(path)
    require_unseen("2-D EncNet", model, ["Area_5"])
    with pytest.raises(UserError, match="may have seen Area_4"):
        require_unseen("2-D EncNet", model, ["Area_4", "Area_5"])


def test_frames_of_other_rooms_are_told(places: tuple[Path, Path, Path]) -> None:
    rooms, frames, folder = places
    models = load_models(folder / "plain.ckpt", [], [folder / "images.ckpt"], device="cpu")
    sample = load_sample(read_scene(rooms / "Area_5" / "office_1.h5"), name="office_1")
    elsewhere = replace(sample, pos=sample.pos + np.float32(100))
    options = Options(fragments=1, points_per_pass=10_000, scales=(1.0,), flip=False)
    with pytest.raises(UserError, match="no frame sees a point of office_1"):
        predict_all(models, elsewhere, frames / "Area_5" / "office_1", options)
