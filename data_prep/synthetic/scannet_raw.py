"""The raw ScanNet layout: a scan as a mesh with labels, segments, their grouping and its alignment."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_prep.synthetic.meshing import ScanMesh
from pcseg.data.schemas import NYU40

CATEGORIES = {
    "ceiling": "ceiling", "floor": "floor", "wall": "wall", "beam": "wood beam", "column": "column",
    "window": "window", "door": "door", "table": "table", "chair": "chair", "sofa": "couch",
    "bookcase": "bookshelf", "board": "whiteboard", "clutter": "object",
}  # fmt: skip
"""ScanNet's name of each class of S3DIS. Only ``couch`` is in both benchmarks; ``sofa`` is not."""

COLUMNS = (
    "id", "raw_category", "category", "count", "nyu40id", "eigen13id", "nyuClass", "nyu40class", "eigen13class",
    "ModelNet40", "ModelNet10", "ShapeNetCore55", "synsetoffset", "wnsynsetid", "wnsynsetkey", "mpcat40",
    "mpcat40index",
)  # fmt: skip
"""Columns of ``scannetv2-labels.combined.tsv``."""

# id, raw category, category, nyu40 id; with the pitfalls of the real file: "object" twice, a plural and its
# singular with other nyu40 ids, "stick" with the id of "object", "sofa" with another id than "couch"
_ROWS = (
    (1, "wall", "wall", 1), (2, "chair", "chair", 5), (3, "floor", "floor", 2), (5, "door", "door", 8),
    (1163, "object", "object", 40), (16, "window", "window", 9), (4, "table", "table", 7),
    (56, "trash can", "trash can", 39), (41, "ceiling", "ceiling", 22), (6, "couch", "couch", 6),
    (18, "bookshelf", "bookshelf", 10), (52, "whiteboard", "whiteboard", 30),
    (27, "refrigerator", "refrigerator", 24), (120, "column", "column", 38),
    (188, "shower door", "shower door", 8), (188, "shower doors", "shower door", 38),
    (1310, "wood beam", "wood beam", 38), (1313, "sofa", "sofa", 6), (1163, "stick", "stick", 40),
    (1357, "object", "object", 40),
)  # fmt: skip

_NYU40_IDS = {raw: nyu40 for _, raw, _, nyu40 in reversed(_ROWS)}

_SEGMENT = 0.5  # meters; edge of the boxes in which an object is cut into segments
_BARE = 0.03  # share of the segments that the annotators left out
_VERTEX = [("xyz", "<f4", 3), ("rgba", "u1", 4)]


def write_scan(folder: Path, mesh: ScanMesh, labels: Sequence[str], *, yaw: float, seed: int) -> None:
    """Write a scan with its annotation into a new ``folder``, whose name is that of the scan.

    Args:
        mesh: The scan, along the axes.
        labels: S3DIS class of each instance.
        yaw: Rotation of the scan in its files in radians; its ``axisAlignment`` undoes it.
        seed: Seed of the segments without annotation.
    """
    name = folder.name
    groups, segment, annotated = _segment(mesh, np.random.default_rng(seed))
    nyu40 = np.array([_NYU40_IDS[CATEGORIES[label]] for label in labels])[mesh.instance]
    nyu40 = np.where(annotated, nyu40, 0)
    forward = _alignment(mesh, yaw)
    folder.mkdir(parents=True)
    write_mesh(folder, name, mesh, forward)
    palette = np.array([(0, 0, 0), *NYU40.colors], np.uint8)
    path = folder / f"{name}_vh_clean_2.labels.ply"
    _write_ply(path, _turned(mesh.pos, forward), palette[nyu40], mesh.faces, nyu40)
    segs = {"params": {"kThresh": "0.0001"}, "sceneId": name, "segIndices": segment.tolist()}
    (folder / f"{name}_vh_clean_2.0.010000.segs.json").write_text(json.dumps(segs))
    entries = [
        {"id": k, "objectId": k, "segments": segments, "label": CATEGORIES[labels[instance]]}
        for k, (instance, segments) in enumerate(groups.items())
    ]
    aggregation = {"sceneId": f"scannet.{name}", "appId": "pcseg", "segGroups": entries,
                   "segmentsFile": f"scannet.{name}_vh_clean_2.0.010000.segs.json"}  # fmt: skip
    (folder / f"{name}.aggregation.json").write_text(json.dumps(aggregation))
    matrix = " ".join(f"{value:.6f}" for value in forward.ravel())
    (folder / f"{name}.txt").write_text(f"axisAlignment = {matrix} \nsceneType = Misc.\n")


