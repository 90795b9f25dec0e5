"""Clouds from files: every format gives the same points in the same order; damaged files give one line."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.cloud_files import COLOR, GOOD, NORMAL, POS, TEXT, las, npy, npz, pcd, ply, put

from pcseg.data.io.clouds import read_cloud, read_table
from pcseg.errors import UserError


def test_columns_beside_the_positions(tmp_path: Path) -> None:
    put(tmp_path / "a.npz", npz(pos=POS, Label=np.arange(20), id=np.zeros((20, 1)), name=np.array("x")))
    columns = read_table(tmp_path / "a.npz").columns
    assert set(columns) == {"x", "y", "z", "pos.0", "pos.1", "pos.2", "label", "id"}
    assert columns["label"].tolist() == list(range(20))


def test_words_in_records(tmp_path: Path) -> None:
    kinds = [("x", "f4"), ("y", "f4"), ("z", "f4"), ("label", "U8"), ("time", "M8[s]")]
    put(tmp_path / "a.npy", npy(np.array([(1, 2, 3, "wall", 0), (4, 5, 6, "", 0)], dtype=kinds)))
    columns = read_table(tmp_path / "a.npy").columns
    assert set(columns) == {"x", "y", "z", "label"}
    assert columns["label"].tolist() == ["wall", ""]


def test_an_empty_cloud_where_it_is_allowed(tmp_path: Path) -> None:
    path = put(tmp_path / "a.npy", npy(np.zeros((0, 3))))
    assert len(read_cloud(path, allow_empty=True)) == 0
    path = put(tmp_path / "a.txt", b"nan nan nan\n")
    assert not read_cloud(path, allow_empty=True).finite.any()


@pytest.mark.parametrize("case", GOOD)
def test_formats(tmp_path: Path, case: str) -> None:
    name, content, has_color, has_normal = GOOD[case]
    cloud = read_cloud(put(tmp_path / name, content))
    np.testing.assert_allclose(cloud.pos, POS, atol=1e-6)
    assert (cloud.color is not None, cloud.normal is not None) == (has_color, has_normal)
    if cloud.color is not None:
        np.testing.assert_array_equal(cloud.color, COLOR)
    if cloud.normal is not None:
        np.testing.assert_allclose(cloud.normal, NORMAL, atol=1e-5)
    assert cloud.label is None


def test_intensity_of_pts_is_not_a_color(tmp_path: Path) -> None:
    path = put(tmp_path / "a.pts", b"2\n0 0 0 55 52 44 65\n0.5 1 2 228 0 230 225\n")
    np.testing.assert_array_equal(read_cloud(path).color, [[52, 44, 65], [0, 230, 225]])
    assert read_table(path).columns["intensity"].tolist() == [55, 228]
    path = put(tmp_path / "b.PTS", b"1\n0 0 0 52 44 65\n")
    np.testing.assert_array_equal(read_cloud(path).color, [[52, 44, 65]])


def test_rows_without_a_position_stay(tmp_path: Path) -> None:
    cloud = read_cloud(put(tmp_path / "a.txt", b"1 2 3\nnan nan nan\n4 5 6\ninf 0 0\n"))
    assert cloud.finite.tolist() == [True, False, True, False]
    np.testing.assert_array_equal(cloud.pos[2], [4, 5, 6])


def test_large_coordinates_keep_their_digits(tmp_path: Path) -> None:
    cloud = read_cloud(put(tmp_path / "a.xyz", b"5432100.001 600000.002 301.003\n"))
    np.testing.assert_allclose(cloud.pos, [[5432100.001, 600000.002, 301.003]], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [(np.array([0, 128, 255]), 128), (np.array([0, 0.5, 1]), 128), (np.array([0, 32896, 65535]), 128)],
)
def test_colors_of_any_depth(tmp_path: Path, values: np.ndarray, expected: int) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, pos=np.eye(3), color=np.stack([values] * 3, axis=1))
    color = read_cloud(path).color
    assert color is not None
    np.testing.assert_array_equal(color[:, 0], [0, expected, 255])


LITTLE = ply("binary_little_endian")
BAD: dict[str, tuple[str, bytes | Callable[[Path], None], str]] = {
    "unknown kind": ("a.docx", b"PK", "unknown format '.docx'"),
    "kind to convert": ("a.rcp", b"rcp", "Export it as LAS"),
    "las: header": ("a.las", b"LASF" + bytes(100), "not a LAS file"),
    "las: cut": ("a.las", las(3)[:-1], "announces 20 points but holds 19"),
    "las: format": ("a.las", las(3)[:104] + b"\x0b" + las(3)[105:], "point format 11"),
    "las: none": ("a.las", las(3, count=0), "holds no points"),
    "empty file": ("a.ply", b"", "file is empty"),
    "ply: other bytes": ("a.ply", b"\x89PNG\r\n", "not a PLY file"),
    "ply: cut in the header": ("a.ply", LITTLE[:60], "not a PLY file"),
    "ply: cut in the data": ("a.ply", LITTLE[:-5], "announces 20 points but holds 19"),
    "ply: too long": ("a.ply", LITTLE + b"x" * 40, "announces 20 points"),
    "ply: count": ("a.ply", ply("ascii", count=25), "announces 25 points but holds 20"),
    "ply: fewer": ("a.ply", ply("ascii", count=15), "announces 15 points but holds 20"),
    "ply: bad type": ("a.ply", LITTLE.replace(b"float z", b"flaot z"), "damaged PLY header"),
    "ply: no vertices": ("a.ply", b"ply\nformat ascii 1.0\nend_header\n", "no element 'vertex'"),
    "ply: none": ("a.ply", ply("ascii", count=0).split(b"1 2.5")[0] + b"1 2.5\n3 4.5\n", "holds no points"),
    "ply: no x": ("a.ply", LITTLE.replace(b"float x", b"float u"), "no columns x, y and z"),
    "ply: lists": ("a.ply", LITTLE.replace(b"float x", b"list uchar int x"), "damaged PLY file"),
    "ply: bad word": (
        "a.ply",
        ply("ascii", faces=True).replace(b" 0 ", b" no ", 1),
        "'no' is not a number",
    ),
    "pcd: other bytes": ("a.pcd", b"solid\n" * 30, "not a PCD file"),
    "pcd: header": ("a.pcd", pcd("binary").replace(b"SIZE 4", b"SIZE q"), "damaged PCD header"),
    "pcd: cut": ("a.pcd", pcd("binary")[:-5], "announces 20 points but holds 19"),
    "pcd: cut, compressed": ("a.pcd", pcd("binary_compressed")[:-120], "The file is damaged"),
    "pcd: counts": (
        "a.pcd",
        pcd("binary", width=21, points=22),
        "22 points (21 by width and height) but holds 20",
    ),
    "pcd: short, compressed": ("a.pcd", pcd("binary_compressed", points=19, width=19), "The file is damaged"),
    "pcd: ascii": ("a.pcd", pcd("ascii", points=19, width=19), "announces 19 points but holds 20"),
    "pcd: encoding": (
        "a.pcd",
        pcd("binary").replace(b"DATA binary", b"DATA zip"),
        "unknown PCD encoding 'zip'",
    ),
    "text: bad word": ("a.txt", b"1 2 3\n1 2 3\n1 two 3\n", "line 3: 'two' is not a number"),
    "text: short line": ("a.txt", b"x y z\n1 2 3\n1 2\n1 2 3\n", "line 3: has 2 values"),
    "text: long line": ("a.txt", b"1 2 3\n1 2 3\n1 2 3 4\n", "line 3: has 4 values"),
    "text: short line and nan": ("a.txt", b"1 2 3\nnan 2 3\n1 2\n", "line 3: has 2 values"),
    "text: cut": ("a.txt", TEXT[:-9].encode(), "line 20: "),
    "text: two columns": ("a.xyz", b"1 2\n3 4\n", "2 column(s)"),
    "text: only words": ("a.txt", b"a b c\n", "holds no points"),
    "text: thousands": ("a.csv", b"1,234;2,500;3,555\n", "'1,234' is not a number"),
    "text: both decimal signs": ("a.csv", b"1,25;2,5;3,75\n4.5;5,5;6,5\n", "Write decimal points"),
    "text: binary": ("a.txt", b"\0\1\2", "not a text file"),
    "text: no positions": ("a.txt", b"nan nan nan\n", "all coordinates are NaN"),
    "npy: cut": ("a.npy", b"\x93NUMPY\1\0", "not a readable .npy"),
    "npy: shape": ("a.npy", npy(np.zeros((4, 3, 2))), "(4, 3, 2)"),
    "npy: columns": ("a.npy", npy(np.zeros((4, 2))), "2 column(s)"),
    "npy: empty": ("a.npy", npy(np.zeros((0, 3))), "holds no points"),
    "npy: objects": ("a.npy", npy(np.array([{}, None])), "not a readable .npy"),
    "npz: no zip": ("a.npz", b"PK\3\4 nothing", "not a readable .npz"),
    "npz: names": ("a.npz", npz(a=np.zeros(3), b=np.zeros(3)), "no array 'pos'"),
    "npz: shape": ("a.npz", npz(pos=np.zeros((5, 3)), color=np.zeros(5)), "color is float64 of shape (5,)"),
    "npz: lengths": ("a.npz", npz(pos=np.zeros((5, 3)), color=np.zeros((4, 3))), "differ in length"),
    "h5: other bytes": ("a.h5", b"nothing", "cannot be read as HDF5"),
}


@pytest.mark.parametrize("case", BAD)
def test_damaged_files_give_one_line(tmp_path: Path, case: str) -> None:
    name, content, message = BAD[case]
    path = put(tmp_path / name, content)
    with pytest.raises(UserError) as caught:
        read_cloud(path)
    text = str(caught.value)
    assert message in text
    assert str(path) in text
    assert "\n" not in text


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_cloud(tmp_path / "none.ply")
    with pytest.raises(UserError, match="a folder"):
        read_cloud(tmp_path)


def test_real_scans(real_scans: Path) -> None:
    counts = {path.name: (len(cloud), int(cloud.finite.sum()), cloud.color is not None)
              for path in sorted(real_scans.glob("*.pcd")) if (cloud := read_cloud(path))}  # fmt: skip
    assert counts["region_growing_rgb_tutorial.pcd"] == (307200, 259847, True)
    assert counts["room_scan1.pcd"] == (112586, 112586, False)
    assert counts["capture0001.pcd"] == (307200, 249647, False)
