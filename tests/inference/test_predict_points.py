"""Prediction on own files: rows, order, missing fields, units, axes and what is written."""

import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.checkpoints import write_checkpoint, write_image_checkpoint
from helpers.fakes import fake_room

from pcseg.checkpoint import LoadedModel, load_checkpoint
from pcseg.cli import run
from pcseg.data.alignment import ROTATIONS
from pcseg.data.io.clouds import Cloud, read_cloud
from pcseg.data.io.ply import write_ply
from pcseg.data.predictions import find_prediction, read_prediction
from pcseg.data.scenes import write_scene
from pcseg.errors import UserError
from pcseg.inference.predict_points import make_sample, predict, predict_cloud
from pcseg.labels import S3DIS

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "predict.py"
ROOM = fake_room(0, num_points=1500)


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("ckpt") / "a.ckpt")


@pytest.fixture(scope="module")
def model(ckpt: Path) -> LoadedModel:
    return load_checkpoint(ckpt)


@pytest.fixture(scope="module")
def normal_model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    path = tmp_path_factory.mktemp("ckpt") / "b.ckpt"
    card = {"missing_fields": {"color": [10.0, 20.0, 30.0], "normal": "estimate"}}
    return load_checkpoint(write_checkpoint(path, features=["color", "height", "normal"], **card))


@pytest.fixture
def room(tmp_path: Path) -> Cloud:
    return Cloud(source=tmp_path / "room.ply", pos=ROOM["pos"], color=ROOM["color"])


def test_rows_that_cannot_be_predicted_stay_in_their_place(model: LoadedModel, room: Cloud) -> None:
    """Points without a position and strays get no class, and change nothing for the others."""
    places = [0, 0, 700, 1499, 1500]
    odd_rows = np.array(
        [[np.nan] * 3, [900, 0, 0], [0, np.inf, 0], [1e30, 0, 0], [0, 0, -80]], dtype=np.float32
    )
    assert room.color is not None
    pos = np.insert(room.pos, places, odd_rows, axis=0)
    odd = replace(room, pos=pos, color=np.insert(room.color, places, 0, axis=0))
    straight, predicted = predict_cloud(model, room), predict_cloud(model, odd)
    rows = np.insert(np.arange(1500), places, -1)
    np.testing.assert_array_equal(predicted.saved.label[rows >= 0], straight.saved.label)
    np.testing.assert_array_equal(predicted.saved.confidence[rows >= 0], straight.saved.confidence)
    assert (predicted.saved.label[rows < 0] == -1).all()
    assert (predicted.saved.confidence[rows < 0] == 0).all()
    assert len(np.unique(straight.saved.label)) > 1
    text = "\n".join(predicted.remarks)
    for words in ("1,505 points", "2 points have no position", "3 strays"):
        assert words in text


@pytest.mark.parametrize("up", ["y", "-y"])
def test_units_and_axes_make_no_difference(model: LoadedModel, room: Cloud, up: str) -> None:
    straight = predict_cloud(model, room, up="z", units="m")
    turned = replace(room, pos=(room.pos.astype(np.float64) @ np.array(ROTATIONS[up]) * 1000))
    again = predict_cloud(model, turned, units="mm", up=up)  # type: ignore[arg-type]
    assert (straight.saved.label == again.saved.label).mean() > 0.98
    assert again.saved.frame is not None
    assert (again.saved.frame.unit, again.saved.frame.up) == ("mm", up)
    assert any("millimetres" in remark for remark in again.remarks)


def test_missing_fields_have_substitutes(normal_model: LoadedModel, room: Cloud) -> None:
    bare = replace(room, color=None)
    predicted = predict_cloud(normal_model, bare)
    text = "\n".join(predicted.remarks)
    assert "colour: none in the file, taken as the model's substitute (10, 20, 30)" in text
    assert "normals: none in the file, estimated" in text
    remarks: list[str] = []
    frame = predicted.saved.frame
    assert frame is not None
    sample = make_sample(normal_model, bare, np.arange(len(bare)), frame, remarks)
    assert (sample.color == [10, 20, 30]).all()
    assert sample.normal is not None
    # the walls stand upright: most normals there are level
    walls = (ROOM["label"] == S3DIS.names.index("wall")) & (np.abs(ROOM["pos"][:, 2] - 1.1) < 0.7)
    assert np.median(np.abs(sample.normal[walls, 2])) < 0.3


def test_given_normals_are_turned_with_the_cloud(normal_model: LoadedModel, room: Cloud) -> None:
    normal = np.tile(np.array([[0, 1, 0]], dtype=np.float32), (len(room), 1))
    predicted = predict_cloud(normal_model, replace(room, normal=normal), up="y")
    assert predicted.saved.frame is not None
    np.testing.assert_allclose(predicted.saved.frame.rotate(normal[:1]), [[0, 0, 1]], atol=1e-6)
    assert not any(remark.startswith("normals") for remark in predicted.remarks)


def test_no_substitute_is_an_error(tmp_path: Path, room: Cloud) -> None:
    path = write_checkpoint(tmp_path / "c.ckpt", missing_fields={})
    with pytest.raises(UserError, match=r"room\.ply: has no color"):
        predict_cloud(load_checkpoint(path), replace(room, color=None))


def test_point_budget_changes_little(model: LoadedModel, room: Cloud) -> None:
    whole, parts = (
        predict_cloud(model, room, points_per_pass=n, margin=0.6).saved.label for n in (10**6, 300)
    )
    assert (whole == parts).mean() > 0.9


