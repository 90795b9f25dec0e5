"""Draw a frame and the points that it shows, with the head maps of an image model and of a point model.

``python scripts/frame_picture.py ROOM FRAME --ckpt POINTS.ckpt --frame_ckpt IMAGES.ckpt --png FILE``
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from pcseg.cli import run
from pcseg.errors import UserError
from pcseg.evaluation.backprojection import read_frame
from pcseg.labels import Palette
from pcseg.views.interactive.picking import point_on_ray
from pcseg.views.layers.coloring import By, Coloring, available, make_layer
from pcseg.views.layers.head_layers import head_layer_kinds, make_layers
from pcseg.views.render.cameras import Position
from pcseg.views.render.pages import Panel, compose, merge_legends
from pcseg.views.render.pictures import draw_pixels, draw_ring, render
from pcseg.views.render.splat import Camera
from pcseg.views.subject import Subject
from pcseg.views.visualize import find_pick, read_subject, write_picture

PANEL = 400
"""Width of each picture in pixels."""

PLAIN: tuple[By, ...] = ("rgb", "label", "prediction")
SHARED: tuple[By, ...] = ("affinity", "codeword", "attention")
"""Layers that need no head, and head maps that images and points share."""


def draw_frame(
    cloud: Path,
    frame: Path,
    *,
    ckpt: Path,
    frame_ckpt: Path,
    png: Path,
    by: By | None = None,
    of: str | None = None,
    pick: Position | None = None,
    palette: Palette = "canonical",
) -> None:
    """Draw color, true label, prediction and a head map of a frame, and below it of the points in its view.

    Args:
        cloud: A prepared scene (.h5).
        frame: Frame of this room (<room>/color/<name>.jpg with its pose).
        ckpt: Checkpoint of a point model.
        frame_ckpt: Checkpoint of an image model.
        png: Picture to write.
        by: affinity (CTNet), codeword (EncNet) or attention (CCNet); default: the first that both heads have.
        of: Name of a single class, for affinity, or number of a single codeword.
        pick: Point whose attention is shown, "[x, y, z]" in meters; default: the one in the center of the frame.
        palette: Colors of the classes.
    """
    points = read_subject(cloud, ckpt=ckpt)
    image = read_subject(frame, ckpt=frame_ckpt)
    by = by or shared_head_map(image, points) or "prediction"
    point = None if pick is None else find_pick(points, pick)
    taken = read_frame(frame)
    if taken is None:
        raise UserError(f"{frame}: the pose of this frame was lost during scanning. Choose another frame.")
    with Image.open(frame) as opened:
        size = (opened.height, opened.width)
    camera = camera_of_frame(taken.pose, taken.color_matrix, size=size, width=PANEL)
    coloring = Coloring(by=by, of=of, point=point, palette=palette)
    write_picture(frame_picture(image, points, camera, coloring), png)


def camera_of_frame(pose: np.ndarray, matrix: np.ndarray, *, size: tuple[int, int], width: int) -> Camera:
    """Return the camera that took a frame, for a picture ``width`` pixels wide.

    Convention:
        ``pose`` is the camera-to-world matrix (x right, y down, z forward), ``matrix`` the intrinsics in pixels of
        the frame, ``size`` its height and width. The optical axis is assumed to pass through the center of the
        frame, and pixels to be square: exact for generated frames, and within a few pixels for ScanNet.
    """
    return Camera(
        eye=pose[:3, 3],
        target=pose[:3, 3] + pose[:3, 2],
        up=-pose[:3, 1],
        width=width,
        height=round(width * size[0] / size[1]),
        fov=float(np.degrees(2 * np.arctan(size[1] / 2 / matrix[0, 0]))),
    )


def frame_picture(frame: Subject, cloud: Subject, camera: Camera, coloring: Coloring) -> Image.Image:
    """Draw color, true label, prediction and head maps: of the frame in the upper row, of the points below.

    Each picture has the size of ``camera``. The point of ``coloring`` is a row of ``cloud``, by default the one in
    the center of the frame; with ``prediction`` no head map is drawn.

    Raises:
        UserError: A head has no such map, or the point is outside the frame.
    """
    if frame.pixels is None:
        raise UserError(f"{frame.name}: a cloud, but the frame must be an image. Pass a frame of the room.")
    by = coloring.by
    if by not in SHARED and by != "prediction":
        raise UserError(f"--by {by}: not available for frames. Use {', '.join(SHARED)}.")
    picked = find_pixel(frame, cloud, camera, coloring.point) if by == "attention" else (None, None)
    kinds: list[By] = [kind for kind in PLAIN if kind in available(frame) and kind in available(cloud)]
    rows, layers_of_both, size = [], [], (camera.width, camera.height)
    for subject, point in zip((frame, cloud), picked):
        layers = [make_layer(subject, kind, palette=coloring.palette) for kind in kinds]
        if by != "prediction":
            of_head = make_layers(subject, replace(coloring, point=point))
            layers += of_head if by == "attention" else of_head[:1]
        if subject is frame:
            images = [draw_pixels(layer.color, frame.pixels, size) for layer in layers]
        else:
            images = render(cloud.pos, layers, camera, shade=True)
        if picked[1] is not None:
            u, v, _ = camera.project(cloud.pos[[picked[1]]].astype(np.float64))
            draw_ring(images[len(kinds) :], (float(u[0]), float(v[0])))
        headings = [layer.heading for layer in layers]
        head = subject.maps.head if subject.maps is not None else "no head"
        headings[0] = f"{'image' if subject is frame else 'points'}, {head}: {headings[0]}"
        rows.append([Panel(heading, image) for heading, image in zip(headings, images)])
        layers_of_both += layers
    legends = merge_legends(layers_of_both, frame.class_names)
    return compose(f"{cloud.name}, frame {frame.name}", rows, legends, unit=camera.width / PANEL)


def shared_head_map(frame: Subject, cloud: Subject) -> By | None:
    """Return the first kind of head map that both subjects have."""
    kinds = {*head_layer_kinds(frame.maps)} & {*head_layer_kinds(cloud.maps)}
    return next((kind for kind in SHARED if kind in kinds), None)


def find_pixel(frame: Subject, cloud: Subject, camera: Camera, point: int | None) -> tuple[int, int]:
    """Return the rows of a point in the frame and in the cloud."""
    if point is None:
        point = point_on_ray(cloud.pos, camera.eye, camera.axes[2])
        if point is None:
            raise UserError(f'{frame.name}: shows no point in its center. Pass --pick "[x, y, z]".')
    assert frame.pixels is not None
    height, width = frame.pixels
    u, v, depth = camera.project(cloud.pos[[point]].astype(np.float64))
    x, y = int(u[0] * width / camera.width), int(v[0] * height / camera.height)
    if depth[0] <= camera.near or not (0 <= x < width and 0 <= y < height):
        position = [round(float(value), 2) for value in cloud.pos[point]]
        raise UserError(f"--pick: {position} is outside the frame {frame.name}. Pick another point.")
    return y * width + x, point


if __name__ == "__main__":
    run(draw_frame)
