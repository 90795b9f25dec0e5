"""Variants of CTNet keep the contract of point heads and compute what their names state."""

from functools import partial

import pytest
import torch
from helpers.grids import make_levels, random_scene
from helpers.head_contract import CHANNELS, NUM_CLASSES, PointHeadContract
from studies.ctnet_variants import ClassFeatures, CTVariantBody, Order
from torch import Tensor

from pcseg.errors import UserError
from pcseg.heads import CTBody, PointHead

WIDTHS = [CHANNELS] * 3


def variant(order: Order = "tandem", class_features: ClassFeatures = "rank_one") -> PointHead:
    body = partial(CTVariantBody, order=order, class_features=class_features, width=12, key_width=6)
    return PointHead(WIDTHS, NUM_CLASSES, body=body, level=1)


def published() -> PointHead:
    return PointHead(WIDTHS, NUM_CLASSES, body=partial(CTBody, width=12, key_width=6), level=1)


class TestChannelAlone(PointHeadContract):
    def make(self) -> PointHead:
        return variant("channel")


class TestSpatialAlone(PointHeadContract):
    def make(self) -> PointHead:
        return variant("spatial", "embedding")


class TestUngated(PointHeadContract):
    def make(self) -> PointHead:
        return variant("spatial", "rank_one")


class TestSwapped(PointHeadContract):
    def make(self) -> PointHead:
        return variant("swapped", "embedding")


class TestEmbedding(PointHeadContract):
    def make(self) -> PointHead:
        return variant("tandem", "embedding")


class TestAdded(PointHeadContract):
    def make(self) -> PointHead:
        return variant("tandem", "added")


def both(head: PointHead) -> tuple[Tensor, dict[str, Tensor]]:
    levels, batch = make_levels([random_scene(60, CHANNELS), random_scene(40, CHANNELS, seed=1)])
    output = head(levels, batch)
    return output.logits, output.aux | head.losses(output, batch)


def test_default_is_the_published_head() -> None:
    head = published().double()
    same = variant().double()
    same.load_state_dict(head.state_dict())
    (expected, more), (found, others) = both(head), both(same)
    assert torch.equal(found, expected)
    assert more.keys() == others.keys() == {"class_prob", "class_features", "class_frequency"}
    assert all(torch.equal(more[name], others[name]) for name in more)


def test_added_without_embedding_is_the_published_head() -> None:
    head, added = published().double(), variant("tandem", "added").double()
    weights = added.state_dict()
    weights["body.embedding"].zero_()
    added.load_state_dict(weights | head.state_dict())
    assert torch.equal(both(added)[0], both(head)[0])


def test_parts_that_are_left_out_have_no_parameters() -> None:
    def parts(head: PointHead) -> set[str]:
        names = {name.split(".")[1] for name, _ in head.body.named_parameters(prefix="body")}
        return names - {"reduce", "classify"}

    assert parts(variant("channel")) == {"channel_context"}
    assert parts(variant("spatial", "embedding")) == {"spatial_context", "embedding"}
    assert parts(variant("spatial")) == {"channel_context", "spatial_context"}
    assert parts(variant("swapped", "embedding")) == {"channel_context", "spatial_context", "embedding"}


def test_swapped_gates_what_the_spatial_context_made() -> None:
    head = variant("swapped", "embedding").double().eval()
    levels, _ = make_levels([random_scene(60, CHANNELS)])
    body, here = head.body, levels[1]
    x = body.reduce(here.x, here.voxels)
    x = body.spatial_context(x, body.embedding[None], here.voxels)
    gated, prob, _ = body.channel_context(x, here.voxels.ptr)
    output = body(here.x, here.voxels)
    assert torch.equal(output.logits, body.classify(gated))
    assert torch.equal(output.clouds["class_prob"], prob)


def test_ungated_tokens_read_the_described_classes() -> None:
    head = variant("spatial").double().eval()
    levels, _ = make_levels([random_scene(60, CHANNELS)])
    body, here = head.body, levels[1]
    x = body.reduce(here.x, here.voxels)
    _, _, features = body.channel_context(x, here.voxels.ptr)
    expected = body.classify(body.spatial_context(x, features, here.voxels))
    assert torch.equal(body(here.x, here.voxels).logits, expected)


def test_without_channel_context_there_is_no_class_loss() -> None:
    assert "class_frequency" not in both(variant("spatial", "embedding").double())[1]


@pytest.mark.parametrize(
    ("order", "class_features", "message"),
    [
        ("channel", "embedding", "nothing attends"),
        ("channel", "added", "nothing attends"),
        ("swapped", "rank_one", "Choose embedding"),
        ("swapped", "added", "Choose embedding"),
        ("tandem", "centers", "class_features: unknown value 'centers'"),
        ("upside_down", "rank_one", "order: unknown value 'upside_down'"),
    ],
)
def test_impossible_combinations_are_refused(
    order: Order, class_features: ClassFeatures, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        variant(order, class_features)
