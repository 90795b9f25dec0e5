"""Layers of fields: colors, legends, points without a class, missing fields; and color scales."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.view_rooms import BOARD, ROOM

from pcseg.errors import UserError
from pcseg.labels import S3DIS, UNLABELED
from pcseg.views.layers.coloring import (
    CORRECT,
    WRONG,
    Layer,
    available,
    color_scale,
    distinct_colors,
    make_layer,
)


def test_layers_have_the_colors_of_their_values() -> None:
    layer = make_layer(ROOM, "label")
    np.testing.assert_array_equal(layer.color, np.array(S3DIS.colors)[ROOM.label])
    assert [text.split("  ")[0] for text, _ in layer.legend] == ["ceiling", "floor", "wall", "board"]
    assert layer.legend[3][1] == S3DIS.colors[BOARD]
    error = make_layer(ROOM, "error")
    wrong = ROOM.label == BOARD
    assert (error.color[wrong] == WRONG).all()
    assert (error.color[~wrong] == CORRECT).all()
    assert f"wrong  {100 * wrong.mean():.1f} %" in [text for text, _ in error.legend]
    confidence = make_layer(ROOM, "confidence")
    assert confidence.color[~wrong].sum() / (~wrong).sum() > confidence.color[wrong].sum() / wrong.sum()


def test_colors_of_some_points_are_those_of_all() -> None:
    rows = np.array([[5, 2], [7, 7]])
    for by in available(ROOM):
        layer = make_layer(ROOM, by)
        np.testing.assert_array_equal(layer.color_of(rows), layer.color[rows], err_msg=by)
    tokens = Layer(
        by="affinity", title="", index=np.array([1, 0]), table=np.eye(3), token=np.array([0, 1, -1])
    )
    np.testing.assert_array_equal(tokens.color, np.eye(3)[[1, 0, 0]])


def test_points_without_a_class() -> None:
    label, prediction = ROOM.label.copy(), ROOM.prediction.copy()
    label[:3], prediction[2:5] = -1, -1
    partial = replace(ROOM, label=label, prediction=prediction)
    assert (make_layer(partial, "label").color[:3] == UNLABELED).all()
    assert make_layer(partial, "label").legend[-1] == ("no class  <0.1 %", UNLABELED)
    assert (make_layer(partial, "error").color[:3] == UNLABELED).all()
    assert (make_layer(partial, "error").color[3:5] == WRONG).all()
    assert (make_layer(partial, "confidence").color[2:5] == UNLABELED).all()


@pytest.mark.parametrize(
    ("missing", "by", "message"),
    [("color", "rgb", "no color"), ("label", "label", "no label"), ("label", "error", "no label"),
     ("prediction", "error", "--prediction"), ("prediction", "prediction", "--prediction"),
     ("confidence", "confidence", "--prediction")],
)  # fmt: skip
def test_missing_fields(missing: str, by: str, message: str) -> None:
    bare = replace(ROOM, **{missing: None})
    assert by not in available(bare)
    with pytest.raises(UserError, match=message):
        make_layer(bare, by)


def test_scales_become_brighter_and_diverging_scales_are_gray_in_the_middle() -> None:
    brightness = color_scale(50).astype(int) @ (0.3, 0.59, 0.11)
    assert (np.diff(brightness) > 0).all()
    low, middle, high = color_scale(3, diverging=True).astype(int)
    assert np.ptp(middle) < 10
    assert low[0] - low[2] > 100 < high[2] - high[0]


def test_distinct_colors_differ() -> None:
    colors = np.array(distinct_colors(32)).astype(int)
    assert len(np.unique(colors, axis=0)) == 32
    assert abs(np.diff(colors, axis=0)).max(axis=1).min() > 60


def test_colorblind_palette_reaches_the_layers() -> None:
    assert make_layer(ROOM, "label", palette="colorblind").legend != make_layer(ROOM, "label").legend


def test_names_of_scenes_are_in_the_messages() -> None:
    with pytest.raises(UserError, match=r"^office: no color to color by rgb\. Use --by height\.$"):
        make_layer(replace(ROOM, name=Path("office.ply").stem, color=None), "rgb")
