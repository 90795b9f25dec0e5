"""The preparation of ScanNet: scans as the benchmark's scripts see them, splits, traps, faults, restarts."""

import csv
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.raw_scans import LABELS, SCANS, small_mesh, write_release

from data_prep.releases.scannet import (
    NUM_SCANS,
    VAL_SPACES,
    find_scans,
    read_alignment,
    read_label_table,
    read_lists,
)
from data_prep.releases.scannet_mesh import read_mesh, vertex_normals
from data_prep.scannet import prepare
from data_prep.synthetic.scannet_raw import CATEGORIES
from pcseg.cli import run
from pcseg.data.manifest import Manifest
from pcseg.data.scenes import Scene, check_scene, read_scene
from pcseg.data.schemas import SCANNET20, SCANNET200, SCANNET200_BENCHMARK
from pcseg.errors import UserError
from pcseg.files import _temporary
from pcseg.labels import IGNORE_INDEX

VAL = "scans/scene0011_00/scene0011_00"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_release(tmp_path_factory.mktemp("release") / "raw")


@pytest.fixture
def raw(release: Path, tmp_path: Path) -> Path:
    """A copy to do harm to."""
    return shutil.copytree(release, tmp_path / "raw")


@pytest.fixture(scope="module")
def prepared(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared")
    prepare(release, out, workers=1)
    return out


def scenes(folder: Path) -> dict[str, Scene]:
    return {path.stem: read_scene(path) for path in sorted(folder.glob("*/*.h5"))}


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def slow_annotation(scan: Path, table: Path) -> tuple[np.ndarray, np.ndarray]:
    """Labels of ScanNet200 and instances by a loop over objects, as in the scripts of the benchmark."""
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    segments = np.array(
        json.loads(scan.with_name(f"{scan.name}_vh_clean_2.0.010000.segs.json").read_text())["segIndices"]
    )
    groups = json.loads(scan.with_name(f"{scan.name}.aggregation.json").read_text())["segGroups"]
    label, instance = np.full(len(segments), IGNORE_INDEX), np.full(len(segments), -1)
    for group in groups:
        inside = np.isin(segments, group["segments"])
        id_ = int(next(row["id"] for row in rows if row["raw_category"] == group["label"]))
        ids = SCANNET200_BENCHMARK.ids
        label[inside] = ids.index(id_) if id_ in ids else IGNORE_INDEX
        instance[inside] = group["id"]
    return label, instance


def test_scans_lie_in_their_split_and_test_scans_have_no_labels(prepared: Path) -> None:
    manifest = Manifest.read(prepared)
    assert [entry.path for entry in manifest.scenes] == [
        "test/scene0707_00.h5", "train/scene0000_00.h5", "train/scene0000_01.h5", "val/scene0011_00.h5"
    ]  # fmt: skip
    assert (manifest.dataset, manifest.release, manifest.schema) == ("scannet", "ScanNet v2", SCANNET20)
    for name, scene in scenes(prepared).items():
        check_scene(scene)
        assert scene.name == name
        assert (scene.label == IGNORE_INDEX).all() == (scene.instance == -1).all() == (name == "scene0707_00")


def test_vertices_keep_their_order_positions_and_colors(prepared: Path, release: Path) -> None:
    o3d = pytest.importorskip("open3d")
    for name, scene in scenes(prepared).items():
        (path,) = release.glob(f"scans*/{name}/{name}_vh_clean_2.ply")
        mesh = o3d.io.read_triangle_mesh(str(path))
        np.testing.assert_array_equal(scene.pos, np.asarray(mesh.vertices, np.float32))
        np.testing.assert_array_equal(scene.color, np.rint(np.asarray(mesh.vertex_colors) * 255))
        np.testing.assert_array_equal(scene.color, small_mesh(SCANS.index(name)).color)
        _, faces = read_mesh(path, name=name)
        np.testing.assert_array_equal(faces, np.asarray(mesh.triangles))


def test_the_20_classes_are_the_nyu40_ids_by_name(prepared: Path) -> None:
    left_out = 0
    for name, scene in scenes(prepared).items():
        if name != "scene0707_00":
            truth = np.array(LABELS)[small_mesh(SCANS.index(name)).instance]
            known = scene.label != IGNORE_INDEX
            # object, ceiling and column are none of the 20
            assert set(truth[known]) == {"floor", "wall", "sofa"}
            assert (np.array(SCANNET20.names)[scene.label[known]] == truth[known]).all()
            inside = np.isin(truth, ["floor", "wall", "sofa"])
            assert known[inside].mean() > 0.8
            left_out += int((~known[inside]).sum())
    assert left_out > 0  # by the annotators


def test_the_200_classes_and_the_objects_are_those_of_the_slow_loop(release: Path, tmp_path: Path) -> None:
    run(prepare, args=[str(release), str(tmp_path), "--classes", "200", "--workers", "1"])
    assert Manifest.read(tmp_path).schema == SCANNET200
    for name, scene in scenes(tmp_path).items():
        if name != "scene0707_00":
            label, instance = slow_annotation(
                release / "scans" / name / name, release / "scannetv2-labels.combined.tsv"
            )
            np.testing.assert_array_equal(scene.label, label)
            np.testing.assert_array_equal(scene.instance, instance)
            names = {SCANNET200.names[k] for k in np.unique(label[label >= 0])}
            assert names == {CATEGORIES[label] for label in LABELS}
            assert scene.dataset == "scannet200"


def test_a_vertex_of_two_objects_belongs_to_the_later(raw: Path, tmp_path: Path) -> None:
    path = raw / f"{VAL}.aggregation.json"
    fields = json.loads(path.read_text())
    shared = fields["segGroups"][0]["segments"][0]
    fields["segGroups"][2]["segments"] += [shared, 10**9]  # and a segment that is not there
    path.write_text(json.dumps(fields))
    prepare(raw, tmp_path / "out", classes=200, workers=1)
    label, instance = slow_annotation(raw / VAL, raw / "scannetv2-labels.combined.tsv")
    scene = read_scene(tmp_path / "out/val/scene0011_00.h5")
    np.testing.assert_array_equal(scene.label, label)
    np.testing.assert_array_equal(scene.instance, instance)


def test_normals_are_those_of_the_slow_loop(prepared: Path, release: Path) -> None:
    scene = scenes(prepared)["scene0011_00"]
    _, faces = read_mesh(release / f"{VAL}_vh_clean_2.ply", name="")
    pos = scene.pos.astype(np.float64)
    total = np.zeros_like(pos)
    for a, b, c in faces:
        total[[a, b, c]] += np.cross(pos[b] - pos[a], pos[c] - pos[a])
    length = np.linalg.norm(total, axis=1, keepdims=True)
    assert scene.normal is not None
    np.testing.assert_allclose(scene.normal, total / np.where(length > 0, length, 1), atol=2e-5)
    assert (scene.normal[-1] == 0).all()  # no triangle
    assert (scene.normal[:-1, 2] > 0).all()  # counter-clockwise from above


def test_normals_of_flat_and_of_no_triangles() -> None:
    pos = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [0, 1, 0]], np.float32)
    np.testing.assert_array_equal(vertex_normals(pos, np.array([[0, 1, 2]])), np.zeros((4, 3)))
    np.testing.assert_array_equal(vertex_normals(pos, np.empty((0, 3), np.int32)), np.zeros((4, 3)))
    np.testing.assert_array_equal(vertex_normals(pos, np.array([[0, 1, 3]]))[0], [0, 0, 1])


