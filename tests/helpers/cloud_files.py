"""The same 20 points as files of every format and layout, written by reference libraries or by hand."""

import io
import struct
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import h5py
import laspy
import numpy as np
import pytest
from plyfile import PlyData, PlyElement

needs_pye57 = pytest.mark.skipif(find_spec("pye57") is None, reason="pye57 is not installed")

RNG = np.random.default_rng(0)
POS = RNG.uniform(-5, 5, (20, 3)).astype(np.float32)
COLOR = RNG.integers(0, 256, (20, 3)).astype(np.uint8)
NORMAL = (lambda n: n / np.linalg.norm(n, axis=1, keepdims=True))(RNG.normal(size=(20, 3))).astype(np.float32)
TEXT = "".join(
    f"{x} {y} {z} {r} {g} {b}\n" for (x, y, z), (r, g, b) in zip(POS.tolist(), COLOR.tolist(), strict=True)
)


def records(order: str = "<") -> np.ndarray:
    """Position, color, normal and an extra field, in an unusual order."""
    kinds = [("green", "u1"), ("z", "f4"), ("nx", "f4"), ("ny", "f4"), ("nz", "f4"), ("extra", "i2"),
             ("x", "f4"), ("red", "u1"), ("blue", "u1"), ("y", "f4")]  # fmt: skip
    table = np.zeros(20, dtype=[(name, order + kind) for name, kind in kinds])
    for index, name in enumerate("xyz"):
        table[name] = POS[:, index]
        table[f"n{name}"] = NORMAL[:, index]
        table[("red", "green", "blue")[index]] = COLOR[:, index]
    return table


def ply(
    encoding: str, *, count: int = 20, faces: bool = False, cameras: bool = True, lists: bool = False
) -> bytes:
    """A PLY file, with another element before the vertices, and with faces of different length after them.

    Args:
        encoding: The encoding that the header names.
        count: Number of points that the header announces.
        faces: Write faces after the vertices.
        cameras: Write an element before the vertices.
        lists: Write a list in the vertices.
    """
    table = records()
    if lists:
        table = np.zeros(20, dtype=[*table.dtype.descr[:5], ("seen", "O"), *table.dtype.descr[5:]])
        for name in records().dtype.names or ():
            table[name] = records()[name]
        table["seen"] = [np.arange(index % 4, dtype="i4") for index in range(20)]
    elements = [PlyElement.describe(table, "vertex")]
    if cameras:
        camera = np.array([(1, 2.5), (3, 4.5)], dtype=[("a", "u1"), ("b", "f4")])
        elements.insert(0, PlyElement.describe(camera, "camera"))
    if faces:
        face = np.empty(2, dtype=[("vertex_indices", "O")])
        face["vertex_indices"] = [np.array([0, 1, 2], "i4"), np.array([2, 1, 0, 3], "i4")]
        elements.append(PlyElement.describe(face, "face"))
    stream = io.BytesIO()
    order = ">" if "big" in encoding else "<"
    PlyData(elements, text=encoding == "ascii", byte_order=order, comments=["x"]).write(stream)
    return stream.getvalue().replace(b"element vertex 20", b"element vertex %d" % count)


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
    return head + struct.pack("<II", len(stream), len(fields)) + stream + b"\0" * 100  # PCL pads its files


def lzf_literals(data: bytes) -> bytes:
    """Return an LZF stream without back-references."""
    parts = [data[start : start + 32] for start in range(0, len(data), 32)]
    return b"".join(bytes([len(part) - 1]) + part for part in parts)


def las(kind: int, *, count: int = 20, compressed: bool = False, registered: bool = False) -> bytes:
    """A LAS or LAZ file in millimeters: version 1.2 or 1.3 for the old point formats, 1.4 for the new ones.

    Args:
        kind: Point format.
        count: Number of points.
        compressed: Write LAZ.
        registered: Describe the extra bytes, as a column "object".
    """
    cloud = laspy.create(
        point_format=kind, file_version="1.4" if kind >= 6 else "1.3" if kind >= 4 else "1.2"
    )
    cloud.header.scales, cloud.header.offsets = [0.001] * 3, [100.0, 200.0, 300.0]
    cloud.add_extra_dim(laspy.ExtraBytesParams(name="object", type=np.uint16))
    cloud.x, cloud.y, cloud.z = POS[:count].T.astype(np.float64)
    cloud.classification = np.arange(count, dtype=np.uint8)
    cloud.synthetic = np.ones(count, np.uint8)  # a flag in the byte of the classification in old formats
    cloud.object = np.arange(count)
    if "red" in cloud.point_format.dimension_names:
        cloud.red, cloud.green, cloud.blue = COLOR[:count].T.astype(np.uint16) * 257
    if not registered:
        cloud.header.vlrs.clear()
        cloud.header.extra_vlr_bytes = b"12345"
    stream = io.BytesIO()
    cloud.write(stream, do_compress=compressed)
    return stream.getvalue()


def write_e57(
    path: Path, *, invalid: int | None = None, spherical: bool = False, empty: bool = False
) -> Path:
    """Two scans of ten points each, the second one rotated and translated; together they are the 20 points."""
    import pye57  # pyright: ignore[reportMissingImports]

    with pye57.E57(str(path), mode="w") as file:
        for number in range(0 if empty else 2):
            rows = slice(10 * number, 10 * number + 10)
            pos = POS[rows].astype(np.float64)
            if number == 1:  # the frame of the scanner: rotated by 90 degrees about z, then translated
                pos = (pos - (10, 20, 30)) @ np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
            data = dict(zip(("cartesianX", "cartesianY", "cartesianZ"), pos.T))
            data |= dict(zip(("colorRed", "colorGreen", "colorBlue"), COLOR[rows].T))
            if number == 0:
                data["intensity"] = np.linspace(0, 1, 10, dtype=np.float32)
            if invalid is not None:
                data["cartesianInvalidState"] = (np.arange(20)[rows] == invalid).astype(np.int8)
            turn, move = [(1, 0, 0, 0), (0.5**0.5, 0, 0, 0.5**0.5)][number], [(0, 0, 0), (10, 20, 30)][number]
            file.write_scan_raw(data, rotation=np.array(turn), translation=np.array(move))
    return path


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
    "ply ascii": ("a.ply", ply("ascii", faces=True), True, True),
    "ply little": ("a.ply", ply("binary_little_endian"), True, True),
    "ply big, faces": ("a.PLY", ply("binary_big_endian", faces=True), True, True),
    "ply lists": ("a.ply", ply("binary_little_endian", faces=True, lists=True), True, True),
    "ply ascii lists": ("a.ply", ply("ascii", faces=True, lists=True), True, True),
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


def put(path: Path, content: bytes | Callable[[Path], None]) -> Path:
    if callable(content):
        content(path)
    else:
        path.write_bytes(content)
    return path
