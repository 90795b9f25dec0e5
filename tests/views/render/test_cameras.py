"""Cameras: inside a room, above it without the ceiling, at a given position, at the sensor of a single scan."""

from pathlib import Path

import numpy as np
import pytest
from helpers.view_rooms import BOARD, CEILING, FLOOR, ROOM, share_of

from pcseg.data.io.clouds import read_cloud
from pcseg.labels import S3DIS
from pcseg.views.layers.coloring import make_layer
from pcseg.views.render.cameras import Box, View, Viewpoint, below_ceiling
from pcseg.views.render.pictures import draw_layers, render
from pcseg.views.subject import make_subject

SIZE = (320, 180)


def draw(viewpoint: Viewpoint) -> np.ndarray:
    """Return a picture of the labels in exact colors, without shading."""
    rows, camera = viewpoint.apply(ROOM, SIZE)
    (image,) = render(ROOM.pos, [make_layer(ROOM, "label")], camera, rows=rows)
    return np.asarray(image)


def test_inside_is_inside_upright_and_not_mirrored() -> None:
    _, camera = Viewpoint().apply(ROOM, SIZE)
    assert (camera.eye > 0).all()
    assert (camera.eye < (6, 4, 2.8)).all()
    assert camera.eye[2] == pytest.approx(1.6, abs=0.05)
    # looking along +y, the board at x = 0 is on the left
    pixels = draw(Viewpoint(eye=(2, 0.5, 1.4), look_at=(2, 4, 1.4)))
    board, ceiling, floor = (S3DIS.colors[k] for k in (BOARD, CEILING, FLOOR))
    assert share_of(pixels[:, :60], board) > 0.1
    assert share_of(pixels[:, 160:], board) == 0
    assert share_of(pixels[:20], ceiling) > 0.3
    assert share_of(pixels[-20:], floor) > 0.3
    assert share_of(pixels[-30:], ceiling) == 0


@pytest.mark.parametrize("view", ["inside", "top", "plan"])
def test_pictures_are_full_and_not_cut_off(view: View) -> None:
    pixels = draw(Viewpoint(view=view))
    if view == "inside":
        assert share_of(pixels, (255, 255, 255)) < 0.12
        return
    assert share_of(pixels, S3DIS.colors[FLOOR]) > 0.1
    assert share_of(pixels, S3DIS.colors[CEILING]) == 0
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (border == 255).all()
    filled = np.nonzero((pixels < 255).any(axis=-1))
    assert np.ptp(filled[0]) > 0.7 * SIZE[1] or np.ptp(filled[1]) > 0.7 * SIZE[0]


def test_plan_has_y_up_and_x_right() -> None:
    columns = np.nonzero((draw(Viewpoint(view="plan")) == S3DIS.colors[BOARD]).all(axis=-1))[1]
    assert columns.max() < SIZE[0] / 2


def test_ceiling_is_found_only_where_there_is_one() -> None:
    kept = below_ceiling(ROOM.pos)
    assert not kept[ROOM.label == CEILING].any()
    assert kept[ROOM.label == FLOOR].all()
    without = ROOM.pos[ROOM.label != CEILING]
    assert below_ceiling(without).all()


def test_box_ignores_outliers() -> None:
    outliers = np.concatenate([ROOM.pos, np.full((20, 3), 500, np.float32)])
    np.testing.assert_allclose(Box.around(outliers).high, (6, 4, 2.8), atol=0.1)


@pytest.mark.slow
def test_single_scan_is_seen_from_its_sensor(real_scans: Path) -> None:
    subject = make_subject(read_cloud(real_scans / "region_growing_rgb_tutorial.pcd"))
    (image,) = draw_layers(subject, [make_layer(subject, "rgb")], size=SIZE)
    pixels = np.asarray(image).astype(int)
    assert subject.sensor is not None
    assert share_of(pixels, (255, 255, 255)) < 0.5
    # green bottles stand right of the center, the orange door frame is at the top right
    green = np.nonzero(pixels[..., 1] > pixels[..., [0, 2]].max(axis=-1) + 25)
    orange = np.nonzero((pixels[..., 0] > 180) & (pixels[..., 2] < 90))
    assert green[1].mean() > SIZE[0] / 2
    assert orange[0].mean() < SIZE[1] / 3
    assert orange[1].mean() > SIZE[0] / 2