def test_aligned_scans_lie_along_the_axes(release: Path, tmp_path: Path) -> None:
    prepare(release, tmp_path, workers=1, align=True, normals=False)
    assert Manifest.read(tmp_path).release == "ScanNet v2, axis-aligned"
    for name, scene in scenes(tmp_path).items():
        assert scene.normal is None
        if name != "scene0707_00":
            np.testing.assert_allclose(scene.pos, small_mesh(SCANS.index(name)).pos, atol=1e-5)
    test = scenes(tmp_path)["scene0707_00"]  # has no alignment
    vertices, _ = read_mesh(release / "scans_test/scene0707_00/scene0707_00_vh_clean_2.ply", name="")
    np.testing.assert_array_equal(test.pos[:, 0], vertices["x"])


def test_normals_turn_with_the_scan(release: Path, prepared: Path, tmp_path: Path) -> None:
    prepare(release, tmp_path, workers=1, align=True, splits="val")
    matrix = read_alignment(release / f"{VAL}.txt")
    here, there = scenes(tmp_path)["scene0011_00"], scenes(prepared)["scene0011_00"]
    assert matrix is not None
    assert here.normal is not None
    assert there.normal is not None
    np.testing.assert_allclose(here.normal, there.normal @ matrix[:3, :3].T, atol=1e-3)


