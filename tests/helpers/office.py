"""A small office as the texts' pictures show one: its points, frames, predictions, and untrained models of it."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from helpers.fake_images import save
from helpers.heads import (
    head_factory,
    image_head,
    part,
    point_head,
    published_ccnet,
    published_ctnet,
    published_encnet,
)

from pcseg.backbones.images.resnet import ResNet
from pcseg.backbones.points.sparse_unet import SparseUNet
from pcseg.checkpoint import KEY, ModelCard
from pcseg.data.predictions import SavedPrediction, write_prediction
from pcseg.data.scenes import write_scene
from pcseg.labels import S3DIS
from pcseg.training.segmentor import Segmentor

SIZE = np.array([5.0, 4.0, 2.8])
SURFACES: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "floor": ((0, 0, 0), (5, 4, 0)), "ceiling": ((0, 0, 2.8), (5, 4, 2.8)),
    "wall": ((0, 0, 0), (0, 4, 2.8)), "wall 2": ((5, 0, 0), (5, 4, 2.8)),
    "wall 3": ((0, 0, 0), (5, 0, 2.8)), "wall 4": ((0, 4, 0), (5, 4, 2.8)),
    "window": ((0.01, 1, 0.9), (0.01, 3, 2.1)), "door": ((4.99, 0.5, 0), (4.99, 1.4, 2)),
    "board": ((1, 3.99, 0.9), (3, 3.99, 2)), "column": ((0, 0, 0), (0.3, 0.3, 2.8)),
    "table": ((2, 1.5, 0.7), (3.4, 2.4, 0.74)), "chair": ((2.4, 2.6, 0), (2.9, 3.1, 0.9)),
    "bookcase": ((3.2, 0, 0), (4.2, 0.35, 1.9)), "clutter": ((2.3, 1.7, 0.74), (2.6, 2, 1)),
}  # fmt: skip
"""Corners of the boxes of the office; classes are those that the pictures of the texts show, beam and sofa are not."""

UNET = {"channels": [8, 8, 8, 8], "layers": [1, 1, 1, 1], "base_channels": 8}
RESNET = {"depths": [1, 1, 1, 1], "widths": [8, 8, 8, 8], "stem": "s", "stem_width": 8}
POINT_HEADS = {
    name: point_head(body)
    for name, body in (
        ("ctnet", "CTBody"),
        ("encnet", "EncBody"),
        ("ccnet", "RCCABody"),
        ("slab", "SlabBody"),
    )
}
IMAGE_HEADS = {
    "ctnet": published_ctnet(width=16, key_width=8, norm=None, init=False),
    "encnet": published_encnet(width=16, norm=None),
    "ccnet": published_ccnet(width=16),
    "slab": image_head(part("heads.SlabBody", width=16, slab_width=8)),
}
"""Point heads have the widths of the texts' models, for charts show them."""


def office(num_points: int = 40_000) -> dict[str, np.ndarray]:
    """Arrays of the office: points on the six sides of every box, as many as they are large."""
    rng = np.random.default_rng(0)
    low, high = (np.array([corner[i] for corner in SURFACES.values()]) for i in (0, 1))
    edge = high - low
    area = np.stack([edge[:, 1] * edge[:, 2], edge[:, 0] * edge[:, 2], edge[:, 0] * edge[:, 1]], axis=1)
    side = rng.choice(area.size, num_points, p=(area / area.sum()).ravel())
    box, axis = np.divmod(side, 3)
    part = rng.uniform(0, 1, (num_points, 3))
    part[np.arange(num_points), axis] = rng.integers(0, 2, num_points)
    pos = low[box] + part * edge[box]
    names = [S3DIS.names.index(name.split()[0]) for name in SURFACES]
    color = np.array(S3DIS.colors)[np.array(names)[box]] // 2 + 60
    return {
        "pos": pos.astype(np.float32),
        "color": np.clip(color + rng.normal(0, 8, color.shape), 0, 255).astype(np.uint8),
        "label": np.array(names)[box].astype(np.int16),
        "instance": box.astype(np.int32),
    }


def write_office(path: Path) -> None:
    """The office as a prepared scene."""
    write_scene(path, **office(), dataset="fake", scene=path.stem, schema=S3DIS)


