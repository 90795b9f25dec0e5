"""LAS and LAZ files of all point formats, written by laspy."""

from pathlib import Path

import laspy
import numpy as np
import pytest
from helpers.cloud_files import COLOR, POS, las, put

from pcseg.data.io.clouds import read_cloud, read_table
from pcseg.errors import UserError


@pytest.mark.parametrize("kind", range(11))
def test_las(tmp_path: Path, kind: int) -> None:
    cloud = read_cloud(put(tmp_path / "a.las", las(kind)))
    np.testing.assert_allclose(cloud.pos, POS, atol=5.1e-4)
    assert (cloud.color is not None) == ("red" in laspy.PointFormat(kind).dimension_names)
    if cloud.color is not None:
        np.testing.assert_array_equal(cloud.color, COLOR)
    assert read_table(tmp_path / "a.las").columns["classification"].tolist() == list(range(20))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [0, 3, 7])
def test_laz(tmp_path: Path, kind: int) -> None:
    path = put(tmp_path / ("a.las" if kind == 3 else "a.laz"), las(kind, compressed=True))  # either suffix
    cloud, columns = read_cloud(path), read_table(path).columns
    np.testing.assert_allclose(cloud.pos, POS, atol=5.1e-4)
    assert (cloud.color is not None) == (kind > 0)
    if cloud.color is not None:
        np.testing.assert_array_equal(cloud.color, COLOR)
    assert columns["classification"].tolist() == list(range(20))


def test_extra_dimensions_are_columns(tmp_path: Path) -> None:
    columns = read_table(put(tmp_path / "a.las", las(6, registered=True))).columns
    assert columns["object"].tolist() == list(range(20))


@pytest.mark.slow
def test_damaged_laz(tmp_path: Path) -> None:
    data, plain = las(3, compressed=True), las(3)
    for content, message in [
        (plain[:104] + b"\x83" + plain[105:], "LAZ: "),
        (data[:-200], "LAZ: "),
        (data[:107] + (10**9).to_bytes(4, "little") + data[111:], "The file is damaged"),
        (data[:104] + b"\x8b" + data[105:], "point format 11"),
    ]:
        with pytest.raises(UserError, match=message) as caught:
            read_cloud(put(tmp_path / "b.laz", content))
        assert "\n" not in str(caught.value)


def test_a_decoder_that_takes_too_long_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "a.laz", las(3, compressed=True))
    monkeypatch.setattr("pcseg.data.io.las._SECONDS", 0.01)  # less than Python needs to start
    with pytest.raises(UserError, match=r"not decoded after 0\.01 s"):
        read_table(path)
