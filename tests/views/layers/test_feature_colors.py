"""Features of published encoders and of models as colors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.fakes import fake_room
from helpers.published_points import published_state
from PIL import Image

from pcseg.backbones.points.ptv3 import Utonia
from pcseg.cli import main
from pcseg.data.io.clouds import read_cloud
from pcseg.data.io.ply import write_ply
from pcseg.errors import UserError
from pcseg.inference.encoder import encoder_input
from pcseg.views.layers.feature_colors import colors_of_rows, encode_cloud, principal_colors


def test_principal_colors_equal_those_of_a_decomposition() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 8)) * [9, 5, 3, 1, 1, 0.5, 0.1, 0.1] @ np.linalg.qr(rng.normal(size=(8, 8)))[0]
    centered = x - x.mean(axis=0)
    for column, axis in zip(principal_colors(x).T, np.linalg.svd(centered)[2]):
        axis = axis * np.sign(axis[np.abs(axis).argmax()])
        low, high = np.percentile(centered @ axis, (1, 99))
        expected = 255 * np.clip((centered @ axis - low) / (high - low), 0, 1)
        np.testing.assert_allclose(column, expected, atol=0.51)


@pytest.mark.parametrize("shape", [(0, 5), (1, 5), (20, 2), (20, 1)])
def test_colors_of_few_rows_or_channels(shape: tuple[int, int]) -> None:
    colors = principal_colors(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    assert colors.shape == (shape[0], 3)
    assert (principal_colors(np.ones(shape, np.float32)) == 0).all()
    assert len(np.unique(colors_of_rows(colors, np.array([-1, -1])), axis=0)) == 1


def write_cloud(path: Path, **without: bool) -> Path:
    room = fake_room(0, num_points=600)
    columns = dict(zip("xyz", room["pos"].T)) | dict(zip(("red", "green", "blue"), room["color"].T))
    write_ply(path, {name: column for name, column in columns.items() if name not in without})
    return path


def save(folder: Path, network: torch.nn.Module) -> Path:
    torch.save({"state_dict": published_state(network)}, folder / "weights.pth")
    return folder / "weights.pth"


@pytest.mark.slow
def test_encoder_of_a_scan(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    torch.manual_seed(0)
    network = Utonia(9, size="tiny")
    weights, scan, png = (
        save(tmp_path, network),
        write_cloud(tmp_path / "room.ply"),
        tmp_path / "features.png",
    )
    main(["visualize", str(scan), "--encoder", str(weights), "--png", str(png), "--size", "[320, 180]"])
    assert "normals: not in the file, estimated" in " ".join(capsys.readouterr().out.split())
    with Image.open(png) as image:
        assert image.info["Description"].splitlines()[0] == "room: principal components of the features"
    cloud = read_cloud(scan)
    by_scale = [
        encode_cloud(weights, cloud, scale=scale, units="m", up="z") for scale in (0.5, 0.5, 4.0, "object")
    ]
    colors = [subject.features for subject in by_scale]
    assert all(color is not None and color.shape == (len(cloud), 3) for color in colors)
    assert np.array_equal(colors[0], colors[1])
    assert not np.array_equal(colors[0], colors[2])
    bare = read_cloud(write_cloud(tmp_path / "bare.ply", red=True, green=True, blue=True))
    assert any(
        "color: not in the file, replaced by zeros" in line for line in encode_cloud(weights, bare).remarks
    )
    torch.save({"conv.weight": torch.zeros(2)}, weights)
    with pytest.raises(UserError, match=r"weights\.pth: not an encoder of Sonata, Concerto or Utonia"):
        encode_cloud(weights, cloud)


def test_points_of_a_voxel_share_it() -> None:
    pos = np.array([[0, 0, 1], [0.001, 0, 1], [1, 1, 2]], np.float32)
    x, groups = encoder_input(pos, np.full((3, 3), 255), np.zeros((3, 3)), grid_size=0.01, scale=0.5)
    assert groups.inverse.tolist() == [0, 0, 1]
    np.testing.assert_allclose(x[0], [-0.25, -0.25, 0, 1, 1, 1, 0, 0, 0])
