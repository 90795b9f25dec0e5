"""Preparation of ScanNet scans with 200,000 vertices: reading, mesh normals, and a whole scan to HDF5."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from benchmarks.harness import Row, measure

from data_prep.releases.scannet import LABEL_TABLE, Category, RawScan, read_label_table
from data_prep.releases.scannet_mesh import read_mesh, vertex_normals
from data_prep.scannet import Options, prepare_scan
from data_prep.synthetic.meshing import ScanMesh
from data_prep.synthetic.scannet_raw import label_table, write_scan
from pcseg.data.io.ply import read_ply
from pcseg.data.manifest import describe_scene
from pcseg.data.scenes import write_scene
from pcseg.data.schemas import SCANNET200, SCANNET200_BENCHMARK
from pcseg.labels import S3DIS

ROWS, COLUMNS = 500, 400
NUM_OBJECTS = 40


def run() -> list[Row]:
    """Measure mesh normals and whole scans against the Python loops of common preparation scripts."""
    options = Options(classes=200)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "raw", "scans", "scene0000_00")
        write_scan(folder, bumpy_mesh(), np.resize(S3DIS.names, NUM_OBJECTS).tolist(), yaw=0.3, seed=0)
        scan = RawScan(name=folder.name, split="train", folder=folder)
        (Path(temporary) / LABEL_TABLE).write_bytes(label_table().encode())
        table = read_label_table(Path(temporary) / LABEL_TABLE)
        out = Path(temporary, "out")
        vertices, faces = read_mesh(scan.mesh, name="")
        pos = np.stack([vertices[axis] for axis in "xyz"], axis=1)
        size = f"{len(pos):,} vertices, {len(faces):,} triangles"
        return [
            measure(
                f"mesh normals, {size}",
                lambda: vertex_normals(pos, faces),
                "Python loop over triangles",
                lambda: loop_normals(pos, faces),
                rounds=2,
            ),
            measure(
                f"raw scan to HDF5 with normals, 200 classes, {size}",
                lambda: prepare_scan(scan, out, source="", table=table, options=options),
                "loops over triangles and objects, same writer",
                lambda: prepare_with_loops(scan, out, table),
                rounds=2,
            ),
        ]


def bumpy_mesh() -> ScanMesh:
    """Return a bumpy sheet of 8 m by 10 m, cut into objects, with 2 triangles per vertex as in real scans."""
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(np.linspace(0, 8, COLUMNS), np.linspace(0, 10, ROWS))
    pos = np.stack([x, y, rng.normal(0, 0.005, x.shape)], axis=-1).reshape(-1, 3)
    index = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.concatenate([np.stack(corners, -1).reshape(-1, 3) for corners in ((a, b, c), (a, c, d))])
    color = rng.integers(0, 256, pos.shape).astype(np.uint8)
    instance = (np.floor(pos[:, 0] / 2) * 10 + np.floor(pos[:, 1])).astype(np.int32) % NUM_OBJECTS
    return ScanMesh(pos, color, instance, faces.astype(np.int32))


def loop_normals(pos: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Compute normals as common scripts do: vectorized over triangles, summed in a loop."""
    normal = np.cross(pos[faces[:, 1]] - pos[faces[:, 0]], pos[faces[:, 2]] - pos[faces[:, 0]])
    total = np.zeros_like(pos)
    for face in range(len(faces)):
        total[faces[face]] += normal[face]
    return total / (np.linalg.norm(total, axis=1, keepdims=True) + 1e-8)


def prepare_with_loops(scan: RawScan, out: Path, table: Mapping[str, Category]) -> None:
    """Prepare a whole scan with Python loops and our PLY reader."""
    vertices, faces = read_mesh(scan.mesh, name="")
    pos = np.stack([vertices[axis] for axis in "xyz"], axis=1)
    segments = np.array(json.loads(scan.segments.read_text())["segIndices"])
    label, instance = np.full(len(pos), -1), np.full(len(pos), -1)
    for entry in json.loads(scan.aggregation.read_text())["segGroups"]:
        inside = np.flatnonzero(np.isin(segments, entry["segments"]))
        label[inside] = SCANNET200_BENCHMARK.to_labels(np.array([table[entry["label"]].id]))[0]
        instance[inside] = entry["id"]
    read_ply(scan.labels)
    color = np.stack([vertices[channel] for channel in ("red", "green", "blue")], axis=1)
    path = out / "train" / f"{scan.name}.h5"
    write_scene(
        path, pos=pos, color=color, label=label, instance=instance, normal=loop_normals(pos, faces),
        dataset="scannet200", scene=scan.name, schema=SCANNET200,
    )  # fmt: skip
    describe_scene(path, folder=out, source="")
