"""Checkpoints of small untrained models of points and of images."""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from helpers.heads import head_factory, published_ccnet, published_ctnet, published_encnet

from pcseg.backbones.images.resnet import ResNet
from pcseg.backbones.points.sparse_unet import SparseUNet
from pcseg.checkpoint import KEY, LoadedModel, ModelCard
from pcseg.data.features import num_features
from pcseg.data.manifest import Manifest
from pcseg.heads.base import HeadOutput
from pcseg.heads.linear import LinearHead
from pcseg.labels import S3DIS, LabelSchema
from pcseg.nn.levels import Level, PointBatch
from pcseg.training.segmentor import Segmentor

GRID_SIZE = 0.2
UNET = {"channels": [4, 4], "layers": [1, 1], "base_channels": 4}
RESNET = {"depths": [1, 1, 1, 1], "widths": [8, 8, 8, 8], "stem": "s", "stem_width": 8}
IMAGE_HEADS = {
    "ccnet": published_ccnet(width=16),
    "encnet": published_encnet(width=16, num_codewords=4, norm=None, lateral=True),
    "ctnet": published_ctnet(width=16, key_width=8, norm=None, init=False),
}


def write_checkpoint(
    path: Path,
    root: Path | None = None,
    *,
    seed: int = 0,
    schema: LabelSchema = S3DIS,
    features: Sequence[str] = ("color", "height"),
    **card: Any,
) -> Path:
    """Write an untrained point model whose card names ``root`` as its training data and return ``path``.

    Args:
        path: The checkpoint.
        root: Prepared folder; ``Area_5`` is its test split. The card names no data if it is missing.
        seed: Seed of the weights, stored in the card.
        schema: Classes of the model.
        features: Input features of the model.
        card: Other fields of the card.
    """
    torch.manual_seed(seed)
    width = num_features(features)
    model = Segmentor(
        lambda channels: SparseUNet(channels, **UNET), LinearHead, in_channels=width, schema=schema
    )
    config: dict[str, Any] = {
        "backbone": {"class_path": "pcseg.backbones.points.sparse_unet.SparseUNet", "init_args": UNET},
        "head": {"class_path": "pcseg.heads.LinearHead"},
    }
    if root is not None:
        arguments = {"root": str(root), "test_splits": ["Area_5"]}
        config["data"] = {"class_path": "pcseg.data.room_data.RoomData", "init_args": arguments}
    manifest_hash = Manifest.read(root).hash if root is not None and root.exists() else ""
    fields = {
        "config": config, "schema": schema.to_json(), "features": list(features), "grid_size": GRID_SIZE,
        "in_channels": width, "manifest_hash": manifest_hash, "seed": seed,
    }  # fmt: skip
    return _write(path, model, ModelCard(**fields | card))


class MeanHead(LinearHead):
    """Adds the mean of all voxels to each of them: every label depends on everything in a pass."""

    @property
    def is_local(self) -> bool:
        return False

    def forward(self, levels: list[Level], batch: PointBatch) -> HeadOutput:
        x = levels[0].x
        return HeadOutput(logits=self.classify(x + 3 * x.mean(0)))


def with_context(model: LoadedModel) -> LoadedModel:
    """Return a model with a linear head and the weights of its own, but with a :class:`MeanHead`."""
    network = copy(model.network)
    head = MeanHead([model.network.head.classify.in_features], model.schema.num_classes)
    head.load_state_dict(model.network.head.state_dict())
    network._modules = model.network._modules | {"head": head.eval()}
    return replace(model, network=network)


def write_image_checkpoint(path: Path, root: Path, **data: Any) -> Path:
    """Write an untrained EncNet whose card names the frames in ``root`` as its training data and return ``path``."""
    torch.manual_seed(0)
    config = image_config(root, "encnet", **{"test_splits": ["Area_5"], **data})
    model = Segmentor(ResNet(**RESNET), head_factory(config["head"]), in_channels=3, schema=S3DIS)
    card = ModelCard(
        config=config, schema=S3DIS.to_json(), kind="images", features=["image"], grid_size=0.0, in_channels=3,
        manifest_hash="", seed=0,
    )  # fmt: skip
    return _write(path, model, card)


def image_config(root: Path, head: str, **data: Any) -> dict[str, Any]:
    """Return the training configuration of a small image model; ``data`` are further arguments of the data."""
    arguments = {"root": str(root), "dataset": "room_frames", "crop_size": [32, 40], "batch_size": 2}
    return {
        "data": {"class_path": "pcseg.data.images.image_data.ImageData", "init_args": arguments | data},
        "backbone": {"class_path": "pcseg.backbones.images.resnet.ResNet", "init_args": RESNET},
        "head": IMAGE_HEADS[head],
    }


def _write(path: Path, model: Segmentor, card: ModelCard) -> Path:
    torch.save({"state_dict": model.state_dict(), KEY: card.as_dict()}, path)
    return path
