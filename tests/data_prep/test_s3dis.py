"""S3DIS preparation: contents, repairs, skipping, and one clear line for every kind of bad input."""

import os
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers.raw_rooms import LINES, object_text, write_raw_building, write_raw_room

from data_prep import s3dis
from data_prep.releases.s3dis import NUM_ROOMS, RawRoom, find_rooms, missing_rooms
from data_prep.s3dis import prepare
from pcseg.cli import run
from pcseg.data.manifest import MANIFEST_NAME, Manifest
from pcseg.data.scenes import read_scene
from pcseg.errors import UserError
from pcseg.files import atomic_path
from pcseg.labels import S3DIS

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

ROOMS = ("Area_1/hallway_1", "Area_1/office_1", "Area_5/office_1")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_raw_building(tmp_path / "raw", ROOMS)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# ---- contents


def test_room_has_the_objects_in_order(tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["wall_2.txt", "wall_10.txt", "ceiling_1.txt", "stairs_1.txt", "staris_2.txt", "bookcase_1.txt"]
    texts = {name: object_text(seed, num_points=3 + seed) for seed, name in enumerate(names)}
    stray = {"wall_2 (1).txt": texts["wall_2.txt"], ".DS_Store": b"\0\1", "Icon\r": b"", "notes.txt": b"hi"}
    write_raw_room(tmp_path / "raw" / "Area_1" / "office_1", {**texts, **stray})
    prepare(tmp_path / "raw", out, workers=1)

    scene = read_scene(out / "Area_1" / "office_1.h5")
    order = ["bookcase_1.txt", "ceiling_1.txt", "stairs_1.txt", "staris_2.txt", "wall_10.txt", "wall_2.txt"]
    tables = [np.loadtxt(tmp_path / "raw/Area_1/office_1/Annotations" / name) for name in order]
    table, sizes = np.concatenate(tables), [len(table) for table in tables]
    np.testing.assert_array_equal(scene.pos, table[:, :3].astype(np.float32))
    np.testing.assert_array_equal(scene.color, table[:, 3:])
    np.testing.assert_array_equal(scene.instance, np.repeat(np.arange(6), sizes))
    names = ["bookcase", "ceiling", "clutter", "clutter", "wall", "wall"]
    np.testing.assert_array_equal(scene.label, np.repeat([S3DIS.names.index(name) for name in names], sizes))
    assert scene.normal is None
    assert (scene.dataset, scene.name) == ("s3dis", "office_1")

    manifest = Manifest.read(out)
    left_out = ("Area_1/office_1/Annotations/notes.txt", "Area_1/office_1/Annotations/wall_2 (1).txt")
    assert manifest.scenes[0].ignored == left_out
    assert manifest.num_points == len(table)
    assert manifest.class_histogram == tuple(np.bincount(scene.label, minlength=13))
    assert manifest.release == "S3DIS v1.2, aligned"
    assert f"skipped: {left_out[1]}" in capsys.readouterr().out


def test_damage_is_repaired_and_reported(raw: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = raw / "Area_5/office_1/Annotations/wall_1.txt"
    text = file.read_bytes()
    lines = text.splitlines(keepends=True)
    place = sum(map(len, lines[:4])) + lines[4].rindex(b" ")
    file.write_bytes(text[:place] + b"\x00" + text[place + 1 :])
    prepare(raw, out, workers=1)
    (repair,) = next(entry for entry in Manifest.read(out).scenes if entry.split == "Area_5").repairs
    assert (repair.file, repair.line) == ("Area_5/office_1/Annotations/wall_1.txt", 5)
    assert repair.after == lines[4].decode().strip()
    assert repair.before == repair.after[::-1].replace(" ", "\x00", 1)[::-1]
    assert f"repaired: {repair.file} line 5: {repair.before!r} -> {repair.after!r}" in capsys.readouterr().out
    points = read_scene(out / "Area_5/office_1.h5").pos[20:]
    file.write_bytes(text)
    np.testing.assert_array_equal(points, np.loadtxt(file)[:, :3].astype(np.float32))


def test_normals(raw: Path, out: Path) -> None:
    prepare(raw, out, workers=1, normals=True)
    normal = read_scene(out / "Area_5/office_1.h5").normal
    assert normal is not None
    np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1, rtol=1e-5)


def test_generated_building_is_not_called_s3dis(raw: Path, out: Path) -> None:
    (raw / "rooms.json").write_text("{}")
    prepare(raw, out, workers=1)
    assert Manifest.read(out).release == "generated rooms, aligned"


def test_non_aligned_release_and_its_rotation(tmp_path: Path) -> None:
    raw = write_raw_building(tmp_path / "raw", ROOMS, decimals=6)
    for area, text in {"Area_1": "hallway_1 0\noffice_1 90\n", "Area_5": "office_1 30\n"}.items():
        (raw / area / f"{area}_alignmentAngle.txt").write_text("# angles\n# room angle\n" + text)
    prepare(raw, tmp_path / "plain", workers=1)
    prepare(raw, tmp_path / "rotated", workers=1, align=True)
    assert Manifest.read(tmp_path / "plain").release == "S3DIS v1.2, non-aligned"
    assert Manifest.read(tmp_path / "rotated").release == "S3DIS v1.2, non-aligned, rotated"
    for room, degrees in {"Area_1/office_1": 90, "Area_5/office_1": 30}.items():
        annotations = raw / room / "Annotations"
        pos = np.concatenate([np.loadtxt(annotations / f"{name}_1.txt")[:, :3] for name in ("floor", "wall")])
        np.testing.assert_array_equal(
            read_scene(tmp_path / "plain" / f"{room}.h5").pos, pos.astype(np.float32)
        )
        middle = (pos.max(0) + pos.min(0)) / 2
        plane = (pos - middle) @ np.array([1, 1j, 0]) * np.exp(-1j * np.radians(degrees))
        expected = np.c_[plane.real, plane.imag, pos[:, 2] - middle[2]] + middle
        rotated = read_scene(tmp_path / "rotated" / f"{room}.h5").pos
        np.testing.assert_allclose(rotated, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"Area_1_alignmentAngle.txt: no such file"),
        ("#\n#\nlobby_1 30\n", r"Area_1_alignmentAngle.txt has no line for hallway_1"),
        ("#\n#\nhallway_1 east\n", r"line 3: expected '<room> <angle>', got 'hallway_1 east'"),
        ("#\n#\nhallway_1 nan\n", r"line 3: expected '<room> <angle>', got 'hallway_1 nan'"),
    ],
)
def test_rotation_needs_an_angle_for_every_room(
    tmp_path: Path, out: Path, text: str | None, message: str
) -> None:
    raw = write_raw_building(tmp_path / "raw", ROOMS, decimals=6)
    (raw / "Area_5" / "Area_5_alignmentAngle.txt").write_text("#\n#\noffice_1 30\n")
    if text is not None:
        (raw / "Area_1" / "Area_1_alignmentAngle.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        prepare(raw, out, workers=1, align=True)
    assert not out.exists()


def test_aligned_release_is_not_rotated(raw: Path, out: Path) -> None:
    with pytest.raises(UserError, match=r"aligned release already\. Omit --align"):
        prepare(raw, out, workers=1, align=True)


# ---- again


def test_unchanged_rooms_are_skipped(raw: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(raw, out, workers=1)
    first, times = Manifest.read(out), {name: (out / name).stat().st_mtime_ns for name in files_in(out)}
    prepare(raw, out, workers=1)
    assert "0 prepared, 3 unchanged, 0 failed" in capsys.readouterr().out
    assert Manifest.read(out) == first
    del times[MANIFEST_NAME]
    assert {name: (out / name).stat().st_mtime_ns for name in times} == times

    (out / "Area_1/hallway_1.h5").write_bytes(b"cut")
    (out / "Area_1/office_1.h5").unlink()
    with (raw / "Area_5/office_1/Annotations/wall_1.txt").open("ab") as file:
        file.write(LINES)
    prepare(raw, out, workers=1)
    assert "3 prepared, 0 unchanged" in capsys.readouterr().out
    again = Manifest.read(out)
    assert [entry.content == old.content for entry, old in zip(again.scenes, first.scenes)] == [
        True,
        True,
        False,
    ]
    assert again.num_points == first.num_points + 2


def test_areas_are_added_to_a_folder(raw: Path, out: Path) -> None:
    prepare(raw, out, workers=1, areas="Area_5")
    assert files_in(out) == {MANIFEST_NAME, "Area_5/office_1.h5"}
    prepare(raw, out, workers=1, areas=["Area_1"])
    assert [entry.path for entry in Manifest.read(out).scenes] == [f"{room}.h5" for room in ROOMS]
    with pytest.raises(UserError, match=r"has no Area_7\. Choose from Area_1, Area_5"):
        prepare(raw, out, workers=1, areas="Area_1,Area_7")


def test_interrupted_run_resumes(raw: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_room = s3dis.read_room

    def interrupt(room: RawRoom) -> tuple:
        if room.area == "Area_5":
            raise KeyboardInterrupt
        return read_room(room)

    monkeypatch.setattr(s3dis, "read_room", interrupt)
    with pytest.raises(KeyboardInterrupt, match="run the command again to resume"):
        prepare(raw, out, workers=1)
    done = {entry.path for entry in Manifest.read(out).scenes}
    assert done == files_in(out) - {MANIFEST_NAME}
    assert "Area_5/office_1.h5" not in done
    (out / "Area_5").mkdir()
    temporary = get_context("fork").Process(target=die_while_writing, args=(out / "Area_5" / "office_1.h5",))
    temporary.start()
    temporary.join()
    assert files_in(out) - done - {MANIFEST_NAME}
    monkeypatch.setattr(s3dis, "read_room", read_room)
    prepare(raw, out, workers=1)
    assert files_in(out) == {MANIFEST_NAME, *(f"{room}.h5" for room in ROOMS)}


def die_while_writing(path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"half")
        os._exit(1)


def test_another_release_does_not_mix(raw: Path, out: Path, tmp_path: Path) -> None:
    prepare(raw, out, workers=1)
    other = write_raw_building(tmp_path / "other", ROOMS[:1], decimals=6)
    with pytest.raises(UserError, match=r"holds s3dis \(S3DIS v1.2, aligned\), not .*non-aligned"):
        prepare(other, out, workers=1)


# ---- bad rooms


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ({"wall_1.txt": LINES + b"nan 0 0 1 2 3\n"}, "Annotations/wall_1.txt line 3 is not 6 finite numbers"),
        ({"wall_1.txt": LINES + b"0 inf 0 1 2 3\n"}, "Annotations/wall_1.txt line 3 is not 6 finite numbers"),
        ({"wall_1.txt": LINES[:-9]}, "Annotations/wall_1.txt line 2 is not 6 finite numbers"),
        (
            {"wall_1.txt": LINES + b"1 2\x11x 3 4 5 6\n"},
            "Annotations/wall_1.txt line 3 is damaged beyond repair",
        ),
        ({"wall_1.txt": LINES, "door_1.txt": b""}, "Annotations/door_1.txt is empty"),
        ({"wall_1.txt": LINES + b"0 0 0 1 2 256\n"}, "Annotations/wall_1.txt: color of point 3 is"),
        ({"wall_1.txt": b"0 0 0 1 2 3\n"}, "has a single point"),
        ({"wall.txt": LINES}, "has no Annotations/<class>_<n>.txt"),
        ({}, "has no Annotations/<class>_<n>.txt"),
    ],
)
def test_bad_room_fails_alone(
    raw: Path, out: Path, objects: dict[str, bytes], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_raw_room(raw / "Area_1" / "office_2", objects)
    with pytest.raises(UserError, match="1 of 4 rooms could not be prepared"):
        prepare(raw, out, workers=1)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("failed: ")]
    assert len(lines) == 1
    assert lines[0].startswith("failed: Area_1/office_2")
    assert message in lines[0]
    assert files_in(out) == {MANIFEST_NAME, *(f"{room}.h5" for room in ROOMS)}
    assert len(Manifest.read(out).scenes) == 3


def test_room_that_became_bad_leaves_no_scene(raw: Path, out: Path) -> None:
    prepare(raw, out, workers=1)
    (raw / "Area_1/office_1/Annotations/wall_1.txt").write_bytes(b"?\n")
    with pytest.raises(UserError, match="1 of 3 rooms"):
        prepare(raw, out, workers=1)
    assert files_in(out) == {MANIFEST_NAME, "Area_1/hallway_1.h5", "Area_5/office_1.h5"}
    assert len(Manifest.read(out).scenes) == 2


# ---- wrong folders


def test_wrong_folders_are_explained(raw: Path, out: Path, tmp_path: Path) -> None:
    archive, empty, packed = tmp_path / "S3DIS.zip", tmp_path / "empty", tmp_path / "packed"
    archive.write_bytes(b"PK")
    (empty / "Area_1").mkdir(parents=True)
    packed.mkdir()
    (packed / "S3DIS.zip").write_bytes(b"PK")
    cases = {
        tmp_path / "absent": "no such folder. Check the path, and pass the unpacked release",
        archive: "is a file. Unpack it",
        tmp_path: f"Pass {raw}",
        raw / "Area_1": f"Pass {raw}",
        raw / "Area_1" / "office_1" / "Annotations": f"Pass {raw}",
        empty: "has no rooms",
        packed: "Unpack S3DIS.zip",
    }
    for folder, message in cases.items():
        with pytest.raises(UserError) as raised:
            prepare(folder, out, workers=1)
        assert message in str(raised.value)
        assert str(folder) in str(raised.value)
    assert not out.exists()


def test_output_that_is_a_file(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(UserError, match="cannot be created"):
        prepare(raw, tmp_path / "out", workers=1)


# ---- the whole release


def test_incomplete_release_is_noticed(tmp_path: Path) -> None:
    def rooms_of(counts: dict[str, int]) -> list[RawRoom]:
        return [
            RawRoom(area=area, name=f"office_{number}", folder=tmp_path)
            for area, count in counts.items()
            for number in range(count)
        ]

    assert sum(NUM_ROOMS.values()) == 272
    assert missing_rooms(tmp_path, rooms_of(NUM_ROOMS)) == []
    (warning,) = missing_rooms(tmp_path, rooms_of({**NUM_ROOMS, "Area_5": 67}))
    assert warning.startswith("Area_5 has 67 rooms, the release has 68")
    assert len(missing_rooms(tmp_path, rooms_of({"Area_1": 44}))) == 5
    assert missing_rooms(tmp_path, rooms_of({"Area_1": 44}), areas=["Area_1"]) == []
    assert missing_rooms(tmp_path, rooms_of({"Area_1": 3, "Area_2": 4})) == []
    (tmp_path / "rooms.json").write_text("{}")
    assert missing_rooms(tmp_path, rooms_of({"Area_1": 44})) == []


def test_warning_is_shown_and_is_no_error(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = write_raw_building(tmp_path / "Stanford3dDataset_v1.2_Aligned_Version", ROOMS)
    prepare(raw, out, workers=1)
    assert "warning: Area_1 has 2 rooms, the release has 44" in capsys.readouterr().out


def test_hidden_folders_are_no_rooms(raw: Path) -> None:
    (raw / "Area_1" / ".office_9.partial").mkdir()
    (raw / "Area_1" / ".DS_Store").write_bytes(b"")
    assert [room.label for room in find_rooms(raw)[0]] == list(ROOMS)


# ---- the command


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).resolve().parents[2]
    return subprocess.run(
        [sys.executable, "-m", "data_prep.s3dis", *map(str, arguments)],
        cwd=root, env={**os.environ, "COLUMNS": "100"}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.mark.slow
def test_command_with_two_processes(raw: Path, out: Path, tmp_path: Path) -> None:
    prepare(raw, tmp_path / "alone", workers=1, normals=True)
    done = command("--normals", raw, out, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert "3/3 scenes" in done.stdout
    assert "3 prepared, 0 unchanged, 0 failed" in done.stdout
    assert Manifest.read(out) == Manifest.read(tmp_path / "alone")
    for room in ROOMS:
        assert (out / f"{room}.h5").read_bytes() == (tmp_path / "alone" / f"{room}.h5").read_bytes()
        with h5py.File(out / f"{room}.h5") as file:
            assert "normal" in file


@pytest.mark.slow
def test_command_with_a_bad_room(raw: Path, out: Path) -> None:
    (raw / "Area_1/office_1/Annotations/wall_1.txt").write_bytes(LINES + b"1 2 3\n")
    done = command(raw, out, "--workers", 2)
    assert done.returncode == 1
    assert "failed: Area_1/office_1/Annotations/wall_1.txt line 3" in done.stdout
    assert done.stderr.splitlines() == [
        "pcseg: error: 1 of 3 rooms could not be prepared. See the lines above."
    ]
    assert files_in(out) == {MANIFEST_NAME, "Area_1/hallway_1.h5", "Area_5/office_1.h5"}


@pytest.mark.parametrize(
    "wrong", [("--work", 2), ("--workers", 0), ("--workers", "all"), ("--normals", "maybe")]
)
def test_wrong_options_are_a_few_lines(
    raw: Path, out: Path, wrong: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        run(prepare, args=[str(word) for word in (raw, out, *wrong)])
    assert stop.value.code in (1, 2)
    assert len(capsys.readouterr().err.splitlines()) <= 6
    assert not out.exists()


# ---- class names


def test_names_that_s3dis_does_not_have_are_refused_or_mapped(tmp_path: Path, out: Path) -> None:
    raw = write_raw_building(tmp_path / "raw", ROOMS)
    for room in ("Area_1/office_1", "Area_5/office_1"):
        for name in ("lamp_1", "Coffee_Table_1", "Wall_7", "stairs_1"):
            (raw / room / "Annotations" / f"{name}.txt").write_bytes(LINES)
    with pytest.raises(
        UserError, match=r"coffee_table \(2 files\), lamp \(2 files\), such as Area_1/office_1"
    ):
        prepare(raw, out, workers=1)
    with pytest.raises(UserError, match="--classes: 'desk' is not a class"):
        prepare(raw, out, workers=1, classes={"lamp": "desk"})
    with pytest.raises(UserError, match=r"S3DIS has no class lamp \(2 files\)"):
        prepare(raw, out, workers=1, classes={"coffee_table": "table"})
    prepare(raw, out, workers=1, classes={"Lamp": "unlabeled", "coffee_table": "table"})
    scene = read_scene(out / "Area_1" / "office_1.h5")
    found = {S3DIS.names[k] if k >= 0 else None for k in scene.label[np.isin(scene.instance, [0])]}
    assert found == {"table"}  # Coffee_Table_1 is the first file
    assert np.bincount(scene.label + 1).tolist() == [2, 0, 20, 22, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2]
    prepare(raw, out, workers=1, classes={"lamp": "clutter", "coffee_table": "table"})
    assert (read_scene(out / "Area_1" / "office_1.h5").label >= 0).all()


# ---- links and output in the raw folder


def test_linked_areas_and_rooms_are_read_and_each_room_once(raw: Path, out: Path, tmp_path: Path) -> None:
    (raw / "Area_5").rename(tmp_path / "disk")
    (raw / "Area_5").symlink_to(tmp_path / "disk")
    (raw / "Area_1" / "office_1").rename(tmp_path / "room")
    (raw / "Area_1" / "office_1").symlink_to(tmp_path / "room")
    prepare(raw, out, workers=1)
    assert [entry.path for entry in Manifest.read(out).scenes] == [f"{room}.h5" for room in ROOMS]
    (raw / "Area_2").symlink_to(raw / "Area_1")
    with pytest.raises(UserError, match=r"Area_2/hallway_1: the same folder as .*Area_1/hallway_1"):
        prepare(raw, out, workers=1)
    (raw / "Area_2").unlink()
    (raw / "Area_2").symlink_to(tmp_path / "unmounted")
    with pytest.raises(UserError, match="Area_2: broken link"):
        prepare(raw, out, workers=1)


def test_output_in_the_raw_folder_is_not_read(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for out in (raw / "Area_prepared", raw / "Area_1" / "prepared"):
        for _ in range(2):
            prepare(raw, out, workers=1)
        assert [entry.path for entry in Manifest.read(out).scenes] == [f"{room}.h5" for room in ROOMS]
        assert f"warning: {out}: written by pcseg, not taken as data" in capsys.readouterr().out
    with pytest.raises(UserError, match="is the folder of the raw data"):
        prepare(raw, raw, workers=1)
