"""Tiny raw scans in the layout of ScanNet for tests."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_prep.synthetic.meshing import ScanMesh
from data_prep.synthetic.scannet_raw import label_table, write_scan, write_test_scan

SCANS = ("scene0000_00", "scene0000_01", "scene0011_00", "scene0707_00")
"""Two scans of the training split, one of the validation split, one of the test split."""

LABELS = ["floor", "wall", "sofa", "clutter", "ceiling", "column"]
"""Class of each instance, in the names of S3DIS."""


def small_mesh(seed: int, *, rows: int = 40, columns: int = 30) -> ScanMesh:
    """Return a bumpy sheet of 4 m by 3 m in six objects, and one vertex without a triangle."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.linspace(0, 4, rows), np.linspace(0, 3, columns), indexing="ij")
    pos = np.stack([x, y, rng.uniform(0, 0.2, x.shape)], axis=-1).reshape(-1, 3)
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    faces = np.concatenate([np.stack(corners, -1).reshape(-1, 3) for corners in ((a, b, c), (a, c, d))])
    instance = np.minimum(x.ravel() / 4 * len(LABELS), len(LABELS) - 1).astype(np.int32)
    pos = np.concatenate([pos, [[2.0, 1.5, 1.0]]])
    color = rng.integers(0, 256, (len(pos), 3)).astype(np.uint8)
    return ScanMesh(pos, color, np.append(instance, np.int32(3)), faces.astype(np.int32))


def write_release(raw: Path, scans: Sequence[str] = SCANS) -> Path:
    """Write a release with these scans, split by the official rule, and the label table."""
    for seed, name in enumerate(scans):
        mesh, yaw = small_mesh(seed), 0.3 + seed
        if int(name[5:9]) >= 707:
            write_test_scan(raw / "scans_test" / name, mesh, yaw=yaw)
        else:
            write_scan(raw / "scans" / name, mesh, LABELS, yaw=yaw, seed=seed)
    (raw / "scannetv2-labels.combined.tsv").write_bytes(label_table().encode())
    return raw
