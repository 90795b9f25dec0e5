"""The command that writes generated rooms: same bytes, right layout, resumable, damage on demand."""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("open3d")

from data_prep import rooms
from data_prep.rooms import generate
from data_prep.synthetic.plan import plan_area
from pcseg.errors import UserError
from pcseg.labels import S3DIS

POINTS = 6000


def small(out: Path, *, workers: int = 1, **options) -> Path:
    options = {"areas": 1, "rooms": 4, "points": POINTS, "seed": 3} | options
    generate(out, workers=workers, **options)
    return out


def hashes(folder: Path, *, pattern: str = "**/*.txt") -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.glob(pattern))
        if file.is_file()
    }


def lines(folder: Path) -> np.ndarray:
    return np.concatenate([np.loadtxt(file, ndmin=2) for file in sorted(folder.glob("*.txt"))])


@pytest.fixture(scope="module")
def building(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small(tmp_path_factory.mktemp("building") / "raw")


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small(tmp_path_factory.mktemp("damaged") / "raw", damage=True)


def room_folders(building: Path) -> Iterator[Path]:
    return (path for path in sorted(building.glob("Area_*/*")) if path.is_dir())


@pytest.mark.slow
def test_lines_have_three_decimals_and_integer_colors(building: Path) -> None:
    line = re.compile(rb"(-?\d+\.\d{3} ){3}\d{1,3} \d{1,3} \d{1,3}")
    for file in sorted(building.glob("Area_1/*/Annotations/*.txt")):
        content = file.read_bytes()
        assert content.endswith(b"\n")
        assert all(line.fullmatch(text) for text in content.splitlines()), file


def test_a_room_file_holds_the_points_of_its_objects_in_another_order(building: Path) -> None:
    for folder in room_folders(building):
        room, objects = lines(folder), lines(folder / "Annotations")
        assert room.shape == (POINTS, 6)
        assert not np.array_equal(room, objects)
        order = [array[np.lexsort(array.T)] for array in (room, objects)]
        np.testing.assert_array_equal(*order)
        assert room[:, 3:].min() >= 0
        assert room[:, 3:].max() <= 255


def test_objects_are_numbered_from_one_in_each_class(building: Path) -> None:
    for folder in room_folders(building):
        numbers: dict[str, list[int]] = {}
        for file in (folder / "Annotations").glob("*.txt"):
            label, number = file.stem.rsplit("_", 1)
            numbers.setdefault(label, []).append(int(number))
        assert {"floor", "ceiling", "wall", "door"} <= set(numbers) <= set(S3DIS.names)
        assert all(sorted(found) == list(range(1, len(found) + 1)) for found in numbers.values())
        assert len(numbers["wall"]) >= 4


def test_an_area_of_four_rooms_has_points_of_every_class(building: Path) -> None:
    found = {file.stem.rsplit("_", 1)[0] for file in building.glob("Area_1/*/Annotations/*.txt")}
    assert found == set(S3DIS.names)


def test_rooms_of_an_area_lie_apart(building: Path) -> None:
    boxes = [
        (points[:, :2].min(axis=0), points[:, :2].max(axis=0))
        for points in map(lines, room_folders(building))
    ]
    for k, (low, high) in enumerate(boxes):
        for other_low, other_high in boxes[:k]:
            assert (low > other_high).any() or (other_low > high).any()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2, 11])
def test_the_first_four_rooms_of_an_area_have_every_class(seed: int) -> None:
    from data_prep.synthetic.room_types import build_room

    for area in (1, 5):
        labels = {
            label
            for plan in plan_area(seed, area, 4)
            for label in build_room(plan.build_seed, plan.room_type).labels
        }
        assert labels == set(S3DIS.names)


def test_more_rooms_leave_the_first_ones_as_they_are() -> None:
    assert plan_area(5, 2, 20)[:7] == plan_area(5, 2, 7)
    assert len({plan.name for plan in plan_area(5, 2, 40)}) == 40


@pytest.mark.slow
def test_same_bytes_for_any_number_of_workers_and_after_a_kill(building: Path, tmp_path: Path) -> None:
    # what a killed run leaves: complete rooms, a room half-written, no file of a room it had not begun
    out = shutil.copytree(building, tmp_path / "raw")
    first, second, third, _ = room_folders(out)
    complete = first.stat().st_mtime_ns
    (second / "Annotations" / "floor_1.txt").write_text("half a li")
    second.rename(second.with_name(f".{second.name}.partial"))
    shutil.rmtree(third)
    small(out, workers=2)
    assert hashes(out) == hashes(building)
    assert first.stat().st_mtime_ns == complete
    assert not list(out.glob("**/.*"))


