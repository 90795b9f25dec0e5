"""Colours by what a head does: every point has the colour of its token's number, and legends say which."""

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from helpers.view_heads import TOKENS, explained_room

from pcseg.errors import UserError
from pcseg.labels import S3DIS, UNLABELED, LabelSchema, class_colors
from pcseg.views.interactive.picking import describe, point_on_ray
from pcseg.views.layers.coloring import make_layer
from pcseg.views.layers.head_layers import UNSEEN, all_layers, gain, head_layers, head_ways, nearest_point
from pcseg.views.layers.palette import scale_colors
from pcseg.views.render import charts, panels
from pcseg.views.render.charts import context_picture
from pcseg.views.render.panels import panels_picture
from pcseg.views.subject import Subject

ROOM = explained_room()
MAPS = ROOM.maps
assert MAPS is not None


def test_affinity() -> None:
    strongest, *shares = head_layers(ROOM, "affinity")
    expected = np.array(S3DIS.colors)[MAPS.affinity.argmax(axis=1)][MAPS.point_token]
    np.testing.assert_array_equal(strongest.color[:-1], expected[:-1])
    assert tuple(strongest.color[-1]) == UNLABELED
    there = set(np.unique(ROOM.label)) | set(np.unique(ROOM.prediction)) - {-1}
    assert [layer.title for layer in shares] == [f"affinity to {S3DIS.names[k]}" for k in sorted(there)]
    (wall,) = head_layers(ROOM, "affinity", of="wall")
    most = wall.span[1]
    share = MAPS.affinity[:, S3DIS.names.index("wall")] / most
    np.testing.assert_array_equal(
        wall.color[:-1], scale_colors(np.rint(254 * share) / 254)[MAPS.point_token][:-1]
    )
    with pytest.raises(UserError, match="no such class; choose one of ceiling"):
        head_layers(ROOM, "affinity", of="lamp")


def test_codewords() -> None:
    kinds, *shares = head_layers(ROOM, "codeword")
    same = MAPS.assignment.argmax(axis=1)[MAPS.point_token[:-1]]
    for kind in np.unique(same):
        assert len(np.unique(kinds.color[:-1][same == kind], axis=0)) == 1
    assert len(shares) == 5
    assert len(head_layers(ROOM, "codeword", of="3")) == 1
    with pytest.raises(UserError, match="choose 0 to 4"):
        head_layers(ROOM, "codeword", of="5")


def test_attention_of_a_picked_point() -> None:
    point = nearest_point(ROOM, (3.1, 4, 1))
    one, two, three = head_layers(ROOM, "attention", point=point)
    token = MAPS.point_token
    seen = (one.color != UNSEEN).any(axis=1)
    np.testing.assert_array_equal(seen, token == token[point])
    np.testing.assert_array_equal((two.color != UNSEEN).any(axis=1)[:-1], abs(token - token[point])[:-1] < 2)
    assert (tuple(three.color[token == TOKENS - 1][0])) == UNSEEN
    assert one.note == f"{100 / TOKENS:.3g} % of the voxels, 1 hold 90 %"
    with pytest.raises(UserError, match="pick another"):
        head_layers(ROOM, "attention", point=len(ROOM) - 1)


def test_gain() -> None:
    difference, what = gain(ROOM, MAPS)
    assert what == "true"
    row, label = MAPS.row[:-1], ROOM.label[:-1]
    np.testing.assert_allclose(difference[:-1], MAPS.probability[row, label] - 1 / 13, rtol=1e-5)
    assert np.isnan(difference[-1])
    assert gain(replace(ROOM, label=None), MAPS)[1] == "predicted"
    (layer,) = head_layers(ROOM, "gain")
    better = difference[:-1] > 0.1
    blue, red = layer.color[:-1, 2].astype(int), layer.color[:-1, 0].astype(int)
    assert (blue > red)[better].all()


def test_what_a_head_lacks_is_said() -> None:
    assert head_ways(MAPS) == ["affinity", "codeword", "attention", "gain"]
    bare = replace(ROOM, maps=replace(MAPS, affinity=None, plain=None))
    assert head_ways(bare.maps) == ["codeword", "attention"]
    with pytest.raises(UserError, match="a CTNet head has one"):
        head_layers(bare, "affinity")
    with pytest.raises(UserError, match="give --ckpt"):
        head_layers(replace(ROOM, maps=None), "affinity")
    with pytest.raises(UserError, match="give --ckpt"):
        make_layer(ROOM, "attention")
    with pytest.raises(UserError, match="no context of the whole cloud"):
        context_picture("room", replace(MAPS, channel=None), S3DIS)


def test_titles_are_unique() -> None:
    titles = [layer.title for layer in all_layers(ROOM)]
    assert len(set(titles)) == len(titles)
    assert {"colour", "error", "seen after 2 recurrences"} <= set(titles)


