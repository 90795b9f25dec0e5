"""Damaged files of every kind: each ends in one clear line or a correct read, at once, and leaves nothing behind."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.checkpoints import write_checkpoint
from helpers.cloud_files import GOOD, las, needs_pye57, put, write_e57
from helpers.clouds_on_disk import DESCRIPTION, write_own_folder
from helpers.damage import clear, damaged
from helpers.fakes import fake_room, write_fake_building

from data_prep.folder import make_jobs, prepare_cloud
from data_prep.own.files import find_clouds
from data_prep.own.spec import read_spec
from data_prep.releases.text_points import read_points
from pcseg.checkpoint import load_checkpoint
from pcseg.data.alignment import IDENTITY
from pcseg.data.io.clouds import read_cloud
from pcseg.data.manifest import Manifest
from pcseg.data.predictions import SavedPrediction, read_prediction, write_prediction
from pcseg.data.sample import load_sample
from pcseg.data.scenes import check_scene, read_scene
from pcseg.errors import UserError
from pcseg.labels import S3DIS

ROUNDS = 36
"""Damaged versions of each file."""


def read_prepared(path: Path) -> None:
    scene = read_scene(path)
    check_scene(scene)
    load_sample(scene, name="a/b")


def read_any_cloud(path: Path) -> None:
    cloud = read_cloud(path)
    assert cloud.pos.shape == (len(cloud), 3)
    for array in (cloud.color, cloud.normal):
        assert array is None or array.shape == (len(cloud), 3)
    assert cloud.finite.any()


def read_raw_room(path: Path) -> None:
    points, _ = read_points(path, name=f"Area_1/{path}", dtype=np.float32)
    assert points.ndim == 2
    assert points.shape[1] == 6


def describe(path: Path) -> None:
    find_clouds(read_spec(path))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Callable[[Path], object]]]:
    """A sound file of every kind, and what reads it."""
    folder = tmp_path_factory.mktemp("sound")
    files: dict[str, tuple[Path, Callable[[Path], object]]] = {}
    for case in ("ply ascii", "ply little", "ply big, faces", "ply lists",
         "ply ascii lists", "pcd ascii", "pcd binary", "pcd compressed", "text",
                 "text, header", "npy", "npy records", "npz", "hdf5"):  # fmt: skip
        name, content, *_ = GOOD[case]
        (folder / case).mkdir()
        files[case] = (put(folder / case / name, content), read_any_cloud)
    for kind in (3, 7):
        (folder / f"las {kind}").mkdir()
        files[f"las {kind}"] = (
            put(folder / f"las {kind}" / "a.las", las(kind)),
            read_any_cloud,
        )
        files[f"laz {kind}"] = (
            put(folder / f"las {kind}" / "a.laz", las(kind, compressed=True)),
            read_any_cloud,
        )
    if not needs_pye57.args[0]:
        files["e57"] = (write_e57(folder / "a.e57"), read_any_cloud)
    root = write_fake_building(folder / "prepared", rooms={"Area_1": 1, "Area_5": 1}, num_points=60)
    files["prepared"] = (root / "Area_1" / "office_1.h5", read_prepared)
    files["prepared, as a cloud"] = (root / "Area_5" / "office_1.h5", read_any_cloud)
    files["manifest"] = (root / "manifest.json", lambda path: Manifest.read(path.parent))
    (folder / "ckpt").mkdir()
    files["checkpoint"] = (write_checkpoint(folder / "ckpt" / "a.ckpt", root), load_checkpoint)
    saved = SavedPrediction(
        label=np.zeros(50, np.int16), confidence=np.ones(50, np.float32), schema=S3DIS, source="a", checkpoint="b",
        frame=IDENTITY,
    )  # fmt: skip
    write_prediction(folder / "pred" / "a.npz", saved)
    files["prediction"] = (folder / "pred" / "a.npz", read_prediction)
    (folder / "raw").mkdir()
    room = fake_room(1, num_points=40)
    rows = np.concatenate([room["pos"], room["color"]], axis=1)
    np.savetxt(folder / "raw" / "chair_1.txt", rows, fmt=["%.3f"] * 3 + ["%d"] * 3)
    files["raw room"] = (folder / "raw" / "chair_1.txt", read_raw_room)
    write_own_folder(folder / "own", rooms={"train": 1})
    files["description"] = (folder / "own" / "my_rooms.yaml", describe)
    assert DESCRIPTION in files["description"][0].read_text()
    return files


CASES = ("ply ascii", "ply little", "ply big, faces", "ply lists",
         "ply ascii lists", "pcd ascii", "pcd binary", "pcd compressed", "text",
         "text, header", "npy", "npy records", "npz", "hdf5", "las 3", "las 7", "prepared", "prepared, as a cloud",
         "manifest", "checkpoint", "prediction", "raw room", "description",
         "laz 3", "laz 7",
         pytest.param("e57", marks=needs_pye57))  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_damaged_bytes(case: str, sound: dict, tmp_path: Path) -> None:
    source, reader = sound[case]
    reader(source)
    data = source.read_bytes()
    rng = np.random.default_rng(zlib.crc32(case.encode()))
    path = tmp_path / source.name
    if case == "description":
        (tmp_path / "my_rooms").symlink_to(source.parent / "my_rooms")
    unclear: list[str] = []
    for number in range(ROUNDS if "laz" not in case else ROUNDS // 4):  # each starts a process
        path.write_bytes(damaged(data, rng))
        try:
            reader(path)
        except UserError as error:
            unclear.append(clear(error, path.name))
        left = {p.name for p in tmp_path.iterdir()} - {path.name, "my_rooms"}
        assert not left, f"round {number}: leaves {left}"
    assert not any(unclear), [text for text in unclear if text]
    assert len(unclear) >= 3, "the damage does no harm"


def values(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Arrays of a cloud with one defect: NaN, huge numbers, types, shapes, counts, labels."""
    arrays: dict[str, np.ndarray] = {
        "pos": rng.normal(size=(40, 3)).astype(np.float32),
        "color": rng.integers(0, 256, (40, 3)).astype(np.uint8),
        "label": rng.integers(0, 4, 40),
    }
    name = ("pos", "color", "label")[int(rng.integers(0, 3))]
    array = arrays[name].astype(np.float64)
    kind = rng.integers(0, 8)
    if kind == 0:
        array[int(rng.integers(0, 40))] = np.nan
    elif kind == 1:
        array[int(rng.integers(0, 40))] = [np.inf, -np.inf, 1e300, -1e39, 1e10][int(rng.integers(0, 5))]
    elif kind == 2:
        array = array[: int(rng.integers(0, 40))]
    elif kind == 3:
        return arrays | {name: arrays[name].astype("U4")}
    elif kind == 4:
        return arrays | {name: arrays[name].reshape(-1, 1, 1)}
    elif kind == 5:
        array[:] = [-1e9, 0.5, 77, -3][int(rng.integers(0, 4))]
    elif kind == 6:
        return {key: value for key, value in arrays.items() if key != name}
    else:
        return arrays | {name: arrays[name].astype(["c8", "?", "i1", "f2", "M8[s]"][int(rng.integers(0, 5))])}
    return arrays | {name: array}


