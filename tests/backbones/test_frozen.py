"""Probing: frozen modules do not change, and the finest level can hold the features of all levels."""

import pytest
import torch
from helpers.tiny_ptv3 import batch_of, cloud, tiny
from torch.optim import AdamW

from pcseg.backbones.points.frozen import Frozen, Upcast
from pcseg.errors import UserError


def probed(*learn: str) -> Frozen:
    return Frozen(3, backbone=lambda _: tiny(drop_path=0.5), learn=learn).train()


def state_after_a_step(backbone: Frozen) -> set[str]:
    """Return the names of the parameters and running statistics that a training step changes."""
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    optimizer = AdamW(backbone.parameters(), lr=0.1)
    levels = backbone(batch_of(cloud(80)))
    loss = torch.stack([level.x.square().sum() for level in levels]).sum()
    if loss.requires_grad:
        loss.backward()
    optimizer.step()
    return {name for name, tensor in backbone.state_dict().items() if not torch.equal(tensor, before[name])}


def test_frozen_backbone_does_not_change() -> None:
    backbone, batch = probed(), batch_of(cloud(80))
    assert backbone.out_channels == [8, 16, 16]
    assert not any(level.x.requires_grad for level in backbone(batch))
    assert torch.equal(backbone(batch)[0].x, backbone(batch)[0].x), "nothing is random"
    assert state_after_a_step(backbone) == set()
    assert not backbone.backbone.training
    assert backbone.training


def test_decoder_probing_trains_the_decoder() -> None:
    changed = state_after_a_step(probed("unpools", "dec"))
    assert {name.split(".")[1] for name in changed} == {"unpools", "dec"}
    assert any("running_mean" in name for name in changed)


def test_refuses_unknown_modules() -> None:
    with pytest.raises(UserError, match="PTv3 has no module 'decoder'"):
        probed("decoder")


def test_upcast() -> None:
    backbone = tiny()
    upcast = Upcast(3, backbone=lambda _: backbone)
    batch = batch_of(cloud(80), cloud(1, 1))
    finest, middle, coarsest = backbone(batch)
    levels = upcast(batch)
    assert upcast.out_channels == [40, 16, 16] == [level.x.shape[1] for level in levels]
    torch.testing.assert_close(levels[0].x[:, :8], finest.x)
    torch.testing.assert_close(levels[0].x[:, 8:24], middle.x[middle.parent])
    torch.testing.assert_close(levels[0].x[:, 24:], coarsest.x[coarsest.parent][middle.parent])
    torch.testing.assert_close(levels[2].x, coarsest.x)