def test_the_official_splits() -> None:
    assert len(VAL_SPACES) == 142
    assert sum(NUM_SCANS.values()) == 1613
    assert {11, 568, 704} < VAL_SPACES
    assert not {0, 1, 706} & VAL_SPACES
    assert max(VAL_SPACES) < 707


@pytest.mark.parametrize(
    "name", ["scene0706_00", "scene0707_00", "scene0806_00", "scene0807_00", "scene0704_01"]
)
def test_which_split_a_scan_is_of(tmp_path: Path, name: str) -> None:
    for scan in ("scene0000_00", name):
        (tmp_path / "scans" / scan).mkdir(parents=True)
    scans, warnings = find_scans(tmp_path)
    expected = {"scene0706_00": "train", "scene0704_01": "val", "scene0807_00": None}.get(name, "test")
    assert {scan.name: scan.split for scan in scans}.get(name) == expected
    assert ("1 scans are in no split list and are skipped, such as scene0807_00" in warnings) == (
        expected is None
    )


def test_split_lists_of_the_release_come_first(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split, names in {"train": SCANS[2:3], "val": SCANS[1:2]}.items():
        (raw / f"scannetv2_{split}.txt").write_text(
            "\r\n".join([*names, "scene0002_00"][: 1 + (split == "val")]) + "\r\n"
        )
    prepare(raw, tmp_path / "out", workers=1)
    assert [entry.path for entry in Manifest.read(tmp_path / "out").scenes] == [
        "test/scene0707_00.h5", "train/scene0011_00.h5", "val/scene0000_01.h5"
    ]  # fmt: skip
    printed = capsys.readouterr().out
    assert "has 1 of the 2 val scans. Check that the download is complete." in printed
    assert "1 scans are in no split list and are skipped, such as scene0000_00" in printed


def test_other_lists_leave_a_scan_in_one_split(
    raw: Path, prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shutil.copytree(prepared, tmp_path / "out")
    (raw / "scannetv2_train.txt").write_text("scene0011_00\n")
    (raw / "scannetv2_val.txt").write_text("scene0000_01\n")
    shutil.rmtree(raw / "scans_test")  # its scan is done: what is not in the release any more stays
    prepare(raw, out, workers=1, splits="train")
    assert [entry.path for entry in Manifest.read(out).scenes] == [
        "test/scene0707_00.h5", "train/scene0011_00.h5"
    ]  # fmt: skip
    assert f"no longer part of the data: {out / 'train' / 'scene0000_00.h5'}" in capsys.readouterr().out
    prepare(raw, out, workers=1)
    assert [entry.path for entry in Manifest.read(out).scenes] == [
        "test/scene0707_00.h5", "train/scene0011_00.h5", "val/scene0000_01.h5"
    ]  # fmt: skip


def test_faults_of_split_lists(tmp_path: Path) -> None:
    assert read_lists(tmp_path) is None
    with pytest.raises(UserError, match=r"no scannetv2_train\.txt"):
        read_lists(tmp_path, required=True)
    (tmp_path / "scannetv2_val.txt").write_text("scene0011_00\n")
    with pytest.raises(UserError, match=r"no scannetv2_train\.txt\. Provide all split lists or none"):
        read_lists(tmp_path)
    (tmp_path / "scannetv2_train.txt").write_text("scene0000_00\nscene0011_00\n")
    with pytest.raises(UserError, match="scene0011_00 occurs twice"):
        read_lists(tmp_path)
    (tmp_path / "scannetv2_train.txt").write_text("404: Not Found\n")
    with pytest.raises(UserError, match="'404:' is not a scan"):
        read_lists(tmp_path)


def test_traps_of_the_table_of_labels(release: Path) -> None:
    path = release / "scannetv2-labels.combined.tsv"
    assert path.read_bytes().count(b"\r\n") == len(path.read_bytes().splitlines())
    table = read_label_table(path)
    assert (table["object"].id, table["stick"].id) == (1163, 1163)  # the first of two objects
    assert (table["couch"].id, table["sofa"].id) == (6, 1313)
    assert [table[name].nyu40id for name in ("shower door", "shower doors", "refrigerator")] == [8, 38, 24]
    assert set(CATEGORIES.values()) <= table.keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda text: text.replace(b"\tnyu40id", b"\tnyu"),
            r"no column 'nyu40id' .columns: \['id', 'raw_category'",
        ),
        (lambda text: text.replace(b"\t", b","), "no column 'raw_category'"),
        (lambda text: b"", "no column 'raw_category'"),
        (lambda text: text + b"12\tcut", "line 22: damaged, '12.tcut'"),
        (lambda text: text.replace(b"2\tchair", b"two\tchair"), "line 3: damaged"),
    ],
)
def test_faults_of_the_table_of_labels(raw: Path, tmp_path: Path, change: Callable, message: str) -> None:
    path = raw / "scannetv2-labels.combined.tsv"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(UserError, match=f"scannetv2-labels.combined.tsv.*{message}"):
        prepare(raw, tmp_path / "out", workers=1)
    path.unlink()
    with pytest.raises(UserError, match=r"no such file\. Download it with the release"):
        prepare(raw, tmp_path / "out", workers=1)
    prepare(raw, tmp_path / "out", workers=1, splits="test")  # needs no table


