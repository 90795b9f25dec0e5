"""Replaced class features: exact where nothing should change, and undone afterwards."""

from functools import partial

import pytest
import torch
from helpers.fakes import ConvBackbone
from studies.ctnet_variants import CTVariantBody
from studies.interventions import (
    CHANGES,
    CloudContext,
    Replacement,
    channel_context_of,
    cloud_contexts,
    replaced_context,
)
from torch import Tensor
from torch_geometric.data import Batch, Data

from pcseg.errors import UserError
from pcseg.heads import BodyFactory, CTBody, PointHead
from pcseg.heads.linear import LinearHead
from pcseg.labels import S3DIS
from pcseg.losses.cloud_classes import class_frequency
from pcseg.training.segmentor import Segmentor

SIZES = (50, 30, 40)
UNCHANGED = ("own", "permuted")


def room(seed: int, *, edge: int = 6) -> Data:
    generator = torch.Generator().manual_seed(seed)
    cells = torch.randperm(edge**3, generator=generator)[: SIZES[seed]]
    grid_pos = torch.stack([cells // edge**2, cells // edge % edge, cells % edge], 1)
    x = torch.randn(len(cells), 4, generator=generator, dtype=torch.float64)
    y = torch.randint(-1, 5 + seed, (len(cells),), generator=generator)
    return Data(x=x, grid_pos=grid_pos, y=y, num_nodes=len(cells))


def batch_of(*rooms: Data) -> Batch:
    return Batch.from_data_list(list(rooms))


@pytest.fixture
def model() -> Segmentor:
    head = partial(PointHead, body=partial(CTBody, width=12, key_width=6), level=0)
    made = Segmentor(ConvBackbone, head, in_channels=4, schema=S3DIS).double().eval()
    for parameter in made.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return made


def contexts_of(model: Segmentor, batch: Batch) -> list[CloudContext]:
    with torch.no_grad():
        return cloud_contexts(model.head, model.backbone(batch), batch)


@pytest.fixture
def contexts(model: Segmentor) -> list[CloudContext]:
    return [contexts_of(model, batch_of(room(seed)))[0] for seed in range(len(SIZES))]


def logits(model: torch.nn.Module, seed: int, replacement: Replacement) -> Tensor:
    with torch.no_grad(), replaced_context(model, replacement):
        return model(batch_of(room(seed))).logits


@pytest.mark.parametrize(
    ("body", "class_features"),
    [
        (partial(CTBody, class_features="embedding"), "embedding"),
        (partial(CTBody, class_features="centers"), "centers"),
        (partial(CTBody, class_features="slab"), "slab"),
        (partial(CTVariantBody, class_features="embedding"), "embedding"),
        (partial(CTVariantBody, class_features="embedding", order="swapped"), "embedding"),
        (partial(CTVariantBody, order="channel"), "none"),
    ],
)
def test_class_features_that_no_token_reads_are_refused(body: BodyFactory, class_features: str) -> None:
    head = PointHead([4], 5, body=body, level=0)
    with pytest.raises(UserError, match=f"a CTNet with class features '{class_features}'"):
        channel_context_of(head)


def test_contexts_are_the_output_of_the_module(model: Segmentor, contexts: list[CloudContext]) -> None:
    for seed, context in enumerate(contexts):
        batch = batch_of(room(seed))
        output = model(batch)
        assert torch.equal(context.class_features, output.aux["class_features"][0])
        torch.testing.assert_close(context.class_prob[:, None] * context.gate, context.class_features)
        expected = class_frequency(batch.y, batch.ptr, S3DIS.num_classes)[0]
        assert torch.equal(context.frequency, expected)
    together = contexts_of(model, batch_of(*(room(seed) for seed in range(3))))
    for alone, context in zip(contexts, together, strict=True):
        torch.testing.assert_close(alone.class_features, context.class_features)


def test_own_features_change_nothing(model: Segmentor, contexts: list[CloudContext]) -> None:
    for seed in range(len(SIZES)):
        plain = model(batch_of(room(seed))).logits
        assert torch.equal(logits(model, seed, CHANGES["own"](seed, contexts)), plain)


@pytest.mark.parametrize("name", [name for name in CHANGES if name not in UNCHANGED])
def test_other_features_change_logits_only_within(
    model: Segmentor, contexts: list[CloudContext], name: str
) -> None:
    plain = model(batch_of(room(0))).logits
    assert not torch.allclose(logits(model, 0, CHANGES[name](0, contexts)), plain)
    assert torch.equal(model(batch_of(room(0))).logits, plain)


def test_only_features_distinguish_classes(model: Segmentor, contexts: list[CloudContext]) -> None:
    replacement = CHANGES["permuted"](0, contexts)
    assert not torch.allclose(replacement.class_features, contexts[0].class_features)
    torch.testing.assert_close(logits(model, 0, replacement), model(batch_of(room(0))).logits)


def test_features_match_their_names(contexts: list[CloudContext]) -> None:
    for number, context in enumerate(contexts):
        features = {name: change(number, contexts).class_features for name, change in CHANGES.items()}
        torch.testing.assert_close(features["true"] / context.gate, context.frequency[:, None].expand(-1, 12))
        torch.testing.assert_close(features["random"].norm(), context.class_features.norm())
        torch.testing.assert_close(features["uniform"].sum(0), context.gate)
        torch.testing.assert_close(features["shuffled-prob"].sum(1) / context.gate.sum(),
                                   features["shuffled"].sum(1) / features["shuffled"].sum())  # fmt: skip
        assert not features["zero"].any()
        torch.testing.assert_close(features["average"], sum(c.class_features for c in contexts) / 3)


@pytest.mark.parametrize("name", ["shuffled", "shuffled-gate"])
def test_every_room_gives_once_and_none_to_itself(contexts: list[CloudContext], name: str) -> None:
    def given(number: int) -> int:
        put_in = CHANGES[name](number, contexts)
        return next(
            i for i, context in enumerate(contexts)
            if put_in.gate is context.gate or put_in.class_features is context.class_features
        )  # fmt: skip

    givers = [given(number) for number in range(3)]
    assert sorted(givers) == [0, 1, 2]
    assert all(giver != number for number, giver in enumerate(givers))


def test_the_average_of_one_room_is_its_own(contexts: list[CloudContext]) -> None:
    (alone,) = contexts[:1]
    assert torch.equal(CHANGES["average"](0, [alone]).class_features, alone.class_features)
    assert torch.equal(CHANGES["average-gate"](0, [alone]).gate, alone.gate)


def test_levels_serve_many_passes_of_the_head(model: Segmentor, contexts: list[CloudContext]) -> None:
    batch = batch_of(room(0))
    levels = model.backbone(batch)
    with replaced_context(model.head, CHANGES["zero"](0, contexts)):
        changed = model.head(levels, batch).logits
    assert torch.equal(changed, logits(model, 0, CHANGES["zero"](0, contexts)))
    assert torch.equal(model.head(levels, batch).logits, model(batch).logits)


def test_other_heads_have_no_class_features() -> None:
    plain = Segmentor(ConvBackbone, LinearHead, in_channels=4, schema=S3DIS)
    with pytest.raises(UserError, match="0 channel context modules"), replaced_context(plain, Replacement()):
        pass