def write_office_prediction(folder: Path, room: Path) -> None:
    """A prediction of the office as evaluation stores it, right but for every tenth point."""
    label = office()["label"]
    label[::10] = S3DIS.names.index("wall")
    saved = SavedPrediction(
        label=label, confidence=np.full(len(label), 0.8), schema=S3DIS, source=room.stem, checkpoint="abc"
    )
    write_prediction(folder / "predictions" / "abc" / room.parent.name / f"{room.stem}.npz", saved)


def write_office_frame(color: Path, *, size: tuple[int, int] = (48, 64)) -> None:
    """Write a frame taken at eye height along +x: colors, labels, depth, pose and intrinsics."""
    height, width = size
    focal = 0.7 * width
    eye = np.array([0.8, 2.0, 1.5])
    pose = np.array([[0, 0, 1, eye[0]], [-1, 0, 0, eye[1]], [0, -1, 0, eye[2]], [0, 0, 0, 1]], float)
    matrix = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    room, scene = office(), color.parent.parent
    local = (room["pos"] - eye) @ pose[:3, :3]
    seen = local[:, 2] > 0.1
    u, v = (np.rint(focal * local[:, i] / local[:, 2] + matrix[i, 2]).astype(int) for i in (0, 1))
    seen &= (u >= 0) & (u < width) & (v >= 0) & (v < height)
    rows = np.flatnonzero(seen)[np.argsort(-local[seen, 2], kind="stable")]  # the nearest come last and stay
    images = {"color": np.zeros((height, width, 3), np.uint8), "label": np.zeros((height, width), np.uint8)}
    depth = np.zeros((height, width), np.uint16)
    images["color"][v[rows], u[rows]] = room["color"][rows]
    images["label"][v[rows], u[rows]] = room["label"][rows] + 1
    depth[v[rows], u[rows]] = np.rint(1000 * local[rows, 2])
    save(images["color"], color)
    save(images["label"], scene / "label" / f"{color.stem}.png")
    save(depth, scene / "depth" / f"{color.stem}.png")
    (scene / "pose").mkdir(exist_ok=True)
    np.savetxt(scene / "pose" / f"{color.stem}.txt", pose)
    for name in ("color", "depth"):
        np.savetxt(scene / f"intrinsics_{name}.txt", matrix)
    (scene.parents[1] / "frames.json").write_text(json.dumps({"schema": json.loads(S3DIS.to_json())}))


def write_point_model(path: Path, head: str, *, room_axes: bool = False) -> None:
    """Write an untrained point model that predicts wall everywhere."""
    config = POINT_HEADS[head]
    model = Segmentor(partial(SparseUNet, **UNET), head_factory(config), in_channels=4, schema=S3DIS)
    detail = model.get_submodule("head.detail").get_parameter("bias")
    detail.data[S3DIS.names.index("wall")] += 100
    parts = {
        "backbone": {"class_path": "pcseg.backbones.points.sparse_unet.SparseUNet", "init_args": UNET},
        "head": config,
    }
    features = ["color", "height"]
    _write(path, model, parts, features=features, grid_size=0.1, in_channels=4, room_axes=room_axes)


def write_image_model(path: Path, head: str, *, crop_size: tuple[int, int] = (48, 64)) -> None:
    """An untrained model of images."""
    config = IMAGE_HEADS[head]
    model = Segmentor(ResNet(**RESNET), head_factory(config), in_channels=3, schema=S3DIS)
    parts = {
        "data": {"class_path": "pcseg.data.images.image_data.ImageData", "init_args": {"crop_size": list(crop_size)}},
        "backbone": {"class_path": "pcseg.backbones.images.resnet.ResNet", "init_args": RESNET},
        "head": config,
    }  # fmt: skip
    _write(path, model, parts, kind="images", features=["image"], grid_size=0.0, in_channels=3)


def _write(path: Path, model: Segmentor, config: dict[str, Any], **card: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = ModelCard(config=config, schema=S3DIS.to_json(), manifest_hash="", seed=0, **card)
    torch.save({"state_dict": model.state_dict(), KEY: whole.as_dict()}, path)
