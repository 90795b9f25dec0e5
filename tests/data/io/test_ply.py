"""PLY files: what pcseg writes, and layouts that only plyfile parses."""

from pathlib import Path

import numpy as np
import pytest
from helpers.cloud_files import COLOR, POS, ply, put
from plyfile import PlyData

from pcseg.data.io.clouds import read_cloud, read_table
from pcseg.data.io.ply import write_ply
from pcseg.errors import UserError


def test_written_file_is_read_by_plyfile_and_by_pcseg(tmp_path: Path) -> None:
    columns = {
        "x": POS[:, 0].astype(np.float64),
        "y": POS[:, 1],
        "z": POS[:, 2].astype(">f4"),
        "red": COLOR[:, 0],
        "label": np.full(20, -1, "i2"),
    }
    write_ply(tmp_path / "a.ply", columns)
    vertices = PlyData.read(tmp_path / "a.ply")["vertex"]
    for name, column in columns.items():
        np.testing.assert_array_equal(vertices[name], column)
        assert vertices[name].dtype == column.dtype.newbyteorder("<")
    np.testing.assert_array_equal(read_cloud(tmp_path / "a.ply").pos, POS)
    assert [path.name for path in tmp_path.iterdir()] == ["a.ply"]


@pytest.mark.parametrize("ends", [b"\r\n", b"\r"])
def test_line_ends_of_the_header(tmp_path: Path, ends: bytes) -> None:
    data = ply("binary_little_endian", cameras=False)
    header, body = data.split(b"end_header\n", 1)
    path = put(tmp_path / "a.ply", header.replace(b"\n", ends) + b"end_header" + ends + body)
    np.testing.assert_array_equal(read_cloud(path).pos, POS)


def test_comment_that_names_the_end_of_the_header(tmp_path: Path) -> None:
    data = ply("binary_little_endian").replace(b"comment x", b"comment end_header element vertex 3")
    np.testing.assert_array_equal(read_cloud(put(tmp_path / "a.ply", data)).pos, POS)


def test_lists_in_the_vertices_are_dropped(tmp_path: Path) -> None:
    path = put(tmp_path / "a.ply", ply("binary_big_endian", lists=True))
    columns = read_table(path).columns
    assert "seen" not in columns
    np.testing.assert_array_equal(columns["extra"], np.zeros(20))


@pytest.mark.parametrize("count", [10**9, 10**18, 21, 3])
def test_wrong_count_of_vertices_with_lists(tmp_path: Path, count: int) -> None:
    path = put(tmp_path / "a.ply", ply("binary_little_endian", lists=True, count=count))
    with pytest.raises(UserError, match=r"announces|damaged|extra bytes"):
        read_cloud(path)
