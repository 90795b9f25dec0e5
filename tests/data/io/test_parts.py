"""Files that are read in parts give the columns of the whole."""

from pathlib import Path

import numpy as np
import pytest
from helpers.cloud_files import GOOD, POS, las, put

from pcseg.data.io.clouds import from_table, read_cloud
from pcseg.data.io.parts import open_parts
from pcseg.errors import UserError

FORMATS = {
    "laz": ("a.laz", las(7, compressed=True, registered=False)),
    "las": ("a.las", las(2)),
    **{name: GOOD[name][:2] for name in ("ply little", "ply big, faces", "npy records", "npz")},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(FORMATS))
def test_parts_are_the_whole(tmp_path: Path, name: str) -> None:
    path = put(tmp_path / FORMATS[name][0], FORMATS[name][1])
    whole, file = read_cloud(path), open_parts(path)
    sample = file.sample(1000)
    parts = [from_table(table, path, like=sample) for table in file.tables(7, 7)]
    assert [len(part) for part in parts] == [7, 7, 6]
    np.testing.assert_array_equal(np.concatenate([part.pos for part in parts]), whole.pos)
    assert whole.color is not None
    np.testing.assert_array_equal(
        np.concatenate([part.color for part in parts if part.color is not None]), whole.color
    )
    some = np.concatenate([table.columns["x"] for table in file.tables(2, 9)])
    np.testing.assert_array_equal(some, whole.pos[[0, 1, 9, 10, 18, 19], 0])


def test_the_sample_decides_the_scale_of_colors(tmp_path: Path) -> None:
    """A dark part of a scan with 16-bit colors does not become bright."""
    path = tmp_path / "a.npz"
    np.savez(path, pos=POS, color=np.repeat([[100] * 3, [60_000] * 3], 10, axis=0).astype(np.uint16))
    file = open_parts(path)
    parts = [from_table(table, path, like=file.sample(20)) for table in file.tables(10, 10)]
    assert [int(part.color[0, 0]) for part in parts if part.color is not None] == [0, 233]


@pytest.mark.parametrize("name", ["ply ascii", "ply lists", "npy", "text", "pcd binary"])
def test_files_that_are_not_read_in_parts(tmp_path: Path, name: str) -> None:
    path = put(tmp_path / GOOD[name][0], GOOD[name][1])
    with pytest.raises(UserError, match=r"too large for --memory.* (binary PLY|'pos')"):
        open_parts(path)


def test_a_file_that_became_shorter(tmp_path: Path) -> None:
    path = put(tmp_path / "a.ply", GOOD["ply little"][1])
    file = open_parts(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="announces 20 points but holds"):
        list(file.tables(20, 20))
