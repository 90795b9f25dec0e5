"""The command ``pcseg predict`` and ``pcseg.predict``, for points and images."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.checkpoints import write_checkpoint, write_image_checkpoint
from helpers.fakes import fake_room
from PIL import Image

import pcseg
from pcseg.checkpoint import KEY, load_checkpoint
from pcseg.cli import main
from pcseg.data.io.clouds import Cloud, read_cloud
from pcseg.data.io.ply import write_ply
from pcseg.data.predictions import find_prediction, read_prediction
from pcseg.data.scenes import write_scene
from pcseg.errors import UserError
from pcseg.inference.clouds import CloudPrediction
from pcseg.inference.predict import ImagePrediction, Photo, predict, predict_file
from pcseg.labels import S3DIS
from pcseg.views.visualize import visualize

ROOM = fake_room(0, num_points=1500)


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("ckpt") / "points.ckpt")


@pytest.fixture(scope="module")
def image_ckpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ckpt")
    return write_image_checkpoint(folder / "images.ckpt", folder)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)).save(path)
    return path


def test_the_command_writes_arrays_and_a_colored_cloud(
    tmp_path: Path, ckpt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Results have the rows and coordinates of the source, and the remarks are printed."""
    source = tmp_path / "my room.ply"
    pos = np.concatenate([ROOM["pos"].astype(np.float64) * 1000 + 500_000, [[np.nan] * 3]])
    write_ply(source, dict(zip("xyz", pos.T)))
    out = tmp_path / "out"
    main(["predict", str(source), "--ckpt", str(ckpt), "--out", str(out), "--progress_bar", "false"])
    assert sorted(path.name for path in out.iterdir()) == [
        "my room.npz",
        "my room.ply",
        "my room_labeled.ply",
    ]
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
    printed = capsys.readouterr().out
    for words in ("1,501 points", "1 points without a position", "millimet", "up: z", "color: not in the file",
                  "points per second", "classes: ", "wrote "):  # fmt: skip
        assert words in printed


