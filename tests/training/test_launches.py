"""Kernel launches and host waits of a training step on a GPU, counted without one."""

from functools import cache
from typing import Any

import pytest
import torch
from helpers.launches import counting
from helpers.training_step import (
    BACKBONES,
    CLASSES,
    HEADS,
    batch_of_rooms,
    count_backbone,
    count_head,
    count_update,
)  # fmt: skip
from torch_geometric.data import Batch, Data

from pcseg.data.training_data import TrainingData
from pcseg.nn.levels import Level
from pcseg.ops import sparse_conv

VOXELS, FULL = 2000, 100_000
"""Voxels per cloud here and in the batch of 8 clouds that the budgets are for."""


@cache
def of_backbone(name: str) -> tuple[list[int], Any, list[Level], tuple[int, int]]:
    """Channels, batch, levels, and launches and waits of a step without a head."""
    with torch.device("meta"):
        backbone = BACKBONES[name](4)
    batch = batch_of_rooms(VOXELS)
    counts, levels = count_backbone(backbone, batch)
    return backbone.out_channels, batch, levels, (counts + count_update(backbone)).summary()


@pytest.fixture(autouse=True)
def _as_many_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions gather pieces of a fixed size: only their number depends on the number of voxels."""
    monkeypatch.setitem(sparse_conv.GATHERED, "cuda", sparse_conv.GATHERED["cuda"] * VOXELS // FULL)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "launches", "waits"), [("sparse_unet_base", 3700, 13), ("ptv3_base", 4500, 15)]
)
def test_backbones(backbone: str, launches: int, waits: int) -> None:
    """A step with a backbone: forward and backward pass, check and clipping of the gradient, AdamW, average."""
    assert_within(of_backbone(backbone)[3], launches, waits)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "launches", "waits"),
    [
        ("linear", 120, 0),
        ("fcn", 180, 0),
        ("ccnet", 760, 3),
        ("ctnet", 650, 0),
        ("ctnet_centers", 1100, 0),
        ("ctnet_slab", 740, 3),
        ("encnet", 530, 0),
        ("slab", 600, 3),
        ("cac", 640, 3),
    ],
)
def test_heads(head: str, launches: int, waits: int) -> None:
    """What a head adds to it: forward pass, losses, accuracy and backward pass."""
    channels, batch, levels, below = of_backbone("sparse_unet_base")
    with torch.device("meta"):
        top = HEADS[head](channels, CLASSES)
    found = count_head(top, levels, batch).summary()
    assert_within(found, launches, waits)
    assert_within((below[0] + found[0], below[1] + found[1]), 6000, 40)


def assert_within(found: tuple[int, int], launches: int, waits: int) -> None:
    assert found[0] <= launches, "launches"
    assert found[1] <= waits, "waits of the host"


def test_the_helper_counts_waits() -> None:
    with counting() as counts:
        x = torch.arange(4, device="cuda")
        assert int(x[x > 1].sum()) == 5
        torch.tensor([1, 2]).to("cuda").unique()
        assert torch.tensor([3]).tolist() == [3], "on the CPU"
    assert sorted(what for what, _ in counts.waits.elements()) == ["__int__", "_unique2", "index", "to"]


def test_batches_arrive_without_waiting() -> None:
    data = Data(x=torch.ones(3, 1), grid_pos=torch.arange(9).view(3, 3), y=torch.zeros(3, dtype=torch.int64))
    batch = Batch.from_data_list([data, data])
    for value in batch.to_dict().values():
        value.made_on_host = True
    with counting() as counts:
        moved = TrainingData.transfer_batch_to_device(None, batch, torch.device("cuda"), 0)  # type: ignore[arg-type]
        assert moved.x.is_cuda
        assert not moved.ptr.is_cuda
    assert counts.summary()[1] == 0
