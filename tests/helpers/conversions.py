"""Tiny configurations of the published systems, and models that start from converted checkpoints."""

from pathlib import Path
from typing import Any

import torch
from helpers.heads import part, point_head, published_ccnet, published_ctnet, published_encnet
from helpers.published import DEPTHS, STEM, WIDTHS, State, ccnet_state, ctnet_state, encnet_state

from pcseg.checkpoint import instantiate_parts
from pcseg.labels import LabelSchema
from pcseg.official.convert import Conversion
from pcseg.training.initial_weights import load_initial_weights, read_initial_weights, save_weights
from pcseg.training.segmentor import Segmentor

K = 3
SCHEMA = LabelSchema(name="three", names=("a", "b", "c"), colors=((0, 0, 0),) * K)


def resnet(stem: str = "s", **options: Any) -> dict[str, Any]:
    shape = {"depths": list(DEPTHS), "widths": list(WIDTHS), "stem": stem, "stem_width": STEM[0]}
    return part("backbones.images.resnet.ResNet", **shape, **options)


UNET = part(
    "backbones.points.sparse_unet.SparseUNet", base_channels=8, channels=[8, 8, 8, 40], layers=[1, 1, 1, 1]
)
CONFIGS: dict[str, dict[str, Any]] = {
    "ccnet": {
        "backbone": resnet(dilation="ccnet", ceil_pool=True),
        "head": published_ccnet(width=6, attention_width=WIDTHS[3]),
    },
    "encnet": {
        "backbone": resnet(),
        "head": published_encnet(width=6, num_codewords=5),
    },
    "ctnet": {
        "backbone": resnet("d", dilation="ccnet"),
        "head": published_ctnet(width=6, key_width=4),
    },
    "points": {
        "backbone": UNET,
        "head": point_head("EncBody", level=0, width=6, num_codewords=5, reference_size=None),
    },
}
CT_POINTS = {
    "backbone": UNET,
    "head": point_head("CTBody", level=0, width=6, key_width=4, class_batch_norm=True),
}
STATES = {"ccnet": ccnet_state, "encnet": encnet_state, "ctnet": ctnet_state}


def write(path: Path, state: State) -> Path:
    torch.save(state, path)
    return path


def segmentor(config: dict[str, Any], in_channels: int = 3) -> Segmentor:
    backbone, head = instantiate_parts(config, source="test")
    return Segmentor(backbone, head, in_channels=in_channels, schema=SCHEMA)


def start(
    config: dict[str, Any], conversion: Conversion, tmp_path: Path, in_channels: int = 3
) -> tuple[Segmentor, list[str]]:
    """Return a model that starts from a conversion, and the names that keep their initial values."""
    path = tmp_path / "converted.ckpt"
    save_weights(path, conversion.state, missing=conversion.report.missing, origin=conversion.title)
    model = segmentor(config, in_channels).eval()
    return model, load_initial_weights(model, read_initial_weights(path))
