"""The mesh of a scanned room: neighboring rays of each station become triangles, near vertices one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.synthetic.scanner import Sweep

CELL = 0.025
"""Meters; vertices of one object that lie in one cell become one, as in meshes of ScanNet."""

FLAT = 5.0
"""A surface whose distance grows by more than this times the angle between two rays counts as an edge."""

SLACK = 0.03
"""Share of the distance by which neighboring returns may differ in any case: noise."""


@dataclass(frozen=True)
class ScanMesh:
    """A mesh of labeled vertices.

    Attributes:
        pos: ``(N, 3)`` float64 meters.
        color: ``(N, 3)`` uint8.
        instance: ``(N,)`` int32.
        faces: ``(F, 3)`` int32; seen counter-clockwise from where it was scanned.
    """

    pos: np.ndarray
    color: np.ndarray
    instance: np.ndarray
    faces: np.ndarray


def mesh_sweeps(sweeps: Sequence[Sweep], *, cell: float = CELL) -> ScanMesh:
    """Join the sweeps of a room into one mesh, every vertex of which belongs to a triangle."""
    faces, start = [], 0
    for sweep in sweeps:
        faces.append(triangles(sweep) + start)
        start += len(sweep.ray)
    pos, color, instance = (
        np.concatenate([getattr(sweep, name) for sweep in sweeps]) for name in ("pos", "color", "instance")
    )
    return _welded(ScanMesh(pos, color, instance, np.concatenate(faces)), cell)


def triangles(sweep: Sweep) -> np.ndarray:
    """Return triangles ``(F, 3)`` between returns of neighboring rays on one surface."""
    rows = int(sweep.ray.max(initial=0)) // sweep.columns + 1
    image = np.full(rows * sweep.columns, -1)
    image[sweep.ray] = np.arange(len(sweep.ray))
    image = image.reshape(rows, sweep.columns)
    here, left = image, np.roll(image, -1, axis=1)
    # rows go up and columns to the left as seen from the station
    low, low_left, up, up_left = here[:-1], left[:-1], here[1:], left[1:]
    corners = np.concatenate(
        [
            np.stack([low, up, low_left], -1).reshape(-1, 3),
            np.stack([low_left, up, up_left], -1).reshape(-1, 3),
        ]
    )
    corners = corners[(corners >= 0).all(axis=1)]
    away = np.linalg.norm(sweep.pos - sweep.station, axis=1)[corners]
    near, far = away.min(axis=1), away.max(axis=1)
    step = 2 * np.pi / sweep.columns
    return corners[far <= near * (1 + SLACK + FLAT * step)]


def _welded(mesh: ScanMesh, cell: float) -> ScanMesh:
    """Replace the vertices of one instance in one cell by their mean, and drop vertices without a triangle."""
    grid = np.floor(mesh.pos / cell).astype(np.int64)
    grid -= grid.min(axis=0)
    size = [*(grid.max(axis=0, initial=0) + 1), int(mesh.instance.max(initial=0)) + 1]
    keys = np.ravel_multi_index((*grid.T, mesh.instance), size)
    _, first, vertex = np.unique(keys, return_index=True, return_inverse=True)
    count = np.bincount(vertex)[:, None]
    pos, color = (
        np.stack([np.bincount(vertex, column) for column in array.T], axis=1) / count
        for array in (mesh.pos, mesh.color)
    )
    faces = vertex[mesh.faces]
    a, b, c = np.sort(faces, axis=1).T
    _, chosen = np.unique((a * len(first) + b) * len(first) + c, return_index=True)
    chosen = np.sort(chosen)
    faces = faces[chosen[(a < b)[chosen] & (b < c)[chosen]]]
    used, faces = np.unique(faces, return_inverse=True)
    return ScanMesh(
        pos[used],
        np.rint(color[used]).astype(np.uint8),
        mesh.instance[first][used].astype(np.int32),
        faces.reshape(-1, 3).astype(np.int32),
    )
