"""Files with predicted classes: same rows and content, read back by other libraries."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import laspy
import numpy as np
import pandas as pd
import pytest
from helpers.cloud_files import COLOR, GOOD, NORMAL, POS, las, needs_pye57, put, write_e57
from plyfile import PlyData
from pypcd4 import PointCloud

from pcseg.data.io.clouds import Cloud, read_cloud, read_table
from pcseg.data.io.labeled import find_writer, labeled_path
from pcseg.data.io.labels import PointLabels, free_names
from pcseg.errors import UserError
from pcseg.labels import S3DIS, LabelSchema

LABEL = np.where(np.arange(20) == 3, -1, np.arange(20) % 13).astype(np.int16)
CONFIDENCE = np.linspace(0, 1, 20).astype(np.float32)
MANY = LabelSchema(name="many", names=tuple(f"class {i}" for i in range(300)), colors=((1, 2, 3),) * 300)


def label(source: Path, schema: LabelSchema = S3DIS, out: Path | None = None) -> Path:
    """Write a file with its classes and return its path."""
    cloud = read_cloud(source, allow_empty=True)
    labels = PointLabels(
        count=len(cloud), rows=lambda start, stop: (LABEL[start:stop], CONFIDENCE[start:stop]), schema=schema
    )
    writer, remark = find_writer(cloud)
    assert writer is not None, remark
    target = out or labeled_path(source, source.parent)
    writer(source, target, labels)
    return target


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "compressed", "schema"),
    [
        (1, False, S3DIS),
        (3, True, S3DIS),
        (3, False, MANY),
        (5, False, S3DIS),
        (7, True, S3DIS),
        (10, False, MANY),
    ],
)
def test_las(tmp_path: Path, kind: int, compressed: bool, schema: LabelSchema) -> None:
    """All dimensions, flags and records stay; the classification is that of the model if it can hold all classes."""
    for registered in (True, False):
        path = tmp_path / ("a.laz" if compressed else "a.las")
        old = laspy.read(BytesIO(las(kind, compressed=False, registered=registered)))
        old.header.vlrs.append(laspy.VLR("somebody", 7, "a record", b"content"))
        old.header.extra_header_bytes = b"more"
        if kind >= 6:
            old.evlrs = laspy.vlrs.vlrlist.VLRList(
                [laspy.VLR("somebody", 8, "behind the points", b"x" * 100)]
            )
        old.write(str(path), do_compress=compressed)
        new = laspy.read(label(path, schema))
        np.testing.assert_array_equal(new["predicted_class"], LABEL)
        np.testing.assert_array_equal(new["confidence"], CONFIDENCE)
        unclassified, changed = 31 if kind < 6 else 255, schema is S3DIS
        for name in old.point_format.dimension_names:
            if name == "classification" and changed:
                np.testing.assert_array_equal(new["original_classification"], old[name])
                np.testing.assert_array_equal(new[name], np.where(LABEL < 0, unclassified, LABEL))
                lookup = new.header.vlrs.get("ClassificationLookupVlr")[0]
                assert [lookup[i] for i in range(13)] == list(schema.names)
                assert lookup[unclassified] == "unlabeled"
            else:
                np.testing.assert_array_equal(new["undescribed" if name == "ExtraBytes" else name], old[name])
        records = {(vlr.user_id, vlr.record_id): vlr for vlr in new.header.vlrs}
        assert records["somebody", 7].record_data_bytes() == b"content"
        assert LabelSchema.from_json(records["pcseg", 1].record_data_bytes().decode()) == schema
        if kind >= 6:
            assert new.evlrs is not None
            assert new.evlrs[0].record_data_bytes() == b"x" * 100
        for name in ("uuid", "creation_date", "system_identifier", "extra_header_bytes", "version"):
            assert getattr(new.header, name) == getattr(old.header, name)
        for name in ("scales", "offsets", "mins", "maxs"):
            np.testing.assert_array_equal(getattr(new.header, name), getattr(old.header, name))


@pytest.mark.slow
def test_a_labeled_file_is_labeled_again(tmp_path: Path) -> None:
    """Fields of the same name stay, and so does a lookup of the file."""
    path = tmp_path / "a.laz"
    path.write_bytes(las(7, compressed=True))
    again = laspy.read(label(label(path)))
    np.testing.assert_array_equal(again["predicted_class_2"], again["predicted_class"])
    np.testing.assert_array_equal(again["original_classification_2"], np.where(LABEL < 0, 255, LABEL))
    assert [vlr.record_id for vlr in again.header.vlrs if vlr.user_id == "pcseg"] == [1, 2, 1]
    assert free_names(["Confidence", "confidence_2"]) == ("predicted_class_3", "confidence_3")


def _old_ply(path: Path) -> tuple[dict[str, np.ndarray], Any]:
    data = PlyData.read(path)
    return {name: data["vertex"][name] for name in data["vertex"].data.dtype.names}, data


@pytest.mark.parametrize("name", [name for name in GOOD if name.startswith("ply") and name != "ply lists"])
@pytest.mark.filterwarnings("ignore:loadtxt")  # of plyfile for empty lists
def test_ply(tmp_path: Path, name: str) -> None:
    path = put(tmp_path / GOOD[name][0], GOOD[name][1])
    columns, old = _old_ply(path)
    added, new = _old_ply(label(path))
    for column, values in columns.items():
        assert [np.array(value).tolist() for value in added.pop(column)] == [
            np.array(v).tolist() for v in values
        ]
    np.testing.assert_array_equal(added["predicted_class"], LABEL)
    np.testing.assert_allclose(added["confidence"], CONFIDENCE, atol=5e-5 if new.text else 0)
    assert new.byte_order == old.byte_order
    assert [element.name for element in new] == [element.name for element in old]
    assert [e.data.tolist() for e in new if e.name == "camera"] == [[(1, 2.5), (3, 4.5)]]
    if "face" in new:
        assert [list(row) for row in new["face"]["vertex_indices"]] == [[0, 1, 2], [2, 1, 0, 3]]
    assert new.comments == ["x", *(f"predicted_class {i} {name}" for i, name in enumerate(S3DIS.names))]


@pytest.mark.parametrize("name", [name for name in GOOD if name.startswith("pcd")])
def test_pcd(tmp_path: Path, name: str) -> None:
    path = put(tmp_path / GOOD[name][0], GOOD[name][1])
    old, new = read_table(path).columns, read_table(label(path)).columns
    independent = PointCloud.from_path(tmp_path / "a_labeled.pcd") if name != "pcd ascii" else None
    np.testing.assert_array_equal(new["predicted_class"], LABEL)
    np.testing.assert_allclose(new["confidence"], CONFIDENCE, atol=5e-5)
    for column, values in old.items():
        np.testing.assert_array_equal(new[column], values)
    if independent is not None:
        np.testing.assert_array_equal(independent.numpy(["predicted_class"])[:, 0], LABEL)
        np.testing.assert_array_equal(independent.numpy(["x", "y", "z"]), POS)


TABLE = "".join(f"{x:.3f},{y:.3f},{z:.3f},{i}\r\n" for i, (x, y, z) in enumerate(POS.tolist()))
TEXTS: dict[str, tuple[str, dict[str, Any], int]] = {
    "comma": ("x,y,z,i\r\n" + TABLE, {}, 4),
    "header in a comment": (
        "# made by hand\n#x y z i\n" + TABLE.replace(",", " "),
        {"sep": " ", "skiprows": 1},
        4,
    ),
    "trailing": ("x;y;z;i\n" + TABLE.replace(",", ";").replace("\r", ";"), {"sep": ";"}, 5),
    "tabs, no header": (TABLE.replace(",", "\t"), {"sep": "\t", "header": None}, 4),
    "decimal comma": (
        "x;y;z;i\n" + TABLE.replace(",", ";").replace(".", ","),
        {"sep": ";", "decimal": ","},
        4,
    ),
    "count": ("20\n" + TABLE.replace(",", " "), {"sep": " ", "header": None, "skiprows": 1}, 4),
    "blank lines, no end": (
        "x y z i\n" + TABLE.replace(",", " ").replace("\r\n", "\n\n").strip(),
        {"sep": " "},
        4,
    ),
    "pandas": ("0,1,2,3\n" + TABLE.replace("\r", ".5\r"), {}, 4),
    "utf-16": ("x,y,z,i\n" + TABLE, {}, 4),
}


@pytest.mark.parametrize("name", list(TEXTS))
def test_text(tmp_path: Path, name: str) -> None:
    """Pandas reads the same table with two more columns."""
    text, options, width = TEXTS[name]
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode("utf-16" if name == "utf-16" else "utf-8"))
    new = pd.read_csv(label(path), **options)
    assert new.shape == (20, width + 2)
    numbers = new.to_numpy()
    np.testing.assert_array_equal(numbers[:, -2], LABEL)
    np.testing.assert_allclose(numbers[:, -1].astype(float), CONFIDENCE, atol=5e-5)
    np.testing.assert_allclose(numbers[:, :3].astype(float), POS, atol=5e-4)
    if options.get("header", 0) is not None and name != "pandas":
        assert [str(column) for column in new.columns[-2:]] == ["predicted_class", "confidence"]
    if name in ("comma", "tabs, no header"):
        lines = label(path).read_bytes().splitlines(keepends=True)
        assert all(line.endswith(b"\r\n") for line in lines)


def test_numpy(tmp_path: Path) -> None:
    for index, name in enumerate(("npy", "npy records")):
        path = put(tmp_path / f"{index}.npy", GOOD[name][1])
        old, new = np.load(path), np.load(label(path))
        if old.dtype.names:
            for column in old.dtype.names:
                np.testing.assert_array_equal(new[column], old[column])
            np.testing.assert_array_equal(new["predicted_class"], LABEL)
            np.testing.assert_array_equal(new["confidence"], CONFIDENCE)
        else:
            np.testing.assert_array_equal(new[:, :-2], old)
            np.testing.assert_array_equal(new[:, -2], LABEL)
    for index, save in enumerate((np.savez, np.savez_compressed)):
        path = tmp_path / f"z{index}.npz"
        save(path, xyz=POS, rgb=COLOR, normal=NORMAL, note=np.array("kept"))
        with np.load(path) as old, np.load(label(path)) as new:
            for key in old.files:
                np.testing.assert_array_equal(new[key], old[key])
            np.testing.assert_array_equal(new["predicted_class"], LABEL)
            np.testing.assert_array_equal(new["confidence"], CONFIDENCE)
            assert new["class_names"].tolist() == list(S3DIS.names)


def test_hdf5(tmp_path: Path) -> None:
    path = put(tmp_path / "a.h5", GOOD["hdf5"][1])
    with h5py.File(label(path), "r") as file:
        np.testing.assert_array_equal(file["predicted_class"][()], LABEL)
        np.testing.assert_array_equal(file["xyz"][()], POS)


@needs_pye57
def test_e57_becomes_laz(tmp_path: Path) -> None:
    path = write_e57(tmp_path / "a.e57", invalid=4)
    target = label(path)
    assert target.name == "a_labeled.laz"
    new, columns = laspy.read(target), read_table(path).columns
    known = np.arange(20) != 4
    np.testing.assert_allclose(new.xyz[known], POS[known], atol=1e-4)
    np.testing.assert_array_equal(new.withheld, ~known)
    np.testing.assert_array_equal(new["predicted_class"], LABEL)
    np.testing.assert_array_equal(new.red, COLOR[:, 0].astype(int) * 257)
    np.testing.assert_array_equal(new["original_intensity"], columns["intensity"])


def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    writer, remark = find_writer(read_cloud(put(tmp_path / "a.ply", GOOD["ply lists"][1])))
    assert writer is None
    assert "lists" in remark
    gone = Cloud(source=tmp_path / "gone.ply", pos=POS)
    assert find_writer(gone) == (None, "no labeled file: the source does not exist")


@pytest.mark.parametrize("suffix", [".laz", ".ply", ".txt"])
def test_a_file_that_changed(tmp_path: Path, suffix: str) -> None:
    content: dict[str, bytes | Callable[[Path], None]] = {
        ".laz": las(3, count=10, compressed=True), ".ply": GOOD["ply little"][1].replace(b"ex 20", b"ex 10"),  # type: ignore[union-attr]
        ".txt": b"1 2 3\n2 3 4\n",  # type: ignore[union-attr]
    }  # fmt: skip
    path = put(tmp_path / f"a{suffix}", content[suffix])
    cloud = Cloud(source=path, pos=POS)
    labels = PointLabels(count=20, rows=lambda a, b: (LABEL[a:b], CONFIDENCE[a:b]), schema=S3DIS)
    writer, remark = find_writer(cloud)
    if writer is None:
        assert "line" in remark
        return
    with pytest.raises(UserError, match="Predict it again"):
        writer(path, tmp_path / "out", labels)
