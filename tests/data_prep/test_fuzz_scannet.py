"""Damaged raw files of ScanNet: each ends in one clear line or a correct read."""

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.damage import clear, damaged
from helpers.raw_scans import LABELS, small_mesh, write_scan

from data_prep.releases.scannet import RawScan, read_alignment, read_label_table
from data_prep.releases.scannet_annotation import read_annotation
from data_prep.releases.scannet_mesh import read_mesh
from data_prep.synthetic.scannet_raw import label_table
from pcseg.data.schemas import SCANNET20_BENCHMARK, SCANNET200_BENCHMARK
from pcseg.errors import UserError

ROUNDS = 30
NAME = "scene0000_00"


def mesh(scan: RawScan) -> None:
    vertices, faces = read_mesh(scan.mesh, name=scan.mesh.name)
    assert faces.ndim == 2
    assert not len(faces) or faces.max() < len(vertices)


def annotation(scan: RawScan) -> None:
    table = read_label_table(scan.folder / "labels.tsv")
    count = len(small_mesh(0, rows=6, columns=5).pos)
    for benchmark in (SCANNET20_BENCHMARK, SCANNET200_BENCHMARK):
        label, instance, _ = read_annotation(scan, count, table=table, benchmark=benchmark)
        assert len(label) == len(instance) == count
        assert label.max() < benchmark.schema.num_classes


def table(scan: RawScan) -> None:
    read_label_table(scan.folder / "labels.tsv")


def alignment(scan: RawScan) -> None:
    read_alignment(scan.info)


CASES: dict[str, Callable[[RawScan], None]] = {
    f"{NAME}_vh_clean_2.ply": mesh,
    f"{NAME}_vh_clean_2.labels.ply": annotation,
    f"{NAME}_vh_clean_2.0.010000.segs.json": annotation,
    f"{NAME}.aggregation.json": annotation,
    f"{NAME}.txt": alignment,
    "labels.tsv": table,
}


@pytest.mark.parametrize("file", CASES)
def test_damaged_bytes(file: str, tmp_path: Path) -> None:
    folder = tmp_path / NAME
    write_scan(folder, small_mesh(0, rows=6, columns=5), LABELS, yaw=0.3, seed=0)
    (folder / "labels.tsv").write_bytes(label_table().encode())
    scan, reader = RawScan(name=NAME, split="train", folder=folder), CASES[file]
    reader(scan)
    data = (folder / file).read_bytes()
    rng = np.random.default_rng(zlib.crc32(file.encode()))
    before, unclear = sorted(folder.iterdir()), []
    for _ in range(ROUNDS):
        (folder / file).write_bytes(damaged(data, rng))
        try:
            reader(scan)
        except UserError as error:
            unclear.append(clear(error, ""))
        assert sorted(folder.iterdir()) == before
    assert not any(unclear), [text for text in unclear if text]
