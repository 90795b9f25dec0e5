"""The same twenty points as files of every kind and layout."""

import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from pcseg.data.io.las import LAYOUT, SMALLEST

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


def put(path: Path, content: bytes | Callable[[Path], None]) -> Path:
    if callable(content):
        content(path)
    else:
        path.write_bytes(content)
    return path
