"""PCD files of all versions and encodings, byte by byte and by Open3D."""

import struct
from pathlib import Path

import numpy as np
from helpers.corpus.rows import Row

POS = np.array([[0.5, 1.5, 2.5], [-1, 2, 3], [4, 5, 6.25]])
COLOR = np.array([[255, 0, 10], [20, 30, 40], [7, 8, 200]])
NORMAL = np.array([[0, 0, 1.0], [0.6, 0.8, 0], [1, 0, 0]])
PACKED = COLOR.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
XYZ = [("x", "f4", POS[:, 0]), ("y", "f4", POS[:, 1]), ("z", "f4", POS[:, 2])]
Field = tuple[str, str, object]
TEXT = "".join(f"{x} {y} {z}\n" for x, y, z in POS.tolist()).encode()


def header(
    fields: list[Field], encoding: str, *, count: int = 3, without: tuple[str, ...] = (), **lines: str
) -> bytes:
    """A header; ``without`` leaves lines out, ``lines`` replaces them."""
    kinds = [np.dtype(kind) for _, kind, _ in fields]
    given = {
        "VERSION": "0.7",
        "FIELDS": " ".join(name for name, *_ in fields),
        "SIZE": " ".join(str(kind.base.itemsize) for kind in kinds),
        "TYPE": " ".join(kind.base.kind.upper() for kind in kinds),
        "COUNT": " ".join(str(kind.shape[0] if kind.shape else 1) for kind in kinds),
        "WIDTH": str(count),
        "HEIGHT": "1",
        "VIEWPOINT": "0 0 0 1 0 0 0",
        "POINTS": str(count),
        "DATA": encoding,
    } | lines
    rows = [f"{key} {value}\n" for key, value in given.items() if key not in without]
    return ("# .PCD v.7 - Point Cloud Data file format\n" + "".join(rows)).encode()


def records(fields: list[Field]) -> np.ndarray:
    table = np.zeros(3, [(f"{i}", np.dtype(kind).newbyteorder("<")) for i, (_, kind, _) in enumerate(fields)])
    for i, (*_, values) in enumerate(fields):
        table[f"{i}"] = values
    return table


def pcd(fields: list[Field], encoding: str, *, padding: bool = True, **lines: str) -> bytes:
    """A file of three points; PCL leaves out padding fields (``_``) in ASCII files."""
    head, table = header(fields, encoding, **lines), records(fields)
    if encoding == "ascii":
        shown = [f"{i}" for i, (name, *_) in enumerate(fields) if padding or name != "_"]
        return head + b"".join(
            " ".join(repr(value) for name in shown for value in np.atleast_1d(row[name]).tolist()).encode()
            + b"\n"
            for row in table
        )
    if encoding == "binary":
        return head + table.tobytes()
    data = b"".join(np.ascontiguousarray(table[name]).tobytes() for name in table.dtype.names or ())
    parts = [data[at : at + 32] for at in range(0, len(data), 32)]
    stream = b"".join(bytes([len(part) - 1]) + part for part in parts)  # LZF without back-references
    return head + struct.pack("<II", len(stream), len(data)) + stream


def by_open3d(path: Path, *, text: bool, compressed: bool) -> None:
    import open3d as o3d

    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(POS))
    cloud.colors = o3d.utility.Vector3dVector(COLOR / 255)
    cloud.normals = o3d.utility.Vector3dVector(NORMAL)
    o3d.io.write_point_cloud(str(path), cloud, write_ascii=text, compressed=compressed)


