"""The manifest round-trips, and equal folders have equal hashes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pcseg.data.manifest import MANIFEST_NAME, Manifest, Repair, SceneEntry, describe_scene, verified_scene
from pcseg.data.scenes import write_scene
from pcseg.errors import UserError
from pcseg.labels import S3DIS


def entry_of(folder: Path, *, area: str = "Area_1", label: int = 2, **options: object) -> SceneEntry:
    path = folder / area / "office_1.h5"
    labels = np.array([label, label, 12, -1])
    zeros = np.zeros((4, 3))
    write_scene(path, pos=zeros, color=zeros.astype(int), label=labels, instance=labels, dataset="s3dis",
                scene="office_1", schema=S3DIS)  # fmt: skip
    return replace(describe_scene(path, folder=folder, source="abc"), **options)


def test_manifest_round_trip(tmp_path: Path) -> None:
    repair = Repair(file="Area_1/office_1/Annotations/wall_1.txt", line=3, before="1\x002", after="1 2")
    entries = (
        entry_of(tmp_path, repairs=(repair,), ignored=("wall_3 (1).txt",)),
        entry_of(tmp_path, area="Area_5", label=0),
    )
    manifest = Manifest(dataset="s3dis", release="S3DIS v1.2, aligned", schema=S3DIS, scenes=entries)
    manifest.write(tmp_path)
    assert Manifest.read(tmp_path) == manifest
    assert entries[0].path == "Area_1/office_1.h5"
    assert manifest.splits == ("Area_1", "Area_5")
    assert manifest.num_points == 8
    assert manifest.class_histogram == (2, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2)
    fields = json.loads((tmp_path / MANIFEST_NAME).read_text())
    assert fields["hash"] == manifest.hash
    assert fields["class_histogram"]["wall"] == 2
    assert fields["scenes"][0]["repairs"][0]["line"] == 3
    assert not [*tmp_path.glob(".*")]


def test_hash_depends_on_the_content_only(tmp_path: Path) -> None:
    first, same, other = (
        entry_of(tmp_path / name, label=label) for name, label in [("a", 2), ("b", 2), ("c", 3)]
    )
    manifest = Manifest(dataset="s3dis", release="r", schema=S3DIS, scenes=(first,))
    assert replace(manifest, scenes=(replace(same, source="elsewhere"),)).hash == manifest.hash
    assert replace(manifest, scenes=(other,)).hash != manifest.hash
    assert replace(manifest, scenes=()).hash != manifest.hash
    assert replace(manifest, release="q").hash != manifest.hash


def test_mean_color_is_weighted_by_points_and_absent_in_old_manifests(tmp_path: Path) -> None:
    first = replace(entry_of(tmp_path), num_points=30, mean_color=(10.0, 20.0, 30.0))
    second = replace(first, path="Area_1/b.h5", name="b", num_points=10, mean_color=(50.0, 20.0, 70.0))
    manifest = Manifest(dataset="s3dis", release="r", schema=S3DIS, scenes=(first, second))
    assert manifest.mean_color == (20, 20, 40)
    manifest.write(tmp_path)
    fields = json.loads((tmp_path / MANIFEST_NAME).read_text())
    assert fields["mean_color"] == [20, 20, 40]
    del fields["mean_color"], fields["scenes"][0]["mean_color"], fields["checksum"]
    (tmp_path / MANIFEST_NAME).write_text(json.dumps(fields))
    old = Manifest.read(tmp_path)
    assert old.mean_color is None
    assert old.scenes[1].mean_color == (50, 20, 70)
    assert old.hash == manifest.hash


def test_empty_manifest(tmp_path: Path) -> None:
    manifest = Manifest(dataset="s3dis", release="r", schema=S3DIS, scenes=())
    manifest.write(tmp_path)
    assert Manifest.read(tmp_path).class_histogram == (0,) * 13


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("{", "damaged"),
        ("[]", "damaged"),
        ("{}", "damaged"),
        ('{"format_version": 99}', "format version 99"),
        ('{"format_version": 1, "dataset": "s3dis", "release": "r", "schema": {}, "scenes": []}', "schema"),
    ],
)
def test_wrong_manifests_are_named(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / MANIFEST_NAME).write_text(text)
    with pytest.raises(UserError, match=message) as raised:
        Manifest.read(tmp_path)
    assert str(tmp_path / MANIFEST_NAME) in str(raised.value)


@pytest.mark.parametrize(
    "change",
    [
        {"shade": 1}, {"mean_color": [1, "x", 2]}, {"mean_color": [1, 2, 999]}, {"repairs": [{"line": 1}]},
        {"class_histogram": ["x"]}, {"class_histogram": [1, 2]}, {"class_histogram": [-1] * 13},
        {"class_histogram": [9] * 13}, {"num_points": True}, {"num_points": -1}, {"num_points": 4.0},
        {"num_points": 10**30}, {"path": "../../a.h5", "split": ".."}, {"name": "../../escape"}, {"name": ""},
        {"path": "/etc/a.h5", "split": ""}, {"split": "Area_2"}, {"name": "a\nb"}, {"content": 5}, {"space": 5},
        {"rest": []},
    ],
)  # fmt: skip
@pytest.mark.parametrize("with_checksum", [True, False])
def test_damaged_entries_are_named(tmp_path: Path, change: dict, with_checksum: bool) -> None:
    manifest = Manifest(dataset="s3dis", release="r", schema=S3DIS, scenes=(entry_of(tmp_path),))
    manifest.write(tmp_path)
    fields = json.loads((tmp_path / MANIFEST_NAME).read_text())
    fields["scenes"][0].update(change)
    if not with_checksum:  # as in a manifest of an older version
        del fields["checksum"]
    (tmp_path / MANIFEST_NAME).write_text(json.dumps(fields))
    with pytest.raises(UserError, match="checksum differs" if with_checksum else "damaged"):
        Manifest.read(tmp_path)


def test_scenes_have_different_names(tmp_path: Path) -> None:
    entry = entry_of(tmp_path)
    Manifest(dataset="s3dis", release="r", schema=S3DIS, scenes=(entry, entry)).write(tmp_path)
    with pytest.raises(UserError, match="two scenes have the same name"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("change", [{"content": "0" * 64}, {"rest": "0" * 64}, {"num_points": 3}])
def test_scene_is_compared_with_its_entry(tmp_path: Path, change: dict) -> None:
    entry = entry_of(tmp_path)
    assert verified_scene(tmp_path, entry, S3DIS).num_points == 4
    assert verified_scene(tmp_path, replace(entry, rest=None)).num_points == 4  # of an older version
    with pytest.raises(UserError, match=r"office_1\.h5: damaged or changed"):
        verified_scene(tmp_path, replace(entry, **change))
    reversed_names = replace(S3DIS, names=S3DIS.names[::-1])
    with pytest.raises(UserError, match="label schemas differ"):
        verified_scene(tmp_path, entry, reversed_names)
    entry_of(tmp_path, label=5)  # changed after it was verified
    with pytest.raises(UserError, match="damaged or changed"):
        verified_scene(tmp_path, entry)
