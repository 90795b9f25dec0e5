"""Compressed PCD files with back-references, by hand and written by Open3D."""

import struct
from pathlib import Path

import numpy as np
import pytest
from helpers.cloud_files import put

from pcseg.data.io.clouds import read_cloud, read_table


def test_back_references(tmp_path: Path) -> None:
    """A literal "abc", then seven bytes copied from three back, then a long copy of one byte."""
    stream = bytes([2]) + b"abc" + bytes([5 << 5, 2]) + bytes([(7 << 5), 20, 0])
    head = b"FIELDS x y z\nSIZE 1 1 1\nTYPE U U U\nWIDTH 13\nHEIGHT 1\nDATA binary_compressed\n"
    path = put(tmp_path / "a.pcd", head + struct.pack("<II", len(stream), 39) + stream)
    columns = read_table(path).columns
    assert b"".join(columns[axis].tobytes() for axis in "xyz") == b"abcabcabca" + b"a" * 29


def test_open3d_writes_and_pcseg_reads(tmp_path: Path) -> None:
    o3d = pytest.importorskip("open3d")
    rng = np.random.default_rng(0)
    pos, color = rng.integers(0, 20, (5000, 3)) / 4, rng.integers(0, 256, (5000, 3))
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(pos))
    cloud.colors = o3d.utility.Vector3dVector(color / 255)
    o3d.io.write_point_cloud(str(tmp_path / "a.pcd"), cloud, compressed=True)
    assert b"binary_compressed" in (tmp_path / "a.pcd").read_bytes()[:500]
    read = read_cloud(tmp_path / "a.pcd")
    np.testing.assert_array_equal(read.pos, pos)
    np.testing.assert_array_equal(read.color, color)
