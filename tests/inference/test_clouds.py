"""Prediction on arbitrary clouds: rows, order, missing fields, units and axes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.cloud_parts import scan
from helpers.checkpoints import write_checkpoint, write_image_checkpoint
from helpers.fakes import fake_room

from pcseg.checkpoint import LoadedModel, load_checkpoint
from pcseg.data.alignment import ROTATIONS, find_frame
from pcseg.data.io.clouds import Cloud, read_cloud
from pcseg.data.room_frame import GivenAxes
from pcseg.data.transforms.geometry import rotation
from pcseg.errors import UserError
from pcseg.inference.clouds import make_sample, predict_cloud
from pcseg.inference.points import PointOptions
from pcseg.labels import S3DIS

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


def test_rows_that_cannot_be_predicted_keep_their_position(model: LoadedModel, room: Cloud) -> None:
    """Points without a position and outliers get no class and do not affect the other points."""
    places = [0, 0, 700, 1499, 1500]
    odd_rows = np.array(
        [[np.nan] * 3, [900, 0, 0], [0, np.inf, 0], [1e30, 0, 0], [0, 0, -80]], dtype=np.float32
    )
    assert room.color is not None
    pos = np.insert(room.pos, places, odd_rows, axis=0)
    odd = replace(room, pos=pos, color=np.insert(room.color, places, 0, axis=0))
    straight, predicted = predict_cloud(model, room), predict_cloud(model, odd)
    rows = np.insert(np.arange(1500), places, -1)
    np.testing.assert_array_equal(predicted.label[rows >= 0], straight.label)
    np.testing.assert_array_equal(predicted.confidence[rows >= 0], straight.confidence)
    assert (predicted.label[rows < 0] == -1).all()
    assert (predicted.confidence[rows < 0] == 0).all()
    assert len(np.unique(straight.label)) > 1
    text = "\n".join(predicted.remarks)
    for words in ("1,505 points", "2 points without a position", "3 outliers"):
        assert words in text


@pytest.mark.parametrize("up", ["y", "-y"])
def test_predictions_do_not_depend_on_units_and_axes(model: LoadedModel, room: Cloud, up: str) -> None:
    straight = predict_cloud(model, room, up="z", units="m")
    turned = replace(room, pos=(room.pos.astype(np.float64) @ np.array(ROTATIONS[up]) * 1000))
    again = predict_cloud(model, turned, units="mm", up=up)  # type: ignore[arg-type]
    assert (straight.label == again.label).mean() > 0.98
    assert again.frame is not None
    assert (again.frame.unit, again.frame.up) == ("mm", up)
    assert any("millimet" in remark for remark in again.remarks)


def test_missing_fields_are_substituted(normal_model: LoadedModel, room: Cloud) -> None:
    bare = replace(room, color=None)
    predicted = predict_cloud(normal_model, bare)
    text = "\n".join(predicted.remarks)
    assert "color: not in the file, replaced by the constant (10, 20, 30)" in text
    assert "normals: not in the file, estimated" in text
    remarks: list[str] = []
    frame = predicted.frame
    assert frame is not None
    sample = make_sample(normal_model, bare, np.arange(len(bare)), frame, remarks)
    assert (sample.color == [10, 20, 30]).all()
    assert sample.normal is not None
    # walls are vertical, so most of their normals are horizontal
    walls = (ROOM["label"] == S3DIS.names.index("wall")) & (np.abs(ROOM["pos"][:, 2] - 1.1) < 0.7)
    assert np.median(np.abs(sample.normal[walls, 2])) < 0.3


def test_normals_in_the_file_are_rotated_with_the_cloud(normal_model: LoadedModel, room: Cloud) -> None:
    normal = np.tile(np.array([[0, 1, 0]], dtype=np.float32), (len(room), 1))
    predicted = predict_cloud(normal_model, replace(room, normal=normal), up="y")
    assert predicted.frame is not None
    np.testing.assert_allclose(predicted.frame.rotate(normal[:1]), [[0, 0, 1]], atol=1e-6)
    assert not any(remark.startswith("normals") for remark in predicted.remarks)


def test_a_missing_field_without_substitute_is_an_error(tmp_path: Path, room: Cloud) -> None:
    path = write_checkpoint(tmp_path / "c.ckpt", missing_fields={})
    with pytest.raises(UserError, match=r"room\.ply: has no color"):
        predict_cloud(load_checkpoint(path), replace(room, color=None))


def test_blocks_change_few_predictions(model: LoadedModel, room: Cloud) -> None:
    whole, parts = (
        predict_cloud(model, room, options=PointOptions(points_per_pass=n, margin=0.6)).label
        for n in (10**6, 300)
    )
    assert (whole == parts).mean() > 0.9


def test_normals_of_an_empty_cloud(normal_model: LoadedModel, tmp_path: Path) -> None:
    nothing = Cloud(source=tmp_path / "a.ply", pos=np.empty((0, 3)))
    assert len(predict_cloud(normal_model, nothing).label) == 0
    one = Cloud(source=tmp_path / "a.ply", pos=np.zeros((1, 3)))
    assert predict_cloud(normal_model, one).label.shape == (1,)


def test_an_image_model_cannot_predict_a_cloud(tmp_path: Path, room: Cloud) -> None:
    images = load_checkpoint(write_image_checkpoint(tmp_path / "images.ckpt", tmp_path))
    with pytest.raises(
        UserError, match=r"images\.ckpt: an image model\. Choose the checkpoint of a point model"
    ):
        predict_cloud(images, room)


@pytest.mark.slow
def test_real_scan(real_scans: Path, model: LoadedModel) -> None:
    predicted = predict_cloud(model, read_cloud(real_scans / "region_growing_rgb_tutorial.pcd"))
    assert len(predicted.label) == 307200
    assert np.count_nonzero(predicted.label < 0) == 307200 - 259847


@pytest.mark.slow
def test_local_heights_do_not_depend_on_what_lies_below(tmp_path: Path) -> None:
    """A storey below a room changes the confidence of a model with heights above all points, not above the ground."""
    pos = scan(0)[0][::5].astype(np.float32)
    both = np.concatenate([pos, pos - np.float32([0, 0, 3.1])])
    for name, low, high in (("floor", 0.97, 1.0), ("height", -1.0, 0.95)):
        model = load_checkpoint(write_checkpoint(tmp_path / f"{name}.ckpt", features=["color", name]))
        found = [
            predict_cloud(
                model,
                Cloud(source=tmp_path / "a.ply", pos=cloud, color=np.full((len(cloud), 3), 100, np.uint8)),
                units="m",
                up="z",
            ).confidence[: len(pos)]
            for cloud in (pos, both)
        ]
        assert low < np.corrcoef(*found)[0, 1] <= high


@pytest.mark.slow
def test_room_axes_of_a_rotated_scan(tmp_path: Path) -> None:
    """A model that sees rooms along their walls predicts the same for a rotated scan; another one does not."""
    pos = scan(1)[0][::5]
    color = np.full((len(pos), 3), 100, np.uint8)
    for room_axes, low, high in ((True, 0.8, 1.0), (False, -1.0, 0.5)):
        model = load_checkpoint(write_checkpoint(tmp_path / f"{room_axes}.ckpt", room_axes=room_axes))
        confidence, remarks = [], []
        for yaw in (0, 27):
            moved = pos @ rotation("z", np.deg2rad(yaw)).T
            cloud = Cloud(source=tmp_path / "a.ply", pos=moved, color=color)
            prediction = predict_cloud(model, cloud, units="m", up="z")
            confidence.append(prediction.confidence)
            remarks.append([remark for remark in prediction.remarks if remark.startswith("room axes")])
        assert low < np.corrcoef(*confidence)[0, 1] < high
        assert [len(lines) for lines in remarks] == [room_axes, room_axes]
        if room_axes:
            assert "rotated by 0.0°" in remarks[0][0]
            assert "rotated by -2" in remarks[1][0]  # -26.9


@pytest.mark.slow
def test_axes_of_a_room_given_by_hand(tmp_path: Path) -> None:
    """The given yaw and level floor are used as they are, and refused for a model without axes of rooms."""
    pos = scan(1)[0][::5]
    moved = pos @ (rotation("z", np.deg2rad(20)) @ rotation("x", np.deg2rad(3))).T
    cloud = Cloud(source=tmp_path / "a.ply", pos=moved, color=np.full((len(pos), 3), 100, np.uint8))
    model = load_checkpoint(write_checkpoint(tmp_path / "a.ckpt", room_axes=True))
    frame = find_frame(cloud.pos, units="m", up="z")
    for axes, remark, matrix in (
        (
            GivenAxes(yaw=110.0, level=False),
            "rotated by -20.0°, leveled by 0.0°",
            rotation("z", np.deg2rad(-20)),
        ),
        (GivenAxes(yaw=0.0, level=False), "rotated by 0.0°, leveled by 0.0°", np.eye(3)),
    ):
        remarks: list[str] = []
        sample = make_sample(model, cloud, slice(None), frame, remarks, axes)
        assert remarks == [f"room axes: {remark}"]
        np.testing.assert_allclose(sample.pos, moved @ matrix.T, atol=1e-4)
    predict_cloud(model, cloud, axes=GivenAxes(yaw=20.0))
    other = load_checkpoint(write_checkpoint(tmp_path / "b.ckpt"))
    with pytest.raises(UserError, match=r"--yaw, --level: .*b\.ckpt sees scans in the axes of the file"):
        predict_cloud(other, cloud, axes=GivenAxes(level=False))
