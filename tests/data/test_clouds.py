"""Clouds from files: every format gives the same points in the same order; damaged files give one line."""

import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from pcseg.data.clouds import read_cloud, read_columns
from pcseg.data.las import LAYOUT, SMALLEST
from pcseg.data.pcd import unpack_lzf
from pcseg.data.ply import write_ply
from pcseg.errors import UserError

RNG = np.random.default_rng(0)
POS = RNG.uniform(-5, 5, (20, 3)).astype(np.float32)
COLOR = RNG.integers(0, 256, (20, 3)).astype(np.uint8)
NORMAL = (lambda n: n / np.linalg.norm(n, axis=1, keepdims=True))(RNG.normal(size=(20, 3))).astype(np.float32)
TEXT = "".join(
    f"{x} {y} {z} {r} {g} {b}\n" for (x, y, z), (r, g, b) in zip(POS.tolist(), COLOR.tolist(), strict=True)
)


def records(order: str = "<") -> np.ndarray:
    """Position, colour, normal and a stray field, in an unusual order."""
    kinds = [("green", "u1"), ("z", "f4"), ("nx", "f4"), ("ny", "f4"), ("nz", "f4"), ("extra", "i2"),
             ("x", "f4"), ("red", "u1"), ("blue", "u1"), ("y", "f4")]  # fmt: skip
    table = np.zeros(20, dtype=[(name, order + kind) for name, kind in kinds])
    for index, name in enumerate("xyz"):
        table[name] = POS[:, index]
        table[f"n{name}"] = NORMAL[:, index]
        table[("red", "green", "blue")[index]] = COLOR[:, index]
    return table


def ply(order: str, *, count: int = 20, faces: bytes = b"") -> bytes:
    table = records(">" if "big" in order else "<")
    words = {"f4": "float", "u1": "uchar", "i2": "int16"}
    names = table.dtype.names or ()
    properties = "".join(f"property {words[table.dtype[name].str[1:]]} {name}\n" for name in names)
    face = "element face 1\nproperty list uchar int vertex_indices\n" if faces else ""
    camera = "element camera 2\nproperty uchar a\nproperty float b\n"
    head = (
        f"ply\nformat {order} 1.0\ncomment x\n{camera}element vertex {count}\n{properties}{face}end_header\n"
    )
    if order == "ascii":
        lines = "\n".join(" ".join(str(value) for value in row.tolist()) for row in table)
        return (head + "1 2.5\n3 4.5\n" + lines + "\n").encode() + faces
    return head.encode() + b"\1\2\3\4\5" * 2 + table.tobytes() + faces


def packed_color() -> np.ndarray:
    bits = COLOR.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    return bits.astype(np.uint32).view(np.float32)


def pcd(encoding: str, *, points: int = 20, width: int = 20) -> bytes:
    head = (
        "# .PCD v0.7\nVERSION 0.7\n"
        "FIELDS x y z rgb _ h\nSIZE 4 4 4 4 1 4\nTYPE F F F F U F\nCOUNT 1 1 1 1 3 2\n"
        f"WIDTH {width}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {points}\nDATA {encoding}\n"
    ).encode()
    rgb = packed_color()
    if encoding == "ascii":
        rows = [
            f"{x} {y} {z} {c!r} 0 0 0 1 2" for (x, y, z), c in zip(POS.tolist(), rgb.tolist(), strict=True)
        ]
        return head + "\n".join(rows).encode()
    kinds = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("c", "<f4"), ("_", "u1", 3), ("h", "<f4", 2)]
    table = np.zeros(20, dtype=kinds)
    table["x"], table["y"], table["z"], table["c"] = *POS.T, rgb
    if encoding == "binary":
        return head + table.tobytes()
    fields = b"".join(np.ascontiguousarray(table[name]).tobytes() for name in table.dtype.names or ())
    stream = lzf_literals(fields)
    return head + struct.pack("<II", len(stream), len(fields)) + stream + b"\0" * 100  # padded as PCL does


def lzf_literals(data: bytes) -> bytes:
    """An LZF stream without references to earlier bytes."""
    parts = [data[start : start + 32] for start in range(0, len(data), 32)]
    return b"".join(bytes([len(part) - 1]) + part for part in parts)


def las(kind: int, *, count: int = 20) -> bytes:
    """A LAS file of millimetres: version 1.2 for the old point formats, 1.4 for the new ones."""
    new = kind >= 6
    head = bytearray(375 if new else 227)
    head[:4], head[24], head[25], head[104] = b"LASF", 1, 4 if new else 2, kind
    size = SMALLEST[kind] + 3  # with extra bytes
    struct.pack_into("<HI", head, 94, len(head), len(head) + 5)
    struct.pack_into("<HI", head, 105, size, 0 if new else count)
    struct.pack_into("<6d", head, 131, 0.001, 0.001, 0.001, 100, 200, 300)
    if new:
        struct.pack_into("<Q", head, 247, count)
    place, _, color = LAYOUT[kind]
    rows = np.zeros((count, size), dtype=np.uint8)
    cells = np.rint((POS[:count].astype(np.float64) - (100, 200, 300)) * 1000).astype("<i4")
    rows[:, :12] = cells.view(np.uint8).reshape(count, 12)
    rows[:, place] = np.arange(count) % 20 + (0 if new else 32)  # the upper bits are flags in old formats
    if color is not None:
        rows[:, color : color + 6] = (COLOR[:count].astype("<u2") * 257).view(np.uint8).reshape(count, 6)
    return bytes(head) + b"12345" + rows.tobytes()


