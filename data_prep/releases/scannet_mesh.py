"""Meshes of ScanNet: binary PLY with triangles, and normals of their vertices."""

import re
from pathlib import Path

import numpy as np

from pcseg.data.io.ply import TYPES, parse_header
from pcseg.errors import UserError

_FACES = re.compile(
    rb"element\s+face\s+\d+\s+property\s+list\s+(\w+)\s+(\w+)\s+vertex_ind(?:ex|ices)\s+end_header"
)


def read_mesh(path: Path, *, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The vertices of a binary PLY file as a structured array ``(N,)``, and its triangles ``(F, 3)``.

    Args:
        path: The file.
        name: What messages call it.

    Raises:
        UserError: No such file, not a binary PLY file of vertices and triangles, or one that ends early.
    """
    if not path.is_file():
        raise UserError(f"{name}: no such file; download the scan again")
    data = path.read_bytes()
    order, elements, start = parse_header(data, path)
    if [element for element, _, _ in elements] != ["vertex", "face"] or order == "=":
        raise UserError(f"{name}: expected a binary mesh of vertices and faces; download the scan again")
    (_, count, fields), (_, num_faces, _) = elements
    if any(kind == "list" for _, kind in fields):
        raise UserError(f"{name}: its vertices have lists; download the scan again")
    missing = {"x", "y", "z", "red", "green", "blue"} - {field for field, _ in fields}
    if missing:
        raise UserError(f"{name}: its vertices have no {min(missing)!r}; download the scan again")
    types = _FACES.search(data[:start])
    if types is None or not {types[1].decode(), types[2].decode()} <= TYPES.keys():
        raise UserError(f"{name}: its faces are no lists of vertex_indices; download the scan again")
    number, corner = (order + TYPES[kind.decode()] for kind in types.groups())
    vertex = np.dtype([(field, order + kind) for field, kind in fields])
    face = np.dtype([("number", number), ("corner", corner, 3)])
    end = start + count * vertex.itemsize
    if min(count, num_faces) < 0 or len(data) < end + num_faces * face.itemsize:
        raise UserError(
            f"{name}: announces {count} vertices and {num_faces} triangles but ends early; download the scan again"
        )
    vertices = np.frombuffer(data, vertex, count, start)
    table = np.frombuffer(data, face, num_faces, end)
    return vertices, _triangles(table, count, name)


def _triangles(table: np.ndarray, num_vertices: int, name: str) -> np.ndarray:
    bad = np.flatnonzero(table["number"] != 3)
    if len(bad):
        raise UserError(
            f"{name}: face {bad[0]} has {table['number'][bad[0]]} corners, expected triangles; "
            "download the scan again"
        )
    faces = np.ascontiguousarray(table["corner"])
    if len(faces) and (faces.min() < 0 or faces.max() >= num_vertices):
        row = int(np.flatnonzero(((faces < 0) | (faces >= num_vertices)).any(axis=1))[0])
        raise UserError(
            f"{name}: face {row} names vertices {faces[row].tolist()}, there are {num_vertices}; "
            "download the scan again"
        )
    return faces


def vertex_normals(pos: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals ``(N, 3)`` float32: the sum of the normals of a vertex's triangles, weighted by their areas.

    Args:
        pos: ``(N, 3)`` positions.
        faces: ``(F, 3)`` vertices of each triangle, counter-clockwise as seen from outside.

    Convention:
        A vertex without a triangle, or whose triangles cancel out, has the normal 0, as in Pointcept.
    """
    from scipy.sparse import csc_array

    a, b, c = (pos.take(faces[:, corner], axis=0) for corner in range(3))
    b -= a
    c -= a
    area = np.empty(b.shape, np.float64)  # the cross product, twice the area; summed in double precision
    with np.errstate(over="ignore", invalid="ignore"):  # of coordinates that no room has; told when written
        for axis in range(3):
            y, z = (axis + 1) % 3, (axis + 2) % 3
            np.subtract(b[:, y] * c[:, z], b[:, z] * c[:, y], out=area[:, axis])
    # a column for each triangle, with a one for each of its corners: the product sums row by row
    ends = np.arange(0, faces.size + 1, 3)
    total = csc_array((np.ones(faces.size), faces.ravel(), ends), shape=(len(pos), len(faces))) @ area
    length = np.sqrt(np.einsum("ij,ij->i", total, total))[:, None]
    return np.divide(total, length, out=np.zeros_like(total), where=length > 0).astype(np.float32)
