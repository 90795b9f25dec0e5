"""Maps of heads from a forward pass: they are what the modules compute, and the pass is that of prediction."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.fakes import ConvBackbone, fake_room
from torch import nn

from pcseg.checkpoint import LoadedModel, ModelCard
from pcseg.data.io.clouds import Cloud
from pcseg.errors import UserError
from pcseg.heads import CTBody, EncBody, Head, LinearHead, PointHead, RCCABody
from pcseg.inference.clouds import predict_cloud
from pcseg.labels import S3DIS
from pcseg.nn.spatial_context import ClassAttention
from pcseg.training.segmentor import HeadFactory, Segmentor
from pcseg.views.layers.explain_points import explain_cloud

GRID = 0.3
ROOM = fake_room(3, num_points=1500)
CLOUD = Cloud(source=Path("room.h5"), pos=ROOM["pos"], color=ROOM["color"], label=ROOM["label"], schema=S3DIS)


def make_model(head: HeadFactory, *, grid_size: float = GRID) -> LoadedModel:
    """A model whose parameters are all at work, the attention's too."""
    network = Segmentor(ConvBackbone, head, in_channels=4, schema=S3DIS).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    card = ModelCard(
        config={}, schema=S3DIS.to_json(), features=["color", "height"], grid_size=grid_size, in_channels=4,
        manifest_hash="", seed=0,
    )  # fmt: skip
    return LoadedModel(network=network, card=card, schema=S3DIS, hash="abc", path=Path("model.ckpt"))


HEADS: dict[str, HeadFactory] = {
    "plain": LinearHead,
    "ctnet": partial(PointHead, level=0, body=partial(CTBody, width=16, key_width=8)),
    "encnet": partial(PointHead, level=0, body=partial(EncBody, width=16, num_codewords=4)),
    "ccnet": partial(PointHead, level=0, body=partial(RCCABody, width=16)),
}


@pytest.mark.parametrize("name", HEADS)
def test_the_pass_is_that_of_prediction(name: str) -> None:
    model = make_model(HEADS[name])
    maps = explain_cloud(model, CLOUD).maps
    saved = predict_cloud(model, CLOUD).saved
    np.testing.assert_array_equal(maps.label, saved.label)
    np.testing.assert_allclose(maps.confidence, saved.confidence, rtol=1e-5)
    assert len(maps.row) == len(CLOUD)
    assert not any(module._forward_hooks for module in model.network.modules())


def test_affinity_is_what_the_module_gathers_with() -> None:
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


def test_encoding() -> None:
    maps = explain_cloud(make_model(HEADS["encnet"]), CLOUD).maps
    assert maps.assignment is not None
    np.testing.assert_allclose(maps.assignment.sum(axis=1), 1, rtol=1e-5)
    assert maps.assignment.shape[1] == 4 == len(maps.smoothing)  # type: ignore[arg-type]
    assert maps.presence is not None
    assert maps.present is not None
    assert set(np.flatnonzero(maps.present)) == set(np.unique(ROOM["label"]))
    unlabelled = replace(CLOUD, label=None)
    assert explain_cloud(make_model(HEADS["encnet"]), unlabelled).maps.present is None


def test_attention_of_a_point() -> None:
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


def test_another_head_to_compare_with() -> None:
    plain = make_model(HEADS["plain"])
    maps = explain_cloud(make_model(HEADS["ctnet"]), CLOUD, plain=plain).maps
    np.testing.assert_array_equal(maps.plain, explain_cloud(plain, CLOUD).maps.probability)
    with pytest.raises(UserError, match=r"voxels of 0\.5 m"):
        explain_cloud(plain, CLOUD, plain=make_model(HEADS["plain"], grid_size=0.5))


def test_points_without_a_position_have_no_maps() -> None:
    pos = ROOM["pos"].copy()
    pos[5] = np.nan
    maps = explain_cloud(make_model(HEADS["ctnet"]), replace(CLOUD, pos=pos)).maps
    assert maps.row[5] == maps.label[5] == maps.point_token[5] == -1
    assert maps.confidence[5] == 0
    assert (np.delete(maps.row, 5) >= 0).all()


def test_bodies_are_named_for_every_head() -> None:
    bodies: dict[str, type[nn.Module]] = {"ctnet": CTBody, "encnet": EncBody, "ccnet": RCCABody}
    for name, kind in bodies.items():
        head: Head = make_model(HEADS[name]).network.head
        assert isinstance(head.body, kind)
