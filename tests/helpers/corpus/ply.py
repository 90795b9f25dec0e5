"""PLY files as programs write them, and layouts that plyfile and Open3D read."""

import io
import struct
from pathlib import Path

import numpy as np
from helpers.corpus.rows import Row
from plyfile import PlyData, PlyElement, PlyListProperty, PlyProperty

POS = np.array([[0.5, 1.5, 2.5], [-1, 2, 3], [4, 5, 6.25]])
COLOR = np.array([[255, 0, 10], [20, 30, 40], [7, 8, 200]])
NORMAL = np.array([[0, 0, 1.0], [0.6, 0.8, 0], [1, 0, 0]])
XYZ = "property float x\nproperty float y\nproperty float z\n"
RGB = "property uchar red\nproperty uchar green\nproperty uchar blue\n"
BODY = POS.astype("<f4").tobytes()
TEXT = "".join(f"{x} {y} {z}\n" for x, y, z in POS.tolist())
FACES = "element face 2\nproperty list uchar int vertex_indices\n"
TRIANGLES = b"\3" + struct.pack("<3i", 0, 1, 2) + b"\3" + struct.pack("<3i", 2, 1, 0)
POLYGONS = b"\3" + struct.pack("<3i", 0, 1, 2) + b"\4" + struct.pack("<4i", 2, 1, 0, 1)


def head(
    more: str = "", before: str = "", after: str = "", encoding: str = "binary_little_endian", count: int = 3
) -> bytes:
    return (
        f"ply\nformat {encoding} 1.0\n{before}element vertex {count}\n{XYZ}{more}{after}end_header\n".encode()
    )


def table(columns: dict[str, tuple[str, object]], order: str = "<") -> np.ndarray:
    rows = np.zeros(3, [(name, order + kind) for name, (kind, _) in columns.items()])
    for name, (_, values) in columns.items():
        rows[name] = values
    return rows


def by_plyfile(
    columns: dict[str, tuple[str, object]], *, text: bool = False, order: str = "<", faces: bool = False
) -> bytes:
    elements = [PlyElement.describe(table(columns), "vertex")]
    if faces:
        elements.append(
            PlyElement.describe(np.array([([0, 1, 2],)], [("vertex_indices", "i4", (3,))]), "face")
        )
    stream = io.BytesIO()
    PlyData(elements, text=text, byte_order=order, obj_info=["x"]).write(stream)
    return stream.getvalue()


def xyz(kind: str = "f4") -> dict[str, tuple[str, object]]:
    return {axis: (kind, POS[:, i]) for i, axis in enumerate("xyz")}


def rgb(
    kind: str, scale: float = 1, names: tuple[str, ...] = ("red", "green", "blue")
) -> dict[str, tuple[str, object]]:
    return {name: (kind, COLOR[:, i] * scale) for i, name in enumerate(names)}


def by_open3d(path: Path, *, ascii_text: bool) -> None:
    import open3d as o3d

    cloud = o3d.t.geometry.PointCloud(o3d.core.Tensor(POS.astype(np.float32)))
    cloud.point.colors = o3d.core.Tensor(COLOR.astype(np.uint8))
    cloud.point.normals = o3d.core.Tensor(NORMAL.astype(np.float32))
    cloud.point.label = o3d.core.Tensor(np.array([[4], [5], [6]], dtype=np.int32))
    o3d.t.io.write_point_cloud(str(path), cloud, write_ascii=ascii_text)


