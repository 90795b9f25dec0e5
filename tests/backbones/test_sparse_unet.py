"""Sparse U-Net: levels, presets, independence of clouds, and official weights."""

from itertools import pairwise

import pytest
import torch
from helpers.dense_conv import random_voxels
from helpers.published_points import load_published_points, published_state
from torch import nn
from torch_geometric.data import Batch, Data

from pcseg.backbones.points.sparse_unet import SparseUNet, sparse_unet_base, sparse_unet_small
from pcseg.errors import UserError


def tiny() -> SparseUNet:
    return SparseUNet(3, base_channels=8, channels=(8, 16, 12, 8), layers=(1, 2, 1, 1))


def batch_of(*sizes: int) -> Batch:
    clouds = [random_voxels([size], seed=i, edge=9) for i, size in enumerate(sizes)]
    return Batch.from_data_list(
        [
            Data(x=torch.randn(len(voxels), 3), grid_pos=voxels.grid_pos, num_nodes=len(voxels))
            for voxels in clouds
        ]
    )


def test_levels() -> None:
    batch = batch_of(200, 1, 150)
    backbone = tiny()
    levels = backbone(batch)
    assert backbone.out_channels == [8, 12, 16]
    assert [level.x.shape[1] for level in levels] == backbone.out_channels
    assert [level.stride for level in levels] == [1, 2, 4]
    assert torch.equal(levels[0].voxels.grid_pos, batch.grid_pos)
    assert levels[0].parent is None
    for fine, coarse in pairwise(levels):
        assert len(coarse.x) == len(coarse.voxels) < len(fine.voxels)
        assert coarse.parent is not None
        expected = fine.voxels.grid_pos.div(2, rounding_mode="floor")
        assert torch.equal(coarse.voxels.grid_pos[coarse.parent], expected)


def test_every_parameter_has_a_gradient() -> None:
    backbone = tiny()
    batch = batch_of(200, 150)
    sum(level.x.square().mean() for level in backbone(batch)).backward()
    for name, parameter in backbone.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("edge", [1, 4])
def test_a_level_of_a_single_voxel_trains(edge: int) -> None:
    """The coarsest voxel is normalized by the running statistics and does not change them."""
    backbone = tiny()
    grid_pos = torch.cartesian_prod(*[torch.arange(edge)] * 3)[:: max(edge - 1, 1)]
    size = len(grid_pos)
    batch = Batch.from_data_list([Data(x=torch.randn(size, 3), grid_pos=grid_pos, num_nodes=size)])
    levels = backbone(batch)
    assert len(levels[-1].x) == 1
    sum(level.x.square().sum() for level in levels).backward()
    for name, parameter in backbone.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    norm = backbone.enc[-1][-1].norm2
    assert norm.running_mean.eq(0).all()
    assert norm.running_var.eq(1).all()
    assert backbone.stem.norm.running_mean.any() == (size > 1)


def test_clouds_do_not_see_each_other() -> None:
    backbone = tiny().eval()
    batch = batch_of(120, 80)
    together = backbone(batch)
    for number, cloud in enumerate(batch.to_data_list()):
        for alone, level in zip(backbone(Batch.from_data_list([cloud])), together):
            torch.testing.assert_close(alone.x, level.x[level.voxels.batch == number], rtol=1e-4, atol=1e-5)


def test_rows_may_come_in_any_order() -> None:
    backbone = tiny().eval()
    batch = batch_of(150)
    order = torch.randperm(150)
    shuffled = Batch.from_data_list([Data(x=batch.x[order], grid_pos=batch.grid_pos[order], num_nodes=150)])
    torch.testing.assert_close(backbone(shuffled)[0].x, backbone(batch)[0].x[order], rtol=1e-4, atol=1e-5)


def test_presets() -> None:
    small, base = (
        sum(parameter.numel() for parameter in preset(6).parameters())
        for preset in (sparse_unet_small, sparse_unet_base)
    )
    assert 3e6 < small < 4e6
    assert base == 39_157_844 - 20 * 96 - 20, "the published network without its classifier of 20 classes"


@pytest.mark.parametrize("channels", [(8, 8, 8), (8, 8, 8, 8)])
def test_refuses_invalid_stages(channels: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="same even length"):
        SparseUNet(3, channels=channels, layers=(1, 1, 1))


def test_official_weights_round_trip() -> None:
    one, other = tiny(), tiny()
    classify, other_classify = nn.Linear(8, 5), nn.Linear(8, 5)
    state = {f"module.backbone.{name}": tensor for name, tensor in published_state(one, classify).items()}
    assert state["module.backbone.conv_input.0.weight"].shape == (8, 5, 5, 5, 3)
    assert state["module.backbone.final.weight"].shape == (5, 1, 1, 1, 8)
    report = load_published_points(state, other, other_classify)
    assert len(report.taken) == len(state)
    assert not report.missing + report.unexpected
    batch = batch_of(100)
    for network in (one, other):
        network.eval()
    torch.testing.assert_close(classify(one(batch)[0].x), other_classify(other(batch)[0].x))


def test_reports_mismatches() -> None:
    state = published_state(tiny(), nn.Linear(8, 5))
    kernel = state.pop("down.0.0.weight")
    report = load_published_points(state, tiny())
    assert report.missing == ["backbone.down.0.conv.weight"]
    assert report.ignored == ["final.weight", "final.bias"]
    assert "1 missing here, initial values kept: backbone.down.0.conv.weight" in str(report)
    backbone = tiny()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    with pytest.raises(UserError, match=r"down\.0\.0\.weight has shape \(8, 2, 2, 2, 7\)"):
        load_published_points(state | {"down.0.0.weight": kernel[..., :7]}, backbone)
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())
