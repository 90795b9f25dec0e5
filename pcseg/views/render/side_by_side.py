"""A frame and the points that it shows, side by side: the same views of an image model and of a point model."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from pcseg.errors import UserError
from pcseg.labels import Palette
from pcseg.views.interactive.picking import point_on_ray
from pcseg.views.layers.coloring import By, Layer, available, make_layer
from pcseg.views.layers.head_layers import HAS, head_layers, head_ways
from pcseg.views.render.charts import context_picture
from pcseg.views.render.panels import explaining
from pcseg.views.render.pictures import (
    BACKGROUND,
    LEGEND,
    TITLE,
    draw_legend,
    draw_pixels,
    draw_ring,
    render,
    write,
)
from pcseg.views.render.splat import Camera
from pcseg.views.subject import Subject

PANEL = 400
"""Width of a single view in pixels."""
GAP, HEADING = 6, 28

SHARED: tuple[By, ...] = ("rgb", "label", "prediction")
"""Views that need no head."""


def camera_of_frame(pose: np.ndarray, matrix: np.ndarray, *, size: tuple[int, int], width: int) -> Camera:
    """The camera that took a frame, for a picture ``width`` pixels wide.

    Args:
        pose: Camera-to-world matrix ``(4, 4)``: x right, y down, z forward.
        matrix: Intrinsics ``(3, 3)`` in pixels of the frame.
        size: Height and width of the frame that ``matrix`` speaks of.
        width: Of the picture.

    Convention:
        The optical axis is taken to pass through the middle of the frame, and pixels to be square: true of
        generated frames, and within a few pixels of ScanNet's.
    """
    return Camera(
        eye=pose[:3, 3],
        target=pose[:3, 3] + pose[:3, 2],
        up=-pose[:3, 1],
        width=width,
        height=round(width * size[0] / size[1]),
        fov=float(np.degrees(2 * np.arctan(size[1] / 2 / matrix[0, 0]))),
    )


def beside_picture(
    frame: Subject,
    cloud: Subject,
    camera: Camera,
    *,
    by: By | None = None,
    of: str | None = None,
    pick: int | None = None,
    palette: Palette = "canonical",
    shade: bool = True,
) -> Image.Image:
    """Colour, true label, prediction and what the heads do: of the frame above, of the points below.

    Args:
        frame: What the image model made of a frame.
        cloud: What the point model made of the room.
        camera: The frame's; its size is that of each view.
        by: What the heads do: affinity, codeword, attention or gain; the first that both have without a value, and
            nothing if there is none.
        of: The one class or codeword.
        pick: The point of the cloud that looks, for attention; without a value, what the middle of the frame shows.
        palette: Colours of the classes.
        shade: Darken edges of the points.

    Raises:
        UserError: A head has no such map, or the picked point lies outside the frame.
    """
    shared: list[By] = [way for way in head_ways(frame.maps) if way in head_ways(cloud.maps)]
    by = by or next(iter(shared), None)
    if by is not None and by not in HAS:
        raise UserError(
            f"--by {by}: a frame beside points shows affinity, codeword, attention, gain or context"
        )
    place = find_place(frame, cloud, camera, pick) if by == "attention" else (None, None)
    ways: list[By] = [way for way in SHARED if all(way in available(subject) for subject in (frame, cloud))]
    rows = [
        [make_layer(subject, way, palette=palette) for way in ways]
        + what_head_does(subject, by, of=of, point=point, palette=palette)
        for subject, point in zip((frame, cloud), place)
    ]
    panel = (camera.width, camera.height)
    above = [draw_pixels(layer.color, pixels_of(frame), panel, mark=None) for layer in rows[0]]
    below = [
        Image.fromarray(image)
        for image in render(cloud.pos, [layer.color for layer in rows[1]], camera, shade=shade)
    ]
    if place[1] is not None:
        u, v, _ = camera.project(cloud.pos[place[1]][None].astype(np.float64))
        draw_ring([*above[len(ways) :], *below[len(ways) :]], (float(u[0]), float(v[0])))
    names = frame.schema.names if frame.schema else ()
    return lay_out(
        f"{cloud.name}, frame {frame.name}",
        [(f"pixels, {head_of(frame)}", rows[0], above), (f"points, {head_of(cloud)}", rows[1], below)],
        names=names,
    )


def both_contexts(frame: Subject, cloud: Subject, *, palette: Palette = "canonical") -> Image.Image:
    """Charts of what the heads keep of the whole frame, above those of the whole cloud.

    Raises:
        UserError: A head keeps nothing of the whole.
    """
    pages = []
    for subject, name, whole in ((frame, frame.name, "frame"), (cloud, cloud.name, "cloud")):
        if subject.maps is None or subject.schema is None:
            raise UserError(f"{name}: charts show what a head does; give the checkpoint of a model")
        pages.append(context_picture(name, subject.maps, subject.schema, palette=palette, whole=whole))
    both = Image.new("RGB", (pages[0].width, sum(page.height for page in pages)), BACKGROUND)
    for number, page in enumerate(pages):
        both.paste(page, (0, number * page.height))
    return both


def what_head_does(
    subject: Subject, by: By | None, *, of: str | None, point: int | None, palette: Palette
) -> list[Layer]:
    """All recurrences of an attention, else one layer: without ``of`` the strongest class or codeword."""
    if by is None:
        return []
    layers = head_layers(subject, by, of=of, point=point, palette=palette)
    return layers if by == "attention" else layers[:1]


def find_place(frame: Subject, cloud: Subject, camera: Camera, pick: int | None) -> tuple[int, int]:
    """Rows of the pixel and of the point that look."""
    if pick is None:
        pick = point_on_ray(cloud.pos, camera.eye, camera.axes[2])
        if pick is None:
            raise UserError(f'{frame.name}: shows no point in its middle; give --pick "[x, y, z]"')
    height, width = pixels_of(frame)
    u, v, depth = camera.project(cloud.pos[pick][None].astype(np.float64))
    x, y = int(u[0] * width / camera.width), int(v[0] * height / camera.height)
    if depth[0] <= camera.near or not (0 <= x < width and 0 <= y < height):
        raise UserError(
            f"--pick: {cloud.pos[pick].tolist()} lies outside the frame {frame.name}; pick another"
        )
    return y * width + x, pick


def lay_out(
    title: str, rows: Sequence[tuple[str, list[Layer], list[Image.Image]]], *, names: Sequence[str]
) -> Image.Image:
    """Views in rows, each with its title, and one legend."""
    width, height = rows[0][2][0].size
    unit = width / PANEL
    head, legend, heading = round(TITLE * unit), round(LEGEND * unit), round(HEADING * unit)
    columns = max(len(images) for _, _, images in rows)
    size = (columns * (width + GAP) + legend, head + len(rows) * (height + heading + GAP))
    page = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(page)
    write(draw, (12 * unit, 8 * unit), title, 22 * unit)
    for number, (what, layers, images) in enumerate(rows):
        y = head + number * (height + heading + GAP)
        for column, (layer, image) in enumerate(zip(layers, images)):
            x = column * (width + GAP)
            page.paste(image, (x, y + heading))
            text = f"{what}: {layer.heading}" if column == 0 else layer.heading
            write(draw, (x + 8, y + 4 * unit), text, 16 * unit, room=width - 12)
    shown = shared_legends([layer for _, layers, _ in rows for layer in layers], names)
    draw_legend(draw, shown, (size[0] - legend + 14 * unit, head + heading), unit=unit, room=size[1])
    return page


def shared_legends(layers: Sequence[Layer], names: Sequence[str]) -> list[Layer]:
    """One legend of all kinds without their shares, classes in their order, and each scale once."""
    colors = {text.rsplit("  ", 1)[0]: color for layer in layers for text, color in layer.legend}
    order = {name: place for place, name in enumerate(names)}
    legend = sorted(colors.items(), key=lambda entry: order.get(entry[0], len(order)))
    kinds = [Layer(by="label", title="", legend=legend)] if legend else []
    return kinds + explaining([layer for layer in layers if layer.scale])


def pixels_of(frame: Subject) -> tuple[int, int]:
    """Height and width of a subject that is a picture."""
    if frame.pixels is None:
        raise UserError(f"{frame.name}: points, where a frame is wanted")
    return frame.pixels


def head_of(subject: Subject) -> str:
    """Name of the head that made the maps."""
    return subject.maps.head if subject.maps is not None else "no head"