def test_panels_and_charts_fill_their_pages() -> None:
    layers = head_layers(ROOM, "affinity")
    for size in ((1280, 720), (640, 360)):
        page = np.asarray(panels_picture(ROOM, layers, title="affinity", size=size, shade=False))
        assert page.shape == (size[1], size[0], 3)
        assert (page[-size[1] // 8 :, : size[0] // 2] != 255).any()
    chart = np.asarray(context_picture("room", MAPS, S3DIS))
    assert chart.shape == (720, 1280, 3)
    for part in (chart[60:480, :900], chart[60:480, 960:], chart[540:, :]):
        assert 0.02 < (part != 255).any(axis=-1).mean() < 0.95
    encoding = replace(MAPS, similarity={}, class_prob=None, presence=MAPS.class_prob)
    assert context_picture("room", encoding, S3DIS, palette="colorblind").size == (1280, 720)


def record_words(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, str]]:
    """Height and text of what a module will write."""
    words: list[tuple[float, str]] = []
    monkeypatch.setattr(module, "write", lambda draw, at, text, size, **_: words.append((at[1], text)))
    return words


def test_a_single_panel_says_its_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    words = record_words(panels, monkeypatch)
    layers = head_layers(ROOM, "affinity", of="wall")
    panels_picture(ROOM, layers, title="affinity to wall, Head", size=(320, 180))
    assert [text for _, text in words] == [f"room: affinity to wall, Head: {layers[0].note}"]


def test_charts_of_many_classes_show_the_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    number = 200
    names = tuple(f"kind {i}" for i in range(number))
    schema = LabelSchema(name="many", names=names, colors=tuple((i, 0, 0) for i in range(number)))
    prob = np.full(number, 0.001)
    prob[[3, 150, 199]] = 0.2, 0.3, 0.25
    truth = np.zeros(number)
    truth[180] = 0.5
    maps = replace(
        MAPS,
        similarity={"keys": np.eye(number)},
        class_prob=prob,
        frequency=truth,
        channel=np.linspace(0, 1, 512),
    )
    words = record_words(charts, monkeypatch)
    context_picture("scan", maps, schema)
    shown = [text for _, text in words if text.startswith("kind ")]
    assert {"kind 3", "kind 150", "kind 180", "kind 199"} <= set(shown)
    assert shown == sorted(shown, key=names.index)
    (last,) = [(y, text) for y, text in words if text.startswith("and ")]
    assert last[1] == f"and {number - len(shown)} more, each at most 0.001"
    assert last[0] < 0.7 * 720 - 15
    assert context_picture("scan", maps, schema, size=(320, 180), whole="picture").size == (320, 180)
    assert "scan: context of the whole picture, Head" in [text for _, text in words]


def test_pictures_of_pixels() -> None:
    height, width = 6, 9
    y, x = np.divmod(np.arange(height * width), width)
    pos = np.stack([x, y, 0 * x], axis=1).astype(np.float32)
    color = np.where(x[:, None] < 4, (200, 0, 0), (0, 0, 200)).astype(np.uint8)
    picture = Subject(name="frame", pos=pos, color=color, pixels=(height, width))
    page = np.asarray(panels_picture(picture, [make_layer(picture, "rgb")], title="colour", size=(640, 360)))
    assert tuple(page[200, 20]) == (200, 0, 0)
    assert tuple(page[200, 380]) == (0, 0, 200)


def test_a_ray_picks_the_first_surface() -> None:
    wall = np.stack(np.meshgrid(np.arange(0, 2, 0.02), [3.0], np.arange(0, 2, 0.02)), -1).reshape(-1, 3)
    pos = np.concatenate([wall, wall + np.array([0, 2, 0]), [[1, -1, 1]]]).astype(np.float32)
    found = point_on_ray(pos, np.array([1.0, 0, 1]), np.array([0.0, 3, 0.3]))
    assert found is not None
    np.testing.assert_allclose(pos[found], (1, 3, 1.3), atol=0.015)
    assert point_on_ray(pos, np.array([1.0, 0, 1]), np.array([1.0, 0, 0])) is None


def test_description_of_a_point() -> None:
    said = dict(describe(ROOM, 0))
    token = MAPS.point_token[0]
    best = S3DIS.names[MAPS.affinity[token].argmax()]
    assert said["affinity"].startswith(f"{best} {MAPS.affinity[token].max():.2f}")
    assert said["true label"] == S3DIS.names[ROOM.label[0]]
    assert "probabilities, plain head" in said
    assert "probabilities" not in dict(describe(ROOM, len(ROOM) - 1))


def test_the_safe_palette_is_told_apart_by_the_colour_blind() -> None:
    """Simulated as by Machado, Oliveira & Fernandes (2009) at full severity; no two classes of S3DIS look alike."""
    colors = class_colors(S3DIS, "colorblind")[:-1].astype(float) / 255
    protanopia = [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ]
    deuteranopia = [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ]
    for matrix in (protanopia, deuteranopia):
        linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
        lab = to_lab(np.clip(linear @ np.array(matrix).T, 0, 1))
        gaps = np.linalg.norm(lab[:, None] - lab[None], axis=2) + 1000 * np.eye(len(lab))
        assert gaps.min() > 5, gaps.min()


def to_lab(linear: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear sRGB (D65)."""
    xyz = linear @ np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]).T
    f = np.cbrt(xyz / (0.9505, 1, 1.089))
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
