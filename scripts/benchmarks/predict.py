"""Prediction of all points of a room of a million points with the small sparse U-Net."""

import numpy as np
import torch
from benchmarks.harness import Row, measure
from torch_geometric.data import Batch

from pcseg.backbones.points.sparse_unet import sparse_unet_small
from pcseg.data.collate import to_data
from pcseg.data.rooms import with_height
from pcseg.data.sample import Sample
from pcseg.data.voxels import group_by_voxel
from pcseg.heads.linear import LinearHead
from pcseg.inference.points import PointOptions, predict_scene
from pcseg.labels import S3DIS
from pcseg.training.segmentor import Segmentor

NUM_POINTS = 1_000_000
GRID_SIZE = 0.05
FEATURES = ("color", "height")


def run() -> list[Row]:
    """Measure several fragments against the common way, which indexes every fragment, and a single pass."""
    torch.manual_seed(0)
    torch.set_num_threads(2)
    model = Segmentor(sparse_unet_small, LinearHead, in_channels=4, schema=S3DIS).eval()
    room = empty_room(NUM_POINTS)

    def ours(fragments: int) -> None:
        predict_scene(
            model, room, grid_size=GRID_SIZE, features=FEATURES, options=PointOptions(fragments=fragments)
        )

    voxels = group_by_voxel(room.pos, GRID_SIZE).num_voxels
    case = f"{NUM_POINTS:,} points in {voxels:,} voxels"
    return [
        measure(
            f"{case}, 4 fragments",
            lambda: ours(4),
            "every fragment indexed and mapped",
            lambda: one_by_one(model, room, fragments=4),
            rounds=3,
        ),
        measure(f"{case}, single pass", lambda: ours(1), rounds=3),
    ]


@torch.inference_mode()
def one_by_one(model: Segmentor, room: Sample, *, fragments: int) -> torch.Tensor:
    """Predict fragments independently and return the labels of all points."""
    room = with_height(room, FEATURES)
    groups = group_by_voxel(room.pos, GRID_SIZE)
    scores = torch.zeros(groups.num_points, S3DIS.num_classes)
    for number in range(fragments):
        fragment = room.take(groups.pick(number))
        data = to_data(Sample(**vars(fragment) | {"grid_pos": groups.grid_pos}), FEATURES)
        scores += model(Batch.from_data_list([data])).logits.softmax(1)[groups.inverse]
    return scores.argmax(1)


def empty_room(num_points: int, size: tuple[float, float, float] = (6.0, 5.0, 3.0)) -> Sample:
    """Return points on the six sides of a room with scanner noise."""
    rng = np.random.default_rng(0)
    areas = np.array([size[1] * size[2], size[0] * size[2], size[0] * size[1]])
    axis = rng.choice(3, num_points, p=areas / areas.sum())
    pos = rng.random((num_points, 3)) * size
    pos[np.arange(num_points), axis] = rng.integers(0, 2, num_points) * np.array(size)[axis]
    return Sample(
        name="room",
        pos=(pos + 0.025 + rng.normal(0, 0.003, pos.shape)).astype(np.float32),  # sides inside one voxel
        color=rng.integers(0, 256, (num_points, 3)).astype(np.uint8),
        label=np.full(num_points, -1, dtype=np.int16),
        instance=np.full(num_points, -1, dtype=np.int32),
    )
