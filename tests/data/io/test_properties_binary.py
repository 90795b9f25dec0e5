"""What plyfile, laspy and Open3D write, pcseg reads: random types, orders, byte orders and further columns."""

import io
from collections.abc import Sequence
from pathlib import Path

import laspy
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from plyfile import PlyData, PlyElement

from pcseg.data.io.clouds import read_table

pytestmark = pytest.mark.slow  # the corpus has fast tests of the same readers

OPTIONS = settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.generate],  # to shrink an example takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
KINDS = ("i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8")
NAMES = st.lists(st.from_regex(r"[a-w][a-z0-9_]{0,8}", fullmatch=True), unique=True, max_size=6)


@st.composite
def tables(draw: st.DrawFn, kinds: tuple[str, ...] = KINDS) -> np.ndarray:
    """Records with x, y, z and further columns, all in random order."""
    names = [name for name in draw(NAMES) if not name.startswith("scalar_")]
    fields = [(axis, draw(st.sampled_from(("f4", "f8")))) for axis in "xyz"]
    fields += [(name, draw(st.sampled_from(kinds))) for name in names]
    rows = draw(st.integers(1, 8))
    return draw(hnp.arrays(np.dtype(draw(st.permutations(fields))), rows))


def whole(values: np.ndarray, limit: int) -> np.ndarray:
    """Positions as integers below a limit."""
    return np.nan_to_num(np.clip(values, 0, limit - 1)).astype(np.int64)


def same(table: np.ndarray, columns: dict[str, np.ndarray], names: Sequence[str] | None = None) -> None:
    for name in (table.dtype.names or ()) if names is None else names:
        np.testing.assert_array_equal(columns[name], table[name], err_msg=name)


@OPTIONS
@given(table=tables(), text=st.booleans(), order=st.sampled_from("<>"), faces=st.booleans(), first=st.booleans(),
       ends=st.sampled_from((b"\n", b"\r\n")), comment=st.text("end_header \tä", max_size=12))  # fmt: skip
def test_ply(
    table: np.ndarray,
    text: bool,
    order: str,
    faces: bool,
    first: bool,
    ends: bytes,
    comment: str,
    tmp_path: Path,
) -> None:
    elements = [PlyElement.describe(table, "vertex")]
    if faces:
        polygons = np.empty(2, [("vertex_indices", "O")])
        polygons["vertex_indices"] = [np.array([0, 1, 2], "i4"), np.array([2, 1, 0, 3], "i4")]
        elements.insert(0 if first else 1, PlyElement.describe(polygons, "face"))
    stream = io.BytesIO()
    PlyData(elements, text=text, byte_order="=" if text else order).write(stream)
    head, body = stream.getvalue().split(b"end_header\n", 1)
    lines = [
        *head.split(b"\n")[:2],
        b"comment " + comment.encode(),
        *head.split(b"\n")[2:-1],
        b"end_header",
        b"",
    ]
    body = body.replace(b"\n", ends) if text else body
    (tmp_path / "a.ply").write_bytes(ends.join(lines) + body)
    same(table, read_table(tmp_path / "a.ply").columns)


@OPTIONS
@given(
    table=tables((*KINDS, "i8", "u8")),
    kind=st.integers(0, 10),
    compressed=st.sampled_from((False,) * 4 + (True,)),
)
def test_las(table: np.ndarray, kind: int, compressed: bool, tmp_path: Path) -> None:
    """Positions in steps of the scale, every standard dimension, and the other columns as extra bytes."""
    header = laspy.LasHeader(point_format=kind, version="1.4")
    header.scales, header.offsets = np.array([0.001, 0.01, 1e-5]), np.array([0.5, -3, 1e6])
    standard = [name for name in header.point_format.dimension_names if name not in ("X", "Y", "Z")]
    extra = [name for name in table.dtype.names or () if name not in (*"xyz", *standard)]
    for name in extra:
        header.add_extra_dim(laspy.ExtraBytesParams(name, table.dtype[name]))
    cloud = laspy.LasData(header, laspy.ScaleAwarePointRecord.zeros(len(table), header=header))
    steps = {axis: whole(table[axis], 10**6) for axis in "xyz"}
    for axis, name in zip("xyz", "XYZ"):
        cloud[name] = steps[axis]
    for name in standard:
        most = int(cloud.point_format.dimension_by_name(name).max) if name != "gps_time" else 10**9
        cloud[name] = np.arange(len(table)) % (min(most, 250) + 1)
    for name in extra:
        cloud[name] = table[name]
    path = tmp_path / ("a.laz" if compressed else "a.las")
    cloud.write(str(path))
    columns = read_table(path).columns
    same(table, columns, extra)
    for name in standard:
        if not (compressed and name == "wavepacket_offset"):  # which the LAZ writer changes
            np.testing.assert_array_equal(columns[name], np.asarray(cloud[name]), err_msg=name)
    for axis, scale, offset in zip("xyz", header.scales, header.offsets):
        np.testing.assert_allclose(columns[axis], steps[axis] * scale + offset, rtol=1e-12)


@OPTIONS
@given(table=tables(), style=st.sampled_from(("ascii", "binary", "binary_compressed")))
def test_pcd(table: np.ndarray, style: str, tmp_path: Path) -> None:
    pypcd4 = pytest.importorskip("pypcd4")
    names = list(table.dtype.names or ())
    kinds = [table.dtype[name].type for name in names]
    if style == "ascii":
        for name in names:  # it writes ten digits
            table[name] = whole(table[name], 100)
    cloud = pypcd4.PointCloud.from_points([table[name] for name in names], names, kinds)
    cloud.save(tmp_path / "a.pcd", encoding=pypcd4.Encoding(style))
    same(table, read_table(tmp_path / "a.pcd").columns)
