"""Colourings, legends, cameras and pictures of a room that has a left and a right."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pcseg.data.io.clouds import Cloud, read_cloud
from pcseg.data.predictions import SavedPrediction
from pcseg.errors import UserError
from pcseg.labels import S3DIS, UNLABELED, LabelSchema, class_colors
from pcseg.views.interactive.window import has_screen, legend_text, show
from pcseg.views.layers.coloring import Layer, available, make_layer
from pcseg.views.layers.palette import RIGHT, WRONG, scale_colors
from pcseg.views.render.cameras import Box, make_camera, without_ceiling
from pcseg.views.render.pictures import LONGEST, compare_picture, draw_layers, draw_legend, picture, write
from pcseg.views.subject import Subject, make_subject

CEILING, FLOOR, WALL, BOARD = (S3DIS.names.index(name) for name in ("ceiling", "floor", "wall", "board"))
SIZE = (320, 180)


def room(count: int = 20_000) -> Subject:
    """6 x 4 x 2.8 m; the wall at x = 0 is a board, the others are walls."""
    rng = np.random.default_rng(0)
    pos = rng.uniform(0, 1, (count, 3)) * (6, 4, 2.8)
    side = rng.choice(6, count, p=[0.13, 0.13, 0.16, 0.16, 0.21, 0.21])
    for index, (axis, value) in enumerate([(0, 0), (0, 6), (1, 0), (1, 4), (2, 0), (2, 2.8)]):
        pos[side == index, axis] = value
    label = np.array([BOARD, WALL, WALL, WALL, FLOOR, CEILING])[side]
    prediction = np.where(label == BOARD, WALL, label)
    return Subject(
        name="room",
        pos=pos.astype(np.float32),
        color=np.array(S3DIS.colors, dtype=np.uint8)[label],
        label=label.astype(np.int16),
        prediction=prediction.astype(np.int16),
        confidence=np.where(label == BOARD, 0.2, 0.9).astype(np.float32),
        schema=S3DIS,
    )


ROOM = room()


def share_of(image: np.ndarray, color: tuple[int, int, int]) -> float:
    return float((image == np.array(color)).all(axis=-1).mean())


def test_layers() -> None:
    layer = make_layer(ROOM, "label")
    np.testing.assert_array_equal(layer.color, np.array(S3DIS.colors)[ROOM.label])
    assert [text.split("  ")[0] for text, _ in layer.legend] == ["ceiling", "floor", "wall", "board"]
    assert layer.legend[3][1] == S3DIS.colors[BOARD]
    error = make_layer(ROOM, "error")
    wrong = ROOM.label == BOARD
    assert (error.color[wrong] == WRONG).all()
    assert (error.color[~wrong] == RIGHT).all()
    assert f"wrong  {100 * wrong.mean():.1f} %" in [text for text, _ in error.legend]
    confidence = make_layer(ROOM, "confidence")
    assert confidence.color[~wrong].sum() / (~wrong).sum() > confidence.color[wrong].sum() / wrong.sum()


def test_points_without_a_class() -> None:
    label, prediction = ROOM.label.copy(), ROOM.prediction.copy()  # type: ignore[union-attr]
    label[:3], prediction[2:5] = -1, -1
    odd = replace(ROOM, label=label, prediction=prediction)
    assert (make_layer(odd, "label").color[:3] == UNLABELED).all()
    assert make_layer(odd, "label").legend[-1] == ("no class  <0.1 %", UNLABELED)
    assert (make_layer(odd, "error").color[:3] == UNLABELED).all()
    assert (make_layer(odd, "error").color[3:5] == WRONG).all()
    assert (make_layer(odd, "confidence").color[2:5] == UNLABELED).all()


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
        make_layer(bare, by)  # type: ignore[arg-type]


def test_palettes() -> None:
    names = tuple(map(str, range(20)))
    schema = LabelSchema(name="many", names=names, colors=tuple((i, i, i) for i in range(20)))
    distinct = class_colors(schema, "colorblind")
    assert len(np.unique(distinct, axis=0)) == 21
    # ScanNet200 and ADE20K have more classes than the palette has colours and shades
    many = LabelSchema(name="many", names=tuple(map(str, range(256))), colors=((0, 0, 0),) * 256)
    assert len(np.unique(class_colors(many, "colorblind"), axis=0)) == 257
    np.testing.assert_array_equal(class_colors(many, "colorblind")[:20], distinct[:20])
    np.testing.assert_array_equal(class_colors(schema)[:-1, 0], range(20))
    scale = scale_colors(np.linspace(0, 1, 50)).astype(int) @ (0.3, 0.59, 0.11)
    assert (np.diff(scale) > 0).all()
    np.testing.assert_array_equal(scale_colors(np.array([-1, 2, np.nan])), scale_colors(np.array([0, 1, 0])))


def test_inside_is_inside_upright_and_not_mirrored() -> None:
    camera = make_camera(ROOM.pos, "inside", width=SIZE[0], height=SIZE[1])
    assert (camera.eye > 0).all()
    assert (camera.eye < (6, 4, 2.8)).all()
    assert camera.eye[2] == pytest.approx(1.6, abs=0.05)
    # the board at x = 0, seen along +y, is on the left
    (image,) = draw_layers(
        ROOM, [make_layer(ROOM, "label")], size=SIZE, eye=(2, 0.5, 1.4), look_at=(2, 4, 1.4), shade=False
    )
    pixels = np.asarray(image)
    board, ceiling, floor = (S3DIS.colors[k] for k in (BOARD, CEILING, FLOOR))
    assert share_of(pixels[:, :60], board) > 0.1
    assert share_of(pixels[:, 160:], board) == 0
    assert share_of(pixels[:20], ceiling) > 0.3
    assert share_of(pixels[-20:], floor) > 0.3
    assert share_of(pixels[-30:], ceiling) == 0


@pytest.mark.parametrize("view", ["inside", "top", "plan"])
def test_pictures_are_full_and_not_cut_off(view: str) -> None:
    (image,) = draw_layers(ROOM, [make_layer(ROOM, "label")], size=SIZE, view=view)  # type: ignore[arg-type]
    pixels = np.asarray(image)
    full = 1 - share_of(pixels, (255, 255, 255))
    if view == "inside":
        assert full > 0.88
    else:
        assert share_of(pixels, S3DIS.colors[FLOOR]) > 0.1
        assert share_of(pixels, S3DIS.colors[CEILING]) == 0
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert (border == 255).all()
        filled = np.nonzero((pixels < 255).any(axis=-1))
        assert np.ptp(filled[0]) > 0.7 * SIZE[1] or np.ptp(filled[1]) > 0.7 * SIZE[0]


def test_plan_has_y_up_and_x_right() -> None:
    (image,) = draw_layers(ROOM, [make_layer(ROOM, "label")], size=SIZE, view="plan", shade=False)
    columns = np.nonzero((np.asarray(image) == S3DIS.colors[BOARD]).all(axis=-1))[1]
    assert columns.max() < SIZE[0] / 2


def test_ceiling_is_found_only_where_there_is_one() -> None:
    kept = without_ceiling(ROOM.pos)
    assert not kept[ROOM.label == CEILING].any()
    assert kept[ROOM.label == FLOOR].all()
    open_air = ROOM.pos[ROOM.label != CEILING]
    assert without_ceiling(open_air).all()


def test_legend_and_title_are_drawn() -> None:
    page = np.asarray(picture(ROOM, "label", size=(640, 360), shade=False))
    assert page.shape == (360, 640, 3)
    legend = page[20:, 520:]
    for label in (CEILING, FLOOR, WALL, BOARD):
        assert share_of(legend, S3DIS.colors[label]) > 0.0005
    assert share_of(legend, S3DIS.colors[S3DIS.names.index("sofa")]) == 0
    assert (page[:20, :100] < 100).any()
    for by in ("error", "confidence", "height"):
        assert picture(ROOM, by, size=(320, 180)).size == (320, 180)  # type: ignore[arg-type]


def test_long_legends_end_in_the_picture() -> None:
    names = tuple(f"class {i}" for i in range(60))
    schema = LabelSchema(name="many", names=names, colors=tuple((i, 4 * i, 200) for i in range(60)))
    subject = replace(ROOM, label=(np.arange(len(ROOM)) % 60).astype(np.int16), schema=schema)
    page = np.asarray(picture(subject, "label", size=(640, 360), shade=False))
    assert (page[-2:, 525:] == 255).all()


@pytest.mark.parametrize("number", [5, 20, 200])
@pytest.mark.parametrize("together", [True, False])
def test_long_legends_leave_room_for_the_scale(number: int, together: bool) -> None:
    scale = make_layer(ROOM, "confidence")
    entries = [(f"class {i}", (i, 255 - i, 200)) for i in range(number)]
    kinds = Layer(by="label", title="", legend=entries)
    layers = [replace(scale, legend=entries)] if together else [kinds, scale]
    page = Image.new("RGB", (300, 900), (255, 255, 255))
    draw_legend(ImageDraw.Draw(page), layers, (14, 40), unit=1, room=720)
    pixels = np.asarray(page)
    assert 600 < np.flatnonzero((pixels < 250).any(axis=(1, 2))).max() < 720 or number == 5
    ends = [np.flatnonzero((pixels[:, 20] == scale.table[place]).all(axis=-1)) for place in (0, 254)]
    length = ends[0].max() - ends[1].min()
    assert length == pytest.approx(LONGEST, abs=3) if number == 5 else length > 100
    shown = {color for _, color in entries if share_of(pixels[: ends[1].min()], color) > 0}
    assert len(shown) == min(number, 17)


def test_sheet_shows_four_ways() -> None:
    page = np.asarray(compare_picture(ROOM, size=(920, 520), shade=False))
    half_x, half_y = 300, 260
    truth, prediction, error = page[:half_y, half_x:600], page[half_y:, :half_x], page[half_y:, half_x:600]
    board = S3DIS.colors[BOARD]
    assert share_of(truth, board) > 0.05
    assert share_of(prediction, board) == 0
    assert share_of(error, WRONG) > 0.05
    with pytest.raises(UserError, match="no label"):
        compare_picture(replace(ROOM, label=None))


def saved(label: np.ndarray, schema: LabelSchema = S3DIS) -> SavedPrediction:
    confidence = np.ones(len(label), np.float32)
    return SavedPrediction(label=label, confidence=confidence, schema=schema, source="a", checkpoint="b")


def test_subject_leaves_out_points_without_a_position(tmp_path: Path) -> None:
    pos = np.concatenate([ROOM.pos, [[np.nan] * 3]]).astype(np.float32)
    label = np.append(ROOM.label, 3).astype(np.int16)
    cloud = Cloud(source=tmp_path / "a.ply", pos=pos)
    subject = make_subject(cloud, saved(label), units="m", up="z")
    assert len(subject) == len(ROOM)
    np.testing.assert_array_equal(subject.prediction, ROOM.label)


def test_prediction_must_fit(tmp_path: Path) -> None:
    cloud = Cloud(source=tmp_path / "a.ply", pos=ROOM.pos, label=ROOM.label, schema=S3DIS)
    with pytest.raises(UserError, match="has 20000 points but its prediction 5"):
        make_subject(cloud, saved(np.zeros(5, np.int16)))
    other = LabelSchema(name="other", names=S3DIS.names[::-1], colors=S3DIS.colors)
    with pytest.raises(UserError, match="label schemas differ"):
        make_subject(cloud, saved(np.zeros(len(ROOM), np.int16), other))


@pytest.mark.parametrize("count", [1, 2, 30])
def test_few_points(count: int) -> None:
    for view in ("inside", "top", "plan"):
        small = Subject(name="a", pos=ROOM.pos[:count])
        assert picture(small, "height", view=view, size=(160, 90)).size == (160, 90)  # type: ignore[arg-type]


def test_box_leaves_strays_out() -> None:
    strays = np.concatenate([ROOM.pos, np.full((20, 3), 500, np.float32)])
    np.testing.assert_allclose(Box.around(strays).high, (6, 4, 2.8), atol=0.1)


def test_without_a_screen_there_is_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not has_screen()
    with pytest.raises(UserError, match=r"no screen.*--png"):
        show(ROOM, "rgb")


def test_window_gets_every_colouring(monkeypatch: pytest.MonkeyPatch) -> None:
    o3d = pytest.importorskip("open3d")
    drawn: list[tuple[list[dict], dict]] = []
    monkeypatch.setenv("DISPLAY", ":0")
    record = SimpleNamespace(draw=lambda entries, **options: drawn.append((entries, options)))
    monkeypatch.setattr(o3d, "visualization", record)
    said: list[str] = []
    show(ROOM, "error", tell=said.append)
    entries, options = drawn[0]
    assert [entry["name"] for entry in entries] == [
        "rgb",
        "label",
        "prediction",
        "error",
        "confidence",
        "height",
    ]
    assert [entry["name"] for entry in entries if entry["is_visible"]] == ["error"]
    assert options["title"] == "room"
    np.testing.assert_array_equal(
        entries[1]["geometry"].point.colors.numpy(), make_layer(ROOM, "label").color
    )
    # the window has no legend of its own
    assert [line.split(":")[0] for line in said] == ["label", "prediction", "error", "confidence", "height"]
    share = 100 * (ROOM.label == CEILING).mean()
    assert said[0].startswith(f"label: #00ff00 ceiling  {share:.1f} %, #0000ff floor")
    assert said[3] == "confidence: #440154 0 to #fde725 1"
    assert legend_text(make_layer(ROOM, "error"), blocks=True).startswith(
        "\x1b[48;2;205;210;215m  \x1b[0m right"
    )


def test_single_view_is_seen_from_its_camera(real_scans: Path) -> None:
    subject = make_subject(read_cloud(real_scans / "region_growing_rgb_tutorial.pcd"))
    (image,) = draw_layers(subject, [make_layer(subject, "rgb")], size=SIZE)
    pixels = np.asarray(image).astype(int)
    assert subject.sensor is not None
    assert 1 - share_of(pixels, (255, 255, 255)) > 0.5
    # green bottles stand right of the middle, the orange door frame lies at the top
    green = np.nonzero(pixels[..., 1] > pixels[..., [0, 2]].max(axis=-1) + 25)
    orange = np.nonzero((pixels[..., 0] > 180) & (pixels[..., 2] < 90))
    assert green[1].mean() > SIZE[0] / 2
    assert orange[0].mean() < SIZE[1] / 3
    assert orange[1].mean() > SIZE[0] / 2


def test_long_titles_become_smaller() -> None:
    """A title ends where its picture does, whatever it says."""
    page = Image.new("RGB", (200, 40), (255, 255, 255))
    write(ImageDraw.Draw(page), (0, 0), "seen after 3 recurrences: 94.2 % of the voxels", 16, room=120)
    columns = np.flatnonzero((np.asarray(page) < 200).any(axis=(0, 2)))
    assert 100 < columns.max() < 122