def hdf5(**arrays: np.ndarray) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array

    return write


def npz(**arrays: np.ndarray) -> Callable[[Path], None]:
    return lambda path: np.savez(path, **arrays)  # pyright: ignore[reportArgumentType]


def npy(array: np.ndarray) -> Callable[[Path], None]:
    return lambda path: np.save(path, array)


TABLE = np.concatenate([POS, NORMAL, COLOR], axis=1)
GOOD: dict[str, tuple[str, bytes | Callable[[Path], None], bool, bool]] = {
    "ply ascii": ("a.ply", ply("ascii", faces=b"3 0 1 2\n"), True, True),
    "ply little": ("a.ply", ply("binary_little_endian"), True, True),
    "ply big, faces": ("a.PLY", ply("binary_big_endian", faces=b"\3" + b"\0" * 12), True, True),
    "pcd ascii": ("a.pcd", pcd("ascii"), True, False),
    "pcd binary": ("a.pcd", pcd("binary"), True, False),
    "pcd compressed": ("a.pcd", pcd("binary_compressed"), True, False),
    "xyz": ("a.xyz", "".join(f"{x}\t{y}\t{z}\n" for x, y, z in POS.tolist()).encode(), False, False),
    "text": ("a.txt", TEXT.encode(), True, False),
    "text, no last newline, blanks": (
        "a.txt",
        b"\n  " + TEXT.replace(" ", "   ").strip().encode(),
        True,
        False,
    ),
    "text, count first": ("a.txt", b"20\n" + TEXT.encode(), True, False),
    "text, windows": ("a.txt", TEXT.replace("\n", "\r\n").encode(), True, False),
    "text, header": ("a.txt", b"// X,Y,Z,R,G,B\n" + TEXT.replace(" ", ",").encode(), True, False),
    "text, semicolons": ("a.xyz", TEXT.replace(" ", "; ").encode(), True, False),
    "text, intensity first": (
        "a.txt",
        "".join(
            f"{' '.join(w[:3])} -7.5 {' '.join(w[3:])}\n" for w in map(str.split, TEXT.splitlines())
        ).encode(),
        True,
        False,
    ),
    "npy": ("a.npy", npy(TABLE), True, True),
    "npy records": ("a.npy", npy(records()), True, True),
    "npz": ("a.npz", npz(coord=POS, rgb=COLOR, Normal=NORMAL, label=np.arange(20)), True, True),
    "hdf5": ("a.h5", hdf5(xyz=POS, color=COLOR, normal=NORMAL, sem=np.zeros(20)), True, True),
    "hdf5 table": ("a.hdf5", hdf5(points=np.concatenate([POS, COLOR], axis=1)), True, False),
    "npz table": ("a.npz", npz(points=np.concatenate([POS, COLOR / 255], axis=1)), True, False),
}


@pytest.mark.parametrize("kind", range(11))
def test_las(tmp_path: Path, kind: int) -> None:
    cloud = read_cloud(put(tmp_path / "a.las", las(kind)))
    np.testing.assert_allclose(cloud.pos, POS, atol=5.1e-4)
    assert (cloud.color is not None) == (LAYOUT[kind][2] is not None)
    if cloud.color is not None:
        np.testing.assert_array_equal(cloud.color, COLOR)
    assert read_columns(tmp_path / "a.las")["classification"].tolist() == list(range(20))


def test_columns_beside_the_positions(tmp_path: Path) -> None:
    put(tmp_path / "a.npz", npz(pos=POS, Label=np.arange(20), id=np.zeros((20, 1)), name=np.array("x")))
    columns = read_columns(tmp_path / "a.npz")
    assert set(columns) == {"x", "y", "z", "pos.0", "pos.1", "pos.2", "label", "id"}
    assert columns["label"].tolist() == list(range(20))


def test_an_empty_cloud_where_it_is_allowed(tmp_path: Path) -> None:
    path = put(tmp_path / "a.npy", npy(np.zeros((0, 3))))
    assert len(read_cloud(path, allow_empty=True)) == 0
    path = put(tmp_path / "a.txt", b"nan nan nan\n")
    assert not read_cloud(path, allow_empty=True).finite.any()


def put(path: Path, content: bytes | Callable[[Path], None]) -> Path:
    if callable(content):
        content(path)
    else:
        path.write_bytes(content)
    return path


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