def field_rows() -> list[Row]:
    """Fields of all types in all encodings."""
    packed = PACKED.astype(np.uint32)
    alpha = (packed | np.uint32(0xFF000000)).astype(np.uint32)
    normal = [(f"normal_{axis}", "f4", NORMAL[:, i]) for i, axis in enumerate("xyz")]
    rgb = [(name, "u1", COLOR[:, i]) for i, name in enumerate("rgb")]
    cases: dict[str, tuple[list[Field], dict]] = {
        "rgb as bits of a float": ([("rgb", "f4", packed.view(np.float32))], {"color": COLOR}),
        "rgb as an integer": ([("rgb", "u4", packed)], {"color": COLOR}),
        "rgb as a signed integer": ([("rgb", "i4", alpha.view(np.int32))], {"color": COLOR}),
        "rgb as the value of a float": ([("rgb", "f4", packed.astype(np.float32))], {"color": COLOR}),
        "rgba": ([("rgba", "u4", alpha)], {"color": COLOR}),
        "rgb as three bytes": ([("rgb", "3u1", COLOR)], {"color": COLOR}),
        "r, g, b": (rgb, {"color": COLOR}),
        "normals and curvature": ([*normal, ("curvature", "f4", [0, 0.5, 1])], {"normal": NORMAL}),
        "labels": ([("label", "u4", [0, 7, 2**32 - 1])], {"columns": {"label": [0, 7, 2**32 - 1]}}),
        "intensity, ring, time": (
            [("intensity", "f4", [0, 0.5, 255]), ("ring", "u2", [0, 63, 65535]), ("time", "f8", [0, 1e9 + 0.125, 2])],
            {"columns": {"intensity": [0, 0.5, 255], "ring": [0, 63, 65535], "time": [0, 1e9 + 0.125, 2]}},
        ),
        "histograms": ([("fpfh", "33f4", np.arange(99).reshape(3, 33)), ("label", "i2", [-1, 0, 1])],
                       {"columns": {"fpfh.0": [0, 33, 66], "fpfh.32": [32, 65, 98], "label": [-1, 0, 1]}}),
        "padding": ([("_", "4u1", 9), ("label", "u1", [1, 2, 3]), ("_", "u1", 9)],
                    {"columns": {"label": [1, 2, 3]}, "absent": ("_",)}),
        "names in capitals": ([("INTENSITY", "f4", [1, 2, 3])], {"columns": {"intensity": [1, 2, 3]}}),
        "64-bit integers": ([("id", "u8", [1, 2, 2**40]), ("n", "i8", [-1, 0, 1])],
                            {"columns": {"id": [1, 2, 2**40], "n": [-1, 0, 1]}}),
    }  # fmt: skip
    rows = [
        Row(id=f"{name}, {encoding}", file="a.pcd", content=pcd([*XYZ, *fields], encoding), pos=POS, **expected)
        for name, (fields, expected) in cases.items() for encoding in ("ascii", "binary", "binary_compressed")
    ]  # fmt: skip
    rows += [
        Row(id=f"Open3D, ascii {text}, compressed {compressed}", file="a.pcd", pos=POS, color=COLOR, normal=NORMAL,
            content=lambda path, text=text, compressed=compressed: by_open3d(path, text=text, compressed=compressed))
        for text, compressed in ((True, False), (False, False), (False, True))
    ]  # fmt: skip
    doubles = [(name, "f8", values) for name, _, values in XYZ]
    padded = [*XYZ, ("_", "2u1", 0), ("label", "u1", [1, 2, 3])]
    return [
        *rows,
        Row(id="double positions", file="a.pcd", content=pcd(doubles, "binary"), pos=POS),
        Row(id="PCL leaves out padding in ASCII", file="a.pcd", content=pcd(padded, "ascii", padding=False), pos=POS,
            columns={"label": [1, 2, 3]}),
        Row(id="NaN as a color", file="a.pcd", content=pcd([*XYZ, ("rgb", "f4", [1e-40, np.nan, 0])], "ascii"), pos=POS,
            color=[[1, 22, 194], [127, 127, 127], [0, 0, 0]], remarks=("1 points have no color",)),
    ]  # fmt: skip


