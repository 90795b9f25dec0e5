"""Meshes of ScanNet: binary PLY with triangles, and normals of their vertices."""

from pathlib import Path

import numpy as np

from pcseg.errors import UserError, reason

_TRIANGLES = {"face": {"vertex_indices": 3, "vertex_index": 3}}
"""Number of corners of a face, by property; with it, plyfile maps the faces instead of parsing each."""


def read_mesh(path: Path, *, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the vertices of a binary PLY file as a structured array ``(N,)``, and its triangles ``(F, 3)``.

    ``name`` is that of the file in messages.

    Raises:
        UserError: No such file, not a binary PLY file of vertices and triangles, or a truncated one.
    """
    from plyfile import PlyData

    if not path.is_file():
        raise UserError(f"{name}: no such file. Download the scan again.")
    try:
        mesh = PlyData.read(path, known_list_len=_TRIANGLES)
    except Exception as error:  # plyfile raises its own, ValueError and UnicodeDecodeError
        raise UserError(
            f"{name}: not a PLY file of triangles, or truncated ({reason(error)}). Download the scan again."
        ) from error
    if mesh.text or [element.name for element in mesh.elements] != ["vertex", "face"]:
        raise UserError(f"{name}: not a binary mesh of vertices and faces. Download the scan again.")
    vertices, faces = (element.data for element in mesh.elements)
    corners = next((faces[key] for key in _TRIANGLES["face"] if key in faces.dtype.fields), None)
    missing = {"x", "y", "z", "red", "green", "blue"} - set(vertices.dtype.names)
    if missing or vertices.dtype.hasobject:
        what = f"no {min(missing)!r}" if missing else "lists"
        raise UserError(f"{name}: its vertices have {what}. Download the scan again.")
    if corners is None or corners.dtype.kind not in "iu":
        raise UserError(f"{name}: its faces are not lists of vertex_indices. Download the scan again.")
    triangles = np.ascontiguousarray(corners)
    if len(triangles) and (triangles.min() < 0 or triangles.max() >= len(vertices)):
        row = int(np.flatnonzero(((triangles < 0) | (triangles >= len(vertices))).any(axis=1))[0])
        raise UserError(
            f"{name}: face {row} has vertices {triangles[row].tolist()}, but there are {len(vertices)}. "
            "Download the scan again."
        )
    return vertices, triangles


def vertex_normals(pos: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return unit normals ``(N, 3)`` float32: the sum of the normals of a vertex's triangles, weighted by area.

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
    with np.errstate(over="ignore", invalid="ignore"):  # from extreme coordinates; reported when written
        for axis in range(3):
            y, z = (axis + 1) % 3, (axis + 2) % 3
            np.subtract(b[:, y] * c[:, z], b[:, z] * c[:, y], out=area[:, axis])
    # one column per triangle with a one per corner: the product sums row by row
    ends = np.arange(0, faces.size + 1, 3)
    total = csc_array((np.ones(faces.size), faces.ravel(), ends), shape=(len(pos), len(faces))) @ area
    length = np.sqrt(np.einsum("ij,ij->i", total, total))[:, None]
    return np.divide(total, length, out=np.zeros_like(total), where=length > 0).astype(np.float32)
