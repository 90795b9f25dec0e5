"""Flipped bits in prepared folders are noticed by training, evaluation and ``pcseg check --verify``."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.checkpoints import write_checkpoint
from helpers.damage import clear
from helpers.fakes import write_fake_building

from data_prep.check import check
from pcseg.data.manifest import MANIFEST_NAME, Manifest, verified_scene
from pcseg.data.room_data import RoomData
from pcseg.errors import UserError
from pcseg.evaluation.evaluate import evaluate


@pytest.fixture
def building(tmp_path: Path) -> Path:
    return write_fake_building(tmp_path / "rooms", num_points=60)


def flip(path: Path, whole: bytes, spot: int) -> None:
    damaged = bytearray(whole)
    damaged[spot // 8] ^= 1 << spot % 8
    path.write_bytes(damaged)


@pytest.mark.slow
def test_every_flipped_bit_of_a_scene_is_noticed(building: Path) -> None:
    manifest = Manifest.read(building)
    path = building / manifest.scenes[0].path
    whole = path.read_bytes()
    for spot in np.random.default_rng(0).integers(0, 8 * len(whole), 200).tolist():
        flip(path, whole, spot)
        with pytest.raises(UserError) as error:
            verified_scene(building, manifest.scenes[0], manifest.schema)
        assert not clear(error.value, "office_1.h5")
    path.write_bytes(whole)
    verified_scene(building, manifest.scenes[0], manifest.schema)


def test_every_flipped_bit_of_a_manifest_is_noticed(building: Path) -> None:
    path = building / MANIFEST_NAME
    whole = path.read_bytes()
    for spot in np.random.default_rng(0).integers(0, 8 * len(whole), 300).tolist():
        flip(path, whole, spot)
        with pytest.raises(UserError) as error:
            Manifest.read(building)
        assert not clear(error.value, MANIFEST_NAME)


def test_shifted_labels_are_neither_trained_nor_scored_nor_overlooked(building: Path, tmp_path: Path) -> None:
    ckpt = write_checkpoint(tmp_path / "best.ckpt", building)
    data = RoomData(building, grid_size=0.2, batch_size=1, val_fraction=0.4)
    assert check([building], verify=True) == [f"{building}: all 5 scenes have the content that was prepared"]
    for name in ("Area_1/office_1.h5", "Area_1/office_2.h5", "Area_1/office_3.h5", "Area_5/office_1.h5"):
        path = building / name
        whole = path.read_bytes()
        label = verified_scene(building, next(e for e in data.manifest.scenes if e.path == name)).label
        begin = whole.index(label.tobytes())
        shifted = (label + (label == 0)).tobytes()
        path.write_bytes(whole[:begin] + shifted + whole[begin + len(shifted) :])
    with pytest.raises(UserError, match="damaged or changed"):
        list(data.train_dataloader())
    with pytest.raises(UserError, match=r"Area_5/office_1\.h5: damaged or changed"):
        evaluate(ckpt=ckpt, out=tmp_path / "scores", splits=["Area_5"], progress_bar=False)
    assert not (tmp_path / "scores").exists()
    with pytest.raises(UserError, match=r"4 of 5 scenes are damaged"):
        check([building], verify=True)


def test_reversed_class_names_are_refused(building: Path) -> None:
    path = building / MANIFEST_NAME
    fields = json.loads(path.read_text())
    fields["schema"]["names"].reverse()
    del fields["checksum"]
    path.write_text(json.dumps(fields))
    data = RoomData(building, grid_size=0.2, batch_size=1)
    with pytest.raises(UserError, match="label schemas differ"):
        list(data.train_dataloader())


def test_damaged_predictions_are_predicted_again(building: Path, tmp_path: Path) -> None:
    ckpt = write_checkpoint(tmp_path / "best.ckpt", building)
    options = {"ckpt": ckpt, "out": tmp_path / "scores", "splits": ["Area_5"], "progress_bar": False}
    first = evaluate(**options)
    paths = sorted((tmp_path / "scores").rglob("*.npz"))
    wholes = [path.read_bytes() for path in paths]
    paths[0].write_bytes(wholes[0][:-30])
    flip(paths[1], wholes[1], 4 * len(wholes[1]))
    assert evaluate(**options).as_dict() == first.as_dict()
    assert [path.read_bytes() for path in paths] == wholes
    paths[0].write_bytes(wholes[1])  # of another scene
    assert evaluate(**options).as_dict() == first.as_dict()
