"""Bytes per point of reading, predicting and writing a scan: 60 million points fit into three GiB."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from helpers.models import FEATURES, PointModel

from pcseg.checkpoint import LoadedModel, ModelCard
from pcseg.data.io.clouds import read_cloud
from pcseg.data.io.ply import write_ply
from pcseg.inference.clouds import predict_cloud
from pcseg.inference.points import PointOptions
from pcseg.labels import S3DIS

LIMIT = 48
"""Bytes per point; the process itself takes another 0.3 GiB."""


def write_scan(path: Path, count: int) -> Path:
    """Write points on floor and ceiling of a hall of fixed size, so that voxels do not grow with ``count``."""
    rng = np.random.default_rng(0)
    pos = (rng.random((count, 3)) * [20, 20, 0.02]).astype(np.float32)
    pos[::2, 2] += 2.9
    write_ply(
        path, dict(zip("xyz", pos.T)) | dict.fromkeys(("red", "green", "blue"), np.zeros(count, np.uint8))
    )
    return path


def peak(path: Path, out: Path) -> int:
    card = ModelCard(config={}, schema=S3DIS.to_json(), features=list(FEATURES), grid_size=0.2, in_channels=4,
                     manifest_hash="", seed=0)  # fmt: skip
    network = PointModel(num_classes=S3DIS.num_classes)
    model = LoadedModel(network=network, card=card, schema=S3DIS, hash="", path=path)  # pyright: ignore
    tracemalloc.start()
    predict_cloud(model, read_cloud(path), units="m", up="z", options=PointOptions()).write(out)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


@pytest.mark.slow
def test_prediction_of_ply(tmp_path: Path) -> None:
    few, many = 2_000_000, 3_500_000  # more than the fixed cost of finding units and axes
    peaks = [peak(write_scan(tmp_path / f"{count}.ply", count), tmp_path / "out") for count in (few, many)]
    assert (peaks[1] - peaks[0]) / (many - few) < LIMIT
