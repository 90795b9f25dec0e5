"""The model that ships with pcseg: released by ``pcseg calibrate``, found by its name, checked, used by default."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.checkpoints import with_context, write_checkpoint
from helpers.fakes import fake_room, write_fake_building
from helpers.models import sample_room

import pcseg
from pcseg import pretrained
from pcseg.checkpoint import load_checkpoint, read_checkpoint
from pcseg.cli import main
from pcseg.data.indoor import COARSE, INDOOR, from_indoor
from pcseg.data.io.clouds import Cloud
from pcseg.data.io.ply import write_ply
from pcseg.errors import UserError
from pcseg.inference.class_sets import with_classes
from pcseg.inference.clouds import predict_cloud
from pcseg.inference.points import POINTS_PER_PASS, PointOptions, predict_scene
from pcseg.labels import S3DIS
from pcseg.metrics.calibration import apply_temperature

ROOM = fake_room(0, num_points=1500)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model of the indoor classes, calibrated and released as ``pretrain.sh`` does."""
    folder = tmp_path_factory.mktemp("released")
    data = write_fake_building(
        folder / "data", rooms={"Area_1": 2, "Area_2": 2, "Area_5": 1}, num_points=1000, schema=INDOOR
    )
    ckpt = write_checkpoint(folder / "a.ckpt", data, schema=INDOOR)
    out = folder / "indoor-small.safetensors"
    main(["calibrate", str(ckpt), str(out), "--splits", "[Area_1, Area_2]", "--progress_bar", "false"])
    return out


