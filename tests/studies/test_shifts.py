"""Shifts change what they state; rows are kept; subsets of rooms hold the rooms that are asked for."""

import json
from pathlib import Path

import numpy as np
import pytest
from fine_tuning import _subset
from helpers.checkpoints import write_checkpoint
from helpers.fakes import write_fake_building
from helpers.models import sample_room
from studies.shifts import SHIFTS, shifts

from pcseg.checkpoint import LoadedModel, load_checkpoint
from pcseg.data.manifest import Manifest, verified_scene
from pcseg.labels import S3DIS


@pytest.fixture(scope="module")
def building(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_building(tmp_path_factory.mktemp("rooms"), num_points=500)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, building: Path) -> LoadedModel:
    return load_checkpoint(write_checkpoint(tmp_path_factory.mktemp("ckpt") / "a.ckpt", building))


def test_shifts_change_what_they_state(model: LoadedModel) -> None:
    room = sample_room()
    found = {name: change(room, model, np.random.default_rng(0)) for name, (change, _, _) in SHIFTS.items()}
    assert found["none"] is room
    horizontal = room.pos[:, :2].astype(np.float64) @ [1, 1j]
    turned = found["yaw 30°"].pos[:, :2].astype(np.float64) @ [1, 1j]
    np.testing.assert_allclose(turned, horizontal * np.exp(1j * np.pi / 6), atol=1e-5)
    strays = found["ground 3 m off"]
    assert (
        np.count_nonzero(strays.pos[:, 2] < -1)
        == strays.num_points - room.num_points
        == room.num_points // 50
    )
    assert (strays.label[room.num_points :] == -1).all()
    np.testing.assert_allclose(found["exposure x1.6"].color, np.minimum(1.6 * room.color, 255), rtol=1e-5)
    floor = found["tilt 3°"].pos[room.label == S3DIS.names.index("floor")].astype(np.float64)
    normal = np.linalg.svd(floor - floor.mean(axis=0), full_matrices=False)[2][2]
    assert np.degrees(np.arccos(abs(normal[2]))) == pytest.approx(3, abs=0.1)
    assert np.std(found["noise 20 mm"].pos - room.pos) == pytest.approx(0.02, rel=0.05)
    cells = np.floor(found["spacing 10 cm"].pos.astype(np.float64) / 0.1)
    assert len(np.unique(cells, axis=0)) == len(cells) < room.num_points
    assert (found["no ceiling"].label != S3DIS.names.index("ceiling")).all()
    assert found["no ceiling"].num_points == np.count_nonzero(room.label != S3DIS.names.index("ceiling"))
    assert (found["no color"].color == np.float32(model.card.missing_fields["color"])).all()


def test_rows_are_kept(model: LoadedModel, tmp_path: Path) -> None:
    names = ["none", "no color"]
    table = shifts(model.path, out=tmp_path / "out", names=names, report=tmp_path / "shifts.md")
    assert (tmp_path / "shifts.md").read_text().endswith(table)
    (path,) = (tmp_path / "out").glob("*/none.json")
    path.write_text(json.dumps({"accuracy": 1.0, "miou": 0.5}))
    assert "| none | 100.0 | 50.0 |" in shifts(model.path, out=tmp_path / "out", names=names)


def test_a_subset_of_rooms(building: Path, tmp_path: Path) -> None:
    folder = _subset(building, ["Area_1/office_2", "Area_5/office_1"], tmp_path / "some")
    scenes = Manifest.read(folder).scenes
    assert [entry.path for entry in scenes] == ["Area_1/office_2.h5", "Area_5/office_1.h5"]
    for entry in scenes:
        np.testing.assert_array_equal(verified_scene(folder, entry).pos, verified_scene(building, entry).pos)
