"""Clouds of Open3D and PyG in memory get the prediction of the same cloud in a file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.checkpoints import write_checkpoint
from helpers.fakes import fake_room, write_fake_building
from torch_geometric.data import Batch, Data

from pcseg.checkpoint import LoadedModel, load_checkpoint
from pcseg.data.io.clouds import Cloud
from pcseg.errors import UserError
from pcseg.inference.clouds import predict_cloud
from pcseg.inference.objects import as_cloud, with_prediction
from pcseg.inference.predict import predict
from pcseg.labels import class_colors

ROOM = fake_room(3, num_points=400)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = tmp_path_factory.mktemp("model")
    building = write_fake_building(folder / "rooms", num_points=400)
    return load_checkpoint(write_checkpoint(folder / "best.ckpt", building))


def made(kind: str) -> Any:
    pos, color = ROOM["pos"], ROOM["color"]
    if kind.startswith("data"):
        data = Data(pos=torch.from_numpy(pos), color=torch.from_numpy(color))
        return data if kind == "data" else Batch.from_data_list([data])
    o3d = pytest.importorskip("open3d")
    if kind == "legacy":
        cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(pos.astype(np.float64)))
        cloud.colors = o3d.utility.Vector3dVector(color / 255)
        return cloud
    cloud = o3d.t.geometry.PointCloud(o3d.core.Tensor.from_numpy(pos.copy()))
    values = color if kind == "tensor bytes" else (color / 255).astype(np.float32)
    cloud.point.colors = o3d.core.Tensor.from_numpy(values.copy())
    return cloud


@pytest.mark.parametrize("kind", ["data", "data of a batch", "legacy", "tensor", "tensor bytes"])
def test_prediction_of_points_in_memory(kind: str, model: LoadedModel) -> None:
    expected = predict_cloud(model, Cloud(source=Path("room"), pos=ROOM["pos"], color=ROOM["color"]))
    points = made(kind)
    prediction = predict(points, model, device="cpu")
    np.testing.assert_array_equal(prediction.label, expected.label)
    labeled = with_prediction(points, prediction)
    assert type(labeled) is type(points)
    colors = class_colors(model.schema)[expected.label]
    if kind.startswith("data"):
        assert labeled.pred.tolist() == expected.label.tolist()
        assert "pred" not in points
    elif kind == "legacy":
        np.testing.assert_allclose(np.asarray(labeled.colors) * 255, colors, atol=1e-3)
    else:
        assert labeled.point.label.numpy().ravel().tolist() == expected.label.tolist()
        np.testing.assert_allclose(labeled.point.colors.numpy() * 255, colors, atol=1e-3)
        assert "label" not in points.point


def test_points_without_colors(model: LoadedModel) -> None:
    o3d = pytest.importorskip("open3d")
    pos = ROOM["pos"].astype(np.float64)
    bare = predict_cloud(model, Cloud(source=Path("room"), pos=ROOM["pos"]))
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(pos))
    prediction = predict_cloud(model, as_cloud(cloud))
    np.testing.assert_array_equal(prediction.label, bare.label)
    assert any("color: not in the file" in remark for remark in prediction.remarks)


def test_bad_points() -> None:
    data = Data(pos=torch.rand(5, 3), color=torch.rand(4, 3))
    for points, message in (
        (data, r"^points: color has shape \(4, 3\), positions \(5, 3\)\. Give one row per point"),
        (
            Batch.from_data_list([Data(pos=torch.rand(5, 3))] * 2),
            r"^points: a batch of several clouds\. Pass each of",
        ),
        (np.zeros((5, 3)), r"^points: a ndarray\. Pass a PointCloud of Open3D or a Data"),
        (Data(pos=torch.rand(5, 2)), r"^points: have no positions \(N, 3\)"),
    ):
        with pytest.raises(UserError, match=message):
            as_cloud(points)