def written_rows() -> list[Row]:
    """Files of plyfile and Open3D."""
    label = {"label": [4, 5, 6]}
    rows = [
        Row(id=f"Open3D, ascii {text}", file="a.ply", content=lambda path, text=text: by_open3d(path, ascii_text=text),
            pos=POS, color=COLOR, normal=NORMAL, columns=label)
        for text in (False, True)
    ]  # fmt: skip
    for text, order in ((False, "<"), (False, ">"), (True, "=")):
        for name, columns in {
            "double positions": xyz("f8") | rgb("u1"),
            "16-bit colors": xyz() | rgb("u2", 257),
            "fractions as colors": xyz() | rgb("f4", 1 / 255),
            "diffuse colors": xyz() | rgb("u1", names=("diffuse_red", "diffuse_green", "diffuse_blue")),
            "r, g, b": xyz() | rgb("u1", names=("r", "g", "b")),
        }.items():
            rows.append(Row(id=f"{name}, {'ascii' if text else order}", file="a.ply", pos=POS, color=COLOR,
                            content=by_plyfile(columns, text=text, order=order)))  # fmt: skip
    extra = {
        "CloudCompare": ({"scalar_Label": ("f4", [4, 5, 6]), "scalar_Intensity": ("f4", [0, 0.5, 1])},
                         {"label": [4, 5, 6], "intensity": [0, 0.5, 1]}),
        "MeshLab": ({"alpha": ("u1", 255), "quality": ("f4", [1, 2, 3]), "flags": ("i4", 0)}, {"quality": [1, 2, 3]}),
        "Blender": ({"s": ("f4", 0.25), "t": ("f4", 0.5)}, {"s": [0.25] * 3}),
        "Metashape": ({"confidence": ("u1", [1, 2, 3]), "class": ("u1", [2, 6, 0])}, {"class": [2, 6, 0]}),
        "semantic": ({"semantic": ("i2", [-1, 0, 3]), "instance": ("i4", [7, 8, 9])}, {"semantic": [-1, 0, 3]}),
    }  # fmt: skip
    rows += [
        Row(id=f"columns of {name}, {kind}", file="a.ply", pos=POS, color=COLOR, columns=values,
            content=by_plyfile(xyz() | rgb("u1") | columns, text=kind == "ascii", faces=True))
        for name, (columns, values) in extra.items() for kind in ("ascii", "binary")
    ]  # fmt: skip
    harmonics = {f"f_dc_{i}": ("f4", (COLOR[:, i] / 255 - 0.5) / 0.28209479177387814) for i in range(3)}
    rows.append(Row(id="Gaussian splats", file="a.ply", pos=POS, color=COLOR, remarks=("Gaussian splats",),
                    content=by_plyfile(xyz() | {"nx": ("f4", 0), "ny": ("f4", 0), "nz": ("f4", 0)} | harmonics
                                       | {"opacity": ("f4", [1, 2, 3])}), columns={"opacity": [1, 2, 3]}))  # fmt: skip
    lists = PlyElement.describe(
        np.array([(*p, np.arange(i)) for i, p in enumerate(POS)],
                 [("x", "f4"), ("y", "f4"), ("z", "f4"), ("seen", "O")]), "vertex", val_types={"seen": "f8"},
        len_types={"seen": "u4"})  # fmt: skip
    assert [type(part) for part in lists.properties] == [PlyProperty] * 3 + [PlyListProperty]
    for text in (False, True):
        stream = io.BytesIO()
        PlyData([lists], text=text, byte_order="<").write(stream)
        rows.append(Row(id=f"lists of several lengths, ascii {text}", file="a.ply", content=stream.getvalue(), pos=POS,
                        absent=("seen",)))  # fmt: skip
    return rows


