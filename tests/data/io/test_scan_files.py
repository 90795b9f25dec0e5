"""LAZ and E57: read as the other formats are where their packages are installed, named where they are not."""

import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.cloud_files import COLOR, POS, las, put
from helpers.scan_files import needs_laspy, needs_pye57, write_e57, write_laz

from pcseg.data.io.clouds import from_columns, read_cloud, read_columns
from pcseg.data.io.las import LAYOUT
from pcseg.errors import UserError


@needs_laspy
@pytest.mark.parametrize("kind", [0, 3, 7])
def test_laz(tmp_path: Path, kind: int) -> None:
    path = write_laz(tmp_path / ("a.las" if kind == 3 else "a.laz"), kind)  # some call both kinds alike
    columns = read_columns(path)
    cloud = from_columns(columns, path)
    np.testing.assert_allclose(cloud.pos, POS, atol=5.1e-4)
    assert (cloud.color is not None) == (LAYOUT[kind][2] is not None)
    if cloud.color is not None:
        np.testing.assert_array_equal(cloud.color, COLOR)
    assert columns["classification"].tolist() == list(range(20))


@needs_laspy
def test_damaged_laz(tmp_path: Path) -> None:
    data = write_laz(tmp_path / "a.laz", 3).read_bytes()
    for content, message in [
        (las(3)[:104] + b"\x83" + las(3)[105:], "cannot be unpacked"),
        (data[:-200], "cannot be unpacked"),
        (data[:107] + (10**9).to_bytes(4, "little") + data[111:], "the file is damaged"),
        (data[:104] + b"\x8b" + data[105:], "point format 11"),
    ]:
        with pytest.raises(UserError, match=message) as caught:
            read_cloud(put(tmp_path / "b.laz", content))
        assert "\n" not in str(caught.value)


@needs_pye57
def test_e57(tmp_path: Path) -> None:
    """Two scans, each in its scanner's frame, are one cloud; intensity is not in both of them."""
    path = write_e57(tmp_path / "a.e57", invalid=13)
    cloud = read_cloud(path)
    there = np.arange(20) != 13
    np.testing.assert_array_equal(cloud.finite, there)
    np.testing.assert_allclose(cloud.pos[there], POS[there], atol=1e-5)
    np.testing.assert_array_equal(cloud.color, COLOR)
    assert set(read_columns(path)) == {"x", "y", "z", "red", "green", "blue"}


@needs_pye57
def test_e57_of_ranges_and_angles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scanners write ranges and angles; the package cannot, so the fields of a file are read as such."""
    monkeypatch.setattr("pcseg.data.io.e57.SPHERICAL", ("cartesianX", "cartesianY", "cartesianZ"))
    monkeypatch.setattr("pcseg.data.io.e57.CARTESIAN", ("none",))
    pos = read_cloud(write_e57(tmp_path / "a.e57")).pos[:10]
    distance, azimuth, elevation = POS[:10].T.astype(np.float64)
    expected = [np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)]
    np.testing.assert_allclose(pos, (distance * expected).T, atol=1e-5)


@needs_pye57
def test_damaged_e57(tmp_path: Path) -> None:
    data = write_e57(tmp_path / "a.e57").read_bytes()
    for content, message in [
        (b"ASTM-E57", "cannot be read as E57"),
        (data[:3000], "cannot be read as E57"),
        (data[:1500] + bytes(8) + data[1508:], "cannot be read as E57"),
        (write_e57(tmp_path / "none.e57", empty=True).read_bytes(), "holds no scans"),
    ]:
        with pytest.raises(UserError, match=message) as caught:
            read_cloud(put(tmp_path / "b.e57", content))
        assert "b.e57" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_package_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pye57", None)
    monkeypatch.setattr("pcseg.data.io.laz.find_spec", lambda name: None)
    for name, content in [("a.laz", las(3)[:104] + b"\x83" + las(3)[105:]), ("a.e57", b"ASTM-E57")]:
        with pytest.raises(UserError, match=r'pip install "pcseg\[scans\]"; or'):
            read_cloud(put(tmp_path / name, content))
    assert read_cloud(put(tmp_path / "a.las", las(3))).pos.shape == (20, 3)
