"""Every file of the corpus is read with its true values, or refused with one line that names the file and the fix."""

from pathlib import Path

import numpy as np
import pytest
from helpers.corpus import arrays, e57, headerless, las, pcd, ply, text
from helpers.corpus.rows import Row
from helpers.damage import clear
from numpy.typing import ArrayLike

from pcseg.data.io.clouds import from_table, read_table
from pcseg.errors import UserError

ROWS = [*text.ROWS, *headerless.ROWS, *arrays.ROWS, *e57.ROWS, *las.ROWS, *pcd.ROWS, *ply.ROWS]


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=[f"{row.file.rpartition('.')[2]}: {row.id}" for row in ROWS])
def test_file(row: Row, tmp_path: Path) -> None:
    path, names = row.write(tmp_path), ",".join(row.names) or None
    if row.refusal is not None:
        with pytest.raises(UserError) as caught:
            from_table(read_table(path, columns=names), path)
        assert row.refusal in str(caught.value)
        assert clear(caught.value, row.file) == ""
        return
    assert row.pos is not None
    table = read_table(path, columns=names)
    cloud = from_table(table, path)
    np.testing.assert_allclose(cloud.pos, row.pos, atol=row.atol, rtol=0)
    same(cloud.color, row.color, atol=0)
    same(cloud.normal, row.normal, atol=1e-5)
    for name, values in row.columns.items():
        assert name in table.columns, f"no column {name!r}, only {list(table.columns)}"
        np.testing.assert_array_equal(table.columns[name], values, err_msg=name)
    assert not set(row.absent) & set(table.columns)
    assert table.unit == row.unit
    same(table.viewpoint, row.viewpoint, atol=1e-9)
    for part in row.remarks:
        assert any(part in remark for remark in cloud.remarks), f"{part!r} is not in {cloud.remarks}"


def same(array: np.ndarray | None, expected: ArrayLike | None, *, atol: float) -> None:
    """Compare arrays, or check that there is none."""
    if expected is None or array is None:
        assert array is None
        assert expected is None
    else:
        np.testing.assert_allclose(array, expected, atol=atol, rtol=0)


def test_the_corpus_is_wide() -> None:
    assert len({(row.file, row.id) for row in ROWS}) == len(ROWS)