def byte_rows() -> list[Row]:
    """Layouts byte by byte."""
    lists = b"".join(row.tobytes() + struct.pack("<I2d", 2, 1, 2) for row in POS.astype("<f4"))
    mesh, text_mesh = head(before=FACES), head(before=FACES, encoding="ascii")
    binary = {
        "lists of one length": head("property list uint double descriptor\n") + lists,
        "list before a number": head("property list uchar uchar d\nproperty uchar label\n") + b"".join(
            row.tobytes() + b"\2ab" + bytes([i]) for i, row in enumerate(POS.astype("<f4"))),
        "triangles before the vertices": mesh + TRIANGLES + BODY,
        "polygons before the vertices": mesh + POLYGONS + BODY,
        "faces after the vertices": head(after=FACES) + BODY + POLYGONS,
        "empty element before the vertices": head(before=FACES.replace("2", "0")) + BODY,
        "newline at the end": head() + BODY + b"\n",
        "CRLF at the end": head() + BODY + b"\r\n",
        "many newlines at the end": head() + BODY + b"\n" * 40,
        "bytes at the end": head() + BODY + b"\0\1\2",
        "CRLF in the header": head().replace(b"\n", b"\r\n") + BODY,
        "CR in the header": head().replace(b"\n", b"\r") + BODY,
        "blanks and tabs in the header": head().replace(b" ", b" \t ").replace(b"\n", b" \n") + BODY,
        "comment with end_header": head(before="comment about the end_header line\ncomment end_header\n") + BODY,
        "obj_info with end_header": head(before="obj_info end_header\nobj_info element vertex 9\n") + BODY,
        "comment that is not ASCII": head(before="comment Büro, 3 €\n") + BODY,
        "empty comment": head(before="comment\nobj_info\n") + BODY,
        "name of the element in capitals": head().replace(b"element vertex", b"element Vertex") + BODY,
        "names of the axes in capitals": head().replace(b"float x", b"float X").replace(b"float y", b"float Y") + BODY,
        "other names of types": head().replace(b"float ", b"float32 ") + BODY,
        "first byte is a newline": head().replace(b"float x", b"uchar flag\nproperty float x") + b"".join(
            b"\n" + row.tobytes() for row in POS.astype("<f4")),
        "CR in the header, first byte is a newline": head().replace(b"float x", b"uchar flag\nproperty float x")
        .replace(b"\n", b"\r") + b"".join(b"\n" + row.tobytes() for row in POS.astype("<f4")),
    }  # fmt: skip
    ascii_head = head(encoding="ascii")
    texts = {
        "CRLF": (ascii_head + TEXT.encode()).replace(b"\n", b"\r\n"),
        "CR": (ascii_head + TEXT.encode()).replace(b"\n", b"\r"),
        "byte order mark": b"\xef\xbb\xbf" + ascii_head + TEXT.encode(),
        "no newline at the end": ascii_head + TEXT.strip().encode(),
        "blank lines": ascii_head + TEXT.replace("\n", "\n\n").encode() + b"\n\n",
        "blanks around rows": ascii_head + b"".join(b"  " + line + b" \t\n" for line in TEXT.encode().splitlines()),
        "one number per line": ascii_head + TEXT.replace(" ", "\n").encode(),
        "all in one line": ascii_head + TEXT.replace("\n", " ").encode(),
        "triangles before the vertices": text_mesh + b"3 0 1 2\n3 2 1 0\n" + TEXT.encode(),
        "polygons before the vertices, blank lines": text_mesh + b"3 0 1 2\n\n4 2 1 0 1\n\n" + TEXT.encode(),
        "CR, faces after the vertices": (head(after=FACES, encoding="ascii") + TEXT.encode() + b"3 0 1 2\n3 2 1 0")
        .replace(b"\n", b"\r"),
    }  # fmt: skip
    rows = [Row(id=name, file="a.ply", content=content, pos=POS) for name, content in binary.items()]
    rows += [
        Row(id=f"ascii: {name}", file="a.ply", content=content, pos=POS) for name, content in texts.items()
    ]
    labels = head("property uchar label\n", encoding="ascii")
    rows += [
        Row(id="ascii: NaN and -1 as bytes", file="a.ply", pos=POS, columns={"label": [np.nan, -1, 300]},
            content=labels + b"0.5 1.5 2.5 nan\n-1 2 3 -1\n4 5 6.25 300\n"),
        Row(id="ascii: map coordinates as float", file="a.ply", content=ascii_head + b"500000.123 5432100.001 3\n" * 3,
            pos=[[500000.123, 5432100.001, 3]] * 3),
        Row(id="64-bit integers", file="a.ply", content=head("property int64 id\n") + b"".join(
            row.tobytes() + struct.pack("<q", -(2**40) - i) for i, row in enumerate(POS.astype("<f4"))),
            pos=POS, columns={"id": [-(2**40) - i for i in range(3)]}),
        Row(id="name with blanks", file="a.ply", content=head("property uchar my class\n") + b"".join(
            row.tobytes() + bytes([i]) for i, row in enumerate(POS.astype("<f4"))), pos=POS,
            columns={"my class": [0, 1, 2]}),
        Row(id="more points than announced", file="a.ply", content=head(count=2) + BODY, refusal="holds 3"),
        Row(id="fewer points than announced", file="a.ply", content=head(count=4) + BODY + b"\n", refusal="holds 3"),
        Row(id="ascii: more points than announced", file="a.ply", refusal="holds 3",
            content=head(count=2, encoding="ascii") + TEXT.encode()),
        Row(id="ascii: a row is short", file="a.ply", content=ascii_head + b"1 2 3\n4 5\n6 7 8\n", refusal="a.ply"),
        Row(id="faces cut", file="a.ply", content=mesh + POLYGONS + BODY[:-4], refusal="damaged PLY file"),
        Row(id="one name twice", file="a.ply", content=head("property float x\n") + 2 * BODY, refusal="damaged"),
        Row(id="unknown encoding", file="a.ply", content=head(encoding="binary") + BODY, refusal="damaged PLY header"),
    ]  # fmt: skip
    return rows


ROWS = [*written_rows(), *byte_rows()]
