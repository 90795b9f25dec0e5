"""Frames of generated rooms: upright, from free places, in ScanNet's layout, resumable, the same from any worker."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep import frames, rooms
from data_prep.synthetic.plan import plan_area
from pcseg.data.images.scan_frames import RoomFrames
from pcseg.errors import UserError

pytestmark = pytest.mark.slow

pytest.importorskip("open3d")

SMALL = {"frames": 3, "width": 60, "height": 44}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw") / "raw"
    rooms.generate(folder, areas=1, rooms=2, points=1000, workers=1)
    return folder


@pytest.fixture(scope="module")
def taken(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frames") / "frames"
    frames.take_frames(raw, folder, workers=1, **SMALL)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_layout_and_contents(taken: Path) -> None:
    reader = RoomFrames(taken)
    pictures = reader.pictures("Area_1")
    assert len(pictures) == 2 * 3
    assert {picture.group for picture in pictures} == {plan.name for plan in plan_area(0, 1, 2)}
    seen = set()
    for picture in pictures:
        image, label = reader.read(picture)
        assert image.shape == (44, 60, 3)
        assert image.std() > 10, "something is to be seen"
        assert 40 < image.mean() < 220, "well exposed"
        seen |= set(np.unique(label).tolist())
        scene = picture.image.parent.parent
        depth = np.asarray(Image.open(scene / "depth" / f"{picture.image.stem}.png"))
        assert depth.dtype == np.uint16
        assert np.array_equal(depth > 0, label >= 0), "what has no depth has no class"
        assert np.median(depth[depth > 0]) > 800
    assert len(seen - {-1}) > 5


def test_cameras_are_upright_inside_the_room_and_free(taken: Path) -> None:
    from data_prep.synthetic.room_types import build_room

    for plan in plan_area(0, 1, 2):
        room = build_room(plan.build_seed, plan.room_type)
        for path in sorted((taken / "Area_1" / plan.name / "pose").glob("*.txt")):
            pose = np.loadtxt(path)
            np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-5)
            assert np.linalg.det(pose[:3, :3]) > 0
            assert abs(pose[2, 0]) < 1e-5, "no roll: the camera's x axis is level"
            assert pose[2, 1] < 0, "the camera's y axis points down"
            eye = pose[:3, 3] - plan.offset
            assert np.all(eye > 0)
            assert np.all(eye < room.size)
            around = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
            around /= np.linalg.norm(around, axis=1, keepdims=True)
            assert room.cast(eye, around, threads=1).distance.min() > 0.2


def test_intrinsics_match_the_rays_of_the_pixels(taken: Path) -> None:
    """A ray through a pixel meets the surface at the depth that the picture has."""
    from data_prep.synthetic.room_types import build_room

    plan = plan_area(0, 1, 2)[0]
    room, scene = build_room(plan.build_seed, plan.room_type), taken / "Area_1" / plan.name
    matrix, pose = np.loadtxt(scene / "intrinsics_depth.txt"), np.loadtxt(scene / "pose" / "000001.txt")
    depth = np.asarray(Image.open(scene / "depth" / "000001.png")) / 1000
    y, x = np.nonzero(depth)
    rays = np.stack(
        [(x - matrix[0, 2]) / matrix[0, 0], (y - matrix[1, 2]) / matrix[1, 1], np.ones(len(x))], axis=1
    )
    hits = room.cast(pose[:3, 3] - plan.offset, (rays @ pose[:3, :3].T).astype(np.float32), threads=1)
    near = np.abs(hits.distance - depth[y, x]) < 0.002
    assert near.mean() > 0.99, "up to rays along edges"
    assert np.isclose(2 * np.degrees(np.arctan(30 / matrix[0, 0])), 70, atol=0.1)


def test_workers_do_not_matter_and_a_stopped_run_goes_on(raw: Path, taken: Path, tmp_path: Path) -> None:
    out = tmp_path / "frames"
    frames.take_frames(raw, out, workers=2, **SMALL)
    assert files(out) == files(taken)
    last = out / "Area_1" / plan_area(0, 1, 2)[1].name
    partial = last.with_name(f".{last.name}.partial")
    last.rename(partial)  # as a run that was killed leaves it
    frames.take_frames(raw, out, workers=1, **SMALL)
    assert files(out) == files(taken)
    assert not partial.exists()


def test_unsuitable_folders_are_refused(raw: Path, taken: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"rooms\.json: no such file"):
        frames.take_frames(tmp_path, tmp_path / "out")
    with pytest.raises(UserError, match="the frames here have other settings"):
        frames.take_frames(raw, taken, **SMALL | {"frames": 4})
    with pytest.raises(UserError, match="holds other files"):
        frames.take_frames(raw, raw / "Area_1")
    with pytest.raises(UserError, match=r"--field_of_view: 200\.0"):
        frames.take_frames(raw, tmp_path / "out", field_of_view=200.0)
    other = tmp_path / "raw"
    other.mkdir()
    note = json.loads((raw / "rooms.json").read_text())
    (other / "rooms.json").write_text(json.dumps(note))
    with pytest.raises(UserError, match="holds no rooms"):
        frames.take_frames(other, tmp_path / "out")
    (other / "Area_1" / "ballroom_1").mkdir(parents=True)
    with pytest.raises(UserError, match=r"rooms do not match rooms\.json"):
        frames.take_frames(other, tmp_path / "out")
    (other / "rooms.json").write_text(json.dumps(note | {"generator": 0}))
    with pytest.raises(UserError, match="rooms of generator version 0"):
        frames.take_frames(other, tmp_path / "out")
