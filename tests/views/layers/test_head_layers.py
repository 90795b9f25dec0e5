"""Layers of head maps: every point has the color of its token's value, and legends explain it."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.view_rooms import EXPLAINED as ROOM
from helpers.view_rooms import TOKENS

from pcseg.errors import UserError
from pcseg.labels import S3DIS, UNLABELED
from pcseg.views.layers.coloring import Coloring, color_scale
from pcseg.views.layers.head_layers import (
    UNREACHED,
    browse_layers,
    gain,
    head_layer_kinds,
    make_layers,
    nearest_point,
)

MAPS = ROOM.maps
assert MAPS is not None


def test_affinity() -> None:
    highest, *weights = make_layers(ROOM, Coloring(by="affinity"))
    expected = np.array(S3DIS.colors)[MAPS.affinity.argmax(axis=1)][MAPS.point_token]
    np.testing.assert_array_equal(highest.color[:-1], expected[:-1])
    assert tuple(highest.color[-1]) == UNLABELED
    occurring = set(np.unique(ROOM.label)) | set(np.unique(ROOM.prediction)) - {-1}
    assert [layer.title for layer in weights] == [f"affinity to {S3DIS.names[k]}" for k in sorted(occurring)]
    (wall,) = make_layers(ROOM, Coloring(by="affinity", of="wall"))
    weight = MAPS.affinity[:, S3DIS.names.index("wall")] / wall.span[1]
    entry = np.rint(254 * np.clip(weight, 0, 1)).astype(int)[MAPS.point_token]
    np.testing.assert_array_equal(wall.color[:-1], color_scale(255)[entry][:-1])
    with pytest.raises(UserError, match=r"--of lamp: unknown class\. Choose from: ceiling"):
        make_layers(ROOM, Coloring(by="affinity", of="lamp"))


def test_codewords() -> None:
    largest, *weights = make_layers(ROOM, Coloring(by="codeword"))
    codeword = MAPS.assignment.argmax(axis=1)[MAPS.point_token[:-1]]
    for number in np.unique(codeword):
        assert len(np.unique(largest.color[:-1][codeword == number], axis=0)) == 1
    assert len(weights) == 5
    assert len(make_layers(ROOM, Coloring(by="codeword", of="3"))) == 1
    with pytest.raises(UserError, match=r"--of 5: unknown codeword\. Choose from: 0, 1, 2, 3, 4\."):
        make_layers(ROOM, Coloring(by="codeword", of="5"))


def test_slabs() -> None:
    token = MAPS.point_token
    for layer, shares in zip(make_layers(ROOM, Coloring(by="slabs")), MAPS.slabs, strict=True):
        mean = shares.predicted[shares.slab].mean(axis=0)
        expected = [int(np.argmax(row - mean)) for row in shares.predicted]
        colors = np.array([S3DIS.colors[expected[shares.slab[t]]] if t >= 0 else UNLABELED for t in token])
        np.testing.assert_array_equal(layer.color, colors)
        assert {text for text, _ in layer.legend} >= {S3DIS.names[k] for k in expected}
        first = np.argsort(-shares.predicted[1])[:3], np.argsort(-shares.true[1])[:3]
        found, true = layer.names[1].split("; true: ")
        assert found.startswith(
            f"{shares.start[1]:.2f} to {shares.start[2]:.2f} m: {S3DIS.names[first[0][0]]}"
        )
        for text, values, order in ((found, shares.predicted[1], first[0]), (true, shares.true[1], first[1])):
            assert text.endswith(", ".join(f"{S3DIS.names[k]} {values[k]:.2f}" for k in order))


def test_share_of_a_class_in_slabs() -> None:
    layers = make_layers(ROOM, Coloring(by="slabs", of="wall"))
    k = S3DIS.names.index("wall")
    high = max(shares.predicted[:, k].max() for shares in MAPS.slabs)
    for layer, shares in zip(layers, MAPS.slabs, strict=True):
        assert layer.title == f"share of wall in slabs along {shares.name}"
        assert layer.span == (0.0, pytest.approx(high))
        entry = np.rint(254 * shares.predicted[:, k] / high).astype(int)[shares.slab][MAPS.point_token]
        np.testing.assert_array_equal(layer.color[:-1], color_scale(255)[entry][:-1])
        assert tuple(layer.color[-1]) == UNLABELED
    with pytest.raises(UserError, match=r"--of lamp: unknown class\. Choose from: ceiling"):
        make_layers(ROOM, Coloring(by="slabs", of="lamp"))
    browsed, first = browse_layers(ROOM, Coloring(by="slabs", of="wall"))
    assert [layer.title for layer in browsed[first : first + 2]] == [layer.title for layer in layers]


def test_attention_of_a_picked_point() -> None:
    point = nearest_point(ROOM, (3.1, 4, 1))
    one, two, three = make_layers(ROOM, Coloring(by="attention", point=point))
    token = MAPS.point_token
    np.testing.assert_array_equal((one.color != UNREACHED).any(axis=1), token == token[point])
    np.testing.assert_array_equal(
        (two.color != UNREACHED).any(axis=1)[:-1], abs(token - token[point])[:-1] < 2
    )
    assert (tuple(three.color[token == TOKENS - 1][0])) == UNREACHED
    assert one.note == f"reaches {100 / TOKENS:.3g} % of the voxels, 1 hold 90 %"
    with pytest.raises(UserError, match="Pick another point"):
        make_layers(ROOM, Coloring(by="attention", point=len(ROOM) - 1))


def test_gain() -> None:
    difference, kind = gain(ROOM, MAPS)
    assert kind == "true"
    row, label = MAPS.row[:-1], ROOM.label[:-1]
    np.testing.assert_allclose(difference[:-1], MAPS.probability[row, label] - 1 / 13, rtol=1e-5)
    assert np.isnan(difference[-1])
    assert gain(replace(ROOM, label=None), MAPS)[1] == "predicted"
    (layer,) = make_layers(ROOM, Coloring(by="gain"))
    better = difference[:-1] > 0.1
    blue, red = layer.color[:-1, 2].astype(int), layer.color[:-1, 0].astype(int)
    assert (blue > red)[better].all()


def test_missing_maps() -> None:
    assert head_layer_kinds(MAPS) == ["affinity", "codeword", "slabs", "attention", "gain"]
    bare = replace(ROOM, maps=replace(MAPS, affinity=None, baseline=None))
    assert head_layer_kinds(bare.maps) == ["codeword", "slabs", "attention"]
    with pytest.raises(UserError, match="CTNet heads have one"):
        make_layers(bare, Coloring(by="affinity"))
    with pytest.raises(UserError, match="--baseline"):
        make_layers(bare, Coloring(by="gain"))
    with pytest.raises(UserError, match="Pass --ckpt"):
        make_layers(replace(ROOM, maps=None), Coloring(by="affinity"))


def test_layers_to_browse_have_unique_titles() -> None:
    layers, first = browse_layers(ROOM, Coloring(by="error"))
    titles = [layer.title for layer in layers]
    assert len(set(titles)) == len(titles)
    assert {"color", "error", "attention after 2 recurrences"} <= set(titles)
    assert titles[first] == "error"
    with pytest.raises(UserError, match=r"nothing to color by context\. Choose from: rgb, label"):
        browse_layers(ROOM, Coloring(by="context"))


@pytest.mark.parametrize("name", ["wall", "lamp of the corridor"])
def test_the_chosen_class_is_shown_first(name: str) -> None:
    names = (*S3DIS.names[:-1], name) if name not in S3DIS.names else S3DIS.names
    subject = replace(ROOM, schema=replace(S3DIS, names=names))
    layers, first = browse_layers(subject, Coloring(by="affinity", of=name))
    assert layers[first].title == f"affinity to {name}"
    assert sum(layer.title == f"affinity to {name}" for layer in layers) == 1
