"""A small cloud and point models whose heads have nonzero maps."""

from functools import partial
from pathlib import Path

import torch
from helpers.fakes import ConvBackbone, fake_room

from pcseg.checkpoint import LoadedModel, ModelCard
from pcseg.data.io.clouds import Cloud
from pcseg.heads import CTBody, EncBody, LinearHead, PointHead, RCCABody, SlabBody
from pcseg.labels import S3DIS
from pcseg.network import BackboneChoice
from pcseg.training.segmentor import HeadFactory, Segmentor

ROOM = fake_room(3, num_points=1500)
CLOUD = Cloud(source=Path("room.h5"), pos=ROOM["pos"], color=ROOM["color"], label=ROOM["label"], schema=S3DIS)

HEADS: dict[str, HeadFactory] = {
    "linear": LinearHead,
    "ctnet": partial(PointHead, level=0, body=partial(CTBody, width=16, key_width=8)),
    "ctnet slab": partial(
        PointHead, level=0, body=partial(CTBody, width=16, key_width=8, class_features="slab")
    ),
    "ctnet centers": partial(
        PointHead, level=0, body=partial(CTBody, width=16, key_width=8, class_features="centers")
    ),
    "encnet": partial(PointHead, level=0, body=partial(EncBody, width=16, num_codewords=4)),
    "ccnet": partial(PointHead, level=0, body=partial(RCCABody, width=16)),
    "slab": partial(PointHead, level=0, body=partial(SlabBody, width=16, slab_width=8)),
}


def make_model(
    head: HeadFactory,
    *,
    grid_size: float = 0.3,
    room_axes: bool = False,
    backbone: BackboneChoice = ConvBackbone,
) -> LoadedModel:
    """Return a model without zero parameters; the attention of an untrained CCNet head would be switched off."""
    network = Segmentor(backbone, head, in_channels=4, schema=S3DIS).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    card = ModelCard(
        config={}, schema=S3DIS.to_json(), features=["color", "height"], grid_size=grid_size, in_channels=4,
        manifest_hash="", seed=0, room_axes=room_axes,
    )  # fmt: skip
    return LoadedModel(network=network, card=card, schema=S3DIS, hash="abc", path=Path("model.ckpt"))
