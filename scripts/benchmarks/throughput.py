"""Points per second and peak memory of the small preset: preparation, loading, a training step, whole rooms."""

import tempfile
from functools import partial
from pathlib import Path

import torch
from benchmarks import data, prep
from benchmarks.harness import Row, measure
from benchmarks.predict import empty_room

from data_prep.s3dis import prepare_room
from pcseg.backbones.points.sparse_unet import sparse_unet_small
from pcseg.data.room_data import RoomData
from pcseg.heads import EncBody, PointHead
from pcseg.inference.points import PointOptions, predict_scene
from pcseg.labels import S3DIS
from pcseg.losses.segmentation import SegmentationLoss
from pcseg.training.segmentor import Segmentor

GRID_SIZE = 0.08
"""Voxel size, model and batches are those of ``configs/rooms``."""
MAX_VOXELS = 12_000
FEATURES = ("color", "height")
NUM_POINTS = 1_000_000


def run() -> list[Row]:
    """Measure every stage on two CPU threads."""
    torch.set_num_threads(2)
    torch.manual_seed(0)
    head = partial(PointHead, body=EncBody)
    counts = torch.ones(S3DIS.num_classes)
    model = Segmentor(
        sparse_unet_small, head, in_channels=4, schema=S3DIS, loss=SegmentationLoss(class_counts=counts)
    )
    with tempfile.TemporaryDirectory() as temporary:
        return [
            preparation(Path(temporary, "raw"), Path(temporary, "out")),
            loading(Path(temporary, "prepared")),
            training_step(model, Path(temporary, "prepared")),
            inference(model),
        ]


def preparation(raw: Path, out: Path) -> Row:
    room = prep.make_room(raw / "Area_1" / "office_1", decimals=3)
    case = f"preparation: text of a room of {prep.NUM_POINTS:,} points to HDF5, 1 process"
    return measure(case, lambda: prepare_room(room, out, source=""), points=prep.NUM_POINTS)


def loading(folder: Path) -> Row:
    data.write_rooms(folder)
    points = data.NUM_ROOMS * data.LOADER_POINTS
    case = f"loading: rooms of {data.LOADER_POINTS:,} points to augmented batches of voxels, 1 process"
    return measure(case, lambda: data.read_epoch(folder), points=points)


def training_step(model: Segmentor, folder: Path) -> Row:
    """Measure forward, losses and backward of a batch of crops; its points are voxels."""
    rooms = RoomData(
        folder, grid_size=GRID_SIZE, test_splits=[], val_fraction=0, batch_size=2, max_voxels=MAX_VOXELS
    )
    batch = next(iter(rooms.train_dataloader()))

    def step() -> None:
        model.train().zero_grad(set_to_none=True)
        batch.voxels = None  # kernel maps are part of a step
        torch.stack(list(model.losses(model(batch), batch).values())).sum().backward()

    case = f"training step: {batch.num_nodes:,} voxels, with the EncNet head"
    return measure(case, step, points=batch.num_nodes)


def inference(model: Segmentor) -> Row:
    room = empty_room(NUM_POINTS)
    case = f"inference: a room of {NUM_POINTS:,} points, all labeled, one fragment"

    def predict() -> None:
        predict_scene(
            model.eval(), room, grid_size=GRID_SIZE, features=FEATURES, options=PointOptions(fragments=1)
        )

    return measure(case, predict, rounds=3, points=NUM_POINTS)
