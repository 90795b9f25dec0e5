"""A frame next to its points: both are seen from one camera, and the same pixel and point are picked."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from frame_picture import camera_of_frame, draw_frame, find_pixel, frame_picture, shared_head_map
from helpers.office import office, write_image_model, write_office, write_office_frame, write_point_model
from helpers.view_rooms import EXPLAINED as ROOM
from helpers.view_rooms import TOKENS, share_of
from PIL import Image

from pcseg.cli import run
from pcseg.data.images.files import read_indices
from pcseg.errors import UserError
from pcseg.evaluation.backprojection import project, read_frame
from pcseg.labels import S3DIS, class_colors
from pcseg.views.layers.coloring import Coloring, make_layer
from pcseg.views.render.pictures import RING, render
from pcseg.views.render.splat import Camera
from pcseg.views.subject import Subject

FRAME_SIZE = (30, 40)


def frame() -> Subject:
    """Return an image of :data:`FRAME_SIZE` with the maps of the room's head; its tokens are columns."""
    height, width = FRAME_SIZE
    y, x = np.divmod(np.arange(height * width), width)
    maps = replace(
        ROOM.maps, head="ImageHead", row=np.arange(height * width), token=x * TOKENS // width,
        probability=np.tile(ROOM.maps.probability[:1], (height * width, 1)), baseline=None,
    )  # fmt: skip
    return Subject(
        name="000007",
        pos=np.stack([x, height - 1 - y, 0 * x], axis=1).astype(np.float32),
        color=np.full((height * width, 3), 90, np.uint8),
        label=np.zeros(height * width, np.int16),
        prediction=maps.label,
        confidence=maps.confidence,
        schema=S3DIS,
        maps=maps,
        pixels=FRAME_SIZE,
    )


def room_camera(width: int = 200) -> Camera:
    """Return a camera that looks along +y at the wall y = 4."""
    pose = np.array([[1, 0, 0, 3], [0, 0, 1, 1], [0, -1, 0, 1.4], [0, 0, 0, 1]], float)
    matrix = np.array([[25, 0, 19.5], [0, 25, 14.5], [0, 0, 1]])
    return camera_of_frame(pose, matrix, size=FRAME_SIZE, width=width)


def draw(coloring: Coloring, image: Subject | None = None) -> Image.Image:
    return frame_picture(image or frame(), ROOM, room_camera(), coloring)


def words(image: Image.Image) -> list[str]:
    return image.info["Description"].splitlines()


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
    # the first pixel has its center at 0 there, and its edge at 0 here
    np.testing.assert_allclose(found, [2 * u + 1, 2 * v + 1, depth], rtol=1e-6)


def test_pixels_and_points_agree(tmp_path: Path) -> None:
    """Labels of a frame equal those of the points drawn by its camera, and are not mirrored."""
    color = tmp_path / "Area_1" / "office_1" / "color" / "000000.jpg"
    write_office_frame(color)
    taken, room = read_frame(color), office()
    assert taken is not None
    camera = camera_of_frame(taken.pose, taken.color_matrix, size=(48, 64), width=64)
    subject = Subject(name="office", pos=room["pos"], label=room["label"], schema=S3DIS)
    drawn = np.asarray(render(subject.pos, [make_layer(subject, "label")], camera)[0])
    truth = read_indices(color.parents[1] / "label" / "000000.png")
    known = truth > 0
    expected = class_colors(S3DIS)[truth - 1]
    assert known.mean() > 0.9
    assert (drawn == expected).all(axis=2)[known].mean() > 0.8
    assert (drawn[:, ::-1] == expected).all(axis=2)[known].mean() < 0.7


def test_layers_of_both_stand_in_columns() -> None:
    image = draw(Coloring(by="affinity", of="wall"))
    pixels = np.asarray(image)
    assert image.width > 4 * 200
    for row in range(2):
        for column in range(4):
            y = 20 + row * (13 + 150 + 6) + 13
            panel = pixels[y + 5 : y + 145, column * 206 + 5 : column * 206 + 195]
            # four thousand points leave holes between them
            assert share_of(panel, (255, 255, 255)) < (0.05, 0.7)[row], (row, column)
    assert words(image)[:2] == ["room, frame 000007", "image, ImageHead: color"]
    assert "points, Head: color" in words(image)
    assert sum(text.startswith("affinity to wall") for text in words(image)) == 1  # the same text for both
    assert {"ceiling", "floor", "wall", "largest"} <= set(words(image))


def test_attention_has_a_panel_and_a_ring_per_recurrence() -> None:
    image = draw(Coloring(by="attention"))
    assert image.width > draw(Coloring(by="affinity")).width, "color, label, prediction and three recurrences"
    assert (np.asarray(image) == RING).all(axis=2).sum() > 6 * 20


def test_heads_that_share_no_map() -> None:
    plain = replace(frame(), maps=replace(frame().maps, affinity=None, assignment=None, attend=None))
    assert shared_head_map(frame(), ROOM) == "affinity"
    assert shared_head_map(plain, ROOM) is None
    assert draw(Coloring(by="prediction"), plain).width < draw(Coloring(by="affinity")).width
    with pytest.raises(UserError, match="ImageHead has no affinity"):
        draw(Coloring(by="affinity"), plain)
    with pytest.raises(UserError, match=r"--by error: not available for frames\. Use affinity"):
        draw(Coloring(by="error"))
    with pytest.raises(UserError, match="room: a cloud, but the frame must be an image"):
        draw(Coloring(by="affinity"), ROOM)


def test_the_pixel_is_that_of_the_point() -> None:
    camera = room_camera()
    pixel, point = find_pixel(frame(), ROOM, camera, None)
    assert ROOM.pos[point][1] == pytest.approx(4)
    assert np.abs(ROOM.pos[point] - (3, 4, 1.4)).max() < 0.1
    y, x = divmod(pixel, FRAME_SIZE[1])
    assert abs(y - 15) <= 1
    assert abs(x - 20) <= 1
    behind = int(ROOM.pos[:, 1].argmin())
    with pytest.raises(UserError, match=r"--pick: .* is outside the frame 000007\. Pick another point"):
        find_pixel(frame(), ROOM, camera, behind)


@pytest.mark.slow
def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    room = tmp_path / "office_1.h5"
    color = tmp_path / "frames" / "Area_5" / "office_1" / "color" / "000000.jpg"
    write_office(room)
    write_office_frame(color)
    write_image_model(tmp_path / "images.ckpt", "ctnet")
    write_point_model(tmp_path / "points.ckpt", "ctnet")
    png = tmp_path / "a.png"
    run(draw_frame, args=[str(room), str(color), "--ckpt", str(tmp_path / "points.ckpt"),
                          "--frame_ckpt", str(tmp_path / "images.ckpt"), "--png", str(png)])  # fmt: skip
    with Image.open(png) as image:
        assert image.size == (4 * (400 + 6) + 240, 40 + 2 * (300 + 26 + 6))
        assert {"office_1, frame 000000", "image, CTNet: color", "points, CTNet: color"} <= set(words(image))
    assert "predicted at 64 x 48 pixels" in capsys.readouterr().out
