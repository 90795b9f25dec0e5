"""E57 files, written by pye57."""

import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.cloud_files import COLOR, POS, las, needs_pye57, put, write_e57

from pcseg.data.io.clouds import read_cloud, read_table
from pcseg.errors import UserError


@needs_pye57
def test_scans_are_concatenated(tmp_path: Path) -> None:
    """Two scans in the frames of their scanners form one cloud; the intensity is missing in one of them."""
    path = write_e57(tmp_path / "a.e57", invalid=13)
    cloud = read_cloud(path)
    valid = np.arange(20) != 13
    np.testing.assert_array_equal(cloud.finite, valid)
    np.testing.assert_allclose(cloud.pos[valid], POS[valid], atol=1e-5)
    np.testing.assert_array_equal(cloud.color, COLOR)
    assert np.isnan(read_table(path).columns["intensity"]).tolist() == [False] * 10 + [True] * 10


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


def test_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pye57", None)
    with pytest.raises(UserError, match=r"Run 'pip install pye57', or"):
        read_cloud(put(tmp_path / "a.e57", b"ASTM-E57"))
    assert read_cloud(put(tmp_path / "a.las", las(3))).pos.shape == (20, 3)