def test_lzf_references() -> None:
    """A literal "abc", then seven bytes copied from three back, then a long copy of one byte."""
    stream = bytes([2]) + b"abc" + bytes([5 << 5, 2]) + bytes([(7 << 5), 20, 0])
    assert unpack_lzf(stream, 39).tobytes() == b"abcabcabca" + b"a" * 29


def test_ply_roundtrip(tmp_path: Path) -> None:
    columns = {
        "x": POS[:, 0].astype(np.float64),
        "y": POS[:, 1],
        "z": POS[:, 2],
        "label": np.full(20, -1, "i2"),
    }
    write_ply(tmp_path / "a.ply", columns)
    cloud = read_cloud(tmp_path / "a.ply")
    np.testing.assert_array_equal(cloud.pos, POS)
    assert [path.name for path in tmp_path.iterdir()] == ["a.ply"]


LITTLE = ply("binary_little_endian")
BAD: dict[str, tuple[str, bytes | Callable[[Path], None], str]] = {
    "unknown kind": ("a.docx", b"PK", "'.docx' are unknown"),
    "kind to convert": ("a.e57", b"ASTM-E57", "turn it into LAS or PLY"),
    "las: header": ("a.las", b"LASF" + bytes(100), "not a LAS file"),
    "las: cut": ("a.las", las(3)[:-1], "announces 20 points but holds 19"),
    "las: packed": ("a.las", las(3)[:104] + b"\x83" + las(3)[105:], "compressed (LAZ)"),
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
    "ply: no vertices": ("a.ply", b"ply\nformat ascii 1.0\nend_header\n", "no vertices"),
    "ply: none": ("a.ply", ply("ascii", count=0).split(b"1 2.5")[0] + b"1 2.5\n3 4.5\n", "holds no points"),
    "ply: no x": ("a.ply", LITTLE.replace(b"float x", b"float u"), "no columns x, y and z"),
    "ply: lists": ("a.ply", LITTLE.replace(b"float x", b"list uchar int x"), "lists"),
    "ply: bad word": (
        "a.ply",
        ply("ascii", faces=b"3 0 1 2\n").replace(b" 0 ", b" no ", 1),
        "'no' is not a number",
    ),
    "pcd: other bytes": ("a.pcd", b"solid\n" * 30, "not a PCD file"),
    "pcd: header": ("a.pcd", pcd("binary").replace(b"SIZE 4", b"SIZE q"), "damaged PCD header"),
    "pcd: cut": ("a.pcd", pcd("binary")[:-5], "announces 20 points but holds 19"),
    "pcd: cut, compressed": ("a.pcd", pcd("binary_compressed")[:-120], "the file is damaged"),
    "pcd: counts": ("a.pcd", pcd("binary", width=21), "width and height give 21"),
    "pcd: short, compressed": ("a.pcd", pcd("binary_compressed", points=19, width=19), "the file is damaged"),
    "pcd: ascii": ("a.pcd", pcd("ascii", points=19, width=19), "announces 19 points but holds 20"),
    "pcd: encoding": ("a.pcd", pcd("binary").replace(b"DATA binary", b"DATA zip"), "'zip' is unknown"),
    "text: bad word": ("a.txt", b"1 2 3\n1 2 3\n1 two 3\n", "line 3: 'two' is not a number"),
    "text: short line": ("a.txt", b"x y z\n1 2 3\n1 2\n1 2 3\n", "line 3: 2 values"),
    "text: long line": ("a.txt", b"1 2 3\n1 2 3\n1 2 3 4\n", "line 3: 4 values"),
    "text: short line and nan": ("a.txt", b"1 2 3\nnan 2 3\n1 2\n", "line 3: 2 values"),
    "text: cut": ("a.txt", TEXT[:-9].encode(), "line 20: "),
    "text: two columns": ("a.xyz", b"1 2\n3 4\n", "2 column(s)"),
    "text: only words": ("a.txt", b"a b c\n", "holds no points"),
    "text: binary": ("a.txt", b"\0\1\2", "not a text file"),
    "text: no positions": ("a.txt", b"nan nan nan\n", "holds no points with a position"),
    "npy: cut": ("a.npy", b"\x93NUMPY\1\0", "not a readable .npy"),
    "npy: shape": ("a.npy", npy(np.zeros((4, 3, 2))), "(4, 3, 2)"),
    "npy: columns": ("a.npy", npy(np.zeros((4, 2))), "2 column(s)"),
    "npy: empty": ("a.npy", npy(np.zeros((0, 3))), "holds no points"),
    "npy: objects": ("a.npy", npy(np.array([{}, None])), "not a readable .npy"),
    "npz: no zip": ("a.npz", b"PK\3\4 nothing", "not a readable .npz"),
    "npz: names": ("a.npz", npz(a=np.zeros(3), b=np.zeros(3)), "no array 'pos'"),
    "npz: shape": ("a.npz", npz(pos=np.zeros((5, 3)), color=np.zeros(5)), "color has shape (5,)"),
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