def header_rows() -> list[Row]:
    """Headers that other versions and programs write."""
    head = header(XYZ, "ascii")
    binary, old = pcd(XYZ, "binary"), ("VERSION", "SIZE", "TYPE", "COUNT", "WIDTH", "HEIGHT", "VIEWPOINT")
    contents = {
        "version .7": binary.replace(b"VERSION 0.7", b"VERSION .7"),
        "version .6": pcd(XYZ, "binary", without=("VIEWPOINT",), VERSION=".6"),
        "version .5": (header(XYZ, "ascii", without=old) + TEXT).replace(b"FIELDS", b"COLUMNS"),
        "without COUNT": pcd(XYZ, "binary", without=("COUNT",)),
        "without VERSION and VIEWPOINT": pcd(XYZ, "binary", without=("VERSION", "VIEWPOINT")),
        "without POINTS": pcd(XYZ, "binary_compressed", without=("POINTS",)),
        "without WIDTH and HEIGHT": pcd(XYZ, "binary", without=("WIDTH", "HEIGHT")),
        "without HEIGHT": pcd(XYZ, "ascii", without=("HEIGHT",)),
        "organized": pcd(XYZ, "binary", WIDTH="1", HEIGHT="3"),
        "keys and types in small letters": (head.lower() + TEXT).replace(b"type f f f", b"type f f f"),
        "CRLF": head.replace(b"\n", b"\r\n") + TEXT.replace(b"\n", b"\r\n"),
        "CRLF, binary": header(XYZ, "binary").replace(b"\n", b"\r\n") + records(XYZ).tobytes(),
        "comments": head.replace(b"WIDTH", b"# made by hand: DATA binary\nWIDTH") + TEXT,
        "blank lines": head.replace(b"WIDTH", b"\nWIDTH") + b"\n" + TEXT + b"\n\n",
        "tabs": head + TEXT.replace(b" ", b"\t"),
        "zeros at the end": binary + bytes(4096),
        "newline at the end": binary + b"\n",
        "padding behind compressed data": pcd(XYZ, "binary_compressed") + bytes(100),
    }
    rows = [Row(id=name, file="a.pcd", content=content, pos=POS) for name, content in contents.items()]
    gap = POS.astype("<f4").copy()
    gap[1] = np.nan
    missing = [(axis, "f4", gap[:, i]) for i, axis in enumerate("xyz")]
    differ = {"ascii": pcd(XYZ, "ascii", WIDTH="4"), "binary": pcd(XYZ, "binary", POINTS="2"),
              "compressed": pcd(XYZ, "binary_compressed", WIDTH="640", HEIGHT="480")}  # fmt: skip
    return [
        *rows,
        *(Row(id=f"organized with NaN, {encoding}", file="a.pcd", pos=gap,
              content=pcd(missing, encoding, WIDTH="3", HEIGHT="1")) for encoding in ("ascii", "binary_compressed")),
        *(Row(id=f"counts differ, {name}", file="a.pcd", content=content, pos=POS, remarks=("the file holds 3",))
          for name, content in differ.items()),
        Row(id="viewpoint", file="a.pcd", content=pcd(XYZ, "binary", VIEWPOINT="1 -2 0.5 1 0 0 0"), pos=POS,
            viewpoint=[1, -2, 0.5]),
        Row(id="viewpoint with a rotation", file="a.pcd", pos=POS, viewpoint=[0, 0, 2],
            content=pcd(XYZ, "ascii", VIEWPOINT="0 0 2 0.7071 0 0 0.7071"), remarks=("which is not applied",)),
        Row(id="map coordinates as float", file="a.pcd", content=head + b"500000.125 5432100.5 3\n" * 3,
            pos=[[500000.125, 5432100.5, 3]] * 3),
        Row(id="more points than announced", file="a.pcd", refusal="announces 2 points but holds 3",
            content=pcd(XYZ, "binary", WIDTH="2", POINTS="2")),
        Row(id="fewer points than announced", file="a.pcd", refusal="announces 4 points but holds 3",
            content=pcd(XYZ, "binary", WIDTH="4", POINTS="4")),
        Row(id="counts differ, and neither fits", file="a.pcd", refusal="announces 5 points (4 by width",
            content=pcd(XYZ, "ascii", WIDTH="4", POINTS="5")),
        Row(id="three fields, two types", file="a.pcd", content=pcd(XYZ, "ascii", TYPE="F F"), refusal="PCD header"),
    ]  # fmt: skip


ROWS = [*field_rows(), *header_rows()]
