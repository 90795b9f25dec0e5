"""Maps of point heads: they are what the modules compute, in the pass of prediction."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.explain_models import CLOUD, HEADS, ROOM, make_model
from torch import nn

from pcseg.errors import UserError
from pcseg.heads import Head, HeadOutput
from pcseg.inference.clouds import predict_cloud
from pcseg.labels import LabelSchema
from pcseg.nn.encoding import ContextEncoding
from pcseg.nn.levels import Level, PointBatch
from pcseg.nn.spatial_context import ClassAttention
from pcseg.views.layers.explain_points import explain_cloud


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