def test_columns_named_on_the_command_line(
    tmp_path: Path, ckpt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "room.txt"
    np.savetxt(source, np.column_stack([ROOM["color"], ROOM["label"], ROOM["pos"]]), fmt="%.9g")
    words = ["predict", str(source), "--ckpt", str(ckpt), "--out", str(tmp_path), "--progress_bar", "false"]
    with pytest.raises(SystemExit):
        main(words)
    assert "--columns" in capsys.readouterr().err
    main([*words, "--columns", "R,G,B,-,x,y,z"])
    colored = read_cloud(tmp_path / "room.ply")
    np.testing.assert_allclose(colored.pos, ROOM["pos"], rtol=1e-6)
    assert "color: not in the file" not in capsys.readouterr().out


def test_the_command_writes_classes_and_an_overlay_of_an_image(
    tmp_path: Path, photo: Path, image_ckpt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    main(
        [
            "predict",
            str(photo),
            "--ckpt",
            str(image_ckpt),
            "--out",
            str(out),
            "--scales",
            "[1.0, 0.5]",
            "--flip",
        ]
    )
    assert sorted(path.name for path in out.iterdir()) == ["photo.png", "photo_overlay.jpg"]
    assert "64 x 48 pixels" in capsys.readouterr().out
    with Image.open(out / "photo.png") as image:
        assert (image.mode, image.size) == ("P", (64, 48))
        label = np.asarray(image)
        np.testing.assert_array_equal(
            np.asarray(image.convert("RGB")), np.array(S3DIS.colors, np.uint8)[label]
        )


@pytest.mark.parametrize("labeled", [True, False])
def test_a_prepared_scene_reports_its_accuracy(tmp_path: Path, ckpt: Path, labeled: bool) -> None:
    path = tmp_path / "Area_1" / "office_1.h5"
    room = ROOM if labeled else ROOM | {"label": np.full_like(ROOM["label"], -1)}
    write_scene(path, **room, dataset="fake", scene="office_1", schema=S3DIS)
    remarks = predict_file(path, ckpt=ckpt, out=tmp_path / "out", progress_bar=False)
    file = find_prediction(tmp_path / "out", path)
    assert file == tmp_path / "out" / "office_1.npz"
    accuracy = f"{np.mean(read_prediction(file).label == ROOM['label']):.1%} of the labeled points"
    assert f"overall accuracy: {accuracy if labeled else 'no labels in the file'}" in remarks


@pytest.mark.parametrize("option", [{"units": "cm"}, {"up": "y"}])
def test_units_and_up_of_a_prepared_scene_are_refused(
    tmp_path: Path, ckpt: Path, option: dict[str, Any]
) -> None:
    path = tmp_path / "office_1.h5"
    write_scene(path, **ROOM, dataset="fake", scene="office_1", schema=S3DIS)
    message = r"office_1\.h5: a prepared scene, in meters with z up\. Leave out --units and --up\."
    with pytest.raises(UserError, match=message):
        predict_file(path, ckpt=ckpt, out=tmp_path / "out", progress_bar=False, **option)
    with pytest.raises(UserError, match=message):
        visualize(path, png=tmp_path / "a.png", **option)
    with pytest.raises(UserError, match=message):
        visualize(path, ckpt=ckpt, png=tmp_path / "a.png", **option)


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("bad", [False, True])
def test_clouds_of_very_few_points(tmp_path: Path, ckpt: Path, count: int, bad: bool) -> None:
    source = tmp_path / "few.ply"
    pos = np.full((count, 3), np.nan if bad else 1.5, dtype=np.float32) + np.arange(count)[:, None]
    write_ply(source, dict(zip("xyz", pos.T)) | {"red": np.zeros(count, np.uint8)})
    remarks = predict_file(source, ckpt=ckpt, out=tmp_path / "out", progress_bar=False)
    assert (read_prediction(tmp_path / "out" / "few.npz").label >= 0).tolist() == [not bad] * count
    assert len(read_cloud(tmp_path / "out" / "few.ply", allow_empty=True)) == count
    assert any("points per second" in remark for remark in remarks)


def test_the_source_is_never_overwritten(tmp_path: Path, ckpt: Path, photo: Path, image_ckpt: Path) -> None:
    source = tmp_path / "room.npz"
    np.savez(source, pos=ROOM["pos"], color=ROOM["color"])
    before = source.read_bytes()
    with pytest.raises(UserError, match="would replace"):
        predict_file(source, ckpt=ckpt, out=tmp_path, progress_bar=False)
    assert source.read_bytes() == before
    same = photo.rename(tmp_path / "photo.png")
    with pytest.raises(UserError, match="would replace"):
        predict_file(same, ckpt=image_ckpt, out=tmp_path, progress_bar=False)


def test_errors_come_before_the_work(
    tmp_path: Path, ckpt: Path, image_ckpt: Path, photo: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing is shown or predicted before an error that is known at the start."""
    (tmp_path / "file").write_text("")
    room, before = tmp_path / "room.npz", tmp_path / "out"
    np.savez(room, pos=ROOM["pos"])
    with pytest.raises(UserError, match=r"file: cannot be created .*Choose another folder"):
        predict_file(room, ckpt=ckpt, out=tmp_path / "file")
    for missing, model in ((tmp_path / "no_such.xyz", ckpt), (tmp_path / "no_such.jpg", image_ckpt)):
        with pytest.raises(UserError, match=r"no_such.*: no such file"):
            predict_file(missing, ckpt=model, out=before)
    for source, model in ((room, ckpt), (photo.rename(tmp_path / "photo.png"), image_ckpt)):
        with pytest.raises(UserError, match="would replace"):
            predict_file(source, ckpt=model, out=tmp_path)
    assert not before.exists()
    assert capfd.readouterr() == ("", "")
    with pytest.raises(UserError, match=r"--margin: -1 is out of range"):
        predict_file(tmp_path / "no_such.xyz", ckpt=ckpt, out=tmp_path, margin=-1, progress_bar=False)


@pytest.mark.parametrize(
    ("kind", "option"),
    [
        ("points", {"flip": True}),
        ("points", {"scales": (0.5,)}),
        ("images", {"up": "y"}),
        ("images", {"margin": 2.0}),
    ],
)
def test_an_option_of_the_other_kind_of_model_is_an_error(
    tmp_path: Path, ckpt: Path, image_ckpt: Path, kind: str, option: dict[str, Any]
) -> None:
    path = ckpt if kind == "points" else image_ckpt
    (name,) = option
    with pytest.raises(
        UserError, match=rf"--{name}: does not apply to .*{kind}\.ckpt, which is an? {kind[:-1]} model"
    ):
        predict_file(tmp_path / "any", ckpt=path, out=tmp_path / "out", **option)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_an_image_model_does_not_accept_a_cloud(tmp_path: Path, image_ckpt: Path) -> None:
    cloud = tmp_path / "room.xyz"
    cloud.write_text("0 0 0\n")
    for source in (cloud, read_cloud(cloud)):
        with pytest.raises(
            UserError, match=r"room\.xyz: a point cloud, but .*images\.ckpt is an image model"
        ):
            predict(source, image_ckpt)
    with pytest.raises(UserError, match=r"no\.jpg: no such file"):
        predict(tmp_path / "no.jpg", image_ckpt)


def test_the_checkpoint_is_read_once(
    tmp_path: Path, ckpt: Path, image_ckpt: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[object] = []
    load = torch.load
    monkeypatch.setattr(torch, "load", lambda path, **options: loads.append(path) or load(path, **options))
    source = tmp_path / "room.ply"
    write_ply(source, dict(zip("xyz", ROOM["pos"].T)))
    main(["predict", str(source), "--ckpt", str(ckpt), "--out", str(tmp_path / "out")])
    main(["predict", str(photo), "--ckpt", str(image_ckpt), "--out", str(tmp_path / "out")])
    assert len(loads) == 2


def test_a_card_without_a_kind_is_recognized_by_its_features(tmp_path: Path, image_ckpt: Path) -> None:
    content = torch.load(image_ckpt, weights_only=True)
    del content[KEY]["kind"]
    torch.save(content, tmp_path / "old.ckpt")
    assert load_checkpoint(tmp_path / "old.ckpt").kind == "images"


def test_the_python_function_writes_nothing(
    tmp_path: Path, ckpt: Path, image_ckpt: Path, photo: Path
) -> None:
    cloud = Cloud(source=tmp_path / "room.ply", pos=ROOM["pos"], color=ROOM["color"])
    points = pcseg.predict(cloud, load_checkpoint(ckpt))
    assert isinstance(points, CloudPrediction)
    assert points.label.shape == points.confidence.shape == (1500,)
    assert points.schema == S3DIS
    pixels = pcseg.predict(str(photo), str(image_ckpt))
    assert isinstance(pixels, ImagePrediction)
    assert pixels.label.shape == pixels.confidence.shape == (48, 64)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photo.jpg"]


def test_an_image_beyond_the_memory_is_refused(image_ckpt: Path) -> None:
    colors = np.broadcast_to(np.zeros(3, np.uint8), (2_000_000, 2_000_000, 3))  # no memory of its own
    with pytest.raises(UserError, match=r"huge\.png: 2000000 x 2000000 pixels need \d+ GiB of memory"):
        predict(Photo(Path("huge.png"), colors), image_ckpt)