def test_files(tmp_path: Path, ckpt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command writes what it predicts, in the source's rows and coordinates, and says what it found."""
    source = tmp_path / "my room.ply"
    pos = np.concatenate([ROOM["pos"].astype(np.float64) * 1000 + 500_000, [[np.nan] * 3]])
    write_ply(source, dict(zip("xyz", pos.T)))
    out = tmp_path / "out"
    command = runpy.run_path(str(SCRIPT))["command"]
    run(command, args=[str(source), "--ckpt", str(ckpt), "--out", str(out), "--progress_bar", "false"])
    assert sorted(path.name for path in out.iterdir()) == ["my room.npz", "my room.ply"]
    saved = read_prediction(out / "my room.npz")
    assert (saved.source, saved.schema) == ("my room.ply", S3DIS)
    assert saved.checkpoint == load_checkpoint(ckpt).hash
    assert len(saved.label) == 1501
    assert saved.label[-1] == -1
    colored = read_cloud(out / "my room.ply")
    np.testing.assert_array_equal(colored.pos, pos)
    assert colored.color is not None
    np.testing.assert_array_equal(colored.color[:-1], np.array(S3DIS.colors)[saved.label[:-1]])
    with np.load(out / "my room.npz") as file:
        assert file["class_names"].tolist() == list(S3DIS.names)
    said = capsys.readouterr().out
    for words in ("1,501 points", "1 points have no position", "millimetres", "up: z", "colour: none",
                  "points a second", "classes: ", "wrote "):  # fmt: skip
        assert words in said


def test_prepared_scene_and_how_much_is_right(tmp_path: Path, model: LoadedModel, ckpt: Path) -> None:
    path = tmp_path / "Area_1" / "office_1.h5"
    write_scene(path, **ROOM, dataset="fake", scene="office_1", schema=S3DIS)
    predicted = predict(path, ckpt=ckpt, out=tmp_path / "out", progress_bar=False)
    share = np.mean(predicted.saved.label == ROOM["label"])
    assert f"right: {share:.1%} of the labelled points" in predicted.remarks
    assert find_prediction(tmp_path / "out", path) == tmp_path / "out" / "office_1.npz"


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("bad", [False, True])
def test_clouds_of_hardly_any_points(tmp_path: Path, ckpt: Path, count: int, bad: bool) -> None:
    source = tmp_path / "few.ply"
    pos = np.full((count, 3), np.nan if bad else 1.5, dtype=np.float32) + np.arange(count)[:, None]
    write_ply(source, dict(zip("xyz", pos.T)) | {"red": np.zeros(count, np.uint8)})
    predicted = predict(source, ckpt=ckpt, out=tmp_path / "out", progress_bar=False)
    assert (predicted.saved.label >= 0).tolist() == [not bad] * count
    assert read_prediction(tmp_path / "out" / "few.npz").label.shape == (count,)
    assert len(read_cloud(tmp_path / "out" / "few.ply", allow_empty=True)) == count
    assert any("points a second" in remark for remark in predicted.remarks)


def test_normals_of_no_points(normal_model: LoadedModel, tmp_path: Path) -> None:
    nothing = Cloud(source=tmp_path / "a.ply", pos=np.empty((0, 3)))
    assert len(predict_cloud(normal_model, nothing).saved.label) == 0
    one = Cloud(source=tmp_path / "a.ply", pos=np.zeros((1, 3)))
    assert predict_cloud(normal_model, one).saved.label.shape == (1,)


def test_source_is_not_written_over(tmp_path: Path, ckpt: Path) -> None:
    source = tmp_path / "room.npz"
    np.savez(source, pos=ROOM["pos"], color=ROOM["color"])
    before = source.read_bytes()
    with pytest.raises(UserError, match="would replace"):
        predict(source, ckpt=ckpt, out=tmp_path, progress_bar=False)
    assert source.read_bytes() == before


def test_what_cannot_be_done_is_told_before_the_work(tmp_path: Path, ckpt: Path, room: Cloud) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file: cannot be created .*Choose another folder"):
        predict(tmp_path / "no_such.xyz", ckpt=ckpt, out=tmp_path / "file", progress_bar=False)
    model = load_checkpoint(ckpt)
    with pytest.raises(UserError, match="margin is -1; choose 0 or more"):
        predict_cloud(model, room, margin=-1)


def test_a_model_of_images_predicts_no_points(tmp_path: Path, room: Cloud) -> None:
    images = load_checkpoint(write_image_checkpoint(tmp_path / "images.ckpt", tmp_path))
    with pytest.raises(
        UserError, match=r"images\.ckpt: was trained on images; give the checkpoint of a point"
    ):
        predict_cloud(images, room)


def test_damaged_predictions(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such prediction"):
        read_prediction(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(b"PK\3\4")
    with pytest.raises(UserError, match="not a prediction"):
        read_prediction(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", label=np.zeros(3))
    with pytest.raises(UserError, match="not a prediction"):
        read_prediction(tmp_path / "a.npz")
    with pytest.raises(UserError, match=r"holds no b\.npz"):
        find_prediction(tmp_path, tmp_path / "b.h5")


def test_real_scan(real_scans: Path, model: LoadedModel) -> None:
    predicted = predict_cloud(model, read_cloud(real_scans / "region_growing_rgb_tutorial.pcd"))
    assert len(predicted.saved.label) == 307200
    assert np.count_nonzero(predicted.saved.label < 0) == 307200 - 259847
