"""Pictures: layers side by side, sheets, models, images; small clouds."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.view_rooms import BOARD, CEILING, EXPLAINED, FLOOR, ROOM, WALL, share_of
from PIL import Image

from pcseg.errors import UserError
from pcseg.labels import S3DIS
from pcseg.views.layers.coloring import WRONG, Coloring, available, make_layer
from pcseg.views.layers.head_layers import make_layers, nearest_point
from pcseg.views.render.cameras import View, Viewpoint
from pcseg.views.render.pictures import RING, layers_picture, models_picture, sheet_picture
from pcseg.views.subject import Subject


def words(image: Image.Image) -> list[str]:
    return image.info["Description"].splitlines()


def test_a_picture_has_a_title_and_a_legend_of_the_classes_present() -> None:
    image = layers_picture(ROOM, [make_layer(ROOM, "label")], size=(640, 360))
    assert image.size == (640, 360)
    assert words(image)[0] == "room: true label"
    names = [text.split("  ")[0] for text in words(image)[1:]]
    assert names == ["ceiling", "floor", "wall", "board"]
    legend = np.asarray(image)[20:, 520:]
    for label in (CEILING, FLOOR, WALL, BOARD):
        assert share_of(legend, S3DIS.colors[label]) > 0.0005
    assert share_of(legend, S3DIS.colors[S3DIS.names.index("sofa")]) == 0


@pytest.mark.slow
def test_every_layer_has_a_picture() -> None:
    for by in available(ROOM):
        assert layers_picture(ROOM, [make_layer(ROOM, by)], size=(320, 180)).size == (320, 180)


def test_a_single_layer_has_its_numbers_in_the_title() -> None:
    layers = make_layers(EXPLAINED, Coloring(by="affinity", of="wall"))
    image = layers_picture(EXPLAINED, layers, size=(320, 180))
    assert words(image)[0] == f"room: affinity to wall: {layers[0].note}"


@pytest.mark.parametrize("size", [(1280, 720), (640, 360)])
def test_panels_fill_the_page(size: tuple[int, int]) -> None:
    layers = make_layers(EXPLAINED, Coloring(by="affinity"))
    image = layers_picture(EXPLAINED, layers, title="affinity", size=size)
    assert image.size == size
    assert {layer.heading for layer in layers} <= set(words(image))
    assert (np.asarray(image)[-size[1] // 8 :, : size[0] // 2] != 255).any()


def test_a_ring_marks_a_point() -> None:
    viewpoint = Viewpoint(eye=(3, 1, 1.4), look_at=(3, 4, 1.4))
    point = nearest_point(ROOM, (3, 4, 1.4))
    image = layers_picture(ROOM, [make_layer(ROOM, "rgb")], mark=point, viewpoint=viewpoint)
    assert share_of(image, RING) > 0


def test_sheet_shows_labels_prediction_and_error() -> None:
    image = sheet_picture(ROOM, size=(920, 520))
    assert words(image)[:5] == ["room: prediction and error", "color", "true label", "prediction", "error"]
    pixels, (x, y) = np.asarray(image), (370, 280)
    truth, prediction, error = pixels[:y, x:740], pixels[y:, :x], pixels[y:, x:740]
    board = S3DIS.colors[BOARD]
    assert share_of(truth, board) > 0.05
    assert share_of(prediction, board) == 0
    assert share_of(error, WRONG) > 0.05
    with pytest.raises(UserError, match="no label"):
        sheet_picture(replace(ROOM, label=None))


def test_models_stand_below_color_and_true_label() -> None:
    predictions = {f"model {i}": np.full(len(ROOM), WALL) for i in range(5)}
    image = models_picture(ROOM, {"first": ROOM.label, **predictions}, panel=(160, 120))
    assert words(image)[:9] == ["room", "color", "true label", "first", *(f"model {i}" for i in range(5))]
    width, height = image.size
    assert width > 4 * 160
    assert height > 3 * 120
    rows = np.asarray(image)[:, :640]
    row = slice(20 + (height - 10) // 3, 2 * (height - 10) // 3)
    assert share_of(rows[row, :160], S3DIS.colors[FLOOR]) > 0.05
    assert share_of(rows[row, 170:], S3DIS.colors[FLOOR]) == 0


@pytest.mark.parametrize("count", [1, 2, 30])
@pytest.mark.parametrize("view", ["inside", "top", "plan"])
def test_few_points(count: int, view: View) -> None:
    small = Subject(name="a", pos=ROOM.pos[:count])
    image = layers_picture(
        small, [make_layer(small, "height")], viewpoint=Viewpoint(view=view), size=(160, 90)
    )
    assert image.size == (160, 90)


def test_images_are_drawn_upright() -> None:
    height, width = 6, 9
    y, x = np.divmod(np.arange(height * width), width)
    pos = np.stack([x, height - 1 - y, 0 * x], axis=1).astype(np.float32)
    color = np.where((x[:, None] < 4) & (y[:, None] < 3), (200, 0, 0), (0, 0, 200)).astype(np.uint8)
    subject = Subject(name="frame", pos=pos, color=color, pixels=(height, width))
    page = np.asarray(layers_picture(subject, [make_layer(subject, "rgb")], size=(640, 360)))
    assert tuple(page[80, 20]) == (200, 0, 0)
    assert tuple(page[80, 380]) == tuple(page[330, 20]) == (0, 0, 200)
    # and so are they by the camera of windows and browsers
    _, camera = Viewpoint().apply(subject, (90, 60))
    u, v, _ = camera.project(pos[[0, width - 1, (height - 1) * width]].astype(float))
    assert u[0] < u[1]
    assert v[0] < v[2]
