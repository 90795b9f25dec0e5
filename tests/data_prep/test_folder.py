"""Own data: descriptions, what becomes of files in several formats, and what is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.clouds_on_disk import DESCRIPTION, NAMES, own_room, write_own_folder, write_own_h5, write_own_ply

from data_prep.folder import object_numbers, prepare
from data_prep.own.files import find_clouds, matches
from data_prep.own.spec import read_spec
from pcseg.cli import main
from pcseg.data.io.clouds import read_cloud
from pcseg.data.manifest import Manifest
from pcseg.data.scenes import check_scene, read_scene
from pcseg.errors import UserError
from pcseg.inference.clouds import CloudPrediction


def describe(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_folder_of_clouds_becomes_a_prepared_folder(tmp_path: Path) -> None:
    yaml = write_own_folder(tmp_path)
    prepare(yaml, tmp_path / "out", workers=1)
    manifest = Manifest.read(tmp_path / "out")
    assert manifest.splits == ("test", "train")
    assert [entry.path for entry in manifest.scenes] == [
        "test/room_0.h5", "train/room_0.h5", "train/room_1.h5", "train/room_2.h5",
    ]  # fmt: skip
    assert manifest.schema.names == NAMES
    room, scene = own_room(1), read_scene(tmp_path / "out" / "train" / "room_1.h5")
    check_scene(scene)
    np.testing.assert_array_equal(scene.pos, room["pos"])
    np.testing.assert_array_equal(scene.color, room["color"])
    np.testing.assert_array_equal(scene.label, room["label"])
    np.testing.assert_array_equal(scene.instance, room["instance"])  # 0..3, in order already
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.h5")}
    write_own_ply(tmp_path / "my_rooms" / "train" / "room_2.ply", own_room(77))
    prepare(yaml, tmp_path / "out", workers=1)
    changed = [path.name for path, time in before.items() if path.stat().st_mtime_ns != time]
    assert changed == ["room_2.h5"]


def test_a_file_is_in_one_split_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    yaml = write_own_folder(tmp_path)
    out, rooms = tmp_path / "out", tmp_path / "my_rooms"
    prepare(yaml, out, workers=1)
    (rooms / "train" / "room_2.ply").rename(rooms / "test" / "room_2.ply")
    (rooms / "train" / "room_1.ply").unlink()
    prepare(yaml, out, workers=1)
    assert [entry.path for entry in Manifest.read(out).scenes] == [
        "test/room_0.h5", "test/room_2.h5", "train/room_0.h5",
    ]  # fmt: skip
    reported = capsys.readouterr().out
    assert f"no longer part of the data: {out / 'train' / 'room_1.h5'}" in reported
    assert f"no longer part of the data: {out / 'train' / 'room_2.h5'}" in reported
    assert "1 prepared, 2 unchanged, 0 failed" in reported


def test_other_names_units_axes_and_numbers(tmp_path: Path) -> None:
    room = own_room(3)
    raw = room | {"label": np.array([7, 3, 40, 255])[room["label"]]}
    folder = tmp_path / "data"
    turned = raw | {"pos": room["pos"][:, [0, 2, 1]] * [1000, 1000, -1000]}  # millimeters, y up
    write_own_h5(folder / "a" / "deep" / "one.h5", turned)
    np.savez(folder / "two.npz", xyz=turned["pos"], gt=turned["label"])
    yaml = describe(tmp_path / "d.yaml", """
