"""Weights of a model of the indoor classes in a model of other classes."""

import numpy as np
import pytest
import torch

from pcseg.backbones.points.sparse_unet import SparseUNet
from pcseg.data.indoor import INDOOR, from_indoor
from pcseg.heads import PointHead, SlabBody
from pcseg.labels import S3DIS, LabelSchema
from pcseg.network import Network
from pcseg.training.other_classes import for_classes, sources

MINE = LabelSchema(name="mine", names=("pipe", "wall"), colors=((0, 0, 0), (1, 1, 1)))


def model(schema: LabelSchema) -> Network:
    return Network(
        lambda channels: SparseUNet(channels, base_channels=8, channels=(8, 8, 8, 8), layers=(1, 1, 1, 1)),
        lambda channels, classes: PointHead(channels, classes, level=1, body=SlabBody),
        in_channels=6,
        schema=schema,
    )


@pytest.mark.parametrize("schema", [S3DIS, MINE])
def test_rows_of_known_classes_are_means_of_their_parts(schema: LabelSchema) -> None:
    old, own = model(INDOOR).state_dict(), model(schema).state_dict()
    found = for_classes(old, own, INDOOR, schema)
    assert found.keys() == old.keys()
    member = (
        from_indoor("s3dis")[:-1][None] == np.arange(13)[:, None]
        if schema is S3DIS
        else np.array([[False] * 44, [name == "wall" for name in INDOOR.names]])
    )
    mean = torch.from_numpy(member / np.maximum(member.sum(axis=1, keepdims=True), 1)).float()
    known = torch.from_numpy(member.any(axis=1))[:, None]
    for name in ("head.body.classify", "head.detail", "head.body.region"):
        expected = torch.where(known, mean @ old[f"{name}.weight"], own[f"{name}.weight"])
        torch.testing.assert_close(found[f"{name}.weight"], expected)
    name, width = "head.body.context.describe.weight", schema.num_classes
    expected = torch.where(known, mean @ old[name].T[44:88], own[name].T[width : 2 * width])
    torch.testing.assert_close(found[name].T[width : 2 * width], expected)
    torch.testing.assert_close(found[name][:, -5:], old[name][:, -5:])
    for name, value in found.items():
        assert value.shape == own[name].shape
        if name.startswith("backbone"):
            assert value is old[name]


def test_equal_names_correspond() -> None:
    swapped = LabelSchema(name="b", names=MINE.names[::-1], colors=MINE.colors)
    assert sources(MINE, swapped) == [[1], [0]]
    old, own = model(MINE).state_dict(), model(swapped).state_dict()
    found = for_classes(old, own, MINE, swapped)
    torch.testing.assert_close(found["head.detail.bias"], old["head.detail.bias"].flip(0))
    name = (
        "head.body.context.describe.weight"  # reads two shares, two maxima, and five features of the position
    )
    torch.testing.assert_close(found[name], old[name][:, [1, 0, 3, 2, 4, 5, 6, 7, 8]])


def test_as_many_unknown_classes_keep_their_initial_values() -> None:
    other = LabelSchema(name="c", names=("tree", "wall"), colors=MINE.colors)
    old, own = model(MINE).state_dict(), model(other).state_dict()
    found = for_classes(old, own, MINE, other)
    name = "head.body.context.describe.weight"
    expected = torch.where(torch.tensor([1, 0, 1, 0, 0, 0, 0, 0, 0]).bool(), own[name], old[name])
    torch.testing.assert_close(found[name], expected)
