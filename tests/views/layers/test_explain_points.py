"""Maps of point heads: they are what the modules compute, in the pass of prediction."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.explain_models import CLOUD, HEADS, ROOM, make_model
from helpers.office import office, write_point_model
from helpers.pyg_models import PointTransformer
from torch import nn

from pcseg.backbones.points.pyg import ConfiguredPyGBackbone
from pcseg.checkpoint import load_checkpoint
from pcseg.data.io.clouds import Cloud
from pcseg.data.room_frame import find_room_frame
from pcseg.data.transforms.geometry import rotation
from pcseg.errors import UserError
from pcseg.heads import Head, HeadOutput, PointHead, SlabBody
from pcseg.inference.clouds import predict_cloud
from pcseg.labels import S3DIS, LabelSchema
from pcseg.nn.encoding import ContextEncoding
from pcseg.nn.levels import Level, PointBatch
from pcseg.nn.neighbor_conv import NeighborConv
from pcseg.nn.spatial_context import ClassAttention
from pcseg.views.layers.explain_points import explain_cloud
from pcseg.views.layers.slab_layers import slab_of_points


@pytest.mark.parametrize("name", HEADS)
def test_the_pass_is_that_of_prediction(name: str) -> None:
    model = make_model(HEADS[name])
    maps = explain_cloud(model, CLOUD).maps
    saved = predict_cloud(model, CLOUD)
    np.testing.assert_array_equal(maps.label, saved.label)
    np.testing.assert_allclose(maps.confidence, saved.confidence, rtol=1e-5)
    assert len(maps.row) == len(CLOUD)
    assert not any(module._forward_hooks for module in model.network.modules())


def test_maps_of_ctnet() -> None:
    maps = explain_cloud(make_model(HEADS["ctnet"]), CLOUD).maps
    assert maps.affinity is not None
    np.testing.assert_allclose(maps.affinity.sum(axis=1), 1, rtol=1e-5)
    assert maps.affinity.std(axis=0).max() > 0
    # class features of rank one point the same way
    np.testing.assert_allclose(maps.similarity["class features"], 1, atol=1e-6)
    assert maps.class_prob is not None
    assert maps.frequency is not None
    assert maps.class_prob.sum() == pytest.approx(1, abs=1e-5)
    assert maps.frequency.argmax() == np.bincount(ROOM["label"]).argmax()
    assert maps.channel is not None
    assert ((maps.channel > 0) & (maps.channel < 1)).all()
    assert maps.attend is maps.assignment is maps.presence is None


def test_maps_of_other_class_features() -> None:
    """CTNet has channel factors with all class features, and slabs instead of affinities with those of slabs."""
    slab, centers = (
        explain_cloud(make_model(HEADS[f"ctnet {name}"]), CLOUD).maps for name in ("slab", "centers")
    )
    assert slab.channel is not None
    assert [len(shares.predicted.T) for shares in slab.slabs] == [13, 13, 13]
    assert slab.affinity is None
    assert centers.slabs is None
    np.testing.assert_allclose(centers.affinity.sum(axis=1), 1, rtol=1e-5)


def test_class_attention_splits_at_its_affinity() -> None:
    attention = ClassAttention(8, 4, conv=lambda a, b, bias: _Linear(a, b, bias)).double().eval()
    x, features = torch.randn(7, 8, dtype=torch.float64), torch.randn(2, 5, 8, dtype=torch.float64)
    sites = _Sites(torch.tensor([0, 3, 7]))
    share = attention.affinity(x, features, sites)
    values = attention.value(features.flatten(0, 1)).view(2, 5, -1)
    context = torch.cat([share[:3] @ values[0], share[3:] @ values[1]])
    torch.testing.assert_close(attention.up(context) + x, attention.attend(x, features, sites))


class _Sites:
    def __init__(self, ptr: torch.Tensor) -> None:
        self.ptr = ptr


class _Linear(nn.Linear):
    def forward(self, x: torch.Tensor, sites: _Sites) -> torch.Tensor:  # type: ignore[override]
        return super().forward(x)


def test_maps_of_encnet() -> None:
    maps = explain_cloud(make_model(HEADS["encnet"]), CLOUD).maps
    assert maps.assignment is not None
    np.testing.assert_allclose(maps.assignment.sum(axis=1), 1, rtol=1e-5)
    assert maps.assignment.shape[1] == 4 == len(maps.smoothing)  # type: ignore[arg-type]
    assert maps.presence is not None
    assert maps.present is not None
    assert set(np.flatnonzero(maps.present)) == set(np.unique(ROOM["label"]))
    unlabeled = replace(CLOUD, label=None)
    assert explain_cloud(make_model(HEADS["encnet"]), unlabeled).maps.present is None


def test_maps_of_ccnet() -> None:
    maps = explain_cloud(make_model(HEADS["ccnet"]), CLOUD).maps
    assert maps.attend is not None
    token = int(maps.point_token[10])
    seen = maps.attend(token)
    assert len(seen) == 3
    reached = [int(row.reached.sum()) for row in seen]
    assert reached == sorted(reached)
    assert reached[0] < reached[2]
    for share, within in seen:
        assert share.sum() == pytest.approx(1, abs=1e-4)
        assert within[token]
        assert (share[~within] == 0).all()


def test_maps_of_slabs() -> None:
    model = make_model(HEADS["slab"])
    region = model.network.head.body.region  # type: ignore[union-attr]
    logits: list[torch.Tensor] = []
    handle = region.register_forward_hook(lambda _, args, output: logits.append(output))
    subject = explain_cloud(model, CLOUD)
    handle.remove()
    maps = subject.maps
    prob = torch.softmax(logits[0].double(), 1).numpy()
    label = {int(row): k for row, k in zip(maps.row[::-1], CLOUD.label[::-1])}  # the first point of a voxel
    assert [shares.name for shares in maps.slabs] == ["x", "y", "z"]
    for shares in maps.slabs:
        cell = np.floor(CLOUD.pos[:, shares.axis].astype(np.float64) / 0.3).astype(int)
        assert len(shares.start) == len(np.unique(cell))
        assert shares.unit == "m"
        for slab, number in enumerate(np.unique(cell)):
            assert shares.start[slab] == pytest.approx(0.3 * number)
            rows = np.unique(maps.row[cell == number])
            assert set(slab_of_points(shares, maps)[cell == number]) == {slab}
            mean, true = np.zeros(13), np.zeros(13)
            for row in rows:
                mean += prob[row] / len(rows)
                true[label[int(row)]] += 1 / len(rows)
            np.testing.assert_allclose(shares.predicted[slab], mean, atol=1e-6)
            np.testing.assert_allclose(shares.true[slab], true, atol=1e-6)
    assert explain_cloud(model, replace(CLOUD, label=None)).maps.slabs[0].true is None


def test_unlabeled_parts_are_missing_in_true_shares() -> None:
    label = np.where(np.arange(len(CLOUD)) % 3 == 0, -1, CLOUD.label).astype(np.int16)
    maps = explain_cloud(make_model(HEADS["slab"], grid_size=0.01), replace(CLOUD, label=label)).maps
    labeled = label[np.unique(maps.row, return_index=True)[1]] >= 0
    for shares in maps.slabs:
        counts = np.bincount(shares.slab)
        assert (shares.true * counts[:, None]).sum() == pytest.approx(labeled.sum(), abs=0.01)


def test_slabs_of_shares_along_the_axes_of_the_head() -> None:
    for content in ("positions", "features"):
        head = partial(PointHead, level=0, body=partial(SlabBody, width=16, content=content))
        assert explain_cloud(make_model(head), CLOUD).maps.slabs is None
    head = partial(PointHead, level=0, body=partial(SlabBody, width=16, axes=(2, 0)))
    assert [shares.name for shares in explain_cloud(make_model(head), CLOUD).maps.slabs] == ["z", "x"]


def test_slabs_lie_along_the_axes_that_the_model_sees(tmp_path: Path) -> None:
    """Tokens of four voxels in a rotated room: slabs follow its walls, and the cloud stays where it is."""
    write_point_model(tmp_path / "slab.ckpt", "slab")
    model = load_checkpoint(tmp_path / "slab.ckpt")
    arrays = office(6000)
    pos = (arrays["pos"] @ rotation("z", np.deg2rad(30)).T + (7, -3, 0)).astype(np.float32)
    cloud = Cloud(source=Path("room.h5"), pos=pos, color=arrays["color"], label=arrays["label"], schema=S3DIS)
    for room_axes in (False, True):
        seen = replace(model, card=replace(model.card, room_axes=room_axes))
        subject = explain_cloud(seen, cloud)
        np.testing.assert_array_equal(subject.pos, pos)
        matrix = find_room_frame(pos).rotation if room_axes else np.eye(3)
        assert (abs(matrix[0, 1]) > 0.4) == room_axes
        for shares, axis in zip(subject.maps.slabs, "xyz", strict=True):
            assert shares.name == (f"{axis} of the room" if room_axes else axis)
            assert shares.thickness == pytest.approx(0.4)
            offset = pos @ matrix[shares.axis] - shares.start[slab_of_points(shares, subject.maps)]
            assert -1e-4 < offset.min() < offset.max() < 0.4 + 1e-4
            length = np.array([5, 4, 2.8])[shares.axis]
            assert not room_axes or length <= 0.4 * len(shares.start) < length + 0.9


def test_baseline_that_sees_other_axes() -> None:
    model, turned = make_model(HEADS["linear"]), make_model(HEADS["slab"], room_axes=True)
    arrays = office(3000)
    pos = (arrays["pos"] @ rotation("z", np.deg2rad(20)).T).astype(np.float32)
    cloud = Cloud(source=Path("room.ply"), pos=pos, color=arrays["color"])
    options: dict[str, Any] = {"units": "m", "up": "z"}
    maps = explain_cloud(model, cloud, baseline=turned, **options).maps
    other = explain_cloud(turned, cloud, **options).maps
    assert maps.baseline.shape == maps.probability.shape
    same = (maps.baseline[maps.row] == other.probability[other.row]).all(axis=1)
    assert set(maps.row[same]) == set(maps.row), "every row is that of one of its points"


def test_baseline() -> None:
    linear = make_model(HEADS["linear"])
    maps = explain_cloud(make_model(HEADS["ctnet"]), CLOUD, baseline=linear).maps
    np.testing.assert_array_equal(maps.baseline, explain_cloud(linear, CLOUD).maps.probability)
    with pytest.raises(UserError, match=r"has grid_size 0\.5, but"):
        explain_cloud(linear, CLOUD, baseline=make_model(HEADS["linear"], grid_size=0.5))


def test_points_without_a_position_are_left_out() -> None:
    pos = ROOM["pos"].copy()
    pos[5] = np.nan
    subject = explain_cloud(make_model(HEADS["ctnet"]), replace(CLOUD, pos=pos))
    assert len(subject) == len(CLOUD) - 1
    np.testing.assert_array_equal(subject.label, np.delete(ROOM["label"], 5))
    assert (subject.maps.row >= 0).all()


@pytest.mark.slow
def test_outliers_have_no_maps() -> None:
    pos = ROOM["pos"].copy()
    pos[5] = 1e5
    maps = explain_cloud(make_model(HEADS["ctnet"]), replace(CLOUD, pos=pos)).maps
    assert maps.row[5] == maps.label[5] == maps.point_token[5] == -1
    assert maps.confidence[5] == 0
    assert (np.delete(maps.row, 5) >= 0).all()


def test_other_classes_are_refused() -> None:
    names = tuple(f"kind {i}" for i in range(13))
    other = replace(CLOUD, schema=LabelSchema(name="other", names=names, colors=((0, 0, 0),) * 13))
    with pytest.raises(UserError, match="label schemas differ"):
        explain_cloud(make_model(HEADS["ctnet"]), other)


class OwnHead(Head):
    """A user's head that has a context encoding module and no body."""

    def __init__(self, channels: list[int], num_classes: int) -> None:
        super().__init__()
        self.encode = ContextEncoding(channels[0], 3)
        self.classify = nn.Linear(channels[0], num_classes)

    def forward(self, levels: list[Level], batch: PointBatch) -> HeadOutput:
        x, _ = self.encode(levels[0].x, batch.ptr)
        return HeadOutput(logits=self.classify(x))