@pytest.mark.slow
def test_unusual_values_through_the_preparation_of_own_data(tmp_path: Path) -> None:
    """Reading, labeling, aligning and writing yields a valid scene or none, never a part of one."""
    rng = np.random.default_rng(0)
    (tmp_path / "data" / "train").mkdir(parents=True)
    (tmp_path / "d.yaml").write_text("root: data\nnames: [a, b, c, d]\n")
    out, good, unclear = tmp_path / "out", 0, []
    for number in range(120):
        path = tmp_path / "data" / "train" / "room.npz"
        np.savez(path, **values(rng))  # type: ignore[arg-type]
        spec = read_spec(tmp_path / "d.yaml")
        (job,) = make_jobs(spec, find_clouds(spec)[0], out)
        try:
            prepare_cloud(spec, path, out, job.path, source=job.source)
        except UserError as error:
            unclear.append(clear(error, "room."))
        else:
            check_scene(read_scene(out / job.path))
            good += 1
            (out / job.path).unlink()
        assert not [p for p in out.rglob("*") if p.is_file()], f"round {number}"
    assert not any(unclear), [text for text in unclear if text]
    assert 20 < good < 110


def test_fields_of_a_manifest(tmp_path: Path) -> None:
    """Every value of the manifest in turn is of another type, missing, or too large."""
    root = write_fake_building(tmp_path, rooms={"Area_5": 1}, num_points=10)
    fields, unclear = json.loads((root / "manifest.json").read_text()), []
    for holder in (fields, fields["scenes"][0], fields["schema"]):
        for key in list(holder):
            kept = holder[key]
            for other in (None, "x", -1, [], {}, [[None]], 10**30):
                holder[key] = other
                (root / "manifest.json").write_text(json.dumps(fields))
                try:
                    Manifest.read(root)
                except UserError as error:
                    unclear.append(clear(error, "manifest.json"))
            holder[key] = kept
    assert not any(unclear), [text for text in unclear if text]
