"""Kernel launches and host waits of a training step on a GPU, counted without one."""

from functools import cache, partial
from typing import Any

import pytest
import torch
from helpers.launches import CLASSES, Counts, batch_of_rooms, count_backbone, count_head, count_update
from torch import nn

from pcseg import heads
from pcseg.backbones.points.ptv3 import ptv3_base
from pcseg.backbones.points.sparse_unet import sparse_unet_base
from pcseg.heads import PointHead
from pcseg.nn.levels import Level
from pcseg.ops import sparse_conv

VOXELS, FULL = 2000, 100_000
"""Voxels per cloud here and in the batch of 8 clouds that the budgets are for."""

BACKBONES = {"unet": sparse_unet_base, "ptv3": ptv3_base}
HEADS = {
    "linear": heads.LinearHead,
    "fcn": partial(PointHead, body=partial(heads.FCNBody, width=128)),
    "ccnet": partial(PointHead, body=heads.RCCABody),
    "ctnet": partial(PointHead, body=heads.CTBody),
    "ctnet_centers": partial(PointHead, body=partial(heads.CTBody, class_features="centers", heads=4)),
    "ctnet_slab": partial(PointHead, body=partial(heads.CTBody, class_features="slab")),
    "encnet": partial(PointHead, body=heads.EncBody),
    "slab": partial(PointHead, body=heads.SlabBody),
    "cac": partial(PointHead, body=heads.CACBody),
}


@cache
def backbone_step(name: str) -> tuple[nn.Module, Any, Counts, list[Level]]:
    with torch.device("meta"):
        backbone = BACKBONES[name](4)
    batch = batch_of_rooms(VOXELS)
    return backbone, batch, *count_backbone(backbone, batch)


@pytest.fixture(autouse=True)
def _as_many_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions gather pieces of a fixed size, so that only their number depends on the number of voxels."""
    monkeypatch.setitem(sparse_conv.GATHERED, "cuda", sparse_conv.GATHERED["cuda"] * VOXELS // FULL)


@pytest.mark.parametrize(
    ("backbone", "head", "launches", "waits"),
    [
        ("unet", "linear", 6000, 40),
        ("unet", "fcn", 6000, 40),
        ("unet", "ccnet", 6000, 40),
        ("unet", "ctnet", 6000, 40),
        ("unet", "ctnet_centers", 6000, 40),
        ("unet", "ctnet_slab", 6000, 40),
        ("unet", "encnet", 6000, 40),
        ("unet", "slab", 6000, 40),
        ("unet", "cac", 6000, 40),
        ("ptv3", "linear", 9000, 40),
        ("ptv3", "ccnet", 9000, 40),
    ],
)
def test_within_budget(backbone: str, head: str, launches: int, waits: int) -> None:
    network, batch, steps, levels = backbone_step(backbone)
    with torch.device("meta"):
        top = HEADS[head](network.out_channels, CLASSES)
    found = [
        counts.summary() for counts in (steps, count_head(top, levels, batch), count_update(network, top))
    ]
    print(backbone, head, found)
    total_launches, total_waits = map(sum, zip(*found))
    assert total_launches <= launches
    assert total_waits <= waits