def test_modules_are_explained_in_any_head() -> None:
    maps = explain_cloud(make_model(OwnHead), CLOUD).maps
    assert maps.head == "OwnHead"
    assert maps.assignment is not None
    assert maps.assignment.shape[1] == 3
    assert maps.affinity is maps.attend is None


def test_maps_of_raw_points() -> None:
    """The slabs of a model without voxels are made of cells, which begin half a cell below the lowest point."""
    backbone = partial(
        ConfiguredPyGBackbone, module=partial(PointTransformer, width=16), out_channels=16, cell_size=0.5
    )
    head = partial(PointHead, level=0, local=NeighborConv, body=partial(SlabBody, width=16, slab_width=8))
    model = make_model(head, backbone=backbone)
    subject = explain_cloud(model, CLOUD)
    np.testing.assert_array_equal(subject.prediction, predict_cloud(model, CLOUD).label)
    maps = subject.maps
    assert len(maps.slabs) == 3
    for shares in maps.slabs:
        first = np.unique(maps.row, return_index=True)[1]
        np.testing.assert_allclose(shares.predicted.sum(axis=1), 1, atol=1e-5)
        start = shares.start[shares.slab]
        # a row is a point of its voxel, and so within an edge of 0.3 m of every other one
        assert (np.abs(subject.pos[first, shares.axis] - start - 0.25) <= 0.25 + 0.3 + 1e-4).all()