def cut(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])


def replace(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


def overwrite(path: Path, offset: int, new: bytes) -> None:
    """Change bytes ``offset`` behind the header of a PLY file."""
    data = path.read_bytes()
    at = data.index(b"end_header\n") + 11 + offset
    path.write_bytes(data[:at] + new + data[at + len(new) :])


def edit(path: Path, change: Callable[[dict], object]) -> None:
    fields = json.loads(path.read_text())
    change(fields)
    path.write_text(json.dumps(fields))


MESH, NYU, SEGS, GROUPS = (
    "_vh_clean_2.ply",
    "_vh_clean_2.labels.ply",
    "_vh_clean_2.0.010000.segs.json",
    ".aggregation.json",
)

FAULTS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "no mesh": (MESH, lambda path: path.unlink(), "no such file"),
    "no labels": (NYU, lambda path: path.unlink(), "no such file"),
    "no segments": (SEGS, lambda path: path.unlink(), "no such file"),
    "no aggregation": (GROUPS, lambda path: path.unlink(), "no such file"),
    "empty mesh": (MESH, lambda path: path.write_bytes(b""), "not a PLY file"),
    "mesh cut in its vertices": (MESH, lambda path: cut(path, 0.2), "vertex.*early end-of-file"),
    "mesh cut in its faces": (MESH, lambda path: cut(path, 0.9), "face.*early end-of-file"),
    "mesh cut in its header": (MESH, lambda path: path.write_bytes(path.read_bytes()[:90]), "not a PLY file"),
    "negative count": (MESH, lambda path: replace(path, b"vertex 1201", b"vertex -201"), "must be positive"),
    "quads": (MESH, lambda path: path.write_bytes(path.read_bytes()[:-13] + b"\4" + path.read_bytes()[-12:]),
              r"row \d+.*unexpected list length"),
    "wild face": (MESH, lambda path: path.write_bytes(path.read_bytes()[:-4] + b"\xff\xff\xff\x7f"), "there are 1201"),
    "text mesh": (MESH, lambda path: replace(path, b"binary_little_endian", b"ascii"), "not a PLY file of triangles"),
    "no color": (MESH, lambda path: replace(path, b"uchar red", b"uchar rod"), "no 'red'"),
    "points only": (MESH, lambda path: replace(path, b"element face", b"element edge"), "vertices and faces"),
    "not finite": (MESH, lambda path: overwrite(path, 0, b"\0\0\xc0\x7f"), "vertex 0 is at .nan"),
    "labels cut": (NYU, lambda path: cut(path, 0.2), "announces 1201 points"),
    "labels of another scan": (NYU, lambda path: replace(path, b"vertex 1201", b"vertex 1200"),
                               "1200 vertices.*has 1201"),
    "no label": (NYU, lambda path: replace(path, b"ushort label", b"ushort libel"), "no 'label' "),
    "unknown id": (NYU, lambda path: overwrite(path, 18 + 16, b"\x29\0"), "label of vertex 1 is 41, nyu40 has 0"),
    "segments cut": (SEGS, lambda path: cut(path, 0.5), "damaged, no segIndices"),
    "too few segments": (SEGS, lambda path: edit(path, lambda f: f["segIndices"].pop()), "1200 segIndices for 1201"),
    "segments are words": (SEGS, lambda path: edit(path, lambda f: f.update(segIndices=["a"] * 1201)), "not integers"),
    "nested segments": (SEGS, lambda path: edit(path, lambda f: f.update(segIndices=[[1], [2, 3]])), "not integers"),
    "no segIndices": (SEGS, lambda path: path.write_text("{}"), "damaged, no segIndices"),
    "aggregation cut": (GROUPS, lambda path: cut(path, 0.5), "damaged, no segGroups"),
    "aggregation is a list": (GROUPS, lambda path: path.write_text("[1]"), "damaged, no segGroups"),
    "object without label": (GROUPS, lambda path: edit(path, lambda f: f["segGroups"][1].pop("label")), "'label'"),
    "objects are numbers": (GROUPS, lambda path: edit(path, lambda f: f.update(segGroups=[1])), "without id"),
    "unknown category": (GROUPS, lambda path: edit(path, lambda f: f["segGroups"][1].update(label="flying carpet")),
                         "category 'flying carpet' is not in scannetv2-labels.combined.tsv"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_one_line_and_other_scans_are_prepared(
    raw: Path, tmp_path: Path, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    suffix, harm, message = FAULTS[fault]
    harm(raw / f"{VAL}{suffix}")
    out = tmp_path / "out"
    with pytest.raises(UserError, match=r"1 of 4 scans could not be prepared\. See the lines above"):
        prepare(raw, out, workers=1)
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("failed: ")]
    assert len(failed) == 1
    assert re.search(message, failed[0])
    assert "scene0011_00" in failed[0]
    assert sorted(path.stem for path in out.glob("*/*")) == [SCANS[0], SCANS[1], SCANS[3]]
    assert len(Manifest.read(out).scenes) == 3


def test_stray_ids_of_the_release_are_unlabeled(
    raw: Path, prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for row, id_ in ((1, 50), (3, 50), (4, 149)):
        overwrite(raw / f"{VAL}{NYU}", 18 * row + 16, bytes((id_, 0)))
    prepare(raw, tmp_path / "out", workers=1)
    here, there = (read_scene(folder / "val/scene0011_00.h5") for folder in (tmp_path / "out", prepared))
    expected = np.array(there.label)
    expected[[1, 3, 4]] = IGNORE_INDEX
    np.testing.assert_array_equal(here.label, expected)
    assert (there.label[[1, 3, 4]] != IGNORE_INDEX).all()
    name = "scene0011_00/scene0011_00_vh_clean_2.labels.ply"
    (entry,) = (entry for entry in Manifest.read(tmp_path / "out").scenes if entry.split == "val")
    assert entry.ignored == (
        f"{name}: label 50 of 2 vertices is not in nyu40",
        f"{name}: label 149 of 1 vertices is not in nyu40",
    )
    assert f"skipped: {entry.ignored[0]}" in capsys.readouterr().out
    prepare(raw, tmp_path / "out200", classes=200, workers=1)  # takes classes from the objects
    assert not any(entry.ignored for entry in Manifest.read(tmp_path / "out200").scenes)


def test_segments_in_another_spelling_are_read(raw: Path, prepared: Path, tmp_path: Path) -> None:
    path = raw / f"{VAL}{SEGS}"
    fields = json.loads(path.read_text())
    path.write_text(
        json.dumps({"segIndices": [float(k) for k in fields["segIndices"]], "note": "[1]"}, indent=1)
    )
    prepare(raw, tmp_path / "out", workers=1)
    here, there = (read_scene(folder / "val/scene0011_00.h5") for folder in (tmp_path / "out", prepared))
    np.testing.assert_array_equal(here.instance, there.instance)


def test_faults_of_the_alignment(raw: Path, tmp_path: Path) -> None:
    for text in ("axisAlignment = 1 2 3\n", "axisAlignment = " + "nan " * 16, "axisAlignment = " + "x " * 16):
        (tmp_path / "scan.txt").write_text(text)
        with pytest.raises(UserError, match=r"scan.txt: axisAlignment is not 16 numbers"):
            read_alignment(tmp_path / "scan.txt")
    with pytest.raises(UserError, match=r"no such file.*omit --align"):
        read_alignment(tmp_path / "none.txt")


def test_wrong_folder_is_reported(release: Path, tmp_path: Path) -> None:
    for folder, message in {
        tmp_path / "nowhere": "no such folder",
        release / "scannetv2-labels.combined.tsv": "is a file",
        release / "scans": "Pass its parent folder",
        release / "scans" / SCANS[0]: f"inside a release. Pass {release}",
        release.parent: f"Pass {release}",
        tmp_path: "Expected RAW/scans/scene0000_00",
    }.items():
        with pytest.raises(UserError, match=re.escape(message)):
            find_scans(folder)
    with pytest.raises(UserError, match=r"--splits 'vla': unknown split\. Choose from train, val, test"):
        prepare(release, tmp_path / "out", splits="val, vla")
    shutil.copytree(release / "scans", tmp_path / "part" / "scans")
    with pytest.raises(UserError, match=r"part: has no scans of the split test"):
        prepare(tmp_path / "part", tmp_path / "out", splits=["test"])
    assert not (tmp_path / "out").exists()


def test_another_number_of_classes_needs_another_folder(release: Path, prepared: Path) -> None:
    with pytest.raises(UserError, match=r"holds scannet \(ScanNet v2\), not scannet200"):
        prepare(release, prepared, classes=200, workers=1)


def test_an_unknown_number_of_classes(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(prepare, args=[str(release), str(tmp_path), "--classes", "40"])
    assert "Literal[20, 200]. Got value: 40" in capsys.readouterr().err


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    release: Path, prepared: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(prepared, tmp_path / "out")
    # what a killed run leaves: a scan that the manifest does not know, a part of one, one not begun
    manifest = Manifest.read(out)
    Manifest(dataset="scannet", release="ScanNet v2", schema=SCANNET20, scenes=manifest.scenes[:2]).write(out)
    part = _temporary(out / "val/scene0011_00.h5").name.replace(f".{os.getpid()}.", ".99999999.")
    (out / "val/scene0011_00.h5").rename(out / "val" / part)
    first = out / manifest.scenes[0].path
    before = first.stat().st_mtime_ns
    prepare(release, out, workers=2)
    assert contents(out) == contents(prepared)
    assert first.stat().st_mtime_ns == before


def test_changed_files_and_another_table_are_prepared_again(raw: Path, tmp_path: Path, capsys) -> None:
    prepare(raw, tmp_path / "out", workers=1)
    replace(raw / f"{VAL}{GROUPS}", b"couch", b"sofa")
    prepare(raw, tmp_path / "out", workers=1)
    assert "1 prepared, 3 unchanged, 0 failed" in capsys.readouterr().out
    replace(raw / "scannetv2-labels.combined.tsv", b"1313\tsofa", b"6\tsofa")
    prepare(raw, tmp_path / "out", workers=1)
    assert "4 prepared, 0 unchanged, 0 failed" in capsys.readouterr().out


def test_linked_scans_are_read_and_each_scan_once(release: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(release, raw)
    (raw / "scans").rename(tmp_path / "disk")
    (raw / "scans").symlink_to(tmp_path / "disk")
    assert {scan.name for scan in find_scans(raw)[0]} == set(SCANS)
    copy = raw / "scans" / "scene0002_00"
    copy.symlink_to(raw / "scans" / "scene0000_00")
    with pytest.raises(UserError, match=r"scene0002_00: the same folder as .*scene0000_00"):
        find_scans(raw)
    copy.unlink()
    copy.symlink_to(tmp_path / "unmounted")
    with pytest.raises(UserError, match="scene0002_00: broken link"):
        find_scans(raw)
    copy.unlink()
    shutil.copytree(raw / "scans" / "scene0000_00", raw / "scans_test" / "scene0000_00")
    with pytest.raises(UserError, match=r"scans_test/scene0000_00: .*scans/scene0000_00 has the same name"):
        find_scans(raw)
    shutil.rmtree(raw / "scans_test" / "scene0000_00")
    with pytest.raises(UserError, match="is the folder of the raw data"):
        prepare(raw, raw)


def test_lists_may_have_other_encodings(release: Path, tmp_path: Path) -> None:
    for split, scan in (("train", "scene0000_00"), ("val", "scene0011_00")):
        (tmp_path / f"scannetv2_{split}.txt").write_bytes(f"# scans\r\n{scan}\r\n\r\n".encode("utf-16"))
    assert read_lists(tmp_path) == {"train": ("scene0000_00",), "val": ("scene0011_00",)}