@pytest.fixture
def shipped(model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(model_file, tmp_path)
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    return tmp_path / model_file.name


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    return Cloud(source=tmp_path / "room.ply", pos=ROOM["pos"], color=ROOM["color"])


@pytest.mark.slow
def test_the_released_model_is_the_trained_one_in_half_precision(model_file: Path) -> None:
    before, after = read_checkpoint(model_file.with_name("a.ckpt")), read_checkpoint(model_file)
    for name, value in before.content["state_dict"].items():
        found = after.content["state_dict"][name]
        expected = value.half().float() if value.dim() > 1 else value
        assert torch.equal(found, expected)
    assert model_file.stat().st_size < model_file.with_name("a.ckpt").stat().st_size * 0.7
    card = after.card
    assert card.temperature != 1
    assert card.about is not None
    scores = card.about["scores"]["Area_1, Area_2"]
    assert scores["error"] <= scores["error_before"] + 0.01
    assert set(scores["sets"]) == {"indoor", "s3dis", "scannet20", "coarse"}
    text = model_file.with_suffix(".md").read_text()
    for part in (f"Temperature {card.temperature:.3f}", card.manifest_hash, "| coarse |", "Worst classes"):
        assert part in text
    room = sample_room()
    hot, cold = (
        predict_scene(
            load_checkpoint(path).network,
            room,
            grid_size=card.grid_size,
            features=card.features,
            probabilities=True,
        )
        for path in (model_file.with_name("a.ckpt"), model_file)
    )
    assert hot.probability is not None
    assert cold.probability is not None
    np.testing.assert_allclose(
        cold.probability, apply_temperature(hot.probability, card.temperature), atol=0.01
    )


def test_voxels_of_a_pass_follow_from_the_crops_of_training(model_file: Path) -> None:
    """A local head sees the same in passes of any size; one with context sees as much as in training, in windows."""
    model = load_checkpoint(model_file)
    assert PointOptions().most == POINTS_PER_PASS
    crops = replace(model, card=replace(model.card, config=model.card.config | {"data": {"max_voxels": 150}}))
    local = PointOptions().for_model(crops)
    assert (local.points_per_pass, local.blend) == (POINTS_PER_PASS, False)
    far = with_context(crops)
    assert PointOptions().for_model(far) == PointOptions(points_per_pass=300, blend=True)
    assert PointOptions(points_per_pass=50).for_model(far).points_per_pass == 50
    whole = {"max_voxels": 150, "whole_rooms": True}
    rooms = replace(far, card=replace(model.card, config={"data": whole}))
    assert PointOptions().for_model(rooms) == PointOptions(points_per_pass=POINTS_PER_PASS, blend=True)


def test_it_is_used_by_name_and_by_default(
    shipped: Path, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, default = pcseg.predict(cloud, "indoor-small", units="m"), pcseg.predict(cloud, units="m")
    np.testing.assert_array_equal(named.label, default.label)
    (line,) = (remark for remark in default.remarks if remark.startswith("model: "))
    assert line == "model: indoor-small, which ships with pcseg and was trained on generated scans only"
    assert load_checkpoint("indoor-small").path == shipped
    monkeypatch.chdir(shipped.parent)
    write_checkpoint(Path("indoor-small"))  # a file of this name comes first
    assert load_checkpoint("indoor-small").schema.names == S3DIS.names


@pytest.mark.slow
def test_visualize_uses_it_to_color_by_prediction(
    shipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_ply(tmp_path / "room.ply", dict(zip("xyz", ROOM["pos"].T)))
    words = ["--units", "m", "--up", "z", "--png", str(tmp_path / "a.png")]
    main(["visualize", str(tmp_path / "room.ply"), *words, "--by", "prediction"])
    assert (tmp_path / "a.png").is_file()
    shipped.unlink()
    main(["visualize", str(tmp_path / "room.ply"), *words])  # colored by height
    with pytest.raises(SystemExit):
        main(["visualize", str(tmp_path / "room.ply"), *words, "--by", "confidence"])
    assert "Pass --ckpt FILE" in capsys.readouterr().err


def test_missing_and_damaged_models(shipped: Path, cloud: Cloud) -> None:
    data = bytearray(shipped.read_bytes())
    for position in (len(data) - 5, len(data) // 2, 40, 3):
        damaged = data.copy()
        damaged[position] ^= 1
        shipped.write_bytes(damaged)
        with pytest.raises(UserError, match=r"indoor-small\.safetensors: (damaged|not a readable)"):
            load_checkpoint("indoor-small")
    for cut in (0, 7, len(data) - 1):
        shipped.write_bytes(data[:cut])
        with pytest.raises(UserError, match=r"indoor-small\.safetensors: not a readable"):
            load_checkpoint("indoor-small")
    shipped.unlink()
    with pytest.raises(UserError, match=r"has no such model\. Pass --ckpt FILE"):
        pcseg.predict(cloud)
    with pytest.raises(UserError, match="no such checkpoint"):
        load_checkpoint(shipped)


def test_classes_are_sums_of_probabilities(shipped: Path) -> None:
    model, room = load_checkpoint(shipped), sample_room()

    def probability(name: str) -> np.ndarray:
        network = model.network if name == "indoor" else with_classes(model, name).network  # type: ignore[arg-type]
        found = predict_scene(
            network, room, grid_size=model.grid_size, features=model.features, probabilities=True
        )
        assert found.probability is not None
        return found.probability

    fine = probability("indoor")
    for name in ("coarse", "s3dis", "scannet"):
        target = from_indoor("scannet20" if name == "scannet" else name)  # type: ignore[arg-type]
        found = probability(name)
        for k in range(found.shape[1]):
            members = [i for i in range(44) if target[i] == k or (target[i] < 0 and k == found.shape[1] - 1)]
            np.testing.assert_allclose(found[:, k], fine[:, members].sum(axis=1), atol=1e-5)
    np.testing.assert_allclose(probability("indoor"), fine, atol=1e-6)


def test_points_without_a_class(shipped: Path, cloud: Cloud) -> None:
    """Points that the label set does not annotate, or of low confidence, get none."""
    model = load_checkpoint(shipped)
    fine = pcseg.predict(cloud, model, units="m", up="z")
    scannet = pcseg.predict(cloud, model, classes="scannet", units="m", up="z")
    assert scannet.schema.name == "scannet20"
    assert scannet.label.max() < 20
    # where one class has more than half of the probability, sums do not change the choice
    sure = fine.confidence > 0.5
    np.testing.assert_array_equal(scannet.label[sure], from_indoor("scannet20")[fine.label[sure]])
    level = float(np.median(fine.confidence))
    some = predict_cloud(model, cloud, units="m", up="z", min_confidence=level)
    np.testing.assert_array_equal(some.label, np.where(fine.confidence >= level, fine.label, -1))
    np.testing.assert_array_equal(some.confidence, fine.confidence)
    assert any(remark.startswith("confidence below") for remark in some.remarks)
    other = replace(model, schema=COARSE)
    with pytest.raises(UserError, match=r"--classes coarse: .* has the classes of coarse"):
        with_classes(other, "coarse")