def test_another_seed_gives_other_rooms(building: Path, tmp_path: Path) -> None:
    other = small(tmp_path / "raw", rooms=1, seed=4)
    assert not set(hashes(other).values()) & set(hashes(building).values())


def test_other_settings_in_the_same_folder_are_an_error(building: Path) -> None:
    with pytest.raises(UserError, match=r"rooms.json: the rooms here have other settings"):
        small(building, points=POINTS + 1)


def test_a_folder_of_something_else_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match="holds other files"):
        small(tmp_path)
    with pytest.raises(UserError, match="cannot be created"):
        small(tmp_path / "thesis.tex" / "raw")
    with pytest.raises(UserError, match="--points 3"):
        small(tmp_path / "raw", points=3)


def test_non_aligned_rooms_are_the_aligned_ones_turned(building: Path, tmp_path: Path) -> None:
    turned = small(tmp_path / "raw", layout="nonaligned", rooms=1, yaw=30)
    angles = (turned / "Area_1" / "Area_1_alignmentAngle.txt").read_text().splitlines()
    (folder,) = room_folders(turned)
    assert angles[2:] == [f"{folder.name} 30"]
    text = (folder / "Annotations" / "floor_1.txt").read_text().splitlines()
    assert all(re.fullmatch(r"(-?\d+\.\d{6} ){3}(\d+\.000000 ?){3}", line) for line in text)
    points, straight = lines(folder / "Annotations"), lines(building / "Area_1" / folder.name / "Annotations")
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    np.testing.assert_allclose(points[:, :2], straight[:, :2] @ [[c, s], [-s, c]], atol=2e-3)
    np.testing.assert_array_equal(points[:, 3:], straight[:, 3:])


def test_areas_are_rotated_by_quarter_turns_by_default(tmp_path: Path) -> None:
    angles = {
        rooms.Settings(seed=0, points=1, layout="nonaligned", yaw=None, damage=False).turn(area)
        for area in range(12)
    }
    assert angles == {0, 90, 180, 270}
    assert rooms.Settings(seed=0, points=1, layout="aligned", yaw=None, damage=False).turn(1) == 0


@pytest.mark.slow
def test_damage_is_there_when_asked_for(building: Path, damaged: Path) -> None:
    names = {file.name for file in damaged.glob("**/*")} | {file.name for file in damaged.glob("**/.*")}
    assert {"wall_3 (1).txt", "stairs_1.txt", "staris_1.txt", ".DS_Store", "Icon\r"} <= names
    (misnamed,) = [folder for folder in room_folders(damaged) if not (folder / f"{folder.name}.txt").exists()]
    assert len(list(misnamed.glob("*.txt"))) == 1
    bad = {}
    for file in damaged.glob("**/*.txt"):
        found = set(file.read_bytes()) & set(range(0x20)) - {0x0A}
        if found:
            bad[file.parent.name == "Annotations"] = bad.get(file.parent.name == "Annotations", set()) | found
    assert bad == {True: {0x00}, False: {0x10, 0x16}}


def test_no_damage_unless_asked_for(building: Path) -> None:
    names = {file.name for file in building.glob("**/*")} | {file.name for file in building.glob("**/.*")}
    assert all(re.fullmatch(r"Area_1|rooms.json|Annotations|\w+_\d+(\.txt)?", name) for name in names)
    for file in building.glob("**/*.txt"):
        assert not set(file.read_bytes()) - set(b"0123456789.- \n")


def test_setting_bit_0x20_repairs_every_damaged_byte(building: Path, damaged: Path) -> None:
    repair = bytes(c | 0x20 if c < 0x20 and c != 0x0A else c for c in range(256))
    whole = set(hashes(building).values())
    for file in damaged.glob("**/*.txt"):
        assert hashlib.sha256(file.read_bytes().translate(repair)).hexdigest() in whole, file


def test_settings_are_written_beside_the_rooms(building: Path) -> None:
    note = json.loads((building / rooms.SETTINGS).read_text())
    assert note["seed"] == 3
    assert note["points"] == POINTS
