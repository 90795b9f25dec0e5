"""Small prepared buildings for tests: boxes with a floor, walls and tables, written in the real format."""

import os
from pathlib import Path

import numpy as np

from pcseg.backbones.contract import PointBackbone
from pcseg.data.manifest import Manifest, describe_scene
from pcseg.data.scenes import write_scene
from pcseg.errors import UserError
from pcseg.labels import S3DIS, LabelSchema
from pcseg.nn.levels import Level, PointBatch
from pcseg.nn.sparse_conv import SubmanifoldConv
from pcseg.ops.voxels import VoxelSet


def fake_room(seed: int, *, num_points: int = 3000) -> dict[str, np.ndarray]:
    """Return the arrays of one room: floor, ceiling, four walls, and tables of their own color."""
    rng = np.random.default_rng(seed)
    size = rng.uniform([2.0, 2.0, 2.2], [3.0, 3.0, 2.6])
    kind = rng.choice(4, num_points, p=[0.3, 0.2, 0.3, 0.2])
    pos = rng.uniform(0, 1, (num_points, 3)) * size
    pos[kind == 0, 2] = 0
    pos[kind == 1, 2] = size[2]
    side = rng.integers(0, 2, num_points)
    axis = rng.integers(0, 2, num_points)
    wall = np.flatnonzero(kind == 2)
    pos[wall, axis[wall]] = (side * size[axis])[wall]
    table = kind == 3
    pos[table] = pos[table] * [0.4, 0.4, 0] + [0.5, 0.5, 0.75]
    name = np.array(["floor", "ceiling", "wall", "table"])[kind]
    label = np.array([S3DIS.names.index(n) for n in name])
    color = np.array([[120, 110, 100], [230, 230, 230], [200, 190, 180], [140, 80, 40]])[kind]
    color = np.clip(color + rng.normal(0, 8, color.shape), 0, 255)
    return {
        "pos": pos.astype(np.float32),
        "color": color.astype(np.uint8),
        "label": label.astype(np.int16),
        "instance": kind.astype(np.int32),
    }


def write_fake_building(
    folder: Path,
    *,
    rooms: dict[str, int] | None = None,
    num_points: int = 3000,
    schema: LabelSchema = S3DIS,
) -> Path:
    """A prepared folder with ``rooms[area]`` rooms an area; returns ``folder``."""
    entries = []
    for area, count in (rooms or {"Area_1": 3, "Area_5": 2}).items():
        for number in range(count):
            path = folder / area / f"office_{number + 1}.h5"
            seed = 1000 * int(area[-1], 36) + number  # Area_1 and test differ
            arrays = fake_room(seed, num_points=num_points)
            write_scene(path, **arrays, dataset="fake", scene=path.stem, schema=schema)
            entries.append(describe_scene(path, folder=folder, source=str(seed)))
    Manifest(dataset="fake", release="fake", schema=schema, scenes=tuple(entries)).write(folder)
    return folder


class ConvBackbone(PointBackbone):
    """One submanifold convolution: no norm, so that gradients of two processes add up to those of one."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.out_channels = [8]
        self.conv = SubmanifoldConv(in_channels, 8)

    def forward(self, batch: PointBatch) -> list[Level]:
        voxels = VoxelSet(batch.grid_pos, batch.ptr)
        return [Level(x=self.conv(batch.x, voxels).relu(), sites=voxels, stride=1)]


class StoppingBackbone(ConvBackbone):
    """Fails in a training step: that whose number is in the environment variable ``STOP_AT``."""

    def __init__(self, in_channels: int) -> None:
        super().__init__(in_channels)
        self.steps = 0

    def forward(self, batch: PointBatch) -> list[Level]:
        self.steps += self.training
        if self.training and self.steps == int(os.environ.get("STOP_AT", 0)):
            raise UserError("stopped. Continue with --resume true.")
        return super().forward(batch)