root: data
split: {train: "a/**/*.h5", test: ["*.npz"]}
names: {40: wall, 7: floor, 3: ceiling}
colors: {wall: [1, 2, 3], floor: [4, 5, 6], ceiling: [7, 8, 9]}
ignore: 255
fields: {label: GT}
units: mm
up: y
""")  # fmt: skip
    prepare(yaml, tmp_path / "out", workers=1)
    manifest = Manifest.read(tmp_path / "out")
    assert (manifest.dataset, manifest.schema.names) == ("d", ("wall", "floor", "ceiling"))
    assert manifest.schema.colors[0] == (1, 2, 3)
    one = read_scene(tmp_path / "out" / "train" / "a_deep_one.h5")
    np.testing.assert_allclose(one.pos, room["pos"], atol=1e-5)
    np.testing.assert_array_equal(one.label, np.array([1, 2, 0, -1])[room["label"]])
    assert (one.instance == -1).all()
    two = read_scene(tmp_path / "out" / "test" / "two.h5")
    np.testing.assert_array_equal(two.label, one.label)
    assert (two.color == 127).all()


def test_whole_fields_under_own_names(tmp_path: Path) -> None:
    write_own_h5(tmp_path / "data" / "train" / "a.h5", own_room(3))
    np.savez(tmp_path / "data" / "train" / "b.npz", P=np.eye(3), Q=np.eye(3), coords=np.eye(3), gt=[0, 0, 1])
    yaml = describe(
        tmp_path / "d.yaml", "root: data\nnames: [a, b, c, d]\nfields: {pos: coords, label: gt}\n"
    )
    prepare(yaml, tmp_path / "out", workers=1, normals=True)
    scene = read_scene(tmp_path / "out" / "train" / "a.h5")
    np.testing.assert_array_equal(scene.pos, own_room(3)["pos"])
    assert scene.normal is not None
    assert read_scene(tmp_path / "out" / "train" / "b.h5").num_points == 3


def test_points_without_coordinates_are_dropped_and_reported(tmp_path: Path) -> None:
    yaml = write_own_folder(tmp_path, rooms={"train": 1})
    room = own_room(5)
    room["pos"][7] = np.nan
    write_own_ply(tmp_path / "my_rooms" / "train" / "room_0.ply", room)
    prepare(yaml, tmp_path / "out", workers=1)
    (entry,) = Manifest.read(tmp_path / "out").scenes
    assert entry.num_points == 1499
    assert entry.ignored == ("room_0.ply: 1 points without a position",)
    scene = read_scene(tmp_path / "out" / "train" / "room_0.h5")
    np.testing.assert_array_equal(scene.label, np.delete(room["label"], 7))


def test_a_file_that_fails_is_named_and_the_others_are_prepared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    yaml = write_own_folder(tmp_path)
    unknown = own_room(5)
    unknown["label"][:3] = [9, 9, 12]
    bad = write_own_ply(tmp_path / "my_rooms" / "train" / "room_0.ply", unknown)
    write_own_ply(tmp_path / "my_rooms" / "train" / "room_1.ply", own_room(1), label="scalar_kind")
    with pytest.raises(UserError, match="2 of 4 files could not be prepared"):
        prepare(yaml, tmp_path / "out", workers=1)
    reported = capsys.readouterr().out
    assert (
        f"{bad}: label 9 (2 points), 12 (1 points) is not a class of {yaml}. Add it to names or ignore."
        in reported
    )
    assert "room_1.ply: no label column (columns: x, y, z, red, green, blue, kind, object_id)" in reported
    assert len(Manifest.read(tmp_path / "out").scenes) == 2


def test_objects_are_numbered() -> None:
    assert object_numbers(np.array([7.0, -1, 7, np.nan, 3])).tolist() == [1, -1, 1, -1, 0]


BAD = {
    "no yaml": ("a: [", "not YAML"),
    "nothing": ("", "holds no keys"),
    "unknown key": (DESCRIPTION + "clases: 3\n", "key 'clases' is unknown"),
    "no root": ("names: [a, b]", "key 'root' is missing"),
    "no names": ("root: my_rooms", "key 'names' is missing"),
    "other root": ("root: elsewhere\nnames: [a, b]", "is not a directory"),
    "names": ("root: my_rooms\nnames: abc", "names are invalid"),
    "twice": ("root: my_rooms\nnames: [a, a]", "two or more different classes"),
    "number": ("root: my_rooms\nnames: {x: a, y: b}", "'x' is not an integer"),
    "colors": (DESCRIPTION + "colors: [[1, 2, 3]]\n", "one [r, g, b]"),
    "number twice": ("root: my_rooms\nnames: {0: a, 1: b, 1: c}", "line 2: 1 is given twice"),
    "number twice, other text": ("root: my_rooms\nnames: {0: a, 1: b, +1: c}", "names: 1 is given twice"),
    "octal": ("root: my_rooms\nnames: {0: a, 010: b}", "'010' is not an integer"),
    "empty name": ("root: my_rooms\nnames: [a, ~]", "in quotes"),
    "key twice": (DESCRIPTION + "root: other\n", "root is given twice"),
    "nested key twice": (DESCRIPTION + "fields:\n  label: a\n  label: b\n", "label is given twice"),
    "ignored class": (DESCRIPTION.replace("[255]", "[255, 2]"), "2 is both in names and in ignore"),
    "dark colors": (DESCRIPTION + "colors: [[1, 2, 3], [1, 2, 3], [1, 2, 3], [1, 2, 300]]\n", "in 0..255"),
    "ragged colors": (DESCRIPTION + "colors: [[1, 2, 3], [1, 2], 3, 4]\n", "one [r, g, b]"),
    "ignore": (DESCRIPTION.replace("[255]", "[none]"), "'none' is not an integer"),
    "units": (DESCRIPTION + "units: yards\n", "units: 'yards' is unknown"),
    "up": (DESCRIPTION + "up: w\n", "Choose from x, y, z"),
    "split": (DESCRIPTION + "split: [a]\n", "split is invalid"),
    "absolute": (DESCRIPTION + "split: {a: [/tmp/*]}\n", "relative to root"),
    "nested split": (DESCRIPTION + "split: {../a: ['*']}\n", "name of a folder"),
    "empty split": (DESCRIPTION + "split: {train: ['*.las']}\n", "matches *.las"),
    "pattern": (DESCRIPTION + "split: {a: ['**.ply']}\n", "split 'a':"),
    "overlap": (DESCRIPTION + "split: {a: ['**/*.ply'], b: ['train/*']}\n", "is in 'a' and 'b'"),
    "fields": (DESCRIPTION + "fields: [a]\n", "fields are invalid"),
    "unknown field": (DESCRIPTION + "fields: {height: z}\n", "fields.height is unknown"),
    "two columns": (DESCRIPTION + "fields: {color: [r, g]}\n", "fields.color is invalid. Give three columns"),
}


@pytest.mark.parametrize("case", BAD)
def test_descriptions_that_mean_nothing(tmp_path: Path, case: str) -> None:
    yaml = write_own_folder(tmp_path)
    text, message = BAD[case]
    yaml.write_text(text)
    with pytest.raises(UserError) as caught:
        find_clouds(read_spec(yaml))
    reported = str(caught.value)
    assert message in reported
    assert "my_rooms" in reported
    assert "\n" not in reported


def test_files_of_file_managers_are_no_clouds(tmp_path: Path) -> None:
    spec = read_spec(write_own_folder(tmp_path))
    found = find_clouds(spec)
    (spec.root / "train" / "._room_0.ply").write_bytes(b"\0\5\x16\7")
    (spec.root / ".Trash").mkdir()
    (spec.root / ".Trash" / "old.ply").write_bytes(b"ply")
    assert find_clouds(spec) == found


def test_labels_that_are_no_classes(tmp_path: Path) -> None:
    spec = read_spec(write_own_folder(tmp_path))
    assert spec.label_table(np.array([3.0, 255, -1, 0]), source=tmp_path).tolist() == [3, -1, -1, 0]
    assert spec.label_table(np.array([np.nan, 0, 2, np.nan]), source=tmp_path).tolist() == [-1, 0, 2, -1]
    with pytest.raises(UserError, match=r"label 7 \(1 points\) is not a class of .*my_rooms\.yaml"):
        spec.label_table(np.array([np.nan, 0, 7, np.nan]), source=tmp_path)


def test_labels_may_be_words(tmp_path: Path) -> None:
    spec = read_spec(write_own_folder(tmp_path))
    for kind in (str, bytes, object):
        words = np.array(["Table", "floor", "", "255", "2", "nan", " wall "]).astype(kind)
        assert spec.label_table(words, source=tmp_path).tolist() == [3, 0, -1, -1, 2, -1, 2]
    with pytest.raises(UserError, match="label chair is not a class"):
        spec.label_table(np.array(["chair", "table"]), source=tmp_path)


def test_names_are_taken_as_written(tmp_path: Path) -> None:
    """YAML 1.1 reads these as truth values, numbers and dates; a class has the name that the file shows."""
    names = [
        "no",
        "on",
        "010",
        "1e3",
        "0x1F",
        "2024-01-01",
        "1_000",
        "12:30",
        "~",
        "null",
        ".inf",
        "y",
        "Off",
        "<<",
    ]
    quoted = [f'"{name}"' if name in ("~", "null") else name for name in names]
    root = write_own_folder(tmp_path).parent / "my_rooms"
    for text in (
        f"[{', '.join(quoted)}]",
        "{" + ", ".join(f"{7 * k}: {q}" for k, q in enumerate(quoted)) + "}",
    ):
        for encoding in ("utf-8", "utf-8-sig", "utf-16"):
            path = tmp_path / "a.yaml"
            path.write_bytes(f"name: 010\nroot: {root}\nnames: {text}\nunits:\n".encode(encoding))
            spec = read_spec(path)
            assert (spec.schema.names, spec.name, spec.units) == (tuple(names), "010", "auto")
        assert spec.values[:3] in ((0, 1, 2), (0, 7, 14))


def test_files_without_a_place(tmp_path: Path) -> None:
    yaml = write_own_folder(tmp_path)
    write_own_ply(tmp_path / "my_rooms" / "loose.ply", own_room(1))
    with pytest.raises(UserError, match=r"loose\.ply is not in a subfolder"):
        find_clouds(read_spec(yaml))
    (tmp_path / "my_rooms" / "loose.ply").unlink()
    np.savez(tmp_path / "my_rooms" / "train" / "room_1.npz", pos=np.eye(3))
    with pytest.raises(UserError, match=r"scene name train/room_1\.h5"):
        prepare(yaml, tmp_path / "out")
    spec = read_spec(describe(yaml, DESCRIPTION + "fields: {label: kind}\n"))
    with pytest.raises(UserError, match=r"no column 'kind' .*fields\.label"):
        spec.renamed({"x": np.zeros(1)}, source=yaml)
    with pytest.raises(UserError, match="no such file"):
        read_spec(tmp_path / "none.yaml")


# ---- links, copies and own output


def scene_paths(out: Path) -> list[str]:
    return [entry.path for entry in Manifest.read(out).scenes]


def test_linked_folders_and_files_are_found(tmp_path: Path) -> None:
    yaml = write_own_folder(tmp_path)
    root = tmp_path / "my_rooms"
    (root / "train").rename(tmp_path / "disk")
    (root / "train").symlink_to(tmp_path / "disk")
    (root / "test" / "room_0.ply").rename(tmp_path / "lab.ply")
    (root / "test" / "lab.ply").symlink_to(tmp_path / "lab.ply")
    expected = ["test/lab.h5", "train/room_0.h5", "train/room_1.h5", "train/room_2.h5"]
    prepare(yaml, tmp_path / "out", workers=1)
    assert scene_paths(tmp_path / "out") == expected
    describe(yaml, DESCRIPTION + "split: {train: 'train/*.ply', test: '**/lab.ply'}\n")
    prepare(yaml, tmp_path / "split", workers=1)
    assert scene_paths(tmp_path / "split") == [
        "test/test_lab.h5", "train/train_room_0.h5", "train/train_room_1.h5", "train/train_room_2.h5",
    ]  # fmt: skip


def test_links_in_circles_end_and_files_are_taken_once(tmp_path: Path) -> None:
    spec = read_spec(write_own_folder(tmp_path))
    root = spec.root
    plain, _ = find_clouds(spec)
    (root / "train" / "self").symlink_to(root / "train")
    (root / "train" / "again.ply").symlink_to(root / "train" / "room_0.ply")
    for number in range(14):  # every folder links to every other one
        (root / "train" / f"f{number}").mkdir()
        for other in range(14):
            (root / "train" / f"f{number}" / f"to{other}").symlink_to(root / "train" / f"f{other}")
    files, remarks = find_clouds(spec)
    assert files == plain
    first = root / "train" / "room_0.ply"
    assert f"{root / 'train' / 'again.ply'}: another name of {first}, taken once" in remarks
    (root / "train" / "loop.ply").symlink_to(root / "train" / "loop.ply")
    with pytest.raises(UserError, match=r"loop\.ply: broken link"):
        find_clouds(spec)


def test_a_split_can_be_a_folder_of_links(tmp_path: Path) -> None:
    yaml = write_own_folder(tmp_path, rooms={"all": 3})
    root = tmp_path / "my_rooms"
    for split, number in (("train", 0), ("train", 1), ("test", 2)):
        (root / split).mkdir(exist_ok=True)
        (root / split / f"{number}.ply").symlink_to(Path("..") / "all" / f"room_{number}.ply")
    with pytest.raises(UserError, match=r"all/room_2\.ply in 'all' and .*test/2\.ply in 'test' are the same"):
        find_clouds(read_spec(yaml))
    describe(yaml, DESCRIPTION + "split: {train: 'train/*', test: 'test/*'}\n")
    assert [path.name for path in find_clouds(read_spec(yaml))[0]] == ["2.ply", "0.ply", "1.ply"]
    (root / "test" / "leak.ply").symlink_to(root / "all" / "room_0.ply")
    with pytest.raises(UserError, match=r"are the same file\. Remove one"):
        find_clouds(read_spec(yaml))
    (root / "test" / "leak.ply").unlink()
    (root / "test" / "gone.ply").symlink_to(tmp_path / "gone.ply")
    with pytest.raises(UserError, match=r"gone\.ply: broken link\. Mount or restore its target"):
        find_clouds(read_spec(yaml))


def test_output_under_the_root_is_never_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    yaml = write_own_folder(tmp_path)
    root = tmp_path / "my_rooms"
    out = root / "prepared"
    for _ in range(2):
        prepare(yaml, out, workers=1)
    expected = ["test/room_0.h5", "train/room_0.h5", "train/room_1.h5", "train/room_2.h5"]
    assert scene_paths(out) == expected
    assert f"warning: {out}: written by pcseg, not taken as data" in capsys.readouterr().out
    (out / "manifest.json").unlink()  # scenes are recognized alone, too
    cloud = read_cloud(root / "test" / "room_0.ply")
    prediction = CloudPrediction(
        label=np.zeros(len(cloud), np.int16),
        confidence=np.ones(len(cloud), np.float32),
        schema=read_spec(yaml).schema,
        source="room_0.ply",
        checkpoint="abc",
        cloud=cloud,
        remarks=[],
    )
    prediction.write(root / "train" / "predictions")
    (root / "run").mkdir()
    for name in ("config.json", "last.ckpt", "metrics.csv"):
        (root / "run" / name).write_text("{}")
    files, remarks = find_clouds(read_spec(yaml))
    assert [path.relative_to(root).with_suffix(".h5").as_posix() for path in files] == expected
    assert len(remarks) == 4 + 3 + 1  # scenes, the files of the prediction, the run
    with pytest.raises(UserError, match="is the folder of the raw data"):
        prepare(yaml, root, workers=1)
    only = describe(tmp_path / "only.yaml", DESCRIPTION.replace("root: my_rooms", "root: my_rooms/prepared"))
    with pytest.raises(UserError, match="holds no clouds of your own, only output of pcseg such as"):
        find_clouds(read_spec(only))


def test_a_manifest_of_another_program_hides_nothing(tmp_path: Path) -> None:
    spec = read_spec(write_own_folder(tmp_path))
    plain = find_clouds(spec)
    (spec.root / "train" / "manifest.json").write_text('{"files": []}')
    assert find_clouds(spec) == plain


@pytest.mark.slow
def test_copies_of_a_room_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    yaml = write_own_folder(tmp_path)
    shutil.copy(tmp_path / "my_rooms/train/room_1.ply", tmp_path / "my_rooms/test/copy.ply")
    prepare(yaml, tmp_path / "out", workers=1)
    assert "warning: test/copy.h5 and train/room_1.h5 are the same room" in capsys.readouterr().out
    main(["check", str(yaml), str(tmp_path / "out")])
    reported = capsys.readouterr().out
    assert "test/copy.ply and train/room_1.ply have the same points" in reported
    assert "test/copy.h5 and train/room_1.h5 have the same points" in reported


def test_names_with_brackets_match_themselves() -> None:
    assert matches(("a", "room[1].ply"), ("a", "room[1].ply"))
    assert matches(("a", "b", "c.ply"), ("**", "*.ply"))
    assert matches(("c.ply",), ("**", "*.ply"))
    assert not matches(("a", "c.ply"), ("*.ply",))
    assert not matches(("A", "c.ply"), ("a", "*.ply"))


def test_columns_of_tables_without_a_header(tmp_path: Path) -> None:
    """The description names all columns; labels that are NaN are unlabeled."""
    room = own_room(1, num_points=300)
    for split in ("train", "test"):
        table = np.column_stack([room["label"], room["pos"], room["color"]]).astype(np.float64)
        table[:7, 0] = np.nan
        (tmp_path / "rooms" / split).mkdir(parents=True)
        np.savetxt(tmp_path / "rooms" / split / "a.txt", table, fmt="%.9g")
    text = DESCRIPTION.replace("my_rooms\nnames", "rooms\nnames")
    yaml = describe(tmp_path / "d.yaml", text)
    with pytest.raises(UserError, match="could not be prepared"):
        prepare(yaml, tmp_path / "out", workers=1)
    yaml = describe(tmp_path / "d.yaml", text + "columns: label,x,y,z,red,green,blue\n")
    prepare(yaml, tmp_path / "out", workers=1)
    scene = read_scene(tmp_path / "out" / "test" / "a.h5")
    np.testing.assert_array_equal(scene.label, [-1] * 7 + room["label"][7:].tolist())
    np.testing.assert_array_equal(scene.color, room["color"])
    with pytest.raises(UserError, match=r"d\.yaml: columns x,y: z is missing"):
        read_spec(describe(tmp_path / "d.yaml", text + "columns: [x, y]\n"))
