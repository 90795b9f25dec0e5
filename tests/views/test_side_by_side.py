"""A frame beside its points: both are seen from one place, and the same pixel and point look."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.office import office, write_office_frame
from helpers.view_heads import TOKENS, explained_room
from PIL import Image

from pcseg.data.images.reader import read_indices
from pcseg.errors import UserError
from pcseg.evaluation.backprojection import project, read_frame
from pcseg.labels import S3DIS, class_colors
from pcseg.views.layers.coloring import class_layer
from pcseg.views.render.charts import context_picture
from pcseg.views.render.pictures import RING, render
from pcseg.views.render.side_by_side import beside_picture, both_contexts, camera_of_frame, find_place
from pcseg.views.render.splat import Camera
from pcseg.views.subject import Subject

ROOM = explained_room()
FRAME_SIZE = (30, 40)


def frame() -> Subject:
    """A picture of :data:`FRAME_SIZE` with the maps of the room's head, for tokens that are columns."""
    height, width = FRAME_SIZE
    y, x = np.divmod(np.arange(height * width), width)
    maps = replace(
        ROOM.maps, head="ImageHead", row=np.arange(height * width), token=x * TOKENS // width,
        probability=np.tile(ROOM.maps.probability[:1], (height * width, 1)), plain=None,
    )  # fmt: skip
    return Subject(
        name="000007",
        pos=np.stack([x, y, 0 * x], axis=1).astype(np.float32),
        color=np.full((height * width, 3), 90, np.uint8),
        label=np.zeros(height * width, np.int16),
        prediction=maps.label,
        confidence=maps.confidence,
        schema=S3DIS,
        maps=maps,
        pixels=FRAME_SIZE,
    )


def room_camera(width: int = 200) -> Camera:
    """Looks along +y at the wall y = 4."""
    pose = np.array([[1, 0, 0, 3], [0, 0, 1, 1], [0, -1, 0, 1.4], [0, 0, 0, 1]], float)
    matrix = np.array([[25, 0, 19.5], [0, 25, 14.5], [0, 0, 1]])
    return camera_of_frame(pose, matrix, size=FRAME_SIZE, width=width)


def test_the_camera_is_that_of_the_frame() -> None:
    rng = np.random.default_rng(0)
    axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    axes *= np.sign(np.linalg.det(axes))
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = axes, (1, 2, 3)
    matrix = np.array([[50, 0, 31.5], [0, 50, 23.5], [0, 0, 1]])
    local = rng.uniform((-1, -1, 2), (1, 1, 5), (100, 3))
    pos = local @ axes.T + pose[:3, 3]
    u, v, depth = project(pos, pose, matrix)
    found = camera_of_frame(pose, matrix, size=(48, 64), width=128).project(pos)
    # there the middle of the first pixel is 0, here its edge
    np.testing.assert_allclose(found, [2 * u + 1, 2 * v + 1, depth], rtol=1e-6)


def test_pixels_lie_below_each_other(tmp_path: Path) -> None:
    """Labels of a frame and of the points, drawn from its place, agree."""
    color = tmp_path / "Area_1" / "office_1" / "color" / "000000.jpg"
    write_office_frame(color)
    taken, room = read_frame(color), office()
    camera = camera_of_frame(taken.pose, taken.color_matrix, size=(48, 64), width=64)
    layer = class_layer(room["label"], "label", "", schema=S3DIS, palette="canonical")
    (drawn,) = render(room["pos"], [layer.color], camera)
    truth = read_indices(taken.label)
    known = truth > 0
    expected = class_colors(S3DIS)[truth - 1]
    assert known.mean() > 0.9
    assert (drawn == expected).all(axis=2)[known].mean() > 0.8
    assert (drawn[:, ::-1] == expected).all(axis=2)[known].mean() < 0.7, (
        "the office is not its own mirror image"
    )


def test_views_of_both_stand_in_columns() -> None:
    image = np.asarray(beside_picture(frame(), ROOM, room_camera(), by="affinity", of="wall", shade=False))
    assert image.shape[1] > 4 * 200
    for row in range(2):
        for column in range(4):
            y = 20 + row * (150 + 14 + 6) + 14
            panel = image[y + 5 : y + 145, column * 206 + 5 : column * 206 + 195]
            # four thousand points leave holes between them
            assert (panel < 250).any(axis=2).mean() > (0.95, 0.3)[row], (row, column)
    both = beside_picture(frame(), ROOM, room_camera(), by="attention")
    assert both.width > image.shape[1], "colour, label, prediction and three recurrences"
    assert (np.asarray(both) == RING).all(axis=2).sum() > 6 * 20
    assert beside_picture(frame(), ROOM, room_camera()).size == Image.fromarray(image).size


def test_heads_that_share_nothing_show_what_needs_no_head() -> None:
    plain = replace(frame(), maps=replace(frame().maps, affinity=None, assignment=None, attend=None))
    shared = beside_picture(plain, ROOM, room_camera())
    assert shared.width < beside_picture(frame(), ROOM, room_camera()).width
    with pytest.raises(UserError, match="ImageHead has no affinity"):
        beside_picture(plain, ROOM, room_camera(), by="affinity")
    with pytest.raises(UserError, match="shows affinity, codeword, attention, gain or context"):
        beside_picture(frame(), ROOM, room_camera(), by="error")


def test_gain_of_both() -> None:
    compared = replace(frame().maps, plain=np.full_like(frame().maps.probability, 1 / 13))
    both = beside_picture(replace(frame(), maps=compared), ROOM, room_camera(), by="gain")
    assert both.size == beside_picture(frame(), ROOM, room_camera(), by="affinity").size
    with pytest.raises(UserError, match="ImageHead has no gain"):
        beside_picture(frame(), ROOM, room_camera(), by="gain")


def test_charts_of_both_stand_above_each_other() -> None:
    both = np.asarray(both_contexts(frame(), ROOM))
    pages = [
        context_picture(subject.name, subject.maps, S3DIS, whole=whole)
        for subject, whole in ((frame(), "frame"), (ROOM, "cloud"))
    ]
    np.testing.assert_array_equal(both, np.concatenate([np.asarray(page) for page in pages]))
    with pytest.raises(UserError, match="ImageHead keeps no context of the whole frame"):
        both_contexts(replace(frame(), maps=replace(frame().maps, channel=None)), ROOM)


def test_the_pixel_is_that_of_the_point() -> None:
    camera = room_camera()
    pixel, point = find_place(frame(), ROOM, camera, None)
    assert ROOM.pos[point][1] == pytest.approx(4)
    assert np.abs(ROOM.pos[point] - (3, 4, 1.4)).max() < 0.1
    y, x = divmod(pixel, FRAME_SIZE[1])
    assert abs(y - 15) <= 1
    assert abs(x - 20) <= 1
    behind = int(ROOM.pos[:, 1].argmin())
    with pytest.raises(UserError, match="outside the frame 000007"):
        find_place(frame(), ROOM, camera, behind)