def write_test_scan(folder: Path, mesh: ScanMesh, *, yaw: float) -> None:
    """Write a scan as those of ``scans_test``: without annotation and alignment."""
    folder.mkdir(parents=True)
    write_mesh(folder, folder.name, mesh, _alignment(mesh, yaw))
    (folder / f"{folder.name}.txt").write_text("sceneType = Misc.\n")


def write_mesh(folder: Path, name: str, mesh: ScanMesh, forward: np.ndarray) -> None:
    """Write ``<name>_vh_clean_2.ply``; the matrix ``forward`` (4, 4) would bring it back to ``mesh``."""
    _write_ply(folder / f"{name}_vh_clean_2.ply", _turned(mesh.pos, forward), mesh.color, mesh.faces)


def label_table() -> str:
    """Return ``scannetv2-labels.combined.tsv`` with :data:`CATEGORIES`, CRLF as in the release."""
    lines = ["\t".join(COLUMNS)]
    for id_, raw, category, nyu40 in _ROWS:
        cells = dict.fromkeys(COLUMNS, "")
        name = NYU40.names[nyu40 - 1].replace("refrigerator", "refridgerator")  # spelled as in the release
        cells |= {"id": str(id_), "raw_category": raw, "category": category, "count": "1",
                  "nyu40id": str(nyu40), "nyu40class": name}  # fmt: skip
        lines.append("\t".join(cells.values()))
    return "\r\n".join(lines) + "\r\n"


def _segment(mesh: ScanMesh, rng: np.random.Generator) -> tuple[dict[int, list[int]], np.ndarray, np.ndarray]:
    """Return segments by instance, the segment of each vertex, and whether it is annotated."""
    grid = np.floor(mesh.pos / _SEGMENT).astype(np.int64)
    grid -= grid.min(axis=0)
    shape = (*(grid.max(axis=0) + 1), int(mesh.instance.max()) + 1)
    keys = np.ravel_multi_index((*grid.T, mesh.instance), shape)
    _, first, part = np.unique(keys, return_index=True, return_inverse=True)
    annotated = rng.random(len(first)) >= _BARE
    groups: dict[int, list[int]] = {}
    for vertex in first[annotated].tolist():  # a segment has the number of one of its vertices
        groups.setdefault(int(mesh.instance[vertex]), []).append(vertex)
    return groups, first[part], annotated[part]


def _alignment(mesh: ScanMesh, yaw: float) -> np.ndarray:
    """Return the matrix ``(4, 4)`` that rotates by ``-yaw`` about z and moves, rounded to six decimals."""
    c, s = np.cos(yaw), np.sin(yaw)
    matrix = np.eye(4)
    matrix[:2, :2] = [[c, s], [-s, c]]
    matrix[:3, 3] = (mesh.pos.max(axis=0) + mesh.pos.min(axis=0)) / 2
    matrix[2, 3] = -0.1
    return np.round(matrix, 6)


def _turned(pos: np.ndarray, forward: np.ndarray) -> np.ndarray:
    """Return the positions that the matrix maps to ``pos``."""
    return np.linalg.solve(forward[:3, :3], (pos - forward[:3, 3]).T).T


def _write_ply(
    path: Path, pos: np.ndarray, color: np.ndarray, faces: np.ndarray, label: np.ndarray | None = None
) -> None:
    """Write a binary mesh as in the release: alpha after the color, and optionally a label."""
    fields = _VERTEX if label is None else [*_VERTEX, ("label", "<u2")]
    vertices = np.zeros(len(pos), fields)
    vertices["xyz"], vertices["rgba"] = pos, np.column_stack([color, np.full(len(pos), 255, np.uint8)])
    if label is not None:
        vertices["label"] = label
    triangles = np.zeros(len(faces), [("n", "u1"), ("corner", "<i4", 3)])
    triangles["n"], triangles["corner"] = 3, faces
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "comment MLIB generated",
        f"element vertex {len(pos)}",
    ]
    header += [f"property float {axis}" for axis in "xyz"]
    header += [f"property uchar {channel}" for channel in ("red", "green", "blue", "alpha")]
    header += ["property ushort label"] if label is not None else []
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header\n"]
    path.write_bytes("\n".join(header).encode() + vertices.tobytes() + triangles.tobytes())
